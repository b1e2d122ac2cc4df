// Decompresses Zstandard (RFC 8878): frames of raw, repeated and compressed blocks, with their checksums. Dictionaries are refused. The result
// grows with what is read, never with what a frame claims, and never beyond the size that was asked for.

/// Decompression of one stream.
struct Zstandard {
  private static let mostBlocks = 1 << 16
  private static let mostOfBlock = 1 << 17

  private let input: [UInt8]
  private let size: Int
  private var place: Int
  private var output: [UInt8] = []
  private var blocksLeft = Zstandard.mostBlocks
  // What a frame's blocks have of those before them.
  private var frameStart = 0
  private var huffman: HuffmanTable?
  private var tables: [StateTable?] = [nil, nil, nil]
  private var recent = [1, 4, 8]
  private var literals: [UInt8] = []

  private init(_ input: [UInt8], from place: Int, size: Int) {
    (self.input, self.place, self.size) = (input, place, size)
  }

  /// The `size` bytes that the frames at `start` stand for; nil when they are damaged.
  static func bytes(_ input: [UInt8], from start: Int, size: Int) -> [UInt8]? {
    guard start >= 0, size >= 0 else { return nil }
    var state = Zstandard(input, from: start, size: size)
    do {
      repeat { try state.frame() } while state.place < input.count
    } catch { return nil }
    return state.output.count == size ? state.output : nil
  }

  private mutating func number(_ count: Int, _ end: Int) throws(ZstandardFailure) -> Int {
    guard count <= end &- place else { throw ZstandardFailure() }
    var value = 0
    for offset in 0..<count { value |= Int(input[place &+ offset]) &<< (offset &* 8) }
    place &+= count
    return value
  }

  // MARK: Frames

  private mutating func frame() throws(ZstandardFailure) {
    let magic = try number(4, input.count)
    if magic & ~15 == 0x184d_2a50 {
      // A frame for somebody else.
      let length = try number(4, input.count)
      guard length <= input.count &- place else { throw ZstandardFailure() }
      place &+= length
      return
    }
    guard magic == 0xfd2f_b528 else { throw ZstandardFailure() }
    let flags = try number(1, input.count)
    let isSingle = flags & 0x20 != 0
    guard flags & 8 == 0 else { throw ZstandardFailure() }
    if !isSingle { _ = try number(1, input.count) }
    guard try number([0, 1, 2, 4][flags & 3], input.count) == 0 else { throw ZstandardFailure() }
    // The frame's size is known by what it gives.
    _ = try number([isSingle ? 1 : 0, 2, 4, 8][flags >> 6], input.count)
    (frameStart, huffman, tables, recent) = (output.count, nil, [nil, nil, nil], [1, 4, 8])
    var isLast = false
    while !isLast {
      let header = try number(3, input.count)
      isLast = header & 1 != 0
      try block(header >> 1 & 3, header >> 3)
    }
    guard flags & 4 != 0 else { return }
    let hash = XXHash64.hash(output, from: frameStart)
    guard try number(4, input.count) == Int(truncatingIfNeeded: hash & 0xffff_ffff) else {
      throw ZstandardFailure()
    }
  }

  private mutating func block(_ kind: Int, _ length: Int) throws(ZstandardFailure) {
    blocksLeft -= 1
    guard blocksLeft > 0, kind == 1 || length <= input.count &- place, length <= Zstandard.mostOfBlock else {
      throw ZstandardFailure()
    }
    switch kind {
    case 0:
      guard length <= size &- output.count else { throw ZstandardFailure() }
      output += input[place..<(place &+ length)]
      place &+= length
    case 1:
      let byte = UInt8(truncatingIfNeeded: try number(1, input.count))
      guard length <= size &- output.count else { throw ZstandardFailure() }
      output += repeatElement(byte, count: length)
    case 2:
      let end = place &+ length
      try readLiterals(end)
      try readSequences(end)
      place = end
    default: throw ZstandardFailure()
    }
  }

  // MARK: Literals

