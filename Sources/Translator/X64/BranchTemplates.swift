// Control transfers. Direct branches are jumps that are linked to their target's block; calls and returns are the host's own
// CALL and RET, so that its return-address predictor works; indirect branches go through a table.
//
// A guest CALL becomes a host CALL, and the block goes on behind it at a *landing*, where the matching host RET arrives. The
// landing compares the guest's return address, which RET has left in the scratch register, with the one that this CALL
// pushed, and is therefore right however the guest treats its stack: where they differ, the branch is an indirect one.
// Landings and indirect entries compare without flags: LEA subtracts, JRCXZ tells zero. RET says which one it is in the
// second scratch register, because a store for each would cost more than all else of it.

import CHost
import X86

extension BlockTranslator {
  // MARK: Direct

  /// A conditional branch; the block goes on behind it.
  mutating func branch(if condition: UInt8, to target: UInt64) {
    settleStack()
    let number = addSite(.branch, target: target, executed: count)
    alignPatch(2)
    let place = assembler.jump(if: condition)
    cache.sites[number].patch = offset(place)
    segments.isEnded = true
  }

  /// Goes on at `target`, whose block may be this one.
  mutating func branch(to target: UInt64) {
    jump(to: addSite(.branch, target: target, executed: count))
  }

  mutating func jump(_ instruction: Instruction) {
    settleStack()
    if instruction.info.operand(0).kind == .relative {
      return leave(to: next &+ UInt64(bitPattern: instruction.immediate))
    }
    guard loadTarget(instruction) else { return interpret() }
    noteIndirect(stack: 0)
    indirectJump()
    isEnded = true
  }

  /// The code behind SYSCALL is only reached when translated code has made the call by itself (`vt_direct_call`).
  mutating func systemCall() {
    settleStack()
    let number = addSite(.systemCall, target: next, executed: count)
    isEnded = true
    guard mayCallDirectly else { return jump(to: number) }
    let behind = assembler.loadAddressAhead(HostRegister.secondScratch)
    jump(to: number)
    assembler.complete(behind)
    assembler.move(HostRegister.guestCounter, constant: next)
    addEntry(at: next)
    branch(to: next)
  }

  mutating func loop(_ instruction: Instruction, _ template: RowPlan.Template) {
    guard instruction.addressSize == 64 else { return interpret() }
    settleStack()
    guarded = .none
    let counter = HostRegister.guestCounter
    if template != .jumpIfCounterZero { assembler.add(counter, -1) }
    assembler.move(HostRegister.scratch, counter)
    let zero = assembler.jumpIfScratchZero()
    let target = next &+ UInt64(bitPattern: instruction.immediate)
    guard template != .jumpIfCounterZero else {
      let over = assembler.shortJump()
      assembler.completeShort(zero)
      branch(to: target)
      assembler.completeShort(over)
      segments.isEnded = true
      return
    }
    // LOOPE goes on when ZF is set, LOOPNE when it is not.
    let other: UnsafeMutablePointer<UInt8>?
    switch template {
    case .loopIfEqual: other = assembler.shortJump(if: Condition.notEqual.rawValue)
    case .loopIfNotEqual: other = assembler.shortJump(if: Condition.equal.rawValue)
    default: other = nil
    }
    branch(to: target)
    assembler.completeShort(zero)
    if let other { assembler.completeShort(other) }
    segments.isEnded = true
  }

  // MARK: Calls and returns

  mutating func call(_ instruction: Instruction) {
    let isDirect = instruction.info.operand(0).kind == .relative
    if !isDirect {
      settleStackPointer()
      guard loadTarget(instruction) else { return interpret() }
      // Should the target be no address, nothing must have been pushed: what is overwritten is kept.
      guarded = .none
      let below = HostAddress(base: HostRegister.guestStack, displacement: -8)
      assembler.load(HostRegister.scratch, below)
      assembler.storeState(HostRegister.scratch, StateOffset.vectorScratch)
      noteIndirect(stack: -8)
    }
    pushReturnAddress()
    // A host CALL can only fault at the end of the shadow stack; the guest's is then done again.
    addEntry(stack: 8)
    if isDirect {
      let target = next &+ UInt64(bitPattern: instruction.immediate)
      let number = addSite(.branch, target: target, executed: count)
      alignPatch(1)
      let place = assembler.call()
      cache.sites[number].patch = offset(place)
      addEntry(kind: VT_ENTRY_INSIDE)
    } else {
      // The host CALL enters the jump through the table, which is passed by here.
      let entry = assembler.call()
      addEntry(kind: VT_ENTRY_INSIDE)
      let over = assembler.shortJump()
      assembler.complete(entry)
      indirectJump()
      assembler.completeShort(over)
      // A host RET arrives before `over`, which leads here.
    }
    landing()
  }

  private mutating func pushReturnAddress() {
    settleStackPointer()
    let below = HostAddress(base: HostRegister.guestStack, displacement: -8)
    if Int64(bitPattern: next) == Int64(Int32(truncatingIfNeeded: next)) {
      assembler.wide(0xc7, 0, .memory(below))
      assembler.word32(Int32(truncatingIfNeeded: next))
    } else {
      guarded = .none
      assembler.move(HostRegister.scratch, constant: next)
      assembler.store(HostRegister.scratch, below)
    }
    assembler.add(HostRegister.guestStack, -8)
    stackTouched()
  }

