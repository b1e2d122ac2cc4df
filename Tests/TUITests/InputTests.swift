// Keys and mouse in the bytes of a terminal.
import Testing

@testable import TUI

@Suite struct InputTests {
  private func events(_ text: String) -> [InputEvent] {
    var parser = InputParser()
    return parser.take(Array(text.utf8)) + parser.flush()
  }

  @Test func keys() {
    #expect(
      events("a\u{1b}[A\u{1b}OB\u{1b}[5~\u{1b}[Z\r\t\u{7f}") == [
        .key(.character("a")), .key(.up), .key(.down), .key(.pageUp), .key(.backTab), .key(.enter),
        .key(.tab), .key(.backspace),
      ])
    #expect(
      events("\u{1b}OP\u{1b}[15~\u{1b}[24~\u{1b}[[C") == [
        .key(.function(1)), .key(.function(5)), .key(.function(12)), .key(.function(3)),
      ])
    #expect(
      events("\u{3}\u{1d}é漢") == [
        .key(.control("c")), .key(.control("]")), .key(.character("é")), .key(.character("漢")),
      ])
    #expect(events("\u{1b}x\u{1b}[1;3A") == [.key(.character("x"), alt: true), .key(.up, alt: true)])
    #expect(events("\u{1b}") == [.key(.escape)])
  }

  @Test func mouse() {
    #expect(
      events("\u{1b}[<0;10;5M\u{1b}[<0;10;5m\u{1b}[<64;1;1M\u{1b}[<65;300;80M\u{1b}[<32;2;3M") == [
        .mouse(MouseEvent(kind: .press(0), x: 9, y: 4)), .mouse(MouseEvent(kind: .release, x: 9, y: 4)),
        .mouse(MouseEvent(kind: .wheelUp, x: 0, y: 0)), .mouse(MouseEvent(kind: .wheelDown, x: 299, y: 79)),
        .mouse(MouseEvent(kind: .drag, x: 1, y: 2)),
      ])
    #expect(events("\u{1b}[<0;0;5M\u{1b}[<M") == [])
  }

  /// Wherever the bytes are cut, the same events come.
  @Test func piecesInAnySize() {
    let bytes = Array("s\u{1b}[A漢\u{1b}[<0;10;5M\u{1b}OPq\u{1b}[6~é".utf8)
    var whole = InputParser()
    let expected = whole.take(bytes)
    #expect(expected.count == 8)
    for cut in 1..<bytes.count {
      var parser = InputParser()
      #expect(parser.take(bytes[..<cut]) + parser.take(bytes[cut...]) == expected)
    }
  }

  @Test(arguments: 1...30) func survivesGarbage(_ seed: Int) {
    var numbers = SeededNumbers(UInt64(seed))
    var parser = InputParser()
    for _ in 0..<500 {
      _ = parser.take(
        (0..<numbers.below(20)).map { _ in
          numbers.below(3) == 0 ? 27 : UInt8(truncatingIfNeeded: numbers.next())
        })
      if numbers.below(4) == 0 {
        _ = parser.flush()
        #expect(!parser.isIncomplete)
      }
    }
    // Nothing of it stays in the way.
    _ = parser.take([24])
    _ = parser.flush()
    #expect(parser.take(Array("x".utf8)) == [.key(.character("x"))])
  }

  /// What a key is for the guest is that key again.
  @Test func bytesForTheGuest() {
    let keys: [Key] = [
      .up, .down, .left, .right, .home, .end, .pageUp, .pageDown, .insert, .delete, .enter, .tab, .backTab,
      .backspace, .function(1),
      .function(5), .function(12), .control("c"), .control("]"), .character("x"), .character("漢"),
    ]
    for key in keys {
      for isApplication in [false, true] {
        var parser = InputParser()
        let bytes = InputParser.bytes(for: key, alt: false, applicationCursor: isApplication)
        #expect(parser.take(bytes) + parser.flush() == [.key(key)])
      }
    }
  }
}
