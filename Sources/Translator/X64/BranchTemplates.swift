// Control transfers. Direct branches are jumps that are linked to their target's block; calls and returns are the host's own
// CALL and RET, so that its return-address predictor works; indirect branches go through a table.
//
// A guest CALL executes a host CALL over a *landing*: code that the matching host RET arrives at. It compares the guest's
// return address, which RET has left in the scratch register, with the one that this CALL pushed, and is therefore right
// however the guest treats its stack: where they differ, the branch is treated as an indirect one. Landings and indirect
// entries compare without flags: LEA subtracts, JRCXZ tells zero.

import CHost
import X86

extension BlockTranslator {
  // MARK: Direct

  /// A conditional branch; the block goes on behind it.
  mutating func branch(if condition: UInt8, to target: UInt64) {
    proveStack()
    if options.countsInstructions {
      let taken = assembler.shortJump(if: condition ^ 1)
      refund(count)
      branch(to: target)
      assembler.completeShort(taken)
      return
    }
    let number = addSite(.branch, target: target, executed: count)
    alignPatch(2)
    let place = assembler.jump(if: condition)
    cache.sites[number].patch = offset(place)
  }

  /// Goes on at `target`, whose block may be this one.
  mutating func branch(to target: UInt64) {
    jump(to: addSite(.branch, target: target, executed: count))
  }

  mutating func jump(_ instruction: Instruction) {
    if instruction.info.operand(0).kind == .relative {
      return leave(to: next &+ UInt64(bitPattern: instruction.immediate))
    }
    guard loadTarget(instruction) else { return interpret() }
    proveStack(keepingTarget: true)
    indirectJump()
    isEnded = true
  }

  mutating func systemCall() {
    if isStackUnproven { proveStack() }
    jump(to: addSite(.systemCall, target: next, executed: count))
    isEnded = true
  }

  mutating func loop(_ instruction: Instruction, _ template: RowPlan.Template) {
    guard instruction.addressSize == 64 else { return interpret() }
    proveStack()
    guarded = .none
    let counter = HostRegister.guestCounter
    if template != .jumpIfCounterZero { assembler.add(counter, -1) }
    assembler.move(HostRegister.scratch, counter)
    let zero = assembler.jumpIfScratchZero()
    let target = next &+ UInt64(bitPattern: instruction.immediate)
    guard template != .jumpIfCounterZero else {
      assembler.byte(0xeb)
      assembler.byte(0)
      let over = assembler.cursor - 1
      assembler.completeShort(zero)
      refund(count)
      branch(to: target)
      return assembler.completeShort(over)
    }
    // LOOPE goes on when ZF is set, LOOPNE when it is not.
    let other: UnsafeMutablePointer<UInt8>?
    switch template {
    case .loopIfEqual: other = assembler.shortJump(if: Condition.notEqual.rawValue)
    case .loopIfNotEqual: other = assembler.shortJump(if: Condition.equal.rawValue)
    default: other = nil
    }
    refund(count)
    branch(to: target)
    assembler.completeShort(zero)
    if let other { assembler.completeShort(other) }
  }

  // MARK: Calls and returns

  mutating func call(_ instruction: Instruction, _ begin: UInt32) {
    let isDirect = instruction.info.operand(0).kind == .relative
    if !isDirect {
      guard loadTarget(instruction) else { return interpret() }
    }
    let over = assembler.call()
    addEntry(begin, kind: VT_ENTRY_INSIDE)
    landing(next)
    assembler.complete(over)
    addEntry(begin, kind: VT_ENTRY_INSTRUCTION)
    pushConstant(next)
    stackTouched()
    if isDirect {
      leave(to: next &+ UInt64(bitPattern: instruction.immediate))
    } else {
      indirectJump()
      isEnded = true
    }
  }

  private mutating func pushConstant(_ value: UInt64) {
    let below = HostAddress(base: HostRegister.guestStack, displacement: -8)
    if Int64(bitPattern: value) == Int64(Int32(truncatingIfNeeded: value)) {
      assembler.wide(0xc7, 0, .memory(below))
      assembler.word32(Int32(truncatingIfNeeded: value))
    } else {
      assembler.move(HostRegister.secondScratch, constant: value)
      assembler.store(HostRegister.secondScratch, below)
    }
    assembler.add(HostRegister.guestStack, -8)
  }

