// What a system call did to memory: the journal's notes become effects, with the bytes that the noted ranges now hold. Of a
// buffer only what the call says that it has filled is kept.
import Engine
import GuestMemory
import Linux
import VirtualMachine

extension Recorder {
  /// A buffer, and how many of its bytes count.
  typealias Clip = (buffer: LinuxProcess.GuestBytes, count: UInt64)

  /// Shares the bytes that a call's result counts out among `buffers`, in order. A call that fails has filled nothing, unless
  /// it was for a bad address on the way.
  func clip(_ buffers: [LinuxProcess.GuestBytes], _ result: Int64) -> [Clip] {
    let badAddress: Int64 = -14
    var rest = result == badAddress ? .max : UInt64(max(result, 0))
    return buffers.map { buffer in
      let part = min(buffer.size, rest)
      rest &-= part
      return (buffer, part)
    }
  }

  /// The effects of what `entries` note; `clips` are buffers that are not filled wholly.
  func effects(_ entries: [MemoryJournal.Entry], _ clips: [Clip]) -> [MemoryEffect] {
    var result: [MemoryEffect] = []
    var writes: [Range<UInt64>] = []
    for entry in entries {
      switch entry {
      case .change(let change):
        contents(of: writes, into: &result)
        writes = []
        result.append(.change(change))
      case .write(let start, let size):
        let clip = clips.first { $0.buffer.address == start && $0.buffer.size >= size }
        let length = min(size, clip?.count ?? size)
        let (end, overflow) = start.addingReportingOverflow(length)
        if length > 0, !overflow { writes.append(start..<end) }
      }
    }
    contents(of: writes, into: &result)
    return result
  }

  /// What is in these ranges now, each byte once.
  private func contents(of ranges: [Range<UInt64>], into result: inout [MemoryEffect]) {
    guard let memory, !ranges.isEmpty else { return }
    var reached: UInt64 = 0
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      let start = max(range.lowerBound, reached)
      if start >= range.upperBound { continue }
      reached = range.upperBound
      for region in memory.regions(from: start, to: range.upperBound) {
        let from = max(region.start, start)
        let to = min(region.end, range.upperBound)
        let bytes = memory.peek(from, count: Int(truncatingIfNeeded: to &- from))
        if !bytes.isEmpty { result.append(.write(start: from, bytes: bytes)) }
      }
    }
  }

  /// A call has written `count` bytes to a file: where it is mapped, memory has changed. Without an offset among the arguments
  /// they lie in front of the file's position.
  func noteChange(
    of descriptor: UInt64, arguments: RegisterWords, count: UInt64, _ journal: MemoryJournal,
    _ sizes: inout [MemoryEffect]
  ) {
    guard let memory, let identity = HostFile.identity(Int32(truncatingIfNeeded: descriptor)) else { return }
    sizes += files.resized(identity)
    if count == 0 { return }
    let number = arguments[0]
    let takesOffset = number == 18 || number == 296 || number == 328
    let current: Int64 = 1
    let position = HostFile.call(8, Int64(truncatingIfNeeded: descriptor), 0, current)
    let start =
      takesOffset ? arguments[10] : position >= Int64(count) ? UInt64(position) &- count : 0
    let end = takesOffset || position >= 0 ? start &+ count : .max
    for region in memory.regions() where identity.file.isBehind(region, memory) {
      let from = max(start, region.offset)
      let to = min(end, region.offset &+ region.size)
      if from < to { journal.noteWrite(region.start &+ (from &- region.offset), to &- from) }
    }
  }
}

extension HostFile.Place {
  func isBehind(_ region: Region, _ memory: AddressSpace) -> Bool {
    memory.backing(region.backing).map { HostFile.Place(device: $0.device, inode: $0.inode) } == self
  }
}

/// The files that a recording holds.
struct RecordedFiles {
  private struct File {
    var number: UInt32
    var identity: HostFile.Identity
    /// What has been written down, in bytes, page aligned.
    var recorded: [Range<UInt64>] = []
  }

  private var files: [File] = []
  private var known: Set<HostFile.Place> = []
  private static let pieceSize: UInt64 = 1 << 20

  /// Whether the file has been mapped.
  func contain(_ file: HostFile.Place) -> Bool { known.contains(file) }

  /// The number of the file that is being mapped; writes down what has not been yet of `[offset, offset + size)`.
  mutating func number(
    of descriptor: Int32, _ backing: Backing, _ offset: UInt64, _ size: UInt64, _ memory: AddressSpace?,
    _ writer: inout TimelineWriter
  ) -> UInt32 {
    guard let identity = HostFile.identity(descriptor) else { return 0 }
    let known = files.count
    let index = place(of: identity, backing, memory, &writer)
    if index == known {
      for range in RecordedFiles.symbols(of: descriptor) { write(range, of: descriptor, index, &writer) }
    }
    let (end, overflow) = offset.addingReportingOverflow(size)
    write(offset..<max(offset, overflow ? .max : end), of: descriptor, index, &writer)
    return files[index].number
  }

  /// Writes down what has not been yet of `range`, as far as the file has it.
  private mutating func write(
    _ range: Range<UInt64>, of descriptor: Int32, _ index: Int, _ writer: inout TimelineWriter
  ) {
    let end = min(range.upperBound, files[index].identity.size)
    var next = range.lowerBound
    while next < end {
      let piece = next..<min(next &+ RecordedFiles.pieceSize, end)
      next = piece.upperBound
      if files[index].recorded.contains(where: {
        $0.contains(piece.lowerBound) && $0.upperBound >= piece.upperBound
      }) {
        continue
      }
      let bytes = HostFile.read(
        descriptor, at: piece.lowerBound, count: Int(piece.upperBound &- piece.lowerBound))
      writer.append(.data(file: files[index].number, offset: piece.lowerBound, bytes: bytes))
    }
    if range.lowerBound < end { files[index].recorded.append(range.lowerBound..<end) }
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

  private mutating func place(
    of identity: HostFile.Identity, _ backing: Backing, _ memory: AddressSpace?,
    _ writer: inout TimelineWriter
  ) -> Int {
    let place = files.lastIndex { $0.identity.file == identity.file }
    if let place, files[place].identity == identity || isShared(identity, memory) { return place }
    let number = UInt32(truncatingIfNeeded: files.count + 1)
    files.append(File(number: number, identity: identity))
    known.insert(identity.file)
    writer.append(
      .file(
        RecordedFile(
          number: number, device: backing.device, inode: backing.inode, size: identity.size,
          path: backing.path)))
    return files.count - 1
  }

  /// The file is mapped, and what the program writes there is in the file.
  private func isShared(_ identity: HostFile.Identity, _ memory: AddressSpace?) -> Bool {
    guard let memory else { return false }
    return memory.regions().contains { $0.flags.contains(.shared) && identity.file.isBehind($0, memory) }
  }
}
