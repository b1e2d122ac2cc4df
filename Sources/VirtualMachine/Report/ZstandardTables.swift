// The two codes of Zstandard (RFC 8878, section 4): finite state entropy, whose states stand for symbols and tell how many bits lead to the
// next one, and Huffman's. Tables have the sizes that the format allows and no others; what a stream says is checked before it is used.

struct ZstandardFailure: Error {}

/// Bits from a byte on, the least significant first: as tables are described.
struct ForwardBits {
  private let input: [UInt8]
  private let end: Int
  private var bit: Int

  init(_ input: [UInt8], _ range: Range<Int>) {
    (self.input, end, bit) = (input, range.upperBound &* 8, range.lowerBound &* 8)
  }

  /// The first byte that has not been begun.
  var place: Int { (bit &+ 7) >> 3 }

  mutating func take(_ count: Int) throws(ZstandardFailure) -> Int {
    guard bit &+ count <= end else { throw ZstandardFailure() }
    var result = 0
    for offset in 0..<count {
      let place = bit &+ offset
      result |= Int(input[place >> 3] >> UInt8(place & 7) & 1) &<< offset
    }
    bit &+= count
    return result
  }

  mutating func back() { bit &-= 1 }
}

/// Bits from the end of a stream to its beginning; in front of that there are zeros.
struct BackwardBits {
  private let input: [UInt8]
  private let start: Int
  /// Bits that are left; below zero: so many have been taken too many.
  private(set) var left: Int

  /// The last byte's highest set bit marks the end.
  init(_ input: [UInt8], _ range: Range<Int>) throws(ZstandardFailure) {
    guard !range.isEmpty, range.lowerBound >= 0, range.upperBound <= input.count,
      let last = range.last.map({ input[$0] }), last != 0
    else { throw ZstandardFailure() }
    (self.input, start) = (input, range.lowerBound)
    left = range.count &* 8 &- last.leadingZeroBitCount &- 1
  }

  /// Up to 32 bits.
  mutating func take(_ count: Int) -> Int {
    left &-= count
    if count == 0 || left &+ count <= 0 { return 0 }
    let first = max(left, 0)
    let missing = first &- left
    let width = count &- missing
    let place = start &+ first >> 3
    // Five bytes hold 32 bits wherever they begin.
    let end = min(place &+ 5, start &+ (left &+ count &+ 7) >> 3)
    var value: UInt64 = 0
    var index = end
    while index > place {
      index &-= 1
      value = value &<< 8 | UInt64(input[index])
    }
    return Int(truncatingIfNeeded: value >> UInt64(first & 7) & (1 &<< UInt64(width) &- 1)) &<< missing
  }
}

/// A table of finite state entropy.
struct StateTable {
  private struct Entry {
    var symbol: UInt8
    var bits: UInt8
    var base: UInt16
  }

  private var entries: [Entry] = []
  /// The logarithm of their number.
  private(set) var accuracy = 0

  /// Always the same symbol.
  init(always symbol: UInt8) { entries = [Entry(symbol: symbol, bits: 0, base: 0)] }

  /// A table as the stream describes it.
  init(_ bits: inout ForwardBits, mostAccuracy: Int, mostSymbols: Int) throws(ZstandardFailure) {
    accuracy = try bits.take(4) &+ 5
    guard accuracy <= mostAccuracy else { throw ZstandardFailure() }
    var left = 1 &<< accuracy
    var shares: [Int] = []
    while left > 0 {
      let width = Int.bitWidth &- (left &+ 1).leadingZeroBitCount
      var value = try bits.take(width)
      let low = 1 &<< (width &- 1) &- 1
      let threshold = 1 &<< width &- 2 &- left
      if value & low < threshold {
        bits.back()
        value &= low
      } else if value > low {
        value &-= threshold
      }
      let share = value &- 1
      shares.append(share)
      left &-= abs(share)
      if share == 0 {
        var count = 3
        while count == 3 {
          count = try bits.take(2)
          shares += repeatElement(0, count: count)
          guard shares.count <= mostSymbols else { throw ZstandardFailure() }
        }
      }
      guard shares.count <= mostSymbols else { throw ZstandardFailure() }
    }
    guard left == 0 else { throw ZstandardFailure() }
    try fill(shares)
  }

  /// A table of the format's own.
  init(_ shares: [Int], accuracy: Int) throws(ZstandardFailure) {
    self.accuracy = accuracy
    try fill(shares)
  }

