// The debugger's own screen: panels and their layout, the focus, the line at the bottom, help. Draws itself into a buffer and takes
// keys and the mouse. It has no terminal: the session sends what it draws to one, and batch commands print it or make a picture.

import X86

final class Workspace {
  let subject: any Subject
  let terminal: GuestTerminal?
  var syntax = Disassembler.Syntax.intel
  /// What colours in memory say.
  var heat = Heat.recency
  /// Of the terminal; where there are few, attributes take their place.
  var depth = ColourDepth.full
  var layout = Layout()
  private(set) var focus = PanelKind.code
  /// Keys go to the guest.
  private(set) var isTyping = false
  /// What the last command had to say; shown until the next key.
  var message = ""
  var messageIsFailure = false
  /// More lines than the last one of the screen holds.
  var overlay: [String]?
  private var overlayTop = 0
  var line: CommandLine?
  var history: [String] = []
  /// How often the program has stopped: what panels compare with belongs to one of them.
  private(set) var stops = 0
  private var panels: [PanelKind: any Panel] = [:]
  private var placements: [Placement] = []
  private let timeLineView = TimeLineView()
  /// Where it was drawn, if it was.
  private var timeLineRow: Int?
  /// Executes what was typed; set by the session.
  var perform: (String) -> Void = { _ in }
  /// The words that could complete a command line.
  var complete: (String) -> [String] = { _ in [] }

  init(subject: any Subject, terminal: GuestTerminal?) {
    self.subject = subject
    self.terminal = terminal
    let all: [any Panel] = [
      CodePanel(), RegisterPanel(), StackPanel(), FramePanel(), MemoryPanel(.memory), MemoryPanel(.written),
      MapPanel(), CallPanel(), BreakpointPanel(), TerminalPanel(), MemoryPanel(.read),
      SpacePanel(), ProfilePanel(), SourcePanel(),
    ]
    for panel in all { panels[panel.kind] = panel }
  }

  func panel(_ kind: PanelKind) -> (any Panel)? { panels[kind] }
  var source: SourcePanel? { panels[.source] as? SourcePanel }
  var code: CodePanel? { panels[.code] as? CodePanel }
  var memory: MemoryPanel? { panels[.memory] as? MemoryPanel }

  /// The program has moved.
  func programMoved() {
    stops += 1
    message = ""
    code?.follow(subject.registers.rip)
  }

  // MARK: What commands and panels do to it

  /// Shows `address`: code in the disassembly, everything else as memory.
  func goTo(_ address: UInt64) {
    if subject.region(at: address)?.permissions.contains(.execute) == true {
      code?.look(at: address)
      if let line = subject.objects?.line(at: address) { source?.look(at: line) }
      focus(on: focus == .source && isVisible(.code) ? .source : .code)
    } else {
      memory?.look(at: address)
      focus(on: .memory)
    }
  }

  func toggleBreakpoint(_ address: UInt64) {
    if let old = subject.breakpoints.first(where: { $0.kind == .code && $0.address == address }) {
      _ = subject.removeBreakpoint(old.number)
      say("breakpoint \(old.number) is gone")
      return
    }
    let name = subject.describe(address) ?? "0x" + Format.hex(address)
    let new = subject.add(Breakpoint(number: 0, kind: .code, address: address, place: name))
    say(
      new.map { "breakpoint \($0.number) at \(name)" } ?? "no memory at 0x\(Format.hex(address))",
      isFailure: new == nil)
  }

  /// The bytes that are chosen in a memory panel.
  var selection: Range<UInt64>? { (panels[focus] as? MemoryPanel ?? memory)?.selection }

  func say(_ text: String, isFailure: Bool = false) {
    (message, messageIsFailure) = (text, isFailure)
  }

  /// Shows what a command that was typed has answered.
  func show(_ result: Result<Answer, CommandError>) {
    switch result {
    case .success(let answer):
      // The reason of a stop is shown anyway.
      if answer.fields.contains(where: { $0.name == "stop" }) { return }
      if answer.lines.count > 1 {
        overlay = answer.lines
      } else {
        say(answer.lines.first ?? "")
      }
    case .failure(let error): say(error.message, isFailure: true)
    }
  }

