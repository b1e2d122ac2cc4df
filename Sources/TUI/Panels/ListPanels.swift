// The panels that are lists: stack, frames, mappings, system calls, breakpoints.

import Debugger
import GuestMemory
import Trace
import VirtualMachine

/// The stack in words from RSP on, with what they point to.
final class StackPanel: ListPanel {
  init() { super.init(.stack) }

  override func lines(_ workspace: Workspace, width: Int) -> [Line] {
    let subject = workspace.subject
    let start = subject.registers.rsp
    let bytes = subject.bytes(at: start, count: 256 * 8)
    let touched = workspace.words(from: start, count: bytes.count / 8)
    let returns = Set(subject.frames.dropFirst().map { $0.stackPointer &- 8 })
    return stride(from: 0, to: bytes.count - 7, by: 8).map { offset in
      let value = bytes[offset..<(offset + 8)].reversed().reduce(UInt64(0)) { $0 &<< 8 | UInt64($1) }
      let place = start &+ UInt64(offset)
      let isReturn = returns.contains(place)
      var style = isReturn ? Theme.jump : value == 0 ? Theme.zero : Theme.plain
      if offset / 8 < touched.count {
        style = workspace.heat.style(style, touched[offset / 8], depth: workspace.depth)
      }
      let note = PointerText.note(value, subject)
      let label = width >= 34 ? "+" + Format.padded(Format.hex(UInt64(offset)), 4) : ""
      return Line(
        text: note, style: isReturn ? Theme.jump : Theme.symbol, address: value,
        prefix: [
          (label, Theme.faint),
          (Format.hex(value, digits: 16), style), (" ", Theme.plain),
        ])
    }
  }
}

/// What a word may point to.
enum PointerText {
  static func note(_ value: UInt64, _ subject: any Subject) -> String {
    guard value >= 4096, let region = subject.region(at: value) else { return "" }
    if let name = subject.describe(value) { return name }
    if region.flags.contains(.stack) { return "stack" }
    let bytes = subject.bytes(at: value, count: 24)
    let text = bytes.prefix { $0 >= 32 && $0 < 127 }
    if text.count >= 4 {
      return "\"" + String(decoding: text, as: UTF8.self) + (text.count == 24 ? "…" : "\"")
    }
    return subject.name(of: region).split(separator: "/").last.map(String.init) ?? ""
  }
}

final class FramePanel: ListPanel {
  init() { super.init(.frames) }

  override func title(_ workspace: Workspace) -> String {
    let count = workspace.subject.threads.count
    return count > 1 ? "frames of thread \(workspace.subject.currentThread) (\(count) threads)" : "frames"
  }

  override func lines(_ workspace: Workspace, width: Int) -> [Line] { FramePanel.lines(workspace.subject) }

  static func lines(_ subject: any Subject) -> [Line] {
    var lines: [Line] = []
    func add(_ text: String, _ frame: StackFrame) {
      let number = lines.count
      lines.append(
        Line(
          text: text, style: number == 0 ? Theme.current : Theme.symbol, address: frame.address,
          prefix: [
            (Format.right("#\(number)", 3) + " ", Theme.faint),
            (Format.hex(frame.address, digits: 8) + " ", Theme.address),
          ],
          number: number))
    }
    for (number, frame) in subject.frames.enumerated() {
      if lines.count >= longest { break }
      // The last one is the frame's function, and the others are what the compiler has put into it.
      let parts = subject.sourceFrames(of: frame, number: number)
      for call in parts.dropLast().prefix(longest) {
        add("\(call.name)\(call.line.map { " at \($0.text)" } ?? "")  (inlined)", frame)
      }
      let known = parts.last?.line.map { " at \($0.text)" }
      let line = known ?? subject.objects?.describeLine(frame.lookup) ?? ""
      let name = (subject.describeRoughly(frame.address, lookup: frame.lookup) ?? "?") + line
      add(name + (frame.isBehindSignal ? "  (signal)" : frame.isGuess ? "  (by rbp)" : ""), frame)
    }
    return lines
  }

  /// More frames are not shown.
  private static let longest = 200
}

final class MapPanel: ListPanel {
  init() { super.init(.maps) }

  override func title(_ workspace: Workspace) -> String {
    "maps" + (workspace.heat == .off ? "" : ", touched: r w x")
  }

  override func lines(_ workspace: Workspace, width: Int) -> [Line] {
    let subject = workspace.subject
    var lines = MapPanel.lines(subject)
    if workspace.heat == .off { return lines }
    let touched = MapPanel.touched(subject)
    for place in lines.indices where place < touched.count {
      let cell = touched[place]
      let marks: [(String, Style)] = [
        (cell.reads > 0 ? "r" : " ", Theme.read), (cell.writes > 0 ? "w" : " ", Theme.written),
        (cell.executions > 0 ? "x" : " ", Theme.executed), (" ", Theme.plain),
      ]
      lines[place].prefix.insert(contentsOf: marks, at: 1)
    }
    return lines
  }