  private mutating func fill(_ shares: [Int]) throws(ZstandardFailure) {
    let size = 1 &<< accuracy
    var symbols = [UInt8](repeating: 0, count: size)
    var next = [Int](repeating: 1, count: shares.count)
    var high = size
    // A share of less than one is a state at the end.
    for (symbol, share) in shares.enumerated() where share < 0 {
      high &-= 1
      guard high >= 0 else { throw ZstandardFailure() }
      symbols[high] = UInt8(truncatingIfNeeded: symbol)
    }
    let step = size >> 1 &+ size >> 3 &+ 3
    var place = 0
    for (symbol, share) in shares.enumerated() where share > 0 {
      next[symbol] = share
      for _ in 0..<share {
        symbols[place] = UInt8(truncatingIfNeeded: symbol)
        repeat { place = (place &+ step) & (size &- 1) } while place >= high && high > 0
      }
    }
    guard place == 0 else { throw ZstandardFailure() }
    entries.reserveCapacity(size)
    for symbol in symbols {
      let state = next[Int(symbol)]
      next[Int(symbol)] = state &+ 1
      let bits = accuracy &- (Int.bitWidth &- 1 &- state.leadingZeroBitCount)
      entries.append(
        Entry(
          symbol: symbol, bits: UInt8(truncatingIfNeeded: bits),
          base: UInt16(truncatingIfNeeded: state &<< bits &- size)))
    }
  }

  func symbol(_ state: Int) -> Int { Int(entries[state].symbol) }

  // SAFETY: the next state is below the table's size: a state's base and bits were made so that they cover it.
  func next(_ state: Int, _ bits: inout BackwardBits) -> Int {
    let entry = entries[state]
    return Int(entry.base) &+ bits.take(Int(entry.bits))
  }
}

/// A table of Huffman's code, for all next bits.
struct HuffmanTable {
  private static let mostBits = 11
  private var entries: [(symbol: UInt8, bits: UInt8)] = []
  private var width = 0

  /// A table as the stream describes it; `place` goes behind that.
  init(_ input: [UInt8], _ place: inout Int, end: Int) throws(ZstandardFailure) {
    guard place < end else { throw ZstandardFailure() }
    let head = Int(input[place])
    place &+= 1
    var weights: [UInt8] = []
    if head >= 128 {
      let count = head &- 127
      guard place &+ (count &+ 1) / 2 <= end else { throw ZstandardFailure() }
      for index in 0..<count {
        let byte = input[place &+ index / 2]
        weights.append(index & 1 == 0 ? byte >> 4 : byte & 15)
      }
      place &+= (count &+ 1) / 2
    } else {
      guard place &+ head <= end else { throw ZstandardFailure() }
      weights = try HuffmanTable.weights(input, place..<(place &+ head))
      place &+= head
    }
    try fill(weights)
  }

  /// Weights that finite state entropy has compressed, with two states that take turns.
  private static func weights(_ input: [UInt8], _ range: Range<Int>) throws(ZstandardFailure) -> [UInt8] {
    var description = ForwardBits(input, range)
    let table = try StateTable(&description, mostAccuracy: 6, mostSymbols: 256)
    guard description.place < range.upperBound else { throw ZstandardFailure() }
    var bits = try BackwardBits(input, description.place..<range.upperBound)
    var (state, other) = (bits.take(table.accuracy), bits.take(table.accuracy))
    guard bits.left >= 0 else { throw ZstandardFailure() }
    var weights: [UInt8] = []
    while weights.count < 255 {
      weights.append(UInt8(truncatingIfNeeded: table.symbol(state)))
      state = table.next(state, &bits)
      if bits.left < 0 {
        weights.append(UInt8(truncatingIfNeeded: table.symbol(other)))
        return weights
      }
      swap(&state, &other)
    }
    throw ZstandardFailure()
  }

  /// The last symbol's weight is what is missing to a power of two.
  private mutating func fill(_ given: [UInt8]) throws(ZstandardFailure) {
    var weights = given
    guard weights.count < 256, weights.allSatisfy({ $0 <= HuffmanTable.mostBits }) else {
      throw ZstandardFailure()
    }
    let sum = weights.reduce(0) { $0 &+ ($1 > 0 ? 1 &<< (Int($1) &- 1) : 0) }
    guard sum > 0 else { throw ZstandardFailure() }
    width = Int.bitWidth &- sum.leadingZeroBitCount
    let missing = 1 &<< width &- sum
    guard width <= HuffmanTable.mostBits, missing & (missing &- 1) == 0 else { throw ZstandardFailure() }
    weights.append(UInt8(truncatingIfNeeded: missing.trailingZeroBitCount &+ 1))
    // Long codes come first, and among those of one length in order of symbols.
    for weight in 1...width {
      for (symbol, own) in weights.enumerated() where Int(own) == weight {
        for _ in 0..<1 &<< (weight &- 1) {
          entries.append(
            (UInt8(truncatingIfNeeded: symbol), UInt8(truncatingIfNeeded: width &+ 1 &- weight)))
        }
      }
    }
    guard entries.count == 1 &<< width else { throw ZstandardFailure() }
  }

  /// Decodes a stream that has to give `count` symbols.
  func decode(
    _ input: [UInt8], _ range: Range<Int>, count: Int, into output: inout [UInt8]
  ) throws(ZstandardFailure) {
    var bits = try BackwardBits(input, range)
    let mask = 1 &<< width &- 1
    var state = bits.take(width)
    for _ in 0..<count {
      let entry = entries[state & mask]
      output.append(entry.symbol)
      state = (state &<< Int(entry.bits) | bits.take(Int(entry.bits))) & mask
    }
    // Then all bits are used up, but for those of the next code that there is not.
    guard bits.left == 0 &- width else { throw ZstandardFailure() }
  }
}
