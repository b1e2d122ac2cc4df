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
    let result = cpu.pointee.flags_result
    let carries = cpu.pointee.flags_carries
    switch flag {
    case .carry: return carries &>> 63
    case .overflow: return (carries ^ (carries &<< 1)) &>> 63
    case .zero: return result == 0 ? 1 : 0
    case .sign: return (result ^ (carries &<< 63)) &>> 63
    case .adjust: return (carries &>> 3) & 1
    case .parity:
      return ~UInt64(truncatingIfNeeded: UInt8(truncatingIfNeeded: result ^ (carries &>> 8)).nonzeroBitCount)
        & 1
    case .direction: return (cpu.pointee.flags_other &>> 10) & 1
    }
  }

  @inline(__always) public func condition(_ condition: Condition) -> Bool {
    let result = cpu.pointee.flags_result
    let carries = cpu.pointee.flags_carries
    /// Bit 63 is SF xor OF.
    let less = result ^ carries ^ (carries &<< 1) ^ (carries &<< 63)
    switch condition {
    case .overflow: return flag(.overflow) != 0
    case .notOverflow: return flag(.overflow) == 0
    case .below: return Int64(bitPattern: carries) < 0
    case .aboveOrEqual: return Int64(bitPattern: carries) >= 0
    case .equal: return result == 0
    case .notEqual: return result != 0
    case .belowOrEqual: return Int64(bitPattern: carries) < 0 || result == 0
    case .above: return Int64(bitPattern: carries) >= 0 && result != 0
    case .sign: return flag(.sign) != 0
    case .notSign: return flag(.sign) == 0
    case .parity: return flag(.parity) != 0
    case .notParity: return flag(.parity) == 0
    case .less: return Int64(bitPattern: less) < 0
    case .greaterOrEqual: return Int64(bitPattern: less) >= 0
    case .lessOrEqual: return Int64(bitPattern: less) < 0 || result == 0
    case .greater: return Int64(bitPattern: less) >= 0 && result != 0
    }
  }

  @inline(__always) public func setFlag(_ flag: Flag, _ value: UInt64) {
    let wanted = value & 1
    switch flag {
    case .carry:
      // CF is bit 63 and OF bit 63 ^ bit 62: changing CF alone changes both bits.
      let change = (cpu.pointee.flags_carries &>> 63) ^ wanted
      cpu.pointee.flags_carries ^= (change &<< 63) | (change &<< 62)
    case .overflow:
      let change = self.flag(.overflow) ^ wanted
      cpu.pointee.flags_carries ^= change &<< 62
    case .adjust:
      cpu.pointee.flags_carries = (cpu.pointee.flags_carries & ~8) | (wanted &<< 3)
    case .sign:
      cpu.pointee.flags_carries ^= self.flag(.sign) ^ wanted
    case .parity:
      cpu.pointee.flags_carries ^= (self.flag(.parity) ^ wanted) &<< 8
    case .zero:
      setZero(wanted)
    case .direction:
      cpu.pointee.flags_other = (cpu.pointee.flags_other & ~(1 &<< 10)) | (wanted &<< 10)
    }
  }

  /// ZF follows from the result word, so changing it alone replaces the word and corrects SF and PF by their deltas.
  @inline(__always) func setZero(_ wanted: UInt64) {
    let sign = flag(.sign)
    let parity = flag(.parity)
    cpu.pointee.flags_result = wanted ^ 1
    cpu.pointee.flags_carries &= ~0xff01
    setFlag(.sign, sign)
    setFlag(.parity, parity)
  }
}
