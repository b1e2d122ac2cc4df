// What one place of the screen shows: a character, two colours, attributes. Plain values; the same for the debugger's own screen, for
// the guest's, and for pictures.

/// A colour: the terminal's own, one of its 256, or red, green and blue.
struct Colour: Hashable, Sendable {
  private let raw: UInt32

  private init(raw: UInt32) { self.raw = raw }

  static let standard = Colour(raw: 0)

  /// One of the 256: 0–15 as the terminal has them, then a cube and greys.
  static func indexed(_ number: UInt8) -> Colour { Colour(raw: 0x0200_0000 | UInt32(number)) }

  static func rgb(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> Colour {
    Colour(raw: 0x0100_0000 | UInt32(red) << 16 | UInt32(green) << 8 | UInt32(blue))
  }

  /// 0xRRGGBB.
  static func hex(_ value: UInt32) -> Colour { Colour(raw: 0x0100_0000 | value & 0xff_ffff) }

  var isStandard: Bool { raw == 0 }
  var index: UInt8? { raw >> 24 == 2 ? UInt8(truncatingIfNeeded: raw) : nil }

  /// Red, green, blue; nil for the terminal's own colour.
  var components: (red: UInt8, green: UInt8, blue: UInt8)? {
    if raw >> 24 == 1 { return Colour.split(raw) }
    return index.map { Colour.split(Colour.palette($0)) }
  }

  private static func split(_ value: UInt32) -> (red: UInt8, green: UInt8, blue: UInt8) {
    (
      UInt8(truncatingIfNeeded: value >> 16), UInt8(truncatingIfNeeded: value >> 8),
      UInt8(truncatingIfNeeded: value)
    )
  }

  private static let basic: [UInt32] = [
    0x000000, 0xcd3131, 0x0dbc79, 0xe5e510, 0x2472c8, 0xbc3fbc, 0x11a8cd, 0xe5e5e5, 0x666666, 0xf14c4c,
    0x23d18b,
    0xf5f543, 0x3b8eea, 0xd670d6, 0x29b8db, 0xffffff,
  ]

  /// xterm's palette.
  private static func palette(_ number: UInt8) -> UInt32 {
    if number < 16 { return basic[Int(number)] }
    if number >= 232 { return (UInt32(number) - 232) * 10 * 0x10101 + 0x080808 }
    let place = UInt32(number) - 16
    func level(_ step: UInt32) -> UInt32 { step == 0 ? 0 : 55 + step * 40 }
    return level(place / 36) << 16 | level(place / 6 % 6) << 8 | level(place % 6)
  }

  /// The nearest of the first `count` colours of the palette (16 or 256).
  func nearest(of count: Int) -> UInt8 {
    if let index, Int(index) < count { return index }
    guard let own = components else { return 7 }
    var best: (number: Int, distance: Int) = (0, .max)
    // Of 256 only the cube and the greys: what the first 16 look like nobody knows.
    for number in (count > 16 ? 16 : 0)..<count {
      let other = Colour.split(Colour.palette(UInt8(number)))
      func square(_ a: UInt8, _ b: UInt8) -> Int { (Int(a) - Int(b)) * (Int(a) - Int(b)) }
      let distance =
        3 * square(own.red, other.red) + 4 * square(own.green, other.green) + 2 * square(own.blue, other.blue)
      if distance < best.distance { best = (number, distance) }
    }
    return UInt8(best.number)
  }
}

/// Attributes of a character.
struct Attributes: OptionSet, Hashable, Sendable {
  let rawValue: UInt8
  static let bold = Attributes(rawValue: 1)
  static let faint = Attributes(rawValue: 2)
  static let italic = Attributes(rawValue: 4)
  static let underline = Attributes(rawValue: 8)
  static let blink = Attributes(rawValue: 16)
  static let reverse = Attributes(rawValue: 32)
  static let hidden = Attributes(rawValue: 64)
  static let strike = Attributes(rawValue: 128)
}

/// How a character looks.
struct Style: Hashable, Sendable {
  var foreground = Colour.standard
  var background = Colour.standard
  var attributes: Attributes = []

  static let plain = Style()

  func on(_ background: Colour) -> Style {
    Style(foreground: foreground, background: background, attributes: attributes)
  }
  func with(_ more: Attributes) -> Style {
    Style(foreground: foreground, background: background, attributes: attributes.union(more))
  }
}

/// One place of a screen. A character of double width is followed by a cell without one.
struct Cell: Hashable, Sendable {
  /// 0: the right half of the character to the left.
  var scalar: UInt32 = 32
  var style = Style.plain

