// The bytes that a guest writes to its terminal, taken apart: UTF-8, control characters, escape sequences (ECMA-48, section 5.4; the
// states follow those of the VT500). Unknown sequences are swallowed whole, strings and parameters are bounded.

struct EscapeParser {
  private enum State {
    case ground, escape, intermediate(UInt8), control, string(isTitle: Bool), stringEscape(isTitle: Bool)
  }

  private var state = State.ground
  /// Numbers of a control sequence; -1: left out.
  private var numbers: [Int] = []
  private var mark: UInt8 = 0
  private var between: UInt8 = 0
  private var text: [UInt8] = []
  private var scalar: UInt32 = 0
  private var missing = 0
  private var least: UInt32 = 0

  mutating func take(_ bytes: some Sequence<UInt8>, _ terminal: inout TerminalEmulator) {
    for byte in bytes { take(byte, &terminal) }
  }

  private mutating func take(_ byte: UInt8, _ terminal: inout TerminalEmulator) {
    if case .string(let isTitle) = state { return takeString(byte, isTitle, &terminal) }
    if case .stringEscape(let isTitle) = state {
      finishString(isTitle, &terminal)
      state = .escape
      if byte == UInt8(ascii: "\\") {
        state = .ground
        return
      }
    }
    switch byte {
    case 0x1b:
      state = .escape
      missing = 0
    case 0x18, 0x1a: state = .ground
    case 0..<0x20: control(byte, &terminal)
    default:
      switch state {
      case .ground: character(byte, &terminal)
      case .escape: escape(byte, &terminal)
      case .intermediate(let first): designate(first, byte, &terminal)
      case .control: parameter(byte, &terminal)
      case .string, .stringEscape: break
      }
    }
  }

  private mutating func takeString(_ byte: UInt8, _ isTitle: Bool, _ terminal: inout TerminalEmulator) {
    switch byte {
    case 7:
      finishString(isTitle, &terminal)
      state = .ground
    case 0x18, 0x1a: state = .ground
    case 0x1b: state = .stringEscape(isTitle: isTitle)
    default: if text.count < 512 { text.append(byte) }
    }
  }

  /// `0;title` or `2;title`.
  private mutating func finishString(_ isTitle: Bool, _ terminal: inout TerminalEmulator) {
    defer { text = [] }
    guard isTitle, let first = text.first, first == 48 || first == 50, text.dropFirst().first == 59 else {
      return
    }
    terminal.title = String(decoding: text.dropFirst(2).filter { $0 >= 32 && $0 != 127 }, as: UTF8.self)
  }

  private mutating func control(_ byte: UInt8, _ terminal: inout TerminalEmulator) {
    missing = 0
    switch byte {
    case 8: terminal.backspace()
    case 9: terminal.tab(1)
    case 10, 11, 12:
      terminal.lineFeed()
      if terminal.modes.newLine { terminal.carriageReturn() }
    case 13: terminal.carriageReturn()
    case 14: terminal.modes.charset = 1
    case 15: terminal.modes.charset = 0
    default: break
    }
  }

  private mutating func character(_ byte: UInt8, _ terminal: inout TerminalEmulator) {
    if byte < 0x80 {
      if missing > 0 { terminal.put(0xfffd) }
      missing = 0
      if byte != 0x7f { terminal.put(UInt32(byte)) }
    } else if byte < 0xc0 {
      guard missing > 0 else { return terminal.put(0xfffd) }
      scalar = scalar << 6 | UInt32(byte & 0x3f)
      missing -= 1
      if missing == 0 {
        // C1 controls in UTF-8 do nothing.
        let isValid = scalar >= least && Unicode.Scalar(scalar) != nil
        if scalar >= 0xa0 || !isValid { terminal.put(isValid ? scalar : 0xfffd) }
      }
    } else {
      if missing > 0 { terminal.put(0xfffd) }
      switch byte {
      case 0xc2..<0xe0: (scalar, missing, least) = (UInt32(byte & 0x1f), 1, 0x80)
      case 0xe0..<0xf0: (scalar, missing, least) = (UInt32(byte & 0x0f), 2, 0x800)
      case 0xf0..<0xf5: (scalar, missing, least) = (UInt32(byte & 0x07), 3, 0x10000)
      default:
        missing = 0
        terminal.put(0xfffd)
      }
    }
  }

  private mutating func escape(_ byte: UInt8, _ terminal: inout TerminalEmulator) {
    state = .ground
    switch byte {
    case UInt8(ascii: "["):
      (numbers, mark, between) = ([-1], 0, 0)
      state = .control
    case UInt8(ascii: "]"):
      text = []
      state = .string(isTitle: true)
    case UInt8(ascii: "P"), UInt8(ascii: "X"), UInt8(ascii: "^"), UInt8(ascii: "_"):
      text = []
      state = .string(isTitle: false)
    case 0x20..<0x30: state = .intermediate(byte)
    case UInt8(ascii: "7"): terminal.saveCursor()
    case UInt8(ascii: "8"): terminal.restoreCursor()
    case UInt8(ascii: "D"): terminal.lineFeed()
    case UInt8(ascii: "E"):
      terminal.carriageReturn()
      terminal.lineFeed()
    case UInt8(ascii: "H"): terminal.setTab()
    case UInt8(ascii: "M"): terminal.reverseLineFeed()
    case UInt8(ascii: "c"): terminal.reset()
    default: break
    }
  }

  /// `ESC ( B` and its like.
  private mutating func designate(_ first: UInt8, _ byte: UInt8, _ terminal: inout TerminalEmulator) {
    if byte < 0x30 { return }
    state = .ground
    switch first {
    case UInt8(ascii: "("): terminal.modes.lineDrawing[0] = byte == UInt8(ascii: "0")
    case UInt8(ascii: ")"): terminal.modes.lineDrawing[1] = byte == UInt8(ascii: "0")
    case UInt8(ascii: "#"): if byte == UInt8(ascii: "8") { terminal.fillWithE() }
    default: break
    }
  }

  private mutating func parameter(_ byte: UInt8, _ terminal: inout TerminalEmulator) {
    switch byte {
    case 0x30..<0x3a:
      let last = numbers.count - 1
      numbers[last] = min(max(0, numbers[last]) * 10 + Int(byte - 0x30), 100_000)
    case UInt8(ascii: ";"), UInt8(ascii: ":"): if numbers.count < 32 { numbers.append(-1) }
    case 0x3c..<0x40: mark = byte
    case 0x20..<0x30: between = byte
    case 0x40..<0x7f:
      state = .ground
      ControlSequence(letter: byte, mark: mark, between: between, numbers: numbers).perform(on: &terminal)
    default: state = .ground
    }
  }
}
