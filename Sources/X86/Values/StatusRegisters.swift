// The processor's flag registers as option sets: RFLAGS, MXCSR, and the x87 control and status words.

/// RFLAGS (SDM volume 1, section 3.4.3).
@frozen public struct RFLAGS: OptionSet, Sendable {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable public static var carry: RFLAGS { RFLAGS(rawValue: 1 << 0) }
  /// Bit 1, which is always set.
  @inlinable public static var fixed: RFLAGS { RFLAGS(rawValue: 1 << 1) }
  @inlinable public static var parity: RFLAGS { RFLAGS(rawValue: 1 << 2) }
  @inlinable public static var adjust: RFLAGS { RFLAGS(rawValue: 1 << 4) }
  @inlinable public static var zero: RFLAGS { RFLAGS(rawValue: 1 << 6) }
  @inlinable public static var sign: RFLAGS { RFLAGS(rawValue: 1 << 7) }
  @inlinable public static var trap: RFLAGS { RFLAGS(rawValue: 1 << 8) }
  @inlinable public static var interrupt: RFLAGS { RFLAGS(rawValue: 1 << 9) }
  @inlinable public static var direction: RFLAGS { RFLAGS(rawValue: 1 << 10) }
  @inlinable public static var overflow: RFLAGS { RFLAGS(rawValue: 1 << 11) }
  /// The two bits of the I/O privilege level.
  @inlinable public static var ioPrivilegeLevel: RFLAGS { RFLAGS(rawValue: 3 << 12) }
  @inlinable public static var nestedTask: RFLAGS { RFLAGS(rawValue: 1 << 14) }
  @inlinable public static var resume: RFLAGS { RFLAGS(rawValue: 1 << 16) }
  @inlinable public static var virtual8086: RFLAGS { RFLAGS(rawValue: 1 << 17) }
  @inlinable public static var alignmentCheck: RFLAGS { RFLAGS(rawValue: 1 << 18) }
  @inlinable public static var virtualInterrupt: RFLAGS { RFLAGS(rawValue: 1 << 19) }
  @inlinable public static var virtualInterruptPending: RFLAGS { RFLAGS(rawValue: 1 << 20) }
  @inlinable public static var identification: RFLAGS { RFLAGS(rawValue: 1 << 21) }
  /// The six flags that arithmetic writes.
  @inlinable public static var status: RFLAGS { RFLAGS(rawValue: 0x8d5) }
}

/// MXCSR (SDM volume 1, section 10.2.3).
@frozen public struct MXCSR: OptionSet, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public static var invalid: MXCSR { MXCSR(rawValue: 1 << 0) }
  @inlinable public static var denormal: MXCSR { MXCSR(rawValue: 1 << 1) }
  @inlinable public static var divideByZero: MXCSR { MXCSR(rawValue: 1 << 2) }
  @inlinable public static var overflow: MXCSR { MXCSR(rawValue: 1 << 3) }
  @inlinable public static var underflow: MXCSR { MXCSR(rawValue: 1 << 4) }
  @inlinable public static var inexact: MXCSR { MXCSR(rawValue: 1 << 5) }
  @inlinable public static var denormalsAreZero: MXCSR { MXCSR(rawValue: 1 << 6) }
  /// The six mask bits, in the order of the six flags.
  @inlinable public static var masks: MXCSR { MXCSR(rawValue: 0x3f << 7) }
  /// Rounding control: 0 nearest even, 1 down, 2 up, 3 towards zero.
  @inlinable public static var roundingControl: MXCSR { MXCSR(rawValue: 3 << 13) }
  @inlinable public static var flushToZero: MXCSR { MXCSR(rawValue: 1 << 15) }
  @inlinable public static var flags: MXCSR { MXCSR(rawValue: 0x3f) }
  /// The value after reset: all exceptions masked, nearest even.
  @inlinable public static var initial: MXCSR { MXCSR(rawValue: 0x1f80) }
}

/// The x87 control word (SDM volume 1, section 8.1.5).
@frozen public struct X87Control: OptionSet, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  /// Masks of invalid, denormal, divide by zero, overflow, underflow, precision: bits 0–5.
  @inlinable public static var masks: X87Control { X87Control(rawValue: 0x3f) }
  /// Precision control: 0 single, 2 double, 3 extended.
  @inlinable public static var precisionControl: X87Control { X87Control(rawValue: 3 << 8) }
  @inlinable public static var roundingControl: X87Control { X87Control(rawValue: 3 << 10) }
  /// The value after FNINIT.
  @inlinable public static var initial: X87Control { X87Control(rawValue: 0x37f) }
}

/// The x87 status word (SDM volume 1, section 8.1.3).
@frozen public struct X87Status: OptionSet, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  @inlinable public static var invalid: X87Status { X87Status(rawValue: 1 << 0) }
  @inlinable public static var denormal: X87Status { X87Status(rawValue: 1 << 1) }
  @inlinable public static var divideByZero: X87Status { X87Status(rawValue: 1 << 2) }
  @inlinable public static var overflow: X87Status { X87Status(rawValue: 1 << 3) }
  @inlinable public static var underflow: X87Status { X87Status(rawValue: 1 << 4) }
  @inlinable public static var precision: X87Status { X87Status(rawValue: 1 << 5) }
  @inlinable public static var stackFault: X87Status { X87Status(rawValue: 1 << 6) }
  /// An unmasked exception is pending.
  @inlinable public static var errorSummary: X87Status { X87Status(rawValue: 1 << 7) }
  @inlinable public static var c0: X87Status { X87Status(rawValue: 1 << 8) }
  @inlinable public static var c1: X87Status { X87Status(rawValue: 1 << 9) }
  @inlinable public static var c2: X87Status { X87Status(rawValue: 1 << 10) }
  /// The three bits of TOP.
  @inlinable public static var top: X87Status { X87Status(rawValue: 7 << 11) }
  @inlinable public static var c3: X87Status { X87Status(rawValue: 1 << 14) }
  @inlinable public static var busy: X87Status { X87Status(rawValue: 1 << 15) }
}
