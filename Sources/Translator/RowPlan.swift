// What the translator knows of a row: which encoded fields are general registers, and which template makes host code of it.
// The words are generated (Tools/isagen/Sources/isagen/PlanEmitter.swift):
//
//     bits 0–7    kinds of ModRM.reg, ModRM.rm, VEX.vvvv, the opcode's register: 0 other, 1 general, 2 byte register
//     bits 8–15   their accesses: bit 0 read, bit 1 written (partial and conditional writes also read)
//     bits 16–20  template
//     bits 21–26  properties
//     bits 28–31  condition code

/// One row's plan.
struct RowPlan {
  let word: UInt32

  init(row: UInt16) {
    word = Int(row) < RowPlanTable.words.count ? RowPlanTable.words[Int(row)] : 0
  }

  /// The plan of what only the interpreter executes.
  static var interpreted: RowPlan { RowPlan(row: .max) }

  /// The order is shared with isagen's `PlanEmitter.Template`.
  enum Template: UInt32 {
    /// The interpreter executes it.
    case interpret
    /// The instruction itself, with registers and memory operand replaced.
    case copy
    case nothing, effectiveAddress, jumpIf, jump, call, ret, loop, loopIfEqual, loopIfNotEqual
    case jumpIfCounterZero, systemCall, push, pop, leave, string
  }

  var template: Template { Template(rawValue: (word &>> 16) & 31) ?? .interpret }

  /// An encoded field that can be a general register.
  enum Field: UInt32 { case reg, rm, vvvv, opcode }

  func isGeneral(_ field: Field) -> Bool { (word &>> (2 &* field.rawValue)) & 3 != 0 }
  func isByte(_ field: Field) -> Bool { (word &>> (2 &* field.rawValue)) & 3 == 2 }
  func reads(_ field: Field) -> Bool { (word &>> (8 &+ 2 &* field.rawValue)) & 1 != 0 }
  func writes(_ field: Field) -> Bool { (word &>> (9 &+ 2 &* field.rawValue)) & 1 != 0 }

  private func property(_ index: UInt32) -> Bool { (word &>> (21 &+ index)) & 1 != 0 }

  var usesX87: Bool { property(0) }
  /// AVX-512: 32 registers of 512 bits, opmask registers.
  var isWide: Bool { property(1) }
  /// Reads CL or RCX without a field.
  var readsCounter: Bool { property(2) }
  /// Writes ECX without a field.
  var writesCounter: Bool { property(3) }
  /// Writes the accumulator or RDX without a field.
  var hasImplicitWrites: Bool { property(4) }
  /// Executing it does not prove that its memory operand was accessed.
  var mayNotTouch: Bool { property(5) }
  var condition: UInt8 { UInt8(truncatingIfNeeded: word &>> 28) }
}
