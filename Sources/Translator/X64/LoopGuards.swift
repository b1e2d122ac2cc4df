// Guards in front of a loop instead of in it. A block with a branch back to its own head gets a prologue that guards the
// registers of its memory operands in place; backward branches go behind the prologue.
//
// That is enough when each iteration only moves such a register by constants, or writes it with 32 bits, or makes it of
// such a register by copies that no branch skips. An operand that is accessed in every iteration then moves by less
// than a guard area between two accesses: before it can pass a guard area it lies within it, and faults. Of two registers
// in one operand both may move only when an access bounds each of them: when the other one is below 2^32 then. The
// processor cannot run ahead of the fault by more than its reorder window, some hundred instructions, each of which
// moves an address by at most `mostStep`. `escapecheck` proves all of that of the code that comes out.
// Everything else is guarded where it stands.

import X86

/// What is guarded in front of a block's loop.
struct LoopGuards {
  /// Bytes by which all steps of one iteration may move an address.
  static let mostStep: Int64 = 1 << 20

  /// Registers guarded by the prologue, one bit each.
  private(set) var registers: UInt16 = 0
  /// Instructions whose memory operands need no guard of their own, one bit each.
  private var operands: UInt64 = 0
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
    covered = last &+ 1
    var iteration = RegisterEffects()
    // What comes before the first backward branch is executed in every iteration.
    for index in 0...last {
      let decoded = instructions[index]
      if index < first, LoopGuards.isPlain(decoded.instruction, decoded.plan) {
        iteration.noteAccess(decoded.instruction, decoded.plan)
      }
      iteration.note(decoded, isCertain: index < first)
    }
    if iteration.isHopeless { return }
    var current = RegisterEffects()
    for index in 0..<min(first, 64) {
      let decoded = instructions[index]
      if LoopGuards.isPlain(decoded.instruction, decoded.plan),
        let guards = iteration.guards(decoded.instruction, decoded.plan, current)
      {
        operands |= 1 &<< UInt64(index)
        registers |= guards
      }
      current.note(decoded, isCertain: true)
    }
  }

  /// Guards nothing in front; everything where it stands.
  mutating func giveUp() { (registers, operands) = (0, 0) }

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

  /// Whether the instruction's memory operand is made of general registers alone.
  private static func isPlain(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    instruction.hasMemoryOperand && (plan.template == .copy || plan.template == .push)
      && instruction.addressSize == 64 && !instruction.prefixes.contains(.segment)
      && instruction.base != Instruction.relative && !instruction.info.usesVSIB
      && (instruction.base < 16 || instruction.index < 16)
  }

  /// Whether the current instruction's memory operand needs no guard of its own.
  func covers(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    position < 64 && operands &>> UInt64(position) & 1 != 0 && LoopGuards.isPlain(instruction, plan)
  }
}

/// What the instructions of a loop do to the general registers.
struct RegisterEffects {
  /// Written with anything; moved by constants or copied; written with 32-bit results.
  private var wild: UInt16 = 1 &<< UInt16(GuestRegister.rsp)
  private var moved: UInt16 = 0
  private var narrowed: UInt16 = 0
  /// Origins that are addresses, but for constants, in every iteration.
  private var accessed: UInt16 = 0
  /// Too many or too large steps.
  var isHopeless: Bool { total > LoopGuards.mostStep }
  private var total: Int64 = 0
  /// For each register, the one that held it at the iteration's beginning, constants aside; `below32` and `unknown`: none.
  private var origins: InlineArray<16, UInt8> = InlineArray { UInt8(truncatingIfNeeded: $0) }
  private static let below32: UInt8 = 16
  private static let unknown: UInt8 = 17

