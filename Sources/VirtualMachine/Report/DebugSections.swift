// Where a file's debug information is: in its own sections, compressed or not, or in a separate file that is found by build-id or by
// `.gnu_debuglink` (as gdb's manual describes it under "Separate Debug Files"). Reads only what is asked for.
import Linux

/// The file with a program's debug information, and how others are found that belong to it.
struct DebugFile {
  /// The path of the program.
  let program: [UInt8]
  /// What has the tables of lines: the program itself, or a separate file.
  let sections: ELFSections
  /// Opens a file by its path, as whoever runs the program has it.
  let open: ([UInt8]) -> ExecutableFile?

  /// The path of the file with the tables.
  var path: [UInt8] { sections.file.identity.path }
}

extension ELFSections {
  private static let compressedFlag: UInt64 = 0x800

  /// What `plainBytes` would decompress.
  static func isCompressed(_ section: ELFSection) -> Bool { section.flags & compressedFlag != 0 }

  /// A section's bytes, decompressed where zlib or zstd has compressed them; empty where there is none or it cannot be read.
  func plainBytes(named name: StaticString) -> [UInt8] {
    if let section = section(named: name) { return plainBytes(of: section) }
    // As old assemblers did it: `.zdebug_line`, "ZLIB" and the size with its most significant byte first.
    let old = Array(".z".utf8) + name.description.utf8.dropFirst()
    guard let section = all.first(where: { $0.name == old }) else { return [] }
    let bytes = bytes(of: section)
    guard bytes.starts(with: Array("ZLIB".utf8)), bytes.count >= 12 else { return [] }
    let size = bytes[4..<12].reduce(UInt64(0)) { $0 &<< 8 | UInt64($1) }
    return size <= ELFSections.sizeLimit ? Inflate.bytes(bytes, from: 12, size: Int(size)) ?? [] : []
  }

  private func plainBytes(of section: ELFSection) -> [UInt8] {
    let bytes = bytes(of: section)
    if !ELFSections.isCompressed(section) { return bytes }
    // Elf64_Chdr: type (1: zlib, 2: zstd), reserved, size, alignment.
    guard let size = bytes.littleEndian(UInt64.self, at: 8), size <= ELFSections.sizeLimit else { return [] }
    switch bytes.littleEndian(UInt32.self, at: 0) {
    case 1: return Inflate.bytes(bytes, from: 24, size: Int(size)) ?? []
    case 2: return Zstandard.bytes(bytes, from: 24, size: Int(size)) ?? []
    default: return []
    }
  }

  /// The bytes of all sections of this name, one behind the other: in files that no linker has seen units of types have their own.
  func allPlainBytes(named name: StaticString) -> [UInt8] {
    let wanted = Array(name.description.utf8)
    let found = all.filter { $0.name == wanted }
    guard found.count > 1 else { return plainBytes(named: name) }
    var result: [UInt8] = []
    var left = ELFSections.sizeLimit
    for section in found where section.size <= left {
      let bytes = plainBytes(of: section)
      guard !bytes.isEmpty, UInt64(bytes.count) <= left &- section.size else { break }
      left -= section.size &+ UInt64(bytes.count)
      result += bytes
    }
    return result
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
  func withLines(_ path: [UInt8], _ open: @escaping ([UInt8]) -> ExecutableFile?) -> DebugFile? {
    let found = hasLines ? self : separate(path) { open($0).flatMap { ELFSections(anyIn: $0) } }
    return found.map { DebugFile(program: path, sections: $0, open: open) }
  }

  private func separate(_ path: [UInt8], _ open: ([UInt8]) -> ELFSections?) -> ELFSections? {
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
