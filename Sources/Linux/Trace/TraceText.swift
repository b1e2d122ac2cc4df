// The text of a trace line: numbers and quoted strings as strace writes them. Pure formatting.

import LinuxABI

enum TraceText {
  /// Longest string that is printed in full (strace's default for -s).
  static let stringLimit = 32

  /// 0x… ; "NULL" for zero.
  static func address(_ value: UInt64) -> String { value == 0 ? "NULL" : "0x" + String(value, radix: 16) }

  /// C's %#x: "0" for zero.
  static func hex(_ value: UInt64) -> String { value == 0 ? "0" : "0x" + String(value, radix: 16) }

  /// C's %#03o: a file mode.
  static func octal(_ value: UInt64) -> String {
    let digits = "0" + (value == 0 ? "" : String(value, radix: 8))
    return String(repeating: "0", count: max(0, 3 - digits.utf8.count)) + digits
  }

  /// A C string literal of `bytes`, cut to `limit` with "..." behind it. `allHex` writes every byte as \xNN.
  static func quoted(_ bytes: [UInt8], limit: Int = stringLimit, more: Bool = false, allHex: Bool = false)
    -> String
  {
    var text = "\""
    let shown = bytes.prefix(limit)
    for (index, byte) in shown.enumerated() {
      if allHex {
        text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        continue
      }
      let next = index + 1 < shown.count ? shown[index + 1] : 0
      text += escaped(byte, digitFollows: next >= 48 && next <= 57)
    }
    return text + (bytes.count > limit || more ? "\"..." : "\"")
  }

  private static func escaped(_ byte: UInt8, digitFollows: Bool) -> String {
    switch byte {
    case 34: return "\\\""
    case 92: return "\\\\"
    case 9: return "\\t"
    case 10: return "\\n"
    case 11: return "\\v"
    case 12: return "\\f"
    case 13: return "\\r"
    case 32...126: return String(UnicodeScalar(byte))
    default:
      let digits = String(byte, radix: 8)
      if !digitFollows { return "\\" + digits }
      return "\\" + String(repeating: "0", count: 3 - digits.utf8.count) + digits
    }
  }

  /// A set of signals: [INT CHLD], or ~[…] when most are in it.
  static func signalSet(_ set: UInt64) -> String {
    let complement = set.nonzeroBitCount >= 64 * 2 / 3
    let shown = complement ? ~set : set
    var names: [String] = []
    for number in 1...64 where shown >> UInt64(number - 1) & 1 != 0 {
      names.append(shortSignalName(Int32(number)))
    }
    return (complement ? "~[" : "[") + names.joined(separator: " ") + "]"
  }

  private static func shortSignalName(_ signal: Int32) -> String {
    if signal == 32 { return "RTMIN" }
    if signal > 32 { return "RT_\(signal - 32)" }
    return String(Signal.name(signal).dropFirst(3))
  }

  /// A limit as strace shortens it: multiples of 1024, and infinity.
  static func limit(_ value: UInt64) -> String {
    if value == .max { return "RLIM64_INFINITY" }
    return value > 1024 && value % 1024 == 0 ? "\(value / 1024)*1024" : "\(value)"
  }

  /// A file type and permission bits: S_IFREG|0644.
  static func mode(_ value: UInt64) -> String {
    let type: String
    switch value & 0xf000 {
    case 0x1000: type = "S_IFIFO|"
    case 0x2000: type = "S_IFCHR|"
    case 0x4000: type = "S_IFDIR|"
    case 0x6000: type = "S_IFBLK|"
    case 0x8000: type = "S_IFREG|"
    case 0xa000: type = "S_IFLNK|"
    case 0xc000: type = "S_IFSOCK|"
    default: type = ""
    }
    var bits = ""
    if value & 0x800 != 0 { bits += "S_ISUID|" }
    if value & 0x400 != 0 { bits += "S_ISGID|" }
    if value & 0x200 != 0 { bits += "S_ISVTX|" }
    return type + bits + octal(value & 0x1ff)
  }

  /// Clock ticks, with seconds behind them when there are any: 150 /* 1.50 s */.
  static func ticks(_ value: UInt64) -> String {
    if value == 0 { return "0" }
    let hundredths = value % 100
    return "\(value) /* \(value / 100).\(hundredths < 10 ? "0" : "")\(hundredths) s */"
  }

  /// 2020-09-13T12:26:40.123456789+0000, in the Gregorian calendar and UTC; nil for times out of its reach.
  static func date(_ seconds: Int64, nanoseconds: Int64) -> String? {
    guard seconds.magnitude < 1 << 40, (0..<1_000_000_000).contains(nanoseconds) else { return nil }
    let day = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400
    let rest = seconds - day * 86400
    // Years that begin in March: the leap day is a year's last one. Eras have 400 years of 146,097 days in all.
    let shifted = day + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let ofEra = shifted - era * 146_097
    let year = (ofEra - ofEra / 1460 + ofEra / 36524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * year + year / 4 - year / 100)
    let monthFromMarch = (5 * ofYear + 2) / 153
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    let number = year + era * 400 + (month <= 2 ? 1 : 0)
    func padded(_ value: Int64, _ width: Int) -> String {
      let digits = String(value)
      return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
    let time = [rest / 3600, rest / 60 % 60, rest % 60].map { padded($0, 2) }.joined(separator: ":")
    let date =
      "\(padded(number, 4))-\(padded(month, 2))-\(padded(ofYear - (153 * monthFromMarch + 2) / 5 + 1, 2))"
    return date + "T" + time + (nanoseconds == 0 ? "" : "." + padded(nanoseconds, 9)) + "+0000"
  }

  /// makedev(0x88, 0) of a device number as stat(2) returns it.
  static func device(_ value: UInt64) -> String {
    let major = (value >> 8) & 0xfff | (value >> 32) & 0xffff_f000
    let minor = value & 0xff | (value >> 12) & 0xffff_ff00
    return "makedev(\(hex(major)), \(hex(minor)))"
  }
}
