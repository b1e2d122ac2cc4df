// PUSH, POP, LEAVE, and what keeps the guest's stack pointer cheap and harmless.
//
// Cheap: PUSH, POP and accesses relative to RSP only count how far RSP is from its host register; the register is settled
// before anything else uses it and before the block is left. Every entry notes the difference, for faults.
//
// Harmless: accesses through RSP need no guard, because it is guarded where it is written. Invariant at every border of two
// blocks, and at every access: the host register is within the window or less than a guard area away from it. PUSH, POP,
// CALL and RET touch memory where they move it to, so it cannot walk over a guard area. ADD and SUB of a constant up to
// 1 MiB are proven by the next access through it; when none comes before the block is left, `proveStack` makes one. For all
// other writes, `guardStack` does what the guard does for addresses, and leaves when that changes the value.

import CHost
import X86

extension BlockTranslator {
  /// RSP was written: `step` was added to it, or nil: anything.
  mutating func wroteStackPointer(by step: Int64?) {
    if let step, step.magnitude <= 1 &<< 20 { isStackUnproven = true } else { guardStack() }
  }

  /// RSP is not what its host register holds: whether the instruction uses it otherwise than as a plain base or by PUSH and
  /// POP.
  func needsSettledStack(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    switch plan.template {
    case .push, .pop, .copy, .effectiveAddress: break
    case .nothing, .ret, .leave: return false
    default: return true
    }
    if stackDelta.magnitude > 1024 { return true }
    let rsp = GuestRegister.rsp
    if instruction.hasMemoryOperand && instruction.base == rsp {
      let isPlain = instruction.index == Instruction.none && instruction.addressSize == 64
      let displacement = instruction.displacement.magnitude
      if !isPlain || Self.hasSegmentBase(instruction) || displacement > 1 &<< 30 { return true }
    }
    return (plan.isGeneral(.reg) && instruction.reg == rsp && plan.template != .effectiveAddress)
      || (plan.isGeneral(.rm) && !instruction.hasMemoryOperand && instruction.rm == rsp)
      || (plan.isGeneral(.vvvv) && instruction.vvvv == rsp)
      || (plan.isGeneral(.opcode) && instruction.opcodeRegister == rsp)
  }

  /// The host register becomes RSP itself.
  mutating func settleStackPointer() {
    if stackDelta == 0 { return }
    assembler.add(HostRegister.guestStack, stackDelta)
    stackDelta = 0
  }

  /// Before every place where a block can be left, and before the current instruction has done anything: settles RSP, and
  /// proves it if it moved and nothing has been accessed through it since.
  mutating func settleStack() {
    settleStackPointer()
    if isStackUnproven { proveStack() }
  }

  /// Reads at RSP, which takes a load; a guard takes three shifts, for which all that uses RSP waits. Should nothing be there, the
  /// interpreter executes the current instruction, and the next translation guards instead (`handleFault`).
  private mutating func proveStack() {
    if plan.isWide || cache.exceptions.addresses.contains(address) || !options.isGuarded {
      return guardStack(goingOnAt: address, executed: count &- 1)
    }
    addEntry()
    assembler.load(HostRegister.scratch, atStack(0))
    guarded = .none
    isStackUnproven = false
  }

  /// The current instruction wrote RSP.
  mutating func guardStack() { guardStack(goingOnAt: next, executed: count) }

  /// RSP holds anything. Negative numbers leave for the run loop, which interprets from `target` until RSP is sane.
  mutating func guardStack(goingOnAt target: UInt64, executed: Int) {
    isStackUnproven = false
    guard options.isGuarded else { return }
    guardInPlace(HostRegister.guestStack, else: addSite(.wildStack, target: target, executed: executed))
  }

  /// Guest memory at RSP + `offset`.
  private func atStack(_ offset: Int32) -> HostAddress {
    HostAddress(base: HostRegister.guestStack, displacement: stackDelta &+ offset)
  }

  mutating func push(_ instruction: Instruction) {
    guard instruction.operandSize == 64 else { return interpret() }
    let operand = instruction.info.operand(0)
    if operand.kind == .immediate {
      assembler.wide(0xc7, 0, .memory(atStack(-8)))
      assembler.word32(Int32(truncatingIfNeeded: instruction.immediate))
    } else if operand.kind == .general && instruction.hasMemoryOperand {
      guard let address = place(instruction, in: HostRegister.scratch) else { return interpret() }
      assembler.load(HostRegister.secondScratch, address)
      assembler.store(HostRegister.secondScratch, atStack(-8))
    } else if operand.kind == .general {
      let number = operand.letter == .opcode ? instruction.opcodeRegister : instruction.rm
      assembler.store(holding(number, loadedInto: HostRegister.secondScratch), atStack(-8))
    } else {
      return interpret()
    }
    stackDelta &-= 8
    stackTouched()
  }

  mutating func pop(_ instruction: Instruction) {
    let operand = instruction.info.operand(0)
    guard instruction.operandSize == 64, operand.kind == .general else { return interpret() }
    if instruction.hasMemoryOperand { return popToMemory(instruction) }
    let number = (operand.letter == .opcode ? instruction.opcodeRegister : instruction.rm) & 15
    let home = HostRegister.holding(number)
    noteWrite(number, by: nil)
    if home == HostRegister.inState {
      assembler.load(HostRegister.secondScratch, atStack(0))
      assembler.storeState(HostRegister.secondScratch, StateOffset.general(number))
      assembler.held.number = number
    } else {
      assembler.load(home, atStack(0))
    }
    stackTouched()
    guard number == GuestRegister.rsp else {
      stackDelta &+= 8
      return
    }
    stackDelta = 0
    guardStack()
  }

  /// POP m64. An address relative to RSP is computed with what RSP is behind the instruction. SBCL's functions begin with one.
  private mutating func popToMemory(_ instruction: Instruction) {
    let usesStack = instruction.base == GuestRegister.rsp
    let isPlain =
      instruction.index == Instruction.none && instruction.addressSize == 64
      && !Self.hasSegmentBase(instruction) && !options.treatsStackAsPointer
    keepsSecondFree = true
    defer { keepsSecondFree = false }
    guard !usesStack || isPlain, var address = place(instruction, in: HostRegister.scratch),
      !address.uses(HostRegister.secondScratch)
    else { return interpret() }
    if usesStack { address.displacement &+= 8 }
    assembler.load(HostRegister.secondScratch, atStack(0))
    assembler.store(HostRegister.secondScratch, address)
    stackDelta &+= 8
    stackTouched()
  }

  /// LEAVE: RSP = RBP, then POP RBP. The load goes through a guarded copy, from which RSP is made.
  mutating func leaveFrame(_ instruction: Instruction) {
    guard instruction.operandSize == 64 else { return interpret() }
    if options.isGuarded {
      applyGuard(HostRegister.guestFrame, into: HostRegister.scratch)
    } else {
      assembler.move(HostRegister.scratch, HostRegister.guestFrame)
    }
    assembler.load(HostRegister.secondScratch, HostAddress(base: HostRegister.scratch))
    assembler.loadEffectiveAddress(
      HostRegister.guestStack, HostAddress(base: HostRegister.scratch, displacement: 8))
    assembler.move(HostRegister.guestFrame, HostRegister.secondScratch)
    stackDelta = 0
    guarded = .none
    stackTouched()
  }

  /// Memory at RSP was accessed.
  mutating func stackTouched() {
    isStackUnproven = false
    noteWrite(GuestRegister.rsp, by: nil)
  }
}
