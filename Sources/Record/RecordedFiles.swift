// The mapped files of one process's recording: which states of them there are, and what of their contents has been written down.
import GuestMemory
import Linux
import VirtualMachine

/// The files that a recording holds.
struct RecordedFiles {
  private struct File {
    var number: UInt32
    var identity: HostFile.Identity
    /// What has been written down, in bytes, page aligned.
    var recorded: [Range<UInt64>] = []
  }

  /// The contents, of all processes.
  private let pieces: RecordedPieces
  private var files: [File] = []
  private static let pieceSize = UInt64(RecordingFile.chunkSize)

  init(_ pieces: RecordedPieces) { self.pieces = pieces }

  /// Whether the file has been mapped.
  func contain(_ file: HostFile.Place) -> Bool { files.contains { $0.identity.file == file } }

  /// The number of a file or segment as long as it is shared by a mapping: what anybody writes there is in the file.
  func numberWhileMapped(_ file: HostFile.Place, _ memory: AddressSpace) -> UInt32? {
    guard let index = files.lastIndex(where: { $0.identity.file == file }), isMapped(file, memory) else {
      return nil
    }
    return files[index].number
  }

  /// The number of the file that is being mapped; writes down what has not been yet of `[offset, offset + size)`. `isOther`: others may
  /// have written it, whatever its times say.
  mutating func number(
    of descriptor: Int32, _ identity: HostFile.Identity, _ backing: Backing, _ offset: UInt64, _ size: UInt64,
    _ memory: AddressSpace, isOther: Bool, _ writer: inout TimelineWriter
  ) -> UInt32 {
    if isOther { pieces.distrust(identity.file) }
    let known = isOther ? nil : place(of: identity, memory)
    let index = known ?? add(identity, backing, &writer)
    if known == nil {
      for range in RecordedFiles.symbols(of: descriptor) { write(range, of: descriptor, index, &writer) }
    }
    let (end, overflow) = offset.addingReportingOverflow(size)
    write(offset..<max(offset, overflow ? .max : end), of: descriptor, index, &writer)
    return files[index].number
  }

  /// The number of a segment without a file that is being attached. What is in it, nobody writes down here.
  mutating func number(
    ofSegment backing: Backing, _ size: UInt64, _ memory: AddressSpace, _ writer: inout TimelineWriter
  ) -> UInt32 {
    let file = HostFile.Place(backing)
    if let known = numberWhileMapped(file, memory) { return known }
    let identity = HostFile.Identity(file: file, size: size, modified: 0, changed: 0)
    return files[add(identity, backing, &writer)].number
  }

  /// Writes down what has not been yet of `range`, as far as the file has it.
  private mutating func write(
    _ range: Range<UInt64>, of descriptor: Int32, _ index: Int, _ writer: inout TimelineWriter
  ) {
    let identity = files[index].identity
    let end = min(range.upperBound, identity.size)
    let isCommon = identity.isSettled && pieces.trusts(identity.file)
    var next = range.lowerBound
    while next < end {
      let piece = next..<min(next &+ RecordedFiles.pieceSize, end)
      next = piece.upperBound
      if files[index].recorded.contains(where: {
        $0.contains(piece.lowerBound) && $0.upperBound >= piece.upperBound
      }) {
        continue
      }
      let key = isCommon ? RecordedPieces.Key(identity, piece) : nil
      guard let number = key.flatMap({ pieces[$0] }) ?? add(piece, of: descriptor, key, &writer)
      else { break }
      writer.append(.data(file: files[index].number, offset: piece.lowerBound, piece: number))
    }
    if range.lowerBound < end { files[index].recorded.append(range.lowerBound..<end) }
  }

  /// Writes a piece down; nil when there is nothing of it.
  private func add(
    _ piece: Range<UInt64>, of descriptor: Int32, _ key: RecordedPieces.Key?, _ writer: inout TimelineWriter
  ) -> UInt32? {
    let number = pieces.nextNumber()
    let size = Int(piece.upperBound &- piece.lowerBound)
    guard writer.write(piece: number, size, of: descriptor, at: piece.lowerBound) else { return nil }
    if let key { pieces.enter(key, number) }
    return number
  }

  /// Where an ELF file keeps its names, which is not mapped: with them a recording can be looked at where the file is not.
  private static func symbols(of descriptor: Int32) -> [Range<UInt64>] {
    guard ELFHeader.hasMagic(HostFile.read(descriptor, at: 0, count: 4)),
      let file = try? ExecutableFile(path: Array("/proc/self/fd/\(descriptor)".utf8)),
      let header = try? ELFHeader(of: file)
    else { return [] }
    return ELFSections(header, in: file).symbolRanges(header)
  }

  /// What has become of a mapped file's size, and of what older states of it are mapped.
  mutating func resized(_ identity: HostFile.Identity) -> [MemoryEffect] {
    var effects: [MemoryEffect] = []
    for index in files.indices {
      let old = files[index].identity
      if old.file != identity.file || old.size == identity.size { continue }
      files[index].identity.size = identity.size
      effects.append(.fileSize(file: files[index].number, size: identity.size))
    }
    return effects
  }

  /// Where a file is in the list whose contents are the same still.
  private func place(of identity: HostFile.Identity, _ memory: AddressSpace) -> Int? {
    guard let place = files.lastIndex(where: { $0.identity.file == identity.file }),
      files[place].identity == identity || isMapped(identity.file, memory)
    else { return nil }
    return place
  }

  private mutating func add(
    _ identity: HostFile.Identity, _ backing: Backing, _ writer: inout TimelineWriter
  ) -> Int {
    let number = UInt32(truncatingIfNeeded: files.count + 1)
    files.append(File(number: number, identity: identity))
    writer.append(
      .file(
        RecordedFile(
          number: number, device: backing.device, inode: backing.inode, size: identity.size,
          path: backing.path)))
    return files.count - 1
  }

  /// The file is mapped, and what the program writes there is in the file.
  private func isMapped(_ file: HostFile.Place, _ memory: AddressSpace) -> Bool {
    memory.regions().contains { $0.flags.contains(.shared) && file.isBehind($0, memory) }
  }
}
