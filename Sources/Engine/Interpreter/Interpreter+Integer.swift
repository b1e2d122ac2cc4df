// Integer primitives of the interpreter, and its lazy status flags.
//
// Flags are kept as two words (X86/LazyFlags): the sign-extended result, and a word of carries whose top bits give CF and
// OF. Both follow from the operands by bitwise logic, without knowing later which operation they came from.

import CHost
import X86

extension Interpreter {
  // PERF: as in Interpreter.swift, all of these fold into their handlers.
  @inline(__always) public func add<W: Width>(_ width: W.Type, _ x: UInt64, _ y: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: x &+ y))
  }

  @inline(__always) public func subtract<W: Width>(_ width: W.Type, _ x: UInt64, _ y: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: x &- y))
  }

  @inline(__always) public func and(_ x: UInt64, _ y: UInt64) -> UInt64 { x & y }
  @inline(__always) public func or(_ x: UInt64, _ y: UInt64) -> UInt64 { x | y }
  @inline(__always) public func exclusiveOr(_ x: UInt64, _ y: UInt64) -> UInt64 { x ^ y }

  @inline(__always) public func not<W: Width>(_ width: W.Type, _ x: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: ~W.Native(truncatingIfNeeded: x))
  }

  @inline(__always) public func signExtend<From: Width, To: Width>(
    _ from: From.Type, _ to: To.Type, _ x: UInt64
  ) -> UInt64 {
    let wide = Int64(truncatingIfNeeded: From.Signed(truncatingIfNeeded: x))
    return UInt64(truncatingIfNeeded: To.Native(truncatingIfNeeded: wide))
  }

  /// A value of width `W` sign-extended to 64 bits, as `flags_result` wants it.
  @inline(__always) func extended<W: Width>(_ width: W.Type, _ x: UInt64) -> UInt64 {
    UInt64(bitPattern: Int64(truncatingIfNeeded: W.Signed(truncatingIfNeeded: x)))
  }

  /// Stores the lazy flags for `result` and a carry vector whose bit `W.bits - 1` is the carry out.
  @inline(__always) func setFlags<W: Width>(_ width: W.Type, result: UInt64, carries: UInt64) {
    cpu.pointee.flags_result = extended(W.self, result)
    let shift = 64 &- W.bits
    cpu.pointee.flags_carries = W.bits == 64 ? carries & ~0xff01 : (carries &<< shift) | (carries & 8)
  }

  @inline(__always) public func setFlagsAfterAdd<W: Width>(
    _ width: W.Type, _ x: UInt64, _ y: UInt64, _ result: UInt64
  ) {
    setFlags(W.self, result: result, carries: (x & y) | ((x | y) & ~result))
  }

  @inline(__always) public func setFlagsAfterSubtract<W: Width>(
    _ width: W.Type, _ x: UInt64, _ y: UInt64, _ result: UInt64
  ) {
    setFlags(W.self, result: result, carries: (~x & y) | (~(x ^ y) & result))
  }

  @inline(__always) public func setFlagsAfterLogic<W: Width>(_ width: W.Type, _ result: UInt64) {
    cpu.pointee.flags_result = extended(W.self, result)
    cpu.pointee.flags_carries = 0
  }

  /// 0 or 1.
  @inline(__always) public func flag(_ flag: Flag) -> UInt64 {
    let flags = cpu.pointee.lazyFlags
    switch flag {
    case .carry: return flags.carry
    case .overflow: return flags.overflow
    case .zero: return flags.zero
    case .sign: return flags.sign
    case .adjust: return flags.adjust
    case .parity: return flags.parity
    case .direction: return (flags.other &>> 10) & 1
    }
  }

  @inline(__always) public func condition(_ condition: Condition) -> Bool {
    cpu.pointee.lazyFlags.holds(condition)
  }

  @inline(__always) public func setFlag(_ flag: Flag, _ value: UInt64) {
    switch flag {
    case .carry: cpu.pointee.lazyFlags.setCarry(value)
    case .overflow: cpu.pointee.lazyFlags.setOverflow(value)
    case .zero: cpu.pointee.lazyFlags.setZero(value)
    case .sign: cpu.pointee.lazyFlags.setSign(value)
    case .adjust: cpu.pointee.lazyFlags.setAdjust(value)
    case .parity: cpu.pointee.lazyFlags.setParity(value)
    case .direction:
      cpu.pointee.flags_other = (cpu.pointee.flags_other & ~(1 &<< 10)) | ((value & 1) &<< 10)
    }
  }
}
