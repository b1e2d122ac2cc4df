// Numbers and bytes as text, and the glyphs of code page 437, in which every byte has one.

enum Format {
  static func hex(_ value: UInt64, digits: Int = 0) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }

  /// In decimal, with commas: 1,234,567.
  static func grouped(_ value: Int64) -> String {
    var result: [UInt8] = []
    for (place, digit) in String(value).utf8.reversed().enumerated() {
      if place > 0, place % 3 == 0, digit != UInt8(ascii: "-") { result.append(UInt8(ascii: ",")) }
      result.append(digit)
    }
    return String(decoding: result.reversed(), as: UTF8.self)
  }

  static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.unicodeScalars.count))
  }

  static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.unicodeScalars.count)) + text
  }

  /// `text`, cut to `width` columns.
  static func cut(_ text: String, _ width: Int) -> String {
    text.unicodeScalars.count <= width ? text : String(text.unicodeScalars.prefix(max(0, width - 1))) + "…"
  }

  private static let low: [Unicode.Scalar] = Array("·☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼".unicodeScalars)
  private static let high: [Unicode.Scalar] = Array(
    ("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
      + "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}").unicodeScalars)

  /// The glyph of a byte in code page 437. Zero is a dot: memory is full of it.
  static func glyph(_ byte: UInt8) -> Unicode.Scalar {
    if byte < 32 { return low[Int(byte)] }
    if byte < 127 { return Unicode.Scalar(byte) }
    if byte == 127 { return "⌂" }
    let place = Int(byte) - 128
    return place < high.count && byte != 255 ? high[place] : " "
  }

  static func ascii(_ byte: UInt8) -> Unicode.Scalar { byte >= 32 && byte < 127 ? Unicode.Scalar(byte) : "." }

  /// A string of JSON.
  static func json(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case _ where scalar.value < 32 || scalar.value == 127:
        result += "\\u" + hex(UInt64(scalar.value), digits: 4)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
