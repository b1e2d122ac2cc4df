// Guards in front of a loop instead of in it. A block with a branch back to its own head gets a prologue that guards the
// registers of its memory operands in place; backward branches go behind the prologue.
//
// That is enough when, from one iteration to the next, such a register does not change, or changes by constants, or is
// written with 32 bits, or is a copy of such a register. An operand that is accessed in every iteration then moves by less
// than a guard area between two accesses: before it can pass a guard area it lies within it, and faults. The processor
// cannot run ahead of the fault by more than its reorder window, some hundred instructions, each of which moves an address
// by at most `mostStep`.
// Everything else is guarded where it stands.

import X86

/// What is guarded in front of a block's loop.
struct LoopGuards {
  /// Bytes by which all steps of one iteration may move an address.
  static let mostStep: Int64 = 1 << 20

  /// Registers guarded by the prologue, one bit each.
  private(set) var registers: UInt16 = 0
  /// Registers whose numbers may stand in an operand without a guard.
  private var harmless: UInt16 = 0
  /// Registers that change from iteration to iteration.
  private var stepping: UInt16 = 0
  /// Instructions before the first backward branch: every iteration executes them.
  private var common = 0
  /// Instructions up to the last backward branch: what comes behind was not looked at, so its branches to the block's head
  /// must not pass the prologue by.
  private(set) var covered = 0
  /// The instruction being translated, counted from the block's head.
  var position = 0

  /// The block has a branch back to its head.
  private(set) var isLoop = false

  init() {}

  init(_ instructions: UnsafeMutableBufferPointer<DecodedInstruction>, start: UInt64) {
    guard let (first, last) = LoopGuards.backwardBranches(instructions, start) else { return }
    isLoop = true
    common = first
    covered = last &+ 1
    var effects = RegisterEffects()
    for index in 0...last { effects.note(instructions[index]) }
    effects.followCopies()
    if effects.isHopeless { return }
    harmless = ~effects.wild & ~(1 &<< UInt16(GuestRegister.rsp))
    stepping = effects.stepping
    // A register that an iteration writes before it uses it as an address needs no guard at the entry.
    var written: UInt16 = 0
    for index in 0..<first {
      position = index
      let instruction = instructions[index].instruction
      if covers(instruction, instructions[index].plan) {
        registers |= LoopGuards.addressRegisters(instruction) & ~written
      }
      written |= RegisterEffects.replaced(instructions[index])
    }
    position = 0
  }

  /// Guards nothing in front; everything where it stands.
  mutating func giveUp() { (registers, common) = (0, 0) }

  /// The first and last branch to `start`; nil when there is none, or calls come before it.
  private static func backwardBranches(
    _ instructions: UnsafeMutableBufferPointer<DecodedInstruction>, _ start: UInt64
  ) -> (Int, Int)? {
    var first: Int?
    var last = 0
    for index in 0..<instructions.count {
      let instruction = instructions[index].instruction
      switch instructions[index].plan.template {
      case .call: return first.map { ($0, last) }
      case .jumpIf, .jump, .loop, .loopIfEqual, .loopIfNotEqual, .jumpIfCounterZero:
        let next = instructions[index].address &+ UInt64(instruction.length)
        let isRelative = instruction.info.operand(0).kind == .relative
        if isRelative, next &+ UInt64(bitPattern: instruction.immediate) == start {
          first = first ?? index
          last = index
        }
      default: break
      }
    }
    return first.map { ($0, last) }
  }

  static func addressRegisters(_ instruction: Instruction) -> UInt16 {
    var mask: UInt16 = 0
    if instruction.base < 16 { mask |= 1 &<< UInt16(instruction.base) }
    if instruction.index < 16 { mask |= 1 &<< UInt16(instruction.index) }
    return mask
  }

