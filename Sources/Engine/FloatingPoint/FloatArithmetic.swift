// Addition, multiplication, division, square root, fused multiply-add on `FloatValue`s with the exceptions,
// default results and NaN choices of x86 (SDM volume 1, sections 4.8.3.5, 4.9, 8.5 and 11.5). Operands of
// one operation come from one format; results are rounded to the format given. Not inlined: this is the
// path of hosts without the instruction.

extension FloatEnvironment {
  /// Applies denormals-are-zero to an operand.
  public func prepare(_ value: FloatValue) -> FloatValue {
    denormalsAreZero && value.isDenormal ? .zero(isNegative: value.isNegative) : value
  }

  /// Handles NaN and unsupported operands: the result, or nil when `a` and `b` are numbers.
  mutating func propagate(_ a: FloatValue, _ b: FloatValue) -> FloatValue? {
    if a.kind == .unsupported || b.kind == .unsupported {
      raise(.invalid)
      return .indefinite
    }
    if !a.isNaN && !b.isNaN { return nil }
    if a.kind == .signallingNaN || b.kind == .signallingNaN { raise(.invalid) }
    if !b.isNaN { return a.quieted }
    if !a.isNaN { return b.quieted }
    guard nanSelection == .largerSignificand else { return a.quieted }
    if a.kind != b.kind { return a.kind == .quietNaN ? a : b }
    if a.significand != b.significand { return a.significand > b.significand ? a.quieted : b.quieted }
    return a.isNegative ? b.quieted : a.quieted
  }

  /// Handles a NaN or unsupported operand of a unary operation.
  mutating func propagate(_ a: FloatValue) -> FloatValue? {
    if a.kind == .unsupported {
      raise(.invalid)
      return .indefinite
    }
    if !a.isNaN { return nil }
    if a.kind == .signallingNaN { raise(.invalid) }
    return a.quieted
  }

  mutating func invalidOperation() -> FloatValue {
    raise(.invalid)
    return .indefinite
  }

  mutating func noteDenormals(_ a: FloatValue, _ b: FloatValue) {
    if a.isDenormal || b.isDenormal { raise(.denormal) }
  }

  /// `a + b`.
  public mutating func add(_ a: FloatValue, _ b: FloatValue, format: FloatFormat) -> FloatValue {
    roundedUp = false
    let a = prepare(a)
    let b = prepare(b)
    if let result = propagate(a, b) { return result }
    if a.kind == .infinity && b.kind == .infinity && a.isNegative != b.isNegative {
      return invalidOperation()
    }
    noteDenormals(a, b)
    if a.kind == .infinity { return a }
    if b.kind == .infinity { return b }
    return sum(
      a, UInt128(a.significand) &<< 64, b, UInt128(b.significand) &<< 64, format: format)
  }

  /// `a - b`; a NaN `b` keeps its sign.
  public mutating func subtract(_ a: FloatValue, _ b: FloatValue, format: FloatFormat) -> FloatValue {
    add(a, b.isNaN ? b : b.negated, format: format)
  }

  /// The sum of two finite values or zeros, whose significands are given with 128 bits (bit 127 set, or all
  /// zero).
  private mutating func sum(
    _ a: FloatValue, _ wideA: UInt128, _ b: FloatValue, _ wideB: UInt128, format: FloatFormat
  ) -> FloatValue {
    if wideA == 0 && wideB == 0 {
      return .zero(isNegative: a.isNegative == b.isNegative ? a.isNegative : rounding == .down)
    }
    if wideB == 0 {
      return round(isNegative: a.isNegative, exponent: a.exponent, wide: wideA, format: format)
    }
    if wideA == 0 {
      return round(isNegative: b.isNegative, exponent: b.exponent, wide: wideB, format: format)
    }
    let aIsLarger = a.exponent > b.exponent || (a.exponent == b.exponent && wideA >= wideB)
    let exponent = aIsLarger ? a.exponent : b.exponent
    let distance = aIsLarger ? a.exponent &- b.exponent : b.exponent &- a.exponent
    let large = (aIsLarger ? wideA : wideB).shiftedRightSticky(1)
    let small = (aIsLarger ? wideB : wideA).shiftedRightSticky(distance &+ 1)
    let negative = aIsLarger ? a.isNegative : b.isNegative
    if a.isNegative == b.isNegative {
      return round(isNegative: negative, exponent: exponent &+ 1, wide: large &+ small, format: format)
    }
    let difference = large &- small
    if difference == 0 { return .zero(isNegative: rounding == .down) }
    return round(isNegative: negative, exponent: exponent &+ 1, wide: difference, format: format)
  }

  /// `a × b`.
  public mutating func multiply(_ a: FloatValue, _ b: FloatValue, format: FloatFormat) -> FloatValue {
    roundedUp = false
    let a = prepare(a)
    let b = prepare(b)
    if let result = propagate(a, b) { return result }
    let negative = a.isNegative != b.isNegative
    if (a.kind == .infinity && b.kind == .zero) || (a.kind == .zero && b.kind == .infinity) {
      return invalidOperation()
    }
    noteDenormals(a, b)
    if a.kind == .infinity || b.kind == .infinity { return .infinity(isNegative: negative) }
    if a.kind == .zero || b.kind == .zero { return .zero(isNegative: negative) }
    let (high, low) = a.significand.multipliedFullWidth(by: b.significand)
    let wide = UInt128(high) &<< 64 | UInt128(low)
    return round(isNegative: negative, exponent: a.exponent &+ b.exponent &+ 1, wide: wide, format: format)
  }

