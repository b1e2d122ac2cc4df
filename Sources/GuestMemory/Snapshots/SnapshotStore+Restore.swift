// Making a snapshot the present. In this order, so that the region table always tells the truth about the
// host's mappings:
//
//     1. pages of mappings that stay are rewritten where they differ
//     2. other mappings go; the table becomes the snapshot's; what is missing is mapped and filled,
//        permissions are set
//     3. everything is closed to stores again
//
// Before a page changes, the engines forget the code in it.
import CHost

extension SnapshotStore {
  /// Makes memory what it was when `snapshot` was taken, earlier or later than now. Takes time for the pages
  /// that have changed since the last turn and for those in which the snapshots differ. False when something
  /// could not be: for a snapshot that is not complete nothing has changed; else the host has refused a
  /// mapping, or a shared file could not be written.
  @discardableResult public func restore(_ snapshot: Snapshot) -> Bool {
    guard let target = snapshot.state, target.isComplete else { return false }
    memory.evictAll()
    isRestoring = true
    wroteShared = false
    defer { isRestoring = false }
    var change = MappingChange(memory, target, renewing: []) { fileFor($0) == nil }
    var changes = unlike(target, change.replaced)
    let resized = resizedObjects(changes, target.images)
    if !resized.isEmpty {
      change = MappingChange(memory, target, renewing: resized) { fileFor($0) == nil }
      changes.removeAll { change.replaced.contains($0) }
    }
    var failures: [UInt64] = []
    rewrite(changes, target.images, &failures)
    remap(change, target, &failures)
    if wroteShared {
      var late: [UInt64] = []
      compareUnknown(target.images, PageRanges(), &late)
      rewrite(late, target.images, &failures)
    }
    images = target.images
    for piece in unknownPieces() { close(piece.region, piece.pages) }
    for page in failures { memory.codeWillChange(from: page << Page.shift, to: (page &+ 1) << Page.shift) }
    begin()
    return failures.isEmpty
  }

  /// The pages of mappings that stay which are not as in `target`, in order.
  private func unlike(_ target: SnapshotState, _ replaced: PageRanges) -> [UInt64] {
    var changes: [UInt64] = []
    images.forEachDifference(from: target.images) { page in
      if known.contains(page), !replaced.contains(page) { changes.append(page) }
    }
    let isSorted = changes.isEmpty
    compareUnknown(target.images, replaced, &changes)
    if !isSorted { changes.sort() }
    return changes
  }

  /// Objects without a file that can be had, of which pages can be read now and could not then, or the other
  /// way round: the size was another one.
  private func resizedObjects(_ pages: [UInt64], _ target: PageImages) -> Set<MappedObject> {
    var result: Set<MappedObject> = []
    var region = Region(start: 0, end: 0, permissions: [])
    var isFileless = false
    for page in pages {
      if !region.contains(page << Page.shift) {
        guard let next = memory.query(page << Page.shift) else { continue }
        region = next
        isFileless = kind(of: region) == .whole && file(of: region) == nil
      }
      // An entry of a page that is known tells what it is now; the others have been compared.
      guard isFileless else { continue }
      var isReadable = target[page] == .unreadable
      if !isReadable {
        var reader = PageReader(memory, .none)
        reader.revealing(region, page..<page &+ 1) { isReadable = $0.read(page, into: scratch) }
        if isReadable { continue }
      }
      result.insert(
        MappedObject(backing: memory.backing(region.backing), isShared: region.flags.contains(.shared)))
    }
    return result
  }

  private func file(of region: Region) -> SnapshotFile? {
    memory.backing(region.backing).flatMap { fileFor($0) }
  }

  private func compareUnknown(_ target: PageImages, _ replaced: PageRanges, _ changes: inout [UInt64]) {
    var reader = PageReader(memory, source)
    for piece in unknownPieces() {
      for pages in replaced.missing(from: piece.pages) {
        compare(piece.region, pages, target, &reader, &changes)
      }
    }
  }

  // MARK: Contents

