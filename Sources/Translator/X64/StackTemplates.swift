// PUSH, POP, LEAVE, and what keeps the guest's stack pointer harmless, so that accesses through it need no guard: it is
// guarded where it is written instead.
//
// Invariant at every border of two blocks, and at every access through it: the host register of RSP is within the window
// or less than 4 GiB away from it. PUSH, POP, CALL and RET move it by a few bytes and touch memory there, so it cannot walk
// over a guard area. ADD and SUB of a constant up to 1 MiB are proven by the next access through it; when none comes
// before the block is left, and for all other writes, `guardStack` does what the guard does for addresses, and leaves when
// that changes the value.

import CHost
import X86

extension BlockTranslator {
  private static let top = HostAddress(base: HostRegister.guestStack)
  private static let below = HostAddress(base: HostRegister.guestStack, displacement: -8)

  /// RSP moved by a small constant.
  mutating func stackMoved() { isStackUnproven = true }

  /// Guards RSP if it moved and nothing has been accessed through it since. Called before the current instruction has done
  /// anything, wherever a block can be left.
  mutating func proveStack() {
    if isStackUnproven { guardStack(goingOnAt: address, executed: count &- 1) }
  }

  /// The current instruction wrote RSP.
  mutating func guardStack() { guardStack(goingOnAt: next, executed: count) }

  /// RSP holds anything. Negative numbers leave for the run loop, which interprets from `target` until RSP is sane.
  mutating func guardStack(goingOnAt target: UInt64, executed: Int) {
    isStackUnproven = false
    guard options.isGuarded else { return }
    guarded = .none
    assembler.shiftRight(HostRegister.scratch, HostRegister.guestStack, by: HostRegister.state)
    let fine = assembler.jumpIfScratchZero()
    jump(to: addSite(.wildStack, target: target, executed: executed))
    assembler.completeShort(fine)
    assembler.shiftRight(HostRegister.guestStack, HostRegister.guestStack, by: HostRegister.scratch)
  }

  mutating func push(_ instruction: Instruction) {
    guard instruction.operandSize == 64 else { return interpret() }
    let operand = instruction.info.operand(0)
    if operand.kind == .immediate {
      assembler.wide(0xc7, 0, .memory(BlockTranslator.below))
      assembler.word32(Int32(truncatingIfNeeded: instruction.immediate))
    } else if instruction.hasMemoryOperand {
      guard let address = place(instruction, in: HostRegister.scratch) else { return interpret() }
      assembler.load(HostRegister.secondScratch, address)
      assembler.store(HostRegister.secondScratch, BlockTranslator.below)
    } else if operand.kind == .general {
      let number = operand.letter == .opcode ? instruction.opcodeRegister : instruction.rm
      let source = holding(number, loadedInto: HostRegister.secondScratch)
      assembler.store(source, BlockTranslator.below)
    } else {
      return interpret()
    }
    assembler.add(HostRegister.guestStack, -8)
    stackTouched()
  }

  mutating func pop(_ instruction: Instruction) {
    let operand = instruction.info.operand(0)
    guard instruction.operandSize == 64, operand.kind == .general, !instruction.hasMemoryOperand else {
      return interpret()
    }
    let number = (operand.letter == .opcode ? instruction.opcodeRegister : instruction.rm) & 15
    let home = HostRegister.holding(number)
    if home == HostRegister.inState {
      assembler.load(HostRegister.secondScratch, BlockTranslator.top)
      assembler.storeState(HostRegister.secondScratch, StateOffset.general(number))
    } else {
      assembler.load(home, BlockTranslator.top)
    }
    stackTouched()
    if guarded.uses(number) { guarded = .none }
    if number == GuestRegister.rsp { return guardStack() }
    assembler.add(HostRegister.guestStack, 8)
  }

  /// LEAVE: RSP = RBP, then POP RBP. The load goes through a guarded copy, from which RSP is made.
  mutating func leaveFrame(_ instruction: Instruction) {
    guard instruction.operandSize == 64 else { return interpret() }
    if options.isGuarded {
      assembler.shiftRight(HostRegister.scratch, HostRegister.guestFrame, by: HostRegister.state)
      assembler.shiftRight(HostRegister.scratch, HostRegister.guestFrame, by: HostRegister.scratch)
    } else {
      assembler.move(HostRegister.scratch, HostRegister.guestFrame)
    }
    assembler.load(HostRegister.secondScratch, HostAddress(base: HostRegister.scratch))
    assembler.loadEffectiveAddress(
      HostRegister.guestStack, HostAddress(base: HostRegister.scratch, displacement: 8))
    assembler.move(HostRegister.guestFrame, HostRegister.secondScratch)
    guarded = .none
    stackTouched()
  }

  /// Memory at RSP was accessed.
  mutating func stackTouched() {
    isStackUnproven = false
    if guarded.uses(GuestRegister.rsp) { guarded = .none }
  }
}
