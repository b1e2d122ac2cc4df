// The x87 unit of hosts that do not have one: every operation of CHost/x87.h in software, with the results of
// the processor: values, exception flags, C1 and the other condition codes. The transcendental functions are
// in PortableX87+Transcendental.swift. Stack, tags and responses to exceptions are the interpreter's.

import CHost

/// Executes one x87 operation; the portable counterpart of `vt_x87_exact`.
struct PortableX87 {
  var environment: FloatEnvironment
  let control: UInt16
  var conditions: UInt16 = 0
  private var isRemainder = false
  var first = FloatValue.indefinite
  var second = FloatValue.indefinite

  private init(control: UInt16) {
    self.control = control
    environment = FloatEnvironment(x87Control: control)
  }

  static func run(
    _ operation: vt_x87_operation, control: UInt16, _ a: X87Register, _ b: X87Register,
    _ memory: UnsafeMutablePointer<X87Memory>
  ) -> X87Outcome {
    var unit = PortableX87(control: control)
    let x = FloatValue(a)
    if !unit.twoOperands(operation, x, FloatValue(b)) && !unit.withMemory(operation, x, memory.pointee)
      && !unit.oneOperand(operation, x) && !unit.load(operation, memory.pointee)
      && !unit.store(operation, x, memory)
    {
      unit.loadConstant(operation)
    }
    return unit.outcome
  }

  /// The format that results of arithmetic are rounded to.
  var format: FloatFormat { FloatEnvironment.format(ofX87Control: control) }

  private var outcome: X87Outcome {
    let flags = UInt16(truncatingIfNeeded: environment.outcome.flags)
    let before = UInt16(FloatExceptions.beforeComputation.rawValue)
    let isPrevented = flags & ~control & before != 0
    let c1 = environment.roundedUp && !isPrevented ? X87StatusBit.c1 : 0
    let keepsConditions = !isPrevented || !isRemainder
    return X87Outcome(
      status: flags | c1 | (keepsConditions ? conditions : 0), completes: true, first: X87Register(first),
      second: X87Register(second))
  }

  // MARK: - Arithmetic

  /// Operations on two registers; false when `operation` is none of them.
  private mutating func twoOperands(
    _ operation: vt_x87_operation, _ a: FloatValue, _ b: FloatValue
  ) -> Bool {
    switch operation {
    case vt_x87_operation_add: first = environment.add(a, b, format: format)
    case vt_x87_operation_subtract: first = environment.subtract(a, b, format: format)
    case vt_x87_operation_multiply: first = environment.multiply(a, b, format: format)
    case vt_x87_operation_divide: first = environment.divide(a, b, format: format)
    case vt_x87_operation_scale: first = scale(b, by: a)
    case vt_x87_operation_remainder: first = remainder(b, a, toNearest: false)
    case vt_x87_operation_remainder_nearest: first = remainder(b, a, toNearest: true)
    case vt_x87_operation_compare: compare(a, b, isSignalling: true)
    case vt_x87_operation_compare_unordered: compare(a, b, isSignalling: false)
    case vt_x87_operation_y_log2_x: first = yLog2x(y: a, x: b)
    case vt_x87_operation_y_log2_x_plus_1: first = yLog2xPlus1(y: a, x: b)
    case vt_x87_operation_arc_tangent: first = arcTangent(y: a, x: b)
    default: return false
    }
    return true
  }

  private mutating func oneOperand(_ operation: vt_x87_operation, _ a: FloatValue) -> Bool {
    switch operation {
    case vt_x87_operation_test: compare(a, .zero(isNegative: false), isSignalling: true)
    case vt_x87_operation_square_root: first = environment.squareRoot(a, format: format)
    case vt_x87_operation_round_to_integer:
      first = environment.roundToIntegral(
        a, rounding: environment.rounding, suppressesInexact: false, reportsDenormal: true)
    case vt_x87_operation_extract: extract(a)
    case vt_x87_operation_power_of_2_minus_1: first = powerOf2Minus1(a)
    case vt_x87_operation_sine: trigonometric(a) { $0.sine }
    case vt_x87_operation_cosine: trigonometric(a) { $0.cosine }
    case vt_x87_operation_sine_cosine: sineCosine(a)
    case vt_x87_operation_tangent: tangent(a)
    default: return false
    }
    return true
  }

