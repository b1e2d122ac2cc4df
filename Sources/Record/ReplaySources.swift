// Where a replay's events come from: the records of a timeline, and in front of them those of the timelines that it forks from, each
// up to the fork. And the files that recorded programs had mapped, as files in memory.
import GuestMemory
import LinuxABI

/// All records that lead to a timeline's end.
struct EventSource {
  private let recording: Recording
  /// The timelines from the first one on; each but the last is followed for so many events.
  private let path: [ForkPoint]
  private var place = 0
  private var reader: TimelineReader
  private var count: UInt64 = 0

  init(_ recording: Recording, _ timeline: UInt64) throws(RecordingError) {
    self.recording = recording
    var path = [ForkPoint(timeline: timeline, events: .max)]
    while let parent = try EventSource.parent(recording, path[0].timeline) {
      // Children come after their parents.
      guard parent.timeline < path[0].timeline else { throw .damaged("a timeline forks from a later one") }
      path.insert(parent, at: 0)
    }
    self.path = path
    reader = TimelineReader(recording, path[0].timeline)
  }

  /// From the fork on, without what led there.
  init(_ recording: Recording, fromFork timeline: UInt64) throws(RecordingError) {
    self.recording = recording
    path = [ForkPoint(timeline: timeline, events: .max)]
    reader = TimelineReader(recording, timeline)
  }

  static func parent(_ recording: Recording, _ timeline: UInt64) throws(RecordingError) -> ForkPoint? {
    guard recording.chunks[timeline] != nil else { throw .damaged("there is no timeline \(timeline)") }
    var reader = TimelineReader(recording, timeline)
    while let record = try reader.next() {
      if case .start(let start) = record { return start.parent }
      if case .event = record { break }
    }
    throw .damaged("timeline \(timeline) does not say where it begins")
  }

  mutating func next() throws(RecordingError) -> Record? {
    while true {
      if count < path[place].events {
        let record = try reader.next()
        if case .event = record { count += 1 }
        if record != nil || place == path.count - 1 { return record }
        throw .damaged("what leads to timeline \(path[place + 1].timeline) is missing")
      }
      place += 1
      count = 0
      reader = TimelineReader(recording, path[place].timeline)
    }
  }

  /// The contents of a mapped file that a record names.
  func piece(_ number: UInt32) throws(RecordingError) -> [UInt8] { try recording.piece(number) }

  /// The number of the timeline that is being followed.
  var timeline: UInt64 { path[place].timeline }
}

/// Files behind mappings.
final class ReplayedFiles {
  private var files: [UInt32: (descriptor: Int32, backing: Backing)] = [:]
  private static let mostFiles = 1 << 16
  private static let largestFile: UInt64 = 1 << 46

  subscript(number: UInt32) -> (descriptor: Int32, backing: Backing)? { files[number] }

  var all: [(descriptor: Int32, backing: Backing)] { Array(files.values) }

  /// For snapshots: how to map the file again.
  func file(for backing: Backing) -> SnapshotFile? {
    files.values.first { $0.backing == backing }.map { SnapshotFile(descriptor: $0.descriptor) }
  }

  /// A descriptor of its own for the file, or -errno.
  func open(_ backing: Backing) -> Int64 {
    let duplicateCloseOnExec: Int64 = 1030
    guard let file = file(for: backing) else { return -Errno.ENOENT }
    return HostFile.call(72, Int64(file.descriptor), duplicateCloseOnExec, 0)
  }

  func add(_ file: RecordedFile) throws(RecordingError) {
    guard files.count < ReplayedFiles.mostFiles, file.size < ReplayedFiles.largestFile else {
      throw .damaged("there are too many files")
    }
    let backing = Backing(device: file.device, inode: file.inode, path: file.path)
    // A replay that has gone back in time comes here again, and mappings of the file are still there.
    if let known = files[file.number], known.backing == backing, resize(file.number, file.size) { return }
    guard let descriptor = HostFile.inMemory(size: file.size) else {
      throw .cannotOpen("there is no room for the recorded files")
    }
    if let old = files[file.number] { HostFile.close(old.descriptor) }
    files[file.number] = (descriptor, backing)
  }

  /// A file grows or shrinks; false when that is not possible.
  func resize(_ number: UInt32, _ size: UInt64) -> Bool {
    guard let file = files[number], size < ReplayedFiles.largestFile else { return false }
    return HostFile.resize(file.descriptor, size)
  }

  /// Makes the file at least so long.
  func lengthen(_ backing: Backing, to size: UInt64) -> Bool {
    guard let (number, file) = files.first(where: { $0.value.backing == backing }),
      let present = HostFile.identity(file.descriptor)?.size
    else { return false }
    return present >= size || resize(number, size)
  }

  func put(_ bytes: [UInt8], _ number: UInt32, _ offset: UInt64) throws(RecordingError) {
    guard let file = files[number] else { throw .damaged("there is no file \(number)") }
    guard HostFile.write(bytes, to: file.descriptor, at: offset) else {
      throw .cannotOpen("there is no room for the recorded files")
    }
  }

  /// In the replay of a forked child: makes files that it shares by mappings its own.
  func separate(_ memory: AddressSpace) throws(MemoryError) {
    try separateAnonymous(memory)
    for (number, file) in files {
      let regions = memory.regions().filter { region in
        region.flags.contains(.shared) && memory.backing(region.backing) == file.backing
      }
      if regions.isEmpty { continue }
      guard let size = HostFile.identity(file.descriptor)?.size, let copy = HostFile.inMemory(size: size)
      else {
        throw .noMemory
      }
      let pieceSize: UInt64 = 1 << 20
      var offset: UInt64 = 0
      while offset < size {
        let piece = HostFile.read(file.descriptor, at: offset, count: Int(min(pieceSize, size &- offset)))
        if piece.isEmpty || !HostFile.write(piece, to: copy, at: offset) { throw .noMemory }
        offset &+= UInt64(piece.count)
      }
      HostFile.close(file.descriptor)
      files[number] = (copy, file.backing)
      for region in regions {
        var request = MapRequest(address: region.start, size: region.size, permissions: region.permissions)
        request.placement = .fixed
        request.flags = region.flags
        request.file = (copy, region.offset, file.backing)
        _ = try memory.map(request)
      }
    }
  }

  /// Memory without a file that the parent has shared becomes the child's own.
  private func separateAnonymous(_ memory: AddressSpace) throws(MemoryError) {
    for region in memory.regions() where region.flags.contains(.shared) && region.backing == 0 {
      var request = MapRequest(address: region.start, size: region.size, permissions: [.read, .write])
      request.placement = .fixed
      request.flags = region.flags
      let pieceSize: UInt64 = 1 << 20
      var pieces: [(address: UInt64, bytes: [UInt8])] = []
      for address in stride(from: region.start, to: region.end, by: Int(pieceSize)) {
        let bytes = memory.peek(address, count: Int(min(pieceSize, region.end &- address)))
        if bytes.contains(where: { $0 != 0 }) { pieces.append((address, bytes)) }
      }
      _ = try memory.map(request)
      for piece in pieces where !memory.poke(piece.bytes, at: piece.address) { throw .badAddress }
      try memory.protect(region.start, size: region.size, permissions: region.permissions)
    }
  }

  func close() {
    for file in files.values { HostFile.close(file.descriptor) }
    files = [:]
  }
}