  func focus(on kind: PanelKind) {
    focus = kind
    isTyping = false
    if layout.zoomed != nil { layout.zoomed = kind }
  }

  /// `kind` is to be seen, or not.
  func show(_ kind: PanelKind, _ isShown: Bool) {
    layout.wishes[kind] = isShown
    if isShown { return focus(on: kind) }
    if layout.zoomed == kind { layout.zoomed = nil }
    if focus == kind { moveFocus(1) }
  }

  /// A panel that is seen shows what the last stretch of instructions has done.
  var wantsActivity: Bool {
    placements.contains {
      switch $0.kind {
      case .read, .written, .space, .profile: true
      case .memory, .maps, .code, .stack: heat != .off
      default: false
      }
    }
  }

  private func isVisible(_ kind: PanelKind) -> Bool { placements.contains { $0.kind == kind } }

  private func moveFocus(_ step: Int) {
    let shown = layout.zoomed == nil ? placements.map(\.kind) : PanelKind.allCases
    guard !shown.isEmpty else { return }
    let place = shown.firstIndex(of: focus) ?? 0
    focus(on: shown[(place + step + shown.count) % shown.count])
  }

  // MARK: Drawing

  func draw(_ buffer: CellBuffer) {
    buffer.clear()
    let window = buffer.window
    let timeLine = window.height > 5 ? subject.timeLine : nil
    let height = max(1, window.height - (timeLine == nil ? 1 : 2))
    placements = layout.placements(width: window.width, height: height)
    if !isVisible(focus) {
      // Hidden by a smaller screen or by a command.
      layout.wishes[focus] = layout.wishes[focus] == false ? false : true
      placements = layout.placements(width: window.width, height: height)
      if !isVisible(focus), let first = placements.first { focus = first.kind }
    }
    for x in Set(placements.map(\.x)) where x > 0 {
      for y in 0..<height {
        window.put(Cell(scalar: 0x2502, style: Theme.separator), x: x - 1, y: y)
      }
    }
    for placement in placements { draw(placement, window) }
    timeLineRow = nil
    if let timeLine {
      timeLineRow = height
      timeLineView.draw(window.part(x: 0, y: height, width: window.width, height: 1), timeLine)
    }
    if let overlay { draw(overlay, window) }
    drawStatus(window.part(x: 0, y: window.height - 1, width: window.width, height: 1))
  }

  private func draw(_ placement: Placement, _ window: Window) {
    guard let panel = panels[placement.kind], placement.height > 0 else { return }
    let part = window.part(x: placement.x, y: placement.y, width: placement.width, height: placement.height)
    let isFocused = focus == placement.kind
    let style = isFocused ? Theme.focusedTitle : Theme.title
    part.fill(row: 0, style)
    panel.draw(
      part.part(x: 0, y: 1, width: part.width, height: part.height - 1), self,
      isFocused: isFocused && overlay == nil)
    let title = (placement.kind.digit.map { "\($0) " } ?? "") + panel.title(self)
    part.put(Format.cut(title, part.width - 2), x: 1, y: 0, style)
  }

  private func draw(_ lines: [String], _ window: Window) {
    let width = min(window.width, (lines.map { $0.unicodeScalars.count }.max() ?? 0) + 4)
    let height = min(window.height - 1, lines.count + 2)
    overlayTop = max(0, min(overlayTop, lines.count - (height - 2)))
    let box = window.part(
      x: (window.width - width) / 2, y: (window.height - 1 - height) / 2, width: width, height: height)
    box.fill(Theme.plain.on(.hex(0x1c2733)))
    box.fill(row: 0, Theme.focusedTitle)
    box.put(
      lines.count > height - 2 ? "arrows scroll, another key closes" : "any key closes", x: 2, y: 0,
      Theme.focusedTitle)
    for (y, line) in lines.dropFirst(overlayTop).prefix(height - 2).enumerated() {
      box.put(Format.cut(line, width - 4), x: 2, y: y + 1, Theme.plain.on(.hex(0x1c2733)))
    }
    window.buffer.cursor = nil
  }

