// The guest's terminal: sequences one by one, then garbage of every kind. Tests/Debugger/terminal.py compares it with tmux.
import Testing

@testable import TUI

@Suite struct EmulatorTests {
  @Test func placesCharacters() {
    var terminal = TestTerminal(10, 3)
    terminal.print("one\r\ntwo\u{1b}[1;6Hx\u{1b}[2Dy\u{8}z")
    #expect(terminal.lines == ["one zx", "two"])
  }

  @Test func wrapsAndScrolls() {
    var terminal = TestTerminal(4, 2)
    terminal.print("abcdefghij")
    #expect(terminal.lines == ["efgh", "ij"])
    #expect(terminal.screen.history.map { TerminalEmulator.text($0) } == ["abcd"])
    // The last column: nothing moves before the next character comes.
    terminal.print("\u{1b}[2;1Hwxyz")
    #expect(terminal.lines == ["efgh", "wxyz"])
    #expect(terminal.screen.x == 3)
    terminal.print("\r\n!")
    #expect(terminal.lines == ["wxyz", "!"])
  }

  @Test func scrollsInsideARange() {
    var terminal = TestTerminal(3, 5)
    terminal.print("1\r\n2\r\n3\r\n4\r\n5\u{1b}[2;4r\u{1b}[4;1H\n\u{1b}[1mx")
    #expect(terminal.screen.lines == ["1", "3", "4", "x", "5"])
    terminal.print("\u{1b}[2;1H\u{1b}M")
    #expect(terminal.screen.lines == ["1", "", "3", "4", "5"])
    terminal.print("\u{1b}[r\u{1b}[2;1H\u{1b}[2M")
    #expect(terminal.screen.lines == ["1", "4", "5", "", ""])
    terminal.print("\u{1b}[2;1H\u{1b}[L")
    #expect(terminal.screen.lines == ["1", "", "4", "5", ""])
  }

  @Test func insertsAndDeletesCharacters() {
    var terminal = TestTerminal(8, 1)
    terminal.print("abcdef\u{1b}[3G\u{1b}[2@XY")
    #expect(terminal.screen.lines[0] == "abXYcdef")
    terminal.print("\u{1b}[1G\u{1b}[3P")
    #expect(terminal.screen.lines[0] == "Ycdef")
    terminal.print("\u{1b}[2G\u{1b}[2X")
    #expect(terminal.screen.lines[0] == "Y  ef")
    terminal.print("\u{1b}[1G\u{1b}[4hzz\u{1b}[4l")
    #expect(terminal.screen.lines[0] == "zzY  ef")
    terminal.print("\u{1b}[3G\u{1b}[1K")
    #expect(terminal.screen.lines[0] == "     ef")
  }

  @Test func usesTheOtherScreen() {
    var terminal = TestTerminal(6, 2)
    terminal.print("main\u{1b}[?1049h\u{1b}[Hother")
    #expect(terminal.lines == ["other"])
    terminal.print("\u{1b}[?1049l!")
    #expect(terminal.lines == ["main!"])
  }

  @Test func colours() {
    var terminal = TestTerminal(8, 1)
    terminal.print("\u{1b}[1;31;48;5;200ma\u{1b}[0;38;2;1;2;3mb\u{1b}[mc\u{1b}[97;7md")
    let cells = terminal.screen.rows[0]
    #expect(cells[0].style == Style(foreground: .indexed(1), background: .indexed(200), attributes: .bold))
    #expect(cells[1].style == Style(foreground: .rgb(1, 2, 3)))
    #expect(cells[2].style == .plain)
    #expect(cells[3].style == Style(foreground: .indexed(15), attributes: .reverse))
  }

  @Test func wideAndJoiningCharacters() {
    var terminal = TestTerminal(5, 2)
    terminal.print("漢e\u{301}字x")
    #expect(terminal.lines == ["漢e字", "x"])
    // Writing over one half removes the other.
    terminal.print("\u{1b}[1;2H.")
    #expect(terminal.screen.lines[0] == " .e字")
  }

  @Test func answersQuestions() {
    var terminal = TestTerminal(10, 5)
    terminal.print("\u{1b}[3;4H\u{1b}[6n\u{1b}[5n\u{1b}[c")
    #expect(String(decoding: terminal.screen.answers, as: UTF8.self) == "\u{1b}[3;4R\u{1b}[0n\u{1b}[?62;22c")
  }

  @Test func lineDrawingAndTitle() {
    var terminal = TestTerminal(10, 1)
    terminal.print("\u{1b}(0lqk\u{1b}(Bq\u{1b}]0;the title\u{7}\u{1b}]2;another\u{1b}\\")
    #expect(terminal.lines == ["┌─┐q"])
    #expect(terminal.screen.title == "another")
  }

  @Test func resizes() {
    var terminal = TestTerminal(10, 4)
    terminal.print("1\r\n2\r\n3\r\n4")
    terminal.screen.resize(width: 3, height: 2)
    #expect(terminal.lines == ["3", "4"])
    terminal.screen.resize(width: 12, height: 6)
    #expect(terminal.lines == ["3", "4"])
    #expect(terminal.screen.y == 1)
  }

  @Test(arguments: 1...40) func survivesGarbage(_ seed: Int) {
    var numbers = SeededNumbers(UInt64(seed))
    var terminal = TestTerminal(1 + numbers.below(100), 1 + numbers.below(40))
    let pieces = [
      "\u{1b}[", "\u{1b}]", "\u{1b}P", ";", "?", "99999999999", "漢", "\u{301}", "\u{1b}[?1049h",
      "\u{1b}[?1049l", "\u{1b}#8", "\u{1b}[5b",
    ]
    for _ in 0..<400 {
      switch numbers.below(10) {
      case 0: terminal.screen.resize(width: numbers.below(120), height: numbers.below(50))
      case 1...3: terminal.print(pieces[numbers.below(pieces.count)])
      case 4...6:
        let letter = Character(Unicode.Scalar(UInt8(64 + numbers.below(63))))
        terminal.print("\u{1b}[\(numbers.below(200));\(numbers.below(200))\(letter)")
      default: terminal.take((0..<numbers.below(60)).map { _ in UInt8(truncatingIfNeeded: numbers.next()) })
      }
      #expect(terminal.screen.rows.count == terminal.screen.height)
      #expect(terminal.screen.rows.allSatisfy { $0.count == terminal.screen.width })
      #expect(terminal.screen.x >= 0 && terminal.screen.x < terminal.screen.width)
      #expect(terminal.screen.y >= 0 && terminal.screen.y < terminal.screen.height)
      #expect(terminal.screen.answers.count <= 4096 && terminal.screen.history.count <= 2000)
    }
  }
}
