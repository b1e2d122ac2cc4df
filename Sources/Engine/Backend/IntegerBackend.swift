// Integer primitives: arithmetic on zero-extended values of a given width, and the status flags.

import X86

/// Integer arithmetic and flags. Unless said otherwise, operands and results are zero-extended values of width `W`.
public protocol IntegerBackend: CoreBackend {
  mutating func add<W: Width>(_ width: W.Type, _ x: Value, _ y: Value) -> Value
  mutating func subtract<W: Width>(_ width: W.Type, _ x: Value, _ y: Value) -> Value
  mutating func and(_ x: Value, _ y: Value) -> Value
  mutating func or(_ x: Value, _ y: Value) -> Value
  mutating func exclusiveOr(_ x: Value, _ y: Value) -> Value
  mutating func not<W: Width>(_ width: W.Type, _ x: Value) -> Value
  mutating func signExtend<From: Width, To: Width>(_ from: From.Type, _ to: To.Type, _ x: Value) -> Value

  /// Both halves of the product.
  mutating func multiply<W: Width>(
    _ width: W.Type, _ x: Value, _ y: Value, signed: Bool
  ) -> (low: Value, high: Value)
  /// The low half of the signed product, and whether it differs from the whole.
  mutating func multiplySigned<W: Width>(
    _ width: W.Type, _ x: Value, _ y: Value
  ) -> (product: Value, overflow: Truth)
  /// Divides high:low; raises #DE when `divisor` is 0 or the quotient needs more than `W.bits` bits.
  mutating func divide<W: Width>(
    _ width: W.Type, high: Value, low: Value, by divisor: Value, signed: Bool
  ) -> (quotient: Value, remainder: Value)

  // Shifts take counts of 0…63, also beyond the operand's width (nothing is left then).
  mutating func shiftLeft<W: Width>(_ width: W.Type, _ x: Value, _ count: Value) -> Value
  mutating func shiftRight<W: Width>(_ width: W.Type, _ x: Value, _ count: Value) -> Value
  mutating func shiftRightArithmetic<W: Width>(_ width: W.Type, _ x: Value, _ count: Value) -> Value
  /// Rotates by `count` modulo the width.
  mutating func rotateLeft<W: Width>(_ width: W.Type, _ x: Value, _ count: Value) -> Value
  mutating func rotateRight<W: Width>(_ width: W.Type, _ x: Value, _ count: Value) -> Value
  /// Rotates `carry`:x, `W.bits + 1` bits, by `count` (0…63).
  mutating func rotateLeftThroughCarry<W: Width>(
    _ width: W.Type, _ x: Value, carry: Value, _ count: Value
  ) -> (result: Value, carry: Value)
  mutating func rotateRightThroughCarry<W: Width>(
    _ width: W.Type, _ x: Value, carry: Value, _ count: Value
  ) -> (result: Value, carry: Value)
  /// Shifts `x` left, filling from the top of `filler` (`count` of 0…31, 63 for 64 bits).
  mutating func shiftLeftDouble<W: Width>(
    _ width: W.Type, _ x: Value, _ filler: Value, _ count: Value
  ) -> (result: Value, carry: Value)
  mutating func shiftRightDouble<W: Width>(
    _ width: W.Type, _ x: Value, _ filler: Value, _ count: Value
  ) -> (result: Value, carry: Value)

  mutating func equal(_ x: Value, _ y: Value) -> Truth
  /// Unsigned comparison of 64 bits.
  mutating func less(_ x: Value, _ y: Value) -> Truth
  /// `W.bits` when `x` is 0.
  mutating func leadingZeros<W: Width>(_ width: W.Type, _ x: Value) -> Value
  mutating func trailingZeros<W: Width>(_ width: W.Type, _ x: Value) -> Value
  mutating func populationCount(_ x: Value) -> Value
  mutating func byteSwap<W: Width>(_ width: W.Type, _ x: Value) -> Value
  /// PDEP: spreads the low bits of `x` over the ones of `mask`.
  mutating func depositBits(_ x: Value, mask: Value) -> Value
  /// PEXT: gathers the bits of `x` at the ones of `mask`.
  mutating func extractBits(_ x: Value, mask: Value) -> Value

  /// 0 or 1.
  mutating func flag(_ flag: Flag) -> Value
  mutating func condition(_ condition: Condition) -> Truth
  /// Sets the six flags after `result = x + y (+ carry)`.
  mutating func setFlagsAfterAdd<W: Width>(_ width: W.Type, _ x: Value, _ y: Value, _ result: Value)
  /// Sets the six flags after `result = x - y (- borrow)`.
  mutating func setFlagsAfterSubtract<W: Width>(_ width: W.Type, _ x: Value, _ y: Value, _ result: Value)
  /// All but CF after `result = x + 1`.
  mutating func setFlagsAfterIncrement<W: Width>(_ width: W.Type, _ x: Value, _ result: Value)
  /// All but CF after `result = x - 1`.
  mutating func setFlagsAfterDecrement<W: Width>(_ width: W.Type, _ x: Value, _ result: Value)
  /// CF = OF = 0, AF = 0 (undefined in the manual), ZF SF PF by the result.
  mutating func setFlagsAfterLogic<W: Width>(_ width: W.Type, _ result: Value)
  /// ZF SF PF by the result, CF and OF as given (bit 0 counts), AF = 0.
  mutating func setFlags<W: Width>(_ width: W.Type, result: Value, carry: Value, overflow: Value)
  /// The same where `count` is not 0; otherwise every flag stays.
  mutating func setFlags<W: Width>(
    ifNotZero count: Value, _ width: W.Type, result: Value, carry: Value, overflow: Value)
  /// CF and OF where `count` is not 0 (bit 0 of the values counts); the others stay.
  mutating func setCarryAndOverflow(ifNotZero count: Value, carry: Value, overflow: Value)
  /// Sets one flag to the low bit of `value`, the others stay.
  mutating func setFlag(_ flag: Flag, _ value: Value)
  /// RFLAGS as PUSHF would store it.
  mutating func readFlags() -> Value
  /// Replaces the bits of RFLAGS that `mask` has.
  mutating func writeFlags(_ value: Value, mask: UInt64)
}

extension IntegerBackend {
  // PERF: as all of the backend, folds into handlers.
  /// 1 where `truth` holds, else 0.
  @inline(__always) public mutating func bit(_ truth: Truth) -> Value {
    let one = constant(1)
    let zero = constant(0)
    return select(truth, one, zero)
  }

  /// Bit `W.bits - 1` of `x`, as 0 or 1.
  @inline(__always) public mutating func topBit<W: Width>(_ width: W.Type, _ x: Value) -> Value {
    let count = constant(W.bits - 1)
    return shiftRight(W.self, x, count)
  }

  /// Writes the register where `condition` holds and leaves all 64 bits of it otherwise.
  @inline(__always) public mutating func writeRegister<W: Width>(
    if condition: Truth, _ width: W.Type, _ offset: UInt8, _ value: Value
  ) {
    if W.bits == 32 {
      let old = readRegister(W64.self, offset)
      let new = select(condition, value, old)
      writeRegister(W64.self, offset, new)
    } else {
      let old = readRegister(W.self, offset)
      let new = select(condition, value, old)
      writeRegister(W.self, offset, new)
    }
  }
}
