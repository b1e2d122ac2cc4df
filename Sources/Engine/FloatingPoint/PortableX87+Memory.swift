// Loads, stores and constants of the portable x87 unit.

import CHost

extension PortableX87 {
  // MARK: - Loads

  /// Loads from memory; false when `operation` is none. A top of stack other than 0 in `conditions` tells
  /// that the value was pushed, as in the status word of the host's unit.
  mutating func load(_ operation: vt_x87_operation, _ memory: X87Memory) -> Bool {
    switch operation {
    case vt_x87_operation_load_single:
      first = environment.convert(
        FloatValue(bits: memory.low & 0xffff_ffff, format: .binary32), to: .extended)
    case vt_x87_operation_load_double:
      first = environment.convert(FloatValue(bits: memory.low, format: .binary64), to: .extended)
    case vt_x87_operation_load_int16:
      first = FloatValue(integer: Int64(Int16(truncatingIfNeeded: memory.low)))
    case vt_x87_operation_load_int32:
      first = FloatValue(integer: Int64(Int32(truncatingIfNeeded: memory.low)))
    case vt_x87_operation_load_int64:
      first = FloatValue(integer: Int64(bitPattern: memory.low))
    case vt_x87_operation_load_decimal:
      first = PortableX87.number(decimal: memory)
    default: return false
    }
    let isPrevented = environment.flags.rawValue & ~environment.masks.rawValue & 1 != 0
    if !isPrevented { conditions = X87StatusBit.top }
    return true
  }

  /// Eighteen packed digits and a sign.
  private static func number(decimal memory: X87Memory) -> FloatValue {
    var magnitude: UInt64 = 0
    for position in 0..<18 {
      let index = 17 &- position
      let word = index < 16 ? memory.low &>> UInt64(index &* 4) : memory.high &>> UInt64((index &- 16) &* 4)
      magnitude = magnitude &* 10 &+ (word & 15)
    }
    var value = FloatValue(integer: Int64(truncatingIfNeeded: magnitude))
    value.isNegative = memory.high & 0x8000 != 0
    return value
  }

  // MARK: - Stores

  /// Stores to memory; false when `operation` is none.
  mutating func store(
    _ operation: vt_x87_operation, _ a: FloatValue, _ memory: UnsafeMutablePointer<X87Memory>
  ) -> Bool {
    first = a
    let rounding = environment.rounding
    switch operation {
    case vt_x87_operation_store_single: memory.pointee.low = number(a, .binary32)
    case vt_x87_operation_store_double: memory.pointee.low = number(a, .binary64)
    case vt_x87_operation_store_int16: memory.pointee.low = integer(a, 16, rounding)
    case vt_x87_operation_store_int32: memory.pointee.low = integer(a, 32, rounding)
    case vt_x87_operation_store_int64: memory.pointee.low = integer(a, 64, rounding)
    case vt_x87_operation_store_truncated16: memory.pointee.low = integer(a, 16, .towardZero)
    case vt_x87_operation_store_truncated32: memory.pointee.low = integer(a, 32, .towardZero)
    case vt_x87_operation_store_truncated64: memory.pointee.low = integer(a, 64, .towardZero)
    case vt_x87_operation_store_decimal: memory.pointee = decimal(a)
    default: return false
    }
    return true
  }

  /// Stores do not report denormal operands.
  private mutating func number(_ a: FloatValue, _ format: FloatFormat) -> UInt64 {
    var value = a
    value.isDenormal = false
    let bits = environment.convert(value, to: format).bits(format: format)
    let range: FloatExceptions = [.overflow, .underflow]
    if environment.flags.rawValue & ~environment.masks.rawValue & range.rawValue != 0 {
      // Unmasked overflow and underflow prevent the store; nothing is rounded.
      environment.flags = FloatExceptions(rawValue: environment.flags.rawValue & range.rawValue)
      environment.roundedUp = false
    }
    return bits
  }

  private mutating func integer(_ a: FloatValue, _ width: Int, _ rounding: FloatRounding) -> UInt64 {
    UInt64(bitPattern: environment.integer(a, width: width, rounding: rounding))
  }

  private mutating func decimal(_ a: FloatValue) -> X87Memory {
    let indefinite = X87Memory(low: 0xc000_0000_0000_0000, high: 0xffff)
    let value = environment.integer(a, width: 64, rounding: environment.rounding)
    let isTooLarge = value.magnitude >= 1_000_000_000_000_000_000
    if environment.flags.contains(.invalid) || isTooLarge {
      environment.flags = .invalid
      environment.roundedUp = false
      return indefinite
    }
    var rest = value.magnitude
    var result = X87Memory(low: 0, high: a.isNegative ? 0x8000 : 0)
    for index in 0..<18 {
      let digit = rest % 10
      rest /= 10
      if index < 16 {
        result.low |= digit &<< UInt64(index &* 4)
      } else {
        result.high |= digit &<< UInt64((index &- 16) &* 4)
      }
    }
    return result
  }

  // MARK: - Constants

  /// A constant, rounded from 66 bits by the rounding control (SDM volume 2, FLD1).
  mutating func loadConstant(_ operation: vt_x87_operation) {
    let rounding = environment.rounding
    let isUp = rounding == .up
    /// Rounding to nearest increases the significand.
    let isNearestUp = isUp || rounding == .nearestEven
    conditions = X87StatusBit.top
    switch operation {
    case vt_x87_operation_load_one: first = FloatValue(integer: 1)
    case vt_x87_operation_load_log2_10: constant(0xd49a_784b_cd1b_8afe, exponent: 1, increases: isUp)
    case vt_x87_operation_load_log2_e: constant(0xb8aa_3b29_5c17_f0bb, exponent: 0, increases: isNearestUp)
    case vt_x87_operation_load_pi: constant(0xc90f_daa2_2168_c234, exponent: 1, increases: isNearestUp)
    case vt_x87_operation_load_log10_2:
      constant(0x9a20_9a84_fbcf_f798, exponent: -2, increases: isNearestUp)
    case vt_x87_operation_load_ln_2: constant(0xb172_17f7_d1cf_79ab, exponent: -1, increases: isNearestUp)
    default: first = .zero(isNegative: false)
    }
  }

  private mutating func constant(_ significand: UInt64, exponent: Int, increases: Bool) {
    first = FloatValue(
      kind: .finite, isNegative: false, exponent: exponent,
      significand: increases ? significand &+ 1 : significand)
  }
}
