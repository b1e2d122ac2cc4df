// The compression of chunks: whatever goes in comes out again, a block stays within the limits of the LZ4 block format, and malformed
// blocks are refused without harm.
import Testing

@testable import Record

/// xorshift64*, the same numbers in every run.
struct Numbers {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

  mutating func next() -> UInt64 {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 0x2545_f491_4f6c_dd1d
  }

  mutating func below(_ limit: Int) -> Int { Int((next() >> 16) % UInt64(limit)) }

  mutating func bytes(_ count: Int, below limit: Int = 256) -> [UInt8] {
    (0..<count).map { _ in UInt8(below(limit)) }
  }
}

private func compressed(_ source: [UInt8]) -> [UInt8] {
  var writer = ByteWriter()
  source.withUnsafeBytes { BlockCompression.compress($0, to: &writer) }
  return writer.bytes
}

@Suite struct BlockCompressionTests {
  /// Compresses and unpacks; the packed size.
  @discardableResult
  private func roundTrip(_ source: [UInt8]) -> Int {
    let packed = compressed(source)
    #expect(BlockCompression.decompress(packed[...], size: source.count) == source)
    #expect(UInt64(source.count) <= UInt64(packed.count + 1) * BlockCompression.mostGrowth)
    if !source.isEmpty { #expect(BlockCompression.decompress(packed[...], size: source.count - 1) == nil) }
    #expect(BlockCompression.decompress(packed[...], size: source.count + 1) == nil)
    return packed.count
  }

  @Test func everyShortLength() {
    var numbers = Numbers(1)
    for count in 0..<600 {
      roundTrip([UInt8](repeating: 7, count: count))
      roundTrip(numbers.bytes(count))
      roundTrip(numbers.bytes(count, below: 2))
      roundTrip((0..<count).map { UInt8($0 % 5) })
    }
  }

  @Test func sizes() {
    var numbers = Numbers(2)
    let large = 3 << 20
    // A run is a byte for each 255; noise grows by one in 255 and a little.
    #expect(roundTrip([UInt8](repeating: 0, count: large)) < large / 250)
    let noise = numbers.bytes(large)
    #expect(roundTrip(noise) <= large + large / 255 + 16)
    // The second half lies too far back for an offset; the third does not.
    #expect(roundTrip(Array(noise[..<100_000]) + noise[..<100_000]) > 199_000)
    #expect(roundTrip(Array(noise[..<60_000]) + noise[..<60_000]) < 61_000)
    let text = (0..<40_000).flatMap { Array("event \($0) of thread \($0 % 7)\n".utf8) }
    #expect(roundTrip(text) < text.count / 2)
  }

  @Test func mixtures() {
    var numbers = Numbers(3)
    for _ in 0..<400 {
      var source: [UInt8] = []
      for _ in 0..<(1 + numbers.below(20)) {
        switch numbers.below(4) {
        case 0: source += numbers.bytes(numbers.below(300))
        case 1: source += [UInt8](repeating: UInt8(numbers.below(256)), count: numbers.below(2000))
        case 2: source += source.prefix(numbers.below(source.count + 1))
        default: source += source.suffix(numbers.below(min(source.count, 40) + 1))
        }
      }
      roundTrip(source)
    }
  }

  @Test func blocksOfOthers() {
    // Literals only; a match that overlaps what it makes; lengths of 15 and of 15 + 255 + 0.
    #expect(BlockCompression.decompress([0x30, 1, 2, 3], size: 3) == [1, 2, 3])
    #expect(BlockCompression.decompress([0x10, 9, 1, 0, 0x00], size: 5) == [9, 9, 9, 9, 9])
    #expect(
      BlockCompression.decompress([0x24, 1, 2, 2, 0, 0x10, 5], size: 11) == [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 5])
    let long = [0xf0, 255, 0] + [UInt8](repeating: 6, count: 270)
    #expect(BlockCompression.decompress(long[...], size: 270) == [UInt8](repeating: 6, count: 270))
  }

  @Test(
    arguments: [
      [0x30, 1, 2], [0xf0], [0xf0, 255], [0x10, 1, 1], [0x10, 1, 0, 0, 0], [0x10, 1, 2, 0, 0],
      [0x1f, 1, 1, 0],
      [0x1f, 1, 1, 0, 255], [0x00, 1, 0], [0x00, 0xff, 0xff], [0x10, 1, 1, 0, 0xf0],
    ] as [[UInt8]])
  func malformed(block: [UInt8]) {
    for size in [0, 1, 2, 4] { #expect(BlockCompression.decompress(block[...], size: size) == nil) }
  }

  @Test func noiseIsHarmless() {
    var numbers = Numbers(4)
    let good = compressed((0..<3000).flatMap { Array("record \($0 % 17)".utf8) })
    for round in 0..<20_000 {
      var block = round % 2 == 0 ? numbers.bytes(numbers.below(60)) : good
      if round % 2 == 1 { block[numbers.below(block.count)] ^= UInt8(1 << numbers.below(8)) }
      let size = numbers.below(40_000)
      if let result = BlockCompression.decompress(block[...], size: size) { #expect(result.count == size) }
    }
  }
}
