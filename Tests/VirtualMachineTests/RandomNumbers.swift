// Numbers for damage in large numbers: the same in every run.

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
