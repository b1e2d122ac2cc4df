// Packed and scalar floating-point operations on 128-bit chunks, built from the portable arithmetic: what
// an interpreter does on a host without the instruction. Pure functions of operands and environment.

/// Operations on chunks; `count` elements from the lowest are computed, the others come from the first
/// operand.
enum SoftVector {
  typealias Chunk = SIMD2<UInt64>

  // PERF: index arithmetic of loops over elements.
  @inline(__always) static func element(_ x: Chunk, _ index: Int, _ width: Int) -> UInt64 {
    let bit = index &* width
    let word = bit < 64 ? x.x : x.y
    return (word &>> UInt64(truncatingIfNeeded: bit & 63)) & mask(width)
  }

  @inline(__always) static func mask(_ width: Int) -> UInt64 {
    ~UInt64(0) &>> UInt64(truncatingIfNeeded: 64 &- width)
  }

  @inline(__always) static func replace(_ x: inout Chunk, _ index: Int, _ width: Int, _ value: UInt64) {
    let bit = index &* width
    let shift = UInt64(truncatingIfNeeded: bit & 63)
    let hole = ~(mask(width) &<< shift)
    let bits = (value & mask(width)) &<< shift
    if bit < 64 {
      x.x = x.x & hole | bits
    } else {
      x.y = x.y & hole | bits
    }
  }

  @inline(__always) static func value(_ x: Chunk, _ index: Int, _ format: FloatFormat) -> FloatValue {
    FloatValue(bits: element(x, index, format.width), format: format)
  }

  @inline(__always) static func replace(
    _ x: inout Chunk, _ index: Int, _ format: FloatFormat, _ value: FloatValue
  ) {
    replace(&x, index, format.width, value.bits(format: format))
  }

  /// All ones in the elements that bits 0… of `selection` name.
  @inline(__always) static func elementMask(_ width: Int, _ selection: UInt8) -> Chunk {
    let bits = UInt64(selection)
    if width == 64 { return Chunk(0 &- (bits & 1), 0 &- (bits &>> 1 & 1)) }
    let low = (bits & 1) &* 0xffff_ffff | (bits &>> 1 & 1) &* 0xffff_ffff_0000_0000
    let high = (bits &>> 2 & 1) &* 0xffff_ffff | (bits &>> 3 & 1) &* 0xffff_ffff_0000_0000
    return Chunk(low, high)
  }

  @inline(never) static func binary(
    _ operation: FloatBinaryOperation, _ format: FloatFormat, count: Int, _ x: Chunk, _ y: Chunk,
    _ environment: inout FloatEnvironment
  ) -> Chunk {
    switch operation {
    case .horizontalAdd, .horizontalSubtract:
      return horizontal(operation, format, x, y, &environment)
    default: break
    }
    var result = x
    for index in 0..<count {
      let a = value(x, index, format)
      let b = value(y, index, format)
      let sum: FloatValue
      switch operation {
      case .add: sum = environment.add(a, b, format: format)
      case .subtract: sum = environment.subtract(a, b, format: format)
      case .multiply: sum = environment.multiply(a, b, format: format)
      case .divide: sum = environment.divide(a, b, format: format)
      case .minimum: sum = environment.minimum(a, b)
      case .maximum: sum = environment.maximum(a, b)
      default:
        sum =
          index & 1 == 0
          ? environment.subtract(a, b, format: format) : environment.add(a, b, format: format)
      }
      replace(&result, index, format, sum)
    }
    return result
  }

  private static func horizontal(
    _ operation: FloatBinaryOperation, _ format: FloatFormat, _ x: Chunk, _ y: Chunk,
    _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = x
    let pairs = 64 / format.width
    for index in 0..<(2 &* pairs) {
      let source = index < pairs ? x : y
      let first = (index < pairs ? index : index &- pairs) &* 2
      let a = value(source, first, format)
      let b = value(source, first &+ 1, format)
      let sum =
        operation == .horizontalAdd
        ? environment.add(a, b, format: format) : environment.subtract(a, b, format: format)
      replace(&result, index, format, sum)
    }
    return result
  }

