// What a person did: a key, a character, the mouse. And the parser that finds it in the bytes of a terminal: UTF-8, the escape
// sequences of xterm and its relatives, the mouse's SGR reports. Bytes that make no sense are dropped, never waited for.

/// Keys that are no characters.
enum Key: Hashable, Sendable {
  case up, down, left, right, home, end, pageUp, pageDown, insert, delete
  case enter, tab, backTab, backspace, escape
  case function(Int)
  /// A letter with Ctrl, in lower case; also `@[\]^_`.
  case control(Unicode.Scalar)
  case character(Unicode.Scalar)
}

/// What the mouse did, with places counted from 0.
struct MouseEvent: Equatable, Sendable {
  enum Kind: Equatable, Sendable { case press(Int), release, drag, wheelUp, wheelDown, move }
  var kind: Kind
  var x: Int
  var y: Int
  /// With Shift or Ctrl.
  var isModified = false
}

enum InputEvent: Equatable, Sendable {
  /// A key, perhaps with Alt.
  case key(Key, alt: Bool)
  case mouse(MouseEvent)

  static func key(_ key: Key) -> InputEvent { .key(key, alt: false) }
}

/// Finds events in bytes. What is incomplete stays until more comes, or until `flush`.
struct InputParser {
  private var bytes: [UInt8] = []
  /// A sequence that is longer is none.
  private static let longest = 64

  /// More bytes are needed to know what the last ones mean.
  var isIncomplete: Bool { !bytes.isEmpty }

  mutating func take(_ new: some Sequence<UInt8>) -> [InputEvent] {
    bytes.append(contentsOf: new)
    return parse(isLast: false)
  }

  /// Nothing more has come for a while: ESC was the key.
  mutating func flush() -> [InputEvent] { parse(isLast: true) }

  private mutating func parse(isLast: Bool) -> [InputEvent] {
    var events: [InputEvent] = []
    var rest = bytes[...]
    while !rest.isEmpty {
      guard let (event, count) = InputParser.next(rest, isLast: isLast) else { break }
      if let event { events.append(event) }
      rest = rest.dropFirst(count)
    }
    bytes = Array(rest)
    return events
  }

  /// The event at the start and its bytes; nil when more bytes are needed.
  private static func next(_ bytes: ArraySlice<UInt8>, isLast: Bool) -> (InputEvent?, Int)? {
    guard let first = bytes.first else { return nil }
    if first != 0x1b {
      guard let (key, count) = plain(bytes, isLast: isLast) else { return nil }
      return (key.map { .key($0) }, count)
    }
    let rest = bytes.dropFirst()
    guard let second = rest.first else { return isLast ? (.key(.escape), 1) : nil }
    switch second {
    case UInt8(ascii: "["): return sequence(bytes, isLast: isLast)
    case UInt8(ascii: "O"):
      guard let third = rest.dropFirst().first else {
        return isLast ? (.key(.character("O"), alt: true), 2) : nil
      }
      return (final(third, [], isShort: true).map { .key($0) }, 3)
    case 0x1b: return (.key(.escape), 1)
    default:
      guard let (key, count) = plain(rest, isLast: isLast) else { return nil }
      return (key.map { .key($0, alt: true) }, count + 1)
    }
  }

  private static func plain(_ bytes: ArraySlice<UInt8>, isLast: Bool) -> (Key?, Int)? {
    guard let first = bytes.first else { return nil }
    switch first {
    case 9: return (.tab, 1)
    case 10, 13: return (.enter, 1)
    case 8, 127: return (.backspace, 1)
    case 0: return (.control("@"), 1)
    case 1..<27: return (.control(Unicode.Scalar(first + 96)), 1)
    case 27..<32: return (.control(Unicode.Scalar(first + 64)), 1)
    case 32..<127: return (.character(Unicode.Scalar(first)), 1)
    default: break
    }
    let length =
      first >= 0xf0 && first < 0xf5
      ? 4 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xc2 && first < 0xe0 ? 2 : 0
    if length == 0 { return (nil, 1) }
    let part = bytes.prefix(length)
    if part.dropFirst().contains(where: { $0 & 0xc0 != 0x80 }) { return (nil, 1) }
    if part.count < length { return isLast ? (nil, part.count) : nil }
    let text = String(decoding: part, as: UTF8.self)
    guard let scalar = text.unicodeScalars.first, scalar != "\u{fffd}", scalar.value >= 160 else {
      return (nil, length)
    }
    return (.character(scalar), length)
  }

  // MARK: Sequences