  private func drawStatus(_ window: Window) {
    window.fill(row: 0, Theme.status)
    if let line {
      window.put(line.prompt + line.text, x: 0, y: 0, Theme.status)
      let x = min(line.prompt.count + line.cursor, window.width - 1)
      window.buffer.cursor = (window.x + x, window.y)
      return
    }
    let (text, style): (String, Style)
    if !message.isEmpty {
      (text, style) = (message, messageIsFailure ? Theme.failure : Theme.status)
    } else {
      (text, style) = condition
    }
    let end = window.put(Format.cut(text, window.width), x: 1, y: 0, style)
    let hint =
      isTyping ? "Ctrl-] leaves the terminal" : subject.isRunning ? "space stops" : "? help  : command"
    if end + hint.count + 3 < window.width {
      window.put(hint, x: window.width - hint.count - 1, y: 0, Theme.status)
    }
  }

  private var condition: (String, Style) {
    switch subject.condition {
    case .running: return ("running", Theme.running)
    case .stopped(let stop): return (stop.text, stop.kind == .signal ? Theme.failure : Theme.status)
    case .ended(let termination): return (Workspace.text(termination), Theme.failure)
    }
  }

  // MARK: Input

  func take(_ event: InputEvent) {
    switch event {
    case .key(let key, let alt): take(key, alt: alt)
    case .mouse(let mouse): take(mouse)
    }
  }

  private func take(_ key: Key, alt: Bool) {
    if isTyping {
      if key == .control("]") { return isTyping = false }
      return (panels[.terminal] as? TerminalPanel)?.type(key, alt: alt, self) ?? ()
    }
    if overlay != nil { return scrollOverlay(key) }
    if line != nil { return edit(key, alt: alt) }
    message = ""
    if alt { return }
    if focus == .source, let command = source?.command(for: key) { return perform(command) }
    if let command = Workspace.commands[key] { return perform(command) }
    if takeOwn(key) { return }
    if panels[focus]?.take(key, self) != true, key != .escape {
      say("nothing happens on that key; ? shows those that do")
    }
  }

  /// Whether the event would move the program, which it cannot while it runs.
  func movesProgram(_ event: InputEvent) -> Bool {
    guard !isTyping, line == nil, overlay == nil else { return false }
    switch event {
    case .key(.character(let letter), false): return "snfcuSNFCUw".unicodeScalars.contains(letter)
    case .mouse(let mouse): return travel(mouse) != nil
    default: return false
    }
  }

  /// The command by which a wheel over the code, or a click on the time line, goes through the time of a recording.
  private func travel(_ mouse: MouseEvent) -> String? {
    guard subject.timeLine != nil else { return nil }
    let isCode = placements.contains {
      $0.kind == .code && mouse.x >= $0.x && mouse.x < $0.x + $0.width && mouse.y >= $0.y
        && mouse.y < $0.y + $0.height
    }
    switch mouse.kind {
    case .wheelUp where isCode: return "reverse-step"
    case .wheelDown where isCode: return "step"
    case .press(0) where mouse.y == timeLineRow: return timeLineView.instant(at: mouse.x).map { "seek \($0)" }
    default: return nil
    }
  }

  /// Keys that are commands.
  private static let commands: [Key: String] = [
    .character("s"): "step", .character("n"): "next", .character("f"): "finish", .character("c"): "continue",
    .character("u"): "until-cursor", .character("S"): "reverse-step", .character("N"): "reverse-next",
    .character("F"): "reverse-finish", .character("C"): "reverse-continue",
    .character("U"): "reverse-until-cursor", .character(" "): "stop", .control("c"): "stop",
    .character("q"): "quit",
    .character("?"): "help", .function(1): "help", .character("a"): "syntax other",
    .character("h"): "view heat other",
  ]

