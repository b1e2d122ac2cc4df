// The colours of the debugger's own screen. They work on dark and on light grounds where the terminal has only its own sixteen.

import GuestMemory

enum Theme {
  static let plain = Style.plain
  static let faint = Style(foreground: .hex(0x808890))
  static let address = Style(foreground: .hex(0x6a9fb5))
  static let mnemonic = Style(foreground: .hex(0xdcdcaa))
  static let jump = Style(foreground: .hex(0xc586c0))
  static let symbol = Style(foreground: .hex(0x4ec9b0))
  static let changed = Style(foreground: .hex(0xff8c5a), attributes: .bold)
  static let breakpoint = Style(foreground: .hex(0xf14c4c), attributes: .bold)
  static let arrow = Style(foreground: .hex(0x5f87af))
  static let currentGround = Colour.hex(0x2d4a2d)
  static let cursorGround = Colour.hex(0x2a3440)
  static let current = Style(foreground: .hex(0x9fe89f), attributes: .bold)
  static let title = Style(foreground: .hex(0xb0b8c0), background: .hex(0x2b323a))
  static let focusedTitle = Style(foreground: .hex(0xffffff), background: .hex(0x2f5f8f), attributes: .bold)
  static let status = Style(foreground: .hex(0xe0e0e0), background: .hex(0x3a3f45))
  static let failure = Style(foreground: .hex(0xff8080), background: .hex(0x3a3f45), attributes: .bold)
  static let running = Style(foreground: .hex(0x80ff80), background: .hex(0x3a3f45), attributes: .bold)
  static let separator = Style(foreground: .hex(0x4a525a))
  static let zero = Style(foreground: .hex(0x50585f))
  static let text = Style(foreground: .hex(0xce9178))
  static let high = Style(foreground: .hex(0x7aa2f7))
  static let control = Style(foreground: .hex(0x9a7fd0))

  /// Marks of what was done.
  static let read = Style(foreground: .hex(0x40d040))
  static let written = Style(foreground: .hex(0xf05050))
  static let executed = Style(foreground: .hex(0x6090ff))
  /// Accesses of the last instruction.
  static let currentRead = Style(foreground: .hex(0x000000), background: .hex(0x70ff70), attributes: .bold)
  static let currentWrite = Style(foreground: .hex(0x000000), background: .hex(0xff7070), attributes: .bold)
  static let currentBoth = Style(foreground: .hex(0x000000), background: .hex(0xffff60), attributes: .bold)
  static let currentExecution = Style(
    foreground: .hex(0x000000), background: .hex(0x80a8ff), attributes: .bold)

  /// The ground of memory by what may be done with it.
  static func ground(_ region: Region?) -> Colour {
    guard let permissions = region?.permissions else { return .standard }
    if permissions.isEmpty { return .hex(0x241818) }
    if permissions.contains(.execute) {
      return permissions.contains(.write) ? .hex(0x2c1c30) : .hex(0x161c2c)
    }
    return permissions.contains(.write) ? .hex(0x1c1c1c) : .hex(0x142020)
  }

  /// A byte by what it is: zero, printable, control character, or with its top bit set.
  static func byte(_ value: UInt8) -> Style {
    switch value {
    case 0: zero
    case 32..<127: text
    case 128...: high
    default: control
    }
  }
}
