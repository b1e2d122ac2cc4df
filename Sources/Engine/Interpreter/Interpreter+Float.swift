// Floating-point primitives of the interpreter that do not depend on the host: MXCSR, the bridge to the
// portable arithmetic, halves of chunks. While handlers run on an x86-64 host, the guest's MXCSR lives in
// the host's register (the run loop swaps it); elsewhere it lives in `vt_cpu_state.mxcsr`.

import CHost

extension Interpreter {
  /// The bits of MXCSR that exist: flags, DAZ, masks, rounding control, FTZ.
  static var mxcsrMask: UInt64 { 0xffff }

  // PERF: like all primitives, these vanish into their handlers.
  /// MXCSR as the guest sees it now.
  @inline(__always) var currentMXCSR: UInt32 {
    #if arch(x86_64)
      vt_store_mxcsr(&cpu.pointee.mxcsr)
    #endif
    return cpu.pointee.mxcsr
  }

  @inline(__always) func replaceMXCSR(_ value: UInt32) {
    cpu.pointee.mxcsr = value
    #if arch(x86_64)
      vt_load_mxcsr(&cpu.pointee.mxcsr)
    #endif
  }

  @inline(__always) public func setMXCSR(_ value: UInt64) {
    replaceMXCSR(UInt32(truncatingIfNeeded: value & Interpreter.mxcsrMask))
  }

  @inline(__always) public func mxcsr() -> UInt64 { UInt64(currentMXCSR) }

  @inline(__always) public func hasReservedMXCSRBits(_ value: UInt64) -> Bool {
    value & ~Interpreter.mxcsrMask != 0
  }

  /// Sets ZF, PF, CF from the two flags that tell the four relations apart (unordered sets both): `zero` is 0 or
  /// 1, `carry` 0 or all ones.
  @inline(__always) func setFlagsAfterFloatCompare(zero: UInt64, carry: UInt64) {
    // The parity delta makes PF 0 for “equal”, whose result is 0; “unordered” has PF = 1 by itself.
    cpu.pointee.flags_result = zero ^ 1
    cpu.pointee.flags_carries = (carry &<< 62) | ((zero &<< 8) & ~carry)
  }

  @inline(__always) public func joinLowHalves(_ low: Chunk, _ high: Chunk) -> Chunk { Chunk(low.x, high.x) }
  @inline(__always) public func highHalf(_ x: Chunk) -> Chunk { Chunk(x.y, 0) }
  @inline(__always) public func lowHalf(_ x: Chunk) -> Chunk { Chunk(x.x, 0) }
  @inline(__always) public func replaceLowHalf(_ x: Chunk, _ low: Chunk) -> Chunk { Chunk(low.x, x.y) }
}