  /// Where a host RET arrives, the guest's return address in the scratch register.
  private mutating func landing(_ expected: UInt64) {
    let difference = Difference(expected)
    difference.subtract(&assembler)
    let same = assembler.jumpIfScratchZero()
    difference.undo(&assembler)
    indirectJump()
    assembler.completeShort(same)
    branch(to: expected)
  }

  mutating func ret(_ instruction: Instruction) {
    assembler.load(HostRegister.scratch, HostAddress(base: HostRegister.guestStack))
    let released = Int32(truncatingIfNeeded: instruction.immediate & 0xffff)
    assembler.add(HostRegister.guestStack, 8 &+ released)
    assembler.byte(0xc3)
    guarded = .none
    stackTouched()
    isEnded = true
  }

  // MARK: Indirect

  /// The scratch register = where JMP or CALL goes. False: the operand is beyond the window.
  private mutating func loadTarget(_ instruction: Instruction) -> Bool {
    if instruction.hasMemoryOperand {
      guard let address = place(instruction, in: HostRegister.scratch) else { return false }
      assembler.load(HostRegister.scratch, address)
    } else {
      let source = holding(instruction.rm, loadedInto: HostRegister.scratch)
      if source != HostRegister.scratch { assembler.move(HostRegister.scratch, source) }
    }
    guarded = .none
    return true
  }

  /// Jumps to the block of the guest address in the scratch register, through the table of indirect entries.
  mutating func indirectJump() {
    writeIndirectJump(&assembler, cache)
  }

  /// The scratch register holds a target, so the guard uses the other one: RSP that moved is proven by a load instead.
  private mutating func proveStack(keepingTarget: Bool) {
    guard isStackUnproven else { return }
    isStackUnproven = false
    assembler.load(HostRegister.secondScratch, HostAddress(base: HostRegister.guestStack))
  }
}

/// The code of an indirect jump: notes the target, looks its entry up by the low 16 bits; zero goes to the run loop.
func writeIndirectJump(_ assembler: inout Assembler, _ cache: CodeCache) {
  let scratch = HostRegister.scratch
  assembler.storeState(scratch, StateOffset.target)
  // MOVZX ECX, CX
  for byte: UInt8 in [0x0f, 0xb7, 0xc9] { assembler.byte(byte) }
  let table = Int32(truncatingIfNeeded: Int(bitPattern: cache.jumps))
  assembler.load(scratch, HostAddress(index: scratch, scale: 3, displacement: table, isGuest: false))
  let none = assembler.jumpIfScratchZero()
  // JMP RCX
  assembler.byte(0xff)
  assembler.byte(0xe1)
  assembler.completeShort(none)
  let miss = assembler.jump()
  cache.patch(UInt32(truncatingIfNeeded: miss - cache.writable), to: cache.missStub)
}

/// Comparing the scratch register with a constant of 64 bits, without flags.
struct Difference {
  private let low: Int32
  private let high: Int32

  init(_ expected: UInt64) {
    low = 0 &- Int32(truncatingIfNeeded: expected)
    // What is left above when the low half is zero.
    high = Int32(truncatingIfNeeded: Int64(bitPattern: expected &+ UInt64(bitPattern: Int64(low))) &>> 32)
  }

  /// Afterwards the scratch register is zero if and only if it held the constant.
  func subtract(_ assembler: inout Assembler) {
    let scratch = HostRegister.scratch
    if low != 0 { assembler.add(scratch, low) }
    guard high != 0 else { return }
    assembler.rotateHalf(scratch, scratch)
    assembler.add(scratch, 0 &- high)
  }

  func undo(_ assembler: inout Assembler) {
    let scratch = HostRegister.scratch
    if high != 0 {
      assembler.add(scratch, high)
      assembler.rotateHalf(scratch, scratch)
    }
    if low == Int32.min {
      assembler.add(scratch, Int32.max)
      assembler.add(scratch, 1)
    } else if low != 0 {
      assembler.add(scratch, 0 &- low)
    }
  }
}
