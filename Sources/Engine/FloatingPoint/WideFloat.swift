// Floating point with 128-bit significands: working precision for the portable x87 transcendental functions,
// whose results have 64 bits. Operations truncate; a chain of a few dozen loses perhaps seven bits of the
// 128. Finite values only, exponents without limits. Host floating-point types may not be used in this
// folder.

/// ±(significand / 2^127) · 2^exponent with bit 127 set, or zero.
struct WideFloat {
  var isNegative: Bool
  var exponent: Int
  var significand: UInt128

  /// Normalises.
  init(isNegative: Bool = false, exponent: Int, significand: UInt128) {
    let shift = significand == 0 ? 0 : significand.leadingZeroBitCount
    self.isNegative = isNegative
    self.exponent = exponent &- shift
    self.significand = significand &<< UInt128(truncatingIfNeeded: shift)
  }

  init(high: UInt64, low: UInt64, exponent: Int) {
    self.init(exponent: exponent, significand: UInt128(high) &<< 64 | UInt128(low))
  }

  init(_ integer: Int) {
    self.init(
      isNegative: integer < 0, exponent: 127, significand: UInt128(truncatingIfNeeded: integer.magnitude))
  }

  /// A finite value or zero.
  init(_ value: FloatValue) {
    self.init(
      isNegative: value.isNegative, exponent: value.exponent,
      significand: value.kind == .zero ? 0 : UInt128(value.significand) &<< 64)
  }

  static var zero: WideFloat { WideFloat(exponent: 0, significand: 0) }
  static var one: WideFloat { WideFloat(1) }
  static var pi: WideFloat {
    WideFloat(high: 0xc90f_daa2_2168_c234, low: 0xc4c6_628b_80dc_1cd1, exponent: 1)
  }
  static var logEOf2: WideFloat {
    WideFloat(high: 0xb172_17f7_d1cf_79ab, low: 0xc9e3_b398_03f2_f6af, exponent: -1)
  }

  var isZero: Bool { significand == 0 }
  var magnitude: WideFloat { WideFloat(exponent: exponent, significand: significand) }
  var negated: WideFloat {
    WideFloat(isNegative: !isNegative, exponent: exponent, significand: significand)
  }
  /// Times 2^count.
  func scaled(_ count: Int) -> WideFloat {
    WideFloat(isNegative: isNegative, exponent: exponent &+ count, significand: significand)
  }

  static func + (a: WideFloat, b: WideFloat) -> WideFloat {
    if a.isZero { return b }
    if b.isZero { return a }
    let aIsLarger = a.exponent > b.exponent || (a.exponent == b.exponent && a.significand >= b.significand)
    let large = aIsLarger ? a : b
    let small = aIsLarger ? b : a
    let distance = large.exponent &- small.exponent
    var addend = distance > 127 ? 0 : small.significand &>> UInt128(truncatingIfNeeded: distance)
    if a.isNegative != b.isNegative {
      // Truncation is towards zero also when what is subtracted had to be cut.
      let isCut = distance > 127 || addend &<< UInt128(truncatingIfNeeded: distance) != small.significand
      addend = addend &+ (isCut ? 1 : 0)
      return WideFloat(
        isNegative: large.isNegative, exponent: large.exponent, significand: large.significand &- addend)
    }
    let (sum, carried) = large.significand.addingReportingOverflow(addend)
    return carried
      ? WideFloat(
        isNegative: large.isNegative, exponent: large.exponent &+ 1, significand: sum &>> 1 | 1 &<< 127)
      : WideFloat(isNegative: large.isNegative, exponent: large.exponent, significand: sum)
  }

  static func - (a: WideFloat, b: WideFloat) -> WideFloat { a + b.negated }

  static func * (a: WideFloat, b: WideFloat) -> WideFloat {
    let aHigh = UInt64(truncatingIfNeeded: a.significand &>> 64)
    let aLow = UInt64(truncatingIfNeeded: a.significand)
    let bHigh = UInt64(truncatingIfNeeded: b.significand &>> 64)
    let bLow = UInt64(truncatingIfNeeded: b.significand)
    let low = aLow.multipliedFullWidth(by: bLow).high
    let first = aHigh.multipliedFullWidth(by: bLow)
    let second = aLow.multipliedFullWidth(by: bHigh)
    let middle = UInt128(first.low) &+ UInt128(second.low) &+ UInt128(low)
    let top = aHigh.multipliedFullWidth(by: bHigh)
    let high =
      (UInt128(top.high) &<< 64 | UInt128(top.low)) &+ UInt128(first.high) &+ UInt128(second.high)
      &+ (middle &>> 64)
    return WideFloat(
      isNegative: a.isNegative != b.isNegative, exponent: a.exponent &+ b.exponent &+ 1, significand: high)
  }

