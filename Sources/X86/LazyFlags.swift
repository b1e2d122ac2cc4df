// The status flags as the interpreter keeps them: two words from which each flag is one or two logic operations away,
// so that an addition costs two stores and a conditional jump looks at one word. Pure values; no state is owned here.
//
//     result    sign-extended result:      ZF = (result == 0)
//     carries   bit 63: carry out          CF
//               bit 62: CF xor OF          (the carry into the top bit)
//               bits 8…15                  PF = even parity of (low byte of result xor this byte)
//               bit 3: carry out of bit 3  AF
//               bit 0                      SF = bit 63 of result xor this bit
//     other     DF, TF, IF, … at their places in RFLAGS
//
// After an operation the deltas (bits 8…15 and bit 0) are 0; they exist so that any combination of flags can be told.

/// The flags of a guest CPU in lazy form.
@frozen public struct LazyFlags: Equatable, Sendable {
  public var result: UInt64
  public var carries: UInt64
  public var other: UInt64

  // PERF: these fold into interpreter handlers of a dozen host instructions; a call would double them.
  @inlinable @inline(__always) public init(result: UInt64, carries: UInt64, other: UInt64) {
    self.result = result
    self.carries = carries
    self.other = other
  }

  /// The positions of the status flags in RFLAGS: CF, PF, AF, ZF, SF, OF.
  @inlinable @inline(__always) public static var statusMask: UInt64 { 0x8d5 }

  /// What user mode may change: not IF and IOPL. OF, DF, TF, NT, AC, ID, and the others of `statusMask`.
  @inlinable @inline(__always) public static var userMask: UInt64 { 0x24_4dd5 }

  /// CF in bit 0; so for the following five.
  @inlinable @inline(__always) public var carry: UInt64 { carries &>> 63 }
  @inlinable @inline(__always) public var overflow: UInt64 { (carries ^ (carries &<< 1)) &>> 63 }
  @inlinable @inline(__always) public var adjust: UInt64 { (carries &>> 3) & 1 }
  @inlinable @inline(__always) public var zero: UInt64 { result == 0 ? 1 : 0 }
  @inlinable @inline(__always) public var sign: UInt64 { (result ^ (carries &<< 63)) &>> 63 }
  @inlinable @inline(__always) public var parity: UInt64 {
    let byte = (result ^ (carries &>> 8)) & 0xff
    let nibble = (byte ^ (byte &>> 4)) & 15
    // Bit n is set where n has an even number of ones.
    return (0x9669 &>> nibble) & 1
  }

  /// Whether a condition holds. `condition` is a constant wherever speed matters.
  @inlinable @inline(__always) public func holds(_ condition: Condition) -> Bool {
    let truth: Bool
    switch Condition(rawValue: condition.rawValue & 14) ?? .overflow {
    case .overflow: truth = Int64(bitPattern: carries ^ (carries &<< 1)) < 0
    case .below: truth = Int64(bitPattern: carries) < 0
    case .equal: truth = result == 0
    case .belowOrEqual: truth = result == 0 || Int64(bitPattern: carries) < 0
    case .sign: truth = sign != 0
    case .parity: truth = parity != 0
    case .less: truth = isLess
    default: truth = result == 0 || isLess
    }
    return truth != (condition.rawValue & 1 != 0)
  }

  @inlinable @inline(__always) var isLess: Bool {
    Int64(bitPattern: result ^ (carries &<< 63) ^ carries ^ (carries &<< 1)) < 0
  }

  /// The six status flags at their places in RFLAGS.
  @inlinable @inline(__always) public var status: UInt64 {
    let low = carry | (parity &<< 2) | (adjust &<< 4)
    return low | (zero &<< 6) | (sign &<< 7) | (overflow &<< 11)
  }

  /// RFLAGS; bit 1 is always set.
  @inlinable public var rflags: UInt64 { status | other | 2 }

  /// The flags that a value of RFLAGS stands for.
  @inlinable public init(rflags: UInt64) {
    self.init(status: rflags, other: rflags & ~(LazyFlags.statusMask | 2))
  }

  /// Takes the status flags from `status` (at their places in RFLAGS) and the rest as it is.
  @inlinable @inline(__always) public init(status: UInt64, other: UInt64) {
    // Bit 8 of the result says "not zero" without touching its low byte or its sign.
    result = (~status & 0x40) &<< 2
    let carry = status &<< 63
    let carryIn = (carry &>> 1) ^ ((status & 0x800) &<< 51)
    let deltas = ((~status & 4) &<< 6) | ((status &>> 1) & 8) | ((status &>> 7) & 1)
    carries = carry | carryIn | deltas
    self.other = other
  }

  /// Sets CF to bit 0 of `value`; OF stays.
  @inlinable @inline(__always) public mutating func setCarry(_ value: UInt64) {
    let change = ((carries &>> 63) ^ value) & 1
    carries ^= (change &<< 63) | (change &<< 62)
  }

  /// Sets OF to bit 0 of `value`; CF stays.
  @inlinable @inline(__always) public mutating func setOverflow(_ value: UInt64) {
    carries = (carries & ~(1 &<< 62)) | ((carry ^ (value & 1)) &<< 62)
  }

  /// Sets ZF to bit 0 of `value`; SF and PF stay.
  @inlinable @inline(__always) public mutating func setZero(_ value: UInt64) {
    let deltas = ((parity ^ 1) &<< 8) | sign
    carries = (carries & ~0xff01) | deltas
    result = (~value & 1) &<< 8
  }

  /// Set SF, AF, PF to bit 0 of `value`; the others stay.
  @inlinable @inline(__always) public mutating func setSign(_ value: UInt64) {
    carries ^= sign ^ (value & 1)
  }

  @inlinable @inline(__always) public mutating func setAdjust(_ value: UInt64) {
    carries = (carries & ~8) | ((value & 1) &<< 3)
  }

  @inlinable @inline(__always) public mutating func setParity(_ value: UInt64) {
    carries ^= (parity ^ (value & 1)) &<< 8
  }
}
