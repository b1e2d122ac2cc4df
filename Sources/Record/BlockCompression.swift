// Compression of a recording's chunks in the LZ4 block format (github.com/lz4/lz4, doc/lz4_Block_format.md): fast enough to stand
// in the way of a running program. A block is a row of sequences:
//
//     token            4 bits: number of literals, 4 bits: length of the match less 4; 15 = more bytes follow, each
//                      up to 255, the last one below 255
//     literals
//     offset           2 bytes: how far back the match lies; missing in the last sequence
//
// The last five bytes are literals, and the last match begins at least twelve bytes before the end.

enum BlockCompression {
  /// What a match is shortened by in its token.
  fileprivate static let shortestMatch = 4
  // PERF: a shorter match saves no more than it costs to write one: with 4, programs and libraries take half as long again, for a
  // twentieth less.
  private static let wantedMatch = 6
  private static let lastLiterals = 5
  private static let lastMatch = 12
  private static let furthest = 65_535
  // PERF: a table of 16 KiB stays in the processor's first cache beside what is compressed: half as fast again as one of 64 KiB, for
  // programs and libraries that become three hundredths larger.
  private static let tableBits: UInt64 = 12
  /// A byte of a block stands for no more bytes than this.
  static let mostGrowth: UInt64 = 255

  /// Writes `source` as a block.
  static func compress(_ source: UnsafeRawBufferPointer, to writer: inout ByteWriter) {
    let starts = UnsafeMutablePointer<UInt32>.allocate(capacity: 1 << Int(tableBits))
    defer { starts.deallocate() }
    starts.initialize(repeating: 0, count: 1 << Int(tableBits))
    // Nothing but literals is the worst that can come.
    _ = writer.space(of: source.count + source.count / 255 + 16 + PackedBlock.slack) { target in
      guard let bytes = source.baseAddress, let place = target.baseAddress else { return 0 }
      var packed = PackedBlock(place)
      compress(bytes, source.count, starts, &packed)
      return packed.cursor - place
    }
  }

