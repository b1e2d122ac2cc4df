// gdb has signal numbers of its own, the same on all systems (include/gdb/signals.def in its sources lists them); this maps the ones
// of x86-64 Linux.

import LinuxABI

enum GDBSignals {
  /// gdb's numbers of the Linux signals 1…31.
  private static let numbers: [Int32] = [
    1, 2, 3, 4, 5, 6, 10, 8, 9, 30, 11, 31, 13, 14, 15, 143, 20, 19, 17, 18, 21, 22, 16, 24, 25, 26, 27, 28,
    23, 32, 12,
  ]
  private static let unknown: Int32 = 143

  /// gdb's number of a Linux signal.
  static func number(of signal: Int32) -> Int32 {
    switch signal {
    case 0: 0
    case 1...31: numbers[Int(signal) - 1]
    case 32: 77
    // SIGRTMIN+1 …: gdb counts 33…63 from 45 on, and 64 apart.
    case 33...63: signal + 12
    case 64: 78
    default: unknown
    }
  }

  /// The Linux signal of gdb's number; nil when there is none.
  static func signal(of number: Int32) -> Int32? {
    if number == 0 { return 0 }
    return (Int32(1)...64).first { self.number(of: $0) == number && number != unknown }
  }
}