  /// What the last instructions did to each mapping.
  private static func touched(_ subject: any Subject) -> [TouchedCell] {
    let regions = subject.regions
    var cells = [TouchedCell](repeating: TouchedCell(), count: regions.count)
    guard let pages = subject.activity?.touchedPages else { return cells }
    for (number, region) in regions.enumerated() {
      let (first, end) = (region.start >> Page.shift, region.end >> Page.shift)
      for touched in pages[pages.partitionPoint { $0.page < first }...].prefix(while: { $0.page < end }) {
        cells[number].add(touched.cell)
      }
    }
    return cells
  }

  static func lines(_ subject: any Subject) -> [Line] {
    let rip = subject.registers.rip
    let rsp = subject.registers.rsp
    return subject.regions.map { region in
      let isCode = region.start <= rip && rip < region.end
      let isStack = region.start <= rsp && rsp < region.end
      let range = Format.hex(region.start, digits: 12) + "-" + Format.hex(region.end, digits: 12)
      return Line(
        text: subject.name(of: region), style: isCode ? Theme.current : Theme.plain, address: region.start,
        prefix: [
          (isCode ? "▶" : isStack ? "s" : " ", Theme.current), (range + " ", Theme.address),
          (region.letters + " ", region.permissions.contains(.execute) ? Theme.jump : Theme.faint),
          (Format.right(MapPanel.size(region.end &- region.start), 6) + " ", Theme.faint),
        ])
    }
  }

  private static func size(_ bytes: UInt64) -> String {
    if bytes >= 10 << 30 { return "\(bytes >> 30)G" }
    return bytes >= 10 << 20 ? "\(bytes >> 20)M" : "\(bytes >> 10)K"
  }
}

final class CallPanel: ListPanel {
  init() { super.init(.calls, sticksToEnd: true) }

  override func title(_ workspace: Workspace) -> String { "system calls" }

  override func lines(_ workspace: Workspace, width: Int) -> [Line] {
    workspace.subject.calls.map { call in
      // strace sets results in a column; here there is no room for that.
      let text = CallPanel.squeezed(call)
      let isFailed = text.includes(" = -1 ")
      return Line(text: text, style: isFailed ? Theme.breakpoint : Theme.plain)
    }
  }

  static func squeezed(_ line: String) -> String {
    guard let place = line.range(ofLast: ")  ") else { return line }
    return line[..<place] + ") " + line[place...].dropFirst().drop { $0 == " " }
  }
}

extension String {
  /// The index where `text` begins for the last time.
  func range(ofLast text: String) -> Index? {
    var place = endIndex
    while place > startIndex {
      place = index(before: place)
      if self[place...].hasPrefix(text) {
        // Blanks in a row: the first of them.
        return place
      }
    }
    return nil
  }
}

final class BreakpointPanel: ListPanel {
  init() { super.init(.breakpoints) }

  override func lines(_ workspace: Workspace, width: Int) -> [Line] {
    workspace.subject.breakpoints.map {
      Line(
        text: BreakpointPanel.text($0), style: $0.isEnabled ? Theme.plain : Theme.zero, address: $0.address,
        prefix: [(Format.right(String($0.number), 3) + " ", Theme.breakpoint)], number: $0.number)
    }
  }

  static func text(_ breakpoint: Breakpoint) -> String {
    var text: String
    switch breakpoint.kind {
    case .code:
      text = "at \(breakpoint.place)"
      if !breakpoint.around.isEmpty { text += ", inlined in \(breakpoint.around)" }
    case .range(let size):
      text = "\(size) bytes of code from \(breakpoint.place)"
    case .data(let size, let kinds):
      let names: [AccessKinds: String] = [.change: "changes", .read: "reads", [.write, .change]: "writes"]
      let what = names[kinds] ?? "reads and writes"
      text = "\(what) of \(breakpoint.place), \(size) bytes at 0x\(Format.hex(breakpoint.address))"
    }
    if breakpoint.condition != nil { text += ", on a condition" }
    if breakpoint.hits > 0 { text += ", \(breakpoint.hits) times" }
    return breakpoint.isEnabled ? text : text + " (disabled)"
  }

  override func take(_ key: Key, _ workspace: Workspace) -> Bool {
    if key == .delete || key == .character("d") {
      if let line = current(workspace) { _ = workspace.subject.removeBreakpoint(line.number) }
      return true
    }
    return super.take(key, workspace)
  }
}
