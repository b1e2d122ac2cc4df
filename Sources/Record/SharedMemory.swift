// Memory that recorded processes share and write. Those that have some run guest code one at a time: they pass a turn around, as threads
// pass the lock. Whoever has the turn notes which shared pages it writes; whoever gets it takes what others have written since its
// last turn for an event of its own timeline. So each timeline is complete by itself, and its replay needs nobody else.
//
// Shared pages are tracked as pages of code are: protected on the host until the guest or the host's kernel is about to write them.
import CHost
import GuestMemory
import Linux

final class SharedMemory {
  private let family: RecordingFamily
  private let memory: AddressSpace
  /// The timeline, plus 1.
  private var own: UInt64 = 1
  /// This process takes turns.
  private var isMember: Bool { memory.turn != nil }
  /// Others may have the same memory, so that writes have to be noted.
  private var isTracking = false
  /// What is shared, wherever it is mapped, and the mappings of it.
  private var places: Set<HostFile.Place> = []
  private var regions: [(region: Region, place: HostFile.Place)] = []
  /// Of the noted pages so many are known here.
  private var seen: UInt64 = 0
  /// Page numbers that have been written since another process had its turn, and are not protected any more.
  private var opened: Set<UInt64> = []
  /// Files of `places` that the recording has already, and that have been mapped again: their contents may be others.
  private var known: Set<UInt32> = []
  /// The journal tells of what is written, better than the tracking of pages does.
  var isInCall = false
  private lazy var observer = CodeObserver(
    hasCode: { _ in false },
    forget: { [unowned self] pages in
      if isTracking, !isInCall || pages.count == 1 { noteWritten(pages) }
    })

  init(_ family: RecordingFamily, _ memory: AddressSpace) {
    (self.family, self.memory) = (family, memory)
    memory.nextAnonymousIdentity = { family.nextIdentity() }
    memory.add(observer)
  }

  /// Another process may have written since this one, which takes turns, had a look.
  var isBehind: Bool { family.holder != own || family.writtenCount != seen }

  // MARK: Mappings

  /// A file is about to be shared by a mapping, and nothing of it has been read yet: whether others may write it.
  func willMap(_ request: MapRequest) -> Bool {
    guard let file = request.file, request.flags.contains(.shared) else { return false }
    let isWritten = HostFile.isOpenForBoth(file.descriptor) || HostFile.isInMemory(file.descriptor)
    if !isWritten { return false }
    willShare(file.identity)
    return true
  }

  /// What others may write is being mapped.
  func willShare(_ identity: Backing) {
    places.insert(HostFile.Place(identity))
    join()
  }

  /// The file that `willMap` was told of is in the recording, by this number.
  func mapsKnown(_ file: UInt32) { known.insert(file) }

  /// A system call of the thread on `cpu` may have changed mappings and written memory, which is taken note of. Before its effects are
  /// looked at: what is shared now, others do not write in the meantime.
  func take(
    _ journal: MemoryJournal, _ process: LinuxProcess, _ cpu: UnsafeMutablePointer<vt_cpu_state>
  ) {
    isInCall = false
    if journal.changesMappings {
      for case .change(.map(let region, let file)) in journal.entries where region.flags.contains(.shared) {
        if file == 0, let backing = memory.backing(region.backing) { willShare(backing) }
        if known.contains(file) { journal.noteWrite(region.start, region.size) }
      }
      known = []
      if !places.isEmpty { findRegions(process, cpu) }
    }
    takeWrites(journal)
  }

  /// The same of what changes no mappings.
  func takeWrites(_ journal: MemoryJournal) {
    if !isTracking { return }
    for case .write(let start, let size) in journal.entries {
      let last = start &+ size &- 1
      if last >= start { noteWritten(start >> Page.shift..<last >> Page.shift &+ 1) }
    }
  }

