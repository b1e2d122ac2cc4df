// Element types of vectors, as types, so that one generic operation on a 128-bit chunk specialises to the
// instruction of each element width. The rows of ISA/*.isa name them (`packedAdd U8 $1 $1 $2`).

/// An element type of a 128-bit chunk.
public protocol Element {
  associatedtype Scalar: FixedWidthInteger & SIMDScalar & BitwiseCopyable
  /// A chunk seen as elements of this type.
  associatedtype Lanes: SIMD & BitwiseCopyable where Lanes.Scalar == Scalar
  /// A signed integer of at least twice the width; for 64-bit elements of 64 bits (no operation needs more).
  associatedtype Wide: FixedWidthInteger & SignedInteger
}

public enum U8: Element {
  public typealias Scalar = UInt8
  public typealias Lanes = SIMD16<UInt8>
  public typealias Wide = Int16
}

public enum U16: Element {
  public typealias Scalar = UInt16
  public typealias Lanes = SIMD8<UInt16>
  public typealias Wide = Int32
}

public enum U32: Element {
  public typealias Scalar = UInt32
  public typealias Lanes = SIMD4<UInt32>
  public typealias Wide = Int64
}

public enum U64: Element {
  public typealias Scalar = UInt64
  public typealias Lanes = SIMD2<UInt64>
  public typealias Wide = Int64
}

public enum S8: Element {
  public typealias Scalar = Int8
  public typealias Lanes = SIMD16<Int8>
  public typealias Wide = Int16
}

public enum S16: Element {
  public typealias Scalar = Int16
  public typealias Lanes = SIMD8<Int16>
  public typealias Wide = Int32
}

public enum S32: Element {
  public typealias Scalar = Int32
  public typealias Lanes = SIMD4<Int32>
  public typealias Wide = Int64
}

public enum S64: Element {
  public typealias Scalar = Int64
  public typealias Lanes = SIMD2<Int64>
  public typealias Wide = Int64
}
