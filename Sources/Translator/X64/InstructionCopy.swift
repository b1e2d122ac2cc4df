// The instruction itself, with registers and memory operand replaced: the translator's main template. Prefixes, opcode and
// immediates are taken over as they are; REX, VEX or EVEX, ModRM, SIB and displacement are written anew.

import CHost
import X86

/// The host's register numbers for the encoded fields of one instruction.
struct EncodedFields {
  var reg: UInt8
  var rm: UInt8
  var vvvv: UInt8
  var opcode: UInt8
}

extension Instruction {
  /// Opcode bytes in front of ModRM, for encodings without VEX and EVEX; 0 for others.
  var legacyOpcodeSize: UInt8 {
    modRMOffset != 0 && prefixes.isDisjoint(with: [.vex, .evex]) ? modRMOffset &- opcodeOffset : 0
  }
}

extension BlockTranslator {
  /// Copies `instruction`; what cannot be copied is left to the interpreter.
  mutating func copy(_ instruction: Instruction, _ plan: RowPlan, _ bytes: UnsafePointer<UInt8>) {
    if Self.isBitString(instruction, plan) { return interpret() }
    if instruction.info.usesVSIB { return gather(instruction, plan, bytes) }
    if Self.usesHighByte(instruction, plan) { return copyHighByte(instruction, plan, bytes) }
    let usesCounter = plan.readsCounter || plan.writesCounter
    var memory: HostAddress?
    if instruction.hasMemoryOperand {
      let register = usesCounter ? HostRegister.secondScratch : HostRegister.scratch
      guard let address = place(instruction, in: register) else { return interpret() }
      memory = address
    }
    if memory == nil, moveState(instruction) { return finishWrites(instruction, plan) }
    if memory == nil, Self.isInPlace(instruction, plan) {
      memory = .state(StateOffset.general(instruction.rm & 15))
    }
    if usesCounter { assembler.move(HostRegister.scratch, HostRegister.guestCounter) }
    var scratches = Scratches(memory: memory, usesCounter: usesCounter, held: assembler.held)
    var fields = EncodedFields(
      reg: instruction.reg, rm: instruction.rm, vvvv: instruction.vvvv, opcode: instruction.opcodeRegister)
    guard
      // What may only be read comes first: what is only written can do with the address's register.
      assign(.vvvv, instruction.vvvv, &fields.vvvv, instruction, &scratches),
      assign(.reg, instruction.reg, &fields.reg, instruction, &scratches),
      memory != nil || assign(.rm, instruction.rm, &fields.rm, instruction, &scratches),
      assign(.opcode, instruction.opcodeRegister, &fields.opcode, instruction, &scratches)
    else { return interpret() }
    if scratches.tookFirst || usesCounter { guarded = .none }
    emit(instruction, bytes, fields, memory)
    scratches.storeAll(&assembler)
    if plan.writesCounter || (usesCounter && scratches.tookFirst) {
      assembler.move(HostRegister.guestCounter, HostRegister.scratch)
    }
    finishWrites(instruction, plan)
    if let held = scratches.held(narrow: RegisterEffects.narrowness(instruction, plan).narrow) {
      assembler.held = held
    }
  }

  /// A bit string's register operand moves the address far away.
  private static func isBitString(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    instruction.hasMemoryOperand && plan.isGeneral(.reg) && instruction.legacyOpcodeSize == 2
      && instruction.opcode & 0xe7 == 0xa3
  }

  // MARK: Registers that live in the CPU state

  /// Which scratch registers are free, and what has to be stored afterwards.
  private struct Scratches {
    private var first: UInt8 = HostRegister.none
    private var second: UInt8 = HostRegister.none
    private var storesFirst = false
    private var storesSecond = false
    private var isFirstFree: Bool
    private var isSecondFree: Bool
    private let isCounterMoved: Bool
    private let firstHost: UInt8
    private let old: HeldRegister

    /// When the first scratch register holds the counter, the counter's own one is free, unless the instruction can fault.
    init(memory: HostAddress?, usesCounter: Bool, held: HeldRegister) {
      old = held
      firstHost = usesCounter ? HostRegister.guestCounter : HostRegister.scratch
      isCounterMoved = usesCounter
      isFirstFree = usesCounter ? memory == nil : memory?.uses(HostRegister.scratch) != true
      isSecondFree = memory?.uses(HostRegister.secondScratch) != true
    }

    var tookFirst: Bool { first != HostRegister.none }

