// Transcendental functions of the portable x87 unit: computed with about 120 bits (WideFloat) and rounded
// once, so within 0.51 units in the last place; processors promise 1. The bits may differ from a given
// processor's in the last place. Arguments of the trigonometric functions are reduced by the 66-bit π that
// processors use (SDM volume 1, section 8.3.8).

extension PortableX87 {
  /// Rounds a result, which is never exact, to 64 bits.
  private mutating func deliver(_ value: WideFloat) -> FloatValue {
    environment.round(
      isNegative: value.isNegative, exponent: value.exponent, wide: value.significand | 1,
      format: .extended)
  }

  // MARK: - Powers and logarithms

  /// F2XM1 for −1 ≤ a ≤ 1; outside the result is undefined (here: the operand).
  mutating func powerOf2Minus1(_ a: FloatValue) -> FloatValue {
    environment.roundedUp = false
    if let result = environment.propagate(a) { return result }
    if a.isDenormal { environment.raise(.denormal) }
    if a.kind == .zero { return a }
    if a.kind == .infinity { return a.isNegative ? FloatValue(integer: -1) : a }
    if a.exponent >= 0 {
      let isOne = a.exponent == 0 && a.significand == 1 &<< 63
      if !isOne { environment.raise(.inexact) }
      if !isOne || !a.isNegative { return a }
      return FloatValue(kind: .finite, isNegative: true, exponent: -1, significand: 1 &<< 63)
    }
    return deliver((WideFloat(a) * .logEOf2).exponentialMinus1)
  }

  mutating func yLog2x(y: FloatValue, x: FloatValue) -> FloatValue {
    environment.roundedUp = false
    if let result = environment.propagate(y, x) { return result }
    if x.isNegative && x.kind != .zero { return environment.invalidOperation() }
    let isOne = x.kind == .finite && x.exponent == 0 && x.significand == 1 &<< 63
    if x.kind == .zero {
      if y.kind == .zero { return environment.invalidOperation() }
      if y.kind == .finite { environment.raise(.divideByZero) }
      return .infinity(isNegative: !y.isNegative)
    }
    if (x.kind == .infinity && y.kind == .zero) || (isOne && y.kind == .infinity) {
      return environment.invalidOperation()
    }
    environment.noteDenormals(x, y)
    /// log₂ x is negative.
    let isBelow = x.kind == .finite && x.exponent < 0
    let negative = y.isNegative != isBelow
    if x.kind == .infinity || y.kind == .infinity { return .infinity(isNegative: negative) }
    if y.kind == .zero || isOne { return .zero(isNegative: negative) }
    let product = WideFloat(y) * WideFloat(x).logarithm2
    if x.significand == 1 &<< 63 { return exact(product) }
    return deliver(product)
  }

  /// A product of two short numbers: x was a power of two. Processors report even that as inexact.
  private mutating func exact(_ value: WideFloat) -> FloatValue {
    environment.raise(.inexact)
    return environment.round(
      isNegative: value.isNegative, exponent: value.exponent, wide: value.significand, format: .extended)
  }

  /// FYL2XP1; the manual defines it for |x| < 1 − √½.
  mutating func yLog2xPlus1(y: FloatValue, x: FloatValue) -> FloatValue {
    environment.roundedUp = false
    if let result = environment.propagate(y, x) { return result }
    let negative = y.isNegative != x.isNegative
    let isIndeterminate =
      (x.kind == .zero && y.kind == .infinity) || (x.kind == .infinity && y.kind == .zero)
    let isBelowRange = x.isNegative && (x.kind == .infinity || (x.kind == .finite && x.exponent >= 0))
    if isIndeterminate || isBelowRange { return environment.invalidOperation() }
    environment.noteDenormals(x, y)
    if x.kind == .infinity || y.kind == .infinity { return .infinity(isNegative: negative) }
    if x.kind == .zero || y.kind == .zero { return .zero(isNegative: negative) }
    let wide = WideFloat(x)
    let logarithm = x.exponent < -2 ? wide.logarithm2Plus1 : (wide + .one).logarithm2
    return deliver(WideFloat(y) * logarithm)
  }

  // MARK: - Arc tangent

  /// FPATAN: the angle of the point (x, y).
  mutating func arcTangent(y: FloatValue, x: FloatValue) -> FloatValue {
    environment.roundedUp = false
    if let result = environment.propagate(y, x) { return result }
    environment.noteDenormals(x, y)
    let negative = y.isNegative
    if y.kind == .zero || (x.kind == .infinity && y.kind != .infinity) {
      if !x.isNegative { return .zero(isNegative: negative) }
      return angle(.pi, negative)
    }
    if y.kind == .infinity && x.kind == .infinity {
      let quarter = WideFloat.pi.scaled(-2)
      return angle(x.isNegative ? quarter * WideFloat(3) : quarter, negative)
    }
    if y.kind == .infinity || x.kind == .zero { return angle(WideFloat.pi.scaled(-1), negative) }
    let opposite = WideFloat(y).magnitude
    let adjacent = WideFloat(x).magnitude
    let isSteep = y.exponent > x.exponent || (y.exponent == x.exponent && y.significand > x.significand)
    let slope = isSteep ? adjacent / opposite : opposite / adjacent
    var result = slope.arcTangent
    if isSteep { result = WideFloat.pi.scaled(-1) - result }
    if x.isNegative { result = .pi - result }
    return angle(result, negative)
  }

