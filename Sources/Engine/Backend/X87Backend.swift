// x87 primitives. One primitive is one kind of instruction: a conformer sees operations and stack positions,
// and owns everything that follows from an instruction's outcome: stack faults, tags, condition codes, masked
// and unmasked responses (SDM volume 1, sections 8.1 and 8.5), the pointers to the last instruction and
// operand.
//
// Stack positions are relative to the top when the instruction begins. Memory is read and written through the
// core of the backend, before any x87 state changes.

/// The four operations with their reverse forms: `destination op source`, or `source op destination`.
public enum X87Arithmetic { case add, multiply, subtract, subtractReverse, divide, divideReverse }

/// FCOM signals any NaN, FUCOM only a signalling one.
public enum X87Comparison { case ordered, unordered }

/// Operations on ST(0) alone.
public enum X87Unary { case squareRoot, roundToInteger, powerOf2Minus1 }

/// Operations on ST(0) that may report an operand out of range in C2.
public enum X87Trigonometric { case sine, cosine }

/// The same with two results, of which the second is pushed.
public enum X87TrigonometricPush { case sineCosine, tangent }

/// Operations on ST(1) and ST(0) that replace ST(1) and pop.
public enum X87BinaryPop { case yLog2x, yLog2xPlus1, arcTangent }

/// Operations on ST(0) by ST(1) that replace ST(0).
public enum X87Binary { case scale }

/// Partial remainders of ST(0) by ST(1): rounded to zero (FPREM) or to nearest (FPREM1).
public enum X87Remainder { case remainder, remainderNearest }

public enum X87Constant { case one, log2of10, log2ofE, pi, log10of2, logEof2, zero }

/// A format of x87 operands in memory, as a type that rows name.
public protocol X87Format {
  /// Size in memory: 2, 4, 8 or 10.
  static var bytes: Int { get }
  static var kind: X87FormatKind { get }
}

public enum X87FormatKind {
  case single, double, extended, int16, int32, int64, truncated16, truncated32, truncated64, decimal
}

// PERF: constants that select code when a handler is compiled.
public enum X87Single: X87Format {
  @inline(__always) public static var bytes: Int { 4 }
  @inline(__always) public static var kind: X87FormatKind { .single }
}
public enum X87Double: X87Format {
  @inline(__always) public static var bytes: Int { 8 }
  @inline(__always) public static var kind: X87FormatKind { .double }
}
public enum X87Extended: X87Format {
  @inline(__always) public static var bytes: Int { 10 }
  @inline(__always) public static var kind: X87FormatKind { .extended }
}
public enum X87Int16: X87Format {
  @inline(__always) public static var bytes: Int { 2 }
  @inline(__always) public static var kind: X87FormatKind { .int16 }
}
public enum X87Int32: X87Format {
  @inline(__always) public static var bytes: Int { 4 }
  @inline(__always) public static var kind: X87FormatKind { .int32 }
}
public enum X87Int64: X87Format {
  @inline(__always) public static var bytes: Int { 8 }
  @inline(__always) public static var kind: X87FormatKind { .int64 }
}
/// Integers stored by FISTTP, whatever the rounding control says.
public enum X87Truncated16: X87Format {
  @inline(__always) public static var bytes: Int { 2 }
  @inline(__always) public static var kind: X87FormatKind { .truncated16 }
}
public enum X87Truncated32: X87Format {
  @inline(__always) public static var bytes: Int { 4 }
  @inline(__always) public static var kind: X87FormatKind { .truncated32 }
}
public enum X87Truncated64: X87Format {
  @inline(__always) public static var bytes: Int { 8 }
  @inline(__always) public static var kind: X87FormatKind { .truncated64 }
}
/// Eighteen packed decimal digits and a sign (FBLD, FBSTP).
public enum X87Decimal: X87Format {
  @inline(__always) public static var bytes: Int { 10 }
  @inline(__always) public static var kind: X87FormatKind { .decimal }
}

/// A memory operand with an address, whatever its size.
public protocol AddressedPlace {
  func address<B: Backend>(_ b: inout B) -> B.Value
}
extension Memory: AddressedPlace {}
extension Address: AddressedPlace {}

/// The x87 register stack and its operations in 80-bit precision.
public protocol X87Backend: CoreBackend {
  /// Raises the x87 floating-point error that an earlier instruction left pending. First step of every
  /// waiting instruction, before its operands are read.
  mutating func x87Wait()

  /// `destination = destination op source`, then pops when `pops` says so. One of the two is ST(0).
  mutating func x87Arithmetic(_ operation: X87Arithmetic, destination: UInt8, source: UInt8, pops: Bool)
  /// `ST(0) = ST(0) op memory`.
  mutating func x87Arithmetic<F: X87Format>(_ operation: X87Arithmetic, _ format: F.Type, _ address: Value)
  mutating func x87Compare(_ comparison: X87Comparison, with source: UInt8, pops: Int)
  mutating func x87Compare<F: X87Format>(_ format: F.Type, _ address: Value, pops: Int)
  /// Sets ZF, PF and CF, and clears OF, SF and AF.
  mutating func x87CompareFlags(_ comparison: X87Comparison, with source: UInt8, pops: Int)
  /// Compares ST(0) with 0.
  mutating func x87Test()
  mutating func x87Examine()

  mutating func x87Unary(_ operation: X87Unary)
  mutating func x87Trigonometric(_ operation: X87Trigonometric)
  mutating func x87TrigonometricPush(_ operation: X87TrigonometricPush)
  mutating func x87Extract()
  mutating func x87BinaryPop(_ operation: X87BinaryPop)
  mutating func x87Binary(_ operation: X87Binary)
  mutating func x87Remainder(_ operation: X87Remainder)
  /// Clears the sign of ST(0), or inverts it.
  mutating func x87Sign(inverts: Bool)

  mutating func x87Load<F: X87Format>(_ format: F.Type, _ address: Value)
  mutating func x87Load(from source: UInt8)
  mutating func x87LoadConstant(_ constant: X87Constant)
  mutating func x87Store<F: X87Format>(_ format: F.Type, _ address: Value, pops: Bool)
  mutating func x87Store(to destination: UInt8, pops: Bool)
  /// FSTP that only pops when ST(0) is empty.
  mutating func x87StoreUnchecked(to destination: UInt8)
  mutating func x87Exchange(with source: UInt8)
  mutating func x87Move(if condition: Truth, from source: UInt8)
  /// Adds `count` to the top of stack without touching tags.
  mutating func x87RotateStack(by count: UInt8)
  mutating func x87Free(_ register: UInt8, pops: Bool)
  mutating func x87NoOperation()

  mutating func x87Initialize()
  mutating func x87ClearExceptions()
  mutating func x87LoadControl(_ value: Value)
  mutating func x87Control() -> Value
  /// The status word with the top of stack in its place.
  mutating func x87Status() -> Value
  /// FLDENV and FNSTENV; `W` is 16 or 32 and gives the image's format (SDM volume 1, figures 8-9 and 8-10).
  mutating func x87LoadEnvironment<W: Width>(_ width: W.Type, _ address: Value)
  mutating func x87StoreEnvironment<W: Width>(_ width: W.Type, _ address: Value)
  mutating func x87RestoreState<W: Width>(_ width: W.Type, _ address: Value)
  mutating func x87SaveState<W: Width>(_ width: W.Type, _ address: Value)
}
