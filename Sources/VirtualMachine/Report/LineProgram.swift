// The programs of `.debug_line` (DWARF 2 to 5, section 6.2): one unit's header, its names of directories and files, and the state machine
// that makes rows of it. Nothing that a file holds can make it trap or run on: each step consumes bytes of the section.
import Linux

/// Which instructions belong to which line: what holds from an address up to the next row's.
struct LineRow {
  var address: UInt64
  var line: UInt32
  /// Bit 0: a recommended place for breakpoints; bit 1: the first address behind a sequence; bit 2: goes on with the line of the row
  /// before; above: the file's number.
  var bits: UInt32

  var isStatement: Bool { bits & 1 != 0 }
  var isEnd: Bool { bits & 2 != 0 }
  /// Another part of the same line, by its discriminator (DWARF 5 section 6.2.2): as gdb sees it, no new beginning.
  var goesOn: Bool { bits & 4 != 0 }
  var file: Int { Int(bits >> 3) }
}

/// The sections that line tables refer to.
struct LineSections {
  /// `.debug_line`
  var lines: [UInt8] = []
  /// `.debug_line_str`
  var lineStrings: [UInt8] = []
  /// `.debug_str`
  var strings: [UInt8] = []
  private static let longestPath = 4096

  /// The string at an offset of a section of strings; empty where it is too long for a path.
  static func path(_ strings: [UInt8], _ offset: UInt64) -> [UInt8] {
    guard offset < UInt64(strings.count) else { return [] }
    let path = strings[Int(offset)...].prefix(longestPath).prefix { $0 != 0 }
    return path.count == longestPath ? [] : Array(path)
  }
}

/// What the header of a unit's table says.
struct LineHeader {
  private(set) var version: UInt16 = 0
  /// Lengths and offsets have 64 bits.
  private(set) var isWide = false
  /// Where the unit, what comes behind it, its names and its program begin.
  let start: Int
  private(set) var next = 0
  private(set) var names = 0
  private(set) var program = 0
  private(set) var minimumLength: UInt64 = 1
  private(set) var isStatement = true
  private(set) var lineBase: Int64 = 0
  private(set) var lineRange: UInt64 = 1
  /// Operands of standard opcodes, from opcode 1 on.
  private(set) var operandCounts: [UInt8] = []

  /// The unit at `start`; `next` is known even of one whose version is not.
  init(_ section: [UInt8], at start: Int) throws(DwarfError) {
    self.start = start
    var cursor = DwarfCursor(section, base: 0, position: start)
    let length: UInt64
    (length, isWide) = try cursor.initialLength()
    // A unit that is longer than the section is cut off.
    let left = UInt64(truncatingIfNeeded: cursor.end &- cursor.position)
    var body = try cursor.block(min(length, left))
    next = cursor.position
    do {
      version = try body.read(UInt16.self)
      guard (2...5).contains(version) else { throw DwarfError() }
      // Sizes of addresses and of segment selectors.
      if version == 5 { try body.skip(2) }
      let headerLength = try body.offset(isWide: isWide)
      var rest = body
      try rest.skip(headerLength)
      program = rest.position
      minimumLength = UInt64(try body.byte())
      // Operations of a VLIW instruction; x86 has none.
      if version >= 4 { _ = try body.byte() }
      isStatement = try body.byte() != 0
      lineBase = Int64(Int8(bitPattern: try body.byte()))
      lineRange = UInt64(try body.byte())
      let opcodeBase = try body.byte()
      for _ in 1..<max(opcodeBase, 1) { operandCounts.append(try body.byte()) }
      names = body.position
    } catch { version = 0 }
  }

  /// There is nothing but a length of zero.
  var isEmpty: Bool { next &- start <= 4 }

  /// It can be read.
  var isKnown: Bool { version != 0 && lineRange != 0 }
}

// MARK: Names

/// The files of a unit, as paths.
struct LineFiles {
  private(set) var directories: [[UInt8]] = []
  private(set) var files: [(name: [UInt8], directory: Int)] = []
  private let version: UInt16
  private static let most = 1 << 16

  init(_ header: LineHeader, _ sections: LineSections) {
    version = header.version
    var cursor = DwarfCursor(sections.lines, base: 0, position: header.names, end: header.program)
    // What can be read of damaged names counts.
    do throws(DwarfError) {
      if version >= 5 {
        try readTables(&cursor, header, sections)
      } else {
        try readLists(&cursor)
      }
    } catch {}
  }

  /// Up to DWARF 4: strings up to an empty one. Directory 0 is the compilation's.
  private mutating func readLists(_ cursor: inout DwarfCursor) throws(DwarfError) {
    directories = [[]]
    while true {
      let name = try cursor.cString()
      if name.isEmpty { break }
      directories.append(name)
    }
    files = [([], 0)]
    while true {
      let name = try cursor.cString()
      if name.isEmpty { break }
      try addFile(name, &cursor)
    }
  }

