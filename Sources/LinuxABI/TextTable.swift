// Look-up in small tables kept as text, one entry a line, "number rest". Only traces and reports read them, so a scan
// is fast enough, and the compiler sees one string instead of hundreds of literals.

enum TextTable {
  /// The text after the number of the line that begins with `key`; numbers may be decimal or 0x-hexadecimal.
  static func line(of table: StaticString, key: Int64) -> [UInt8]? {
    for (number, text) in entries(of: table) where number == key { return text }
    return nil
  }

  /// All entries in order.
  static func entries(of table: StaticString) -> [(number: Int64, text: [UInt8])] {
    var result: [(number: Int64, text: [UInt8])] = []
    // SAFETY: the pointer is to the literal's bytes, which live as long as the program.
    let bytes = UnsafeBufferPointer(start: table.utf8Start, count: table.utf8CodeUnitCount)
    var position = 0
    while position < bytes.count {
      var end = position
      while end < bytes.count, bytes[end] != 10 { end += 1 }
      if let entry = parse(bytes[position..<end]) { result.append(entry) }
      position = end + 1
    }
    return result
  }

  private static func parse(_ line: Slice<UnsafeBufferPointer<UInt8>>) -> (number: Int64, text: [UInt8])? {
    var index = line.startIndex
    while index < line.endIndex, line[index] == 32 { index += 1 }
    var negative = false
    if index < line.endIndex, line[index] == 45 {
      negative = true
      index += 1
    }
    var base: UInt64 = 10
    if index + 1 < line.endIndex, line[index] == 48, line[index + 1] | 32 == 120 {
      base = 16
      index += 2
    }
    var number: UInt64 = 0
    while index < line.endIndex, line[index] != 32 {
      guard let digit = digit(line[index]), digit < base else { return nil }
      number = number &* base &+ digit
      index += 1
    }
    guard index < line.endIndex else { return nil }
    let value = Int64(bitPattern: number)
    return (negative ? 0 &- value : value, Array(line[(index + 1)...]))
  }

  private static func digit(_ character: UInt8) -> UInt64? {
    switch character {
    case 48...57: return UInt64(character) - 48
    case 97...102: return UInt64(character) - 87
    case 65...70: return UInt64(character) - 55
    default: return nil
    }
  }
}
