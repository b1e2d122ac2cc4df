// Snapshots of guest memory: any number of them, each of which can be made the present again. Owns the images
// of pages, the index of what is in each page as far as that is known (`images`), and the set of pages that
// have not changed since (`known`).
//
//     known pages are closed to stores, as pages with code are (AddressSpace+Code.swift)
//        ── the guest stores: a fault ──► opened together with neighbours, no longer known
//        ── take: the pages that are not known are looked at, and closed again
//        ── restore: those, and the pages that differ, are written
//
// Whatever changes memory tells the observers first, so a page that is known and mapped is as `images` says;
// new mappings are not known. Nobody else may write the mapped files' pages. One store is for one address
// space in one process: a forked child needs its own.
import CHost

/// Takes and restores snapshots of an address space. Not for guest memory that somebody changes meanwhile:
/// with several guest threads the caller holds the lock, and they are brought out of guest code.
public final class SnapshotStore {
  let memory: AddressSpace
  let fileFor: (Backing) -> SnapshotFile?
  let pool = ImagePool()
  /// How to find out which pages the host holds.
  let source: ResidencySource
  var observer: CodeObserver?

  /// What is in the pages that are known.
  var images = PageImages()
  /// All pages that are mapped and have not changed since `images` was right.
  var known = PageRanges()
  /// What was known at the end of the last turn: images of other pages there are none.
  private var knownBefore = PageRanges()
  /// Memory is being restored: pages are opened exactly as they are asked for.
  var isRestoring = false
  /// Shared memory has been written while restoring: private pages of the same file may have changed with it.
  var wroteShared = false
  /// 4096 bytes for a page's contents, and as many zeros.
  // SAFETY: allocated in init, freed in deinit.
  let scratch: UnsafeMutableRawPointer
  let zeros: UnsafeMutableRawPointer
  /// Counts takes and restores: leaves of an earlier turn belong to snapshots.
  var turn: UInt64 = 0
  /// Faults since the last turn, which make the stretches that are opened longer.
  private var openings: UInt64 = 0

  /// `fileFor` gives a descriptor with which a region of a file can be mapped again; it must give the same
  /// answer each time. Pages of its private mappings that the guest has not written are then the file's
  /// business. Without one (nil) all pages of the region are kept, and the region is restored with a file
  /// that nobody else sees.
  public convenience init(memory: AddressSpace, fileFor: @escaping (Backing) -> SnapshotFile?) {
    self.init(memory: memory, source: .scan, fileFor: fileFor)
  }

  init(memory: AddressSpace, source: ResidencySource, fileFor: @escaping (Backing) -> SnapshotFile?) {
    self.memory = memory
    self.source = source
    self.fileFor = fileFor
    scratch = .allocate(byteCount: Int(Page.size), alignment: 64)
    zeros = .allocate(byteCount: Int(Page.size), alignment: 64)
    zeros.initializeMemory(as: UInt8.self, repeating: 0, count: Int(Page.size))
    // SAFETY: the closures are taken back in deinit; a counted reference would keep the store for ever.
    let observer = CodeObserver(
      hasCode: { _ in false }, forget: { [unowned(unsafe) self] in known.remove($0) })
    self.observer = observer
    memory.add(observer)
    memory.widening = { [unowned(unsafe) self] in widened($0) }
  }

  deinit {
    if let observer { memory.remove(observer) }
    memory.widening = nil
    scratch.deallocate()
    zeros.deallocate()
  }

  /// Bytes that images and their index occupy.
  public var bytes: UInt64 { pool.bytes }

  /// Remembers memory as it is. Takes time for the pages that have changed since the last snapshot was taken
  /// or restored.
  public func take() -> Snapshot {
    memory.evictAll()
    var reader = PageReader(memory, source)
    var isComplete = true
    for piece in unknownPieces() where isComplete {
      isComplete = record(piece.region, piece.pages, &reader)
      if isComplete { close(piece.region, piece.pages) }
    }
    clearUnmapped()
    var state = SnapshotState(of: memory)
    state.images = images
    state.isComplete = isComplete
    begin()
    return Snapshot(state)
  }

  /// Gives up a snapshot and the images that no other needs.
  public func drop(_ snapshot: Snapshot) { snapshot.state = nil }

  /// A number for all of guest memory: see `AddressSpace.contentHash`.
  public func hash() -> UInt64 { memory.contentHash(source) }

  /// What is kept now belongs to a snapshot, too.
  func begin() {
    turn &+= 1
    openings = 0
    knownBefore = known
  }

  /// Gives up the images of pages that are not mapped any more.
  private func clearUnmapped() {
    for range in knownBefore.ranges {
      for gap in known.missing(from: range) {
        var next = gap.lowerBound
        let regions = memory.table.regions(
          from: gap.lowerBound << Page.shift, to: gap.upperBound << Page.shift)
        for region in regions {
          images.clear(next..<max(next, region.start >> Page.shift), pool, turn: turn)
          next = region.end >> Page.shift
        }
        images.clear(min(next, gap.upperBound)..<gap.upperBound, pool, turn: turn)
      }
    }
  }

