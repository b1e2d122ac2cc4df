// AES rounds on the state as SSE registers hold it: byte i is row i % 4 of column i / 4 (FIPS 197, figure 3).
// Pure functions; the S-boxes are packed eight bytes to a word, little-endian.

/// 256 bytes in 32 words.
typealias ByteTable = InlineArray<32, UInt64>

extension ByteTable {
  // PERF: one load; a byte index cannot be out of bounds.
  /// The byte at `index`.
  @inline(__always) func byte(_ index: UInt8) -> UInt8 {
    UInt8(truncatingIfNeeded: self[Int(index &>> 3)] &>> UInt64((index & 7) &* 8))
  }
}

/// The AES round transformations.
enum AES {
  /// FIPS 197, figure 7.
  static let substitution: ByteTable = [
    0xc56f6bf27b777c63, 0x76abd7fe2b670130, 0xf04759fa7dc982ca, 0xc072a49cafa2d4ad,
    0xccf73f362693fdb7, 0x1531d871f1e5a534, 0x9a059618c323c704, 0x75b227ebe2801207,
    0xa05a6e1b1a2c8309, 0x842fe329b3d63b52, 0x5bb1fc20ed00d153, 0xcf584c4a39becb6a,
    0x85334d43fbaaefd0, 0xa89f3c507f02f945, 0xf5389d928f40a351, 0xd2f3ff1021dab6bc,
    0x1744975fec130ccd, 0x73195d643d7ea7c4, 0x88902a22dc4f8160, 0xdb0b5ede14b8ee46,
    0x5c2406490a3a32e0, 0x79e4959162acd3c2, 0xa94ed58d6d37c8e7, 0x08ae7a65eaf4566c,
    0xc6b4a61c2e2578ba, 0x8a8bbd4b1f74dde8, 0x0ef6034866b53e70, 0x9e1dc186b9573561,
    0x948ed9691198f8e1, 0xdf2855cee9871e9b, 0x6842e6bf0d89a18c, 0x16bb54b00f2d9941,
  ]

  /// FIPS 197, figure 14.
  static let inverseSubstitution: ByteTable = [
    0x38a53630d56a0952, 0xfbd7f3819ea340bf, 0x87ff2f9b8239e37c, 0xcbe9dec444438e34,
    0x3d23c2a632947b54, 0x4ec3fa420b954cee, 0xb224d92866a12e08, 0x25d18b6d49a25b76,
    0x1698688664f6f872, 0x92b6655dcc5ca4d4, 0xdab9edfd5048706c, 0x849d8da75746155e,
    0x0ad3bc8c00abd890, 0x0645b3b80558e4f7, 0x020f3fca8f1e2cd0, 0x6b8a130103bdafc1,
    0xeadc674f4111913a, 0x73e6b4f0cecff297, 0x8535ade72274ac96, 0x6edf751ce837f9e2,
    0x89c5291d711af147, 0x1bbe18aa0e62b76f, 0x2079d2c64b3e56fc, 0xf45acd78fec0db9a,
    0x31c7078833a8dd1f, 0x5fec8027591012b1, 0x0d4ab519a97f5160, 0xef9cc9939f7ae52d,
    0xb0f52aae4d3be0a0, 0x619953833cbbebc8, 0x26d677ba7e042b17, 0x7d0c2155631469e1,
  ]

  /// ShiftRows and SubBytes.
  static func shiftAndSubstitute(_ state: SIMD16<UInt8>) -> SIMD16<UInt8> {
    var result = SIMD16<UInt8>()
    for i in 0..<16 { result[i] = substitution.byte(state[(5 &* i) & 15]) }
    return result
  }

  /// InvShiftRows and InvSubBytes.
  static func inverseShiftAndSubstitute(_ state: SIMD16<UInt8>) -> SIMD16<UInt8> {
    var result = SIMD16<UInt8>()
    for i in 0..<16 { result[i] = inverseSubstitution.byte(state[(13 &* i) & 15]) }
    return result
  }

  /// Each byte times x in GF(2^8), modulo x^8 + x^4 + x^3 + x + 1.
  static func double(_ columns: SIMD4<UInt32>) -> SIMD4<UInt32> {
    let carries = (columns &>> 7) & SIMD4(repeating: 0x0101_0101)
    return ((columns & SIMD4(repeating: 0x7f7f_7f7f)) &<< 1) ^ (carries &* SIMD4(repeating: 0x1b))
  }

  /// Each column rotated down by `rows` bytes.
  static func rotate(_ columns: SIMD4<UInt32>, rows: UInt32) -> SIMD4<UInt32> {
    (columns &>> (8 &* rows)) | (columns &<< (32 &- 8 &* rows))
  }

  /// MixColumns: 2·a ⊕ 3·b ⊕ c ⊕ d for each column (a, b, c, d) and its rotations.
  static func mixColumns(_ state: SIMD16<UInt8>) -> SIMD16<UInt8> {
    let columns = unsafeBitCast(state, to: SIMD4<UInt32>.self)
    return unsafeBitCast(mix(columns), to: SIMD16<UInt8>.self)
  }

  static func mix(_ columns: SIMD4<UInt32>) -> SIMD4<UInt32> {
    let next = rotate(columns, rows: 1)
    return double(columns ^ next) ^ next ^ rotate(columns ^ next, rows: 2)
  }

  /// InvMixColumns: MixColumns after adding 4·(a ⊕ c) to each byte.
  static func inverseMixColumns(_ state: SIMD16<UInt8>) -> SIMD16<UInt8> {
    let columns = unsafeBitCast(state, to: SIMD4<UInt32>.self)
    let correction = double(double(columns ^ rotate(columns, rows: 2)))
    return unsafeBitCast(mix(columns ^ correction), to: SIMD16<UInt8>.self)
  }

  /// SubWord of doublewords 1 and 3, beside their rotations with the round constant (AESKEYGENASSIST).
  static func keyGenerationAssist(_ x: SIMD4<UInt32>, _ constant: UInt32) -> SIMD4<UInt32> {
    let first = substituteWord(x[1])
    let third = substituteWord(x[3])
    return SIMD4(
      first, (first &>> 8 | first &<< 24) ^ constant, third, (third &>> 8 | third &<< 24) ^ constant)
  }

  static func substituteWord(_ word: UInt32) -> UInt32 {
    var result: UInt32 = 0
    for index in 0..<4 as Range<UInt32> {
      let shift = 8 &* index
      result |= UInt32(substitution.byte(UInt8(truncatingIfNeeded: word &>> shift))) &<< shift
    }
    return result
  }
}
