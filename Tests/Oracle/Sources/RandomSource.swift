// Repeatable random numbers: splitmix64, so that a seed printed with a mismatch reproduces it anywhere.

struct RandomSource {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A number below `bound`, which is at least 1.
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

  /// True once in `n` times.
  mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }

  mutating func pick<T>(_ values: [T]) -> T { values[below(values.count)] }

  /// An integer that is likely to be near something that matters: 0, powers of two, sign and carry boundaries.
  mutating func edge() -> UInt64 {
    switch below(8) {
    case 0: return UInt64(below(4))
    case 1: return ~UInt64(below(4))
    case 2: return (1 << UInt64(below(64))) &+ UInt64(below(3)) &- 1
    case 3: return 0x8000_0000_0000_0000 &+ UInt64(below(3)) &- 1
    case 4: return 0x7fff_ffff &+ UInt64(below(3))
    case 5:
      return pick([0x80, 0x7f, 0xff, 0x8000, 0x7fff, 0xffff, 0x8080_8080_8080_8080, 0x5555_5555_5555_5555])
    default: return next()
    }
  }
}