  private mutating func readLiterals(_ end: Int) throws(ZstandardFailure) {
    guard place < end else { throw ZstandardFailure() }
    let (kind, form) = (Int(input[place] & 3), Int(input[place] >> 2 & 3))
    literals.removeAll(keepingCapacity: true)
    if kind < 2 {
      let bytes = [1, 2, 1, 3][form]
      let count = try number(bytes, end) >> (bytes == 1 ? 3 : 4)
      guard count <= Zstandard.mostOfBlock, (kind == 0 ? count : 1) <= end &- place else {
        throw ZstandardFailure()
      }
      if kind == 0 {
        literals += input[place..<(place &+ count)]
        place &+= count
      } else {
        literals += repeatElement(input[place], count: count)
        place &+= 1
      }
      return
    }
    let bits = [10, 10, 14, 18][form]
    let header = try number([3, 3, 4, 5][form], end) >> 4
    let (count, packed) = (header & (1 &<< bits &- 1), header >> bits)
    guard count <= Zstandard.mostOfBlock, packed <= end &- place else { throw ZstandardFailure() }
    let last = place &+ packed
    if kind == 2 { huffman = try HuffmanTable(input, &place, end: last) }
    guard let huffman else { throw ZstandardFailure() }
    if form == 0 {
      try huffman.decode(input, place..<last, count: count, into: &literals)
    } else {
      try decodeStreams(huffman, count, last)
    }
    place = last
  }

  /// Four streams, the lengths of three of which stand in front of them.
  private mutating func decodeStreams(
    _ huffman: HuffmanTable, _ count: Int, _ end: Int
  ) throws(ZstandardFailure) {
    var lengths = [try number(2, end), try number(2, end), try number(2, end)]
    let left = end &- place &- lengths.reduce(0, &+)
    let part = (count &+ 3) / 4
    guard left > 0, part &* 3 <= count else { throw ZstandardFailure() }
    lengths.append(left)
    for (number, length) in lengths.enumerated() {
      try huffman.decode(
        input, place..<(place &+ length), count: number < 3 ? part : count &- 3 &* part, into: &literals)
      place &+= length
    }
  }

  // MARK: Sequences

  private mutating func readSequences(_ end: Int) throws(ZstandardFailure) {
    var count = try number(1, end)
    if count == 255 {
      count = try number(2, end) &+ 0x7f00
    } else if count > 127 {
      count = (count &- 128) &<< 8 &+ (try number(1, end))
    }
    var used = 0
    if count > 0 { used = try execute(count, end) } else if place != end { throw ZstandardFailure() }
    let left = literals.count &- used
    guard left <= size &- output.count else { throw ZstandardFailure() }
    output += literals[used...]
  }

  /// Tables of lengths of literals, offsets, and lengths of matches.
  private mutating func readTables(_ end: Int) throws(ZstandardFailure) -> [StateTable] {
    let modes = try number(1, end)
    guard modes & 3 == 0 else { throw ZstandardFailure() }
    var result: [StateTable] = []
    for kind in 0..<3 {
      let table: StateTable
      let mostSymbols = [36, 32, 53][kind]
      switch modes >> (6 &- 2 &* kind) & 3 {
      case 0: table = try StateTable(Zstandard.shares[kind], accuracy: kind == 1 ? 5 : 6)
      case 1:
        let symbol = try number(1, end)
        guard symbol < mostSymbols else { throw ZstandardFailure() }
        table = StateTable(always: UInt8(truncatingIfNeeded: symbol))
      case 2:
        var bits = ForwardBits(input, place..<end)
        table = try StateTable(&bits, mostAccuracy: kind == 1 ? 8 : 9, mostSymbols: mostSymbols)
        place = bits.place
      default:
        guard let known = tables[kind] else { throw ZstandardFailure() }
        table = known
      }
      tables[kind] = table
      result.append(table)
    }
    return result
  }

  /// Copies literals and matches; how many literals there were.
  private mutating func execute(_ count: Int, _ end: Int) throws(ZstandardFailure) -> Int {
    let tables = try readTables(end)
    let (literalTable, offsetTable, matchTable) = (tables[0], tables[1], tables[2])
    let (literalLengths, matchLengths) = (Zstandard.literalLengths, Zstandard.matchLengths)
    guard place < end else { throw ZstandardFailure() }
    var bits = try BackwardBits(input, place..<end)
    var literalState = bits.take(literalTable.accuracy)
    var offsetState = bits.take(offsetTable.accuracy)
    var matchState = bits.take(matchTable.accuracy)
    var used = 0
    for number in 0..<count {
      let offsetBits = offsetTable.symbol(offsetState)
      let code = 1 &<< offsetBits &+ bits.take(offsetBits)
      let match = matchLengths[matchTable.symbol(matchState)]
      let matchLength = match.base &+ bits.take(match.bits)
      let literal = literalLengths[literalTable.symbol(literalState)]
      let literalLength = literal.base &+ bits.take(literal.bits)
      if number &+ 1 < count {
        literalState = literalTable.next(literalState, &bits)
        matchState = matchTable.next(matchState, &bits)
        offsetState = offsetTable.next(offsetState, &bits)
      }
      guard bits.left >= 0, literalLength <= literals.count &- used,
        literalLength &+ matchLength <= size &- output.count
      else { throw ZstandardFailure() }
      output += literals[used..<(used &+ literalLength)]
      used &+= literalLength
      let offset = distance(code, isDirect: literalLength > 0)
      guard offset > 0, offset <= output.count &- frameStart else { throw ZstandardFailure() }
      for _ in 0..<matchLength { output.append(output[output.count &- offset]) }
    }
    guard bits.left == 0 else { throw ZstandardFailure() }
    return used
  }

