// A floating-point datum taken apart, the same for every format: significands and NaN payloads are
// left-aligned in 64 bits, so that formats differ only in how a value is packed. Taking apart raises no
// exception and obeys no control bit; `FloatEnvironment.prepare` applies denormals-are-zero.

/// What a datum is.
public enum FloatKind: UInt8, Sendable {
  case zero
  /// A number other than zero, normal or denormal.
  case finite
  case infinity
  case quietNaN
  case signallingNaN
  /// An x87 encoding that no processor since the 80287 accepts: unnormal, pseudo-infinity, pseudo-NaN.
  case unsupported
}

/// A floating-point datum. A finite one is ±(significand / 2^63) · 2^exponent.
public struct FloatValue: Equatable, Sendable {
  public var kind: FloatKind
  public var isNegative: Bool
  /// It was encoded as a denormal (pseudo-denormals of the x87 included).
  public var isDenormal: Bool
  public var exponent: Int
  /// Normalised for finite values (bit 63 set). For NaNs bit 63 is set, bit 62 is the quiet bit, the
  /// payload follows.
  public var significand: UInt64

  @inlinable
  init(
    kind: FloatKind, isNegative: Bool, isDenormal: Bool = false, exponent: Int = 0, significand: UInt64 = 0
  ) {
    self.kind = kind
    self.isNegative = isNegative
    self.isDenormal = isDenormal
    self.exponent = exponent
    self.significand = significand
  }

  public static func zero(isNegative: Bool) -> FloatValue { FloatValue(kind: .zero, isNegative: isNegative) }
  public static func infinity(isNegative: Bool) -> FloatValue {
    FloatValue(kind: .infinity, isNegative: isNegative)
  }
  /// The default NaN, “QNaN floating-point indefinite”.
  public static var indefinite: FloatValue {
    FloatValue(kind: .quietNaN, isNegative: true, significand: 0xc000_0000_0000_0000)
  }
  /// The largest finite value of `format`.
  public static func largest(isNegative: Bool, format: FloatFormat) -> FloatValue {
    FloatValue(
      kind: .finite, isNegative: isNegative, exponent: format.maximumExponent,
      significand: ~UInt64(0) &<< UInt64(truncatingIfNeeded: 64 &- format.precision))
  }

  public var isNaN: Bool { kind == .quietNaN || kind == .signallingNaN }
  /// The value with the quiet bit set.
  public var quieted: FloatValue {
    FloatValue(kind: .quietNaN, isNegative: isNegative, significand: significand | 0x4000_0000_0000_0000)
  }
  public var negated: FloatValue {
    var result = self
    result.isNegative = !isNegative
    return result
  }

  /// Takes apart an interchange encoding (binary16, binary32, binary64) in the low bits of `bits`.
  public init(bits: UInt64, format: FloatFormat) {
    let fractionBits = UInt64(truncatingIfNeeded: format.fractionBits)
    let fraction = bits & ((1 &<< fractionBits) &- 1)
    let field = Int(truncatingIfNeeded: (bits &>> fractionBits)) & ((1 &<< format.exponentBits) &- 1)
    let negative = (bits &>> UInt64(truncatingIfNeeded: format.width &- 1)) & 1 != 0
    let aligned = fraction &<< (63 &- fractionBits)
    let integerBit: UInt64 = 1 &<< 63
    if field == (1 &<< format.exponentBits) &- 1 {
      if fraction == 0 {
        self = .infinity(isNegative: negative)
      } else {
        let quiet = aligned & (1 &<< 62) != 0
        self.init(
          kind: quiet ? .quietNaN : .signallingNaN, isNegative: negative, significand: aligned | integerBit)
      }
    } else if field != 0 {
      self.init(
        kind: .finite, isNegative: negative, exponent: field &- format.bias, significand: aligned | integerBit
      )
    } else {
      self.init(denormal: aligned, isNegative: negative, format: format)
    }
  }

  /// A zero or a denormal whose significand, aligned but not normalised, is `significand`.
  @inline(__always)  // PERF: shared by two initialisers, three instructions each
  private init(denormal significand: UInt64, isNegative: Bool, format: FloatFormat) {
    if significand == 0 {
      self = .zero(isNegative: isNegative)
    } else {
      let shift = significand.leadingZeroBitCount
      self.init(
        kind: .finite, isNegative: isNegative, isDenormal: true, exponent: format.minimumExponent &- shift,
        significand: significand &<< UInt64(truncatingIfNeeded: shift))
    }
  }

  /// Takes apart an x87 register or an 80-bit memory operand (SDM volume 1, sections 4.2.2 and 8.2.2).
  public init(significand: UInt64, signExponent: UInt16) {
    let negative = signExponent & 0x8000 != 0
    let field = Int(signExponent & 0x7fff)
    let hasIntegerBit = significand &>> 63 != 0
    if field == 0 {
      self.init(denormal: significand, isNegative: negative, format: .extended)
    } else if !hasIntegerBit {
      self.init(kind: .unsupported, isNegative: negative, significand: significand)
    } else if field != 0x7fff {
      self.init(
        kind: .finite, isNegative: negative, exponent: field &- FloatFormat.extended.bias,
        significand: significand)
    } else if significand &<< 1 == 0 {
      self = .infinity(isNegative: negative)
    } else {
      let quiet = significand & (1 &<< 62) != 0
      self.init(kind: quiet ? .quietNaN : .signallingNaN, isNegative: negative, significand: significand)
    }
  }

  /// The interchange encoding of a value that `format` represents exactly (every result of a rounding is).
  public func bits(format: FloatFormat) -> UInt64 {
    let fractionBits = UInt64(truncatingIfNeeded: format.fractionBits)
    let largestField: UInt64 = (1 &<< UInt64(truncatingIfNeeded: format.exponentBits)) &- 1
    let fractionMask: UInt64 = (1 &<< fractionBits) &- 1
    let sign: UInt64 = isNegative ? 1 &<< UInt64(truncatingIfNeeded: format.width &- 1) : 0
    let infinity = largestField &<< fractionBits
    switch kind {
    case .zero: return sign
    case .infinity: return sign | infinity
    case .quietNaN, .signallingNaN, .unsupported:
      return sign | infinity | ((significand &>> (63 &- fractionBits)) & fractionMask)
    case .finite:
      if exponent < format.minimumExponent {
        let shift = UInt64(truncatingIfNeeded: format.minimumExponent &- exponent)
        return sign | (significand >> (63 &- fractionBits &+ shift))
      }
      let field = UInt64(truncatingIfNeeded: exponent &+ format.bias)
      return sign | (field &<< fractionBits) | ((significand &>> (63 &- fractionBits)) & fractionMask)
    }
  }

  /// The x87 encoding: significand, then sign and biased exponent.
  public var extended: (significand: UInt64, signExponent: UInt16) {
    let sign: UInt16 = isNegative ? 0x8000 : 0
    switch kind {
    case .zero: return (0, sign)
    case .infinity: return (1 &<< 63, sign | 0x7fff)
    case .quietNaN, .signallingNaN, .unsupported: return (significand, sign | 0x7fff)
    case .finite:
      let minimum = FloatFormat.extended.minimumExponent
      if exponent < minimum {
        return (significand >> UInt64(truncatingIfNeeded: minimum &- exponent), sign)
      }
      let field = UInt16(truncatingIfNeeded: exponent &+ FloatFormat.extended.bias)
      return (significand, sign | field)
    }
  }
}
