// mremap(2), madvise(2), msync(2), mincore(2). The host may hold a guest region as several mappings of its own (after
// code tracking, for instance), so moves fall back to single pages, which never straddle.
import CHost

/// Flags of mremap(2).
public struct RemapFlags: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public static var mayMove: RemapFlags { RemapFlags(rawValue: 1) }
  public static var fixed: RemapFlags { RemapFlags(rawValue: 2) }
  public static var dontUnmap: RemapFlags { RemapFlags(rawValue: 4) }
}

extension AddressSpace {
  /// mremap(2). Returns the new address. Throws EINVAL, EFAULT (not one mapping), ENOMEM.
  public func remap(
    _ start: UInt64, size: UInt64, newSize: UInt64, flags: RemapFlags, newAddress: UInt64 = 0
  ) throws(MemoryError) -> UInt64 {
    guard let journal else {
      return try remapNow(start, size: size, newSize: newSize, flags: flags, newAddress: newAddress)
    }
    let target = try journal.whole { () throws(MemoryError) in
      try remapNow(start, size: size, newSize: newSize, flags: flags, newAddress: newAddress)
    }
    journal.note(.remap(start: start, size: size, newSize: newSize, flags: flags, target: target))
    return target
  }

  private func remapNow(
    _ start: UInt64, size: UInt64, newSize: UInt64, flags: RemapFlags, newAddress: UInt64
  ) throws(MemoryError) -> UInt64 {
    guard start & Page.mask == 0, flags.rawValue & ~7 == 0, let oldSize = Page.up(size),
      let wanted = Page.up(newSize), wanted != 0
    else { throw .invalid }
    if flags.contains(.fixed) || flags.contains(.dontUnmap), !flags.contains(.mayMove) { throw .invalid }
    if flags.contains(.dontUnmap), oldSize != wanted { throw .invalid }
    guard let end = rangeEnd(start, oldSize) else { throw .badAddress }
    guard let region = query(start) else { throw .badAddress }
    if region.flags.contains(.sealed) { throw .notPermitted }
    if oldSize == 0 {
      guard region.flags.contains(.shared), flags.contains(.mayMove) else { throw .invalid }
    }
    if flags.contains(.fixed) {
      guard newAddress & Page.mask == 0, let newEnd = rangeEnd(newAddress, wanted) else { throw .invalid }
      if newAddress < end, start < newEnd { throw .invalid }
      if newAddress < AddressSpace.lowestAddress { throw .notPermitted }
      try checkSeals(newAddress, newEnd)
    }
    if !flags.contains(.fixed), !flags.contains(.dontUnmap), oldSize != 0 {
      if wanted == oldSize { return start }
      if wanted < oldSize {
        try unmap(start &+ wanted, size: oldSize &- wanted)
        return start
      }
    }
    var source = region.clipped(start, end)
    source.end = end
    if region.end < end { throw .badAddress }
    if !flags.contains(.fixed), !flags.contains(.dontUnmap), oldSize != 0, growInPlace(source, to: wanted) {
      return start
    }
    if !flags.contains(.mayMove) { throw .noMemory }
    if wanted > oldSize, sizeLimit != .max,
      table.regions(from: 0, to: limit).reduce(wanted &- oldSize, { $0 &+ $1.size }) > sizeLimit
    {
      throw .noMemory
    }
    let target = flags.contains(.fixed) ? newAddress : try findRoom(size: wanted)
    try move(source, to: target, newSize: wanted, keepOld: flags.contains(.dontUnmap))
    return target
  }

  /// Lengthens a region where it is; false when something is in the way or the host refuses.
  private func growInPlace(_ region: Region, to newSize: UInt64) -> Bool {
    guard region.size != 0, let newEnd = rangeEnd(region.start, newSize), table.isFree(region.end, newEnd)
    else {
      return false
    }
    codeWillChange(from: region.end &- Page.size, to: region.end)
    if sizeLimit != .max,
      table.regions(from: 0, to: limit).reduce(newEnd &- region.end, { $0 &+ $1.size }) > sizeLimit
    {
      return false
    }
    // The host finds its reservation in the way: open it, grow the last page's mapping, close it again on failure.
    let extra = newEnd &- region.end
    let lastPage = hostBase &+ region.end &- Page.size
    _ = HostMemory.unmap(hostBase &+ region.end, extra)
    if HostMemory.remap(lastPage, Page.size, Page.size &+ extra, flags: 0) < 0 {
      _ = HostMemory.reserve(hostBase &+ region.end, extra)
      return false
    }
    var added = region
    added.start = region.end
    added.end = newEnd
    if region.backing != 0 { added.offset = region.offset &+ region.size }
    table.insert(added)
    if added.permissions.contains(.write) { dropAliases(of: added) }
    return true
  }

  /// Moves `source` (or duplicates an empty range of shared memory) to `target`, then grows or shrinks it there.
  private func move(_ source: Region, to target: UInt64, newSize: UInt64, keepOld: Bool) throws(MemoryError) {
    let moved = source.size == 0 ? newSize : min(source.size, newSize)
    codeWillChange(from: source.start, to: source.start &+ max(source.size, Page.size))
    codeWillChange(from: target, to: target &+ newSize)
    table.remove(target, target &+ newSize)
    _ = HostMemory.reserve(hostBase &+ target, newSize)
    var flags = HostMemory.remapMayMove | HostMemory.remapFixed
    if keepOld { flags |= HostMemory.remapDontUnmap }
    let hostSource = hostBase &+ source.start
    let hostTarget = hostBase &+ target
    if source.size == 0 {
      try AddressSpace.check(HostMemory.remap(hostSource, 0, newSize, flags: flags, to: hostTarget))
    } else if HostMemory.remap(hostSource, moved, moved, flags: flags, to: hostTarget) < 0 {
      try moveByPages(hostSource, hostTarget, moved, flags)
    }
    if source.size != 0, !keepOld {
      _ = HostMemory.reserve(hostSource, source.size)
      table.remove(source.start, source.end)
    }
    let isDoubled = source.size == 0 || (keepOld && source.flags.contains(.shared))
    var placed = isDoubled ? identified(source.start) ?? source : source
    placed.start = target
    placed.end = target &+ moved
    table.insert(placed)
    if placed.permissions.contains(.write) { dropAliases(of: placed) }
    if newSize > moved, !growInPlace(placed, to: newSize) { throw .noMemory }
  }

