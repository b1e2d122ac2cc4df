// The building blocks of `.debug_info` (DWARF 2 to 5, chapter 7): headers of units, abbreviations, values of attributes, and the ranges of
// addresses that an entry has. What a file holds is checked wherever it is used; every step consumes bytes, or is counted.

/// The sections that entries refer to.
struct InfoSections {
  /// `.debug_info`, `.debug_abbrev`, `.debug_str`, `.debug_line_str`, `.debug_str_offsets`
  var info: [UInt8] = []
  var abbreviations: [UInt8] = []
  var strings: [UInt8] = []
  var lineStrings: [UInt8] = []
  var stringOffsets: [UInt8] = []
  /// `.debug_addr`, `.debug_ranges` (up to DWARF 4), `.debug_rnglists`
  var addresses: [UInt8] = []
  var ranges: [UInt8] = []
  var rangeLists: [UInt8] = []
}

/// The value of an attribute, as far as anybody wants to know.
enum InfoValue {
  case number(UInt64)
  case address(UInt64)
  /// The number of an address in `.debug_addr`.
  case addressIndex(UInt64)
  /// The place of another entry in `.debug_info`.
  case reference(UInt64)
  /// A string at a place of `.debug_info`, `.debug_str`, `.debug_line_str`, or by its number in `.debug_str_offsets`.
  case text(Int)
  case string(UInt64)
  case lineString(UInt64)
  case stringIndex(UInt64)
  /// The number of a list in `.debug_rnglists`.
  case rangeIndex(UInt64)
  case other
}

/// The numbers of attributes (DW_AT_…) that are read.
enum InfoAttribute {
  static let name: UInt32 = 0x03
  static let lines: UInt32 = 0x10
  static let low: UInt32 = 0x11
  static let high: UInt32 = 0x12
  static let directory: UInt32 = 0x1b
  static let origin: UInt32 = 0x31
  static let specification: UInt32 = 0x47
  static let entry: UInt32 = 0x52
  static let ranges: UInt32 = 0x55
  static let callFile: UInt32 = 0x58
  static let callLine: UInt32 = 0x59
  static let linkageName: UInt32 = 0x6e
  static let stringOffsets: UInt32 = 0x72
  static let addresses: UInt32 = 0x73
  static let rangeLists: UInt32 = 0x74
  /// As compilers called it before DWARF 4 (MIPS).
  static let oldLinkageName: UInt32 = 0x2007
  /// Of skeletons: the file that has the unit itself. Before DWARF 5 these, their identity and their bases were GNU's.
  static let splitName: UInt32 = 0x76
  static let oldSplitName: UInt32 = 0x2130
  static let oldIdentity: UInt32 = 0x2131
  static let oldRanges: UInt32 = 0x2132
  static let oldAddresses: UInt32 = 0x2133
}

/// A unit of `.debug_info`: its header, and what its root says about the others.
struct InfoUnit {
  /// Where it begins, where its first entry is, and what comes behind it.
  let start: Int
  private(set) var firstEntry = 0
  private(set) var next = 0
  private(set) var version: UInt16 = 0
  private(set) var isWide = false
  private(set) var addressSize: UInt64 = 8
  /// Where its abbreviations begin in their section.
  private(set) var abbreviations: UInt64 = 0
  var lines: UInt64?
  /// The compilation's directory, a string.
  var directory: InfoValue?
  /// What ranges count from.
  var low: UInt64 = 0
  var stringOffsets: UInt64 = 0
  var addresses: UInt64 = 0
  var rangeLists: UInt64 = 0
  /// What a skeleton and the unit that it stands for have in common; the name of that one's file, a string; where its ranges begin in
  /// `.debug_ranges`.
  var identity: UInt64?
  var splitName: InfoValue?
  var splitRanges: UInt64 = 0
  /// Of a unit outside the program: where its skeleton is in the program's `.debug_info`.
  private(set) var skeleton: Int?

  /// The unit at `start`; `next` is known even of one that cannot be read, whose version is 0.
  init(_ section: [UInt8], at start: Int) throws(DwarfError) {
    self.start = start
    var cursor = DwarfCursor(section, base: 0, position: start)
    let length: UInt64
    (length, isWide) = try cursor.initialLength()
    var body = try cursor.block(length)
    next = cursor.position
    do throws(DwarfError) { try readHeader(&body) } catch { version = 0 }
  }