  /// Takes an instruction's effects over. `isCertain`: every iteration executes it.
  mutating func note(_ decoded: DecodedInstruction, isCertain: Bool) {
    let (instruction, plan) = (decoded.instruction, decoded.plan)
    switch plan.template {
    case .copy, .effectiveAddress: noteCopy(instruction, plan, isCertain)
    case .pop: spoil(0xffff)
    // LODS writes RAX.
    case .string: spoil(1 &<< 0 | 1 &<< 1 | 1 &<< 6 | 1 &<< 7)
    case .leave: spoil(1 &<< 4 | 1 &<< 5)
    case .loop, .loopIfEqual, .loopIfNotEqual: step(1 &<< 1, 1)
    default: break
    }
  }

  private mutating func noteCopy(_ instruction: Instruction, _ plan: RowPlan, _ isCertain: Bool) {
    if plan.hasImplicitWrites { spoil(1 &<< 0 | 1 &<< 2) }
    if plan.writesCounter { spoil(1 &<< 1) }
    let written = RegisterEffects.written(instruction, plan)
    if written == 0 { return }
    if let size = RegisterEffects.constantStep(instruction, plan) { return step(written, size) }
    if isCertain, let (source, size) = RegisterEffects.copy(instruction, plan) {
      origins[written.trailingZeroBitCount & 15] = origins[Int(source & 15)]
      return step(written, size)
    }
    guard RegisterEffects.narrowness(instruction, plan).narrow == written else { return spoil(written) }
    narrowed |= written
    if isCertain { setOrigins(written, RegisterEffects.below32) }
  }

  private mutating func spoil(_ registers: UInt16) {
    wild |= registers
    setOrigins(registers, RegisterEffects.unknown)
  }

  private mutating func setOrigins(_ registers: UInt16, _ origin: UInt8) {
    for number in 0..<16 where registers &>> UInt16(number) & 1 != 0 { origins[number] = origin }
  }

  private mutating func step(_ registers: UInt16, _ size: Int64) {
    moved |= registers
    total &+= Int64(truncatingIfNeeded: min(size.magnitude, 1 &<< 32)) &* 16
  }

  /// Notes what the next instruction accesses, which every iteration executes.
  mutating func noteAccess(_ instruction: Instruction, _ plan: RowPlan) {
    guard !plan.mayNotTouch, instruction.base < 16, instruction.index >= 16 else { return }
    let origin = origins[Int(instruction.base)]
    if origin < 16 { accessed |= 1 &<< UInt16(origin) }
  }

  /// Of a whole iteration: the registers to be guarded in front of the loop so that the instruction's operand needs no
  /// guard in it; nil when that is not enough. `current`: the iteration up to the instruction.
  func guards(_ instruction: Instruction, _ plan: RowPlan, _ current: RegisterEffects) -> UInt16? {
    var registers: UInt16 = 0
    for number in [instruction.base, instruction.index] where number < 16 {
      let bit: UInt16 = 1 &<< UInt16(number)
      if wild & bit != 0 || plan.mayNotTouch && (moved | narrowed) & bit != 0 { return nil }
      let origin = current.origins[Int(number)]
      if origin == RegisterEffects.below32 { continue }
      if origin == RegisterEffects.unknown { return nil }
      let mask: UInt16 = 1 &<< UInt16(origin)
      let next = origins[Int(origin)]
      if wild & mask != 0 { return nil }
      registers |= mask
      // From iteration to iteration it is the same register, or one below 2^32.
      if next == origin || next == RegisterEffects.below32 { continue }
      // Or, from the second iteration on, another one that stays the same and is accessed by itself in every iteration.
      guard instruction.index >= 16 || instruction.base >= 16, next < 16, origins[Int(next)] == next,
        wild &>> UInt16(next) & 1 == 0, narrowed & (mask | 1 &<< UInt16(next)) == 0,
        accessed &>> UInt16(next) & 1 != 0
      else { return nil }
      registers |= 1 &<< UInt16(next)
    }
    guard instruction.base < 16, instruction.index < 16 else { return registers }
    let base = current.origins[Int(instruction.base)]
    let index = current.origins[Int(instruction.index)]
    return isBounded(base, by: index) && isBounded(index, by: base) ? registers : nil
  }

