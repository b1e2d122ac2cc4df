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
  fileprivate static let shortestMatch = 4
  private static let lastLiterals = 5
  private static let lastMatch = 12
  private static let furthest = 65_535
  // PERF: a table of 16 KiB stays in the processor's first cache beside what is compressed: half as fast again as one of 64 KiB, for
  // programs and libraries that become three hundredths larger.
  private static let tableBits: UInt32 = 12
  /// A byte of a block stands for no more bytes than this.
  static let mostGrowth: UInt64 = 255

  /// Writes `source` as a block.
  static func compress(_ source: UnsafeRawBufferPointer, to writer: inout ByteWriter) {
    let starts = UnsafeMutablePointer<Int32>.allocate(capacity: 1 << Int(tableBits))
    defer { starts.deallocate() }
    starts.initialize(repeating: -1, count: 1 << Int(tableBits))
    // Nothing but literals is the worst that can come.
    _ = writer.space(of: source.count + source.count / 255 + 16) { target in
      var packed = PackedBlock(target)
      compress(source, starts, &packed)
      return packed.count
    }
  }

  private static func compress(
    _ bytes: UnsafeRawBufferPointer, _ starts: UnsafeMutablePointer<Int32>, _ packed: inout PackedBlock
  ) {
    var anchor = 0
    var place = 0
    let limit = bytes.count - lastMatch
    while place <= limit {
      // SAFETY: four bytes from `place` on lie in the buffer, because twelve do.
      let word = bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)
      let slot = Int((word &* 2_654_435_761) &>> (32 &- tableBits))
      let candidate = Int(starts[slot])
      starts[slot] = Int32(truncatingIfNeeded: place)
      guard candidate >= 0, place &- candidate <= furthest,
        bytes.loadUnaligned(fromByteOffset: candidate, as: UInt32.self) == word
      else {
        // The longer nothing is found, the bigger the steps.
        place &+= 1 &+ (place &- anchor) &>> 6
        continue
      }
      let length = matchLength(bytes, candidate, place, bytes.count - lastLiterals)
      packed.sequence(bytes, anchor..<place, match: length, back: place &- candidate)
      place &+= length
      anchor = place
    }
    packed.sequence(bytes, anchor..<bytes.count, match: 0, back: 0)
  }

  private static func matchLength(
    _ bytes: UnsafeRawBufferPointer, _ first: Int, _ second: Int, _ end: Int
  ) -> Int {
    var length = shortestMatch
    func difference(at place: Int) -> UInt64 {
      bytes.loadUnaligned(fromByteOffset: first &+ place, as: UInt64.self)
        ^ bytes.loadUnaligned(fromByteOffset: second &+ place, as: UInt64.self)
    }
    // PERF: long runs of zeros are what short calls leave behind most.
    while second &+ length &+ 32 <= end {
      let lower = difference(at: length) | difference(at: length &+ 8)
      if lower | difference(at: length &+ 16) | difference(at: length &+ 24) != 0 { break }
      length &+= 32
    }
    while second &+ length &+ 8 <= end {
      let difference = difference(at: length)
      if difference != 0 { return length &+ difference.trailingZeroBitCount &>> 3 }
      length &+= 8
    }
    while second &+ length < end, bytes[first &+ length] == bytes[second &+ length] { length &+= 1 }
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
  // SAFETY: the caller's memory, which has room for the worst case.
  private let target: UnsafeMutableRawBufferPointer
  private(set) var count = 0

  init(_ target: UnsafeMutableRawBufferPointer) { self.target = target }

  private mutating func byte(_ value: Int) {
    target[count] = UInt8(truncatingIfNeeded: value)
    count &+= 1
  }

  /// Literals, and a match of `match` bytes that lie `back` bytes before; 0: none.
  mutating func sequence(_ bytes: UnsafeRawBufferPointer, _ literals: Range<Int>, match: Int, back: Int) {
    let length = max(match &- BlockCompression.shortestMatch, 0)
    byte(min(literals.count, 15) << 4 | min(length, 15))
    extend(literals.count)
    UnsafeMutableRawBufferPointer(rebasing: target[count...]).copyMemory(
      from: UnsafeRawBufferPointer(rebasing: bytes[literals]))
    count &+= literals.count
    if match == 0 { return }
    byte(back)
    byte(back &>> 8)
    extend(length)
  }

  /// The bytes that follow a number of 15 or more.
  private mutating func extend(_ number: Int) {
    if number < 15 { return }
    var rest = number - 15
    while rest >= 255 {
      byte(255)
      rest -= 255
    }
    byte(rest)
  }
}