  private mutating func readHeader(_ body: inout DwarfCursor) throws(DwarfError) {
    let number = try body.read(UInt16.self)
    guard (2...5).contains(number) else { throw DwarfError() }
    if number == 5 {
      let kind = try body.byte()
      addressSize = UInt64(try body.byte())
      abbreviations = try body.offset(isWide: isWide)
      // Skeletons and split units have an identity, units of types a signature and a place.
      if kind == 4 || kind == 5 { identity = try body.read(UInt64.self) }
      if kind == 2 || kind == 6 { try body.skip(isWide ? 16 : 12) }
    } else {
      abbreviations = try body.offset(isWide: isWide)
      addressSize = UInt64(try body.byte())
    }
    guard addressSize == 8 || addressSize == 4 else { throw DwarfError() }
    (firstEntry, version) = (body.position, number)
  }

  /// Takes over what the skeleton says for both (DWARF 5 section 3.1.3), as far as functions need it.
  mutating func inherit(from other: InfoUnit) {
    (skeleton, low, addresses, splitRanges) = (other.start, other.low, other.addresses, other.splitRanges)
  }

  func address(_ cursor: inout DwarfCursor) throws(DwarfError) -> UInt64 {
    addressSize == 8 ? try cursor.read(UInt64.self) : UInt64(try cursor.read(UInt32.self))
  }

  /// The value of an attribute by its form (DWARF 5 section 7.5.6).
  func value(
    _ cursor: inout DwarfCursor, form: UInt32, constant: UInt64
  ) throws(DwarfError) -> InfoValue {
    var form = form
    // DW_FORM_indirect: the form is in front of the value.
    while form == 0x16 { form = UInt32(truncatingIfNeeded: try cursor.unsigned()) }
    switch form {
    case 0x01: return .address(try address(&cursor))
    case 0x0b: return .number(UInt64(try cursor.byte()))
    case 0x05: return .number(UInt64(try cursor.read(UInt16.self)))
    case 0x06: return .number(UInt64(try cursor.read(UInt32.self)))
    case 0x07: return .number(try cursor.read(UInt64.self))
    case 0x0f: return .number(try cursor.unsigned())
    case 0x0d: return .number(try cursor.signed())
    case 0x17: return .number(try cursor.offset(isWide: isWide))
    case 0x21: return .number(constant)
    case 0x11: return .reference(UInt64(start) &+ UInt64(try cursor.byte()))
    case 0x12: return .reference(UInt64(start) &+ UInt64(try cursor.read(UInt16.self)))
    case 0x13: return .reference(UInt64(start) &+ UInt64(try cursor.read(UInt32.self)))
    case 0x14: return .reference(UInt64(start) &+ (try cursor.read(UInt64.self)))
    case 0x15: return .reference(UInt64(start) &+ (try cursor.unsigned()))
    case 0x10:
      if version == 2 { return .reference(try address(&cursor)) }
      return .reference(try cursor.offset(isWide: isWide))
    case 0x08:
      let place = cursor.position
      try skipAttribute(&cursor, UInt64(form), isWide: isWide, addressSize: addressSize, version: version)
      return .text(place)
    case 0x0e: return .string(try cursor.offset(isWide: isWide))
    case 0x1f: return .lineString(try cursor.offset(isWide: isWide))
    case 0x1a, 0x1f02: return .stringIndex(try cursor.unsigned())
    case 0x25...0x28: return .stringIndex(try InfoUnit.number(&cursor, size: form &- 0x24))
    case 0x1b, 0x1f01: return .addressIndex(try cursor.unsigned())
    case 0x29...0x2c: return .addressIndex(try InfoUnit.number(&cursor, size: form &- 0x28))
    case 0x23: return .rangeIndex(try cursor.unsigned())
    default:
      try skipAttribute(&cursor, UInt64(form), isWide: isWide, addressSize: addressSize, version: version)
      return .other
    }
  }

  /// A number of one to four bytes.
  private static func number(_ cursor: inout DwarfCursor, size: UInt32) throws(DwarfError) -> UInt64 {
    var result: UInt64 = 0
    for place in 0..<size { result |= UInt64(try cursor.byte()) &<< UInt64(place &* 8) }
    return result
  }

  // MARK: What values mean

