// From cells to bytes: what the writer sends makes a terminal show the buffer, with as few bytes as the change is worth. The terminal is
// our own emulator, which Tests/Debugger/terminal.py compares with tmux.
import Testing

@testable import TUI

@Suite struct ScreenTests {
  private static let scalars: [UInt32] = [32, 32, 65, 97, 48, 0x2502, 0xe9, 0x6f22, 0x1f600]

  private func scribble(_ buffer: CellBuffer, _ numbers: inout SeededNumbers, _ count: Int) {
    for _ in 0..<count {
      let style = Style(
        foreground: numbers.below(2) == 0
          ? .standard : .rgb(UInt8(numbers.below(256)), 128, UInt8(numbers.below(256))),
        background: numbers.below(3) == 0 ? .indexed(UInt8(numbers.below(256))) : .standard,
        attributes: Attributes(rawValue: UInt8(numbers.below(256))))
      let scalar = Unicode.Scalar(ScreenTests.scalars[numbers.below(ScreenTests.scalars.count)]) ?? "?"
      buffer.window.put(
        String(Character(scalar)), x: numbers.below(buffer.width), y: numbers.below(buffer.height), style)
    }
  }

  @Test(arguments: 1...30) func framesArriveWhole(_ seed: Int) {
    var numbers = SeededNumbers(UInt64(seed))
    let (width, height) = (2 + numbers.below(90), 2 + numbers.below(30))
    let buffer = CellBuffer(width: width, height: height)
    var writer = ScreenWriter(depth: .full)
    var terminal = TestTerminal(width, height)
    for round in 0..<12 {
      if round == 6 { buffer.clear() }
      scribble(buffer, &numbers, numbers.below(200))
      buffer.cursor = numbers.below(2) == 0 ? nil : (numbers.below(width), numbers.below(height))
      terminal.take(writer.frame(buffer))
      // Everything is as it was drawn.
      let wrong = zip(terminal.screen.rows.joined(), buffer.cells).enumerated().first {
        $0.element.0 != $0.element.1
      }
      #expect(wrong == nil, "round \(round), width \(width)")
      #expect(terminal.screen.modes.isCursorVisible == (buffer.cursor != nil))
      if let cursor = buffer.cursor {
        #expect(terminal.screen.x == cursor.x && terminal.screen.y == cursor.y)
      }
      #expect(writer.frame(buffer).isEmpty)
    }
  }

  @Test func smallChangesAreSmall() {
    let buffer = CellBuffer(width: 300, height: 80)
    var writer = ScreenWriter(depth: .full)
    _ = writer.frame(buffer)
    buffer.window.put("x", x: 200, y: 40)
    let bytes = writer.frame(buffer)
    #expect(bytes.count < 60)
    #expect(String(decoding: bytes, as: UTF8.self).contains("\u{1b}[41;201H"))
  }

  @Test func coloursDegrade() {
    func sent(_ depth: ColourDepth) -> String {
      let buffer = CellBuffer(width: 4, height: 2)
      buffer.window.put("x", x: 0, y: 0, Style(foreground: .hex(0xff0000), background: .hex(0x0000d7)))
      var writer = ScreenWriter(depth: depth)
      return String(decoding: writer.frame(buffer), as: UTF8.self)
    }
    #expect(sent(.full).contains("38;2;255;0;0;48;2;0;0;215m"))
    #expect(sent(.indexed).contains("38;5;196;48;5;20m"))
    #expect(sent(.basic).contains("\u{1b}[0;31;44mx") || sent(.basic).contains("\u{1b}[0;91;44mx"))
    #expect(!sent(.none).contains("38") && !sent(.none).contains("31"))
  }

  @Test func depthByEnvironment() {
    #expect(ColourDepth(colourTerm: "truecolor", term: "xterm", noColour: nil) == .full)
    #expect(ColourDepth(colourTerm: nil, term: "xterm-256color", noColour: nil) == .indexed)
    #expect(ColourDepth(colourTerm: nil, term: "xterm", noColour: "") == .basic)
    #expect(ColourDepth(colourTerm: "truecolor", term: "xterm", noColour: "1") == .none)
    #expect(ColourDepth(colourTerm: nil, term: "dumb", noColour: nil) == .none)
  }

  @Test func layoutsFit() {
    for width in stride(from: 2, through: 320, by: 7) {
      for height in stride(from: 2, through: 100, by: 5) {
        for hidden in [nil, PanelKind.code, .registers, .terminal] {
          var layout = Layout()
          if let hidden { layout.wishes = [hidden: false, .maps: true] }
          var taken = Set<Int>()
          for place in layout.placements(width: width, height: height) {
            #expect(
              place.x >= 0 && place.y >= 0 && place.x + place.width <= max(width, 5)
                && place.y + place.height <= height)
            for y in place.y..<(place.y + place.height) {
              for x in place.x..<(place.x + place.width) { #expect(taken.insert(y * 1000 + x).inserted) }
            }
          }
        }
      }
    }
  }

  @Test func pictures() {
    let buffer = CellBuffer(width: 10, height: 2)
    buffer.window.put("a<b&c", x: 1, y: 1, Style(foreground: .hex(0x112233), attributes: .bold))
    let svg = Picture.svg(buffer, title: "\"t\"")
    #expect(svg.contains("a&lt;b&amp;c</text>") && svg.contains("#112233") && svg.hasSuffix("</svg>\n"))
  }
}
