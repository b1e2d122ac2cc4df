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

extension BlockTranslator {
  /// Copies `instruction`; what cannot be copied is left to the interpreter.
  mutating func copy(_ instruction: Instruction, _ plan: RowPlan, _ bytes: UnsafePointer<UInt8>) {
    if isBitString(instruction, plan) { return interpret() }
    if instruction.info.usesVSIB { return gather(instruction, plan, bytes) }
    if usesHighByte(instruction, plan) { return copyHighByte(instruction, plan, bytes) }
    let usesCounter = plan.readsCounter || plan.writesCounter
    var memory: HostAddress?
    if instruction.hasMemoryOperand {
      let register = usesCounter ? HostRegister.secondScratch : HostRegister.scratch
      guard let address = place(instruction, in: register) else { return interpret() }
      memory = address
    }
    var scratches = Scratches(memory: memory, usesCounter: usesCounter)
    var fields = EncodedFields(
      reg: instruction.reg, rm: instruction.rm, vvvv: instruction.vvvv, opcode: instruction.opcodeRegister)
    guard
      assign(.reg, instruction.reg, &fields.reg, plan, &scratches),
      memory != nil || assign(.rm, instruction.rm, &fields.rm, plan, &scratches),
      assign(.vvvv, instruction.vvvv, &fields.vvvv, plan, &scratches),
      assign(.opcode, instruction.opcodeRegister, &fields.opcode, plan, &scratches)
    else { return interpret() }
    if scratches.tookFirst || usesCounter { guarded = .none }
    if usesCounter { assembler.move(HostRegister.scratch, HostRegister.guestCounter) }
    emit(instruction, bytes, fields, memory)
    if plan.writesCounter { assembler.move(HostRegister.guestCounter, HostRegister.scratch) }
    scratches.storeAll(&assembler)
    finishWrites(instruction, plan)
  }

  /// A bit string's register operand moves the address far away.
  private func isBitString(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    guard instruction.hasMemoryOperand, plan.isGeneral(.reg),
      instruction.prefixes.isDisjoint(with: [.vex, .evex]),
      instruction.modRMOffset == instruction.opcodeOffset &+ 2
    else { return false }
    return instruction.opcode & 0xe7 == 0xa3
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

    init(memory: HostAddress?, usesCounter: Bool) {
      isFirstFree = !usesCounter && memory?.uses(HostRegister.scratch) != true
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
        return (HostRegister.scratch, false)
      }
      if isSecondFree && second == HostRegister.none {
        (second, storesSecond) = (number, writes)
        return (HostRegister.secondScratch, true)
      }
      if isFirstFree && first == HostRegister.none {
        (first, storesFirst) = (number, writes)
        return (HostRegister.scratch, true)
      }
      return nil
    }

