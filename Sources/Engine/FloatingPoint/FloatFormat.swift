// The binary floating-point formats of x86 and the environment in which an operation runs: what MXCSR or
// the x87 control word say. Pure values; nothing here touches a guest. The arithmetic is in
// FloatArithmetic.swift and its neighbours. Host floating-point types may not be used in this folder: it
// must give the same bits on every host.

/// The parameters of a binary floating-point format (Intel SDM volume 1, section 4.2.2).
public struct FloatFormat: Equatable, Sendable {
  /// Significant bits, the integer bit included: 11, 24, 53 or 64.
  public let precision: Int
  /// Width of the biased exponent's field.
  public let exponentBits: Int

  @inlinable
  init(precision: Int, exponentBits: Int) {
    self.precision = precision
    self.exponentBits = exponentBits
  }

  public static var binary16: FloatFormat { FloatFormat(precision: 11, exponentBits: 5) }
  public static var binary32: FloatFormat { FloatFormat(precision: 24, exponentBits: 8) }
  public static var binary64: FloatFormat { FloatFormat(precision: 53, exponentBits: 11) }
  /// The x87 double extended format; see `FloatValue.init(significand:signExponent:)` for its memory form.
  public static var extended: FloatFormat { FloatFormat(precision: 64, exponentBits: 15) }

  /// x87 precision control: the extended format's exponents with a significand of 24 or 53 bits.
  public func rounded(toPrecision precision: Int) -> FloatFormat {
    FloatFormat(precision: precision, exponentBits: exponentBits)
  }

  public var bias: Int { (1 &<< (exponentBits &- 1)) &- 1 }
  /// Exponent of the largest finite numbers.
  public var maximumExponent: Int { bias }
  /// Exponent of the smallest normal number.
  public var minimumExponent: Int { 1 &- bias }
  /// What unmasked overflow and underflow on the x87 add to or take from the exponent (3 · 2^(bits − 2)).
  public var exponentAdjustment: Int { 3 &<< (exponentBits &- 2) }
  /// Width of the stored fraction in the interchange formats (not for `extended`).
  public var fractionBits: Int { precision &- 1 }
  /// Width of the interchange encoding in bits (not for `extended`).
  public var width: Int { exponentBits &+ precision }
}

/// A format as a type: the element of a vector. Rows name these types (`F32`, `F64`).
public protocol FloatElement {
  static var format: FloatFormat { get }
  /// Bits of one element.
  static var width: Int { get }
}

/// Half precision, a storage format only (F16C).
public enum F16: FloatElement {
  @inlinable public static var format: FloatFormat { FloatFormat.binary16 }
  @inlinable public static var width: Int { 16 }
}

/// Single precision: the `S` of `ADDPS` and `ADDSS`.
public enum F32: FloatElement {
  @inlinable public static var format: FloatFormat { FloatFormat.binary32 }
  @inlinable public static var width: Int { 32 }
}

/// Double precision: the `D` of `ADDPD` and `ADDSD`.
public enum F64: FloatElement {
  @inlinable public static var format: FloatFormat { FloatFormat.binary64 }
  @inlinable public static var width: Int { 64 }
}

/// Rounding control, encoded as in MXCSR.RC, the x87 control word and the immediates of ROUNDPS and
/// VCVTPS2PH.
public enum FloatRounding: UInt8, Sendable {
  case nearestEven = 0
  case down = 1
  case up = 2
  case towardZero = 3

  @inlinable
  public init(encoding: UInt32) {
    switch encoding & 3 {
    case 0: self = .nearestEven
    case 1: self = .down
    case 2: self = .up
    default: self = .towardZero
    }
  }
}

/// The six floating-point exceptions, in the bit positions that MXCSR and the x87 status word share.
public struct FloatExceptions: OptionSet, Sendable {
  public let rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static var invalid: FloatExceptions { FloatExceptions(rawValue: 1) }
  public static var denormal: FloatExceptions { FloatExceptions(rawValue: 2) }
  public static var divideByZero: FloatExceptions { FloatExceptions(rawValue: 4) }
  public static var overflow: FloatExceptions { FloatExceptions(rawValue: 8) }
  public static var underflow: FloatExceptions { FloatExceptions(rawValue: 16) }
  public static var inexact: FloatExceptions { FloatExceptions(rawValue: 32) }
  public static var all: FloatExceptions { FloatExceptions(rawValue: 63) }
  /// Exceptions found by looking at the operands; when one of them is unmasked, nothing is computed.
  public static var beforeComputation: FloatExceptions { FloatExceptions(rawValue: 7) }
}