  /// A file by its name, and the numbers behind that: directory, time, size.
  mutating func addFile(_ name: [UInt8], _ cursor: inout DwarfCursor) throws(DwarfError) {
    let directory = try cursor.unsigned()
    _ = try cursor.unsigned()
    _ = try cursor.unsigned()
    guard files.count < LineFiles.most else { throw DwarfError() }
    files.append((name, Int(truncatingIfNeeded: min(directory, 1 << 32))))
  }

  /// From DWARF 5 on: tables that say what their columns are.
  private mutating func readTables(
    _ cursor: inout DwarfCursor, _ header: LineHeader, _ sections: LineSections
  ) throws(DwarfError) {
    for isFiles in [false, true] {
      var columns: [(content: UInt64, form: UInt64)] = []
      for _ in 0..<(try cursor.byte()) { columns.append((try cursor.unsigned(), try cursor.unsigned())) }
      let count = try cursor.unsigned()
      guard count <= UInt64(LineFiles.most) else { throw DwarfError() }
      for _ in 0..<count {
        let start = cursor.position
        var (name, directory): ([UInt8], UInt64) = ([], 0)
        for (content, form) in columns {
          var value = try LineFiles.value(&cursor, form, header.isWide)
          switch content {
          case 1: name = try LineFiles.string(value, sections)  // DW_LNCT_path
          case 2:  // DW_LNCT_directory_index
            if case .number(let number) = value { directory = number }
          default: value = .other  // time, size, MD5, what vendors add
          }
        }
        // Entries without bytes would never end.
        guard cursor.position > start else { throw DwarfError() }
        if isFiles {
          files.append((name, Int(truncatingIfNeeded: min(directory, 1 << 32))))
        } else {
          directories.append(name)
        }
      }
    }
  }

  private enum Value {
    case text([UInt8]), number(UInt64), lineString(UInt64), string(UInt64), other
  }

  private static func string(_ value: Value, _ sections: LineSections) throws(DwarfError) -> [UInt8] {
    switch value {
    case .text(let text): return text
    case .lineString(let offset):
      return LineSections.path(sections.lineStrings, offset)
    case .string(let offset): return LineSections.path(sections.strings, offset)
    case .number, .other: return []
    }
  }

  /// The value of an attribute by its form (DWARF 5 section 7.5.6).
  private static func value(
    _ cursor: inout DwarfCursor, _ form: UInt64, _ isWide: Bool
  ) throws(DwarfError) -> Value {
    switch form {
    case 0x08: return .text(try cursor.cString())  // DW_FORM_string
    case 0x1f: return .lineString(try cursor.offset(isWide: isWide))  // DW_FORM_line_strp
    case 0x0e: return .string(try cursor.offset(isWide: isWide))  // DW_FORM_strp
    case 0x0b: return .number(UInt64(try cursor.byte()))
    case 0x05: return .number(UInt64(try cursor.read(UInt16.self)))
    case 0x06: return .number(UInt64(try cursor.read(UInt32.self)))
    case 0x07: return .number(try cursor.read(UInt64.self))
    case 0x0f: return .number(try cursor.unsigned())
    case 0x0d: return .number(try cursor.signed())
    default:
      try skipAttribute(&cursor, form, isWide: isWide, addressSize: 8, version: 5)
      return .other
    }
  }

  /// The path of a file by its number; the compilation's directory stands in front of relative ones.
  func path(_ number: Int, compilation: [UInt8]) -> [UInt8] {
    guard files.indices.contains(number) else { return [] }
    let (name, index) = files[number]
    if name.isEmpty || name.first == 47 { return name }
    let directory = directories.indices.contains(index) ? directories[index] : []
    if directory.first == 47 { return LineFiles.join(directory, name) }
    let first = version >= 5 ? directories.first ?? [] : compilation
    let inside = directory.isEmpty || index == 0 ? name : LineFiles.join(directory, name)
    return first.isEmpty ? inside : LineFiles.join(first, inside)
  }

  /// A path of a folder and what is in it, without `.` and `folder/..`.
  static func join(_ folder: [UInt8], _ name: [UInt8]) -> [UInt8] {
    var parts: [ArraySlice<UInt8>] = []
    for part in (folder + [47] + name).split(separator: 47) {
      if part == [46] { continue }
      if part == [46, 46], let last = parts.last, last != [46, 46] {
        parts.removeLast()
      } else {
        parts.append(part)
      }
    }
    return (folder.first == 47 ? [47] : []) + Array(parts.joined(separator: [47]))
  }
}

