// Handlers of far transfers and returns from interrupts, as far as they stay in 64-bit code: Wine returns from its system calls by IRETQ, checkpoints
// are restored by it. `a` is the operand size in bytes: none of them is so frequent that a handler for each size would pay.
// (SDM volume 2, RET, IRET, CALL, JMP.)

import CHost
import X86

extension Interpreter {
  /// Raises what a branch to the code segment `selector` does. `isReturn`: its last two bits say where to, too.
  fileprivate func checkCode(_ selector: UInt64, isReturn: Bool) {
    let (code64, code32): (UInt64, UInt64) = (0x33, 0x23)
    let wanted = isReturn ? selector : selector | 3
    // 32-bit code is none that can be executed here.
    if wanted == code32 { raise(.invalidOpcode) }
    if wanted != code64 { raise(.generalProtection, selector: selector) }
  }

  private func load(_ size: UInt8, _ address: UInt64) -> UInt64 {
    switch size {
    case 2: return load(W16.self, address)
    case 4: return load(W32.self, address)
    default: return load(W64.self, address)
    }
  }

  fileprivate func store(_ size: UInt8, _ address: UInt64, _ value: UInt64) {
    switch size {
    case 2: store(W16.self, address, value)
    case 4: store(W32.self, address, value)
    default: store(W64.self, address, value)
    }
  }

  /// What is `index` operands above RSP.
  fileprivate func stacked(_ size: UInt8, _ index: UInt64) -> UInt64 {
    load(size, readRegister(W64.self, GeneralOffset.rsp) &+ index &* UInt64(size))
  }

  /// The offset in memory that a far branch goes to, with the selector behind it.
  fileprivate func branchTarget(_ operation: Operation) -> UInt64 {
    let place = address(base: operation.b, displacement: operation.displacement)
    let target = load(operation.a, place)
    checkCode(load(W16.self, place &+ UInt64(operation.a)), isReturn: false)
    return target
  }
}

/// RET far: `immediate` bytes are released behind the pointer.
@c(vt_return_far)
func returnFar(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let target = b.stacked(o.pointee.a, 0)
  b.checkCode(b.stacked(o.pointee.a, 1) & 0xffff, isReturn: true)
  let size = 2 &* UInt64(o.pointee.a) &+ UInt64(bitPattern: o.pointee.immediate)
  JumpCache.branch(to: target, o, c, w, n &- o.count) {
    b.writeRegister(W64.self, GeneralOffset.rsp, b.readRegister(W64.self, GeneralOffset.rsp) &+ size)
  }
}

/// IRET: pops RIP, CS, RFLAGS, RSP and SS; in 64-bit mode the last two without a change of privilege, too.
@c(vt_interrupt_return)
func interruptReturn(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let size = o.pointee.a
  let nestedTask: UInt64 = 1 << 14
  if b.readFlags() & nestedTask != 0 { b.raise(.generalProtection) }
  let (target, code, flags) = (b.stacked(size, 0), b.stacked(size, 1) & 0xffff, b.stacked(size, 2))
  let (stack, stackSegment) = (b.stacked(size, 3), b.stacked(size, 4) & 0xffff)
  b.checkCode(code, isReturn: true)
  let stackRegister: UInt8 = 2
  b.writeSegment(stackRegister, stackSegment)
  if !JumpCache.isCanonical(target) { b.raise(.generalProtection) }
  b.writeRegister(W64.self, GeneralOffset.rsp, stack)
  b.writeFlags(flags, mask: size == 2 ? LazyFlags.userMask & 0xffff : LazyFlags.userMask)
  // TF may be set.
  leave(c, n &- o.count, rip: target, ExitReason.resolve, 0)
}

@c(vt_jump_far)
func jumpFar(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  JumpCache.branch(to: Interpreter(o, c, w).branchTarget(o.pointee), o, c, w, n &- o.count) {}
}

/// CALL far: `immediate` is the return address.
@c(vt_call_far)
func callFar(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let size = o.pointee.a
  let stack = b.readRegister(W64.self, GeneralOffset.rsp) &- 2 &* UInt64(size)
  JumpCache.branch(to: b.branchTarget(o.pointee), o, c, w, n &- o.count, pushes: true) {
    b.store(size, stack &+ UInt64(size), b.readSegment(1))
    b.store(size, stack, UInt64(bitPattern: o.pointee.immediate))
    b.writeRegister(W64.self, GeneralOffset.rsp, stack)
  }
}
