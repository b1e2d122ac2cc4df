// mseal(2): memory that is neither unmapped, moved, replaced nor protected otherwise until the next program; and remap_file_pages(2),
// which puts other pages of a file into a mapping. Both know the guest's regions only; the host's kernel never seals anything, because
// execve(2) has to empty the window.
import CHost

extension AddressSpace {
  /// mseal(2). Throws EINVAL for an unaligned start or a size that wraps around, ENOMEM for holes.
  public func seal(_ start: UInt64, size: UInt64) throws(MemoryError) {
    guard start & Page.mask == 0, let rounded = Page.up(size) else { throw .invalid }
    if rounded == 0 {
      if size != 0 { throw .invalid }
      return
    }
    let (end, overflow) = start.addingReportingOverflow(rounded)
    if overflow { throw .invalid }
    if end > limit || table.coveredEnd(from: start, to: end) != end { throw .noMemory }
    hasSeals = true
    table.update(start, end) { $0.flags.insert(.sealed) }
  }

  /// Throws EPERM when something in `[start, end)` is sealed.
  func checkSeals(_ start: UInt64, _ end: UInt64) throws(MemoryError) {
    if firstSeal(from: start, to: end) != nil { throw .notPermitted }
  }

  /// Where the first sealed region in `[start, end)` begins, at least `start`.
  func firstSeal(from start: UInt64, to end: UInt64) -> UInt64? {
    if !hasSeals { return nil }
    return table.regions(from: start, to: end).first { $0.flags.contains(.sealed) }?.start
  }

  /// remap_file_pages(2): the pages of `[start, start + size)`, part of one shared mapping, become those of its file from page `page` on.
  /// Throws EINVAL where there is no such mapping, and what the host says.
  public func remapFilePages(_ start: UInt64, size: UInt64, page: UInt64, flags: UInt64) throws(MemoryError) {
    let (start, size) = (Page.down(start), Page.down(size))
    guard size != 0, let end = rangeEnd(start, size), page &+ size >> Page.shift >= page,
      let region = query(start), region.flags.contains(.shared), region.end >= end
    else { throw .invalid }
    try checkSeals(start, end)
    codeWillChange(from: start, to: end)
    try AddressSpace.check(HostMemory.remapFilePages(hostBase &+ start, size, page: page, flags: flags))
    _ = identified(region.start)
    table.update(start, end) { $0.offset = (page << Page.shift) &+ ($0.start &- start) }
    journal?.noteWrite(start, size)
    if region.permissions.contains(.write), let now = query(start) { dropAliases(of: now) }
  }
}

extension Region {
  /// Whether madvise(2) with `advice` would discard what a seal is to keep. It may where the guest could write, and the pages of files.
  func isSealed(against advice: Int32) -> Bool {
    guard flags.contains(.sealed), !permissions.contains(.write), backing == 0 else { return false }
    switch advice {
    // MADV_DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK, DONTNEED_LOCKED, GUARD_INSTALL
    case 4, 8, 9, 10, 18, 24, 102: return true
    default: return false
    }
  }
}