  /// An address; nil where the value is none.
  func address(_ value: InfoValue, _ sections: InfoSections) -> UInt64? {
    switch value {
    case .address(let address): return address
    case .addressIndex(let index):
      guard index < UInt64(sections.addresses.count), addresses <= UInt64(sections.addresses.count) else {
        return nil
      }
      var cursor = DwarfCursor(
        sections.addresses, base: 0, position: Int(addresses &+ index &* addressSize))
      return try? address(&cursor)
    default: return nil
    }
  }

  /// A string; empty where the value is none.
  func text(_ value: InfoValue, _ sections: InfoSections) -> [UInt8] {
    switch value {
    case .text(let place): return InfoUnit.text(sections.info, UInt64(place))
    case .string(let offset): return InfoUnit.text(sections.strings, offset)
    case .lineString(let offset): return InfoUnit.text(sections.lineStrings, offset)
    case .stringIndex(let index):
      let size: UInt64 = isWide ? 8 : 4
      guard index < UInt64(sections.stringOffsets.count),
        stringOffsets <= UInt64(sections.stringOffsets.count)
      else { return [] }
      var cursor = DwarfCursor(
        sections.stringOffsets, base: 0, position: Int(stringOffsets &+ index &* size))
      guard let offset = try? cursor.offset(isWide: isWide) else { return [] }
      return InfoUnit.text(sections.strings, offset)
    default: return []
    }
  }

  /// Longer names are cut off (bytes).
  private static let longestText = 1 << 16

  private static func text(_ section: [UInt8], _ offset: UInt64) -> [UInt8] {
    guard offset < UInt64(section.count) else { return [] }
    return Array(section[Int(offset)...].prefix(longestText).prefix { $0 != 0 })
  }

  /// Calls `body` with the ranges of a list, at most `most` of them; how many entries were read.
  func forEachRange(
    _ value: InfoValue, _ sections: InfoSections, most: Int, _ body: (UInt64, UInt64) -> Void
  ) -> Int {
    var count = 0
    do throws(DwarfError) {
      if version < 5 {
        guard case .number(let offset) = value else { return 0 }
        // Where a skeleton itself has ranges they count from the section's beginning.
        let place = skeleton == nil ? offset : splitRanges &+ offset
        guard place < UInt64(sections.ranges.count) else { return 0 }
        var cursor = DwarfCursor(sections.ranges, base: 0, position: Int(place))
        try oldRanges(&cursor, &count, most, body)
      } else {
        guard var cursor = try listPlace(value, sections) else { return 0 }
        try newRanges(&cursor, &count, most, sections, body)
      }
    } catch {}
    return count
  }

  /// Pairs of addresses up to two zeros; a first address of all ones makes the second one what the others count from.
  private func oldRanges(
    _ cursor: inout DwarfCursor, _ count: inout Int, _ most: Int, _ body: (UInt64, UInt64) -> Void
  ) throws(DwarfError) {
    let mark = addressSize == 8 ? UInt64.max : 0xffff_ffff
    var base = low
    while count < most {
      count &+= 1
      let (first, end) = (try address(&cursor), try address(&cursor))
      if first == 0, end == 0 { return }
      if first == mark {
        base = end
      } else {
        body(base &+ first, base &+ end)
      }
    }
  }

  private func listPlace(_ value: InfoValue, _ sections: InfoSections) throws(DwarfError) -> DwarfCursor? {
    let size = UInt64(sections.rangeLists.count)
    var place: UInt64
    switch value {
    case .number(let offset): place = offset
    case .rangeIndex(let index):
      guard index < size, rangeLists <= size else { return nil }
      var table = DwarfCursor(
        sections.rangeLists, base: 0, position: Int(rangeLists &+ index &* (isWide ? 8 : 4)))
      place = rangeLists &+ (try table.offset(isWide: isWide))
    default: return nil
    }
    return place < size ? DwarfCursor(sections.rangeLists, base: 0, position: Int(place)) : nil
  }

