// Instructions on AH, CH, DH and BH. The registers where they are kept need REX, which has no names for second bytes.

import CHost
import X86

extension BlockTranslator {
  /// Whether a field names the second byte of a register, which no instruction with REX can do.
  static func usesHighByte(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    guard plan.word & 0xaa != 0, instruction.prefixes.isDisjoint(with: [.rex, .vex, .evex]) else {
      return false
    }
    return (plan.isByte(.reg) && instruction.reg & 4 != 0)
      || (plan.isByte(.rm) && !instruction.hasMemoryOperand && instruction.rm & 4 != 0)
      || (plan.isByte(.opcode) && instruction.opcodeRegister & 4 != 0)
  }

  /// REX, which the copy needs for the host's registers, has no names for second bytes. So the register is rotated into a
  /// scratch register, whose lowest byte then is the operand, and rotated back when it was written.
  mutating func copyHighByte(
    _ instruction: Instruction, _ plan: RowPlan, _ bytes: UnsafePointer<UInt8>
  ) {
    let usesCounter = plan.readsCounter || plan.writesCounter
    var memory: HostAddress?
    if instruction.hasMemoryOperand {
      keepsSecondFree = true
      defer { keepsSecondFree = false }
      guard !usesCounter, let address = place(instruction, in: HostRegister.scratch) else {
        return interpret()
      }
      memory = address
    }
    var high = HighBytes(hasBoth: !usesCounter && memory?.uses(HostRegister.scratch) != true)
    var fields = EncodedFields(
      reg: instruction.reg, rm: instruction.rm, vvvv: 0, opcode: instruction.opcodeRegister)
    guard memory?.uses(HostRegister.secondScratch) != true,
      high.assign(.reg, &fields.reg, plan), memory != nil || high.assign(.rm, &fields.rm, plan),
      high.assign(.opcode, &fields.opcode, plan), !high.isAmbiguous(plan)
    else { return interpret() }
    if usesCounter || high.second != HostRegister.none { guarded = .none }
    high.rotate(&assembler, right: 8)
    if usesCounter { assembler.move(HostRegister.scratch, HostRegister.guestCounter) }
    emit(instruction, bytes, fields, memory)
    assembler.held = HeldRegister()
    if plan.writesCounter { assembler.move(HostRegister.guestCounter, HostRegister.scratch) }
    high.rotateBack(&assembler)
    noteImplicitWrites(instruction, plan)
    // What was rotated back is not visibly below 2^32.
    narrow &= ~high.written
    for number: UInt8 in 0..<8 where high.written &>> UInt16(number) & 1 != 0 {
      wrote(number, instruction, plan)
    }
  }

  /// Which registers' second bytes are in scratch registers.
  private struct HighBytes {
    /// Guest registers in the second scratch register and in the first.
    private(set) var first = HostRegister.none
    private(set) var second = HostRegister.none
    private var writesFirst = false
    private var writesSecond = false
    /// Guest registers that fields write, and those of which a field writes the lower part.
    private(set) var written: UInt16 = 0
    private var writtenLow: UInt16 = 0
    private let hasBoth: Bool

    init(hasBoth: Bool) { self.hasBoth = hasBoth }

    /// Replaces the register in `field`, which is below 8 because there is no REX. False: no scratch register is left.
    mutating func assign(_ field: RowPlan.Field, _ host: inout UInt8, _ plan: RowPlan) -> Bool {
      guard plan.isGeneral(field) else { return true }
      let isHigh = plan.isByte(field) && host & 4 != 0
      let number = isHigh ? host & 3 : host & 7
      if plan.writes(field) { written |= 1 &<< UInt16(number) }
      guard isHigh else {
        if plan.writes(field) { writtenLow |= 1 &<< UInt16(number) }
        host = HostRegister.holding(number)
        return true
      }
      if first == HostRegister.none || first == number {
        first = number
        writesFirst = writesFirst || plan.writes(field)
        host = HostRegister.secondScratch
      } else {
        guard hasBoth else { return false }
        second = number
        writesSecond = plan.writes(field)
        host = HostRegister.scratch
      }
      return true
    }

    /// The second byte and another part of the same register are written.
    func isAmbiguous(_ plan: RowPlan) -> Bool {
      var others = writtenLow
      if plan.hasImplicitWrites { others |= 5 }
      return (writesFirst && others &>> UInt16(first) & 1 != 0)
        || (writesSecond && others &>> UInt16(second) & 1 != 0)
    }

    func rotate(_ assembler: inout Assembler, right count: UInt8) {
      assembler.rotate(HostRegister.secondScratch, HostRegister.holding(first), right: count)
      if second == HostRegister.none { return }
      assembler.rotate(HostRegister.scratch, HostRegister.holding(second), right: count)
    }

    func rotateBack(_ assembler: inout Assembler) {
      if writesFirst { assembler.rotate(HostRegister.holding(first), HostRegister.secondScratch, right: 56) }
      if writesSecond { assembler.rotate(HostRegister.holding(second), HostRegister.scratch, right: 56) }
    }
  }
}
