// What tests of files have in common: numbers as files have them, and random ones for damage, the same in every run.

/// Xorshift (Marsaglia 2003, 64 bits).
struct RandomNumbers {
  private var state: UInt64 = 88_172_645_463_325_252

  /// From 0 up to `limit`, which it does not reach.
  mutating func next(below limit: Int) -> Int {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return Int(state % UInt64(limit))
  }
}

/// The lowest `count` bytes of a number, little-endian.
func little(_ value: UInt64, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
}
