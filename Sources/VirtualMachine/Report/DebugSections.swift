// Where a file's debug information is: in its own sections, compressed or not, or in a separate file that is found by build-id or by
// `.gnu_debuglink` (as gdb's manual describes it under "Separate Debug Files"). Reads only what is asked for.
import Linux

extension ELFSections {
  private static let compressedFlag: UInt64 = 0x800

  /// A section's bytes, decompressed where zlib has compressed them; empty where there is none or it cannot be read: sections that
  /// zstd has compressed are not.
  func plainBytes(named name: StaticString) -> [UInt8] {
    if let section = section(named: name) {
      let bytes = bytes(of: section)
      if section.flags & ELFSections.compressedFlag == 0 { return bytes }
      // Elf64_Chdr: type (1: zlib, 2: zstd), reserved, size, alignment.
      guard bytes.littleEndian(UInt32.self, at: 0) == 1, let size = bytes.littleEndian(UInt64.self, at: 8),
        size <= ELFSections.sizeLimit
      else { return [] }
      return Inflate.bytes(bytes, from: 24, size: Int(size)) ?? []
    }
    // As old assemblers did it: `.zdebug_line`, "ZLIB" and the size with its most significant byte first.
    let old = Array(".z".utf8) + name.description.utf8.dropFirst()
    guard let section = all.first(where: { $0.name == old }) else { return [] }
    let bytes = bytes(of: section)
    guard bytes.starts(with: Array("ZLIB".utf8)), bytes.count >= 12 else { return [] }
    let size = bytes[4..<12].reduce(UInt64(0)) { $0 &<< 8 | UInt64($1) }
    return size <= ELFSections.sizeLimit ? Inflate.bytes(bytes, from: 12, size: Int(size)) ?? [] : []
  }

  /// What tells this build of a file from every other; nil when the linker has not written it.
  var buildIdentity: [UInt8]? {
    guard let section = section(named: ".note.gnu.build-id"), section.size < 4096 else { return nil }
    let note = bytes(of: section)
    // Sizes of name and description, type 3, "GNU\0", description.
    guard note.littleEndian(UInt32.self, at: 0) == 4, let size = note.littleEndian(UInt32.self, at: 4),
      note.littleEndian(UInt32.self, at: 8) == 3, size >= 2, size <= 64, note.count >= 16 &+ Int(size)
    else { return nil }
    return Array(note[16..<(16 &+ Int(size))])
  }

  /// There are line tables in this very file.
  var hasLines: Bool {
    section(named: ".debug_line").map { $0.type != 8 && $0.size > 0 } ?? false
      || section(named: ".zdebug_line") != nil
  }

  /// Where line tables are: these sections, or those of a separate file, which `open` opens by its path. `path` is that of this file.
  func withLines(_ path: [UInt8], _ open: ([UInt8]) -> ELFSections?) -> ELFSections? {
    if hasLines { return self }
    if let identity = buildIdentity {
      let digits = identity.map { FaultReport.hex(UInt64($0), digits: 2) }
      let name = "/usr/lib/debug/.build-id/\(digits[0])/\(digits.dropFirst().joined()).debug"
      if let found = open(Array(name.utf8)), found.buildIdentity == identity, found.hasLines { return found }
    }
    guard let section = section(named: ".gnu_debuglink"), section.size < 4096 + 8 else { return nil }
    let link = bytes(of: section)
    let name = link.cString(at: 0)
    // The checksum stands behind the name at a multiple of four.
    let checksum = link.littleEndian(UInt32.self, at: (name.count &+ 4) & ~3)
    guard !name.isEmpty, !name.contains(47) else { return nil }
    let folder = path.lastIndex(of: 47).map { Array(path[..<$0]) } ?? [46]
    for place in [folder, folder + Array("/.debug".utf8), Array("/usr/lib/debug".utf8) + folder] {
      guard place + [47] + name != path, let found = open(place + [47] + name), found.hasLines else {
        continue
      }
      if let identity = buildIdentity, let theirs = found.buildIdentity {
        if identity == theirs { return found }
      } else if CRC32(of: found.file).value == checksum {
        return found
      }
    }
    return nil
  }
}

