// Self-modifying code. The engine reports pages it has decoded from; this file write-protects those that the guest may
// write, and tells the engine before any of them changes, by whatever way: a guest store (a host fault), a system call
// that writes guest memory, or a change of the mapping. Pages without decoded code cost nothing.
//
// Mappings of a file can alias: a shared one written, another executed, be it shared or private. All writable shared mappings
// of the same file page are protected and tracked together. Anonymous shared memory gets an identity as if it were a file
// when mremap(2) doubles it. Not seen: stores by other processes.

extension AddressSpace {
  /// Code has been decoded from these page numbers: from now on the observers hear of changes.
  public func markCode(_ pages: Range<UInt64>) {
    guard !pages.isEmpty, pages.upperBound <= limit >> Page.shift else { return }
    for region in table.regions(from: pages.lowerBound << Page.shift, to: pages.upperBound << Page.shift) {
      if isTracked(region) { continue }
      let region = whole(region)
      tracked.insert(region.start >> Page.shift..<region.end >> Page.shift)
      if region.flags.contains(.shared), region.backing != 0 { runsSharedFiles = true }
      if runsSharedFiles { beginCare() }
      if region.permissions.contains(.write) { protectFromWrites(region) }
      for alias in aliases(of: region)
      where alias.flags.contains(.shared) && alias.permissions.contains(.write) {
        tracked.insert(alias.start >> Page.shift..<alias.end >> Page.shift)
        protectFromWrites(alias)
      }
    }
  }

  /// The same for a block's bytes in `[start, end)`, which lie in two pages at most.
  public func markCode(from start: UInt64, to end: UInt64) {
    let first = start >> Page.shift
    let last = max(start, end &- 1) >> Page.shift
    if !isCode(page: first) { markCode(first..<first &+ 1) }
    if last != first && !isCode(page: last) { markCode(last..<last &+ 1) }
  }

  /// Marks the executable pages that a block at `start` can lie in, before it is read: other threads may be writing there, and
  /// what they write from now on is noticed.
  public func markCode(aheadOf start: UInt64, instructions: Int) {
    let last = start &+ UInt64(instructions &* 15)
    guard executableEnd(from: start, to: start &+ 1) != nil else { return }
    let next = Page.down(last)
    let crosses = next > start && executableEnd(from: next, to: next &+ 1) != nil
    markCode(from: start, to: crosses ? last : start &+ 1)
  }

  /// The number of runs of tracked pages, for tests and statistics.
  public var trackedRunCount: Int { tracked.ranges.count }

  /// True when a page holds decoded code.
  public func isCode(page: UInt64) -> Bool { tracked.contains(page) }

  /// A guest store to `address` faulted. True when only code tracking stood in its way: the page is writable again, its
  /// decoded code is gone, and the store can be repeated.
  public func handleWriteFault(_ address: UInt64) -> Bool {
    let page = address >> Page.shift
    guard tracked.contains(page), let region = query(address), region.permissions.contains(.write) else {
      return false
    }
    codeWillChange(from: page << Page.shift, to: (page &+ 1) << Page.shift)
    return true
  }

  /// Makes `[start, start + size)` writable for the host kernel as far as it is for the guest. Call before a host call
  /// that writes there.
  public func prepareHostWrite(_ start: UInt64, size: UInt64) {
    if size == 0 || start >= limit { return }
    journal?.noteWrite(start, min(size, limit &- start))
    if tracked.isEmpty { return }
    codeWillChange(from: start, to: rangeEnd(start, size) ?? limit)
  }

  /// The observers forget what they have decoded from the page of `address`, and threads that run it come out of guest code. For
  /// whoever wants it decoded differently from now on.
  public func forgetCode(at address: UInt64) {
    if address < limit { codeWillChange(from: address, to: address &+ 1) }
  }

  /// The same for all pages of a range.
  public func forgetCode(in range: Range<UInt64>) {
    codeWillChange(from: min(range.lowerBound, limit), to: min(range.upperBound, limit))
  }