  /// `a ÷ b`.
  public mutating func divide(_ a: FloatValue, _ b: FloatValue, format: FloatFormat) -> FloatValue {
    roundedUp = false
    let a = prepare(a)
    let b = prepare(b)
    if let result = propagate(a, b) { return result }
    let negative = a.isNegative != b.isNegative
    if (a.kind == .infinity && b.kind == .infinity) || (a.kind == .zero && b.kind == .zero) {
      return invalidOperation()
    }
    if b.kind == .zero && a.kind != .infinity {
      raise(.divideByZero)
      return .infinity(isNegative: negative)
    }
    noteDenormals(a, b)
    if a.kind == .infinity { return .infinity(isNegative: negative) }
    if a.kind == .zero || b.kind == .infinity { return .zero(isNegative: negative) }
    let aIsLess = a.significand < b.significand
    let high = aIsLess ? a.significand : a.significand &>> 1
    let low = aIsLess ? 0 : a.significand &<< 63
    let first = SoftDivision.divide(high, low, by: b.significand)
    let second = SoftDivision.divide(first.remainder, 0, by: b.significand)
    let sticky: UInt128 = second.remainder == 0 ? 0 : 1
    let wide = UInt128(first.quotient) &<< 64 | UInt128(second.quotient) | sticky
    let exponent = a.exponent &- b.exponent &- (aIsLess ? 1 : 0)
    return round(isNegative: negative, exponent: exponent, wide: wide, format: format)
  }

  /// The square root of `a`.
  public mutating func squareRoot(_ a: FloatValue, format: FloatFormat) -> FloatValue {
    roundedUp = false
    let a = prepare(a)
    if let result = propagate(a) { return result }
    if a.kind == .zero { return a }
    if a.isNegative { return invalidOperation() }
    if a.isDenormal { raise(.denormal) }
    if a.kind == .infinity { return a }
    // The radicand is significand · 2^exponent with an even exponent; its root has bit 127 set after the
    // shift.
    let isOdd = a.exponent & 1 != 0
    let radicand = UInt128(a.significand) &<< (isOdd ? 64 : 63)
    let root = SoftDivision.squareRoot(radicand)
    return round(isNegative: false, exponent: (a.exponent &- (isOdd ? 1 : 0)) / 2, wide: root, format: format)
  }

  /// `a × b + c` with one rounding. NaNs are chosen in the order a, b, c.
  public mutating func fusedMultiplyAdd(
    _ a: FloatValue, _ b: FloatValue, _ c: FloatValue, format: FloatFormat
  ) -> FloatValue {
    roundedUp = false
    let a = prepare(a)
    let b = prepare(b)
    let c = prepare(c)
    let isIndeterminate =
      (a.kind == .infinity && b.kind == .zero) || (a.kind == .zero && b.kind == .infinity)
    if a.isNaN || b.isNaN || c.isNaN {
      if a.kind == .signallingNaN || b.kind == .signallingNaN || c.kind == .signallingNaN { raise(.invalid) }
      return (a.isNaN ? a : b.isNaN ? b : c).quieted
    }
    if isIndeterminate { return invalidOperation() }
    let negative = a.isNegative != b.isNegative
    let isInfinite = a.kind == .infinity || b.kind == .infinity
    if isInfinite && c.kind == .infinity && negative != c.isNegative { return invalidOperation() }
    noteDenormals(a, b)
    noteDenormals(c, c)
    if isInfinite { return .infinity(isNegative: negative) }
    if c.kind == .infinity { return c }
    let (high, low) = a.significand.multipliedFullWidth(by: b.significand)
    var wide = UInt128(high) &<< 64 | UInt128(low)
    var exponent = a.exponent &+ b.exponent &+ 1
    if wide != 0 && high &>> 63 == 0 {
      wide = wide &<< 1
      exponent = exponent &- 1
    }
    let product = FloatValue(kind: wide == 0 ? .zero : .finite, isNegative: negative, exponent: exponent)
    return sum(product, wide, c, UInt128(c.significand) &<< 64, format: format)
  }
}

/// Integer division and root for significands, bit by bit: no runtime library, no trap.
enum SoftDivision {
  /// (high · 2^64 + low) ÷ divisor, for high < divisor.
  static func divide(_ high: UInt64, _ low: UInt64, by divisor: UInt64) -> (
    quotient: UInt64, remainder: UInt64
  ) {
    var remainder = high
    var quotient: UInt64 = 0
    var rest = low
    for _ in 0..<64 {
      let carry = remainder &>> 63
      remainder = remainder &<< 1 | rest &>> 63
      rest = rest &<< 1
      quotient = quotient &<< 1
      if carry != 0 || remainder >= divisor {
        remainder = remainder &- divisor
        quotient |= 1
      }
    }
    return (quotient, remainder)
  }

  /// The root of `radicand` / 2^126 (in [1, 4)) as a significand with bit 127 set; bit 0 is sticky.
  static func squareRoot(_ radicand: UInt128) -> UInt128 {
    var rest = radicand
    var remainder: UInt128 = 0
    var root: UInt128 = 0
    for _ in 0..<66 {
      remainder = remainder &<< 2 | rest &>> 126
      rest = rest &<< 2
      let trial = root &<< 2 | 1
      root = root &<< 1
      if remainder >= trial {
        remainder = remainder &- trial
        root |= 1
      }
    }
    return root &<< 62 | (remainder == 0 && rest == 0 ? 0 : 1)
  }
}