  /// Pages so near to each other are opened together.
  private static let nearby: UInt64 = 16

  /// Writes pages of mapped regions, stretch by stretch; each is closed behind it.
  private func rewrite(_ pages: [UInt64], _ target: PageImages, _ failures: inout [UInt64]) {
    var index = 0
    while index < pages.count {
      let first = pages[index]
      guard let region = memory.query(first << Page.shift) else {
        index &+= 1
        continue
      }
      var last = first
      let begin = index
      index &+= 1
      while index < pages.count, pages[index] << Page.shift < region.end,
        pages[index] &- last <= SnapshotStore.nearby
      {
        let gap = last &+ 1..<pages[index]
        if !gap.isEmpty, memory.observers.contains(where: { $0 !== observer && $0.hasCode(gap) }) { break }
        last = pages[index]
        index &+= 1
      }
      memory.codeWillChange(from: first << Page.shift, to: (last &+ 1) << Page.shift)
      fill(region, pages[begin..<index], target, &failures)
      close(region, first..<last &+ 1)
    }
  }

  /// Gives pages of one region, which is open to stores as far as it is for the guest, their contents in
  /// `target`.
  private func fill(
    _ region: Region, _ pages: ArraySlice<UInt64>, _ target: PageImages, _ failures: inout [UInt64]
  ) {
    guard let first = pages.first, let last = pages.last else { return }
    let isClosed = !region.permissions.contains(.write)
    let start = memory.hostBase &+ first << Page.shift
    let size = (last &+ 1 &- first) << Page.shift
    if isClosed {
      _ = HostMemory.protect(start, size, HostMemory.protectionRead | HostMemory.protectionWrite)
    }
    if region.flags.contains(.shared) { wroteShared = true }
    var index = pages.startIndex
    while index < pages.endIndex {
      let page = pages[index]
      index &+= 1
      let entry = target[page]
      if entry != .pristine {
        if !put(entry, page, region) { failures.append(page) }
        continue
      }
      var end = page &+ 1
      while index < pages.endIndex, pages[index] == end, target[end] == .pristine {
        end &+= 1
        index &+= 1
      }
      if !clear(region, page..<end, isOpen: isClosed) { failures.append(page) }
    }
    if isClosed { _ = HostMemory.protect(start, size, AddressSpace.hostProtection(region.permissions)) }
  }

  /// Gives pages of a private mapping back what was there before anybody wrote them.
  private func clear(_ region: Region, _ pages: Range<UInt64>, isOpen: Bool) -> Bool {
    let start = memory.hostBase &+ pages.lowerBound << Page.shift
    let size = (pages.upperBound &- pages.lowerBound) << Page.shift
    let (dontNeed, guardRemove): (Int32, Int32) = (4, 103)
    // Guards outlive MADV_DONTNEED. Kernels that have none refuse.
    _ = HostMemory.advise(start, size, guardRemove)
    if HostMemory.advise(start, size, dontNeed) >= 0 { return true }
    // Locked pages (mlock(2)) stay: a new mapping, then.
    var part = region.clipped(pages.lowerBound << Page.shift, pages.upperBound << Page.shift)
    if isOpen { part.permissions.insert(.write) }
    var files: [FileKey: Int64] = [:]
    defer { SnapshotStore.close(files) }
    return mapOnHost(part, nil, &files)
  }

  /// Writes one page, which is open.
  private func put(_ entry: PageEntry, _ page: UInt64, _ region: Region) -> Bool {
    let place = memory.host(page << Page.shift)
    let start = memory.hostBase &+ page << Page.shift
    let (guardInstall, guardRemove): (Int32, Int32) = (102, 103)
    if entry == .unreadable || entry == .guarded {
      if vt_guard_copy(scratch, place, Int(Page.size)) != 0 { return true }
      return entry == .guarded && HostMemory.advise(start, Page.size, guardInstall) >= 0
    }
    let source = entry.image.map { pool.place($0) } ?? zeros
    if vt_guard_copy(place, source, Int(Page.size)) == 0 { return true }
    if HostMemory.advise(start, Page.size, guardRemove) >= 0,
      vt_guard_copy(place, source, Int(Page.size)) == 0
    {
      return true
    }
    // A shared mapping of a file that was opened for reading: another way into the file may be open.
    guard region.flags.contains(.shared), let file = file(of: region) else { return false }
    let offset = file.offset &+ region.offset &+ (page << Page.shift &- region.start)
    return vt_syscall6(
      HostMemory.pwriteNumber, Int64(file.descriptor), Int64(Int(bitPattern: source)),
      Int64(bitPattern: Page.size), Int64(bitPattern: offset), 0, 0) == Int64(Page.size)
  }