    func storeAll(_ assembler: inout Assembler) {
      if storesSecond { assembler.storeState(HostRegister.secondScratch, StateOffset.general(second)) }
      if storesFirst { assembler.storeState(HostRegister.scratch, StateOffset.general(first)) }
    }
  }

  /// Replaces the register in `field` when it is a general one. False: no scratch register is left.
  private mutating func assign(
    _ field: RowPlan.Field, _ number: UInt8, _ host: inout UInt8, _ plan: RowPlan,
    _ scratches: inout Scratches
  ) -> Bool {
    guard plan.isGeneral(field) else { return true }
    host = HostRegister.holding(number & 15)
    if host != HostRegister.inState { return true }
    guard let taken = scratches.take(number & 15, writes: plan.writes(field)) else { return false }
    host = taken.host
    // Two fields of one register may differ in what they need; loading is always right.
    if taken.isNew && (plan.reads(field) || plan.word & 0x5500 != 0) {
      assembler.loadState(host, StateOffset.general(number & 15))
    }
    return true
  }

  /// After the instruction: what was written is not what the guard saw.
  mutating func finishWrites(_ instruction: Instruction, _ plan: RowPlan) {
    if plan.hasImplicitWrites { guarded = .none }
    if plan.isGeneral(.reg) && plan.writes(.reg) { wrote(instruction.reg & 15, instruction, plan) }
    if plan.isGeneral(.rm) && plan.writes(.rm) && !instruction.hasMemoryOperand {
      wrote(instruction.rm & 15, instruction, plan)
    }
    if plan.isGeneral(.vvvv) && plan.writes(.vvvv) { wrote(instruction.vvvv & 15, instruction, plan) }
    if plan.isGeneral(.opcode) && plan.writes(.opcode) {
      wrote(instruction.opcodeRegister & 15, instruction, plan)
    }
  }

  private mutating func wrote(_ number: UInt8, _ instruction: Instruction, _ plan: RowPlan) {
    noteWrite(number, by: RegisterEffects.constantStep(instruction, plan))
    guard number == GuestRegister.rsp else { return }
    // ADD and SUB of a small constant (83, 81 /0 and /5).
    let isSum = instruction.opcode == 0x83 || instruction.opcode == 0x81
    let isSmall = isSum && (instruction.modRM & 0x38 == 0 || instruction.modRM & 0x38 == 0x28)
    if isSmall && instruction.operandSize == 64 && !plan.isByte(.rm)
      && instruction.immediate.magnitude <= 1 &<< 20
    {
      stackMoved()
    } else {
      guardStack()
    }
  }

  /// Guest register `number` was written: `step` was added to it, or nil: anything.
  private mutating func noteWrite(_ number: UInt8, by step: Int64?) {
    guard guarded.uses(number) else { return }
    guard let step, step.magnitude <= 1 &<< 20, guardedOffset.magnitude <= 1 &<< 24 else {
      return guarded = .none
    }
    switch guarded {
    case .base: guardedOffset &+= Int32(truncatingIfNeeded: step)
    case .sum(let base, let index, let scale):
      if base == number { guardedOffset &+= Int32(truncatingIfNeeded: step) }
      if index == number { guardedOffset &+= Int32(truncatingIfNeeded: step &<< Int64(scale)) }
    default: break
    }
  }

  // MARK: AH, CH, DH, BH

  /// Whether a field names the second byte of a register, which no instruction with REX can do.
  private func usesHighByte(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    guard plan.word & 0xaa != 0, instruction.prefixes.isDisjoint(with: [.rex, .vex, .evex]) else {
      return false
    }
    return (plan.isByte(.reg) && instruction.reg & 4 != 0)
      || (plan.isByte(.rm) && !instruction.hasMemoryOperand && instruction.rm & 4 != 0)
      || (plan.isByte(.opcode) && instruction.opcodeRegister & 4 != 0)
  }

  /// The copy must do without REX: RCX (and CH) is moved to the host's RCX; RSP and RBP can only be the wider operand of
  /// MOVZX and MOVSX, which then goes through RCX as well.
  private mutating func copyHighByte(
    _ instruction: Instruction, _ plan: RowPlan, _ bytes: UnsafePointer<UInt8>
  ) {
    var fields = EncodedFields(
      reg: instruction.reg, rm: instruction.rm, vvvv: 0, opcode: instruction.opcodeRegister)
    let namesRM = plan.isGeneral(.rm) && !instruction.hasMemoryOperand
    func isCounter(_ field: RowPlan.Field, _ number: UInt8) -> Bool {
      plan.isGeneral(field) && (plan.isByte(field) ? number & 3 : number) == GuestRegister.rcx
    }
    let usesCounter =
      plan.readsCounter || isCounter(.reg, instruction.reg) || (namesRM && isCounter(.rm, instruction.rm))
      || isCounter(.opcode, instruction.opcodeRegister)
    let wide = plan.isGeneral(.reg) && !plan.isByte(.reg) ? instruction.reg : HostRegister.none
    let isMoved = wide == GuestRegister.rsp || wide == GuestRegister.rbp
    var memory: HostAddress?
    if instruction.hasMemoryOperand {
      // One register has to hold the address: known ranges of single registers are of no use.
      narrow = 0
      needsOneRegister = true
      defer { needsOneRegister = false }
      guard !usesCounter, let address = place(instruction, in: HostRegister.scratch) else {
        return interpret()
      }
      // Only plain RCX does without REX.
      if address.base != HostRegister.scratch || address.index != HostRegister.none {
        guarded = .none
        assembler.loadEffectiveAddress(HostRegister.scratch, address)
        memory = HostAddress(base: HostRegister.scratch)
      } else {
        memory = address
      }
    }
    if usesCounter && isMoved { return interpret() }
    if usesCounter || isMoved { guarded = .none }
    if usesCounter { assembler.move(HostRegister.scratch, HostRegister.guestCounter) }
    if isMoved {
      fields.reg = HostRegister.scratch
      // A 16-bit destination keeps the rest of the register; CRC32 reads it.
      if instruction.operandSize == 16 || plan.reads(.reg) {
        assembler.move(HostRegister.scratch, HostRegister.holding(wide))
      }
    }
    emit(instruction, bytes, fields, memory)
    if isMoved { assembler.move(HostRegister.holding(wide), HostRegister.scratch) }
    if usesCounter { assembler.move(HostRegister.guestCounter, HostRegister.scratch) }
    for number in [instruction.reg & 3, instruction.rm & 3, instruction.opcodeRegister & 3]
    where guarded.uses(number) {
      guarded = .none
    }
    if wide != HostRegister.none && guarded.uses(wide) { guarded = .none }
    if wide == GuestRegister.rsp { guardStack() }
    if plan.hasImplicitWrites { guarded = .none }
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
    noteWrite(instruction.reg & 15, by: RegisterEffects.constantStep(instruction, plan))
    guard instruction.reg & 15 == GuestRegister.rsp else { return }
    stackDelta = 0
    let isSmall = instruction.base == GuestRegister.rsp && instruction.index == Instruction.none && !isNarrow
    if isSmall && instruction.displacement.magnitude <= 1 &<< 20 { stackMoved() } else { guardStack() }
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