    /// A scratch register for guest register `number`; nil when none is left. `isNew`: it has to be loaded if it is read.
    mutating func take(_ number: UInt8, writes: Bool) -> (host: UInt8, isNew: Bool)? {
      if second == number {
        storesSecond = storesSecond || writes
        return (HostRegister.secondScratch, false)
      }
      if first == number {
        storesFirst = storesFirst || writes
        return (firstHost, false)
      }
      // The address may use a held register that is an operand as well.
      if (isSecondFree || number == old.number) && second == HostRegister.none {
        (second, storesSecond) = (number, writes)
        return (HostRegister.secondScratch, number != old.number)
      }
      if isFirstFree && first == HostRegister.none {
        (first, storesFirst) = (number, writes)
        return (firstHost, true)
      }
      return nil
    }

    /// A scratch register that the address of a memory operand is in, for guest register `number`, which is written when memory has been read.
    mutating func takeFromAddress(_ number: UInt8) -> UInt8? {
      if isCounterMoved { return nil }
      if first == HostRegister.none {
        (first, storesFirst) = (number, true)
        return firstHost
      }
      if second != HostRegister.none { return nil }
      (second, storesSecond) = (number, true)
      return HostRegister.secondScratch
    }

    /// What the second scratch register holds after an instruction that makes the registers of `narrow` less than 2^32; nil
    /// when it was not taken.
    func held(narrow: UInt16) -> HeldRegister? {
      if second == HostRegister.none { return nil }
      let isOwn = storesSecond ? narrow &>> UInt16(second) & 1 != 0 : second == old.number && old.isNarrow
      return HeldRegister(number: second, isNarrow: isOwn)
    }

    func storeAll(_ assembler: inout Assembler) {
      if storesSecond { assembler.storeState(HostRegister.secondScratch, StateOffset.general(second)) }
      if storesFirst { assembler.storeState(firstHost, StateOffset.general(first)) }
    }
  }

  /// Replaces the register in `field` when it is a general one. False: no scratch register is left.
  private mutating func assign(
    _ field: RowPlan.Field, _ number: UInt8, _ host: inout UInt8, _ instruction: Instruction,
    _ scratches: inout Scratches
  ) -> Bool {
    guard plan.isGeneral(field) else { return true }
    host = HostRegister.holding(number & 15)
    if host != HostRegister.inState { return true }
    let needsOldValue = Self.needsOldValue(instruction, plan, number & 15)
    guard let taken = scratches.take(number & 15, writes: plan.writes(field)) else {
      // MULX has two results.
      guard plan.writes(field), !needsOldValue, let freed = scratches.takeFromAddress(number & 15) else {
        return false
      }
      host = freed
      return true
    }
    host = taken.host
    if taken.isNew && needsOldValue {
      assembler.loadState(host, StateOffset.general(number & 15))
    }
    return true
  }

  /// Whether the instruction uses what register `number` held before: by reading it through any field, or by writing only a
  /// part of it.
  private static func needsOldValue(_ instruction: Instruction, _ plan: RowPlan, _ number: UInt8) -> Bool {
    if instruction.operandSize == 16 || RegisterEffects.isBitScan(instruction) { return true }
    if isZeroing(instruction) { return false }
    func uses(_ field: RowPlan.Field, _ encoded: UInt8) -> Bool {
      plan.isGeneral(field) && encoded & 15 == number && (plan.reads(field) || plan.isByte(field))
    }
    return uses(.reg, instruction.reg) || (uses(.rm, instruction.rm) && !instruction.hasMemoryOperand)
      || uses(.vvvv, instruction.vvvv) || uses(.opcode, instruction.opcodeRegister)
  }

  /// XOR and SUB of a register with itself.
  private static func isZeroing(_ instruction: Instruction) -> Bool {
    (instruction.opcode & 0xfd == 0x31 || instruction.opcode & 0xfd == 0x29) && isOneByte(instruction)
      && instruction.rm == instruction.reg
  }

  /// One opcode byte, and ModRM names a register.
  private static func isOneByte(_ instruction: Instruction) -> Bool {
    !instruction.hasMemoryOperand && instruction.legacyOpcodeSize == 1
  }

  /// MOV between registers of which one is in the CPU state: one load, or one store. False: nothing was done.
  private mutating func moveState(_ instruction: Instruction) -> Bool {
    guard instruction.opcode == 0x89 || instruction.opcode == 0x8b, Self.isOneByte(instruction)
    else {
      return false
    }
    let isStore = instruction.opcode == 0x89
    let (to, from) = isStore ? (instruction.rm, instruction.reg) : (instruction.reg, instruction.rm)
    let (target, source) = (HostRegister.holding(to & 15), HostRegister.holding(from & 15))
    if source == HostRegister.inState && target != HostRegister.inState {
      let place = HostOperand.memory(.state(StateOffset.general(from & 15)))
      switch instruction.operandSize {
      case 64: assembler.wide(0x8b, target, place)
      case 32: assembler.narrow(0x8b, target, place)
      default: return false
      }
      return true
    }
    guard instruction.operandSize == 64, target == HostRegister.inState else { return false }
    let held = holding(from, loadedInto: HostRegister.secondScratch)
    assembler.storeState(held, StateOffset.general(to & 15))
    return true
  }