  /// The shared memory at `start`, of which a second mapping is made. Anonymous memory gets an identity of its own, without which
  /// the two could not be known for the same.
  func identified(_ start: UInt64) -> Region? {
    guard let region = query(start) else { return nil }
    if region.backing == 0 {
      anonymousIdentities &+= 1
      let identity = intern(.anonymous(anonymousIdentities))
      table.update(region.start, region.end) { piece in
        piece.backing = identity
        piece.offset = piece.start &- region.start
      }
    }
    return query(start)?.clipped(start, start)
  }

  private func moveByPages(_ from: UInt64, _ to: UInt64, _ size: UInt64, _ flags: Int64) throws(MemoryError) {
    var done: UInt64 = 0
    while done < size {
      try AddressSpace.check(
        HostMemory.remap(from &+ done, Page.size, Page.size, flags: flags, to: to &+ done))
      done &+= Page.size
    }
  }

  /// madvise(2) for the values that act on memory; `advice` is the kernel's number. Throws EINVAL, ENOMEM for holes.
  public func advise(_ start: UInt64, size: UInt64, advice: Int32) throws(MemoryError) {
    guard start & Page.mask == 0, let rounded = Page.up(size) else { throw .invalid }
    if rounded == 0 { return }
    let (end, overflow) = start.addingReportingOverflow(rounded)
    if overflow { throw .invalid }
    let dontFork: Int32 = 10
    let doFork: Int32 = 11
    let poison: Int32 = 100
    let softOffline: Int32 = 101
    if advice == poison || advice == softOffline { throw .notPermitted }
    let free: Int32 = 8
    var hole = false
    var reached = start
    for piece in table.regions(from: start, to: end) {
      if piece.start > reached { hole = true }
      reached = piece.end
      if piece.isSealed(against: advice) { throw .notPermitted }
      if advice == dontFork || advice == doFork {
        table.update(piece.start, piece.end) {
          if advice == dontFork { $0.flags.insert(.dontFork) } else { $0.flags.remove(.dontFork) }
        }
        continue
      }
      // MADV_FREE leaves it to the host when the contents go: under a recorder they stay.
      if journal != nil, advice == free {
        if piece.backing != 0 || piece.flags.contains(.shared) { throw .invalid }
        continue
      }
      if AddressSpace.changesContents(advice) {
        codeWillChange(from: piece.start, to: piece.end)
        dropAliases(of: piece)
      }
      try advise(piece, advice)
    }
    if hole || reached < end { throw .noMemory }
  }

  private func advise(_ piece: Region, _ advice: Int32) throws(MemoryError) {
    let changes = AddressSpace.changesContents(advice)
    do {
      try AddressSpace.check(HostMemory.advise(hostBase &+ piece.start, piece.size, advice))
      if changes { journal?.note(.advise(start: piece.start, size: piece.size, advice: advice)) }
    } catch {
      // Some pages may have lost their contents: those in front of locked ones, or of a file that has no holes.
      let dontNeed: Int32 = 4
      if changes, advice == dontNeed || piece.flags.contains(.shared) {
        journal?.noteWrite(piece.start, piece.size)
      }
      throw error
    }
  }

  /// MADV_DONTNEED, FREE, REMOVE, WIPEONFORK and its contrary, DONTNEED_LOCKED, POPULATE_WRITE, GUARD_INSTALL and _REMOVE: what is
  /// read afterwards may differ.
  private static func changesContents(_ advice: Int32) -> Bool {
    switch advice {
    case 4, 8, 9, 18, 19, 23, 24, 102, 103: return true
    default: return false
    }
  }

  /// msync(2). Throws EINVAL, ENOMEM for holes, EIO.
  public func sync(_ start: UInt64, size: UInt64, flags: Int32) throws(MemoryError) {
    guard start & Page.mask == 0, flags & ~7 == 0, flags & 5 != 5 else { throw .invalid }
    // A size that is nearly 2^64 becomes 0, as in the kernel.
    guard let rounded = Page.up(size), rounded != 0 else { return }
    guard let end = rangeEnd(start, rounded) else { throw .noMemory }
    var reached = start
    var hole = false
    for piece in table.regions(from: start, to: end) {
      if piece.start > reached { hole = true }
      reached = piece.end
      try AddressSpace.check(HostMemory.sync(hostBase &+ piece.start, piece.size, flags))
    }
    if hole || reached < end { throw .noMemory }
  }

  /// mincore(2): one byte a page to the guest's `vector`. Throws EINVAL, ENOMEM for holes, EFAULT.
  public func residency(_ start: UInt64, size: UInt64, into vector: GuestAddress) throws(MemoryError) {
    guard start & Page.mask == 0 else { throw .invalid }
    guard let rounded = Page.up(size), let end = rangeEnd(start, rounded),
      table.coveredEnd(from: start, to: end) == end
    else { throw .noMemory }
    prepareHostWrite(vector.value, size: rounded >> Page.shift)
    try AddressSpace.check(HostMemory.residency(hostBase &+ start, rounded, into: hostArgument(vector.value)))
  }
}