  /// `ESC [ parameters final`.
  private static func sequence(_ bytes: ArraySlice<UInt8>, isLast: Bool) -> (InputEvent?, Int)? {
    let body = bytes.dropFirst(2)
    // What the Linux console sends for F1 to F5.
    if body.first == UInt8(ascii: "[") {
      guard let letter = body.dropFirst().first else { return isLast ? (nil, bytes.count) : nil }
      return ((65..<70).contains(letter) ? .key(.function(Int(letter) - 64)) : nil, 4)
    }
    guard let end = body.firstIndex(where: { $0 < 0x20 || $0 >= 0x40 }) else {
      if bytes.count > longest { return (nil, bytes.count) }
      return isLast ? (body.isEmpty ? .key(.character("["), alt: true) : nil, bytes.count) : nil
    }
    let count = end - bytes.startIndex + 1
    // A control character cuts the sequence off.
    if bytes[end] < 0x20 { return (nil, count - 1) }
    let parameters = body[..<end]
    if parameters.first == UInt8(ascii: "<") { return (mouse(parameters.dropFirst(), bytes[end]), count) }
    let numbers = self.numbers(parameters)
    let hasAlt = numbers.count > 1 && (numbers[1] - 1) & 2 != 0 && numbers[1] > 0
    let key = final(bytes[end], numbers, isShort: false)
    return (key.map { .key($0, alt: hasAlt) }, count)
  }

  private static func numbers(_ text: ArraySlice<UInt8>) -> [Int] {
    text.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map {
      min(Int(String(decoding: $0, as: UTF8.self)) ?? 0, 1 << 16)
    }
  }

  private static func final(_ letter: UInt8, _ numbers: [Int], isShort: Bool) -> Key? {
    switch letter {
    case UInt8(ascii: "A"): return .up
    case UInt8(ascii: "B"): return .down
    case UInt8(ascii: "C"): return .right
    case UInt8(ascii: "D"): return .left
    case UInt8(ascii: "H"): return .home
    case UInt8(ascii: "F"): return .end
    case UInt8(ascii: "Z"): return .backTab
    case UInt8(ascii: "M") where isShort: return .enter
    case UInt8(ascii: "P"): return .function(1)
    case UInt8(ascii: "Q"): return .function(2)
    case UInt8(ascii: "R"): return .function(3)
    case UInt8(ascii: "S"): return .function(4)
    case UInt8(ascii: "~"): return tilde(numbers.first ?? 0)
    default: return nil
    }
  }

  private static func tilde(_ number: Int) -> Key? {
    switch number {
    case 1, 7: return .home
    case 2: return .insert
    case 3: return .delete
    case 4, 8: return .end
    case 5: return .pageUp
    case 6: return .pageDown
    case 11...15: return .function(number - 10)
    case 17...21: return .function(number - 11)
    case 23, 24: return .function(number - 12)
    default: return nil
    }
  }

  /// `button;column;row` and M for down, m for up.
  private static func mouse(_ text: ArraySlice<UInt8>, _ letter: UInt8) -> InputEvent? {
    let numbers = numbers(text)
    guard numbers.count == 3, letter == UInt8(ascii: "M") || letter == UInt8(ascii: "m"), numbers[1] > 0,
      numbers[2] > 0
    else { return nil }
    let kind: MouseEvent.Kind
    if numbers[0] & 64 != 0 {
      kind = numbers[0] & 1 == 0 ? .wheelUp : .wheelDown
    } else if letter == UInt8(ascii: "m") {
      kind = .release
    } else if numbers[0] & 32 != 0 {
      kind = numbers[0] & 3 == 3 ? .move : .drag
    } else {
      kind = .press(numbers[0] & 3)
    }
    let isModified = numbers[0] & (4 | 16) != 0
    return .mouse(MouseEvent(kind: kind, x: numbers[1] - 1, y: numbers[2] - 1, isModified: isModified))
  }

  // MARK: For the guest

  /// The bytes that the key would be on the guest's terminal.
  static func bytes(for key: Key, alt: Bool, applicationCursor: Bool) -> [UInt8] {
    let body = text(for: key, applicationCursor ? "\u{1b}O" : "\u{1b}[")
    return (alt ? [0x1b] : []) + Array(body.utf8)
  }

  private static func text(for key: Key, _ start: String) -> String {
    switch key {
    case .up: return start + "A"
    case .down: return start + "B"
    case .right: return start + "C"
    case .left: return start + "D"
    case .home: return start + "H"
    case .end: return start + "F"
    case .pageUp: return "\u{1b}[5~"
    case .pageDown: return "\u{1b}[6~"
    case .insert: return "\u{1b}[2~"
    case .delete: return "\u{1b}[3~"
    case .enter: return "\r"
    case .tab: return "\t"
    case .backTab: return "\u{1b}[Z"
    case .backspace: return "\u{7f}"
    case .escape: return "\u{1b}"
    case .function(let number):
      let letters = ["P", "Q", "R", "S"]
      if number >= 1, number <= 4 { return "\u{1b}O" + letters[number - 1] }
      let codes = [5: 15, 6: 17, 7: 18, 8: 19, 9: 20, 10: 21, 11: 23, 12: 24]
      return codes[number].map { "\u{1b}[\($0)~" } ?? ""
    case .control(let letter):
      return String(Character(Unicode.Scalar(UInt8(truncatingIfNeeded: letter.value) & 31)))
    case .character(let scalar): return String(Character(scalar))
    }
  }
}