  /// Whether accesses to the sum of two registers keep one of them from moving away: it does not move, or the other is the
  /// same in every iteration but for constants, or below 2^32 in every iteration.
  private func isBounded(_ origin: UInt8, by other: UInt8) -> Bool {
    if origin == RegisterEffects.below32 || moved &>> UInt16(origin) & 1 == 0 { return true }
    if other == RegisterEffects.below32 || origins[Int(other)] == RegisterEffects.below32 { return true }
    return (narrowed &>> UInt16(origin) | narrowed &>> UInt16(other)) & 1 == 0
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
    guard instruction.legacyOpcodeSize == 1 else { return nil }
    switch instruction.opcode {
    case 0x81, 0x83:
      return operation == 0 ? instruction.immediate : operation == 5 ? 0 &- instruction.immediate : nil
    case 0xff: return operation == 0 ? 1 : operation == 1 ? -1 : nil
    default: return nil
    }
  }

  /// MOV and LEA of another register, 64 bits, plus a constant.
  static func copy(_ instruction: Instruction, _ plan: RowPlan) -> (source: UInt8, size: Int64)? {
    guard instruction.operandSize == 64 else { return nil }
    if plan.template == .effectiveAddress {
      guard instruction.base < 16, instruction.index == Instruction.none, instruction.addressSize == 64 else {
        return nil
      }
      return (instruction.base, instruction.displacement)
    }
    guard !instruction.hasMemoryOperand, instruction.legacyOpcodeSize == 1 else { return nil }
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

  /// BSF and BSR: they leave their destination as it was when the source is zero.
  static func isBitScan(_ instruction: Instruction) -> Bool {
    instruction.legacyOpcodeSize == 2 && instruction.opcode & 0xfe == 0xbc
  }

  /// Registers that are narrow behind the instruction, and those that may be anything. Narrow: in [-2^31, 2^32), so that
  /// neither the register nor eight times it reaches over a guard area.
  static func narrowness(_ instruction: Instruction, _ plan: RowPlan) -> (narrow: UInt16, other: UInt16) {
    var other: UInt16 = plan.hasImplicitWrites ? 5 : 0
    if plan.writesCounter { other |= 2 }
    let mask = written(instruction, plan)
    if extendsAccumulator(instruction) { return (1, 0) }
    if plan.hasImplicitWrites { return (0, other | mask) }
    if mask == 0 || isPartial(plan) || instruction.operandSize == 16 { return (0, other) }
    if isBitScan(instruction) { return (0, other | mask) }
    let isNarrow = instruction.operandSize == 32 || isNarrowing(instruction)
    return isNarrow ? (mask & ~other, other) : (0, other | mask)
  }

  /// CWDE and CDQE, which write RAX alone.
  static func extendsAccumulator(_ instruction: Instruction) -> Bool {
    instruction.opcode == 0x98 && instruction.operandSize != 16 && instruction.modRMOffset == 0
      && instruction.prefixes.isDisjoint(with: [.vex, .evex])
  }

  /// Instructions of 64 bits whose result is narrow: MOVZX, MOVSX and MOVSXD, MOV of an immediate, AND with one that is not negative, SHR and
  /// SAR by at least 32.
  private static func isNarrowing(_ instruction: Instruction) -> Bool {
    if instruction.legacyOpcodeSize == 2 { return [0xb6, 0xbe].contains(instruction.opcode & 0xfe) }
    let operation = instruction.modRM &>> 3 & 7
    guard instruction.legacyOpcodeSize == 1 else { return false }
    switch instruction.opcode {
    case 0x63, 0xc7: return true
    case 0x81, 0x83: return operation == 4 && instruction.immediate >= 0
    case 0xc1: return (operation == 5 || operation == 7) && instruction.immediate & 63 >= 32
    default: return false
    }
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