  // MARK: Mappings

  /// A file made for regions whose own cannot be had.
  struct FileKey: Hashable {
    var backing: UInt32
    var isShared: Bool
  }

  private static func close(_ files: [FileKey: Int64]) {
    for descriptor in files.values { _ = vt_syscall6(HostMemory.closeNumber, descriptor, 0, 0, 0, 0, 0) }
  }

  /// Brings the region table and the host's mappings to what they are in `target`, with the contents of what
  /// is new.
  private func remap(_ change: MappingChange, _ target: SnapshotState, _ failures: inout [UInt64]) {
    for range in change.replaced.ranges {
      let (start, end) = (range.lowerBound << Page.shift, range.upperBound << Page.shift)
      memory.codeWillChange(from: start, to: end)
      if HostMemory.reserve(memory.hostBase &+ start, end &- start) < 0 { failures.append(range.lowerBound) }
    }
    for region in change.reprotected { memory.codeWillChange(from: region.start, to: region.end) }
    let vdso = target.table.regions(from: 0, to: memory.limit).filter { $0.flags.contains(.indivisible) }
    var state = target
    if change.movesVDSO { for part in vdso { state.table.remove(part.start, part.end) } }
    state.put(into: memory)
    if change.movesVDSO, let first = vdso.first, !mapVDSO(vdso) { failures.append(first.start >> Page.shift) }
    for region in change.reprotected {
      let protection = AddressSpace.hostProtection(region.permissions)
      if HostMemory.protect(memory.hostBase &+ region.start, region.size, protection) < 0 {
        failures.append(region.start >> Page.shift)
      }
    }
    mapFresh(change.fresh.filter { !$0.flags.contains(.indivisible) }, target, &failures)
  }

  private func mapFresh(_ regions: [Region], _ target: SnapshotState, _ failures: inout [UInt64]) {
    var files: [FileKey: Int64] = [:]
    defer { SnapshotStore.close(files) }
    for region in regions where !mapOnHost(region, target, &files) {
      failures.append(region.start >> Page.shift)
    }
    var reader = PageReader(memory, .none)
    for region in regions {
      let kind = kind(of: region)
      let hasFile = file(of: region) != nil
      var pages: [UInt64] = []
      target.images.forEach(in: region.start >> Page.shift..<region.end >> Page.shift) { page, entry in
        if entry == .unreadable { return }
        if entry == .zero, !hasFile { return }
        let isLooked = kind == .whole && hasFile && !region.permissions.isEmpty
        if isLooked, !differs(page, entry, kind, &reader) { return }
        pages.append(page)
      }
      fill(region, pages[...], target.images, &failures)
    }
  }

  private func mapVDSO(_ parts: [Region]) -> Bool {
    guard let first = parts.first, (try? memory.mapVDSO(at: first.start)) != nil else { return false }
    let regions = memory.table.regions(from: 0, to: memory.limit).filter { $0.flags.contains(.indivisible) }
    if regions.elementsEqual(parts, by: { $0.start == $1.start && $0.end == $1.end }) { return true }
    for region in regions { try? memory.unmap(region.start, size: region.size) }
    return false
  }

