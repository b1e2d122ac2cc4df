// What a system call did to memory: the journal's notes become effects, with the bytes that the noted ranges now hold. Of a
// buffer only what the call says that it has filled is kept.
import Engine
import GuestMemory
import Linux
import VirtualMachine

extension Recorder {
  /// Adds the effects of what `journal` notes. `filled` are buffers of which only as much counts as `result` says.
  func addEffects(
    _ journal: MemoryJournal, _ memory: AddressSpace, _ filled: LinuxProcess.FilledBuffers = .none,
    _ result: Int64 = 0
  ) {
    for entry in journal.entries {
      switch entry {
      case .change(let change):
        addContents(of: memory)
        effects.append(.change(change))
      case .write(let start, let size):
        let (end, overflow) = start.addingReportingOverflow(
          filled.filledSize(at: start, size: size, result: result))
        if end > start, !overflow { ranges.append(start..<end) }
      }
    }
    addContents(of: memory)
  }

  /// Adds what is in `ranges` now, each byte once, and forgets them.
  func addContents(of memory: AddressSpace) {
    if ranges.isEmpty { return }
    if ranges.count > 1 { ranges.sort { $0.lowerBound < $1.lowerBound } }
    var reached: UInt64 = 0
    for range in ranges {
      var start = max(range.lowerBound, reached)
      reached = max(reached, range.upperBound)
      while start < range.upperBound, let region = memory.region(atOrAbove: start) {
        let from = max(region.start, start)
        let end = min(region.end, range.upperBound)
        if from < end { effects.append(memory, from: from, to: end, of: region) }
        start = region.end
      }
    }
    ranges.removeAll(keepingCapacity: true)
  }

  /// A call has written `count` bytes to a file: where it is mapped, memory has changed. Without an offset among the arguments
  /// they lie in front of the file's position.
  func noteChange(
    of descriptor: UInt64, _ number: UInt64, arguments: RegisterWords, count: UInt64, _ journal: MemoryJournal
  ) {
    guard let memory, let identity = HostFile.identity(Int32(truncatingIfNeeded: descriptor)) else { return }
    for effect in files.resized(identity) { effects.append(effect) }
    if count == 0 { return }
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
    memory.backing(region.backing).map(HostFile.Place.init) == self
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
  /// So much at once: a chunk each.
  private static let pieceSize = UInt64(RecordingFile.chunkSize)

  /// Whether the file has been mapped.
  func contain(_ file: HostFile.Place) -> Bool { known.contains(file) }

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
      writer.append(
        Int(piece.upperBound &- piece.lowerBound), of: descriptor, at: piece.lowerBound,
        as: files[index].number)
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
    known.insert(identity.file)
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
