// The interpreter's view of one operation: the first conformer of `Backend`. Values are the integers themselves,
// zero-extended to 64 bits. An `Interpreter` lives only inside one handler; after inlining nothing of it is left.
//
// Order matters here: whatever can fault comes before anything that changes state, because a host fault in guest memory
// drops the handler's frame on the spot (CHost/guard.h). The compiler keeps that order: it must assume that guest
// memory and the CPU state alias.

import CHost
import GuestMemory
import X86

public typealias Operation = vt_operation
public typealias CPUState = vt_cpu_state

/// One instruction's access to the guest: its operation, the CPU and the memory window.
public struct Interpreter: Backend {
  public typealias Value = UInt64
  public typealias Truth = Bool
  public typealias Chunk = SIMD2<UInt64>

  // SAFETY: all three outlive the run loop that owns them; handlers are entered only from it.
  public let operation: UnsafePointer<Operation>
  public let cpu: UnsafeMutablePointer<CPUState>
  public let window: UnsafeMutableRawPointer

  // PERF: everything in this file must be inlined into handlers of about fifteen host instructions.
  @inline(__always) public init(
    _ operation: UnsafePointer<Operation>, _ cpu: UnsafeMutablePointer<CPUState>,
    _ window: UnsafeMutableRawPointer
  ) {
    self.operation = operation
    self.cpu = cpu
    self.window = window
  }

  @inline(__always) public func constant(_ value: UInt64) -> UInt64 { value }

  @inline(__always) func register(_ offset: UInt8) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(cpu) + Int(offset)
  }

  @inline(__always) public func readRegister<W: Width>(_ width: W.Type, _ offset: UInt8) -> UInt64 {
    UInt64(truncatingIfNeeded: register(offset).loadUnaligned(as: W.Native.self))
  }

  @inline(__always) public func writeRegister<W: Width>(_ width: W.Type, _ offset: UInt8, _ value: UInt64) {
    if W.bits == 32 {
      register(offset).storeBytes(of: value & 0xffff_ffff, as: UInt64.self)
    } else {
      register(offset).storeBytes(of: W.Native(truncatingIfNeeded: value), as: W.Native.self)
    }
  }

  @inline(__always) public func address(base: UInt8, displacement: Int32) -> UInt64 {
    register(base).load(as: UInt64.self) &+ UInt64(truncatingIfNeeded: displacement)
  }

  /// Wraps an address that the semantic computed itself to 32 bits when the instruction says so, and adds the segment's base
  /// then (BlockWriter.placeMemory: bit 8 of the immediate, the segment in bits 9 and 10).
  @inline(__always) public func completeAddress(_ address: UInt64) -> UInt64 {
    let form = operation.pointee.immediate
    if form & 0x100 == 0 { return address }
    let base = form & 0x200 != 0 ? cpu.pointee.fs_base : form & 0x400 != 0 ? cpu.pointee.gs_base : 0
    return (address & 0xffff_ffff) &+ base
  }

  /// Notes which operation and address are about to be used, for a precise fault.
  @inline(__always) public func mark(_ address: UInt64 = 0) {
    vt_mark(cpu, operation, address)
  }

  /// The host address of a guest address. One beyond the window is clamped to the guard area behind it, by data flow, so
  /// that not even a mispredicted access leaves the window.
  @inline(__always) public func host(_ address: UInt64) -> UnsafeMutableRawPointer {
    mark(address)
    return window + Int(truncatingIfNeeded: min(address, cpu.pointee.window_limit))
  }

  @inline(__always) public func load<W: Width>(_ width: W.Type, _ address: UInt64) -> UInt64 {
    // Loads that cannot be narrowed or skipped (CHost/vector.h): CMOV accesses memory whatever its condition.
    let pointer = host(address)
    switch W.bits {
    case 64: return vt_load8(pointer)
    case 32: return vt_load4(pointer)
    case 16: return vt_load2(pointer)
    default: return vt_load1(pointer)
    }
  }

  @inline(__always) public func store<W: Width>(_ width: W.Type, _ address: UInt64, _ value: UInt64) {
    host(address).storeBytes(of: W.Native(truncatingIfNeeded: value), as: W.Native.self)
  }

  @inline(__always) public func probeWrite(_ address: UInt64, count: Int) {
    vt_probe_write(host(address))
    // The second page, if there is one, faults at its first byte.
    let last = address &+ UInt64(truncatingIfNeeded: count &- 1)
    if (last ^ address) &>> 12 != 0 { vt_probe_write(host(last & ~0xfff)) }
    mark(address)
  }

  @inline(__always) public mutating func atomicUpdate<W: Width>(
    _ width: W.Type, _ address: UInt64, _ body: (inout Interpreter, UInt64) -> UInt64
  ) -> (old: UInt64, new: UInt64) {
    let pointer = host(address)
    var old = UInt64(truncatingIfNeeded: pointer.loadUnaligned(as: W.Native.self))
    while true {
      let new = body(&self, old)
      if W.bits == 8 {
        if vt_compare_exchange8(pointer, &old, new) { return (old, new) }
      } else if W.bits == 16 {
        if vt_compare_exchange16(pointer, &old, new) { return (old, new) }
      } else if W.bits == 32 {
        if vt_compare_exchange32(pointer, &old, new) { return (old, new) }
      } else {
        if vt_compare_exchange64(pointer, &old, new) { return (old, new) }
      }
    }
  }

  @inline(__always) public func trap(if condition: Bool, _ trap: Trap) {
    if condition { raise(trap) }
  }

  @inline(__always) public func trap(_ trap: Trap) { raise(trap) }

  /// Leaves the handler for the run loop; does not return. `selector`: what a general protection fault is about, when that is one.
  @inline(never) func raise(_ trap: Trap, selector: UInt64 = 0) -> Never {
    mark()
    vt_guard_raise(trap.rawValue, selector & ~3)
  }

  @inline(__always) public func select(_ condition: Bool, _ then: UInt64, _ otherwise: UInt64) -> UInt64 {
    condition ? then : otherwise
  }
}
