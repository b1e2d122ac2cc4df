// SSE and AVX floating-point primitives: what the semantics of ISA/*-float.isa, fma.isa and f16c.isa ask of
// an engine. All obey the guest's MXCSR and leave their flags in it; one that raises an unmasked exception
// is a #XM and does not return, so a semantic writes only after its last primitive.

/// Operations on two packed operands, element by element unless the name says otherwise.
public enum FloatBinaryOperation: UInt8, Sendable {
  case add, subtract, multiply, divide, minimum, maximum
  /// Even elements are subtracted, odd ones added.
  case addSubtract
  /// Sums or differences of neighbours: first those of the first operand, then those of the second.
  case horizontalAdd, horizontalSubtract
}

/// Approximations of 12 bits, without flags. Their bits depend on the processor model.
public enum FloatApproximation: UInt8, Sendable {
  case reciprocal, reciprocalSquareRoot
}

/// Conversions of packed elements within one chunk. Where sizes differ the narrow elements are in the low
/// half.
public enum FloatConversion: UInt8, Sendable {
  case int32ToSingle, singleToInt32, singleToInt32Truncated
  case int32ToDouble, singleToDouble, halfToSingle
  case doubleToInt32, doubleToInt32Truncated, doubleToSingle
}

/// How a conversion to an integer rounds: by MXCSR, or toward zero.
public enum FloatIntegerRounding: UInt8, Sendable {
  case rounded, truncated
}

/// Whether a comparison treats quiet NaNs as invalid.
public enum FloatComparisonKind: UInt8, Sendable {
  case quiet, signalling
}

/// How many predicates an encoding of a comparison knows.
public enum FloatPredicates: UInt8, Sendable {
  case eight, thirtyTwo
}

/// The digits of an FMA mnemonic: the operands that are multiplied, and the one that is added.
public enum FusedForm: UInt8, Sendable {
  case form132, form213, form231
}

/// What is done with product and addend: `add` p + c, `subtract` p − c, negated −p ± c, alternating by
/// element.
public enum FusedOperation: UInt8, Sendable {
  case add, subtract, negatedAdd, negatedSubtract
  /// Even elements subtracted, odd added; and the reverse.
  case addSubtract, subtractAdd
}

/// Floating-point operations on chunks under the guest's MXCSR. Scalar operations take the result's upper
/// elements from their first operand.
public protocol FloatBackend: VectorBackend {
  mutating func floatBinary<F: FloatElement>(
    _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk
  mutating func floatBinaryScalar<F: FloatElement>(
    _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk
  mutating func floatSquareRoot<F: FloatElement>(_ element: F.Type, _ x: Chunk) -> Chunk
  mutating func floatSquareRootScalar<F: FloatElement>(_ element: F.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func floatApproximate(_ function: FloatApproximation, _ x: Chunk) -> Chunk
  mutating func floatApproximateScalar(_ function: FloatApproximation, _ x: Chunk, _ y: Chunk) -> Chunk

  /// Elements of all ones where the predicate holds.
  mutating func floatCompare<F: FloatElement>(
    _ predicates: FloatPredicates, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ predicate: UInt8
  ) -> Chunk
  mutating func floatCompareScalar<F: FloatElement>(
    _ predicates: FloatPredicates, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ predicate: UInt8
  ) -> Chunk
  /// Compares the low elements and sets ZF, PF, CF; clears OF, SF, AF.
  mutating func setFlagsAfterFloatCompare<F: FloatElement>(
    _ kind: FloatComparisonKind, _ element: F.Type, _ x: Chunk, _ y: Chunk)

  /// Converts a signed integer of width `W`.
  mutating func floatFromInteger<F: FloatElement, W: Width>(
    _ element: F.Type, _ width: W.Type, _ x: Chunk, _ value: Value
  ) -> Chunk
  /// Converts the low element to a signed integer of width `W`.
  mutating func floatToInteger<F: FloatElement, W: Width>(
    _ rounding: FloatIntegerRounding, _ element: F.Type, _ width: W.Type, _ x: Chunk
  ) -> Value
  mutating func floatConvertScalar<From: FloatElement, To: FloatElement>(
    _ from: From.Type, _ to: To.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk
  mutating func floatConvert(_ conversion: FloatConversion, _ x: Chunk) -> Chunk
  /// Four singles to four halves in the low half; `control` is VCVTPS2PH's immediate.
  mutating func floatToHalf(_ x: Chunk, _ control: UInt8) -> Chunk

  /// Rounds to integral values; `control` is ROUNDPS's immediate.
  mutating func floatRound<F: FloatElement>(_ element: F.Type, _ x: Chunk, _ control: UInt8) -> Chunk
  mutating func floatRoundScalar<F: FloatElement>(
    _ element: F.Type, _ x: Chunk, _ y: Chunk, _ control: UInt8
  ) -> Chunk
  /// `control` is DPPS's immediate: which products to sum, which elements to store to.
  mutating func floatDotProduct<F: FloatElement>(
    _ element: F.Type, _ x: Chunk, _ y: Chunk, _ control: UInt8
  ) -> Chunk
  /// Whether `fusedMultiply` and `fusedMultiplyScalar` may be used; a fact about the host, not about the guest.
  var hasFusedMultiply: Bool { get }
  /// Operands in Intel's order; upper elements of the scalar form come from `x`.
  mutating func fusedMultiply<F: FloatElement>(
    _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
  ) -> Chunk
  mutating func fusedMultiplyScalar<F: FloatElement>(
    _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
  ) -> Chunk
  /// The same on every host.
  mutating func fusedMultiplyPortably<F: FloatElement>(
    _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
  ) -> Chunk
  mutating func fusedMultiplyScalarPortably<F: FloatElement>(
    _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
  ) -> Chunk

  /// Loads MXCSR; reserved bits have been checked.
  mutating func setMXCSR(_ value: Value)
  mutating func mxcsr() -> Value
  /// Whether `value` sets reserved bits of MXCSR.
  mutating func hasReservedMXCSRBits(_ value: Value) -> Truth

  /// The low halves of two chunks, and the high half of one moved down.
  mutating func joinLowHalves(_ low: Chunk, _ high: Chunk) -> Chunk
  mutating func highHalf(_ x: Chunk) -> Chunk
  /// `x` with its low half from `low`.
  mutating func replaceLowHalf(_ x: Chunk, _ low: Chunk) -> Chunk
  /// The low half, zero-extended.
  mutating func lowHalf(_ x: Chunk) -> Chunk
}
