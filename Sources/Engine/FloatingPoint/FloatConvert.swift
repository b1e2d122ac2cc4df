// Conversions: between formats, to and from integers, to an integral value. The integer indefinite (only
// the sign bit set) answers what does not fit (SDM volume 1, table 4-… “Floating-point to integer
// conversion”).

extension FloatEnvironment {
  /// A value in another format (CVTSS2SD, CVTSD2SS, VCVTPS2PH, x87 loads and stores).
  public mutating func convert(_ value: FloatValue, to format: FloatFormat) -> FloatValue {
    roundedUp = false
    let value = prepare(value)
    if let result = propagate(value) { return result.truncated(to: format) }
    if value.isDenormal { raise(.denormal) }
    if value.kind != .finite { return value }
    return round(
      isNegative: value.isNegative, exponent: value.exponent, wide: UInt128(value.significand) &<< 64,
      format: format)
  }

  /// The nearest integer, as a value of the same format (ROUNDPS, FRNDINT). `suppressesInexact` is bit 3 of
  /// ROUNDPS's immediate; FRNDINT reports denormal operands, ROUNDPS does not.
  public mutating func roundToIntegral(
    _ value: FloatValue, rounding: FloatRounding, suppressesInexact: Bool, reportsDenormal: Bool
  ) -> FloatValue {
    roundedUp = false
    let value = prepare(value)
    if let result = propagate(value) { return result }
    if value.isDenormal && reportsDenormal { raise(.denormal) }
    if value.kind != .finite || value.exponent >= 63 { return value }
    let rounded = cutToInteger(value, rounding)
    if rounded.isInexact && !suppressesInexact { raise(.inexact) }
    roundedUp = rounded.isIncreased
    if rounded.magnitude == 0 { return .zero(isNegative: value.isNegative) }
    let shift = rounded.magnitude.leadingZeroBitCount
    return FloatValue(
      kind: .finite, isNegative: value.isNegative, exponent: 63 &- shift,
      significand: rounded.magnitude &<< UInt64(truncatingIfNeeded: shift))
  }

  /// The magnitude, rounded to an integer, of a finite value below 2^63 (a result of 2^63 is possible).
  private func cutToInteger(
    _ value: FloatValue, _ rounding: FloatRounding
  ) -> (magnitude: UInt64, isInexact: Bool, isIncreased: Bool) {
    let wide = (UInt128(value.significand) &<< 64).shiftedRightSticky(63 &- value.exponent)
    let magnitude = UInt64(truncatingIfNeeded: wide &>> 64)
    let rest = UInt64(truncatingIfNeeded: wide)
    let half: UInt64 = 1 &<< 63
    let increases: Bool
    switch rounding {
    case .nearestEven: increases = rest > half || (rest == half && magnitude & 1 != 0)
    case .down: increases = rest != 0 && value.isNegative
    case .up: increases = rest != 0 && !value.isNegative
    case .towardZero: increases = false
    }
    return (increases ? magnitude &+ 1 : magnitude, rest != 0, increases)
  }

  /// A signed integer of `width` bits (16, 32, 64), sign-extended. Denormal operands are not reported: they
  /// are merely inexact, as on silicon.
  public mutating func integer(_ value: FloatValue, width: Int, rounding: FloatRounding) -> Int64 {
    roundedUp = false
    let indefinite = Int64.min &>> Int64(truncatingIfNeeded: 64 &- width)
    let value = prepare(value)
    if value.kind == .zero { return 0 }
    guard value.kind == .finite && value.exponent < 64 else {
      raise(.invalid)
      return indefinite
    }
    if value.exponent == 63 {
      if value.isNegative && value.significand == 1 &<< 63 && width == 64 { return .min }
      raise(.invalid)
      return indefinite
    }
    let rounded = cutToInteger(value, rounding)
    let limit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: width &- 1)
    if rounded.magnitude > limit || (rounded.magnitude == limit && !value.isNegative) {
      raise(.invalid)
      return indefinite
    }
    if rounded.isInexact { raise(.inexact) }
    roundedUp = rounded.isIncreased
    let magnitude = Int64(truncatingIfNeeded: rounded.magnitude)
    return value.isNegative ? 0 &- magnitude : magnitude
  }

  /// The value of an integer, rounded to `format`.
  public mutating func value(of integer: Int64, format: FloatFormat) -> FloatValue {
    roundedUp = false
    return round(
      isNegative: integer < 0, exponent: 63, wide: UInt128(integer.magnitude) &<< 64, format: format)
  }

  /// The value of an unsigned integer, rounded to `format`.
  public mutating func value(ofUnsigned integer: UInt64, format: FloatFormat) -> FloatValue {
    roundedUp = false
    return round(isNegative: false, exponent: 63, wide: UInt128(integer) &<< 64, format: format)
  }
}

extension FloatValue {
  /// A NaN with the payload bits that `format` has room for (the others are cut off).
  func truncated(to format: FloatFormat) -> FloatValue {
    var result = self
    result.significand &= ~UInt64(0) &<< UInt64(truncatingIfNeeded: 64 &- format.precision)
    return result
  }
}
