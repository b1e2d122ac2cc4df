// The session's face: the person's terminal. Puts it into the state that a full screen needs, draws frames at most thirty times a second,
// takes keys and the mouse, follows changes of size. Whoever has started the session puts the terminal back (TerminalKeeper).

final class ScreenFace {
  private let workspace: Workspace
  private let subject: any Subject
  private let options: DebugOptions
  private var writer: ScreenWriter
  private var parser = InputParser()
  private var buffer = CellBuffer(width: 80, height: 24)
  private var lastFrame: Int64 = 0
  private var isDirty = true
  private var seen = 0
  private var lastByte: Int64 = 0
  private var waiting: [InputEvent] = []
  private var lastMove: Int64 = 0

  /// Milliseconds between frames while the program runs.
  private static let interval: Int64 = 28
  private static let escapeTime: Int64 = 25
  private static let mostPatience: Int64 = 250

  static let enter = "\u{1b}[?1049h\u{1b}[?1000h\u{1b}[?1002h\u{1b}[?1006h\u{1b}[?25l"
  static let leave = "\u{1b}[?1006l\u{1b}[?1002l\u{1b}[?1000l\u{1b}[0m\u{1b}[?2026l\u{1b}[?25h\u{1b}[?1049l"

  init(_ workspace: Workspace, _ options: DebugOptions) {
    (self.workspace, subject, self.options) = (workspace, workspace.subject, options)
    writer = ScreenWriter(depth: options.depth)
    workspace.depth = options.depth
  }

  func begin() {
    // The keeper has to know before anything is changed.
    System.write([1], to: options.notices)
    if let settings = System.terminalSettings(options.screen) {
      System.setTerminal(options.screen, System.raw(settings))
    }
    System.write(Array(ScreenFace.enter.utf8), to: options.screen)
    measure()
  }

  func end() { System.write(Array(ScreenFace.leave.utf8), to: options.screen) }

  private func measure() {
    let (width, height) = System.terminalSize(options.screen) ?? (80, 24)
    if width != buffer.width || height != buffer.height {
      buffer = CellBuffer(width: min(width, 1000), height: min(height, 500))
    }
    // A terminal that has changed its size may have moved what it shows.
    writer.invalidate()
    isDirty = true
  }

  /// How long the loop may wait.
  var patience: Int64 {
    if parser.isIncomplete { return ScreenFace.escapeTime }
    if subject.isRunning || isDirty { return max(1, lastFrame + ScreenFace.interval - System.now) }
    return -1
  }

  /// There is something new to be seen.
  func refresh() { isDirty = true }

  /// Draws, if there is something new and it is time.
  func draw(_ terminal: GuestTerminal?) {
    let now = System.now
    if let changes = terminal?.changes, changes != seen {
      seen = changes
      isDirty = true
    }
    let isDue = now - lastFrame >= ScreenFace.interval
    if subject.isRunning, isDue {
      // Registers and code as they are at this moment.
      if !subject.sample({ workspace.draw(buffer) }) { workspace.draw(buffer) }
    } else if isDirty, isDue || !subject.isRunning {
      workspace.draw(buffer)
    } else {
      return
    }
    isDirty = false
    lastFrame = now
    let bytes = writer.frame(buffer)
    if !bytes.isEmpty { System.write(bytes, to: options.screen) }
  }

  func take(keys: Bool, notices: Bool) {
    if notices {
      guard System.read(options.notices) != nil else { System.exit(129) }
      measure()
    }
    if keys {
      // The terminal is gone.
      guard let bytes = System.read(options.screen) else { System.exit(129) }
      lastByte = System.now
      waiting += parser.take(bytes)
    } else if parser.isIncomplete, System.now - lastByte >= ScreenFace.escapeTime {
      waiting += parser.flush()
    }
    handle()
    // Whatever has ended the wait may have changed what is to be seen.
    isDirty = true
  }

  /// Takes what was typed. A step that is typed while the one before is on its way waits for it, so that keys can be held down; not for
  /// long, and what stops the program never waits.
  private func handle() {
    while let event = waiting.first {
      if subject.isRunning, workspace.movesProgram(event), System.now - lastMove < ScreenFace.mostPatience {
        return
      }
      waiting.removeFirst()
      let wasRunning = subject.isRunning
      workspace.take(event)
      if subject.isRunning, !wasRunning { lastMove = System.now }
    }
  }
}
