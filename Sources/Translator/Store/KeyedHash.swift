// The keyed hash by which the store knows its own blocks: without the key nobody can make one that it takes. Two steps, as in UMAC (Black,
// Halevi, Krawczyk, Krovetz, Rogaway: UMAC, fast and secure message authentication): NH with words of 64 bits makes 16 bytes of each KiB,
// such that two messages agree there with a probability of 2^-64, whoever chose them without knowing the key; SipHash-1-3 with 64 bits
// (Aumasson, Bernstein: SipHash, a fast short-input PRF), of these, says nothing of the key.

/// A secret of 128 bits.
public struct StoreKey: Sendable, Equatable {
  let low: UInt64
  let high: UInt64

  public init(low: UInt64, high: UInt64) { (self.low, self.high) = (low, high) }

  /// The hash of `bytes` and of `seed`, which says what they are.
  public func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    var hash = KeyedHash(self)
    hash.add(seed)
    hash.add(bytes)
    return hash.finish()
  }
}

/// Hashes what is long.
final class LongHash {
  /// Words that NH takes at once, and so many words of key.
  private static let span = 128
  private let key: StoreKey
  // SAFETY: `span` words, freed in deinit.
  private let words: UnsafeMutablePointer<UInt64>

  init(_ key: StoreKey) {
    self.key = key
    words = .allocate(capacity: LongHash.span)
    for index in 0..<LongHash.span {
      var hash = KeyedHash(key)
      hash.add(UInt64(index))
      words[index] = hash.finish()
    }
  }

  deinit { words.deallocate() }

  /// The hash of `bytes` and of `seed`, which says what they are.
  func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
    var hash = KeyedHash(key)
    hash.add(seed)
    hash.add(UInt64(bytes.count))
    var offset = 0
    while offset < bytes.count {
      let size = min(bytes.count &- offset, LongHash.span &* 8)
      let sum = sum(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset &+ size]))
      hash.add(sum.low)
      hash.add(sum.high)
      offset &+= size
    }
    return hash.finish()
  }

  /// NH of a KiB at most, filled up with zeros to whole pairs of words.
  private func sum(_ bytes: UnsafeRawBufferPointer) -> (low: UInt64, high: UInt64) {
    var sum: (low: UInt64, high: UInt64) = (0, 0)
    func add(_ first: UInt64, _ second: UInt64, _ index: Int) {
      let product = (first &+ words[index]).multipliedFullWidth(by: second &+ words[index &+ 1])
      let (low, carry) = sum.low.addingReportingOverflow(product.low)
      sum = (low, sum.high &+ product.high &+ (carry ? 1 : 0))
    }
    func word(_ offset: Int) -> UInt64 {
      bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian
    }
    var offset = 0
    while offset &+ 16 <= bytes.count {
      add(word(offset), word(offset &+ 8), offset &>> 3)
      offset &+= 16
    }
    if offset == bytes.count { return sum }
    var rest: (UInt64, UInt64) = (0, 0)
    withUnsafeMutableBytes(of: &rest) {
      $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset...]))
    }
    add(rest.0.littleEndian, rest.1.littleEndian, offset &>> 3)
    return sum
  }
}

/// A hash of 64-bit words under way.
struct KeyedHash {
  private var v0: UInt64
  private var v1: UInt64
  private var v2: UInt64
  private var v3: UInt64
  private var words: UInt64 = 0

  init(_ key: StoreKey) {
    v0 = key.low ^ 0x736f_6d65_7073_6575
    v1 = key.high ^ 0x646f_7261_6e64_6f6d
    v2 = key.low ^ 0x6c79_6765_6e65_7261
    v3 = key.high ^ 0x7465_6462_7974_6573
  }

  mutating func add(_ word: UInt64) {
    v3 ^= word
    round()
    v0 ^= word
    words &+= 1
  }

  /// The bytes, filled up with zeros to whole words, and their number.
  mutating func add(_ bytes: UnsafeRawBufferPointer) {
    var offset = 0
    while offset &+ 8 <= bytes.count {
      add(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      offset &+= 8
    }
    var last: UInt64 = 0
    var shift: UInt64 = 0
    while offset < bytes.count {
      last |= UInt64(bytes[offset]) &<< shift
      shift &+= 8
      offset &+= 1
    }
    if shift > 0 { add(last) }
    add(UInt64(bytes.count))
  }

  mutating func finish() -> UInt64 {
    // The length in bytes ends the message.
    add(words &<< 59)
    v2 ^= 0xff
    for _ in 0..<3 { round() }
    return v0 ^ v1 ^ v2 ^ v3
  }

  @inline(__always)
  private mutating func round() {
    v0 &+= v1
    v1 = v1 &<< 13 | v1 &>> 51
    v1 ^= v0
    v0 = v0 &<< 32 | v0 &>> 32
    v2 &+= v3
    v3 = v3 &<< 16 | v3 &>> 48
    v3 ^= v2
    v0 &+= v3
    v3 = v3 &<< 21 | v3 &>> 43
    v3 ^= v0
    v2 &+= v1
    v1 = v1 &<< 17 | v1 &>> 47
    v1 ^= v2
    v2 = v2 &<< 32 | v2 &>> 32
  }
}
