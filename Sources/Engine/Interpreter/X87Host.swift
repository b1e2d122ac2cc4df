// Which host operation (CHost/x87.h) stands for which enum constant of the backend: the numbers that the
// exact path uses on every host, and the inline instructions of the fast path on x86-64 hosts. Tables written
// as code, nothing else: every switch is over a constant of the handler and folds away.

import CHost

public typealias X87Register = vt_x87_register
public typealias X87Memory = vt_x87_memory

// PERF: all of these vanish into their handlers.
extension X87Arithmetic {
  /// The operation with the reverse forms expressed by exchanged operands.
  @inline(__always) var number: vt_x87_operation {
    switch self {
    case .add: vt_x87_operation_add
    case .multiply: vt_x87_operation_multiply
    case .subtract, .subtractReverse: vt_x87_operation_subtract
    case .divide, .divideReverse: vt_x87_operation_divide
    }
  }

  @inline(__always) var isReverse: Bool { self == .subtractReverse || self == .divideReverse }

  /// The operation with a memory operand, which has reverse forms of its own.
  @inline(__always) func number(_ kind: X87FormatKind) -> vt_x87_operation {
    let first =
      switch kind {
      case .single: vt_x87_operation_add_single
      case .double: vt_x87_operation_add_double
      case .int16: vt_x87_operation_add_int16
      default: vt_x87_operation_add_int32
      }
    let offset: UInt32 =
      switch self {
      case .add: 0
      case .subtract: 1
      case .subtractReverse: 2
      case .multiply: 3
      case .divide: 4
      case .divideReverse: 5
      }
    return vt_x87_operation(rawValue: first.rawValue &+ offset)
  }
}

extension X87Comparison {
  @inline(__always) var number: vt_x87_operation {
    self == .ordered ? vt_x87_operation_compare : vt_x87_operation_compare_unordered
  }
}

extension X87Unary {
  @inline(__always) var number: vt_x87_operation {
    switch self {
    case .squareRoot: vt_x87_operation_square_root
    case .roundToInteger: vt_x87_operation_round_to_integer
    case .powerOf2Minus1: vt_x87_operation_power_of_2_minus_1
    }
  }
}

extension X87Trigonometric {
  @inline(__always) var number: vt_x87_operation {
    self == .sine ? vt_x87_operation_sine : vt_x87_operation_cosine
  }
}

extension X87TrigonometricPush {
  @inline(__always) var number: vt_x87_operation {
    self == .sineCosine ? vt_x87_operation_sine_cosine : vt_x87_operation_tangent
  }
}

extension X87BinaryPop {
  @inline(__always) var number: vt_x87_operation {
    switch self {
    case .yLog2x: vt_x87_operation_y_log2_x
    case .yLog2xPlus1: vt_x87_operation_y_log2_x_plus_1
    case .arcTangent: vt_x87_operation_arc_tangent
    }
  }
}

extension X87Remainder {
  @inline(__always) var number: vt_x87_operation {
    self == .remainder ? vt_x87_operation_remainder : vt_x87_operation_remainder_nearest
  }
}

extension X87Constant {
  @inline(__always) var number: vt_x87_operation {
    switch self {
    case .one: vt_x87_operation_load_one
    case .log2of10: vt_x87_operation_load_log2_10
    case .log2ofE: vt_x87_operation_load_log2_e
    case .pi: vt_x87_operation_load_pi
    case .log10of2: vt_x87_operation_load_log10_2
    case .logEof2: vt_x87_operation_load_ln_2
    case .zero: vt_x87_operation_load_zero
    }
  }
}

extension X87FormatKind {
  /// The operation that loads this format; `extended` has none, it is copied.
  @inline(__always) var load: vt_x87_operation {
    switch self {
    case .single: vt_x87_operation_load_single
    case .double: vt_x87_operation_load_double
    case .int16: vt_x87_operation_load_int16
    case .int32: vt_x87_operation_load_int32
    case .decimal: vt_x87_operation_load_decimal
    default: vt_x87_operation_load_int64
    }
  }