  /// Whether an operation on a register in the CPU state is done there: 64 bits, read and written through ModRM.rm.
  /// Operations that only read are not: processors follow a register that is stored and loaded, not one that is stored and
  /// then an operand in memory.
  private static func isInPlace(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    guard instruction.operandSize == 64, isOneByte(instruction), plan.isGeneral(.rm), plan.writes(.rm),
      !plan.isByte(.rm), HostRegister.holding(instruction.rm & 15) == HostRegister.inState
    else { return false }
    switch instruction.opcode {
    case 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31:
      return HostRegister.holding(instruction.reg & 15) != HostRegister.inState
    case 0x81, 0x83, 0xc1, 0xc7, 0xd1, 0xf7, 0xff: return true
    default: return false
    }
  }

  /// After the instruction: what was written is not what the guard saw.
  mutating func finishWrites(_ instruction: Instruction, _ plan: RowPlan) {
    noteImplicitWrites(instruction, plan)
    if plan.isGeneral(.reg) && plan.writes(.reg) { wrote(instruction.reg & 15, instruction, plan) }
    if plan.isGeneral(.rm) && plan.writes(.rm) && !instruction.hasMemoryOperand {
      wrote(instruction.rm & 15, instruction, plan)
    }
    if plan.isGeneral(.vvvv) && plan.writes(.vvvv) { wrote(instruction.vvvv & 15, instruction, plan) }
    if plan.isGeneral(.opcode) && plan.writes(.opcode) {
      wrote(instruction.opcodeRegister & 15, instruction, plan)
    }
  }

  mutating func noteImplicitWrites(_ instruction: Instruction, _ plan: RowPlan) {
    if plan.hasImplicitWrites {
      noteWrite(GuestRegister.rax, by: nil)
      if !RegisterEffects.extendsAccumulator(instruction) { noteWrite(GuestRegister.rdx, by: nil) }
    }
    if plan.writesCounter { noteWrite(GuestRegister.rcx, by: nil) }
  }

  mutating func wrote(_ number: UInt8, _ instruction: Instruction, _ plan: RowPlan) {
    let step = RegisterEffects.constantStep(instruction, plan)
    noteWrite(number, by: step)
    if number == GuestRegister.rsp { wroteStackPointer(by: step) }
  }

  /// Guest register `number` was written: `step` was added to it, or nil: anything.
  mutating func noteWrite(_ number: UInt8, by step: Int64?) {
    if assembler.held.number == number { assembler.held = HeldRegister() }
    assembler.held.guarded.follow(number, step)
    guarded.follow(number, step)
  }

  // MARK: LEA

  /// LEA computes with guest addresses: no window, no guard.
  mutating func effectiveAddress(_ instruction: Instruction, _ plan: RowPlan, _ bytes: UnsafePointer<UInt8>) {
    let home = HostRegister.holding(instruction.reg & 15)
    let destination = home == HostRegister.inState ? HostRegister.secondScratch : home
    let isNarrow = instruction.operandSize == 32 || instruction.addressSize == 32
    if instruction.operandSize == 16 { return interpret() }
    if instruction.base == Instruction.relative {
      let target = next &+ UInt64(bitPattern: instruction.displacement)
      assembler.move(destination, constant: isNarrow ? target & 0xffff_ffff : target)
    } else {
      var host = HostAddress(
        displacement: Int32(truncatingIfNeeded: instruction.displacement), isGuest: false)
      if instruction.base != Instruction.none {
        host.base = holding(instruction.base, loadedInto: HostRegister.secondScratch)
        if instruction.base == GuestRegister.rsp { host.displacement &+= stackDelta }
      }
      if instruction.index != Instruction.none {
        let isTaken = host.base == HostRegister.secondScratch
        host.index = holding(
          instruction.index, loadedInto: isTaken ? HostRegister.scratch : HostRegister.secondScratch)
        host.scale = instruction.scale
      }
      if isNarrow {
        assembler.narrow(0x8d, destination, .memory(host))
      } else {
        assembler.wide(0x8d, destination, .memory(host))
      }
    }
    if home == HostRegister.inState {
      assembler.storeState(destination, StateOffset.general(instruction.reg & 15))
    }
    let step = RegisterEffects.constantStep(instruction, plan)
    noteWrite(instruction.reg & 15, by: step)
    if home == HostRegister.inState {
      assembler.held = HeldRegister(number: instruction.reg & 15, isNarrow: isNarrow)
    }
    guard instruction.reg & 15 == GuestRegister.rsp else { return }
    stackDelta = 0
    wroteStackPointer(by: step)
  }

