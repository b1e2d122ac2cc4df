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

  /// makedev(0x88, 0) of a device number as stat(2) returns it.
  static func device(_ value: UInt64) -> String {
    let major = (value >> 8) & 0xfff | (value >> 32) & 0xffff_f000
    let minor = value & 0xff | (value >> 12) & 0xffff_ff00
    return "makedev(\(hex(major)), \(hex(minor)))"
  }
}