  // MARK: What changes

  /// What has to be kept of a region's pages.
  enum Kind {
    /// Private anonymous: a page that was never touched is zeros.
    case anonymous
    /// Private with a file: a page that was never written is the file's.
    case file
    /// Shared, or of a file that cannot be mapped again: everything.
    case whole
  }

  func kind(of region: Region) -> Kind {
    if region.flags.contains(.shared) { return .whole }
    guard let backing = memory.backing(region.backing) else { return .anonymous }
    return fileFor(backing) == nil ? .whole : .file
  }

  /// The mapped pages that are not known, in order. The vdso is the host kernel's.
  func unknownPieces() -> [(region: Region, pages: Range<UInt64>)] {
    var result: [(region: Region, pages: Range<UInt64>)] = []
    let ranges = known.ranges
    var index = 0
    for region in memory.table.regions(from: 0, to: memory.limit) where !region.flags.contains(.indivisible) {
      var next = region.start >> Page.shift
      let end = region.end >> Page.shift
      while next < end {
        while index < ranges.count, ranges[index].upperBound <= next { index &+= 1 }
        let gapEnd = index < ranges.count ? min(ranges[index].lowerBound, end) : end
        if next < gapEnd { result.append((region, next..<gapEnd)) }
        next = index < ranges.count ? max(gapEnd, min(ranges[index].upperBound, end)) : end
      }
    }
    return result
  }

  /// Closes pages, whose contents are in `images`, to stores.
  func close(_ region: Region, _ pages: Range<UInt64>) {
    memory.tracked.insert(pages)
    if region.permissions.contains(.write) {
      let start = memory.hostBase &+ pages.lowerBound << Page.shift
      let size = (pages.upperBound &- pages.lowerBound) << Page.shift
      if HostMemory.protect(start, size, HostMemory.protectionRead) < 0 {
        // The host divides no mapping any more: all of the region is opened, and looked at each time.
        memory.codeWillChange(from: region.start, to: region.end)
        _ = HostMemory.protect(
          memory.hostBase &+ region.start, region.size, AddressSpace.hostProtection(region.permissions))
        return
      }
    }
    // Calls that write files tell, from now on.
    if region.flags.contains(.shared), region.backing != 0 { memory.runsSharedFiles = true }
    known.insert(pages)
  }

  // MARK: How much is opened

  /// Pages that are opened at once, at least.
  private static let leastOpened: UInt64 = 16
  /// Behind or below pages that are open already: as many again, at most this many.
  private static let mostStreamed: UInt64 = 2048
  /// After so many faults twice as many pages are opened each time: the number of stretches, each of which
  /// divides a mapping of the host, stays within reason whatever the guest does.
  private static let openingsPerLevel: UInt64 = 256

  /// The pages to be opened when `pages`, one or two, are about to be written. Those from which others have
  /// decoded code stay closed, as far as possible.
  private func widened(_ pages: Range<UInt64>) -> Range<UInt64> {
    if isRestoring { return pages }
    let page = pages.lowerBound
    guard let region = memory.query(page << Page.shift), region.permissions.contains(.write),
      let run = known.run(containing: page)
    else { return pages }
    openings &+= 1
    let level = min(openings / SnapshotStore.openingsPerLevel, 30)
    var size = SnapshotStore.leastOpened << level
    let first = region.start >> Page.shift
    let last = region.end >> Page.shift
    var start = page & ~(size &- 1)
    if run.lowerBound == page, page > first {
      // Just above what is open: a program that goes upwards.
      let below = page &- max(known.end(before: page), first)
      size = max(size, min(below, SnapshotStore.mostStreamed))
      start = page
    } else if run.upperBound == page &+ 1, page &+ 1 < last {
      let above = min(known.start(after: page), last) &- page
      size = max(size, min(above, SnapshotStore.mostStreamed))
      start = page &+ 1 > size ? page &+ 1 &- size : 0
    }
    var opened = max(start, first)..<max(min(start &+ size, last), page &+ 1)
    while opened.upperBound &- opened.lowerBound > 1, holdsCode(opened) {
      let half = max((opened.upperBound &- opened.lowerBound) / 2, 1)
      let low = max(opened.lowerBound, page &- min(page, half / 2))
      opened = low..<max(min(opened.upperBound, low &+ half), page &+ 1)
    }
    return min(opened.lowerBound, pages.lowerBound)..<max(opened.upperBound, pages.upperBound)
  }

  private func holdsCode(_ pages: Range<UInt64>) -> Bool {
    memory.observers.contains { $0 !== observer && $0.hasCode(pages) }
  }
}