  /// Whether the current instruction's memory operand needs no guard of its own.
  func covers(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    guard position < common, instruction.hasMemoryOperand, plan.template == .copy || plan.template == .push,
      instruction.addressSize == 64, !instruction.prefixes.contains(.segment),
      instruction.base != Instruction.relative,
      !instruction.info.usesVSIB
    else { return false }
    let used = LoopGuards.addressRegisters(instruction)
    if used == 0 || used & ~harmless != 0 { return false }
    return !plan.mayNotTouch || used & stepping == 0
  }
}

/// What the instructions of a loop do to the general registers.
struct RegisterEffects {
  /// Written with anything; changed by constants or 32-bit results.
  var wild: UInt16 = 0
  var stepping: UInt16 = 0
  /// Too many or too large steps.
  var isHopeless = false
  private var total: Int64 = 0
  /// For each register, those that it is copied from.
  private var sources: InlineArray<16, UInt16> = InlineArray(repeating: 0)

  /// A copy is as harmless as what it is a copy of.
  mutating func followCopies() {
    var changed = true
    while changed {
      changed = false
      for number in 0..<16 where sources[number] & wild != 0 && wild &>> UInt16(number) & 1 == 0 {
        wild |= 1 &<< UInt16(number)
        changed = true
      }
    }
  }

  mutating func note(_ decoded: DecodedInstruction) {
    let (instruction, plan) = (decoded.instruction, decoded.plan)
    switch plan.template {
    case .copy, .effectiveAddress: noteCopy(instruction, plan)
    case .pop: wild |= 0xffff
    case .string: wild |= 1 &<< 1 | 1 &<< 6 | 1 &<< 7
    case .leave: wild |= 1 &<< 5
    case .loop, .loopIfEqual, .loopIfNotEqual: step(1 &<< 1, 1)
    default: break
    }
  }

  private mutating func noteCopy(_ instruction: Instruction, _ plan: RowPlan) {
    if plan.hasImplicitWrites { wild |= 1 &<< 0 | 1 &<< 2 }
    if plan.writesCounter { wild |= 1 &<< 1 }
    let written = RegisterEffects.written(instruction, plan)
    if written == 0 { return }
    if let size = RegisterEffects.constantStep(instruction, plan) { return step(written, size) }
    if let (source, size) = RegisterEffects.copy(instruction, plan) {
      sources[written.trailingZeroBitCount & 15] |= 1 &<< UInt16(source)
      return step(written, size)
    }
    if instruction.operandSize == 32 && !RegisterEffects.isPartial(plan) {
      stepping |= written
    } else {
      wild |= written
    }
  }

  private mutating func step(_ registers: UInt16, _ size: Int64) {
    stepping |= registers
    total &+= Int64(truncatingIfNeeded: size.magnitude) &* 16
    if total > LoopGuards.mostStep { isHopeless = true }
  }

  /// ADD, SUB, INC, DEC and LEA of a register and a constant, 64 bits: by how much.
  static func constantStep(_ instruction: Instruction, _ plan: RowPlan) -> Int64? {
    guard instruction.operandSize == 64, !instruction.hasMemoryOperand || plan.template == .effectiveAddress
    else {
      return nil
    }
    if plan.template == .effectiveAddress {
      let isStep = instruction.base == instruction.reg && instruction.index == Instruction.none
      return isStep && instruction.addressSize == 64 ? instruction.displacement : nil
    }
    let operation = instruction.modRM &>> 3 & 7
    guard instruction.prefixes.isDisjoint(with: [.vex, .evex]),
      instruction.modRMOffset == instruction.opcodeOffset &+ 1
    else { return nil }
    switch instruction.opcode {
    case 0x81, 0x83:
      return operation == 0 ? instruction.immediate : operation == 5 ? 0 &- instruction.immediate : nil
    case 0xff: return operation == 0 ? 1 : operation == 1 ? -1 : nil
    default: return nil
    }
  }