  /// DW_RLE_… (DWARF 5 section 7.25).
  private func newRanges(
    _ cursor: inout DwarfCursor, _ count: inout Int, _ most: Int, _ sections: InfoSections,
    _ body: (UInt64, UInt64) -> Void
  ) throws(DwarfError) {
    func indexed(_ cursor: inout DwarfCursor) throws(DwarfError) -> UInt64 {
      guard let address = address(.addressIndex(try cursor.unsigned()), sections) else { throw DwarfError() }
      return address
    }
    var base = low
    while count < most {
      count &+= 1
      switch try cursor.byte() {
      case 0: return
      case 1: base = try indexed(&cursor)
      case 2: body(try indexed(&cursor), try indexed(&cursor))
      case 3:
        let first = try indexed(&cursor)
        body(first, first &+ (try cursor.unsigned()))
      case 4: body(base &+ (try cursor.unsigned()), base &+ (try cursor.unsigned()))
      case 5: base = try address(&cursor)
      case 6: body(try address(&cursor), try address(&cursor))
      case 7:
        let first = try address(&cursor)
        body(first, first &+ (try cursor.unsigned()))
      default: throw DwarfError()
      }
    }
  }
}

// MARK: Abbreviations

/// What entries look like: their tags, and the names and forms of their attributes.
final class AbbreviationTable {
  struct Column {
    var name: UInt32
    var form: UInt32
    /// Of DW_FORM_implicit_const.
    var constant: UInt64
  }

  struct Abbreviation {
    var tag: UInt32
    var hasChildren: Bool
    var columns: Range<Int>
    /// What all attributes take (bytes); nil where that differs.
    var size: UInt64?
  }

  private var numbered: [Abbreviation] = []
  private var others: [UInt64: Abbreviation] = [:]
  private(set) var columns: [Column] = []
  private static let mostColumns = 256

  /// The abbreviations of a unit, up to the first that makes no sense, or to the one of `last`. What is read is taken off `left`.
  init(_ section: [UInt8], _ unit: InfoUnit, upTo last: UInt64 = 0, left: inout Int) {
    guard unit.abbreviations < UInt64(section.count) else { return }
    var cursor = DwarfCursor(section, base: 0, position: Int(unit.abbreviations))
    do throws(DwarfError) {
      while left > 0 {
        let code = try read(&cursor, unit, &left)
        if code == 0 || code == last { break }
      }
    } catch {}
  }

  /// The code of the next one; 0 at the end.
  private func read(
    _ cursor: inout DwarfCursor, _ unit: InfoUnit, _ left: inout Int
  ) throws(DwarfError) -> UInt64 {
    let code = try cursor.unsigned()
    if code == 0 { return 0 }
    let tag = UInt32(truncatingIfNeeded: try cursor.unsigned())
    let hasChildren = try cursor.byte() != 0
    let first = columns.count
    var size: UInt64? = 0
    while true {
      left -= 1
      let (name, form) = (try cursor.unsigned(), try cursor.unsigned())
      let constant = form == 0x21 ? try cursor.signed() : 0
      if name == 0, form == 0 { break }
      guard columns.count &- first < AbbreviationTable.mostColumns else { throw DwarfError() }
      columns.append(
        Column(
          name: UInt32(truncatingIfNeeded: name), form: UInt32(truncatingIfNeeded: form), constant: constant))
      if let known = size {
        size = AbbreviationTable.size(form, unit).map { known &+ $0 }
      }
    }
    let found = Abbreviation(
      tag: tag, hasChildren: hasChildren, columns: first..<columns.count, size: size)
    // Nearly always they are numbered from 1 on.
    if code == UInt64(numbered.count) &+ 1 {
      numbered.append(found)
    } else if code > UInt64(numbered.count) {
      others[code] = found
    }
    return code
  }

  /// What a form takes where that is always the same.
  private static func size(_ form: UInt64, _ unit: InfoUnit) -> UInt64? {
    let variable: [UInt64] = [
      0x03, 0x04, 0x08, 0x09, 0x0a, 0x0d, 0x0f, 0x15, 0x16, 0x18, 0x1a, 0x1b, 0x22, 0x23, 0x1f01, 0x1f02,
    ]
    if variable.contains(form) { return nil }
    var cursor = DwarfCursor(sizes, base: 0)
    do throws(DwarfError) {
      try skipAttribute(
        &cursor, form, isWide: unit.isWide, addressSize: unit.addressSize, version: unit.version)
    } catch { return nil }
    return UInt64(cursor.position)
  }

  private static let sizes = [UInt8](repeating: 0, count: 16)

  func find(_ code: UInt64) -> Abbreviation? {
    code &- 1 < UInt64(numbered.count) ? numbered[Int(code &- 1)] : others[code]
  }
}