  @inline(never) static func squareRoot(
    _ format: FloatFormat, count: Int, _ x: Chunk, _ y: Chunk, _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = x
    for index in 0..<count {
      replace(&result, index, format, environment.squareRoot(value(y, index, format), format: format))
    }
    return result
  }

  /// A correctly rounded result of 12 bits. Real processors take theirs from tables that differ between
  /// models; all have a relative error of at most 1.5 · 2^-12, as this has. Flags are not touched (SDM
  /// volume 2, RCPPS).
  @inline(never) static func approximate(
    _ function: FloatApproximation, count: Int, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    let single = FloatFormat.binary32
    let coarse = FloatFormat(precision: 12, exponentBits: single.exponentBits)
    var result = x
    for index in 0..<count {
      // Denormal operands count as zeros, tiny results become zeros, whatever MXCSR says; its flags are
      // discarded.
      var environment = FloatEnvironment(mxcsr: 0x9fc0)
      let operand = value(y, index, single)
      let approximation: FloatValue
      switch function {
      case .reciprocal:
        let one = FloatValue(kind: .finite, isNegative: false, significand: 1 &<< 63)
        approximation = environment.divide(one, operand, format: coarse)
      case .reciprocalSquareRoot:
        let one = FloatValue(kind: .finite, isNegative: false, significand: 1 &<< 63)
        let root = environment.squareRoot(operand, format: .binary64)
        approximation = environment.divide(one, root, format: coarse)
      }
      replace(&result, index, single, approximation)
    }
    return result
  }

  @inline(never) static func compare(
    _ format: FloatFormat, count: Int, _ x: Chunk, _ y: Chunk, _ predicate: UInt8,
    _ environment: inout FloatEnvironment
  ) -> Chunk {
    var result = x
    for index in 0..<count {
      let holds = environment.compare(value(x, index, format), value(y, index, format), predicate: predicate)
      replace(&result, index, format.width, holds ? ~0 : 0)
    }
    return result
  }

  @inline(never) static func round(
    _ format: FloatFormat, count: Int, _ x: Chunk, _ y: Chunk, _ control: UInt8,
    _ environment: inout FloatEnvironment
  ) -> Chunk {
    let rounding = control & 4 != 0 ? environment.rounding : FloatRounding(encoding: UInt32(control))
    var result = x
    for index in 0..<count {
      let rounded = environment.roundToIntegral(
        value(y, index, format), rounding: rounding, suppressesInexact: control & 8 != 0,
        reportsDenormal: false)
      replace(&result, index, format, rounded)
    }
    return result
  }

  /// The products, the sums of pairs and the last sum are steps of their own: an unmasked exception in one keeps
  /// the next from happening.
  @inline(never) static func dotProduct(
    _ format: FloatFormat, _ x: Chunk, _ y: Chunk, _ control: UInt8, _ environment: inout FloatEnvironment
  ) -> Chunk {
    let count = 128 / format.width
    var products = Chunk()
    for index in 0..<count where control &>> UInt8(truncatingIfNeeded: index &+ 4) & 1 != 0 {
      let product = environment.multiply(value(x, index, format), value(y, index, format), format: format)
      replace(&products, index, format, product)
    }
    guard environment.endStep() else { return x }
    var sum = environment.add(value(products, 0, format), value(products, 1, format), format: format)
    if count == 4 {
      let high = environment.add(value(products, 2, format), value(products, 3, format), format: format)
      guard environment.endStep() else { return x }
      sum = environment.add(sum, high, format: format)
    }
    var result = Chunk()
    for index in 0..<count where control &>> UInt8(truncatingIfNeeded: index) & 1 != 0 {
      replace(&result, index, format, sum)
    }
    return result
  }
}
