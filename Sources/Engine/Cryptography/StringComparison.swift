// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: comparison of two short strings (Intel manual, volume 2,
// section 4.1). Pure functions over two chunks, their lengths and the control byte:
//
//     bits 1…0  elements: unsigned bytes, unsigned words, signed bytes, signed words
//     bits 3…2  aggregation: equal any, ranges, equal each, equal ordered
//     bits 5…4  polarity: bit 4 inverts, bit 5 restricts that to valid elements of the second string
//     bit 6     index of the most significant bit instead of the least; or element masks instead of bits

/// One comparison of strings.
struct StringComparison {
  let control: UInt64
  let x: SIMD2<UInt64>
  let y: SIMD2<UInt64>
  /// Valid elements, 0…16.
  let lengthX: Int
  let lengthY: Int

  /// Elements of a chunk.
  var count: Int { control & 1 == 0 ? 16 : 8 }

  /// Lengths as EAX and EDX give them: the absolute value, at most `count`.
  init(_ x: SIMD2<UInt64>, _ y: SIMD2<UInt64>, lengthX: Int64, lengthY: Int64, _ control: UInt64) {
    self.control = control
    self.x = x
    self.y = y
    let limit: UInt64 = control & 1 == 0 ? 16 : 8
    self.lengthX = Int(truncatingIfNeeded: min(lengthX.magnitude, limit))
    self.lengthY = Int(truncatingIfNeeded: min(lengthY.magnitude, limit))
  }

  /// Lengths up to the first zero element.
  init(terminated x: SIMD2<UInt64>, _ y: SIMD2<UInt64>, _ control: UInt64) {
    self.control = control
    self.x = x
    self.y = y
    lengthX = Self.length(x, control)
    lengthY = Self.length(y, control)
  }

  static func length(_ x: SIMD2<UInt64>, _ control: UInt64) -> Int {
    let count = control & 1 == 0 ? 16 : 8
    for i in 0..<count where element(x, i, control) == 0 { return i }
    return count
  }

  /// Element `i`, extended by its sign when the control says so.
  static func element(_ x: SIMD2<UInt64>, _ i: Int, _ control: UInt64) -> Int32 {
    switch control & 3 {
    case 0: return Int32(lanes(U8.self, x)[i & 15])
    case 1: return Int32(lanes(U16.self, x)[i & 7])
    case 2: return Int32(lanes(S8.self, x)[i & 15])
    default: return Int32(lanes(S16.self, x)[i & 7])
    }
  }

  /// Bit j: whether element `i` of x relates to element j of y; invalid elements are false.
  func equalities(_ i: Int) -> UInt64 {
    var bits: UInt64 = 0
    let value = Self.element(x, i, control)
    for j in 0..<lengthY where Self.element(y, j, control) == value { bits |= 1 &<< UInt64(j) }
    return i < lengthX ? bits : 0
  }

  /// IntRes1: the aggregation before polarity.
  var aggregated: UInt64 {
    let all: UInt64 = (1 &<< UInt64(count)) &- 1
    var result: UInt64 = 0
    switch control &>> 2 & 3 {
    case 0:
      for i in 0..<lengthX { result |= equalities(i) }
    case 1:
      for i in 0..<(lengthX / 2) { result |= inRange(2 &* i) }
    case 2:
      // Both invalid counts as equal, one invalid as different.
      for i in 0..<count {
        let both = i < lengthX && i < lengthY
        let equal = both ? equalities(i) &>> UInt64(i) & 1 : (i >= lengthX && i >= lengthY ? 1 : 0)
        result |= equal &<< UInt64(i)
      }
    default:
      // A place matches when the rest of y from there starts with x, as far as the chunk goes.
      result = all
      for i in 0..<lengthX {
        result &= equalities(i) &>> UInt64(i) | ~(all &>> UInt64(i))
      }
    }
    return result & all
  }

  /// Bit j: element j of y is between elements `i` and `i + 1` of x.
  func inRange(_ i: Int) -> UInt64 {
    let low = Self.element(x, i, control)
    let high = Self.element(x, i &+ 1, control)
    var bits: UInt64 = 0
    for j in 0..<lengthY {
      let value = Self.element(y, j, control)
      if low <= value && value <= high { bits |= 1 &<< UInt64(j) }
    }
    return bits
  }

  /// IntRes2: the result after polarity.
  var result: UInt64 {
    let all: UInt64 = (1 &<< UInt64(count)) &- 1
    switch control &>> 4 & 3 {
    case 1: return aggregated ^ all
    case 3: return aggregated ^ ((1 &<< UInt64(lengthY)) &- 1)
    default: return aggregated
    }
  }

  /// What goes to ECX: the least (most) significant set bit, or the number of elements.
  static func index(_ result: UInt64, _ control: UInt64) -> UInt64 {
    if result == 0 { return control & 1 == 0 ? 16 : 8 }
    let number = control & 0x40 == 0 ? result.trailingZeroBitCount : 63 &- result.leadingZeroBitCount
    return UInt64(truncatingIfNeeded: number)
  }

  /// What goes to XMM0: the bits, or each bit widened to an element.
  static func mask(_ result: UInt64, _ control: UInt64) -> SIMD2<UInt64> {
    if control & 0x40 == 0 { return SIMD2(result, 0) }
    if control & 1 == 0 {
      var bytes = SIMD16<UInt8>()
      for i in 0..<16 { bytes[i] = result &>> UInt64(i) & 1 != 0 ? 0xff : 0 }
      return packed(U8.self, bytes)
    }
    var words = SIMD8<UInt16>()
    for i in 0..<8 { words[i] = result &>> UInt64(i) & 1 != 0 ? 0xffff : 0 }
    return packed(U16.self, words)
  }
}