extension CRC32 {
  /// Of a whole file.
  fileprivate init(of file: ExecutableFile) {
    self.init()
    let pieceSize = 1 << 20
    var offset: UInt64 = 0
    while offset < file.size {
      let piece = file.read(at: offset, count: pieceSize)
      if piece.isEmpty { break }
      add(piece)
      offset &+= UInt64(piece.count)
    }
  }
}

/// The directories of compilations, by where their line tables begin: up to DWARF 4 only `.debug_info` has them. Of each unit nothing is
/// read but its root.
struct CompilationDirectories {
  private(set) var directories: [UInt64: [UInt8]] = [:]
  private let info: [UInt8]
  private let abbreviations: [UInt8]
  private let sections: LineSections
  private static let mostUnits = 1 << 20
  /// Abbreviations that are looked through in all.
  private var abbreviationsLeft = 1 << 26

  init(_ file: ELFSections, _ sections: LineSections) {
    self.init(
      file.plainBytes(named: ".debug_info"), file.plainBytes(named: ".debug_abbrev"), sections)
  }

  init(_ info: [UInt8], _ abbreviations: [UInt8], _ sections: LineSections) {
    (self.info, self.abbreviations, self.sections) = (info, abbreviations, sections)
    var cursor = DwarfCursor(info, base: 0)
    // Units up to the first that makes no sense.
    do throws(DwarfError) {
      while !cursor.isAtEnd, directories.count < CompilationDirectories.mostUnits { try readUnit(&cursor) }
    } catch {}
  }

  private mutating func readUnit(_ cursor: inout DwarfCursor) throws(DwarfError) {
    var length = UInt64(try cursor.read(UInt32.self))
    let isWide = length == 0xffff_ffff
    if isWide { length = try cursor.read(UInt64.self) }
    var unit = try cursor.block(length)
    // What is wrong with a unit says nothing about the next one.
    do throws(DwarfError) { try readRoot(&unit, isWide) } catch {}
  }

  private mutating func readRoot(_ unit: inout DwarfCursor, _ isWide: Bool) throws(DwarfError) {
    func offset(_ cursor: inout DwarfCursor) throws(DwarfError) -> UInt64 {
      isWide ? try cursor.read(UInt64.self) : UInt64(try cursor.read(UInt32.self))
    }
    let version = try unit.read(UInt16.self)
    // From DWARF 5 on line tables have the directory themselves.
    guard (2...4).contains(version) else { return }
    let table = try offset(&unit)
    let addressSize = UInt64(try unit.byte())
    let code = try unit.unsigned()
    var columns = DwarfCursor(abbreviations, base: 0, position: Int(truncatingIfNeeded: table & .max >> 1))
    guard columns.position < columns.end, try find(code, &columns) else { return }
    var (lines, directory): (UInt64?, [UInt8]) = (nil, [])
    while true {
      let (name, form) = (try columns.unsigned(), try columns.unsigned())
      if name == 0, form == 0 { break }
      let before = unit
      try skipAttribute(&unit, form, isWide: isWide, addressSize: addressSize, version: version)
      var value = before
      switch (name, form) {
      case (0x10, 0x06): lines = UInt64(try value.read(UInt32.self))  // DW_AT_stmt_list
      case (0x10, 0x07): lines = try value.read(UInt64.self)
      case (0x10, 0x17): lines = try offset(&value)
      case (0x1b, 0x08): directory = try value.cString()  // DW_AT_comp_dir
      case (0x1b, 0x0e):
        directory = LineSections.path(sections.strings, try offset(&value))
      default: break
      }
    }
    if let lines, !directory.isEmpty { directories[lines] = directory }
  }

  /// Goes behind the head of the abbreviation `code`, to its columns.
  private mutating func find(_ code: UInt64, _ cursor: inout DwarfCursor) throws(DwarfError) -> Bool {
    while abbreviationsLeft > 0 {
      abbreviationsLeft -= 1
      let found = try cursor.unsigned()
      if found == 0 { return false }
      // Tag, and whether there are children.
      _ = try cursor.unsigned()
      _ = try cursor.byte()
      if found == code { return true }
      while true {
        let (name, form) = (try cursor.unsigned(), try cursor.unsigned())
        if form == 0x21 { _ = try cursor.signed() }
        if name == 0, form == 0 { break }
      }
    }
    throw DwarfError()
  }
}
