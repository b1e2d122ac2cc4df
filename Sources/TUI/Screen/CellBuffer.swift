// A rectangle of cells, and windows into it that cut off what does not fit. Panels draw into windows; nothing here knows a terminal.

/// All cells of a screen.
final class CellBuffer {
  private(set) var width: Int
  private(set) var height: Int
  private(set) var cells: [Cell]
  /// Where the cursor is to be seen; nil: nowhere.
  var cursor: (x: Int, y: Int)?

  init(width: Int, height: Int) {
    self.width = max(1, width)
    self.height = max(1, height)
    cells = [Cell](repeating: .blank, count: self.width * self.height)
  }

  func clear() {
    cells = [Cell](repeating: .blank, count: width * height)
    cursor = nil
  }

  subscript(x: Int, y: Int) -> Cell {
    get { x >= 0 && x < width && y >= 0 && y < height ? cells[y * width + x] : .blank }
    set {
      guard x >= 0, x < width, y >= 0, y < height else { return }
      let place = y * width + x
      // Half a character of double width is none.
      if cells[place].scalar == 0, x > 0, newValue.scalar != 0 { cells[place - 1].scalar = 32 }
      if x + 1 < width, cells[place + 1].scalar == 0 { cells[place + 1].scalar = 32 }
      cells[place] = newValue
    }
  }

  /// The characters of a row, without blanks at its end.
  func text(row: Int) -> String {
    guard row >= 0, row < height else { return "" }
    var scalars = String.UnicodeScalarView()
    for cell in cells[(row * width)..<((row + 1) * width)] where cell.scalar != 0 {
      scalars.append(Unicode.Scalar(cell.scalar) ?? "?")
    }
    var text = String(scalars)
    while text.hasSuffix(" ") { text.removeLast() }
    return text
  }

  var window: Window { Window(buffer: self, x: 0, y: 0, width: width, height: height) }
}

/// A rectangle of a buffer, with its own coordinates.
struct Window {
  let buffer: CellBuffer
  let x: Int
  let y: Int
  let width: Int
  let height: Int

  /// The part at this place, cut to what there is.
  func part(x: Int, y: Int, width: Int, height: Int) -> Window {
    let left = max(0, min(x, self.width))
    let top = max(0, min(y, self.height))
    return Window(
      buffer: buffer, x: self.x + left, y: self.y + top, width: max(0, min(width, self.width - left)),
      height: max(0, min(height, self.height - top)))
  }

  func put(_ cell: Cell, x: Int, y: Int) {
    guard x >= 0, x < width, y >= 0, y < height else { return }
    buffer[self.x + x, self.y + y] = cell
  }

  func fill(_ style: Style, scalar: UInt32 = 32) {
    for row in 0..<height { fill(row: row, style, scalar: scalar) }
  }

  func fill(row: Int, _ style: Style, scalar: UInt32 = 32) {
    for column in 0..<width { put(Cell(scalar: scalar, style: style), x: column, y: row) }
  }

  /// Puts text; the column behind it. Control characters become dots.
  @discardableResult
  func put(_ text: String, x: Int, y: Int, _ style: Style = .plain) -> Int {
    var column = x
    for scalar in text.unicodeScalars {
      let isControl = scalar.value < 32 || (127..<160).contains(scalar.value)
      let columns = isControl ? 1 : CharacterWidth.columns(scalar.value)
      if columns == 0 { continue }
      if column + columns > width { return column }
      put(Cell(scalar: isControl ? 0xb7 : scalar.value, style: style), x: column, y: y)
      if columns == 2 { put(Cell(scalar: 0, style: style), x: column + 1, y: y) }
      column += columns
    }
    return column
  }
}