  // MARK: Encoding

  /// Writes the instruction with other registers.
  mutating func emit(
    _ instruction: Instruction, _ bytes: UnsafePointer<UInt8>, _ fields: EncodedFields, _ memory: HostAddress?
  ) {
    let operand: HostOperand = memory.map { .memory($0) } ?? .register(fields.rm)
    if memory?.isGuest == true { assembler.byte(0x65) }
    if instruction.prefixes.contains(.evex) {
      emitEVEX(instruction, bytes, fields, operand)
    } else if instruction.prefixes.contains(.vex) {
      emitVEX(instruction, bytes, fields, operand)
    } else {
      emitLegacy(instruction, bytes, fields, operand)
    }
    assembler.bytes(bytes, Int(instruction.immediateOffset)..<Int(instruction.length))
  }

  private mutating func emitLegacy(
    _ instruction: Instruction, _ bytes: UnsafePointer<UInt8>, _ fields: EncodedFields, _ operand: HostOperand
  ) {
    if instruction.prefixes.contains(.lock) { assembler.byte(0xf0) }
    if instruction.prefixes.contains(.operandSize) { assembler.byte(0x66) }
    if instruction.prefixes.contains(.rep) { assembler.byte(0xf3) }
    if instruction.prefixes.contains(.repne) { assembler.byte(0xf2) }
    let hasModRM = instruction.modRMOffset != 0
    var rex: UInt8 = hasModRM ? Assembler.extensions(fields.reg, operand) : fields.opcode &>> 3 & 1
    if instruction.prefixes.contains(.w) { rex |= 8 }
    if rex != 0 || instruction.prefixes.contains(.rex) { assembler.byte(0x40 | rex) }
    let opcode = Int(instruction.opcodeOffset)
    guard hasModRM else {
      let last = Int(instruction.immediateOffset) &- 1
      assembler.bytes(bytes, opcode..<last)
      // An opcode that holds a register number has it in the low three bits; others are equal to the guest's.
      assembler.byte(
        instruction.opcode & 0xf8
          | (plan.isGeneral(.opcode) ? fields.opcode & 7 : instruction.opcode & 7))
      return
    }
    assembler.bytes(bytes, opcode..<Int(instruction.modRMOffset))
    assembler.operands(fields.reg, operand)
  }

  private mutating func emitVEX(
    _ instruction: Instruction, _ bytes: UnsafePointer<UInt8>, _ fields: EncodedFields, _ operand: HostOperand
  ) {
    let first = bytes[Int(instruction.opcodeOffset)]
    let isShort = first == 0xc5
    let map: UInt8 = isShort ? 1 : bytes[Int(instruction.opcodeOffset) &+ 1] & 31
    let last = bytes[Int(instruction.opcodeOffset) &+ (isShort ? 1 : 2)]
    let w: UInt8 = isShort ? 0 : last & 0x80
    let inverted = ~Assembler.extensions(fields.reg, operand)
    assembler.byte(first == 0x8f ? 0x8f : 0xc4)
    assembler.byte((inverted & 7) &<< 5 | map)
    assembler.byte(w | (~fields.vvvv & 15) &<< 3 | last & 7)
    assembler.byte(instruction.opcode)
    // Opcodes without ModRM (VZEROUPPER) end here.
    if instruction.modRMOffset != 0 { assembler.operands(fields.reg, operand) }
  }

  private mutating func emitEVEX(
    _ instruction: Instruction, _ bytes: UnsafePointer<UInt8>, _ fields: EncodedFields, _ operand: HostOperand
  ) {
    let prefix = Int(instruction.opcodeOffset)
    let (first, second, third) = (bytes[prefix &+ 1], bytes[prefix &+ 2], bytes[prefix &+ 3])
    var inverted = ~Assembler.extensions(fields.reg, operand) & 7
    var highV = ~fields.vvvv &>> 4 & 1
    switch operand {
    case .register(let number): inverted = inverted & 5 | (~number &>> 4 & 1) &<< 1
    case .memory(let address):
      // With a vector of indices V' is the index's highest bit.
      if instruction.info.usesVSIB { highV = ~address.index &>> 4 & 1 }
    }
    assembler.byte(0x62)
    assembler.byte(inverted &<< 5 | (~fields.reg &>> 4 & 1) &<< 4 | first & 0xf)
    assembler.byte(second & 0x87 | (~fields.vvvv & 15) &<< 3)
    assembler.byte(third & 0xf7 | highV &<< 3)
    assembler.byte(instruction.opcode)
    assembler.operands(fields.reg, operand, scaledDisplacement: true)
  }
}
