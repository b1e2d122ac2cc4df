// What control sequences (`ESC [ … letter`) do to the guest's terminal.

struct ControlSequence {
  let letter: UInt8
  /// `?`, `>` or `=` in front of the numbers, and what stands between them and the letter.
  let mark: UInt8
  let between: UInt8
  /// -1: left out.
  let numbers: [Int]

  private func number(_ index: Int, _ standard: Int) -> Int {
    index < numbers.count && numbers[index] >= 0 ? numbers[index] : standard
  }

  /// The first number where 0 and nothing mean 1.
  private var count: Int { max(1, number(0, 1)) }

  func perform(on terminal: inout TerminalEmulator) {
    if between != 0 {
      // DECSTR.
      if between == UInt8(ascii: "!"), letter == UInt8(ascii: "p") { softReset(&terminal) }
      return
    }
    switch mark {
    case 0: if !move(&terminal), !change(&terminal) { ask(&terminal) }
    case UInt8(ascii: "?"):
      switch letter {
      case UInt8(ascii: "h"): for mode in numbers { setPrivate(mode, true, &terminal) }
      case UInt8(ascii: "l"): for mode in numbers { setPrivate(mode, false, &terminal) }
      case UInt8(ascii: "J"): terminal.eraseScreen(number(0, 0))
      case UInt8(ascii: "K"): terminal.eraseLine(number(0, 0))
      default: break
      }
    case UInt8(ascii: ">"):
      if letter == UInt8(ascii: "c"), number(0, 0) == 0 { terminal.answers += Array("\u{1b}[>41;1;0c".utf8) }
    default: break
    }
  }

  private func softReset(_ terminal: inout TerminalEmulator) {
    terminal.style = .plain
    terminal.modes = TerminalEmulator.Modes()
    terminal.setScrollRange(0, terminal.height - 1)
  }

  private func move(_ terminal: inout TerminalEmulator) -> Bool {
    switch letter {
    case UInt8(ascii: "A"): terminal.moveVertically(-count)
    case UInt8(ascii: "B"), UInt8(ascii: "e"): terminal.moveVertically(count)
    case UInt8(ascii: "C"), UInt8(ascii: "a"): terminal.moveTo(terminal.x + count, terminal.y)
    case UInt8(ascii: "D"): terminal.moveTo(terminal.x - count, terminal.y)
    case UInt8(ascii: "E"):
      terminal.moveVertically(count)
      terminal.carriageReturn()
    case UInt8(ascii: "F"):
      terminal.moveVertically(-count)
      terminal.carriageReturn()
    case UInt8(ascii: "G"), UInt8(ascii: "`"): terminal.moveTo(count - 1, terminal.y)
    case UInt8(ascii: "d"): terminal.moveFromOrigin(terminal.x, count - 1)
    case UInt8(ascii: "H"), UInt8(ascii: "f"):
      terminal.moveFromOrigin(max(1, number(1, 1)) - 1, count - 1)
    case UInt8(ascii: "I"): terminal.tab(count)
    case UInt8(ascii: "Z"): terminal.backTab(count)
    case UInt8(ascii: "s"): terminal.saveCursor()
    case UInt8(ascii: "u"): terminal.restoreCursor()
    default: return false
    }
    return true
  }

  private func change(_ terminal: inout TerminalEmulator) -> Bool {
    switch letter {
    case UInt8(ascii: "@"): terminal.insertCharacters(count)
    case UInt8(ascii: "J"): terminal.eraseScreen(number(0, 0))
    case UInt8(ascii: "K"): terminal.eraseLine(number(0, 0))
    case UInt8(ascii: "L"): terminal.insertLines(count)
    case UInt8(ascii: "M"): terminal.deleteLines(count)
    case UInt8(ascii: "P"): terminal.deleteCharacters(count)
    case UInt8(ascii: "S"): terminal.scrollUp(count)
    case UInt8(ascii: "T"): if numbers.count < 2 { terminal.scrollDown(count) }
    case UInt8(ascii: "X"): terminal.eraseCharacters(count)
    case UInt8(ascii: "b"): terminal.repeatLast(count)
    case UInt8(ascii: "g"): terminal.clearTab(all: number(0, 0) == 3)
    case UInt8(ascii: "h"), UInt8(ascii: "l"):
      let isSet = letter == UInt8(ascii: "h")
      for mode in numbers {
        if mode == 4 { terminal.modes.inserts = isSet }
        if mode == 20 { terminal.modes.newLine = isSet }
      }
    case UInt8(ascii: "m"): setStyle(&terminal.style)
    case UInt8(ascii: "r"):
      terminal.setScrollRange(count - 1, (number(1, 0) > 0 ? number(1, 0) : terminal.height) - 1)
    default: return false
    }
    return true
  }