  /// Mappings have changed.
  private func findRegions(_ process: LinuxProcess, _ cpu: UnsafeMutablePointer<vt_cpu_state>) {
    regions = []
    for region in memory.regions() where region.flags.contains(.shared) {
      guard let backing = memory.backing(region.backing) else { continue }
      let place = HostFile.Place(backing)
      if places.contains(place) { regions.append((region, place)) }
    }
    if regions.isEmpty { return leave() }
    join()
    process.beginThreads(cpu)
    if isTracking { protectAll() }
  }

  // MARK: Turns

  /// Takes turns from now on. Who has run last has noted nothing that this process needs.
  private func join() {
    if isMember { return }
    vt_turn_acquire(family.turn)
    memory.turn = family.turn
    seen = family.writtenCount
    if family.holder == 0 { family.holder = own } else { isTracking = true }
  }

  private func leave() {
    places = []
    if !isMember { return }
    isTracking = false
    opened = []
    memory.turn = nil
    vt_turn_release(family.turn)
  }

  /// The turn is this process's: where others have written shared memory since it was the last time.
  func catchUp() -> [Range<UInt64>] {
    family.holder = own
    var ranges: [Range<UInt64>] = []
    if family.writtenCount &- seen > RecordingFamily.capacity {
      ranges = regions.flatMap { SharedMemory.parts($0.region) }
    } else {
      var pages: Set<RecordingFamily.SharedPage> = []
      while seen != family.writtenCount {
        pages.insert(family.writtenPage(seen))
        seen &+= 1
      }
      for page in pages {
        for (region, place) in regions where place == page.place {
          let offset = page.number << Page.shift &- region.offset
          let start = region.start &+ offset
          if offset < region.size { ranges.append(start..<start &+ Page.size) }
        }
      }
    }
    seen = family.writtenCount
    track()
    return ranges
  }

  /// The region in pieces that fit into events.
  private static func parts(_ region: Region) -> [Range<UInt64>] {
    let size: UInt64 = 1 << 20
    return stride(from: region.start, to: region.end, by: Int(size)).map {
      $0..<min($0 &+ size, region.end)
    }
  }

  /// A child is about to be made: it has the same memory, and knows what has been noted. What this process writes later in its turn is to be
  /// noted again.
  func willFork() {
    if isMember { track() }
  }

  /// This is a child, of the number `timeline`, whose only thread is on `cpu`.
  func forked(_ timeline: UInt64, _ process: LinuxProcess, _ cpu: UnsafeMutablePointer<vt_cpu_state>) {
    own = timeline &+ 1
    memory.add(observer)
    if !isMember { return }
    process.beginThreads(cpu)
    vt_turn_acquire(family.turn)
  }

  // MARK: Written pages

  /// From now on each page that is written is noted once more.
  private func track() {
    if isTracking { protectOpened() } else { protectAll() }
    isTracking = true
  }

  /// Page numbers of the guest's that are about to be, or may have been, written.
  private func noteWritten(_ pages: Range<UInt64>) {
    let isUpToDate = seen == family.writtenCount
    // Of what is noted already nobody has taken anything yet.
    let isOwnTurn = family.holder == own
    for (region, place) in regions {
      let start = max(pages.lowerBound, region.start >> Page.shift)
      let end = min(pages.upperBound, region.end >> Page.shift)
      if start >= end { continue }
      for page in start..<end where opened.insert(page).inserted || !isOwnTurn {
        let number = (region.offset &+ (page << Page.shift &- region.start)) >> Page.shift
        family.noteWritten(RecordingFamily.SharedPage(place: place, number: number))
      }
    }
    if isUpToDate { seen = family.writtenCount }
  }

  private func protectOpened() {
    let most = 64
    if opened.count > most { return protectAll() }
    for page in opened { memory.markCode(page..<page &+ 1) }
    opened.removeAll(keepingCapacity: true)
  }

  private func protectAll() {
    opened.removeAll(keepingCapacity: true)
    for (region, _) in regions where region.permissions.contains(.write) {
      memory.markCode(region.start >> Page.shift..<region.end >> Page.shift)
    }
  }
}
