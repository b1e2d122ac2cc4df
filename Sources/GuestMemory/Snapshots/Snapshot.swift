// A snapshot: guest memory as it was at one moment. A value that only its store can make and use; it holds
// the region table, the program break and limits, and an index of pages' contents that it shares with other
// snapshots (PageImages.swift).

/// Guest memory at a moment. It stays what it is until it is dropped.
public final class Snapshot {
  /// Nil once it has been dropped.
  var state: SnapshotState?

  init(_ state: SnapshotState) { self.state = state }

  /// False when the host had no memory for all of it, or when it has been dropped: then it cannot be
  /// restored.
  public var isComplete: Bool { state?.isComplete ?? false }
}

/// What a snapshot remembers.
struct SnapshotState {
  var table = RegionTable()
  var backings = BackingTable()
  var images = PageImages()
  var breakStart: UInt64 = 0
  var breakEnd: UInt64 = 0
  var searchTop: UInt64 = 0
  var stackLimit: UInt64 = 0
  var sizeLimit: UInt64 = 0
  var dataLimit: UInt64 = 0
  var anonymousIdentities: UInt64 = 0
  var isComplete = true

  /// Everything but the contents of pages.
  init(of memory: AddressSpace) {
    table = memory.table
    backings = memory.backings
    breakStart = memory.breakStart
    breakEnd = memory.breakEnd
    searchTop = memory.searchTop
    stackLimit = memory.stackLimit
    sizeLimit = memory.sizeLimit
    dataLimit = memory.dataLimit
    anonymousIdentities = memory.anonymousIdentities
  }

  /// Makes `memory` believe so.
  func put(into memory: AddressSpace) {
    memory.table = table
    memory.backings = backings
    memory.breakStart = breakStart
    memory.breakEnd = breakEnd
    memory.searchTop = searchTop
    memory.stackLimit = stackLimit
    memory.sizeLimit = sizeLimit
    memory.dataLimit = dataLimit
    memory.anonymousIdentities = anonymousIdentities
  }
}

/// How the host gets at a mapped file.
public struct SnapshotFile: Sendable {
  /// A host descriptor that can be mapped as the region was. It stays the caller's.
  public var descriptor: Int32
  /// Where in it offset 0 of the mapped file is, in bytes; a multiple of 4096.
  public var offset: UInt64

  public init(descriptor: Int32, offset: UInt64 = 0) {
    self.descriptor = descriptor
    self.offset = offset
  }
}