  /// `b` is not zero.
  static func / (a: WideFloat, b: WideFloat) -> WideFloat {
    if a.isZero { return a }
    // Both significands are in [2^127, 2^128); bit by bit, with the remainder kept below the divisor.
    let divisor = b.significand
    let starts = a.significand >= divisor
    var remainder = starts ? a.significand &- divisor : a.significand
    var quotient: UInt128 = starts ? 1 : 0
    for _ in 0..<(starts ? 127 : 128) {
      let carries = remainder &>> 127 != 0
      remainder = remainder &<< 1
      quotient = quotient &<< 1
      if carries || remainder >= divisor {
        remainder = remainder &- divisor
        quotient |= 1
      }
    }
    let exponent = a.exponent &- b.exponent &- (starts ? 0 : 1)
    return WideFloat(isNegative: a.isNegative != b.isNegative, exponent: exponent, significand: quotient)
  }

  /// Of a positive value: 64 bits by integer arithmetic, doubled by one step of Newton's method.
  var squareRoot: WideFloat {
    let isOdd = exponent & 1 != 0
    let radicand = significand &>> (isOdd ? 0 : 1)
    let root = WideFloat(
      exponent: (exponent &- (isOdd ? 1 : 0)) / 2, significand: SoftDivision.squareRoot(radicand))
    return (root + self / root).scaled(-1)
  }
}

// MARK: - Elementary functions by power series

extension WideFloat {
  /// e^x − 1 for |x| < 1.
  var exponentialMinus1: WideFloat {
    var term = self
    var sum = self
    for n in 2..<36 {
      term = term * self / WideFloat(n)
      sum = sum + term
    }
    return sum
  }

  /// The inverse hyperbolic tangent for |x| < 0.2.
  var inverseHyperbolicTangent: WideFloat { oddSeries(sign: false) }

  /// The arc tangent for |x| ≤ 1: halved twice, then a series.
  var arcTangent: WideFloat {
    var x = self
    for _ in 0..<2 { x = x / (.one + (.one + x * x).squareRoot) }
    return x.oddSeries(sign: true).scaled(2)
  }

  /// x ± x³/3 + x⁵/5 ± …
  private func oddSeries(sign: Bool) -> WideFloat {
    let square = sign ? (self * self).negated : self * self
    var power = self
    var sum = self
    for n in 1..<30 {
      power = power * square
      sum = sum + power / WideFloat(n &* 2 &+ 1)
    }
    return sum
  }

  /// log₂ of a positive value.
  var logarithm2: WideFloat {
    // Split into 2^k · m with m in [¾, 1½).
    let isUpper = significand &>> 126 == 3
    let k = exponent &+ (isUpper ? 1 : 0)
    let m = WideFloat(exponent: isUpper ? -1 : 0, significand: significand)
    let logarithm = ((m - .one) / (m + .one)).inverseHyperbolicTangent.scaled(1)
    return WideFloat(k) + logarithm / .logEOf2
  }

  /// log₂(1 + x) for −0.3 < x < 0.42.
  var logarithm2Plus1: WideFloat {
    (self / (self + WideFloat(2))).inverseHyperbolicTangent.scaled(1) / .logEOf2
  }

  /// Sine and cosine for |x| ≤ π/4.
  var sineAndCosine: (sine: WideFloat, cosine: WideFloat) {
    let square = (self * self).negated
    var sine = self
    var cosine = WideFloat.one
    var sineTerm = self
    var cosineTerm = WideFloat.one
    for n in 1..<18 {
      let even = n &* 2
      cosineTerm = cosineTerm * square / WideFloat((even &- 1) &* even)
      sineTerm = sineTerm * square / WideFloat(even &* (even &+ 1))
      cosine = cosine + cosineTerm
      sine = sine + sineTerm
    }
    return (sine, cosine)
  }
}