  private mutating func angle(_ magnitude: WideFloat, _ isNegative: Bool) -> FloatValue {
    deliver(isNegative ? magnitude.negated : magnitude)
  }

  // MARK: - Sine, cosine, tangent

  /// What an argument is reduced to: sine and cosine with their signs.
  struct Angle {
    var sine: WideFloat
    var cosine: WideFloat
  }

  /// Handles operands that are no ordinary angle: the result, or nil. C2 is set when the operand is out of
  /// range.
  private mutating func unusualAngle(_ a: FloatValue) -> FloatValue? {
    environment.roundedUp = false
    if let result = environment.propagate(a) { return result }
    if a.kind == .infinity { return environment.invalidOperation() }
    if a.kind == .finite && a.exponent >= 63 {
      conditions = X87StatusBit.c2
      return a
    }
    if a.isDenormal { environment.raise(.denormal) }
    return nil
  }

  private static func angle(_ a: FloatValue) -> Angle {
    let (rest, quadrant) = reduce(a)
    let (sine, cosine) = rest.sineAndCosine
    switch quadrant & 3 {
    case 0: return Angle(sine: sine, cosine: cosine)
    case 1: return Angle(sine: cosine, cosine: sine.negated)
    case 2: return Angle(sine: sine.negated, cosine: cosine.negated)
    default: return Angle(sine: cosine.negated, cosine: sine)
    }
  }

  /// `a` minus the nearest multiple of π/2, and that multiple. The quotient is found bit by bit.
  private static func reduce(_ a: FloatValue) -> (rest: WideFloat, quadrant: Int) {
    if a.exponent < -1 { return (WideFloat(a), 0) }
    /// π/2 with 66 bits, as an integer times 2^−65; the operand's units are shifted to match.
    let half: UInt128 = 0x3_243f_6a88_85a3_08d3
    var rest = UInt128(a.significand) &<< 2
    var quadrant = 0
    // The operand is rest · 2^(exponent − 65); bring its exponent down to that of π/2, which is 0.
    var exponent = a.exponent
    if exponent < 0 {
      rest = rest &>> UInt128(truncatingIfNeeded: 0 &- exponent)
      exponent = 0
    }
    while true {
      quadrant = quadrant &<< 1
      if rest >= half {
        rest = rest &- half
        quadrant |= 1
      }
      if exponent == 0 { break }
      rest = rest &<< 1
      exponent = exponent &- 1
    }
    var result = WideFloat(exponent: 62, significand: rest)
    if rest &<< 1 > half {
      result = result - WideFloat(exponent: 62, significand: half)
      quadrant = quadrant &+ 1
    }
    if a.isNegative { return (result.negated, 0 &- quadrant) }
    return (result, quadrant)
  }

  mutating func trigonometric(_ a: FloatValue, _ select: (Angle) -> WideFloat) {
    if let result = unusualAngle(a) {
      first = result
      return
    }
    let angle = a.kind == .zero ? Angle(sine: .zero, cosine: .one) : PortableX87.angle(a)
    first = a.kind == .zero ? zeroOr(select(angle), a) : deliver(select(angle))
  }

  /// The functions of zero are exact: zero itself, or one.
  private func zeroOr(_ value: WideFloat, _ a: FloatValue) -> FloatValue {
    value.isZero ? a : FloatValue(integer: 1)
  }

  /// FSINCOS: the sine in `second`, the cosine in `first`.
  mutating func sineCosine(_ a: FloatValue) {
    if let result = unusualAngle(a) {
      first = result
      second = result
      return
    }
    if a.kind == .zero {
      first = FloatValue(integer: 1)
      second = a
      return
    }
    let angle = PortableX87.angle(a)
    second = deliver(angle.sine)
    first = deliver(angle.cosine)
  }

  /// FPTAN: the tangent in `second`, 1 in `first`.
  mutating func tangent(_ a: FloatValue) {
    if let result = unusualAngle(a) {
      first = result
      second = result
      return
    }
    first = FloatValue(integer: 1)
    if a.kind == .zero {
      second = a
    } else {
      let angle = PortableX87.angle(a)
      second = deliver(angle.sine / angle.cosine)
    }
  }
}
