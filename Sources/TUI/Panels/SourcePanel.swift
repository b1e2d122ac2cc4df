// The source where the program stands, with its breakpoints. Follows the program until somebody looks elsewhere; goes on following when
// it moves again. While it has the keys, steps are steps by lines.

import VirtualMachine

final class SourcePanel: Panel {
  let kind = PanelKind.source
  private var path: [UInt8] = []
  /// The first line shown, and the one that keys are about; from 1 on.
  private var top = 1
  private(set) var cursor = 1
  private var height = 1
  private var count = 0
  private var followed: SourceLine?
  /// Lines of `path` with code, for so many mapped files.
  private var code: (path: [UInt8], objects: Int, lines: Set<Int>) = ([], 0, [])
  private static let gutter = 8

  /// Keys that are other commands here.
  private static let commands: [Key: String] = [
    .character("s"): "step-line", .character("n"): "next-line", .character("S"): "reverse-step-line",
    .character("N"): "reverse-next-line",
  ]

  func command(for key: Key) -> String? {
    switch key {
    case .character("u"): place.map { "until \($0)" }
    case .character("U"): place.map { "reverse-until \($0)" }
    default: SourcePanel.commands[key]
    }
  }

  func title(_ workspace: Workspace) -> String {
    path.isEmpty
      ? "source" : "source \(String(decoding: path.split(separator: 47).last ?? [], as: UTF8.self))"
  }

  /// Looks at a line, wherever the program stands.
  func look(at line: SourceLine) {
    (path, cursor) = (line.path, line.line)
    top = max(1, cursor - height / 2)
  }

  /// The program stands there: unless it has stood there before, that is what to look at.
  private func follow(_ line: SourceLine?) {
    guard let line, line != followed else { return }
    followed = line
    (path, cursor) = (line.path, line.line)
  }

  /// The cursor's line as commands take it.
  var place: String? { path.isEmpty ? nil : "\(String(decoding: path, as: UTF8.self)):\(cursor)" }

  // MARK: Drawing

  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool) {
    let subject = workspace.subject
    height = max(1, window.height)
    let present = subject.presentLine
    follow(present)
    guard !path.isEmpty, let source = subject.objects?.source(path) else {
      let name = String(decoding: path, as: UTF8.self)
      count = 0
      window.put(
        path.isEmpty ? "no source line is known here" : "cannot read \(name)", x: 1, y: 0, Theme.faint)
      return
    }
    count = source.count
    settle()
    let marks = markedLines(subject)
    let lines = codeLines(subject)
    for y in 0..<window.height where top + y <= count {
      let number = top + y
      let isCurrent = present?.path == path && present?.line == number
      let isCursor = isFocused && number == cursor
      let ground = isCurrent ? Theme.currentGround : isCursor ? Theme.cursorGround : Colour.standard
      if !ground.isStandard { window.fill(row: y, Theme.plain.on(ground)) }
      window.put(marks.contains(number) ? "●" : " ", x: 0, y: y, Theme.breakpoint.on(ground))
      window.put(isCurrent ? "▶" : " ", x: 1, y: y, Theme.current.on(ground))
      let style = lines.contains(number) ? Theme.address : Theme.zero
      window.put(Format.right(String(number), 5), x: 2, y: y, style.on(ground))
      window.put(source.line(number) ?? "", x: SourcePanel.gutter, y: y, Theme.plain.on(ground))
    }
  }

  private func settle() {
    cursor = max(1, min(cursor, count))
    if cursor < top || cursor >= top + height { top = cursor - height / 2 }
    top = max(1, min(top, count - height + 1))
  }

  /// Lines with breakpoints.
  private func markedLines(_ subject: any Subject) -> Set<Int> {
    var lines: Set<Int> = []
    for breakpoint in subject.breakpoints where breakpoint.isEnabled && breakpoint.kind == .code {
      if let line = subject.objects?.line(at: breakpoint.address), line.path == path {
        lines.insert(line.line)
      }
    }
    return lines
  }

  private func codeLines(_ subject: any Subject) -> Set<Int> {
    let objects = subject.objects?.all ?? []
    if code.path != path || code.objects != objects.count {
      code = (path, objects.count, [])
      for object in objects {
        for row in object.lines.rows(of: path) where row.isStatement { code.lines.insert(row.line) }
      }
    }
    return code.lines
  }

  // MARK: Keys and mouse

  func take(_ key: Key, _ workspace: Workspace) -> Bool {
    switch key {
    case .up: move(-1)
    case .down: move(1)
    case .pageUp: move(-height)
    case .pageDown: move(height)
    case .home: followed = nil
    case .end: move(count)
    case .enter:
      guard let address = place.flatMap({ workspace.subject.lineAddresses($0)?.addresses.first }) else {
        return false
      }
      workspace.goTo(address)
    default: return false
    }
    return true
  }

  private func move(_ lines: Int) {
    cursor = max(1, min(cursor + lines, count))
    if cursor < top { top = cursor }
    if cursor >= top + height { top = cursor - height + 1 }
  }

  /// Sets or removes the breakpoints of the cursor's line.
  func toggleBreakpoint(_ workspace: Workspace) {
    let subject = workspace.subject
    guard let place, let found = subject.lineAddresses(place) else {
      return workspace.say("no code is known of this line", isFailure: true)
    }
    if found.line != cursor {
      return workspace.say("this line has no code; the next one with code is \(found.line)")
    }
    let old = subject.breakpoints.filter { breakpoint in
      breakpoint.kind == .code && subject.objects?.line(at: breakpoint.address)?.line == cursor
        && subject.objects?.line(at: breakpoint.address)?.path == path
    }
    if old.isEmpty {
      for address in found.addresses { workspace.toggleBreakpoint(address) }
    } else {
      for breakpoint in old { _ = subject.removeBreakpoint(breakpoint.number) }
      workspace.say("breakpoint \(old.map { String($0.number) }.joined(separator: ", ")) is gone")
    }
  }

  func click(x: Int, y: Int, _ workspace: Workspace) {
    guard top + y <= count else { return }
    cursor = top + y
    if x < SourcePanel.gutter - 1 { toggleBreakpoint(workspace) }
  }

  func scroll(_ lines: Int, _ workspace: Workspace) {
    top = max(1, min(top + lines, count - height + 1))
    cursor = max(top, min(cursor, top + height - 1))
  }
}
