// The guest's own terminal: a grid of cells, a cursor, and what escape sequences do to them (ECMA-48; xterm's ctlseqs; the subset
// that terminfo's xterm-256color names). The grid and its operations are here, the parser of bytes in EscapeParser. Whatever a guest
// prints, indices stay inside and nothing grows without bound.

struct TerminalEmulator {
  private(set) var width: Int
  private(set) var height: Int
  /// The rows of the screen that is shown.
  private(set) var rows: [[Cell]]
  /// Rows that have left at the top, the oldest first.
  private(set) var history: [[Cell]] = []
  private(set) var x = 0
  private(set) var y = 0
  var style = Style.plain
  /// Inside this range of rows lines scroll.
  private(set) var top = 0
  private(set) var bottom: Int
  var modes = Modes()
  /// Bytes for the guest: answers to its questions.
  var answers: [UInt8] = []
  /// The window's title, as the guest wishes it.
  var title = ""
  /// The next character begins a new row.
  private var isAtEnd = false
  private var saved = SavedCursor()
  private var otherRows: [[Cell]]?
  private var otherSaved = SavedCursor()
  private var tabs: Set<Int> = []
  private var lastScalar: UInt32 = 32

  private static let historyLimit = 2000

  /// What sequences switch.
  struct Modes {
    var isCursorVisible = true
    var applicationCursor = false
    var wraps = true
    var inserts = false
    var isOrigin = false
    var newLine = false
    var bracketsPaste = false
    /// 0: the guest does not want the mouse; 1000, 1002, 1003 otherwise.
    var mouse = 0
    var mouseIsSGR = false
    /// Character sets G0 and G1: true for line drawing.
    var lineDrawing = [false, false]
    var charset = 0
  }

  struct SavedCursor {
    var x = 0
    var y = 0
    var style = Style.plain
    var lineDrawing = [false, false]
    var charset = 0
    var isOrigin = false
  }

  init(width: Int, height: Int) {
    self.width = max(2, min(width, 1000))
    self.height = max(2, min(height, 1000))
    bottom = self.height - 1
    rows = TerminalEmulator.blankRows(self.width, self.height)
    resetTabs()
  }

  private static func blankRows(_ width: Int, _ height: Int) -> [[Cell]] {
    [[Cell]](repeating: [Cell](repeating: .blank, count: width), count: height)
  }

  mutating func resetTabs() { tabs = Set(stride(from: 8, to: 1024, by: 8)) }

  var usesOtherScreen: Bool { otherRows != nil }

  /// Another size: rows are cut or filled; what does not fit below the cursor leaves at the top.
  mutating func resize(width newWidth: Int, height newHeight: Int) {
    let (newWidth, newHeight) = (max(2, min(newWidth, 1000)), max(2, min(newHeight, 1000)))
    if newWidth == width, newHeight == height { return }
    func fit(_ row: [Cell]) -> [Cell] {
      row.count >= newWidth
        ? TerminalEmulator.mended(Array(row.prefix(newWidth)))
        : row + [Cell](repeating: .blank, count: newWidth - row.count)
    }
    while rows.count > newHeight, y < rows.count - 1 { rows.removeLast() }
    while rows.count > newHeight {
      if !usesOtherScreen { keep(rows[0]) }
      rows.removeFirst()
      y = max(0, y - 1)
    }
    rows = rows.map(fit)
    otherRows = otherRows.map { Array($0.prefix(newHeight)).map(fit) }
    while rows.count < newHeight { rows.append([Cell](repeating: .blank, count: newWidth)) }
    while let count = otherRows?.count, count < newHeight {
      otherRows?.append([Cell](repeating: .blank, count: newWidth))
    }
    (width, height) = (newWidth, newHeight)
    (top, bottom) = (0, newHeight - 1)
    moveTo(x, y)
  }

  private mutating func keep(_ row: [Cell]) {
    history.append(row)
    if history.count > TerminalEmulator.historyLimit { history.removeFirst(history.count / 4) }
  }

  // MARK: Characters

