// Operand widths as types, so that one generic semantic specialises to 8-, 16-, 32- and 64-bit code.

/// The width of an integer operand.
public protocol Width {
  /// The host's unsigned integer of this width.
  associatedtype Native: FixedWidthInteger & UnsignedInteger & BitwiseCopyable
  /// The host's signed integer of this width.
  associatedtype Signed: FixedWidthInteger & SignedInteger & BitwiseCopyable
  /// 8, 16, 32 or 64.
  static var bits: UInt64 { get }
}

public enum W8: Width {
  public typealias Native = UInt8
  public typealias Signed = Int8
  // PERF: a constant that must fold in every handler; the same holds for the other widths.
  @inline(__always) public static var bits: UInt64 { 8 }
}

public enum W16: Width {
  public typealias Native = UInt16
  public typealias Signed = Int16
  @inline(__always) public static var bits: UInt64 { 16 }
}

public enum W32: Width {
  public typealias Native = UInt32
  public typealias Signed = Int32
  @inline(__always) public static var bits: UInt64 { 32 }
}

public enum W64: Width {
  public typealias Native = UInt64
  public typealias Signed = Int64
  @inline(__always) public static var bits: UInt64 { 64 }
}
