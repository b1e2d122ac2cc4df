// The disassembly: where the program stands, breakpoints, jumps as arrows, names of functions. Follows the program until somebody
// looks elsewhere; goes on following when it moves again.

import VirtualMachine
import X86

final class CodePanel: Panel {
  let kind = PanelKind.code
  /// The first address shown.
  private(set) var top: UInt64 = 0
  private(set) var cursor: UInt64 = 0
  private var rows: [Row] = []
  private var followed: UInt64?
  private static let gutter = 4

  private enum Row {
    case label(String)
    case line(CodeLine)
    /// In front of the code of a source line, its text.
    case source(String)
  }

  func title(_ workspace: Workspace) -> String {
    let name = workspace.subject.describeRoughly(cursor).map { " \($0)" } ?? ""
    return "code\(name)"
  }

  /// Looks at `address`, wherever the program stands.
  func look(at address: UInt64) {
    (top, cursor) = (address, address)
  }

  /// The program stands at `rip`: unless it has stood there before, that is what to look at.
  func follow(_ rip: UInt64) {
    if followed == rip { return }
    (followed, cursor) = (rip, rip)
  }

  // MARK: Drawing

  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool) {
    let subject = workspace.subject
    let reading = CodeReading(subject, syntax: workspace.syntax)
    let rip = subject.registers.rip
    follow(rip)
    rows = rows(reading, window.height)
    if !isInView(cursor, window.height) {
      top = reading.lines(before: cursor, count: max(1, window.height / 3)).first?.address ?? cursor
      rows = rows(reading, window.height)
    }
    let marks = Set(subject.breakpoints.filter { $0.isEnabled && $0.kind == .code }.map(\.address))
    for (y, row) in rows.enumerated() {
      switch row {
      case .source(let text): window.put(text, x: CodePanel.gutter + 2, y: y, Theme.text)
      case .label(let name): window.put(name + ":", x: CodePanel.gutter + 2, y: y, Theme.symbol)
      case .line(let line):
        draw(
          line, window, y, isCurrent: line.address == rip, isMarked: marks.contains(line.address),
          isCursor: isFocused && line.address == cursor)
        let digits = line.address >> 32 == 0 ? 8 : 12
        workspace.tint(
          line.address, window, columns: CodePanel.gutter + 2..<CodePanel.gutter + 2 + digits, y: y)
      }
    }
    if rows.isEmpty { window.put("no memory at 0x\(Format.hex(top))", x: 1, y: 0, Theme.faint) }
    drawArrows(window, cursor)
  }

  /// Instructions that are shown.
  private var lineCount: Int { rows.filter { if case .line = $0 { true } else { false } }.count }

  private func isInView(_ address: UInt64, _ height: Int) -> Bool {
    let place = rows.firstIndex { if case .line(let line) = $0 { line.address == address } else { false } }
    guard let place else { return false }
    // Near the end there is nothing to see of what comes.
    return place < max(1, height - 2) || height < 4
  }

  private func rows(_ reading: CodeReading, _ height: Int) -> [Row] {
    var result: [Row] = []
    var last: SourceLine?
    for line in reading.lines(from: top, count: max(1, height)) {
      if let symbol = reading.subject.objects?.symbol(at: line.address), symbol.address == line.address,
        let name = reading.subject.describe(line.address)
      {
        result.append(.label(name))
      }
      let source = reading.subject.objects?.line(at: line.address)
      if let source, !(last?.isSameLine(source) ?? false) {
        result.append(.source(text(source, reading.subject)))
      }
      last = source
      result.append(.line(line))
    }
    return Array(result.prefix(height))
  }

  private func text(_ line: SourceLine, _ subject: any Subject) -> String {
    let text = subject.objects?.source(line.path)?.line(line.line)?.drop { $0 == " " } ?? ""
    return "\(line.text)  \(text)"
  }

  private func draw(
    _ line: CodeLine, _ window: Window, _ y: Int, isCurrent: Bool, isMarked: Bool, isCursor: Bool
  ) {
    let ground = isCurrent ? Theme.currentGround : isCursor ? Theme.cursorGround : Colour.standard
    if !ground.isStandard { window.fill(row: y, Theme.plain.on(ground)) }
    var x = CodePanel.gutter
    x = window.put(isMarked ? "●" : " ", x: x, y: y, Theme.breakpoint.on(ground))
    x = window.put(isCurrent ? "▶" : " ", x: x, y: y, Theme.current.on(ground))
    let digits = line.address >> 32 == 0 ? 8 : 12
    x = window.put(Format.hex(line.address, digits: digits), x: x, y: y, Theme.address.on(ground)) + 1
    if window.width >= 84 {
      let bytes = line.bytes.prefix(8).map { Format.hex(UInt64($0), digits: 2) }.joined(separator: " ")
      let more = line.bytes.count > 8 ? "…" : ""
      window.put(bytes + more, x: x, y: y, Theme.faint.on(ground))
      x += 26
    }
    let parts = line.text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
    let isFlow = line.isJump || line.isReturn || line.isCall
    let style = line.text == "(bad)" ? Theme.breakpoint : isFlow ? Theme.jump : Theme.mnemonic
    let start = x
    x = window.put(String(parts.first ?? ""), x: x, y: y, style.on(ground))
    guard parts.count > 1 else { return }
    x = max(x + 1, start + 7)
    let operands = parts[1].drop { $0 == " " }
    if let bracket = operands.firstIndex(of: "<") {
      x = window.put(String(operands[..<bracket]), x: x, y: y, Theme.plain.on(ground))
      window.put(String(operands[bracket...]), x: x, y: y, Theme.symbol.on(ground))
    } else {
      window.put(String(operands), x: x, y: y, Theme.plain.on(ground))
    }
  }

  // MARK: Arrows

  /// Jumps inside the window, the shortest nearest to the code; the one under the cursor is bright.
  private func drawArrows(_ window: Window, _ cursor: UInt64) {
    var places: [UInt64: Int] = [:]
    for (y, row) in rows.enumerated() { if case .line(let line) = row { places[line.address] = y } }
    var arrows: [(from: Int, to: Int, isBright: Bool)] = []
    for (y, row) in rows.enumerated() {
      guard case .line(let line) = row, line.isJump, let target = line.target else { continue }
      if let end = places[target] {
        arrows.append((y, end, line.address == cursor))
      } else {
        // It leaves the window.
        let isUp = target < line.address
        window.put(
          Cell(scalar: isUp ? 0x2191 : 0x2193, style: line.address == cursor ? Theme.current : Theme.arrow),
          x: CodePanel.gutter - 1, y: y)
      }
    }
    arrows.sort { abs($0.from - $0.to) < abs($1.from - $1.to) }
    var lanes = [[ClosedRange<Int>]](repeating: [], count: CodePanel.gutter - 1)
    for arrow in arrows {
      let span = min(arrow.from, arrow.to)...max(arrow.from, arrow.to)
      guard let lane = lanes.firstIndex(where: { !$0.contains { $0.overlaps(span) } }) else { continue }
      lanes[lane].append(span)
      draw(arrow, window, column: CodePanel.gutter - 2 - lane)
    }
  }

  private func draw(_ arrow: (from: Int, to: Int, isBright: Bool), _ window: Window, column: Int) {
    let style = arrow.isBright ? Theme.current : Theme.arrow
    let (low, high) = (min(arrow.from, arrow.to), max(arrow.from, arrow.to))
    func put(_ scalar: UInt32, _ x: Int, _ y: Int) {
      let ground = window.buffer[window.x + x, window.y + y].style.background
      window.put(Cell(scalar: scalar, style: style.on(ground)), x: x, y: y)
    }
    for y in low...high { put(0x2502, column, y) }
    if low == high { return put(0x21ba, column, low) }
    put(0x256d, column, low)
    put(0x2570, column, high)
    for y in [arrow.from, arrow.to] where column + 1 < CodePanel.gutter {
      for x in (column + 1)..<CodePanel.gutter { put(0x2500, x, y) }
    }
    put(0x25b8, CodePanel.gutter - 1, arrow.to)
  }

  // MARK: Keys and mouse

  func take(_ key: Key, _ workspace: Workspace) -> Bool {
    let reading = CodeReading(workspace.subject, syntax: workspace.syntax)
    switch key {
    case .up: if let line = reading.lines(before: cursor, count: 1).first { moveCursor(line.address) }
    case .down:
      let lines = reading.lines(from: cursor, count: 2)
      if lines.count == 2 { moveCursor(lines[1].address) }
    case .pageUp: scroll(-max(1, lineCount - 1), workspace)
    case .pageDown: scroll(max(1, lineCount - 1), workspace)
    case .home: look(at: workspace.subject.registers.rip)
    case .enter:
      guard let target = reading.instruction(at: cursor)?.target else { return false }
      workspace.goTo(target)
    default: return false
    }
    return true
  }

  private func moveCursor(_ address: UInt64) {
    cursor = address
    if address < top { top = address }
  }

  func click(x: Int, y: Int, _ workspace: Workspace) {
    guard y < rows.count, case .line(let line) = rows[y] else { return }
    cursor = line.address
    // The marks and the address; elsewhere it only moves the cursor.
    if x < CodePanel.gutter + 2 + 12 { workspace.toggleBreakpoint(line.address) }
  }

  func scroll(_ lines: Int, _ workspace: Workspace) {
    let reading = CodeReading(workspace.subject, syntax: workspace.syntax)
    if lines < 0 {
      top = reading.lines(before: top, count: -lines).first?.address ?? top
    } else {
      top = reading.lines(from: top, count: lines + 1).last?.address ?? top
    }
    cursor = top
  }
}