  /// How far back a match is: codes up to 3 mean one of the last three distances.
  private mutating func distance(_ code: Int, isDirect: Bool) -> Int {
    var result = code &- 3
    if code <= 3 {
      let index = code &- (isDirect ? 1 : 0)
      if index == 0 { return recent[0] }
      result = index < 3 ? recent[index] : recent[0] &- 1
      if index == 1 {
        recent = [result, recent[0], recent[2]]
        return result
      }
    }
    recent = [result, recent[0], recent[1]]
    return result
  }

  /// Where a code's lengths begin, and how many bits tell which it is.
  private static func lengths(_ first: Int, plain: Int, bits: [Int]) -> [(base: Int, bits: Int)] {
    var result = (0..<plain).map { (base: first &+ $0, bits: 0) }
    var base = first &+ plain
    for count in bits {
      result.append((base, count))
      base &+= 1 &<< count
    }
    return result
  }

  private static let literalLengths = lengths(
    0, plain: 16, bits: [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
  private static let matchLengths = lengths(
    3, plain: 32, bits: [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
  /// The shares of symbols where the stream does not tell them.
  private static let shares = [
    [4, 3] + [Int](repeating: 2, count: 11) + [1, 1, 1] + [Int](repeating: 2, count: 9) + [3, 2]
      + [1, 1, 1, 1, 1, -1, -1, -1, -1],
    [1, 1, 1, 1, 1, 1, 2, 2, 2] + [Int](repeating: 1, count: 15) + [-1, -1, -1, -1, -1],
    [1, 4, 3, 2, 2, 2, 2, 2, 2] + [Int](repeating: 1, count: 37) + [Int](repeating: -1, count: 7),
  ]
}

/// The checksum of frames: XXH64 with a seed of zero.
enum XXHash64 {
  private static let first: UInt64 = 0x9e37_79b1_85eb_ca87
  private static let second: UInt64 = 0xc2b2_ae3d_27d4_eb4f
  private static let third: UInt64 = 0x1656_67b1_9e37_79f9
  private static let fourth: UInt64 = 0x85eb_ca77_c2b2_ae63
  private static let fifth: UInt64 = 0x27d4_eb2f_1656_67c5

  private static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
    value &<< count | value &>> (64 &- count)
  }

  private static func round(_ state: UInt64, _ input: UInt64) -> UInt64 {
    rotate(state &+ input &* second, 31) &* first
  }

  /// Of the bytes from `start` on.
  static func hash(_ bytes: [UInt8], from start: Int) -> UInt64 {
    func number(_ place: Int, _ count: Int) -> UInt64 {
      var value: UInt64 = 0
      for offset in 0..<count { value |= UInt64(bytes[place &+ offset]) &<< UInt64(offset &* 8) }
      return value
    }
    var place = start
    var hash = fifth
    if bytes.count &- start >= 32 {
      var lanes = [first &+ second, second, 0, 0 &- first]
      while bytes.count &- place >= 32 {
        for lane in 0..<4 { lanes[lane] = round(lanes[lane], number(place &+ lane &* 8, 8)) }
        place &+= 32
      }
      hash = rotate(lanes[0], 1) &+ rotate(lanes[1], 7) &+ rotate(lanes[2], 12) &+ rotate(lanes[3], 18)
      for lane in lanes { hash = (hash ^ round(0, lane)) &* first &+ fourth }
    }
    hash = hash &+ UInt64(truncatingIfNeeded: bytes.count &- start)
    while bytes.count &- place >= 8 {
      hash = rotate(hash ^ round(0, number(place, 8)), 27) &* first &+ fourth
      place &+= 8
    }
    if bytes.count &- place >= 4 {
      hash = rotate(hash ^ number(place, 4) &* first, 23) &* second &+ third
      place &+= 4
    }
    while place < bytes.count {
      hash = rotate(hash ^ UInt64(bytes[place]) &* fifth, 11) &* first
      place &+= 1
    }
    hash = (hash ^ hash &>> 33) &* second
    hash = (hash ^ hash &>> 29) &* third
    return hash ^ hash &>> 32
  }
}
