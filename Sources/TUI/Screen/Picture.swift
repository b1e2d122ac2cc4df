// A screen as a picture: SVG that any viewer shows with its own monospaced font. Each run of equal style is one text element of exact
// length, so that columns stay columns whatever the font.

enum Picture {
  private static let cellWidth = 8.4
  private static let cellHeight = 17.0
  private static let ground = "#101418"
  private static let ink = "#d4d4d4"

  /// The whole document.
  static func svg(_ buffer: CellBuffer, title: String) -> String {
    let width = number(Double(buffer.width) * cellWidth + 16)
    let height = number(Double(buffer.height) * cellHeight + 16)
    var text = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width)\" height=\"\(height)\" "
    text += "viewBox=\"0 0 \(width) \(height)\">\n<title>\(escaped(title))</title>\n"
    text += "<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"\(ground)\"/>\n"
    text +=
      "<g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    for y in 0..<buffer.height { text += row(y, buffer) }
    return text + "</g>\n</svg>\n"
  }

  private static func row(_ y: Int, _ buffer: CellBuffer) -> String {
    var (grounds, words) = ("", "")
    var x = 0
    while x < buffer.width {
      let style = buffer[x, y].style
      var end = x + 1
      while end < buffer.width, buffer[end, y].style == style { end += 1 }
      let (fore, back) = colours(style)
      let left = Double(x) * cellWidth + 8
      let top = Double(y) * cellHeight + 8
      if back != ground {
        grounds +=
          "<rect x=\"\(number(left))\" y=\"\(number(top))\" width=\"\(number(Double(end - x) * cellWidth))\" "
        grounds += "height=\"\(number(cellHeight))\" fill=\"\(back)\"/>\n"
      }
      words += run(x..<end, y, fore, style, buffer)
      x = end
    }
    return grounds + words
  }

  private static func run(
    _ range: Range<Int>, _ y: Int, _ colour: String, _ style: Style, _ buffer: CellBuffer
  ) -> String {
    var characters = String.UnicodeScalarView()
    for x in range where buffer[x, y].scalar != 0 {
      characters.append(Unicode.Scalar(buffer[x, y].scalar) ?? "?")
    }
    if characters.allSatisfy({ $0 == " " }) { return "" }
    let left = number(Double(range.lowerBound) * cellWidth + 8)
    let base = number(Double(y) * cellHeight + 21)
    var text = "<text x=\"\(left)\" y=\"\(base)\" fill=\"\(colour)\" "
    text += "textLength=\"\(number(Double(range.count) * cellWidth))\" lengthAdjust=\"spacingAndGlyphs\""
    if style.attributes.contains(.bold) { text += " font-weight=\"bold\"" }
    if style.attributes.contains(.underline) { text += " text-decoration=\"underline\"" }
    if style.attributes.contains(.faint) { text += " opacity=\"0.7\"" }
    return text + ">\(escaped(String(characters)))</text>\n"
  }

  private static func colours(_ style: Style) -> (String, String) {
    let fore = style.foreground.components.map(hex) ?? ink
    let back = style.background.components.map(hex) ?? ground
    return style.attributes.contains(.reverse) ? (back, fore) : (fore, back)
  }

  private static func hex(_ colour: (red: UInt8, green: UInt8, blue: UInt8)) -> String {
    let value = UInt32(colour.red) << 16 | UInt32(colour.green) << 8 | UInt32(colour.blue)
    return "#" + Format.hex(UInt64(value), digits: 6)
  }

  /// One digit behind the point.
  private static func number(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? String(tenths / 10) : "\(tenths / 10).\(tenths % 10)"
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      // Not allowed in XML.
      case _ where character.value < 32: result += "\u{fffd}"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }
}
