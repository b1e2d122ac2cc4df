// The interpreter's multiplication, division, shifts, rotates and bit counts, and the flags of those that do not follow
// from a carry vector.

import CHost
import X86

// PERF: as in Interpreter.swift, all of these fold into their handlers.
extension Interpreter {
  @inline(__always) public func multiply<W: Width>(
    _ width: W.Type, _ x: UInt64, _ y: UInt64, signed: Bool
  ) -> (low: UInt64, high: UInt64) {
    if signed {
      let product = W.Signed(truncatingIfNeeded: x).multipliedFullWidth(by: W.Signed(truncatingIfNeeded: y))
      let high = W.Native(truncatingIfNeeded: product.high)
      return (UInt64(truncatingIfNeeded: product.low), UInt64(truncatingIfNeeded: high))
    }
    let product = W.Native(truncatingIfNeeded: x).multipliedFullWidth(by: W.Native(truncatingIfNeeded: y))
    return (UInt64(truncatingIfNeeded: product.low), UInt64(truncatingIfNeeded: product.high))
  }

  @inline(__always) public func multiplySigned<W: Width>(
    _ width: W.Type, _ x: UInt64, _ y: UInt64
  ) -> (product: UInt64, overflow: Bool) {
    let (product, overflow) = W.Signed(truncatingIfNeeded: x)
      .multipliedReportingOverflow(by: W.Signed(truncatingIfNeeded: y))
    return (UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: product)), overflow)
  }

  @inline(__always) public func divide<W: Width>(
    _ width: W.Type, high: UInt64, low: UInt64, by divisor: UInt64, signed: Bool
  ) -> (quotient: UInt64, remainder: UInt64) {
    if signed { return divideSigned(W.self, high: high, low: low, by: divisor) }
    // The quotient fits exactly when the high half is below the divisor, which 0 never satisfies.
    trap(if: high >= divisor, .divideError)
    if W.bits == 64 {
      var remainder: UInt64 = 0
      let quotient = vt_divide128(high, low, divisor, &remainder)
      return (quotient, remainder)
    }
    let dividend = (high &<< W.bits) | low
    let quotient = divisor == 0 ? 0 : dividend / divisor
    return (quotient, dividend &- quotient &* divisor)
  }

  /// Division of magnitudes; the remainder has the sign of the dividend.
  @inline(__always) func divideSigned<W: Width>(
    _ width: W.Type, high: UInt64, low: UInt64, by divisor: UInt64
  ) -> (quotient: UInt64, remainder: UInt64) {
    let divisorIsNegative = W.Signed(truncatingIfNeeded: divisor) < 0
    let dividendIsNegative = W.Signed(truncatingIfNeeded: high) < 0
    let mask = UInt64.max &>> (64 &- W.bits)
    var (top, bottom) = (high, low)
    if dividendIsNegative {
      bottom = (0 &- low) & mask
      top = (~high &+ (low == 0 ? 1 : 0)) & mask
    }
    let magnitude = divisorIsNegative ? (0 &- divisor) & mask : divisor
    trap(if: top >= magnitude, .divideError)
    let (quotient, remainder) = divide(W.self, high: top, low: bottom, by: magnitude, signed: false)
    let isNegative = divisorIsNegative != dividendIsNegative
    let limit = (UInt64(1) &<< (W.bits &- 1)) &- (isNegative ? 0 : 1)
    trap(if: quotient > limit, .divideError)
    return (
      (isNegative ? 0 &- quotient : quotient) & mask,
      (dividendIsNegative ? 0 &- remainder : remainder) & mask
    )
  }

  // MARK: Shifts and rotates

  @inline(__always) public func shiftLeft<W: Width>(_ width: W.Type, _ x: UInt64, _ count: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: x &<< count))
  }

  @inline(__always) public func shiftRight<W: Width>(_ width: W.Type, _ x: UInt64, _ count: UInt64) -> UInt64
  {
    x &>> count
  }

  @inline(__always) public func shiftRightArithmetic<W: Width>(
    _ width: W.Type, _ x: UInt64, _ count: UInt64
  ) -> UInt64 {
    let wide = Int64(truncatingIfNeeded: W.Signed(truncatingIfNeeded: x))
    return UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: wide &>> Int64(bitPattern: count)))
  }

  @inline(__always) public func rotateLeft<W: Width>(_ width: W.Type, _ x: UInt64, _ count: UInt64) -> UInt64
  {
    let value = W.Native(truncatingIfNeeded: x)
    let left = W.Native(truncatingIfNeeded: count)
    return UInt64(truncatingIfNeeded: (value &<< left) | (value &>> (0 &- left)))
  }

  @inline(__always) public func rotateRight<W: Width>(_ width: W.Type, _ x: UInt64, _ count: UInt64) -> UInt64
  {
    let value = W.Native(truncatingIfNeeded: x)
    let right = W.Native(truncatingIfNeeded: count)
    return UInt64(truncatingIfNeeded: (value &>> right) | (value &<< (0 &- right)))
  }

  @inline(__always) public func rotateLeftThroughCarry<W: Width>(
    _ width: W.Type, _ x: UInt64, carry: UInt64, _ count: UInt64
  ) -> (result: UInt64, carry: UInt64) {
    if W.bits == 64 {
      if count == 0 { return (x, carry) }
      let wrapped = count == 1 ? 0 : x &>> (65 &- count)
      return ((x &<< count) | (carry &<< (count &- 1)) | wrapped, (x &>> (64 &- count)) & 1)
    }
    let used = count % (W.bits &+ 1)
    let wide = x | (carry &<< W.bits)
    let rotated = (wide &<< used) | (wide &>> (W.bits &+ 1 &- used))
    return (UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: rotated)), (rotated &>> W.bits) & 1)
  }

  @inline(__always) public func rotateRightThroughCarry<W: Width>(
    _ width: W.Type, _ x: UInt64, carry: UInt64, _ count: UInt64
  ) -> (result: UInt64, carry: UInt64) {
    if W.bits == 64 {
      if count == 0 { return (x, carry) }
      let wrapped = count == 1 ? 0 : x &<< (65 &- count)
      return ((x &>> count) | (carry &<< (64 &- count)) | wrapped, (x &>> (count &- 1)) & 1)
    }
    let used = count % (W.bits &+ 1)
    let wide = x | (carry &<< W.bits)
    let rotated = (wide &>> used) | (wide &<< (W.bits &+ 1 &- used))
    return (UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: rotated)), (rotated &>> W.bits) & 1)
  }

  /// Counts above 16 of a 16-bit operand are undefined; AMD silicon goes on with the filler once more.
  @inline(__always) public func shiftLeftDouble<W: Width>(
    _ width: W.Type, _ x: UInt64, _ filler: UInt64, _ count: UInt64
  ) -> (result: UInt64, carry: UInt64) {
    if W.bits == 64 {
      let below = (filler &>> 1) &>> (63 &- count)
      return ((x &<< count) | below, (x &>> (64 &- count)) & 1)
    }
    if W.bits == 32 {
      let wide = (x &<< 32) | filler
      return ((wide &<< count) &>> 32, (wide &>> (64 &- count)) & 1)
    }
    let wide = (x &<< 32) | (filler &<< 16) | filler
    return (((wide &<< count) &>> 32) & 0xffff, ((x &<< count) &>> 16) & 1)
  }

  @inline(__always) public func shiftRightDouble<W: Width>(
    _ width: W.Type, _ x: UInt64, _ filler: UInt64, _ count: UInt64
  ) -> (result: UInt64, carry: UInt64) {
    if W.bits == 64 {
      let above = (filler &<< 1) &<< (63 &- count)
      return ((x &>> count) | above, (x &>> (count &- 1)) & 1)
    }
    let wide = W.bits == 32 ? (filler &<< 32) | x : (filler &<< 32) | (filler &<< 16) | x
    let result = UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: wide &>> count))
    return (result, (x &>> (count &- 1)) & 1)
  }

  // MARK: Comparisons and counts

  @inline(__always) public func equal(_ x: UInt64, _ y: UInt64) -> Bool { x == y }
  @inline(__always) public func less(_ x: UInt64, _ y: UInt64) -> Bool { x < y }

  @inline(__always) public func leadingZeros<W: Width>(_ width: W.Type, _ x: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: x).leadingZeroBitCount)
  }

  @inline(__always) public func trailingZeros<W: Width>(_ width: W.Type, _ x: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: x).trailingZeroBitCount)
  }

  @inline(__always) public func populationCount(_ x: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: x.nonzeroBitCount)
  }

  @inline(__always) public func byteSwap<W: Width>(_ width: W.Type, _ x: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: x).byteSwapped)
  }

  public func depositBits(_ x: UInt64, mask: UInt64) -> UInt64 {
    var result: UInt64 = 0
    var rest = mask
    var source = x
    while rest != 0 {
      let lowest = rest & (0 &- rest)
      if source & 1 != 0 { result |= lowest }
      source &>>= 1
      rest &= rest &- 1
    }
    return result
  }

  public func extractBits(_ x: UInt64, mask: UInt64) -> UInt64 {
    var result: UInt64 = 0
    var rest = mask
    var bit: UInt64 = 1
    while rest != 0 {
      if x & rest & (0 &- rest) != 0 { result |= bit }
      bit &<<= 1
      rest &= rest &- 1
    }
    return result
  }

  // MARK: Flags

  /// As `setFlags(_:result:carries:)` with the old CF in place of the new one.
  @inline(__always) func setFlagsKeepingCarry<W: Width>(_ width: W.Type, result: UInt64, carries: UInt64) {
    let vector = carries &<< (64 &- W.bits)
    let carry = cpu.pointee.flags_carries & (1 &<< 63)
    // Bit 62 is CF ^ OF; OF is bit 63 ^ bit 62 of the carry vector.
    let overflow = vector ^ (vector &<< 1)
    let second = ((carry ^ overflow) &>> 1) & (1 &<< 62)
    cpu.pointee.flags_result = extended(W.self, result)
    cpu.pointee.flags_carries = carry | second | (carries & 8)
  }

  @inline(__always) public func setFlagsAfterIncrement<W: Width>(
    _ width: W.Type, _ x: UInt64, _ result: UInt64
  ) {
    setFlagsKeepingCarry(W.self, result: result, carries: (x & 1) | ((x | 1) & ~result))
  }

  @inline(__always) public func setFlagsAfterDecrement<W: Width>(
    _ width: W.Type, _ x: UInt64, _ result: UInt64
  ) {
    setFlagsKeepingCarry(W.self, result: result, carries: (~x & 1) | (~(x ^ 1) & result))
  }

  @inline(__always) public func setFlags<W: Width>(
    _ width: W.Type, result: UInt64, carry: UInt64, overflow: UInt64
  ) {
    cpu.pointee.flags_result = extended(W.self, result)
    cpu.pointee.flags_carries = Interpreter.carries(carry: carry, overflow: overflow)
  }

  /// Bits 63 and 62 of the carries word.
  @inline(__always) static func carries(carry: UInt64, overflow: UInt64) -> UInt64 {
    (carry &<< 63) | (((carry ^ overflow) & 1) &<< 62)
  }

  @inline(__always) public func setFlags<W: Width>(
    ifNotZero count: UInt64, _ width: W.Type, result: UInt64, carry: UInt64, overflow: UInt64
  ) {
    // PERF: a branch that is never taken in practice beats two conditional moves.
    if count != 0 { setFlags(W.self, result: result, carry: carry, overflow: overflow) }
  }

  @inline(__always) public func setCarryAndOverflow(
    ifNotZero count: UInt64, carry: UInt64, overflow: UInt64
  ) {
    if count != 0 {
      let rest = cpu.pointee.flags_carries & ~(3 &<< 62)
      cpu.pointee.flags_carries = rest | Interpreter.carries(carry: carry, overflow: overflow)
    }
  }

  public func readFlags() -> UInt64 { cpu.pointee.lazyFlags.rflags }

  public func writeFlags(_ value: UInt64, mask: UInt64) {
    cpu.pointee.lazyFlags = LazyFlags(rflags: (readFlags() & ~mask) | (value & mask))
  }
}
