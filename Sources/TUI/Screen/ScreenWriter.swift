// From cells to the bytes that a terminal wants: only what has changed since the last frame, in one piece. Knows how many colours the
// terminal has. Writes nothing itself.

/// Colours that a terminal can show.
public enum ColourDepth: Int, Comparable, Sendable {
  case none, basic, indexed, full

  /// Too few colours to tell grounds apart.
  var isPoor: Bool { self <= .basic }

  public static func < (left: ColourDepth, right: ColourDepth) -> Bool { left.rawValue < right.rawValue }

  /// By the variables COLORTERM, TERM and NO_COLOR; nil: not set.
  public init(colourTerm: String?, term: String?, noColour: String?) {
    if let noColour, !noColour.isEmpty {
      self = .none
    } else if let colourTerm, colourTerm == "truecolor" || colourTerm == "24bit" {
      self = .full
    } else if let term, term.hasSuffix("-direct") {
      self = .full
    } else if let term, term.includes("256color") {
      self = .indexed
    } else if term == nil || term == "" || term == "dumb" || term?.hasPrefix("vt") == true {
      self = .none
    } else {
      self = .basic
    }
  }
}

/// Makes frames for one terminal.
struct ScreenWriter {
  let depth: ColourDepth
  private var shown: [Cell] = []
  private var width = 0
  private var height = 0
  private var style: Style?
  private var place: (x: Int, y: Int)?
  private var cursor: (x: Int, y: Int)?
  private var output: [UInt8] = []
  private var indexes: [Colour: UInt8] = [:]

  init(depth: ColourDepth) { self.depth = depth }

  /// Forgets what the terminal shows: the next frame is drawn whole.
  mutating func invalidate() { shown = [] }

  /// The bytes that make the terminal show `buffer`; none when it does already.
  mutating func frame(_ buffer: CellBuffer) -> [UInt8] {
    output = []
    if shown.count != buffer.cells.count || width != buffer.width {
      (width, height) = (buffer.width, buffer.height)
      shown = [Cell](repeating: .blank, count: width * height)
      (style, place) = (nil, nil)
      append("\u{1b}[?25l\u{1b}[0m\u{1b}[2J")
      cursor = nil
    }
    for y in 0..<height { writeRow(y, buffer) }
    let isMoved = cursor.map { [$0.x, $0.y] } != buffer.cursor.map { [$0.x, $0.y] }
    if !output.isEmpty || isMoved { setCursor(buffer.cursor) }
    shown = buffer.cells
    if output.isEmpty { return [] }
    // Terminals that know mode 2026 show the frame at once.
    return Array("\u{1b}[?2026h".utf8) + output + Array("\u{1b}[?2026l".utf8)
  }

  private mutating func setCursor(_ wanted: (x: Int, y: Int)?) {
    if let wanted {
      append("\u{1b}[\(wanted.y + 1);\(wanted.x + 1)H\u{1b}[?25h")
    } else if cursor != nil {
      append("\u{1b}[?25l")
    }
    place = nil
    cursor = wanted
  }

  private mutating func writeRow(_ y: Int, _ buffer: CellBuffer) {
    for x in 0..<width {
      let cell = buffer.cells[y * width + x]
      if cell == shown[y * width + x] { continue }
      // The right half goes with the left one.
      if cell.scalar == 0 {
        if x > 0, place?.x != x + 1 || place?.y != y { write(buffer.cells[y * width + x - 1], x - 1, y) }
        continue
      }
      write(cell, x, y)
    }
  }

  private mutating func write(_ cell: Cell, _ x: Int, _ y: Int) {
    if cursor != nil {
      append("\u{1b}[?25l")
      cursor = nil
    }
    if place?.x != x || place?.y != y { append("\u{1b}[\(y + 1);\(x + 1)H") }
    if style != cell.style { set(cell.style) }
    let scalar = Unicode.Scalar(cell.scalar) ?? "?"
    output.append(contentsOf: String(Character(scalar)).utf8)
    let columns = max(1, CharacterWidth.columns(cell.scalar))
    // Behind the last column it depends on the terminal where it writes next; a wide character may be drawn otherwise.
    place = x + columns >= width || columns == 2 && scalar.value > 0xffff ? nil : (x + columns, y)
  }

  private mutating func append(_ text: String) { output.append(contentsOf: text.utf8) }

  private mutating func set(_ new: Style) {
    var words = ["0"]
    let codes: [(Attributes, String)] = [
      (.bold, "1"), (.faint, "2"), (.italic, "3"), (.underline, "4"), (.blink, "5"), (.reverse, "7"),
      (.hidden, "8"),
      (.strike, "9"),
    ]
    for (attribute, code) in codes where new.attributes.contains(attribute) { words.append(code) }
    if let word = code(new.foreground, 30) { words.append(word) }
    if let word = code(new.background, 40) { words.append(word) }
    append("\u{1b}[" + words.joined(separator: ";") + "m")
    style = new
  }

  private mutating func code(_ colour: Colour, _ base: Int) -> String? {
    if colour.isStandard || depth == .none { return nil }
    if depth == .full, colour.index == nil, let parts = colour.components {
      return "\(base + 8);2;\(parts.red);\(parts.green);\(parts.blue)"
    }
    let index = indexes[colour] ?? colour.nearest(of: depth == .basic ? 16 : 256)
    indexes[colour] = index
    if index < 8 { return String(base + Int(index)) }
    if index < 16 { return String(base + 60 + Int(index) - 8) }
    return "\(base + 8);5;\(index)"
  }
}
