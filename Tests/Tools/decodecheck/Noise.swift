// Repeatable random bytes that look a little like instructions: prefixes and escapes come first more often than in noise.

struct Noise {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 2 &+ 1 }

  /// xorshift64*
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state &* 0x2545_f491_4f6c_dd1d
  }

  /// Fills `bytes`; up to three of the first are interesting ones.
  mutating func fill(_ bytes: UnsafeMutableRawBufferPointer) {
    for index in 0..<bytes.count { bytes[index] = UInt8(truncatingIfNeeded: next() >> 24) }
    let interesting: [UInt8] = [
      0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x48, 0x41, 0x0f, 0x0f, 0x0f, 0xc4, 0xc5, 0x62, 0x38,
    ]
    let choice = next()
    for index in 0..<min(Int(choice & 3), bytes.count) {
      bytes[index] = interesting[Int(choice >> UInt64(8 + 4 * index) & 15)]
    }
  }
}
