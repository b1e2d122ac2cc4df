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

  /// 0 or 1.
  mutating func flag(_ flag: Flag) -> Value
  mutating func condition(_ condition: Condition) -> Truth
  /// Sets the six flags after `result = x + y (+ carry)`.
  mutating func setFlagsAfterAdd<W: Width>(_ width: W.Type, _ x: Value, _ y: Value, _ result: Value)
  /// Sets the six flags after `result = x - y (- borrow)`.
  mutating func setFlagsAfterSubtract<W: Width>(_ width: W.Type, _ x: Value, _ y: Value, _ result: Value)
  /// CF = OF = 0, AF = 0 (undefined in the manual), ZF SF PF by the result.
  mutating func setFlagsAfterLogic<W: Width>(_ width: W.Type, _ result: Value)
  /// Sets one flag to the low bit of `value`, the others stay.
  mutating func setFlag(_ flag: Flag, _ value: Value)
}
