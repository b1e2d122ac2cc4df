// Packages of units that have been left outside a program (`.dwp`; DWARF 5 section 7.3.5, and version 2 of GNU's DebugFission): the sections of
// many `.dwo` files one behind the other, and an index that says which parts of each belong to a unit. Packages may be large: only the
// parts of a unit are read, besides the index and the strings, which all have in common.
import Linux

/// The index of a package: a hash table by identity (`.debug_cu_index`).
struct SplitIndex {
  /// The sections (DW_SECT_…) that functions need. What is 8 in version 2 has nothing to do with ranges.
  enum Section: UInt32 {
    case info = 1
    case abbreviations = 3
    case stringOffsets = 6
    case rangeLists = 8
  }

  /// More columns than there are kinds of sections.
  private static let mostColumns: UInt32 = 64
  /// Slots of the table that are looked at for one unit; it is full to two thirds at most.
  private static let mostProbes = 1 << 12
  private static let headerSize = 16

  private let bytes: [UInt8]
  private let version: UInt16
  private let columnCount: Int
  private let unitCount: Int
  private let slotCount: Int

  /// Nil for an index of another version, or one that is none.
  init?(_ bytes: [UInt8]) {
    // The version is a number of 32 bits in version 2, of 16 bits and padding in version 5.
    guard let version = bytes.littleEndian(UInt16.self, at: 0), version == 2 || version == 5,
      let columns = bytes.littleEndian(UInt32.self, at: 4), columns <= SplitIndex.mostColumns,
      let units = bytes.littleEndian(UInt32.self, at: 8), let slots = bytes.littleEndian(UInt32.self, at: 12),
      slots > 0, slots & (slots &- 1) == 0
    else { return nil }
    (self.bytes, self.version) = (bytes, version)
    (columnCount, unitCount, slotCount) = (Int(columns), Int(units), Int(slots))
  }

  /// Which parts of the sections belong to a unit; nil where there is no such unit.
  func parts(of identity: UInt64) -> [Section: (offset: UInt64, size: UInt64)]? {
    guard let row = row(of: identity), row >= 1, row <= unitCount else { return nil }
    var result: [Section: (offset: UInt64, size: UInt64)] = [:]
    let names = SplitIndex.headerSize &+ 12 &* slotCount
    let offsets = names &+ 4 &* columnCount
    let sizes = offsets &+ 4 &* columnCount &* unitCount
    for column in 0..<columnCount {
      let place = 4 &* ((row &- 1) &* columnCount &+ column)
      guard let name = bytes.littleEndian(UInt32.self, at: names &+ 4 &* column),
        let offset = bytes.littleEndian(UInt32.self, at: offsets &+ place),
        let size = bytes.littleEndian(UInt32.self, at: sizes &+ place)
      else { return nil }
      guard let section = Section(rawValue: name), section != .rangeLists || version == 5 else { continue }
      result[section] = (UInt64(offset), UInt64(size))
    }
    return result
  }

  /// The row of a unit, from 1 on, by double hashing.
  private func row(of identity: UInt64) -> Int? {
    let mask = UInt64(slotCount &- 1)
    var slot = identity & mask
    let step = identity >> 32 & mask | 1
    for _ in 0..<min(slotCount, SplitIndex.mostProbes) {
      let place = SplitIndex.headerSize &+ 8 &* Int(slot)
      let rowPlace = SplitIndex.headerSize &+ 8 &* slotCount &+ 4 &* Int(slot)
      guard let found = bytes.littleEndian(UInt64.self, at: place),
        let row = bytes.littleEndian(UInt32.self, at: rowPlace), row != 0
      else { return nil }
      if found == identity { return Int(row) }
      slot = (slot &+ step) & mask
    }
    return nil
  }
}

/// A package. Its file is opened whenever a unit is read, and has to be the same one still.
final class SplitPackage {
  let path: [UInt8]
  private let open: ([UInt8]) -> ExecutableFile?
  private let size: UInt64
  private let index: SplitIndex
  private let strings: [UInt8]
  /// Sections that are compressed in the file.
  private var decompressed: [SplitIndex.Section: [UInt8]] = [:]

  /// Nil where no file is, or no package.
  init?(_ path: [UInt8], _ open: @escaping ([UInt8]) -> ExecutableFile?) {
    guard let sections = open(path).flatMap({ ELFSections(anyIn: $0) }),
      let index = SplitIndex(sections.plainBytes(named: ".debug_cu_index"))
    else { return nil }
    (self.path, self.open, self.index) = (path, open, index)
    size = sections.file.size
    strings = sections.plainBytes(named: ".debug_str.dwo")
  }

  /// What belongs to a unit; nil where there is no such unit.
  func sections(of identity: UInt64) -> InfoSections? {
    guard let parts = index.parts(of: identity), let file = open(path), file.size == size,
      let sections = ELFSections(anyIn: file)
    else { return nil }
    func part(_ section: SplitIndex.Section, _ name: StaticString) -> [UInt8] {
      parts[section].map { bytes(section, name, $0, sections) } ?? []
    }
    var result = InfoSections()
    result.info = part(.info, ".debug_info.dwo")
    result.abbreviations = part(.abbreviations, ".debug_abbrev.dwo")
    result.stringOffsets = part(.stringOffsets, ".debug_str_offsets.dwo")
    result.rangeLists = part(.rangeLists, ".debug_rnglists.dwo")
    result.strings = strings
    return result
  }

  private func bytes(
    _ section: SplitIndex.Section, _ name: StaticString, _ part: (offset: UInt64, size: UInt64),
    _ sections: ELFSections
  ) -> [UInt8] {
    guard part.size <= ELFSections.sizeLimit else { return [] }
    if let found = sections.section(named: name), !ELFSections.isCompressed(found) {
      let (start, overflow) = found.offset.addingReportingOverflow(part.offset)
      guard !overflow, found.type != 8, part.offset <= found.size, part.size <= found.size &- part.offset
      else { return [] }
      return sections.file.read(at: start, count: Int(part.size))
    }
    let whole = decompressed[section] ?? sections.plainBytes(named: name)
    decompressed[section] = whole
    guard part.offset <= UInt64(whole.count), part.size <= UInt64(whole.count) &- part.offset else {
      return []
    }
    return Array(whole[Int(part.offset)...].prefix(Int(part.size)))
  }
}