  private mutating func compare(_ a: FloatValue, _ b: FloatValue, isSignalling: Bool) {
    switch environment.compare(a, b, isSignalling: isSignalling) {
    case .less: conditions = X87StatusBit.c0
    case .equal: conditions = X87StatusBit.c3
    case .greater: conditions = 0
    case .unordered: conditions = X87StatusBit.c0 | X87StatusBit.c2 | X87StatusBit.c3
    }
  }

  /// Operations on a register and a value in memory, which is not quieted first.
  private mutating func withMemory(
    _ operation: vt_x87_operation, _ a: FloatValue, _ memory: X87Memory
  ) -> Bool {
    let number = operation.rawValue
    let arithmetic = vt_x87_operation_add_single.rawValue
    let comparison = vt_x87_operation_compare_single.rawValue
    if number >= comparison && number < comparison &+ 4 {
      compare(a, PortableX87.operand(memory, kind: number &- comparison), isSignalling: true)
      return true
    }
    guard number >= arithmetic && number < arithmetic &+ 24 else { return false }
    let value = PortableX87.operand(memory, kind: (number &- arithmetic) / 6)
    switch (number &- arithmetic) % 6 {
    case 0: first = environment.add(a, value, format: format)
    case 1: first = environment.subtract(a, value, format: format)
    case 2: first = environment.subtract(value, a, format: format)
    case 3: first = environment.multiply(a, value, format: format)
    case 4: first = environment.divide(a, value, format: format)
    default: first = environment.divide(value, a, format: format)
    }
    return true
  }

  /// 0 single, 1 double, 2 and 3 integers of 16 and 32 bits.
  private static func operand(_ memory: X87Memory, kind: UInt32) -> FloatValue {
    switch kind {
    case 0: FloatValue(bits: memory.low & 0xffff_ffff, format: .binary32)
    case 1: FloatValue(bits: memory.low, format: .binary64)
    case 2: FloatValue(integer: Int64(Int16(truncatingIfNeeded: memory.low)))
    default: FloatValue(integer: Int64(Int32(truncatingIfNeeded: memory.low)))
    }
  }

  /// FSCALE: `value` · 2^(`count` cut to an integer), rounded to 64 bits whatever the precision control says.
  private mutating func scale(_ value: FloatValue, by count: FloatValue) -> FloatValue {
    environment.roundedUp = false
    if let result = environment.propagate(value, count) { return result }
    if count.kind == .infinity {
      let isIndeterminate = count.isNegative ? value.kind == .infinity : value.kind == .zero
      if isIndeterminate { return environment.invalidOperation() }
      environment.noteDenormals(value, count)
      let negative = value.isNegative
      return count.isNegative ? .zero(isNegative: negative) : .infinity(isNegative: negative)
    }
    environment.noteDenormals(value, count)
    if value.kind != .finite { return value }
    var places = 0
    if count.kind == .finite && count.exponent >= 0 {
      let magnitude =
        count.exponent > 16 ? 0x1_0000 : Int(count.significand &>> UInt64(63 &- count.exponent))
      places = count.isNegative ? 0 &- magnitude : magnitude
    }
    let wide = UInt128(value.significand) &<< 64
    let exponent = value.exponent &+ places
    let format = FloatFormat.extended
    let exception: FloatExceptions = exponent > 0 ? .overflow : .underflow
    if exponent.magnitude > format.bias &+ format.exponentAdjustment && !environment.isMasked(exception) {
      // Not even an adjusted exponent would do.
      environment.raise(exception)
      environment.raise(.inexact)
      environment.roundedUp = exponent > 0
      let negative = value.isNegative
      return exponent > 0 ? .infinity(isNegative: negative) : .zero(isNegative: negative)
    }
    return environment.round(
      isNegative: value.isNegative, exponent: exponent, wide: wide, format: format)
  }