  mutating func put(_ scalar: UInt32) {
    let drawn = modes.lineDrawing[modes.charset & 1] ? TerminalEmulator.lineDrawing(scalar) : scalar
    let columns = CharacterWidth.columns(drawn)
    if columns == 0 { return }
    lastScalar = drawn
    if isAtEnd, modes.wraps {
      x = 0
      lineFeed()
    }
    isAtEnd = false
    if x + columns > width {
      if !modes.wraps { return }
      x = 0
      lineFeed()
    }
    if modes.inserts { insertCharacters(columns) }
    set(Cell(scalar: drawn, style: style), x, y)
    if columns == 2 { set(Cell(scalar: 0, style: style), x + 1, y) }
    x += columns
    if x >= width {
      x = width - 1
      isAtEnd = modes.wraps
    }
  }

  mutating func repeatLast(_ count: Int) {
    for _ in 0..<min(count, width * height) { put(lastScalar) }
  }

  /// Half a character of double width is none.
  private mutating func set(_ cell: Cell, _ x: Int, _ y: Int) {
    guard y >= 0, y < height, x >= 0, x < width else { return }
    if rows[y][x].scalar == 0, x > 0, cell.scalar != 0 { rows[y][x - 1].scalar = 32 }
    if x + 1 < width, rows[y][x + 1].scalar == 0 { rows[y][x + 1].scalar = 32 }
    rows[y][x] = cell
  }

  private static func lineDrawing(_ scalar: UInt32) -> UInt32 {
    guard scalar >= 0x60, scalar < 0x7f else { return scalar }
    let table: [UInt32] = [
      0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0xb0, 0xb1, 0x2424, 0x240b, 0x2518, 0x2510, 0x250c,
      0x2514, 0x253c,
      0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c, 0x2524, 0x2534, 0x252c, 0x2502, 0x2264, 0x2265, 0x3c0,
      0x2260,
      0xa3, 0xb7,
    ]
    return table[Int(scalar) - 0x60]
  }

  // MARK: The cursor

  mutating func moveTo(_ newX: Int, _ newY: Int) {
    x = max(0, min(newX, width - 1))
    y = max(0, min(newY, height - 1))
    isAtEnd = false
  }

  /// To a row and a column that count from 0, inside the scrolled range when that is the origin.
  mutating func moveFromOrigin(_ newX: Int, _ newY: Int) {
    if modes.isOrigin {
      moveTo(newX, min(top + newY, bottom))
    } else {
      moveTo(newX, newY)
    }
  }

  /// Up or down, stopping where scrolling would begin.
  mutating func moveVertically(_ rows: Int) {
    let lowest = y < top ? 0 : top
    let highest = y > bottom ? height - 1 : bottom
    moveTo(x, max(lowest, min(y + rows, highest)))
  }

  mutating func carriageReturn() { moveTo(0, y) }
  mutating func backspace() { moveTo(x - 1, y) }

  mutating func tab(_ count: Int) {
    for _ in 0..<min(count, width) { moveTo(tabs.filter { $0 > x }.min() ?? width - 1, y) }
  }

  mutating func backTab(_ count: Int) {
    for _ in 0..<min(count, width) { moveTo(tabs.filter { $0 < x }.max() ?? 0, y) }
  }

  mutating func setTab() { tabs.insert(x) }
  mutating func clearTab(all: Bool) { if all { tabs = [] } else { tabs.remove(x) } }

  mutating func lineFeed() {
    isAtEnd = false
    if y == bottom { scrollUp(1) } else if y < height - 1 { y += 1 }
  }

  mutating func reverseLineFeed() {
    isAtEnd = false
    if y == top { scrollDown(1) } else if y > 0 { y -= 1 }
  }

  mutating func saveCursor() {
    saved = SavedCursor(
      x: x, y: y, style: style, lineDrawing: modes.lineDrawing, charset: modes.charset,
      isOrigin: modes.isOrigin)
  }

  mutating func restoreCursor() {
    style = saved.style
    (modes.lineDrawing, modes.charset, modes.isOrigin) = (saved.lineDrawing, saved.charset, saved.isOrigin)
    moveTo(saved.x, saved.y)
  }

  // MARK: Scrolling and erasing

  private var blank: Cell { Cell(scalar: 32, style: Style(background: style.background)) }
  private var blankRow: [Cell] { [Cell](repeating: blank, count: width) }

  mutating func setScrollRange(_ newTop: Int, _ newBottom: Int) {
    let (first, last) = (max(0, newTop), min(newBottom, height - 1))
    guard first < last else { return }
    (top, bottom) = (first, last)
    moveFromOrigin(0, 0)
  }