  /// MOV and LEA of another register, 64 bits, plus a constant.
  private static func copy(_ instruction: Instruction, _ plan: RowPlan) -> (source: UInt8, size: Int64)? {
    guard instruction.operandSize == 64, instruction.prefixes.isDisjoint(with: [.vex, .evex]) else {
      return nil
    }
    if plan.template == .effectiveAddress {
      guard instruction.base < 16, instruction.index == Instruction.none, instruction.addressSize == 64 else {
        return nil
      }
      return (instruction.base, instruction.displacement)
    }
    guard !instruction.hasMemoryOperand, instruction.modRMOffset == instruction.opcodeOffset &+ 1 else {
      return nil
    }
    switch instruction.opcode {
    case 0x89: return (instruction.reg & 15, 0)
    case 0x8b: return (instruction.rm & 15, 0)
    default: return nil
    }
  }

  /// General registers that fields name and the instruction writes.
  static func written(_ instruction: Instruction, _ plan: RowPlan) -> UInt16 {
    var mask: UInt16 = 0
    func add(_ field: RowPlan.Field, _ number: UInt8) {
      guard plan.isGeneral(field), plan.writes(field) else { return }
      let isHigh =
        plan.isByte(field) && number >= 4 && instruction.prefixes.isDisjoint(with: [.rex, .vex, .evex])
      mask |= 1 &<< UInt16((isHigh ? number & 3 : number) & 15)
    }
    add(.reg, instruction.reg)
    if !instruction.hasMemoryOperand { add(.rm, instruction.rm) }
    add(.vvvv, instruction.vvvv)
    add(.opcode, instruction.opcodeRegister)
    return mask
  }

  /// Whether a written field may be a byte register.
  private static func isPartial(_ plan: RowPlan) -> Bool {
    let fields: [RowPlan.Field] = [.reg, .rm, .vvvv, .opcode]
    return fields.contains { plan.isByte($0) && plan.writes($0) }
  }

  /// Registers that are below 2^32 behind the instruction, and those that may be anything.
  static func narrowness(_ instruction: Instruction, _ plan: RowPlan) -> (narrow: UInt16, other: UInt16) {
    var other: UInt16 = plan.hasImplicitWrites ? 5 : 0
    if plan.writesCounter { other |= 2 }
    let mask = written(instruction, plan)
    if plan.hasImplicitWrites { return (0, other | mask) }
    if mask == 0 || isPartial(plan) || instruction.operandSize == 16 { return (0, other) }
    let isLegacy = instruction.prefixes.isDisjoint(with: [.vex, .evex])
    let isTwoBytes = isLegacy && instruction.modRMOffset == instruction.opcodeOffset &+ 2
    // BSF and BSR of zero leave their destination as it was.
    if isTwoBytes, instruction.opcode & 0xfe == 0xbc { return (0, other | mask) }
    if isTwoBytes, instruction.opcode & 0xfe == 0xb6 { return (mask, other) }
    return instruction.operandSize == 32 ? (mask & ~other, other) : (0, other | mask)
  }

  /// Registers whose old contents do not matter after the instruction.
  static func replaced(_ decoded: DecodedInstruction) -> UInt16 {
    let (instruction, plan) = (decoded.instruction, decoded.plan)
    guard plan.template == .copy || plan.template == .effectiveAddress, instruction.operandSize == 32,
      !isPartial(plan)
    else { return 0 }
    return written(instruction, plan)
  }
}

extension BlockTranslator {
  /// The prologue: each register is guarded in place, and the block is left when that would change it.
  mutating func guardLoop() {
    for number: UInt8 in 0..<16 where loop.registers &>> UInt16(number) & 1 != 0 {
      let register = holding(number, loadedInto: HostRegister.secondScratch)
      guardInPlace(register, else: addSite(.wildLoop, target: start, executed: 0))
      if register == HostRegister.secondScratch {
        assembler.storeState(register, StateOffset.general(number))
      }
    }
  }
}
