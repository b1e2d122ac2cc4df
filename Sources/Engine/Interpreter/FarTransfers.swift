// Handlers of far transfers and returns from interrupts, as far as they stay in 64-bit code: Wine returns from its system calls by IRETQ, checkpoints
// are restored by it. (SDM volume 2, RET, IRET, CALL, JMP.)

import CHost
import X86

// PERF: nothing here; each of them is rare.
extension Interpreter {
  /// Raises what a branch to the code segment `selector` does. `isReturn`: its last two bits say where to, too.
  fileprivate func checkCode(_ selector: UInt64, isReturn: Bool) {
    let (code64, code32): (UInt64, UInt64) = (0x33, 0x23)
    let wanted = isReturn ? selector : selector | 3
    // 32-bit code is none that can be executed here.
    if wanted == code32 { raise(.invalidOpcode) }
    if wanted != code64 { raise(.generalProtection, selector: selector) }
  }

  /// Pops a value at `offset` from RSP.
  fileprivate func stacked<W: Width>(_ width: W.Type, _ offset: UInt64) -> UInt64 {
    load(W.self, readRegister(W64.self, GeneralOffset.rsp) &+ offset &* UInt64(W.bits / 8))
  }

  /// The offset and selector in memory; `size` is the offset's, in bytes.
  fileprivate func farPointer(_ address: UInt64, _ size: UInt8) -> (offset: UInt64, selector: UInt64) {
    let offset = loadValue(size, address)
    return (offset, load(W16.self, address &+ UInt64(size)))
  }

  private func loadValue(_ size: UInt8, _ address: UInt64) -> UInt64 {
    switch size {
    case 2: return load(W16.self, address)
    case 4: return load(W32.self, address)
    default: return load(W64.self, address)
    }
  }

  fileprivate func storeValue(_ size: UInt8, _ address: UInt64, _ value: UInt64) {
    switch size {
    case 2: store(W16.self, address, value)
    case 4: store(W32.self, address, value)
    default: store(W64.self, address, value)
    }
  }
}

// MARK: - RET

/// `immediate` bytes are released behind the pointer.
@inline(__always) private func returnFar<W: Width>(
  _ width: W.Type, _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>,
  _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let target = b.stacked(W.self, 0)
  b.checkCode(b.stacked(W.self, 1) & 0xffff, isReturn: true)
  let size = UInt64(2 * W.bits / 8) &+ UInt64(bitPattern: o.pointee.immediate)
  JumpCache.branch(to: target, o, c, w, n &- o.count) {
    b.writeRegister(W64.self, GeneralOffset.rsp, b.readRegister(W64.self, GeneralOffset.rsp) &+ size)
  }
}

@c(vt_return_far16)
func returnFar16(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  returnFar(W16.self, o, c, w, n)
}

@c(vt_return_far32)
func returnFar32(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  returnFar(W32.self, o, c, w, n)
}

@c(vt_return_far64)
func returnFar64(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  returnFar(W64.self, o, c, w, n)
}

// MARK: - IRET

/// Pops RIP, CS, RFLAGS, RSP and SS; in 64-bit mode the last two without a change of privilege, too.
@inline(__always) private func interruptReturn<W: Width>(
  _ width: W.Type, _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>,
  _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  var b = Interpreter(o, c, w)
  let nestedTask: UInt64 = 1 << 14
  if b.readFlags() & nestedTask != 0 { b.raise(.generalProtection) }
  let target = b.stacked(W.self, 0)
  let code = b.stacked(W.self, 1) & 0xffff
  let flags = b.stacked(W.self, 2)
  let stack = b.stacked(W.self, 3)
  let stackSegment = b.stacked(W.self, 4) & 0xffff
  b.checkCode(code, isReturn: true)
  let data: UInt64 = 0x2b
  if stackSegment != data { b.raise(.generalProtection, selector: stackSegment) }
  if !JumpCache.isCanonical(target) { b.raise(.generalProtection) }
  b.writeRegister(W64.self, GeneralOffset.rsp, stack)
  // User mode changes neither IF nor IOPL; the 16-bit form leaves AC and ID.
  b.writeFlags(flags, mask: W.bits == 16 ? 0x4dd5 : 0x24_4dd5)
  // TF may be set.
  leave(c, n &- o.count, rip: target, ExitReason.resolve, 0)
}

@c(vt_interrupt_return16)
func interruptReturn16(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  interruptReturn(W16.self, o, c, w, n)
}

@c(vt_interrupt_return32)
func interruptReturn32(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  interruptReturn(W32.self, o, c, w, n)
}

@c(vt_interrupt_return64)
func interruptReturn64(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  interruptReturn(W64.self, o, c, w, n)
}

// MARK: - CALL, JMP

/// JMP m16:16, m16:32, m16:64: `a` is the size of the offset in bytes.
@c(vt_jump_far)
func jumpFar(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let pointer = b.farPointer(b.address(base: o.pointee.b, displacement: o.pointee.displacement), o.pointee.a)
  b.checkCode(pointer.selector, isReturn: false)
  JumpCache.branch(to: pointer.offset, o, c, w, n &- o.count) {}
}

/// CALL m16:16, m16:32, m16:64: `immediate` is the return address.
@c(vt_call_far)
func callFar(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let size = o.pointee.a
  let pointer = b.farPointer(b.address(base: o.pointee.b, displacement: o.pointee.displacement), size)
  b.checkCode(pointer.selector, isReturn: false)
  let stack = b.readRegister(W64.self, GeneralOffset.rsp) &- 2 &* UInt64(size)
  JumpCache.branch(to: pointer.offset, o, c, w, n &- o.count, pushes: true) {
    b.storeValue(size, stack &+ UInt64(size), b.readSegment(1))
    b.storeValue(size, stack, UInt64(bitPattern: o.pointee.immediate))
    b.writeRegister(W64.self, GeneralOffset.rsp, stack)
  }
}
