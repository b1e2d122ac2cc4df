// What changes guest memory besides the guest's own instructions, written down for a recorder: changes of the mappings, and the
// ranges that system calls write. An address space with a journal tells it in the order in which things happen;
// without one the cost is a comparison. What a range holds is read when the call is over (Docs/record.md).

/// Notes of one guest thread's system call.
public final class MemoryJournal {
  /// A change of the mappings. Addresses and sizes are whole pages.
  public enum Change: Equatable {
    /// A mapping, with the number of its file in the recorder's list; 0: anonymous.
    case map(Region, file: UInt32)
    case unmap(start: UInt64, size: UInt64)
    case protect(start: UInt64, size: UInt64, permissions: Permissions)
    case remap(start: UInt64, size: UInt64, newSize: UInt64, flags: RemapFlags, target: UInt64)
    case advise(start: UInt64, size: UInt64, advice: Int32)
    /// Everything is unmapped (execve).
    case reset
  }

  /// What happened, in order.
  public enum Entry: Equatable {
    case change(Change)
    /// The host or the personality may have written here.
    case write(start: UInt64, size: UInt64)
  }

  public private(set) var entries: [Entry] = []
  /// There is a change among them.
  public var changesMappings: Bool {
    entries.contains {
      if case .change = $0 { return true }
      return false
    }
  }
  /// A file is being mapped: the recorder's number for it. Called before anybody can change the mapped bytes or close the file.
  private let numberOfFile: (_ request: MapRequest, _ size: UInt64) -> UInt32
  /// The same for a segment of shared memory that has no file, such as those of shmat(2).
  private let numberOfSegment: (_ identity: Backing, _ size: UInt64) -> UInt32
  /// Changes that are parts of another one are not noted.
  private var depth = 0

  public init(
    numberOfFile: @escaping (_ request: MapRequest, _ size: UInt64) -> UInt32,
    numberOfSegment: @escaping (_ identity: Backing, _ size: UInt64) -> UInt32
  ) {
    (self.numberOfFile, self.numberOfSegment) = (numberOfFile, numberOfSegment)
  }

  /// Forgets all notes.
  public func removeAll() { entries.removeAll(keepingCapacity: true) }

  func note(_ change: Change) {
    if depth == 0 { entries.append(.change(change)) }
  }

  func noteMapping(_ request: MapRequest, _ region: Region) {
    if depth > 0 { return }
    let file = request.file == nil ? 0 : numberOfFile(request, region.size)
    note(.map(region, file: file))
  }

  /// A segment has been attached, with contents.
  func noteAttachment(_ identity: Backing, _ region: Region) {
    note(.map(region, file: numberOfSegment(identity, region.size)))
    noteWrite(region.start, region.size)
  }

  /// These bytes may have been written.
  public func noteWrite(_ start: UInt64, _ size: UInt64) {
    if size != 0 { entries.append(.write(start: start, size: size)) }
  }

  func noteReset() {
    removeAll()
    note(.reset)
  }

  /// Runs what is noted as a whole.
  func whole<Result>(_ body: () throws(MemoryError) -> Result) throws(MemoryError) -> Result {
    depth += 1
    defer { depth -= 1 }
    return try body()
  }
}