/// Which of several NaN operands an instruction returns (SDM volume 1, table 4-7).
public enum NaNSelection: UInt8, Sendable {
  /// SSE and later: the first operand that is a NaN.
  case firstOperand
  /// x87: a quiet NaN before a signalling one, else the larger significand, else the positive one.
  case largerSignificand
}

/// The control bits an operation obeys, and the flags it leaves.
public struct FloatEnvironment: Sendable {
  public var rounding: FloatRounding
  /// MXCSR.DAZ: denormal operands count as zeros, silently.
  public var denormalsAreZero: Bool
  /// MXCSR.FTZ: tiny results become zeros (while underflow is masked).
  public var flushToZero: Bool
  public var nanSelection: NaNSelection
  public var masks: FloatExceptions
  /// Exceptions raised so far; operations only add to them.
  public var flags: FloatExceptions
  /// Flags of earlier steps of an instruction of several steps (DPPS); see `endStep`.
  @usableFromInline var settled: FloatExceptions
  /// The last rounding increased the magnitude (x87 condition code C1).
  public var roundedUp: Bool

  /// The environment of SSE and AVX instructions; flags start empty.
  @inlinable
  public init(mxcsr: UInt32) {
    rounding = FloatRounding(encoding: mxcsr &>> 13)
    denormalsAreZero = mxcsr & 0x40 != 0
    flushToZero = mxcsr & 0x8000 != 0
    nanSelection = .firstOperand
    masks = FloatExceptions(rawValue: UInt8(truncatingIfNeeded: (mxcsr &>> 7) & 63))
    flags = []
    settled = []
    roundedUp = false
  }

  /// The environment of x87 instructions; flags start empty. The precision is part of the format, see
  /// `precision(ofX87Control:)`.
  @inlinable
  public init(x87Control control: UInt16) {
    rounding = FloatRounding(encoding: UInt32(control) &>> 10)
    denormalsAreZero = false
    flushToZero = false
    nanSelection = .largerSignificand
    masks = FloatExceptions(rawValue: UInt8(truncatingIfNeeded: control & 63))
    flags = []
    settled = []
    roundedUp = false
  }

  /// The format that the x87 precision control (bits 8 and 9; 01 is reserved and acts as 64 bits) rounds
  /// results to.
  @inlinable
  public static func format(ofX87Control control: UInt16) -> FloatFormat {
    switch (control &>> 8) & 3 {
    case 0: return FloatFormat.extended.rounded(toPrecision: 24)
    case 2: return FloatFormat.extended.rounded(toPrecision: 53)
    default: return FloatFormat.extended
    }
  }

  @inlinable
  public mutating func raise(_ exceptions: FloatExceptions) {
    flags = FloatExceptions(rawValue: flags.rawValue | exceptions.rawValue)
  }

  @inlinable
  public func isMasked(_ exception: FloatExceptions) -> Bool { masks.rawValue & exception.rawValue != 0 }

  /// The flags to merge into MXCSR, and whether one of them is unmasked: then the instruction faults with #XM
  /// and writes no result. An unmasked exception of the operands keeps the later ones from being found.
  @inlinable
  public var outcome: (flags: UInt32, faults: Bool) {
    let unmasked = flags.rawValue & ~masks.rawValue
    let isFoundBefore = unmasked & FloatExceptions.beforeComputation.rawValue != 0
    let found = isFoundBefore ? flags.rawValue & FloatExceptions.beforeComputation.rawValue : flags.rawValue
    return (UInt32(found | settled.rawValue), unmasked != 0)
  }

  /// Ends a step of an instruction that works in steps; false when it faults, and nothing more happens.
  mutating func endStep() -> Bool {
    if outcome.faults { return false }
    settled = FloatExceptions(rawValue: settled.rawValue | flags.rawValue)
    flags = []
    return true
  }
}