  private func ask(_ terminal: inout TerminalEmulator) {
    switch (letter, number(0, 0)) {
    case (UInt8(ascii: "c"), 0): terminal.answers += Array("\u{1b}[?62;22c".utf8)
    case (UInt8(ascii: "n"), 5): terminal.answers += Array("\u{1b}[0n".utf8)
    case (UInt8(ascii: "n"), 6):
      let row = terminal.modes.isOrigin ? terminal.y - terminal.top : terminal.y
      terminal.answers += Array("\u{1b}[\(row + 1);\(terminal.x + 1)R".utf8)
    case (UInt8(ascii: "t"), 18):
      terminal.answers += Array("\u{1b}[8;\(terminal.height);\(terminal.width)t".utf8)
    default: break
    }
    // A guest that asks without reading gets no more.
    if terminal.answers.count > 4096 { terminal.answers.removeFirst(terminal.answers.count - 4096) }
  }

  private func setPrivate(_ mode: Int, _ isSet: Bool, _ terminal: inout TerminalEmulator) {
    switch mode {
    case 1: terminal.modes.applicationCursor = isSet
    case 6:
      terminal.modes.isOrigin = isSet
      terminal.moveFromOrigin(0, 0)
    case 7: terminal.modes.wraps = isSet
    case 25: terminal.modes.isCursorVisible = isSet
    case 47, 1047: terminal.useOtherScreen(isSet, clears: true)
    case 1048: if isSet { terminal.saveCursor() } else { terminal.restoreCursor() }
    case 1049:
      if isSet { terminal.saveCursor() }
      terminal.useOtherScreen(isSet, clears: true)
      if !isSet { terminal.restoreCursor() }
    case 1000, 1002, 1003: terminal.modes.mouse = isSet ? mode : 0
    case 1006: terminal.modes.mouseIsSGR = isSet
    case 2004: terminal.modes.bracketsPaste = isSet
    default: break
    }
  }

  // MARK: Colours and attributes

  private func setStyle(_ style: inout Style) {
    var index = 0
    while index < numbers.count {
      let code = number(index, 0)
      index += 1
      switch code {
      case 0: style = .plain
      case 1: style.attributes.insert(.bold)
      case 2: style.attributes.insert(.faint)
      case 3: style.attributes.insert(.italic)
      case 4, 21: style.attributes.insert(.underline)
      case 5, 6: style.attributes.insert(.blink)
      case 7: style.attributes.insert(.reverse)
      case 8: style.attributes.insert(.hidden)
      case 9: style.attributes.insert(.strike)
      case 22: style.attributes.subtract([.bold, .faint])
      case 23: style.attributes.remove(.italic)
      case 24: style.attributes.remove(.underline)
      case 25: style.attributes.remove(.blink)
      case 27: style.attributes.remove(.reverse)
      case 28: style.attributes.remove(.hidden)
      case 29: style.attributes.remove(.strike)
      case 30...37: style.foreground = .indexed(UInt8(code - 30))
      case 38: if let colour = colour(&index) { style.foreground = colour }
      case 39: style.foreground = .standard
      case 40...47: style.background = .indexed(UInt8(code - 40))
      case 48: if let colour = colour(&index) { style.background = colour }
      case 49: style.background = .standard
      case 90...97: style.foreground = .indexed(UInt8(code - 82))
      case 100...107: style.background = .indexed(UInt8(code - 92))
      default: break
      }
    }
  }

  /// `5;n` or `2;red;green;blue`.
  private func colour(_ index: inout Int) -> Colour? {
    func byte(_ place: Int) -> UInt8 { UInt8(max(0, min(number(place, 0), 255))) }
    defer { index = min(index, numbers.count) }
    switch number(index, 0) {
    case 5:
      index += 2
      return .indexed(byte(index - 1))
    case 2:
      index += 4
      return .rgb(byte(index - 3), byte(index - 2), byte(index - 1))
    default:
      index += 1
      return nil
    }
  }
}