  /// A file's contents are about to change by a call like write(2). Call it when `runsSharedFiles`.
  public func fileWillChange(device: UInt64, inode: UInt64) {
    for region in table.regions(from: 0, to: limit) {
      guard let file = backing(region.backing), file.inode == inode, file.device == device else { continue }
      codeWillChange(from: region.start, to: region.end)
    }
  }

  /// Stops tracking what overlaps `[start, end)`, restores the host's protections and tells the engine.
  func codeWillChange(from start: UInt64, to end: UInt64) {
    if tracked.isEmpty || start >= end { return }
    var pages = start >> Page.shift..<(Page.up(end) ?? limit) >> Page.shift
    // PERF: the common case, at every call that fills a buffer, makes no list of runs.
    if !tracked.overlaps(pages) { return }
    if let widening, pages.count <= 2 { pages = widening(pages) }
    for run in tracked.intersection(pages) { drop(whole(run), followAliases: true) }
  }

  private func drop(_ run: Range<UInt64>, followAliases: Bool) {
    tracked.remove(run)
    // Whoever watches the page sends other threads out of guest code before it is open for them, too.
    tellObservers(run)
    for region in table.regions(from: run.lowerBound << Page.shift, to: run.upperBound << Page.shift) {
      if region.permissions.contains(.write) { open(region) }
      if followAliases { dropAliases(of: region) }
    }
  }

  /// Makes a part of a region writable again. A host that allows no further mappings refuses to divide one
  /// (`vm.max_map_count`): then all of the region is opened, which divides nothing.
  private func open(_ part: Region) {
    let protection = AddressSpace.hostProtection(part.permissions)
    if HostMemory.protect(hostBase &+ part.start, part.size, protection) >= 0 { return }
    guard let region = query(part.start), region.size > part.size,
      HostMemory.protect(hostBase &+ region.start, region.size, protection) >= 0
    else { return }
    let others = tracked.intersection(region.start >> Page.shift..<region.end >> Page.shift)
    for run in others {
      tracked.remove(run)
      tellObservers(run)
    }
    dropAliases(of: region)
  }

  /// Forgets decoded code in other mappings of the file pages that `region` maps. What is written to a private mapping
  /// stays there.
  func dropAliases(of region: Region) {
    if tracked.isEmpty || !region.flags.contains(.shared) { return }
    for alias in aliases(of: region) {
      for run in tracked.intersection(alias.start >> Page.shift..<alias.end >> Page.shift) {
        drop(run, followAliases: false)
      }
    }
  }

  /// Other mappings of the same file pages that can see this one's contents change, or the other way round: two of which
  /// at least one is shared.
  private func aliases(of region: Region) -> [Region] {
    guard region.backing != 0, let file = backing(region.backing) else { return [] }
    let shared = region.flags.contains(.shared)
    var result: [Region] = []
    let fileEnd = region.offset &+ region.size
    for other in table.regions(from: 0, to: limit) {
      guard shared || other.flags.contains(.shared), let otherFile = backing(other.backing),
        otherFile.inode == file.inode,
        otherFile.device == file.device
      else { continue }
      let low = max(other.offset, region.offset)
      let high = min(other.offset &+ other.size, fileEnd)
      if low >= high { continue }
      let alias = other.clipped(other.start &+ (low &- other.offset), other.start &+ (high &- other.offset))
      if alias.start == region.start { continue }
      result.append(alias)
    }
    return result
  }

  private func isTracked(_ region: Region) -> Bool {
    let pages = region.start >> Page.shift..<region.end >> Page.shift
    let runs = tracked.intersection(pages)
    return runs.count == 1 && runs[0] == pages
  }

  private func protectFromWrites(_ region: Region) {
    beginCare()
    _ = HostMemory.protect(hostBase &+ region.start, region.size, HostMemory.protectionRead)
  }
}
