// What a panel is: a part of the screen that shows one side of the program and takes keys when it has the focus. Panels keep where
// they look, not what they see.

/// The panels that there are, in the order of the digits that focus them.
enum PanelKind: String, CaseIterable {
  case code, registers, stack, frames, memory, written, maps, calls, breakpoints, terminal
  case read, space, profile, source

  /// The digit that focuses it; nil: it has none.
  var digit: Int? {
    guard let place = PanelKind.allCases.firstIndex(of: self), place < 10 else { return nil }
    return (place + 1) % 10
  }
}

protocol Panel: AnyObject {
  var kind: PanelKind { get }
  func title(_ workspace: Workspace) -> String
  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool)
  /// False when the key means nothing here.
  func take(_ key: Key, _ workspace: Workspace) -> Bool
  /// A click at a place of the last drawn window.
  func click(x: Int, y: Int, _ workspace: Workspace)
  /// The mouse moves with its button pressed, which was pressed in this panel.
  func drag(x: Int, y: Int, _ workspace: Workspace)
  func scroll(_ lines: Int, _ workspace: Workspace)
}

extension Panel {
  func drag(x: Int, y: Int, _ workspace: Workspace) {}
}

/// A list of lines with a cursor: the shape of most panels.
class ListPanel: Panel {
  struct Line {
    var text: String
    var style = Theme.plain
    /// Where Enter goes.
    var address: UInt64?
    /// Columns in front of `text` in other styles.
    var prefix: [(String, Style)] = []
    /// What number the line stands for (a breakpoint's, a frame's).
    var number = 0
  }

  let kind: PanelKind
  private(set) var top = 0
  private(set) var cursor = 0
  /// Shows the end unless somebody has scrolled away from it.
  let sticksToEnd: Bool
  private var height = 1
  private var count = 0
  private var isAtEnd = true

  init(_ kind: PanelKind, sticksToEnd: Bool = false) {
    self.kind = kind
    self.sticksToEnd = sticksToEnd
  }

  func title(_ workspace: Workspace) -> String { kind.rawValue }
  func lines(_ workspace: Workspace, width: Int) -> [Line] { [] }
  /// Enter, or a second click on the cursor's line.
  func choose(_ line: Line, _ workspace: Workspace) {
    if let address = line.address { workspace.goTo(address) }
  }

  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool) {
    let lines = lines(workspace, width: window.width)
    (count, height) = (lines.count, max(1, window.height))
    if sticksToEnd, isAtEnd { cursor = count - 1 }
    settle()
    for row in 0..<window.height {
      guard top + row < lines.count else { break }
      let line = lines[top + row]
      let isCursor = isFocused && top + row == cursor
      if isCursor { window.fill(row: row, Theme.plain.on(Theme.cursorGround)) }
      func shown(_ style: Style) -> Style {
        isCursor && style.background.isStandard ? style.on(Theme.cursorGround) : style
      }
      var x = 0
      for (text, style) in line.prefix { x = window.put(text, x: x, y: row, shown(style)) }
      window.put(line.text, x: x, y: row, shown(line.style))
    }
  }

  private func settle() {
    cursor = max(0, min(cursor, count - 1))
    top = max(0, min(top, count - height))
    if cursor < top { top = cursor }
    if cursor >= top + height { top = cursor - height + 1 }
    isAtEnd = cursor >= count - 1
  }

  func take(_ key: Key, _ workspace: Workspace) -> Bool {
    switch key {
    case .up: move(-1)
    case .down: move(1)
    case .pageUp: move(-height)
    case .pageDown: move(height)
    case .home: move(-count)
    case .end: move(count)
    case .enter:
      let lines = lines(workspace, width: 200)
      if cursor < lines.count { choose(lines[cursor], workspace) }
    default: return false
    }
    return true
  }

  private func move(_ lines: Int) {
    cursor += lines
    settle()
  }

  /// The cursor's line.
  func current(_ workspace: Workspace) -> Line? {
    let lines = lines(workspace, width: 200)
    return cursor < lines.count ? lines[cursor] : nil
  }

  func click(x: Int, y: Int, _ workspace: Workspace) {
    let wasHere = cursor == top + y
    cursor = top + y
    settle()
    if wasHere { _ = take(.enter, workspace) }
  }

  func scroll(_ lines: Int, _ workspace: Workspace) {
    top += lines
    top = max(0, min(top, count - height))
    cursor = max(top, min(cursor, top + height - 1))
    isAtEnd = cursor >= count - 1
  }
}
