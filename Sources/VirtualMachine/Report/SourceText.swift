// The text of a source by lines, as it is shown: without tabs, and without what a terminal would take for a command.

/// The lines of a file.
public struct SourceText {
  /// Larger files are not read (bytes).
  static let largest: UInt64 = 32 << 20
  private static let tabWidth = 8

  private let bytes: [UInt8]
  /// Where each line begins.
  private let starts: [Int]

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    var starts = bytes.isEmpty ? [] : [0]
    for (place, byte) in bytes.enumerated() where byte == 10 && place &+ 1 < bytes.count {
      starts.append(place &+ 1)
    }
    self.starts = starts
  }

  var isEmpty: Bool { starts.isEmpty }
  /// How many lines there are.
  public var count: Int { starts.count }

  /// A line by its number, from 1 on; nil where there is none.
  public func line(_ number: Int) -> String? {
    guard number >= 1, number <= starts.count else { return nil }
    let end = number < starts.count ? starts[number] : bytes.count
    var shown: [UInt8] = []
    var column = 0
    for byte in bytes[starts[number &- 1]..<end] where byte != 10 && byte != 13 {
      if byte == 9 {
        let blanks = SourceText.tabWidth &- column % SourceText.tabWidth
        shown += repeatElement(32, count: blanks)
        column &+= blanks
        continue
      }
      shown.append(byte < 32 || byte == 127 ? 63 : byte)
      if byte & 0xc0 != 0x80 { column &+= 1 }
    }
    // The control characters above ASCII, which are two bytes long.
    let text = String(decoding: shown, as: UTF8.self)
    return String(String.UnicodeScalarView(text.unicodeScalars.map { 0x80..<0xa0 ~= $0.value ? "?" : $0 }))
  }
}
