// What several tests of the terminal debugger need: random numbers that are the same every time, and a terminal that bytes go to.

@testable import TUI

/// Numbers from a seed (SplitMix64).
struct SeededNumbers {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value &>> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value &>> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value &>> 31
  }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }
}

/// An emulator with its parser.
struct TestTerminal {
  var screen: TerminalEmulator
  private var parser = EscapeParser()

  init(_ width: Int, _ height: Int) { screen = TerminalEmulator(width: width, height: height) }

  mutating func print(_ text: String) { take(Array(text.utf8)) }
  mutating func take(_ bytes: [UInt8]) { parser.take(bytes, &screen) }

  /// Rows without those at the end that are empty.
  var lines: [String] {
    var lines = screen.lines
    while lines.last == "" { lines.removeLast() }
    return lines
  }
}