  mutating func scrollUp(_ count: Int) {
    for _ in 0..<min(count, bottom - top + 1) {
      if top == 0, !usesOtherScreen { keep(rows[0]) }
      rows.remove(at: top)
      rows.insert(blankRow, at: bottom)
    }
  }

  mutating func scrollDown(_ count: Int) {
    for _ in 0..<min(count, bottom - top + 1) {
      rows.remove(at: bottom)
      rows.insert(blankRow, at: top)
    }
  }

  mutating func insertLines(_ count: Int) {
    guard y >= top, y <= bottom else { return }
    for _ in 0..<min(count, bottom - y + 1) {
      rows.remove(at: bottom)
      rows.insert(blankRow, at: y)
    }
    moveTo(0, y)
  }

  mutating func deleteLines(_ count: Int) {
    guard y >= top, y <= bottom else { return }
    for _ in 0..<min(count, bottom - y + 1) {
      rows.remove(at: y)
      rows.insert(blankRow, at: bottom)
    }
    moveTo(0, y)
  }

  mutating func insertCharacters(_ count: Int) {
    let count = min(count, width - x)
    rows[y].removeLast(count)
    rows[y].insert(contentsOf: [Cell](repeating: blank, count: count), at: x)
    mendRow()
  }

  mutating func deleteCharacters(_ count: Int) {
    let count = min(count, width - x)
    rows[y].removeSubrange(x..<(x + count))
    rows[y].append(contentsOf: [Cell](repeating: blank, count: count))
    mendRow()
  }

  private mutating func mendRow() { rows[y] = TerminalEmulator.mended(rows[y]) }

  /// Halves of characters of double width without their other ones become blanks.
  private static func mended(_ row: [Cell]) -> [Cell] {
    var result = row
    for column in row.indices {
      if row[column].scalar == 0 {
        if column == 0 || CharacterWidth.columns(row[column - 1].scalar) != 2 { result[column].scalar = 32 }
      } else if CharacterWidth.columns(row[column].scalar) == 2,
        column + 1 == row.count || row[column + 1].scalar != 0
      {
        result[column].scalar = 32
      }
    }
    return result
  }

  mutating func eraseCharacters(_ count: Int) { erase(x..<min(width, x + max(0, min(count, width))), y) }

  private mutating func erase(_ columns: Range<Int>, _ row: Int) {
    for column in columns { set(blank, column, row) }
    isAtEnd = false
  }

  /// 0: from the cursor on, 1: up to it, 2: all.
  mutating func eraseLine(_ what: Int) {
    switch what {
    case 0: erase(x..<width, y)
    case 1: erase(0..<(x + 1), y)
    case 2: erase(0..<width, y)
    default: break
    }
  }

  mutating func eraseScreen(_ what: Int) {
    switch what {
    case 0:
      eraseLine(0)
      for row in (y + 1)..<max(height, y + 1) { rows[row] = blankRow }
    case 1:
      eraseLine(1)
      for row in 0..<y { rows[row] = blankRow }
    case 2: for row in 0..<height { rows[row] = blankRow }
    case 3: history = []
    default: break
    }
  }

  /// DECALN.
  mutating func fillWithE() {
    rows = [[Cell]](repeating: [Cell](repeating: Cell(scalar: 69), count: width), count: height)
    moveTo(0, 0)
  }

  /// The other screen, which has no history; `clears` it when it is entered.
  mutating func useOtherScreen(_ isOther: Bool, clears: Bool) {
    if isOther == usesOtherScreen { return }
    if isOther {
      otherRows = rows
      otherSaved = saved
      if clears { rows = TerminalEmulator.blankRows(width, height) }
    } else if let main = otherRows {
      rows = main
      saved = otherSaved
      otherRows = nil
    }
    moveTo(x, y)
  }

  mutating func reset() {
    let answers = answers
    self = TerminalEmulator(width: width, height: height)
    self.answers = answers
  }

  /// The characters of the screen, row by row, without blanks at the ends.
  var lines: [String] { rows.map { TerminalEmulator.text($0) } }

  static func text(_ row: [Cell]) -> String {
    var scalars = String.UnicodeScalarView()
    for cell in row where cell.scalar != 0 { scalars.append(Unicode.Scalar(cell.scalar) ?? "?") }
    var text = String(scalars)
    while text.hasSuffix(" ") { text.removeLast() }
    return text
  }
}