  /// `starts`: where bytes of this hash were met last.
  private static func compress(
    _ bytes: UnsafeRawPointer, _ count: Int, _ starts: UnsafeMutablePointer<UInt32>,
    _ packed: inout PackedBlock
  ) {
    // SAFETY: what is loaded lies in the buffer: at least twelve bytes begin at `place`, and a candidate lies before it.
    func wanted(_ place: Int) -> UInt64 {
      bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self) &<< (64 &- 8 &* UInt64(wantedMatch))
    }
    func byte(before place: Int) -> UInt8 { bytes.load(fromByteOffset: place &- 1, as: UInt8.self) }
    var anchor = 0
    var place = 1
    while place &+ lastMatch <= count {
      let word = wanted(place)
      let slot = Int(truncatingIfNeeded: (word &* 0x9e37_79b9_7f4a_7c15) &>> (64 &- tableBits))
      var candidate = Int(truncatingIfNeeded: starts[slot])
      starts[slot] = UInt32(truncatingIfNeeded: place)
      guard wanted(candidate) == word, place &- candidate <= furthest else {
        // The longer nothing is found, the bigger the steps.
        place &+= 1 &+ (place &- anchor) &>> 6
        continue
      }
      while place > anchor, candidate > 0, byte(before: place) == byte(before: candidate) {
        place &-= 1
        candidate &-= 1
      }
      let length = matchLength(bytes, candidate, place, count &- lastLiterals)
      packed.sequence(bytes, anchor..<place, of: count, match: length, back: place &- candidate)
      place &+= length
      anchor = place
    }
    packed.sequence(bytes, anchor..<count, of: count, match: 0, back: 0)
  }

  /// How many bytes agree at `first` and `second` in front of `end`, if `wantedMatch` do.
  private static func matchLength(_ bytes: UnsafeRawPointer, _ first: Int, _ second: Int, _ end: Int) -> Int {
    var length = wantedMatch
    func difference(_ further: Int) -> UInt64 {
      bytes.loadUnaligned(fromByteOffset: first &+ length &+ further, as: UInt64.self)
        ^ bytes.loadUnaligned(fromByteOffset: second &+ length &+ further, as: UInt64.self)
    }
    while second &+ length &+ 8 <= end {
      let next = difference(0)
      if next != 0 { return length &+ next.trailingZeroBitCount &>> 3 }
      length &+= 8
      // PERF: long runs of zeros are what short calls leave behind most.
      while second &+ length &+ 32 <= end,
        difference(0) | difference(8) | difference(16) | difference(24) == 0
      {
        length &+= 32
      }
    }
    while second &+ length < end,
      bytes.load(fromByteOffset: first &+ length, as: UInt8.self)
        == bytes.load(fromByteOffset: second &+ length, as: UInt8.self)
    { length &+= 1 }
    return length
  }

  /// The `size` bytes that were compressed; nil when that is not what the block says.
  static func decompress(_ packed: ArraySlice<UInt8>, size: Int) -> [UInt8]? {
    var result = [UInt8](repeating: 0, count: size)
    let filled = result.withUnsafeMutableBytes { target in
      packed.withUnsafeBytes { decompress($0, into: target) }
    }
    return filled == size ? result : nil
  }

  private static func decompress(
    _ packed: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
  ) -> Int? {
    var next = 0
    var done = 0
    func extended(_ count: Int) -> Int? {
      var total = count
      if count < 15 { return total }
      while true {
        guard next < packed.count else { return nil }
        let more = packed[next]
        next &+= 1
        total &+= Int(more)
        if more < 255 { return total }
      }
    }
    while next < packed.count {
      let token = packed[next]
      next &+= 1
      guard let literals = extended(Int(token >> 4)), literals <= packed.count &- next,
        literals <= target.count &- done
      else { return nil }
      copy(target, done, packed, next, literals)
      next &+= literals
      done &+= literals
      if next == packed.count { break }
      guard packed.count &- next >= 2 else { return nil }
      let back = Int(packed[next]) | Int(packed[next &+ 1]) << 8
      next &+= 2
      guard let length = extended(Int(token & 15)), back > 0, back <= done,
        length &+ shortestMatch <= target.count &- done
      else { return nil }
      copy(target, done, UnsafeRawBufferPointer(target), done &- back, length &+ shortestMatch)
      done &+= length &+ shortestMatch
    }
    return done
  }

  /// Copies `count` bytes from front to back: a match may repeat what it has copied itself. Both ranges lie in their buffers.
  private static func copy(
    _ target: UnsafeMutableRawBufferPointer, _ to: Int, _ source: UnsafeRawBufferPointer, _ from: Int,
    _ count: Int
  ) {
    var index = 0
    // Eight bytes at once do not see what they write themselves.
    if source.baseAddress != UnsafeRawPointer(target.baseAddress) || to &- from >= 8 {
      while index &+ 8 <= count {
        let word = source.loadUnaligned(fromByteOffset: from &+ index, as: UInt64.self)
        target.storeBytes(of: word, toByteOffset: to &+ index, as: UInt64.self)
        index &+= 8
      }
    }
    while index < count {
      target[to &+ index] = source[from &+ index]
      index &+= 1
    }
  }
}

/// A compressed block being written.
private struct PackedBlock {
  /// Up to so many bytes are written behind the end.
  static let slack = 16
  // SAFETY: the caller's memory, which has room for the worst case and the slack.
  private(set) var cursor: UnsafeMutableRawPointer

  init(_ start: UnsafeMutableRawPointer) { cursor = start }

  private mutating func byte(_ value: Int) {
    cursor.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
    cursor += 1
  }

  /// Literals, which lie in `bytes`, `count` of them; and a match of `match` bytes that lie `back` bytes before; 0: none.
  mutating func sequence(
    _ bytes: UnsafeRawPointer, _ literals: Range<Int>, of count: Int, match: Int, back: Int
  ) {
    let length = max(match &- BlockCompression.shortestMatch, 0)
    byte(min(literals.count, 15) &<< 4 | min(length, 15))
    extend(literals.count)
    let source = bytes + literals.lowerBound
    // PERF: most are few; sixteen at once are faster than a call.
    if literals.count <= PackedBlock.slack, literals.lowerBound &+ PackedBlock.slack <= count {
      cursor.storeBytes(of: source.loadUnaligned(as: (UInt64, UInt64).self), as: (UInt64, UInt64).self)
    } else {
      cursor.copyMemory(from: source, byteCount: literals.count)
    }
    cursor += literals.count
    if match == 0 { return }
    byte(back)
    byte(back &>> 8)
    extend(length)
  }

  /// The bytes that follow a number of 15 or more.
  private mutating func extend(_ number: Int) {
    if number < 15 { return }
    var rest = number &- 15
    while rest >= 255 {
      byte(255)
      rest &-= 255
    }
    byte(rest)
  }
}
