// Rounding: the one place where an exact (or sticky) result becomes a value of a format, and where
// overflow, underflow and inexact are found (SDM volume 1, sections 4.9.1 and 11.5.2; IEEE 754 with
// tininess detected after rounding).

/// A significand of 128 bits, normalised (bit 127 set), whose bit 0 stands for itself and everything below
/// it.
typealias WideSignificand = UInt128

extension UInt128 {
  /// Shifts right by any count, keeping lost bits as a one in bit 0.
  func shiftedRightSticky(_ count: Int) -> UInt128 {
    if count <= 0 { return self }
    if count > 127 { return self == 0 ? 0 : 1 }
    let amount = UInt128(truncatingIfNeeded: count)
    let lost = self & ((1 &<< amount) &- 1)
    return (self &>> amount) | (lost == 0 ? 0 : 1)
  }
}

/// A significand cut to a precision.
struct RoundedSignificand {
  /// Left-aligned; zero when everything was rounded away.
  var significand: UInt64
  /// The increment carried out of bit 63: the exponent grows by one.
  var carried: Bool
  var isInexact: Bool
  var isIncreased: Bool
}

extension FloatEnvironment {
  /// Cuts `wide` (bit 127 is the most significant position, it need not be set) to `precision` bits.
  func cut(_ wide: UInt128, isNegative: Bool, precision: Int) -> RoundedSignificand {
    let dropped = UInt128(truncatingIfNeeded: 128 &- precision)
    let unit: UInt128 = 1 &<< dropped
    let rest = wide & (unit &- 1)
    let kept = wide &- rest
    let half = unit &>> 1
    let increases: Bool
    switch rounding {
    case .nearestEven: increases = rest > half || (rest == half && kept & unit != 0)
    case .down: increases = rest != 0 && isNegative
    case .up: increases = rest != 0 && !isNegative
    case .towardZero: increases = false
    }
    let (sum, carried) = increases ? kept.addingReportingOverflow(unit) : (kept, false)
    let significand = carried ? UInt64(1) &<< 63 : UInt64(truncatingIfNeeded: sum &>> 64)
    return RoundedSignificand(
      significand: significand, carried: carried, isInexact: rest != 0, isIncreased: increases)
  }

  /// Rounds ±(wide / 2^127) · 2^exponent to `format`, raising overflow, underflow and inexact.
  ///
  /// With unmasked overflow or underflow the result is the rounded one with its exponent adjusted, as the
  /// x87 delivers it to registers; SSE instructions fault and do not use it.
  public mutating func round(
    isNegative: Bool, exponent: Int, wide: UInt128, format: FloatFormat
  ) -> FloatValue {
    if wide == 0 { return .zero(isNegative: isNegative) }
    let shift = wide.leadingZeroBitCount
    let wide = wide &<< UInt128(truncatingIfNeeded: shift)
    let exponent = exponent &- shift
    let normal = cut(wide, isNegative: isNegative, precision: format.precision)
    let normalExponent = normal.carried ? exponent &+ 1 : exponent
    if normalExponent < format.minimumExponent {
      return underflow(isNegative, exponent, wide, format, rounded: normal)
    }
    roundedUp = normal.isIncreased
    if normal.isInexact { raise(.inexact) }
    let result = FloatValue(
      kind: .finite, isNegative: isNegative, exponent: normalExponent, significand: normal.significand)
    return normalExponent > format.maximumExponent ? overflow(result, format) : result
  }

  private mutating func overflow(_ rounded: FloatValue, _ format: FloatFormat) -> FloatValue {
    raise(.overflow)
    if !isMasked(.overflow) {
      var result = rounded
      result.exponent = rounded.exponent &- format.exponentAdjustment
      return result
    }
    raise(.inexact)
    let negative = rounded.isNegative
    let toInfinity: Bool
    switch rounding {
    case .nearestEven: toInfinity = true
    case .down: toInfinity = negative
    case .up: toInfinity = !negative
    case .towardZero: toInfinity = false
    }
    roundedUp = toInfinity
    return toInfinity ? .infinity(isNegative: negative) : .largest(isNegative: negative, format: format)
  }

  private mutating func underflow(
    _ isNegative: Bool, _ exponent: Int, _ wide: UInt128, _ format: FloatFormat, rounded: RoundedSignificand
  ) -> FloatValue {
    if !isMasked(.underflow) {
      raise(.underflow)
      if rounded.isInexact { raise(.inexact) }
      roundedUp = rounded.isIncreased
      return FloatValue(
        kind: .finite, isNegative: isNegative,
        exponent: exponent &+ (rounded.carried ? 1 : 0) &+ format.exponentAdjustment,
        significand: rounded.significand)
    }
    if flushToZero {
      raise([.underflow, .inexact])
      return .zero(isNegative: isNegative)
    }
    let distance = format.minimumExponent &- exponent
    let cutDown = cut(wide.shiftedRightSticky(distance), isNegative: isNegative, precision: format.precision)
    roundedUp = cutDown.isIncreased
    if cutDown.isInexact { raise([.underflow, .inexact]) }
    if cutDown.significand == 0 { return .zero(isNegative: isNegative) }
    let shift = cutDown.significand.leadingZeroBitCount
    return FloatValue(
      kind: .finite, isNegative: isNegative, isDenormal: shift != 0,
      exponent: format.minimumExponent &- shift,
      significand: cutDown.significand &<< UInt64(truncatingIfNeeded: shift))
  }
}
