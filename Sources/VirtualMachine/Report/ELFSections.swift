// The section headers of an ELF file, for reports and the disassembler. Running needs none of this, so a
// damaged or missing section table only makes reports poorer: everything here answers nil or an empty list
// instead of failing.
import Linux

/// One section header, with its name.
public struct ELFSection: Sendable {
  public fileprivate(set) var name: [UInt8]
  /// SHT_* value: 1 program bits, 2 symbol table, 3 strings, 8 no bits, 11 dynamic symbols.
  public let type: UInt32
  /// SHF_* bits: 1 write, 2 in memory, 4 executable.
  public let flags: UInt64
  /// Address in memory before the load bias is added.
  public let address: UInt64
  public let offset: UInt64
  public let size: UInt64
  /// Index of the section that this one refers to.
  public let link: UInt32

  public var isExecutable: Bool { flags & 4 != 0 && type != 8 }
}

/// A file with its section table.
public struct ELFSections {
  /// Sections larger than this are not read (bytes).
  public static let sizeLimit: UInt64 = 256 << 20
  private static let headerSize = 64

  public let file: ExecutableFile
  public private(set) var all: [ELFSection] = []

  /// Reads the section table; empty when it is missing or broken.
  public init(_ header: ELFHeader, in file: ExecutableFile) {
    self.init(
      in: file, at: header.sectionHeaderOffset, count: header.sectionHeaderCount,
      names: header.sectionNamesIndex)
  }

  /// Reads the section table of any 64-bit ELF file for x86-64, also of one that cannot be executed; nil for other files.
  init?(anyIn file: ExecutableFile) {
    let head = file.read(at: 0, count: ELFHeader.size)
    // EI_CLASS and EI_DATA, e_machine
    guard ELFHeader.hasMagic(head), head.littleEndian(UInt16.self, at: 4) == 0x0102,
      head.littleEndian(UInt16.self, at: 18) == 62, let offset = head.littleEndian(UInt64.self, at: 40),
      let count = head.littleEndian(UInt16.self, at: 60), let names = head.littleEndian(UInt16.self, at: 62)
    else { return nil }
    self.init(in: file, at: offset, count: Int(count), names: Int(names))
  }

  private init(in file: ExecutableFile, at offset: UInt64, count: Int, names: Int) {
    self.file = file
    let table = file.read(at: offset, count: count &* ELFSections.headerSize)
    guard count > 0, offset > 0, table.count == count &* ELFSections.headerSize else { return }
    var nameOffsets: [Int] = []
    for index in 0..<count {
      let start = index &* ELFSections.headerSize
      func long(_ offset: Int) -> UInt64 { table.littleEndian(UInt64.self, at: start &+ offset) ?? 0 }
      func word(_ offset: Int) -> UInt32 { table.littleEndian(UInt32.self, at: start &+ offset) ?? 0 }
      nameOffsets.append(Int(word(0)))
      all.append(
        ELFSection(
          name: [], type: word(4), flags: long(8), address: long(16), offset: long(24), size: long(32),
          link: word(40)))
    }
    nameSections(names, nameOffsets)
  }

  /// The section that holds the names is the one that holds `.shstrtab` at its own name offset.
  private mutating func nameSections(_ section: Int, _ offsets: [Int]) {
    guard section < all.count else { return }
    let names = bytes(of: all[section])
    for (place, offset) in offsets.enumerated() { all[place].name = names.cString(at: offset) }
  }

  /// The bytes that a section has in the file; empty for none, or for one that is unreasonably large.
  public func bytes(of section: ELFSection) -> [UInt8] {
    guard section.type != 8, section.size <= ELFSections.sizeLimit else { return [] }
    return file.read(at: section.offset, count: Int(truncatingIfNeeded: section.size))
  }

  /// The first section of this name.
  public func section(named name: StaticString) -> ELFSection? {
    let wanted = Array(name.description.utf8)
    return all.first { $0.name == wanted }
  }
}

extension ELFSections {
  /// Larger symbol tables are left out of `symbolRanges` (bytes).
  private static let largestKept: UInt64 = 32 << 20

  /// What of the file has to be there to read its symbols: the section table, symbol tables and their names, and the stubs that lead to other files.
  public func symbolRanges(_ header: ELFHeader) -> [Range<UInt64>] {
    var kept: Set<Int> = [header.sectionNamesIndex]
    for (index, section) in all.enumerated() where section.type == 2 || section.type == 11 {
      kept.formUnion([index, Int(section.link)])
    }
    kept.formUnion(all.indices.lazy.filter { LinkageStubs.isNeeded(all[$0]) }.prefix(LinkageStubs.mostNeeded))
    let table = UInt64(all.count &* ELFSections.headerSize)
    var places = [(start: header.sectionHeaderOffset, size: table)]
    for index in kept.sorted() where all.indices.contains(index) {
      places.append((all[index].offset, all[index].size))
    }
    return places.compactMap { start, size in
      let (end, overflow) = start.addingReportingOverflow(size)
      return overflow || size > ELFSections.largestKept ? nil : start..<end
    }
  }
}

extension Array where Element == UInt8 {
  /// The zero-terminated string at `offset`; what there is of it when the array ends first.
  func cString(at offset: Int) -> [UInt8] {
    guard offset >= 0, offset < count else { return [] }
    let rest = self[offset...]
    return Array(rest.prefix { $0 != 0 })
  }
}
