// Conversions and fused operations on 128-bit chunks with the portable arithmetic; see SoftVector.swift.

extension SoftVector {
  @inline(never) static func fusedMultiply(
    _ form: FusedForm, _ operation: FusedOperation, _ format: FloatFormat, count: Int,
    _ x: Chunk, _ y: Chunk, _ z: Chunk, _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = x
    for index in 0..<count {
      let first = value(x, index, format)
      let second = value(y, index, format)
      let third = value(z, index, format)
      var a = first
      var b = third
      var c = second
      switch form {
      case .form132: break
      case .form213: (a, b, c) = (second, first, third)
      case .form231: (a, b, c) = (second, third, first)
      }
      let negatesProduct = operation == .negatedAdd || operation == .negatedSubtract
      let isOdd = index & 1 != 0
      let negatesAddend: Bool
      switch operation {
      case .add, .negatedAdd: negatesAddend = false
      case .subtract, .negatedSubtract: negatesAddend = true
      case .addSubtract: negatesAddend = !isOdd
      case .subtractAdd: negatesAddend = isOdd
      }
      if negatesProduct && !a.isNaN { a = a.negated }
      if negatesAddend && !c.isNaN { c = c.negated }
      replace(&result, index, format, environment.fusedMultiplyAdd(a, b, c, format: format))
    }
    return result
  }

  @inline(never) static func convertScalar(
    _ from: FloatFormat, _ to: FloatFormat, _ x: Chunk, _ y: Chunk, _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = x
    replace(&result, 0, to, environment.convert(value(y, 0, from), to: to))
    return result
  }

  @inline(never) static func fromInteger(
    _ format: FloatFormat, _ x: Chunk, _ integer: Int64, _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = x
    replace(&result, 0, format, environment.value(of: integer, format: format))
    return result
  }

  @inline(never) static func toInteger(
    _ rounding: FloatIntegerRounding, _ format: FloatFormat, width: Int, _ x: Chunk,
    _ environment: inout FloatEnvironment
  ) -> UInt64 {
    let mode = rounding == .truncated ? FloatRounding.towardZero : environment.rounding
    let integer = environment.integer(value(x, 0, format), width: width, rounding: mode)
    return UInt64(bitPattern: integer) & mask(width)
  }

  @inline(never) static func convert(
    _ conversion: FloatConversion, _ x: Chunk, _ environment: inout FloatEnvironment
  ) -> Chunk {
    switch conversion {
    case .int32ToSingle: return fromInt32(.binary32, x, &environment)
    case .int32ToDouble: return fromInt32(.binary64, x, &environment)
    case .singleToInt32: return toInt32(.binary32, environment.rounding, x, &environment)
    case .singleToInt32Truncated: return toInt32(.binary32, .towardZero, x, &environment)
    case .doubleToInt32: return toInt32(.binary64, environment.rounding, x, &environment)
    case .doubleToInt32Truncated: return toInt32(.binary64, .towardZero, x, &environment)
    case .singleToDouble: return convert(.binary32, .binary64, count: 2, x, &environment)
    case .doubleToSingle: return convert(.binary64, .binary32, count: 2, x, &environment)
    case .halfToSingle: return fromHalf(x, &environment)
    }
  }

  private static func fromInt32(
    _ format: FloatFormat, _ x: Chunk, _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = Chunk()
    for index in 0..<(128 / format.width) {
      let integer = Int64(Int32(truncatingIfNeeded: element(x, index, 32)))
      replace(&result, index, format, environment.value(of: integer, format: format))
    }
    return result
  }

  private static func toInt32(
    _ format: FloatFormat, _ rounding: FloatRounding, _ x: Chunk, _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = Chunk()
    for index in 0..<(128 / format.width) {
      let integer = environment.integer(value(x, index, format), width: 32, rounding: rounding)
      replace(&result, index, 32, UInt64(bitPattern: integer))
    }
    return result
  }

  private static func convert(
    _ from: FloatFormat, _ to: FloatFormat, count: Int, _ x: Chunk, _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = Chunk()
    for index in 0..<count {
      replace(&result, index, to, environment.convert(value(x, index, from), to: to))
    }
    return result
  }

  /// Denormal halves are exact in single precision: neither DAZ nor DE applies (SDM volume 2, VCVTPH2PS).
  private static func fromHalf(_ x: Chunk, _ environment: inout FloatEnvironment) -> Chunk {
    var result = Chunk()
    for index in 0..<4 {
      var half = value(x, index, .binary16)
      half.isDenormal = false
      replace(&result, index, .binary32, environment.convert(half, to: .binary32))
    }
    return result
  }

  /// VCVTPS2PH: the immediate may override MXCSR.RC; MXCSR.FTZ does not apply.
  @inline(never) static func toHalf(
    _ x: Chunk, _ control: UInt8, _ environment: inout FloatEnvironment
  ) -> Chunk {
    var local = environment
    local.flushToZero = false
    if control & 4 == 0 { local.rounding = FloatRounding(encoding: UInt32(control)) }
    let result = convert(.binary32, .binary16, count: 4, x, &local)
    environment.raise(local.flags)
    return result
  }
}
