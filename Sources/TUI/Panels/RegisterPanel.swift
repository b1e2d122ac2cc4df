// Registers: what has changed since the last stop is bright; flags by name; the vector registers with the type that is chosen.

final class RegisterPanel: Panel {
  let kind = PanelKind.registers
  private var top = 0
  private var height = 1
  /// Where registers were drawn: rows, columns, and their values.
  private var places: [(y: Int, x: Range<Int>, value: UInt64)] = []

  /// How vector registers are shown.
  enum Interpretation: String, CaseIterable { case bytes, words, longs, quads, floats, doubles }
  var interpretation = Interpretation.longs

  func title(_ workspace: Workspace) -> String {
    let thread = workspace.subject.threads.count > 1 ? " of thread \(workspace.subject.currentThread)" : ""
    return "registers\(thread)"
  }

  private struct Piece {
    var text: String
    var style: Style
    /// It may be a pointer.
    var value: UInt64?

    init(_ text: String, _ style: Style, _ value: UInt64? = nil) {
      (self.text, self.style, self.value) = (text, style, value)
    }
  }

  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool) {
    let now = workspace.subject.registers
    let before = workspace.subject.earlierRegisters
    var lines = general(now, before, columns: window.width >= 42 ? window.width >= 86 ? 4 : 2 : 1)
    lines.append(flags(now, before, width: window.width))
    lines += others(now, before, columns: window.width >= 42 ? 2 : 1)
    lines += vectors(now, before, window.width)
    height = max(1, window.height)
    top = max(0, min(top, lines.count - height))
    places = []
    for (y, line) in lines.dropFirst(top).prefix(window.height).enumerated() {
      var x = 0
      for piece in line {
        let begin = x
        x = window.put(piece.text, x: x, y: y, piece.style)
        if let value = piece.value { places.append((y, begin..<x, value)) }
      }
    }
  }

  private func value(_ name: String, _ now: Registers, _ before: Registers) -> [Piece] {
    let value = now.values[name] ?? 0
    let isChanged = value != before.values[name] ?? 0
    let style = isChanged ? Theme.changed : value == 0 ? Theme.zero : Theme.plain
    return [
      Piece(Format.padded(name, 4), Theme.address, value),
      Piece(Format.hex(value, digits: 16) + "  ", style, value),
    ]
  }

  private func general(_ now: Registers, _ before: Registers, columns: Int) -> [[Piece]] {
    let names = Registers.generalNames + ["rip"]
    let rows = 16 / columns
    var lines: [[Piece]] = (0..<rows).map { row in
      (0..<columns).flatMap { value(names[row + $0 * rows], now, before) }
    }
    lines.append(value("rip", now, before))
    return lines
  }

  private func flags(_ now: Registers, _ before: Registers, width: Int) -> [Piece] {
    var line = [Piece("flag", Theme.address)]
    let shown = Registers.flagNames.filter { width >= 42 || $0.bit < 12 && $0.bit != 8 }
    for (bit, name) in shown {
      let isSet = now.flags >> bit & 1 != 0
      let isChanged = (now.flags ^ before.flags) >> bit & 1 != 0
      let style = isChanged ? Theme.changed : isSet ? Theme.current : Theme.zero
      line.append(Piece(isSet ? name : name.lowercased(), style))
      line.append(Piece(" ", Theme.plain))
    }
    return line
  }

  private func others(_ now: Registers, _ before: Registers, columns: Int) -> [[Piece]] {
    let names = ["fs_base", "gs_base", "mxcsr", "cs", "ss", "fctrl", "fstat", "ftag"]
    return stride(from: 0, to: names.count, by: columns).map { start in
      names[start..<min(start + columns, names.count)].flatMap { name -> [Piece] in
        let value = now.values[name] ?? 0
        let isChanged = value != before.values[name] ?? 0
        return [
          Piece(Format.padded(name, 8), Theme.address, value),
          Piece(Format.padded(Format.hex(value), 14), isChanged ? Theme.changed : Theme.plain, value),
        ]
      }
    }
  }

  private func vectors(_ now: Registers, _ before: Registers, _ width: Int) -> [[Piece]] {
    var lines: [[Piece]] = []
    for number in 0..<8 {
      guard let bytes = now.vectors["st\(number)"], bytes.contains(where: { $0 != 0 }) else { continue }
      let text = bytes.reversed().map { Format.hex(UInt64($0), digits: 2) }.joined()
      lines.append([Piece(Format.padded("st\(number)", 6), Theme.address), Piece(text, Theme.plain)])
    }
    for number in 0..<32 {
      let name = ["zmm\(number)", "ymm\(number)", "xmm\(number)"].first { now.vectors[$0] != nil }
      guard let name, let bytes = now.vectors[name] else { continue }
      // Upper halves that hold nothing are not shown.
      var count = bytes.count
      while count > 16, bytes[(count / 2)..<count].allSatisfy({ $0 == 0 }) { count /= 2 }
      let isChanged = bytes != before.vectors[name] ?? bytes
      let isZero = bytes.allSatisfy { $0 == 0 }
      let letter = count == 64 ? "zmm" : count == 32 ? "ymm" : "xmm"
      lines.append([
        Piece(Format.padded("\(letter)\(number)", 6), Theme.address),
        Piece(
          RegisterPanel.text(Array(bytes.prefix(count)), interpretation),
          isChanged ? Theme.changed : isZero ? Theme.zero : Theme.plain),
      ])
    }
    return lines
  }

  /// Elements from the lowest on.
  static func text(_ bytes: [UInt8], _ interpretation: Interpretation) -> String {
    let size = [Interpretation.bytes: 1, .words: 2, .longs: 4, .floats: 4][interpretation] ?? 8
    let elements = stride(from: 0, to: bytes.count, by: size).map { start -> String in
      let value = bytes[start..<min(start + size, bytes.count)].reversed().reduce(UInt64(0)) {
        $0 &<< 8 | UInt64($1)
      }
      switch interpretation {
      case .floats: return String(describing: Float(bitPattern: UInt32(truncatingIfNeeded: value)))
      case .doubles: return String(describing: Double(bitPattern: value))
      default: return Format.hex(value, digits: size * 2)
      }
    }
    return elements.joined(separator: " ")
  }

  func take(_ key: Key, _ workspace: Workspace) -> Bool {
    switch key {
    case .up: top -= 1
    case .down: top += 1
    case .pageUp: top -= height
    case .pageDown: top += height
    case .home: top = 0
    case .character("v"):
      let all = Interpretation.allCases
      let place = (all.firstIndex(of: interpretation) ?? 0) + 1
      interpretation = all[place % all.count]
    default: return false
    }
    top = max(0, top)
    return true
  }

  /// Goes where a register points to.
  func click(x: Int, y: Int, _ workspace: Workspace) {
    guard let value = places.first(where: { $0.y == y && $0.x.contains(x) })?.value,
      workspace.subject.region(at: value) != nil
    else { return }
    workspace.goTo(value)
  }
  func scroll(_ lines: Int, _ workspace: Workspace) { top = max(0, top + lines) }
}
