// The guest's own terminal on the debugger's screen. With the focus it gets every key but Ctrl-], as the guest would outside.

final class TerminalPanel: Panel {
  let kind = PanelKind.terminal
  /// Rows back into what has scrolled away.
  private var back = 0

  func title(_ workspace: Workspace) -> String {
    guard let terminal = workspace.terminal else { return "terminal (none)" }
    let name = terminal.emulator.title.isEmpty ? "" : " " + terminal.emulator.title
    return "terminal\(name)" + (workspace.isTyping ? "   Ctrl-] leaves" : "")
  }

  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool) {
    guard let terminal = workspace.terminal else { return }
    terminal.resize(width: window.width, height: window.height)
    let emulator = terminal.emulator
    back = max(0, min(back, emulator.history.count))
    for y in 0..<window.height {
      let place = emulator.history.count - back + y
      let row =
        place < emulator.history.count
        ? emulator.history[place] : emulator.rows[min(place - emulator.history.count, emulator.height - 1)]
      for (x, cell) in row.prefix(window.width).enumerated() {
        // Half a character at the edge is none.
        let isCut = x == window.width - 1 && CharacterWidth.columns(cell.scalar) == 2
        window.put(isCut ? Cell(scalar: 32, style: cell.style) : cell, x: x, y: y)
      }
    }
    guard back == 0, emulator.modes.isCursorVisible, emulator.x < window.width, emulator.y < window.height
    else { return }
    if workspace.isTyping {
      window.buffer.cursor = (window.x + emulator.x, window.y + emulator.y)
    } else {
      var cell = window.buffer[window.x + emulator.x, window.y + emulator.y]
      cell.style = cell.style.with(.reverse)
      window.put(cell, x: emulator.x, y: emulator.y)
    }
  }

  func take(_ key: Key, _ workspace: Workspace) -> Bool {
    switch key {
    case .pageUp: back += 10
    case .pageDown: back = max(0, back - 10)
    default: return false
    }
    return true
  }

  /// Everything goes to the guest.
  func type(_ key: Key, alt: Bool, _ workspace: Workspace) {
    back = 0
    guard let terminal = workspace.terminal else { return }
    let isApplication = terminal.emulator.modes.applicationCursor
    terminal.type(InputParser.bytes(for: key, alt: alt, applicationCursor: isApplication))
  }

  func click(x: Int, y: Int, _ workspace: Workspace) { report(0, x, y, "M", workspace) }

  /// Tells a guest that wants the mouse.
  private func report(_ button: Int, _ x: Int, _ y: Int, _ letter: String, _ workspace: Workspace) {
    guard let terminal = workspace.terminal, terminal.emulator.modes.mouse != 0,
      terminal.emulator.modes.mouseIsSGR
    else {
      return
    }
    terminal.type(Array("\u{1b}[<\(button);\(x + 1);\(y + 1)\(letter)".utf8))
    if button < 3, letter == "M" { terminal.type(Array("\u{1b}[<\(button);\(x + 1);\(y + 1)m".utf8)) }
  }

  func scroll(_ lines: Int, _ workspace: Workspace) { back = max(0, back - lines) }
}
