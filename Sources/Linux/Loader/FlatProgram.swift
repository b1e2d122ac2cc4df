// Flat programs: a file without any header, such as `objcopy -O binary` makes, whose first byte is the first instruction. It
// is known by its name alone, and becomes an image with one segment.
//
//     0x400000             + file size                              + 16 MiB, rounded up
//        |  the whole file     | zeroed memory                          |
import GuestMemory

enum FlatProgram {
  /// Where the file's first byte goes, and the entry point.
  static let base: UInt64 = 0x40_0000
  /// Bytes of zeroed memory behind the file.
  static let extraMemory: UInt64 = 16 << 20

  /// True for the name of a flat program. Whoever asks has found no magic number in the file.
  static func hasName(_ path: [UInt8]) -> Bool { path.suffix(4) == Array(".bin".utf8)[...] && path.count > 4 }

  /// Checks that a file of `size` bytes fits below `limit`; the segment that holds it.
  static func segment(size: UInt64, limit: UInt64, path: [UInt8]) throws(LoadError) -> LoadSegment {
    if size == 0 { throw .unknownFormat(path: path) }
    guard size < limit / 2, let memory = Page.up(size &+ extraMemory), base &+ memory < limit / 2 else {
      throw .memory(path: path, what: "the program: it is larger than the address space", number: 12)
    }
    return LoadSegment(
      index: 0, address: base, memorySize: memory, fileOffset: 0, fileSize: size,
      permissions: [.read, .write, .execute])
  }
}