  /// FXTRACT: the significand in `first`, the exponent in `second`.
  private mutating func extract(_ a: FloatValue) {
    environment.roundedUp = false
    if let result = environment.propagate(a) {
      first = result
      second = result
      return
    }
    if a.isDenormal { environment.raise(.denormal) }
    switch a.kind {
    case .zero:
      environment.raise(.divideByZero)
      first = a
      second = .infinity(isNegative: true)
    case .infinity:
      first = a
      second = .infinity(isNegative: false)
    default:
      first = FloatValue(
        kind: .finite, isNegative: a.isNegative, exponent: 0, significand: a.significand)
      second = FloatValue(integer: Int64(a.exponent))
    }
  }

  /// FPREM and FPREM1: the remainder, or a step towards it when the exponents are 64 or more apart (then C2
  /// is set).
  private mutating func remainder(
    _ dividend: FloatValue, _ divisor: FloatValue, toNearest: Bool
  ) -> FloatValue {
    environment.roundedUp = false
    isRemainder = true
    if let result = environment.propagate(dividend, divisor) { return result }
    if dividend.kind == .infinity || divisor.kind == .zero { return environment.invalidOperation() }
    environment.noteDenormals(dividend, divisor)
    if dividend.kind == .zero || divisor.kind == .infinity {
      return environment.round(dividend)
    }
    let distance = dividend.exponent &- divisor.exponent
    if distance < (toNearest ? -1 : 0) { return environment.round(dividend) }
    let isPartial = distance >= 64
    let steps = isPartial ? 32 &+ (distance & 31) : distance
    var rest = UInt128(dividend.significand)
    let unit = UInt128(divisor.significand)
    var quotient: UInt64 = 0
    var exponent = dividend.exponent
    if distance >= 0 {
      for step in 0...steps {
        quotient = quotient &<< 1
        if rest >= unit {
          rest = rest &- unit
          quotient |= 1
        }
        if step != steps {
          rest = rest &<< 1
          exponent = exponent &- 1
        }
      }
    }
    var negative = dividend.isNegative
    if isPartial {
      conditions = X87StatusBit.c2
    } else {
      // Compare twice the rest with the divisor, at the exponent of the rest (one less for distance −1).
      let doubled = distance < 0 ? rest : rest &<< 1
      if toNearest && (doubled > unit || (doubled == unit && quotient & 1 != 0)) {
        rest = (distance < 0 ? unit &<< 1 : unit) &- rest
        quotient = quotient &+ 1
        negative = !negative
      }
      conditions = PortableX87.conditions(quotient: quotient)
    }
    if rest == 0 { return .zero(isNegative: dividend.isNegative) }
    let result = environment.round(
      isNegative: negative, exponent: exponent, wide: rest &<< 64, format: .extended)
    environment.roundedUp = false
    return result
  }
}

extension PortableX87 {
  /// The low bits of a quotient: C0 has bit 2, C3 bit 1, C1 bit 0.
  private static func conditions(quotient: UInt64) -> UInt16 {
    let bit0 = quotient & 1 != 0 ? X87StatusBit.c1 : 0
    let bit1 = quotient & 2 != 0 ? X87StatusBit.c3 : 0
    return bit0 | bit1 | (quotient & 4 != 0 ? X87StatusBit.c0 : 0)
  }
}

extension FloatEnvironment {
  /// A finite value delivered as it is: a tiny one still reports unmasked underflow.
  mutating func round(_ value: FloatValue) -> FloatValue {
    if value.kind != .finite { return value }
    return round(
      isNegative: value.isNegative, exponent: value.exponent, wide: UInt128(value.significand) &<< 64,
      format: .extended)
  }
}

extension FloatValue {
  init(_ register: X87Register) {
    self.init(significand: register.significand, signExponent: register.sign_exponent)
  }

  /// An integer, exactly.
  init(integer: Int64) {
    if integer == 0 {
      self = .zero(isNegative: false)
    } else {
      let shift = integer.magnitude.leadingZeroBitCount
      self.init(
        kind: .finite, isNegative: integer < 0, exponent: 63 &- shift,
        significand: integer.magnitude &<< UInt64(truncatingIfNeeded: shift))
    }
  }
}

extension X87Register {
  init(_ value: FloatValue) {
    let (significand, signExponent) = value.extended
    self.init(significand: significand, signExponent: signExponent)
  }
}
