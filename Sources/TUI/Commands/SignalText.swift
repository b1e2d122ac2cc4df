// Signals by name and number, as people type them.

import LinuxABI

enum SignalText {
  static func name(_ signal: Int32) -> String { Signal.name(signal) }

  /// `SIGINT`, `INT`, `2`; nil when it is none.
  static func number(_ text: some StringProtocol) -> Int32? {
    if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
    let wanted = text.uppercased()
    return (Int32(1)...64).first { Signal.name($0) == wanted || Signal.name($0) == "SIG" + wanted }
  }
}