/// Skips an attribute whose value nobody wants (DWARF 5 section 7.5.6), GNU's forms included.
func skipAttribute(
  _ cursor: inout DwarfCursor, _ form: UInt64, isWide: Bool, addressSize: UInt64, version: UInt16
) throws(DwarfError) {
  switch form {
  case 0x01: try cursor.skip(addressSize)
  case 0x0b, 0x0c, 0x11, 0x25, 0x29: try cursor.skip(1)
  case 0x05, 0x12, 0x26, 0x2a: try cursor.skip(2)
  case 0x27, 0x2b: try cursor.skip(3)
  case 0x06, 0x13, 0x1c, 0x28, 0x2c: try cursor.skip(4)
  case 0x07, 0x14, 0x20, 0x24: try cursor.skip(8)
  case 0x1e: try cursor.skip(16)
  case 0x08: _ = try cursor.cString()
  case 0x0d, 0x0f, 0x15, 0x1a, 0x1b, 0x22, 0x23, 0x1f01, 0x1f02: _ = try cursor.unsigned()
  case 0x0e, 0x17, 0x1d, 0x1f, 0x1f20, 0x1f21: try cursor.skip(isWide ? 8 : 4)
  // DW_FORM_ref_addr had the size of an address.
  case 0x10: try cursor.skip(version == 2 ? addressSize : isWide ? 8 : 4)
  case 0x09, 0x18: try cursor.skip(try cursor.unsigned())
  case 0x0a: try cursor.skip(UInt64(try cursor.byte()))
  case 0x03: try cursor.skip(UInt64(try cursor.read(UInt16.self)))
  case 0x04: try cursor.skip(UInt64(try cursor.read(UInt32.self)))
  case 0x19, 0x21: break
  default: throw DwarfError()
  }
}

// MARK: Rows

/// Runs the program of a unit.
struct LineProgram {
  private let header: LineHeader
  private var cursor: DwarfCursor
  private var row = LineRow(address: 0, line: 1, bits: 0)
  private var file: UInt32 = 1
  private var isStatement: Bool
  /// The row before, in its sequence.
  private var last: (line: UInt32, file: UInt32)?
  /// The discriminator, and whether the present line has had one.
  private var discriminator: UInt64 = 0
  private var hasDiscriminator = false
  /// Files that the program itself defines: positions of their names.
  private(set) var definitions: [Int] = []
  private static let mostDefinitions = 1 << 16

  init(_ header: LineHeader, _ section: [UInt8]) {
    self.header = header
    cursor = DwarfCursor(section, base: 0, position: header.program, end: header.next)
    isStatement = header.isStatement
  }

  private mutating func reset() {
    row = LineRow(address: 0, line: 1, bits: 0)
    (file, isStatement) = (1, header.isStatement)
    (last, discriminator, hasDiscriminator) = (nil, 0, false)
  }

  private mutating func finished(isEnd: Bool) -> LineRow {
    let goesOn = hasDiscriminator && last?.line == row.line && last?.file == file
    row.bits = file << 3 | (goesOn && !isEnd ? 4 : 0) | (isEnd ? 2 : 0) | (isStatement ? 1 : 0)
    last = (row.line, file)
    discriminator = 0
    return row
  }

  /// The next row; nil at the end.
  mutating func next() throws(DwarfError) -> LineRow? {
    let base = UInt8(truncatingIfNeeded: header.operandCounts.count &+ 1)
    while !cursor.isAtEnd {
      let opcode = try cursor.byte()
      if opcode >= base {
        let adjusted = UInt64(opcode &- base)
        row.address &+= adjusted / header.lineRange &* header.minimumLength
        advance(header.lineBase &+ Int64(adjusted % header.lineRange))
        return finished(isEnd: false)
      }
      switch opcode {
      case 0: if let row = try extended() { return row }
      case 1: return finished(isEnd: false)
      case 2: row.address &+= try cursor.unsigned() &* header.minimumLength
      case 3: advance(Int64(bitPattern: try cursor.signed()))
      case 4: file = UInt32(truncatingIfNeeded: min(try cursor.unsigned(), 0x1fff_ffff))
      case 6: isStatement.toggle()
      case 7, 10, 11: break
      case 8: row.address &+= UInt64(255 &- base) / header.lineRange &* header.minimumLength
      case 9: row.address &+= UInt64(try cursor.read(UInt16.self))
      default:
        for _ in 0..<header.operandCounts[Int(opcode) &- 1] { _ = try cursor.unsigned() }
      }
    }
    return nil
  }

  private mutating func advance(_ lines: Int64) {
    row.line = UInt32(truncatingIfNeeded: Int64(row.line) &+ lines)
    if lines != 0 { hasDiscriminator = discriminator != 0 }
  }

  private mutating func extended() throws(DwarfError) -> LineRow? {
    var body = try cursor.block(try cursor.unsigned())
    if body.isAtEnd { return nil }
    switch try body.byte() {
    case 1:
      let result = finished(isEnd: true)
      reset()
      return result
    case 2:
      switch body.end &- body.position {
      case 8: row.address = try body.read(UInt64.self)
      case 4: row.address = UInt64(try body.read(UInt32.self))
      default: throw DwarfError()
      }
    case 3: if definitions.count < LineProgram.mostDefinitions { definitions.append(body.position) }
    case 4:
      discriminator = try body.unsigned()
      if discriminator != 0 { hasDiscriminator = true }
    default: break
    }
    return nil
  }
}
