// SHA-1 and SHA-256 as the SHA extensions cut them: a few rounds, or a step of the message schedule, on
// vectors of four words (Intel manual, volume 2, SHA1RNDS4 and following; FIPS 180-4). Element 3 is the
// manual's first word. Pure functions.

/// Rounds and message schedules.
enum SHA {
  typealias Words = SIMD4<UInt32>

  static func rotateLeft(_ x: UInt32, _ count: UInt32) -> UInt32 { x &<< count | x &>> (32 &- count) }
  static func rotateRight(_ x: UInt32, _ count: UInt32) -> UInt32 { x &>> count | x &<< (32 &- count) }

  // MARK: SHA-1

  /// The logical function of rounds 20·`number` … 20·`number` + 19.
  static func logical(_ number: UInt64, _ b: UInt32, _ c: UInt32, _ d: UInt32) -> UInt32 {
    switch number & 3 {
    case 0: return (b & c) ^ (~b & d)
    case 2: return (b & c) ^ (b & d) ^ (c & d)
    default: return b ^ c ^ d
    }
  }

  static func constant(_ number: UInt64) -> UInt32 {
    switch number & 3 {
    case 0: return 0x5a82_7999
    case 1: return 0x6ed9_eba1
    case 2: return 0x8f1b_bcdc
    default: return 0xca62_c1d6
    }
  }

  /// Four rounds. E of the first round has been added to the first word.
  static func sha1Rounds(_ state: Words, _ words: Words, _ number: UInt64) -> Words {
    var a = state[3]
    var b = state[2]
    var c = state[1]
    var d = state[0]
    var e: UInt32 = 0
    let k = constant(number)
    for round in 0..<4 {
      let next = logical(number, b, c, d) &+ rotateLeft(a, 5) &+ words[3 &- round] &+ e &+ k
      e = d
      d = c
      c = rotateLeft(b, 30)
      b = a
      a = next
    }
    return Words(d, c, b, a)
  }

  static func sha1NextE(_ x: Words, _ y: Words) -> Words {
    Words(y[0], y[1], y[2], y[3] &+ rotateLeft(x[3], 30))
  }

  static func sha1Message1(_ x: Words, _ y: Words) -> Words {
    Words(x[0] ^ y[2], x[1] ^ y[3], x[2] ^ x[0], x[3] ^ x[1])
  }

  static func sha1Message2(_ x: Words, _ y: Words) -> Words {
    let w16 = rotateLeft(x[3] ^ y[2], 1)
    let w17 = rotateLeft(x[2] ^ y[1], 1)
    let w18 = rotateLeft(x[1] ^ y[0], 1)
    let w19 = rotateLeft(x[0] ^ w16, 1)
    return Words(w19, w18, w17, w16)
  }

  // MARK: SHA-256

  /// Two rounds. From element 3 down, `x` holds C D G H and `y` A B E F; `words` 0 and 1 are the message plus
  /// constants.
  static func sha256Rounds(_ x: Words, _ y: Words, _ words: Words) -> Words {
    var a = y[3]
    var b = y[2]
    var c = x[3]
    var d = x[2]
    var e = y[1]
    var f = y[0]
    var g = x[1]
    var h = x[0]
    for round in 0..<2 {
      let choose = (e & f) ^ (~e & g)
      let majority = (a & b) ^ (a & c) ^ (b & c)
      let sum1 = rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25)
      let sum0 = rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22)
      let first = h &+ sum1 &+ choose &+ words[round]
      h = g
      g = f
      f = e
      e = d &+ first
      d = c
      c = b
      b = a
      a = first &+ sum0 &+ majority
    }
    return Words(f, e, b, a)
  }

  static func sigma0(_ x: UInt32) -> UInt32 { rotateRight(x, 7) ^ rotateRight(x, 18) ^ (x &>> 3) }
  static func sigma1(_ x: UInt32) -> UInt32 { rotateRight(x, 17) ^ rotateRight(x, 19) ^ (x &>> 10) }

  static func sha256Message1(_ x: Words, _ y: Words) -> Words {
    Words(
      x[0] &+ sigma0(x[1]), x[1] &+ sigma0(x[2]), x[2] &+ sigma0(x[3]), x[3] &+ sigma0(y[0]))
  }

  static func sha256Message2(_ x: Words, _ y: Words) -> Words {
    let w16 = x[0] &+ sigma1(y[2])
    let w17 = x[1] &+ sigma1(y[3])
    return Words(w16, w17, x[2] &+ sigma1(w16), x[3] &+ sigma1(w17))
  }
}