  /// Where a host RET arrives, the guest's return address in the scratch register. The block goes on here; when it dies,
  /// JRCXZ is shortened to reach the second jump.
  private mutating func landing() {
    guarded = .none
    Difference(next).write(&assembler, from: HostRegister.scratch)
    let same = assembler.jumpIfScratchZero()
    // To the landing's stub.
    _ = assembler.jump()
    let landing = addSite(.landing, target: next, executed: count)
    cache.sites[landing].patch = offset(same)
    branch(to: next)
    if options.countsInstructions {
      segments.isEnded = true
      address = next
      writeBudgetExit()
    }
    assembler.completeShort(same)
  }

  /// The landing's stub: another return address, which is looked up.
  mutating func missLanding(_ number: Int) {
    // Behind JRCXZ's distance and the jump's opcode.
    cache.patch(cache.sites[number].patch &+ 2, to: host)
    Difference(cache.sites[number].target).undo(&assembler)
    jumpToCommon(cache.returnStub)
  }

  /// A jump to code that all blocks share.
  mutating func jumpToCommon(_ target: UInt32) {
    let place = offset(assembler.jump())
    cache.patch(place, to: target)
    relocate(.common, place)
  }

  mutating func ret(_ instruction: Instruction) {
    guarded = .none
    let returnAddress = HostAddress(base: HostRegister.guestStack, displacement: stackDelta)
    assembler.load(HostRegister.scratch, returnAddress)
    let released = Int32(truncatingIfNeeded: instruction.immediate & 0xffff)
    let number = addIndirectSite(stack: 8 &+ released)
    assembler.move(HostRegister.secondScratch, constant: UInt64(number))
    relocate(.site, host &- 4)
    assembler.add(HostRegister.guestStack, stackDelta &+ 8 &+ released)
    stackDelta = 0
    assembler.byte(0xc3)
    stackTouched()
    isEnded = true
  }

  // MARK: Indirect

  /// The second scratch register = where JMP or CALL goes. False: the operand is beyond the window.
  private mutating func loadTarget(_ instruction: Instruction) -> Bool {
    let target = HostRegister.secondScratch
    if instruction.hasMemoryOperand {
      guard let address = place(instruction, in: HostRegister.scratch) else { return false }
      assembler.load(target, address)
    } else {
      let source = holding(instruction.rm, loadedInto: target)
      if source != target { assembler.move(target, source) }
    }
    return true
  }

  /// The current instruction as an indirect branch, which moves RSP by `stack`.
  private mutating func addIndirectSite(stack: Int32) -> Int {
    let number = addSite(.indirect, target: address, executed: count &- 1)
    cache.sites[number].stack = stack
    return number
  }

  /// Tells the run loop which branch it is, should the target turn out to be no address: the fault is the branch's then.
  private mutating func noteIndirect(stack: Int32) {
    assembler.storeState(constant: addIndirectSite(stack: stack), StateOffset.indirectSite)
    relocate(.site, host &- 4)
  }

  /// Jumps to the block of the guest address in the second scratch register, through the table of indirect entries.
  mutating func indirectJump() {
    guarded = .none
    let places = writeIndirectJump(&assembler, cache)
    relocate(.table, places.table)
    relocate(.common, places.miss)
  }
}

/// The code of an indirect jump: looks the target's entry up by its low 16 bits; zero goes to the run loop. Returns the offsets of
/// the table's address and of the distance to common code.
func writeIndirectJump(_ assembler: inout Assembler, _ cache: CodeCache) -> (table: UInt32, miss: UInt32) {
  let scratch = HostRegister.scratch
  // MOVZX ECX, R12W
  for byte: UInt8 in [0x41, 0x0f, 0xb7, 0xcc] { assembler.byte(byte) }
  let table = Int32(truncatingIfNeeded: Int(bitPattern: cache.jumps))
  assembler.load(scratch, HostAddress(index: scratch, scale: 3, displacement: table, isGuest: false))
  let displacement = UInt32(truncatingIfNeeded: assembler.cursor - cache.writable) &- 4
  let none = assembler.jumpIfScratchZero()
  // JMP RCX
  assembler.byte(0xff)
  assembler.byte(0xe1)
  assembler.completeShort(none)
  let miss = UInt32(truncatingIfNeeded: assembler.jump() - cache.writable)
  cache.patch(miss, to: cache.missStub)
  return (displacement, miss)
}

/// Comparing a register with a constant of 64 bits, without flags.
struct Difference {
  private let low: Int32
  private let high: Int32

  init(_ expected: UInt64) {
    low = 0 &- Int32(truncatingIfNeeded: expected)
    // What is left above when the low half is zero.
    high = Int32(truncatingIfNeeded: Int64(bitPattern: expected &+ UInt64(bitPattern: Int64(low))) &>> 32)
  }

  /// Makes the scratch register zero if and only if `source` holds the constant.
  func write(_ assembler: inout Assembler, from source: UInt8) {
    let scratch = HostRegister.scratch
    assembler.loadEffectiveAddress(scratch, HostAddress(base: source, displacement: low))
    guard high != 0 else { return }
    assembler.rotate(scratch, scratch, right: 32)
    assembler.add(scratch, 0 &- high)
  }

  /// Makes it again what `source` held.
  func undo(_ assembler: inout Assembler) {
    let scratch = HostRegister.scratch
    if high != 0 {
      assembler.add(scratch, high)
      assembler.rotate(scratch, scratch, right: 32)
    }
    // In two steps, because -2^31 has no counterpart.
    assembler.add(scratch, 0 &- low / 2)
    assembler.add(scratch, low / 2 &- low)
  }
}
