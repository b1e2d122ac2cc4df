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
  private static let shortestMatch = 4
  private static let lastLiterals = 5
  private static let lastMatch = 12
  private static let furthest = 65_535
  private static let tableBits: UInt32 = 14
  /// A byte of a block stands for no more bytes than this.
  static let mostGrowth: UInt64 = 255

  static func compress(_ source: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(source.count / 2 + 64)
    source.withUnsafeBytes { bytes in
      let starts = UnsafeMutablePointer<Int32>.allocate(capacity: 1 << Int(tableBits))
      defer { starts.deallocate() }
      starts.initialize(repeating: -1, count: 1 << Int(tableBits))
      compress(bytes, starts, &result)
    }
    return result
  }

  private static func compress(
    _ bytes: UnsafeRawBufferPointer, _ starts: UnsafeMutablePointer<Int32>, _ result: inout [UInt8]
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
      sequence(bytes, anchor..<place, &result, match: length, back: place &- candidate)
      place &+= length
      anchor = place
    }
    sequence(bytes, anchor..<bytes.count, &result, match: 0, back: 0)
  }

  private static func matchLength(
    _ bytes: UnsafeRawBufferPointer, _ first: Int, _ second: Int, _ end: Int
  ) -> Int {
    var length = shortestMatch
    while second &+ length &+ 8 <= end {
      let difference =
        bytes.loadUnaligned(fromByteOffset: first &+ length, as: UInt64.self)
        ^ bytes.loadUnaligned(fromByteOffset: second &+ length, as: UInt64.self)
      if difference != 0 { return length &+ difference.trailingZeroBitCount &>> 3 }
      length &+= 8
    }
    while second &+ length < end, bytes[first &+ length] == bytes[second &+ length] { length &+= 1 }
    return length
  }

  private static func sequence(
    _ bytes: UnsafeRawBufferPointer, _ literals: Range<Int>, _ result: inout [UInt8], match: Int, back: Int
  ) {
    let length = max(match &- shortestMatch, 0)
    result.append(UInt8(min(literals.count, 15) << 4 | min(length, 15)))
    extend(literals.count, &result)
    result.append(contentsOf: bytes[literals])
    if match == 0 { return }
    result.append(UInt8(truncatingIfNeeded: back))
    result.append(UInt8(truncatingIfNeeded: back &>> 8))
    extend(length, &result)
  }

  /// The bytes that follow a count of 15 or more.
  private static func extend(_ count: Int, _ result: inout [UInt8]) {
    if count < 15 { return }
    var rest = count - 15
    while rest >= 255 {
      result.append(255)
      rest -= 255
    }
    result.append(UInt8(rest))
  }

  /// The `size` bytes that were compressed; nil when that is not what the block says.
  static func decompress(_ packed: [UInt8], size: Int) -> [UInt8]? {
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
      for index in 0..<literals { target[done &+ index] = packed[next &+ index] }
      next &+= literals
      done &+= literals
      if next == packed.count { break }
      guard packed.count &- next >= 2 else { return nil }
      let back = Int(packed[next]) | Int(packed[next &+ 1]) << 8
      next &+= 2
      guard let length = extended(Int(token & 15)), back > 0, back <= done,
        length &+ shortestMatch <= target.count &- done
      else { return nil }
      for index in 0..<(length &+ shortestMatch) { target[done &+ index] = target[done &+ index &- back] }
      done &+= length &+ shortestMatch
    }
    return done
  }
}
