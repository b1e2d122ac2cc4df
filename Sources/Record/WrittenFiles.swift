// What is behind the descriptors that a program writes to, so that the host is not asked at each call. Valid as long as no call can have
// changed what descriptors stand for, and no further file has been mapped.

struct WrittenFiles {
  struct File {
    var descriptor: UInt64
    /// 1 or 2 for standard output and error.
    var output: UInt8?
    /// Some of it is, or was, in memory.
    var isMapped: Bool
  }

  private static let size = 64
  // PERF: one place for a descriptor, by its lowest bits; a dictionary would take longer than the rest of the question.
  private var files = [File?](repeating: nil, count: WrittenFiles.size)
  private var isEmpty = true
  /// Descriptors below 64 of files that are not mapped, a bit each: of standard output, standard error, and, in front, all others.
  private(set) var unmapped: (UInt64, UInt64, UInt64) = (0, 0, 0)

  subscript(descriptor: UInt64) -> File? {
    guard let file = files[Int(descriptor % UInt64(WrittenFiles.size))], file.descriptor == descriptor else {
      return nil
    }
    return file
  }

  mutating func keep(_ file: File) {
    files[Int(file.descriptor % UInt64(WrittenFiles.size))] = file
    isEmpty = false
    if file.isMapped || file.descriptor >= 64 { return }
    let bit: UInt64 = 1 << file.descriptor
    switch file.output {
    case nil: unmapped.0 |= bit
    case 1: unmapped.1 |= bit
    default: unmapped.2 |= bit
    }
  }

  mutating func removeAll() {
    if isEmpty { return }
    for index in files.indices { files[index] = nil }
    isEmpty = true
    unmapped = (0, 0, 0)
  }
}