  /// The operation that stores this format; `extended` has none.
  @inline(__always) var store: vt_x87_operation {
    switch self {
    case .single: vt_x87_operation_store_single
    case .double: vt_x87_operation_store_double
    case .int16: vt_x87_operation_store_int16
    case .int32: vt_x87_operation_store_int32
    case .truncated16: vt_x87_operation_store_truncated16
    case .truncated32: vt_x87_operation_store_truncated32
    case .truncated64: vt_x87_operation_store_truncated64
    case .decimal: vt_x87_operation_store_decimal
    default: vt_x87_operation_store_int64
    }
  }

  /// The comparison of ST(0) with a memory operand of this format.
  @inline(__always) var compare: vt_x87_operation {
    switch self {
    case .single: vt_x87_operation_compare_single
    case .double: vt_x87_operation_compare_double
    case .int16: vt_x87_operation_compare_int16
    default: vt_x87_operation_compare_int32
    }
  }
}

#if arch(x86_64)
  // The instructions themselves. Each returns the host's status word after it.

  typealias X87Pointer = UnsafeMutablePointer<X87Register>

  extension X87Arithmetic {
    @inline(__always) func run(_ result: X87Pointer, _ a: X87Pointer, _ b: X87Pointer) -> UInt32 {
      switch self {
      case .add: vt_x87_add(result, a, b)
      case .multiply: vt_x87_multiply(result, a, b)
      case .subtract: vt_x87_subtract(result, a, b)
      case .subtractReverse: vt_x87_subtract(result, b, a)
      case .divide: vt_x87_divide(result, a, b)
      case .divideReverse: vt_x87_divide(result, b, a)
      }
    }

    @inline(__always) func run(
      _ kind: X87FormatKind, _ result: X87Pointer, _ value: UnsafePointer<X87Memory>
    ) -> UInt32 {
      switch kind {
      case .single:
        switch self {
        case .add: vt_x87_add_single(result, result, value)
        case .multiply: vt_x87_multiply_single(result, result, value)
        case .subtract: vt_x87_subtract_single(result, result, value)
        case .subtractReverse: vt_x87_subtract_reverse_single(result, result, value)
        case .divide: vt_x87_divide_single(result, result, value)
        case .divideReverse: vt_x87_divide_reverse_single(result, result, value)
        }
      case .double:
        switch self {
        case .add: vt_x87_add_double(result, result, value)
        case .multiply: vt_x87_multiply_double(result, result, value)
        case .subtract: vt_x87_subtract_double(result, result, value)
        case .subtractReverse: vt_x87_subtract_reverse_double(result, result, value)
        case .divide: vt_x87_divide_double(result, result, value)
        case .divideReverse: vt_x87_divide_reverse_double(result, result, value)
        }
      case .int16:
        switch self {
        case .add: vt_x87_add_int16(result, result, value)
        case .multiply: vt_x87_multiply_int16(result, result, value)
        case .subtract: vt_x87_subtract_int16(result, result, value)
        case .subtractReverse: vt_x87_subtract_reverse_int16(result, result, value)
        case .divide: vt_x87_divide_int16(result, result, value)
        case .divideReverse: vt_x87_divide_reverse_int16(result, result, value)
        }
      default:
        switch self {
        case .add: vt_x87_add_int32(result, result, value)
        case .multiply: vt_x87_multiply_int32(result, result, value)
        case .subtract: vt_x87_subtract_int32(result, result, value)
        case .subtractReverse: vt_x87_subtract_reverse_int32(result, result, value)
        case .divide: vt_x87_divide_int32(result, result, value)
        case .divideReverse: vt_x87_divide_reverse_int32(result, result, value)
        }
      }
    }
  }

  extension X87Comparison {
    @inline(__always) func run(_ a: X87Pointer, _ b: X87Pointer) -> UInt32 {
      self == .ordered ? vt_x87_compare(a, b) : vt_x87_compare_unordered(a, b)
    }
  }

  extension X87Unary {
    @inline(__always) func run(_ result: X87Pointer, _ a: X87Pointer) -> UInt32 {
      switch self {
      case .squareRoot: vt_x87_square_root(result, a)
      case .roundToInteger: vt_x87_round_to_integer(result, a)
      case .powerOf2Minus1: vt_x87_power_of_2_minus_1(result, a)
      }
    }
  }

  extension X87Trigonometric {
    @inline(__always) func run(_ result: X87Pointer, _ a: X87Pointer) -> UInt32 {
      self == .sine ? vt_x87_sine(result, a) : vt_x87_cosine(result, a)
    }
  }

  extension X87BinaryPop {
    @inline(__always) func run(_ result: X87Pointer, _ a: X87Pointer, _ b: X87Pointer) -> UInt32 {
      switch self {
      case .yLog2x: vt_x87_y_log2_x(result, a, b)
      case .yLog2xPlus1: vt_x87_y_log2_x_plus_1(result, a, b)
      case .arcTangent: vt_x87_arc_tangent(result, a, b)
      }
    }
  }

  extension X87Remainder {
    @inline(__always) func run(_ result: X87Pointer, _ a: X87Pointer, _ b: X87Pointer) -> UInt32 {
      self == .remainder ? vt_x87_remainder(result, a, b) : vt_x87_remainder_nearest(result, a, b)
    }
  }

  extension X87Constant {
    @inline(__always) func run(_ result: X87Pointer) {
      switch self {
      case .one: vt_x87_load_one(result)
      case .log2of10: vt_x87_load_log2_10(result)
      case .log2ofE: vt_x87_load_log2_e(result)
      case .pi: vt_x87_load_pi(result)
      case .log10of2: vt_x87_load_log10_2(result)
      case .logEof2: vt_x87_load_ln_2(result)
      case .zero: vt_x87_load_zero(result)
      }
    }
  }

  extension X87FormatKind {
    @inline(__always) func load(_ result: X87Pointer, _ value: UnsafePointer<X87Memory>) -> UInt32 {
      switch self {
      case .single: return vt_x87_load_single(result, value)
      case .double: return vt_x87_load_double(result, value)
      case .int16: return vt_x87_load_int16(result, value)
      case .int32: return vt_x87_load_int32(result, value)
      case .decimal: return vt_x87_load_decimal(result, value)
      case .extended:
        result.pointee.significand = value.pointee.low
        result.pointee.sign_exponent = UInt16(truncatingIfNeeded: value.pointee.high)
        return 0
      default: return vt_x87_load_int64(result, value)
      }
    }

    @inline(__always) func store(_ value: UnsafeMutablePointer<X87Memory>, _ a: X87Pointer) -> UInt32 {
      switch self {
      case .single: return vt_x87_store_single(value, a)
      case .double: return vt_x87_store_double(value, a)
      case .int16: return vt_x87_store_int16(value, a)
      case .int32: return vt_x87_store_int32(value, a)
      case .truncated16: return vt_x87_store_truncated16(value, a)
      case .truncated32: return vt_x87_store_truncated32(value, a)
      case .truncated64: return vt_x87_store_truncated64(value, a)
      case .decimal: return vt_x87_store_decimal(value, a)
      case .extended:
        value.pointee.low = a.pointee.significand
        value.pointee.high = UInt64(a.pointee.sign_exponent)
        return 0
      default: return vt_x87_store_int64(value, a)
      }
    }

    @inline(__always) func compare(_ a: X87Pointer, _ value: UnsafePointer<X87Memory>) -> UInt32 {
      switch self {
      case .single: return vt_x87_compare_single(a, value)
      case .double: return vt_x87_compare_double(a, value)
      case .int16: return vt_x87_compare_int16(a, value)
      default: return vt_x87_compare_int32(a, value)
      }
    }
  }
#endif
