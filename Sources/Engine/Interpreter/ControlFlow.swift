// Handlers of control transfers. A branch operation is linked from the start: its `displacement` leads either to the head
// of the target block or to a resolve operation at the end of its own block, which asks the run loop for the target and
// has the branch linked to it (BlockBuilder.swift draws the layout). `c` and `d` count the block's instructions up to
// and including the branch.

import CHost
import X86

// MARK: - Direct branches

@c(vt_jump)
func jump(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  transfer(o.target, c, w, n &- o.count)
}

/// Continues in another block without a branch of the guest: a block reached its longest size.
@c(vt_continue)
func continueElsewhere(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  transfer(o.target, c, w, n &- o.count)
}

/// CALL rel32: `immediate` is the return address.
@c(vt_call)
func call(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  pushReturnAddress(o, c, w)
  transfer(o.target, c, w, n &- o.count)
}

// PERF: shared by three handlers of which calls make the bulk of recursive programs.
@inline(__always) func pushReturnAddress(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer
) {
  let b = Interpreter(o, c, w)
  let stackPointer = b.readRegister(W64.self, GeneralOffset.rsp) &- 8
  b.store(W64.self, stackPointer, UInt64(bitPattern: o.pointee.immediate))
  b.writeRegister(W64.self, GeneralOffset.rsp, stackPointer)
}

/// Byte offsets of general registers that instructions use implicitly.
enum GeneralOffset {
  // PERF: constants of handlers.
  @inline(__always) static var rax: UInt8 { 0 }
  @inline(__always) static var rcx: UInt8 { 8 }
  @inline(__always) static var rdx: UInt8 { 16 }
  @inline(__always) static var rbx: UInt8 { 24 }
  @inline(__always) static var rsp: UInt8 { 32 }
  @inline(__always) static var rbp: UInt8 { 40 }
  @inline(__always) static var rsi: UInt8 { 48 }
  @inline(__always) static var rdi: UInt8 { 56 }
  @inline(__always) static var effective: UInt8 { 136 }
  @inline(__always) static var zero: UInt8 { 128 }
  @inline(__always) static var fsBase: UInt8 { 144 }
  @inline(__always) static var gsBase: UInt8 { 152 }
}

// MARK: - Indirect branches

@c(vt_jump_register)
func jumpRegister(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let target = Interpreter(o, c, w).readRegister(W64.self, o.pointee.b)
  JumpCache.branch(to: target, o, c, w, n &- o.count) {}
}

@c(vt_jump_memory)
func jumpMemory(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let target = b.load(W64.self, b.address(base: o.pointee.b, displacement: o.pointee.displacement))
  JumpCache.branch(to: target, o, c, w, n &- o.count) {}
}

@c(vt_call_register)
func callRegister(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let target = Interpreter(o, c, w).readRegister(W64.self, o.pointee.b)
  JumpCache.branch(to: target, o, c, w, n &- o.count, pushes: true) { pushReturnAddress(o, c, w) }
}

@c(vt_call_memory)
func callMemory(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let target = b.load(W64.self, b.address(base: o.pointee.b, displacement: o.pointee.displacement))
  JumpCache.branch(to: target, o, c, w, n &- o.count, pushes: true) { pushReturnAddress(o, c, w) }
}

/// RET and RET imm16: `immediate` bytes are released after the return address.
@c(vt_return)
func returnNear(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let stackPointer = b.readRegister(W64.self, GeneralOffset.rsp)
  let target = b.load(W64.self, stackPointer)
  let released = stackPointer &+ 8 &+ UInt64(bitPattern: o.pointee.immediate)
  JumpCache.branch(to: target, o, c, w, n &- o.count) {
    b.writeRegister(W64.self, GeneralOffset.rsp, released)
  }
}

// MARK: - LOOP and JRCXZ

/// Decrements RCX (ECX) and branches when it is not zero and ZF is as `b` wants: 0 either, 1 set, 2 clear.
// PERF: specialised by width in the two handlers below.
@inline(__always) func loop<W: Width>(
  _ width: W.Type, _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>,
  _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let count = b.subtract(W.self, b.readRegister(W.self, GeneralOffset.rcx), 1)
  b.writeRegister(W.self, GeneralOffset.rcx, count)
  let zero = b.flag(.zero)
  let wanted = o.pointee.b == 0 || (o.pointee.b == 1) == (zero == 1)
  if count != 0 && wanted { return transfer(o.target, c, w, n &- o.count) }
  next(o, c, w, n)
}

@c(vt_loop64)
func loop64(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  loop(W64.self, o, c, w, n)
}

@c(vt_loop32)
func loop32(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  loop(W32.self, o, c, w, n)
}

@c(vt_jump_rcx_zero)
func jumpIfRCXZero(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let count = Interpreter(o, c, w).readRegister(W64.self, GeneralOffset.rcx)
  let used = o.pointee.b == 32 ? count & 0xffff_ffff : count
  if used == 0 { return transfer(o.target, c, w, n &- o.count) }
  next(o, c, w, n)
}

// MARK: - Leaving

/// Asks the run loop for the block at `immediate`; `displacement` leads back to the branch to be linked (0: none).
@c(vt_resolve)
func resolve(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let branch = o.pointee.displacement == 0 ? 0 : UInt64(UInt(bitPattern: o.target))
  leave(c, n, rip: UInt64(bitPattern: o.pointee.immediate), ExitReason.resolve, branch)
}

/// Ends a block behind an instruction after which the run loop has to look at TF: `immediate` is the address of the next instruction.
@c(vt_leave_block)
func leaveBlock(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  leave(c, n &- o.count, rip: UInt64(bitPattern: o.pointee.immediate), ExitReason.resolve, 0)
}

/// SYSCALL: `immediate` is the address of the next instruction.
@c(vt_system_call)
func systemCall(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  leave(c, n &- o.count, rip: UInt64(bitPattern: o.pointee.immediate), ExitReason.systemCall, 0)
}

/// INT n, INT3, INT1: `immediate` is the address of the next instruction, `b` the vector, `a` tells an INT1 or INT3.
@c(vt_interrupt)
func interrupt(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  leave(
    c, n &- o.count, rip: UInt64(bitPattern: o.pointee.immediate), ExitReason.interrupt, UInt64(o.pointee.b))
}

/// An instruction that always traps (#UD, privileged instructions, unfetchable code): `b` is the vector, `immediate` the
/// fault address of a page fault or the error code of another trap. Does not count as executed.
@c(vt_trap)
func trapHere(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  c.pointee.exit_address = UInt64(bitPattern: o.pointee.immediate)
  leave(c, n &- o.count, rip: o.pointee.rip, ExitReason.trap, UInt64(o.pointee.b))
}

/// The end of a block that holds a single instruction for stepping: `immediate` is the address of the next instruction.
@c(vt_stepped)
func stepped(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  leave(c, n &- o.count, rip: UInt64(bitPattern: o.pointee.immediate), ExitReason.stepped, 0)
}

// MARK: - Conditional branches

/// Jcc on the lazy flags.
// PERF: specialised by the constant condition in the sixteen handlers below.
@inline(__always) func jumpIf(
  _ condition: Condition, _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>,
  _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  if Interpreter(o, c, w).condition(condition) { return transfer(o.target, c, w, n &- o.count) }
  next(o, c, w, n)
}
