// States for x87 rows: unmasked exceptions, flags left by earlier instructions, pending errors, every filling of the
// stack, and 80-bit operands at the borders of what instructions treat alike.

import CNative

extension StateGenerator {
  /// Control word, status word, tags and registers of a row of x87.isa, into an FXSAVE image.
  mutating func x87State(_ area: UnsafeMutableRawBufferPointer) {
    var control: UInt16 = 0x40 | UInt16(random.next() & 0xf00)
    // Two in three run with everything masked, the others with one exception unmasked, or any of them.
    switch random.below(9) {
    case 0, 1: control |= 0x3f & ~(1 << UInt16(random.below(6)))
    case 2: control |= UInt16(random.next() & 0x3f)
    default: control |= 0x3f
    }
    let top = UInt16(random.below(8))
    var status = UInt16(truncatingIfNeeded: random.next()) & (random.oneIn(2) ? 0x477f : 0x4700)
    // An unmasked flag is a pending error, which spoils most instructions: one in eight.
    if !random.oneIn(8) { status &= ~(~control & 0x3f) }
    if status & ~control & 0x3f != 0 { status |= 0x8080 }
    var tags = random.oneIn(3) ? UInt8(truncatingIfNeeded: random.next()) : 0xff
    if random.oneIn(2) { tags &= ~(1 << UInt8((top &- 1) & 7)) }
    area.storeBytes(of: control, toByteOffset: 0, as: UInt16.self)
    area.storeBytes(of: status | top << 11, toByteOffset: 2, as: UInt16.self)
    area.storeBytes(of: tags, toByteOffset: 4, as: UInt8.self)
    for number in 0..<8 {
      let isCopy = number > 0 && random.oneIn(12)
      let (significand, signExponent) = isCopy ? firstRegister(area) : x87Operand()
      area.storeBytes(of: significand, toByteOffset: 32 + number * 16, as: UInt64.self)
      area.storeBytes(of: signExponent, toByteOffset: 40 + number * 16, as: UInt16.self)
    }
  }

  /// ST(0), perhaps with the other sign: equal magnitudes.
  private mutating func firstRegister(_ area: UnsafeMutableRawBufferPointer) -> (UInt64, UInt16) {
    let sign: UInt16 = random.oneIn(2) ? 0x8000 : 0
    return (
      area.load(fromByteOffset: 32, as: UInt64.self), area.load(fromByteOffset: 40, as: UInt16.self) ^ sign
    )
  }

  private mutating func x87Operand() -> (UInt64, UInt16) {
    let borders: [UInt64] = [
      0, 1, 1 << 63, 3 << 62, ~0, 1 << 63 | 1, ~0 >> 1, 1 << 62, 5 << 61, 3 << 62 | 1, 1 << 63 | 0x800,
      1 << 63 | 0x400, ~0 << 10, ~0x3ff ^ 0x400, 1 << 63 | 1 << 40, 1 << 63 | 1 << 39, ~0 << 39,
    ]
    var significand = random.oneIn(3) ? random.pick(borders) : random.next()
    if random.oneIn(6) { significand &= ~0 << UInt64(random.below(64)) }
    if !random.oneIn(8) { significand |= 1 << 63 }
    var exponent = x87Exponent()
    if random.oneIn(10) { (significand, exponent) = (0, 0) }
    if random.oneIn(16) { (significand, exponent) = (1 << 63, 0x7fff) }
    return (significand, exponent | (random.oneIn(2) ? 0x8000 : 0))
  }

  /// Near the ends of the ranges of all formats, near 1, near the integers' ends, anywhere.
  private mutating func x87Exponent() -> UInt16 {
    switch random.below(12) {
    case 0: return 0
    case 1: return 0x7fff
    case 2: return 1 + UInt16(random.below(4))
    case 3: return 0x7ffe - UInt16(random.below(4))
    case 4: return UInt16(random.below(0x8000))
    case 5: return 0x3fff - UInt16(random.below(70))
    case 6: return 0x3ffe + UInt16(random.below(3))
    case 7: return 0x3f67 + UInt16(random.below(30))
    case 8: return 0x4077 + UInt16(random.below(12))
    case 9: return 0x3bca + UInt16(random.below(58))
    case 10: return 0x43fe + UInt16(random.below(8))
    default: return 0x3fff + UInt16(random.below(70))
    }
  }
}