  static let blank = Cell()
}

/// How many columns characters take.
enum CharacterWidth {
  private static let wide: [ClosedRange<UInt32>] = [
    0x1100...0x115f, 0x231a...0x231b, 0x2329...0x232a, 0x23e9...0x23ec, 0x23f0...0x23f0, 0x23f3...0x23f3,
    0x25fd...0x25fe, 0x2614...0x2615, 0x2648...0x2653, 0x267f...0x267f, 0x2693...0x2693, 0x26a1...0x26a1,
    0x26aa...0x26ab, 0x26bd...0x26be, 0x26c4...0x26c5, 0x26ce...0x26ce, 0x26d4...0x26d4, 0x26ea...0x26ea,
    0x26f2...0x26f3, 0x26f5...0x26f5, 0x26fa...0x26fa, 0x26fd...0x26fd, 0x2705...0x2705, 0x270a...0x270b,
    0x2728...0x2728, 0x274c...0x274c, 0x274e...0x274e, 0x2753...0x2755, 0x2757...0x2757, 0x2795...0x2797,
    0x27b0...0x27b0, 0x27bf...0x27bf, 0x2b1b...0x2b1c, 0x2b50...0x2b50, 0x2b55...0x2b55, 0x2e80...0x303e,
    0x3041...0x33ff, 0x3400...0x4dbf, 0x4e00...0x9fff, 0xa000...0xa4cf, 0xa960...0xa97c, 0xac00...0xd7a3,
    0xf900...0xfaff, 0xfe10...0xfe19, 0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f004...0x1f004,
    0x1f0cf...0x1f0cf, 0x1f18e...0x1f18e, 0x1f191...0x1f19a, 0x1f200...0x1f320, 0x1f32d...0x1f335,
    0x1f337...0x1f37c, 0x1f37e...0x1f393, 0x1f3a0...0x1f3ca, 0x1f3cf...0x1f3d3, 0x1f3e0...0x1f3f0,
    0x1f3f4...0x1f3f4, 0x1f3f8...0x1f43e, 0x1f440...0x1f440, 0x1f442...0x1f4fc, 0x1f4ff...0x1f53d,
    0x1f54b...0x1f54e, 0x1f550...0x1f567, 0x1f57a...0x1f57a, 0x1f595...0x1f596, 0x1f5a4...0x1f5a4,
    0x1f5fb...0x1f64f, 0x1f680...0x1f6c5, 0x1f6cc...0x1f6cc, 0x1f6d0...0x1f6d2, 0x1f6d5...0x1f6d7,
    0x1f6dc...0x1f6df, 0x1f6eb...0x1f6ec, 0x1f6f4...0x1f6fc, 0x1f7e0...0x1f7eb, 0x1f90c...0x1f93a,
    0x1f93c...0x1f945, 0x1f947...0x1f9ff, 0x1fa70...0x1faff, 0x20000...0x3fffd,
  ]

  /// 0 for what joins the character before and for controls, else 1 or 2.
  static func columns(_ scalar: UInt32) -> Int {
    if scalar < 0x300 { return scalar >= 32 && !(127..<160).contains(scalar) && scalar != 0xad ? 1 : 0 }
    if scalar >= 0x1100, isWide(scalar) { return 2 }
    let isJoining: Bool
    switch scalar {
    case 0x300...0x36f, 0x483...0x489, 0x591...0x5bd, 0x610...0x61a, 0x64b...0x65f, 0x200b...0x200f,
      0x202a...0x202e, 0x2060...0x206f, 0x20d0...0x20ff, 0x3099...0x309a, 0xfe00...0xfe0f, 0xfe20...0xfe2f,
      0xfeff,
      0xfff0...0xfffb, 0xe0000...0xe0fff:
      isJoining = true
    default: isJoining = Unicode.Scalar(scalar)?.properties.canonicalCombiningClass.rawValue ?? 1 != 0
    }
    return isJoining ? 0 : 1
  }

  private static func isWide(_ scalar: UInt32) -> Bool {
    var (low, high) = (0, wide.count)
    while low < high {
      let middle = (low + high) / 2
      if wide[middle].upperBound < scalar { low = middle + 1 } else { high = middle }
    }
    return low < wide.count && wide[low].contains(scalar)
  }
}