  /// Has the host map a region as it was. A file that cannot be had is replaced by an empty one of the length
  /// that could be read, one for all shared mappings of it.
  private func mapOnHost(_ region: Region, _ target: SnapshotState?, _ files: inout [FileKey: Int64]) -> Bool
  {
    var descriptor: Int64 = -1
    var offset: UInt64 = 0
    if memory.backing(region.backing) != nil {
      offset = region.offset
      if let file = file(of: region) {
        return mapOnHost(region, Int64(file.descriptor), file.offset &+ region.offset)
      }
      let key = FileKey(backing: region.backing, isShared: region.flags.contains(.shared))
      descriptor = files[key] ?? emptyFile(fileSize(key, target))
      if descriptor < 0 { return false }
      files[key] = descriptor
    }
    guard mapOnHost(region, descriptor, offset) else { return false }
    return region.flags.isDisjoint(with: .shared) && descriptor < 0 || closeHoles(region, target, &files)
  }

  private func mapOnHost(_ region: Region, _ descriptor: Int64, _ offset: UInt64) -> Bool {
    var flags = HostMemory.fixed
    flags |= region.flags.contains(.shared) ? HostMemory.shared : HostMemory.private
    if region.flags.contains(.noReserve) { flags |= HostMemory.noReserve }
    if descriptor < 0 { flags |= HostMemory.anonymous }
    return HostMemory.map(
      memory.hostBase &+ region.start, region.size,
      protection: AddressSpace.hostProtection(region.permissions), flags: flags,
      descriptor: Int32(truncatingIfNeeded: descriptor), offset: offset) >= 0
  }

  /// Maps a file of no length over the pages that could not be read: they raise SIGBUS, as they did.
  private func closeHoles(_ region: Region, _ target: SnapshotState?, _ files: inout [FileKey: Int64]) -> Bool
  {
    guard let images = target?.images else { return true }
    var holes = PageRanges()
    images.forEach(in: region.start >> Page.shift..<region.end >> Page.shift) { page, entry in
      if entry == .unreadable { holes.insert(page..<page &+ 1) }
    }
    if region.backing != 0 {
      // Behind the file's end there is nothing to be closed.
      let key = FileKey(backing: region.backing, isShared: region.flags.contains(.shared))
      let end = max(fileSize(key, target), region.offset) &- region.offset &+ region.start
      if end < region.end { holes.remove(end >> Page.shift..<region.end >> Page.shift) }
    }
    if holes.isEmpty { return true }
    let key = FileKey(backing: 0, isShared: false)
    let descriptor = files[key] ?? emptyFile(0)
    if descriptor < 0 { return false }
    files[key] = descriptor
    return holes.ranges.allSatisfy {
      mapOnHost(region.clipped($0.lowerBound << Page.shift, $0.upperBound << Page.shift), descriptor, 0)
    }
  }

  /// How far mappings of `key` could be read.
  private func fileSize(_ key: FileKey, _ target: SnapshotState?) -> UInt64 {
    guard let target else { return 0 }
    var size: UInt64 = 0
    for region in target.table.regions(from: 0, to: memory.limit)
    where region.backing == key.backing && region.flags.contains(.shared) == key.isShared {
      var end = region.end
      while end > region.start, target.images[(end &- 1) >> Page.shift] == .unreadable { end &-= Page.size }
      if end > region.start { size = max(size, region.offset &+ (end &- region.start)) }
    }
    return size
  }

  /// A file in memory; below zero: -errno.
  private func emptyFile(_ size: UInt64) -> Int64 {
    let name: StaticString = "vitrine-snapshot"
    let closeOnExec: Int64 = 1
    let descriptor = vt_syscall6(
      HostMemory.memfdCreateNumber, Int64(Int(bitPattern: name.utf8Start)), closeOnExec, 0, 0, 0, 0)
    if descriptor < 0 { return descriptor }
    let result = vt_syscall6(
      HostMemory.ftruncateNumber, descriptor, Int64(bitPattern: size), 0, 0, 0, 0)
    if result >= 0 { return descriptor }
    _ = vt_syscall6(HostMemory.closeNumber, descriptor, 0, 0, 0, 0, 0)
    return result
  }
}
