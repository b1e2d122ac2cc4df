// Decompresses zlib's format (RFC 1950, RFC 1951): sections of debug information are stored so. The result grows with what is read, never
// with what a file claims, and stops at the size that was asked for.

/// Decompression of one stream.
struct Inflate {
  private struct Failure: Error {}

  /// Codes by their length: how many there are of each, and their symbols in order.
  private struct Codes {
    var counts = [Int](repeating: 0, count: 16)
    var symbols: [Int] = []
    /// For all ten next bits: symbol and length; 0 where the code is longer.
    var quick = [UInt16](repeating: 0, count: 1 << 10)

    init(_ lengths: ArraySlice<UInt8>) {
      for length in lengths { counts[Int(length & 15)] &+= 1 }
      counts[0] = 0
      var offsets = [Int](repeating: 0, count: 17)
      for length in 1..<16 { offsets[length &+ 1] = offsets[length] &+ counts[length] }
      symbols = [Int](repeating: 0, count: offsets[16])
      var code = 0
      var codes = [Int](repeating: 0, count: 16)
      for length in 1..<16 {
        code = (code &+ counts[length &- 1]) &<< 1
        codes[length] = code
      }
      for (symbol, length) in lengths.enumerated() where length != 0 {
        let length = Int(length & 15)
        symbols[offsets[length]] = symbol
        offsets[length] &+= 1
        if length <= 10 { fill(codes[length], length, symbol) }
        codes[length] &+= 1
      }
    }

    private mutating func fill(_ code: Int, _ length: Int, _ symbol: Int) {
      var reversed = 0
      for bit in 0..<length where code &>> bit & 1 != 0 { reversed |= 1 &<< (length &- 1 &- bit) }
      while reversed < quick.count {
        quick[reversed] = UInt16(truncatingIfNeeded: symbol &<< 4 | length)
        reversed &+= 1 &<< length
      }
    }
  }

  private let input: [UInt8]
  private var place: Int
  private var bits: UInt64 = 0
  private var bitCount = 0
  private var output: [UInt8] = []
  private let size: Int

  private init(_ input: [UInt8], from place: Int, size: Int) {
    (self.input, self.place, self.size) = (input, place, size)
  }

  /// The `size` bytes that zlib's stream at `start` stands for; nil when it is damaged.
  static func bytes(_ input: [UInt8], from start: Int, size: Int) -> [UInt8]? {
    guard start >= 0, input.count >= start &+ 2, size >= 0 else { return nil }
    let (method, flags) = (input[start], input[start &+ 1])
    guard method & 15 == 8, flags & 0x20 == 0, (UInt16(method) << 8 | UInt16(flags)) % 31 == 0 else {
      return nil
    }
    var state = Inflate(input, from: start &+ 2, size: size)
    do { try state.run() } catch { return nil }
    return state.output.count == size ? state.output : nil
  }

  private mutating func take(_ count: Int) throws(Failure) -> Int {
    while bitCount < count {
      guard place < input.count else { throw Failure() }
      bits |= UInt64(input[place]) &<< UInt64(bitCount)
      place &+= 1
      bitCount &+= 8
    }
    let result = Int(truncatingIfNeeded: bits & (1 &<< UInt64(count) &- 1))
    bits &>>= UInt64(count)
    bitCount &-= count
    return result
  }

  private mutating func symbol(_ codes: Codes) throws(Failure) -> Int {
    while bitCount < 16, place < input.count {
      bits |= UInt64(input[place]) &<< UInt64(bitCount)
      place &+= 1
      bitCount &+= 8
    }
    let entry = codes.quick[Int(truncatingIfNeeded: bits & 1023)]
    if entry != 0, Int(entry & 15) <= bitCount {
      bits &>>= UInt64(entry & 15)
      bitCount &-= Int(entry & 15)
      return Int(entry >> 4)
    }
    // Longer ones bit by bit.
    var (code, first, index) = (0, 0, 0)
    for length in 1..<16 {
      code |= try take(1)
      let count = codes.counts[length]
      if code &- count < first {
        guard codes.symbols.indices.contains(index &+ code &- first) else { throw Failure() }
        return codes.symbols[index &+ code &- first]
      }
      index &+= count
      first = (first &+ count) &<< 1
      code &<<= 1
    }
    throw Failure()
  }

  private mutating func run() throws(Failure) {
    var isLast = false
    while !isLast, output.count < size {
      isLast = try take(1) == 1
      switch try take(2) {
      case 0: try stored()
      case 1: try compressed(Inflate.fixedLengths, Inflate.fixedDistances)
      case 2:
        let (lengths, distances) = try tables()
        try compressed(lengths, distances)
      default: throw Failure()
      }
    }
  }

  private mutating func stored() throws(Failure) {
    _ = try take(bitCount & 7)
    let length = try take(16)
    guard try take(16) == ~length & 0xffff else { throw Failure() }
    for _ in 0..<length {
      if output.count == size { return }
      output.append(UInt8(truncatingIfNeeded: try take(8)))
    }
  }

  private static var fixedLengths: Codes {
    var lengths = [UInt8](repeating: 8, count: 288)
    for symbol in 144..<256 { lengths[symbol] = 9 }
    for symbol in 256..<280 { lengths[symbol] = 7 }
    return Codes(lengths[...])
  }

  private static var fixedDistances: Codes { Codes([UInt8](repeating: 5, count: 30)[...]) }

  private static let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

  private mutating func tables() throws(Failure) -> (Codes, Codes) {
    let literals = try take(5) &+ 257
    let distances = try take(5) &+ 1
    let count = try take(4) &+ 4
    var lengths = [UInt8](repeating: 0, count: 19)
    for place in 0..<count { lengths[Inflate.order[place]] = UInt8(truncatingIfNeeded: try take(3)) }
    let codes = Codes(lengths[...])
    var all: [UInt8] = []
    while all.count < literals &+ distances {
      let symbol = try symbol(codes)
      switch symbol {
      case 16:
        guard let last = all.last else { throw Failure() }
        all += repeatElement(last, count: 3 &+ (try take(2)))
      case 17: all += repeatElement(0, count: 3 &+ (try take(3)))
      case 18: all += repeatElement(0, count: 11 &+ (try take(7)))
      default: all.append(UInt8(truncatingIfNeeded: symbol))
      }
    }
    guard all.count == literals &+ distances else { throw Failure() }
    return (Codes(all[..<literals]), Codes(all[literals...]))
  }

  private static let lengthBases = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227,
    258,
  ]
  private static let distanceBases = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
    4097,
    6145, 8193, 12289, 16385, 24577,
  ]

  private mutating func compressed(_ lengths: Codes, _ distances: Codes) throws(Failure) {
    while true {
      let symbol = try symbol(lengths)
      if symbol == 256 { return }
      if output.count >= size { return }
      if symbol < 256 {
        output.append(UInt8(truncatingIfNeeded: symbol))
        continue
      }
      let place = symbol &- 257
      guard place < Inflate.lengthBases.count else { throw Failure() }
      let lengthBits = place < 8 || place == 28 ? 0 : place / 4 &- 1
      let length = Inflate.lengthBases[place] &+ (try take(lengthBits))
      let code = try self.symbol(distances)
      guard code < Inflate.distanceBases.count else { throw Failure() }
      let distance = Inflate.distanceBases[code] &+ (try take(code < 4 ? 0 : code / 2 &- 1))
      guard distance <= output.count else { throw Failure() }
      for _ in 0..<min(length, size &- output.count) { output.append(output[output.count &- distance]) }
    }
  }
}