  private func takeOwn(_ key: Key) -> Bool {
    switch key {
    case .character("b") where focus == .source: source?.toggleBreakpoint(self)
    case .character("l"): show(.source, true)
    case .character("b"): toggleBreakpoint(code?.cursor ?? subject.registers.rip)
    case .character(":"): line = CommandLine(prompt: ":")
    case .character("/"): line = CommandLine(prompt: "/", command: "find ")
    case .character("g"): line = CommandLine(prompt: "go to: ", command: "goto ")
    case .character("z"): layout.zoomed = layout.zoomed == nil ? focus : nil
    case .character("x"): show(focus, false)
    case .character("t"):
      show(.terminal, true)
      isTyping = true
    case .character("r"): layout = Layout()
    case .character("<"): chooseThread(-1)
    case .character(">"): chooseThread(1)
    case .tab: moveFocus(1)
    case .backTab: moveFocus(-1)
    case .enter where focus == .terminal: isTyping = true
    case .character(let digit) where digit.value >= 48 && digit.value < 58:
      let place = (Int(digit.value) - 48 + 9) % 10
      let kind = PanelKind.allCases[place]
      if !isVisible(kind) { layout.wishes[kind] = true }
      focus(on: kind)
    default: return false
    }
    return true
  }

  private func chooseThread(_ step: Int) {
    let all = subject.threads.map(\.number)
    guard !subject.isRunning, let place = all.firstIndex(of: subject.currentThread) else { return }
    let number = all[(place + step + all.count) % all.count]
    _ = subject.chooseThread(number)
    say("thread \(number)")
  }

  private func scrollOverlay(_ key: Key) {
    switch key {
    case .up: overlayTop = max(0, overlayTop - 1)
    case .down: overlayTop += 1
    case .pageUp: overlayTop = max(0, overlayTop - 10)
    case .pageDown: overlayTop += 10
    default: (overlay, overlayTop) = (nil, 0)
    }
  }

  private func edit(_ key: Key, alt: Bool) {
    guard var editing = line else { return }
    switch editing.take(key, alt: alt, history: history, complete: complete) {
    case .goesOn: line = editing
    case .cancelled: line = nil
    case .entered(let text):
      line = nil
      if text.isEmpty { return }
      if history.last != text { history.append(text) }
      if history.count > 500 { history.removeFirst() }
      perform(text)
    }
  }

  private func take(_ mouse: MouseEvent) {
    if overlay != nil {
      switch mouse.kind {
      case .wheelUp: scrollOverlay(.up)
      case .wheelDown: scrollOverlay(.down)
      case .press: scrollOverlay(.escape)
      default: break
      }
      return
    }
    if let command = travel(mouse) { return perform(command) }
    if mouse.kind == .drag, let from = placements.first(where: { $0.kind == focus }) {
      panels[focus]?.drag(x: mouse.x - from.x, y: mouse.y - from.y - 1, self)
      return
    }
    let placement = placements.first {
      mouse.x >= $0.x && mouse.x < $0.x + $0.width && mouse.y >= $0.y && mouse.y < $0.y + $0.height
    }
    guard let placement, let panel = panels[placement.kind] else { return }
    switch mouse.kind {
    case .press(0):
      message = ""
      let wasTyping = isTyping && placement.kind == .terminal
      focus(on: placement.kind)
      isTyping = wasTyping || placement.kind == .terminal && mouse.y > placement.y
      if mouse.y > placement.y { panel.click(x: mouse.x - placement.x, y: mouse.y - placement.y - 1, self) }
    case .wheelUp, .wheelDown:
      let isUp = mouse.kind == .wheelUp
      if mouse.isModified, let memory = panel as? MemoryPanel {
        memory.zoom(isUp ? -1 : 1)
      } else {
        panel.scroll(isUp ? -3 : 3, self)
      }
    default: break
    }
  }
}
