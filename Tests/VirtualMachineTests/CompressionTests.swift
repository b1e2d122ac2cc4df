// Sections that are compressed: Zstandard's frames, whole and damaged, and its checksum. More, in sizes that occur, is in
// Tests/Debugger/inlined.py.
import Testing

@testable import VirtualMachine

/// "lines lines lines lines of zstandard, and more lines of zstandard: abcabcabcabcabc\n", with a checksum.
private let text: [UInt8] = [
  0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x53, 0x75, 0x01, 0x00, 0x24, 0x02, 0x6c, 0x69, 0x6e, 0x65, 0x73, 0x20, 0x6f,
  0x66, 0x20, 0x7a, 0x73, 0x74, 0x61, 0x6e, 0x64, 0x61, 0x72, 0x64, 0x2c, 0x20, 0x61, 0x6e, 0x64, 0x20, 0x6d,
  0x6f, 0x72, 0x65, 0x3a, 0x20, 0x61, 0x62, 0x63, 0x0a, 0x03, 0x00, 0x3a, 0x4e, 0x03, 0x2a, 0x69, 0xf1, 0x4a,
  0x11, 0xfa, 0x9d, 0x1d, 0x63,
]

@Suite struct CompressionTests {
  @Test func decompressesFrames() {
    let words = "lines lines lines lines of zstandard, and more lines of zstandard: abcabcabcabcabc\n"
    let whole = Array(words.utf8)
    #expect(Zstandard.bytes(text, from: 0, size: whole.count) == whole)
    #expect(Zstandard.bytes([0, 0] + text, from: 2, size: whole.count) == whole)
    // Two frames, and one for somebody else between them.
    let skipped: [UInt8] = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]
    #expect(Zstandard.bytes(text + skipped + text, from: 0, size: 2 * whole.count) == whole + whole)
    #expect(Zstandard.bytes(text, from: 0, size: whole.count + 1) == nil)
    #expect(Zstandard.bytes(text, from: 0, size: whole.count - 1) == nil)
    // A raw block and a repeated one, without a checksum.
    let plain: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 7, 0x18, 0, 0, 1, 2, 3, 0x23, 0, 0, 5]
    #expect(Zstandard.bytes(plain, from: 0, size: 7) == [1, 2, 3, 5, 5, 5, 5])
    // A dictionary is wanted.
    #expect(Zstandard.bytes([0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 7, 1, 0, 0], from: 0, size: 0) == nil)
  }

  @Test func noticesDamage() {
    for place in text.indices {
      for bit in 0..<8 {
        var damaged = text
        damaged[place] ^= 1 << UInt8(bit)
        let result = Zstandard.bytes(damaged, from: 0, size: 83)
        // The size in the header is nobody's word; the checksum is.
        #expect(result == nil || place == 4 || place == 5)
        #expect(Zstandard.bytes(Array(text.prefix(place)), from: 0, size: 83) == nil)
      }
    }
  }

  @Test func hashes() {
    #expect(XXHash64.hash([], from: 0) == 0xef46_db37_51d8_e999)
    #expect(XXHash64.hash(Array("abc".utf8), from: 0) == 0x44bc_2cf5_ad77_0999)
    #expect(XXHash64.hash(Array("xabc".utf8), from: 1) == 0x44bc_2cf5_ad77_0999)
  }
}
