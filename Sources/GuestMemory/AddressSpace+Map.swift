// Mapping, unmapping and protecting (mmap(2), munmap(2), mprotect(2)), the program break and growing stacks.
// Sizes and addresses are checked here as the kernel does; the host only ever sees ranges inside the window.
import CHost

/// What to map and where; the fields of mmap(2).
public struct MapRequest {
  /// How `address` is to be taken.
  public enum Placement: Sendable {
    /// Use `address` when it is free (0: no wish), else search.
    case anywhere
    /// Replace whatever is there (MAP_FIXED).
    case fixed
    /// Fail with EEXIST when something is there (MAP_FIXED_NOREPLACE).
    case fixedNoReplace
  }

  public var address: UInt64
  /// Bytes; rounded up to pages.
  public var size: UInt64
  public var permissions: Permissions
  public var placement: Placement = .anywhere
  public var flags: RegionFlags = []
  /// Below 2 GiB (MAP_32BIT).
  public var isLow = false
  /// Fill the pages now (MAP_POPULATE).
  public var populate = false
  /// The file to map: a host descriptor, the offset of the first byte (page aligned) and its identity.
  public var file: (descriptor: Int32, offset: UInt64, identity: Backing)?
  /// What /proc/PID/maps calls memory without a file.
  public var name: Backing?

  public init(address: UInt64 = 0, size: UInt64, permissions: Permissions) {
    self.address = address
    self.size = size
    self.permissions = permissions
  }
}

extension AddressSpace {
  /// mmap(2). Returns the guest address. Throws EINVAL, ENOMEM, EEXIST, EPERM (below `lowestAddress`), EOVERFLOW, or
  /// what the host says of the file.
  public func map(_ request: MapRequest) throws(MemoryError) -> UInt64 {
    if request.size == 0 { throw .invalid }
    guard let size = Page.up(request.size), size <= limit else { throw .noMemory }
    if let file = request.file {
      if file.offset & Page.mask != 0 { throw .invalid }
      if file.offset &+ size < file.offset { throw .overflow }
    }
    let start = try place(request, size)
    let end = start &+ size
    try checkSeals(start, end)
    try checkLimits(request, start, end)
    codeWillChange(from: start, to: end)
    sections.remove(start..<end)
    try mapOnHost(request, start, size)
    table.remove(start, end)
    var region = Region(start: start, end: end, permissions: request.permissions, flags: request.flags)
    if let file = request.file {
      region.backing = intern(file.identity)
      region.offset = file.offset
    } else if let name = request.name {
      region.backing = intern(name)
    } else if request.flags.contains(.shared), let nextAnonymousIdentity {
      region.backing = intern(.anonymous(nextAnonymousIdentity()))
    }
    table.insert(region)
    journal?.noteMapping(request, region)
    if region.flags.contains(.shared), region.backing != 0, region.permissions.contains(.write) {
      dropAliases(of: region)
    }
    return start
  }

  /// Maps private anonymous memory at exactly `address`, replacing what is there.
  public func mapAnonymous(at address: UInt64, size: UInt64, permissions: Permissions) throws(MemoryError) {
    var request = MapRequest(address: address, size: size, permissions: permissions)
    request.placement = .fixed
    _ = try map(request)
  }

  /// Has the host put something of its own where `request` says, such as the shared memory of shmat(2). `body` gets the host
  /// address and returns the host's answer, below zero for an error. Returns the guest address; throws as `map` does.
  public func attach(
    _ request: MapRequest, _ identity: Backing, _ body: (_ address: UInt64) -> Int64
  ) throws(MemoryError) -> UInt64 {
    guard request.size != 0 else { throw .invalid }
    guard let size = Page.up(request.size), size <= limit else { throw .noMemory }
    let start = try place(request, size)
    let end = start &+ size
    try checkSeals(start, end)
    codeWillChange(from: start, to: end)
    let result = body(hostBase &+ start)
    if result < 0, result > -4096 { try AddressSpace.check(result) }
    table.remove(start, end)
    let region = Region(
      start: start, end: end, permissions: request.permissions, flags: request.flags,
      backing: intern(identity))
    table.insert(region)
    journal?.noteAttachment(identity, region)
    if region.permissions.contains(.write) { dropAliases(of: region) }
    return start
  }

  private func place(_ request: MapRequest, _ size: UInt64) throws(MemoryError) -> UInt64 {
    switch request.placement {
    case .fixed, .fixedNoReplace:
      if request.address & Page.mask != 0 { throw .invalid }
      guard let end = rangeEnd(request.address, size) else { throw .noMemory }
      if request.address < AddressSpace.lowestAddress { throw .notPermitted }
      if request.placement == .fixedNoReplace, !table.isFree(request.address, end) { throw .exists }
      return request.address
    case .anywhere:
      var wish = Page.down(request.address)
      if request.address != 0, wish < AddressSpace.lowestAddress { wish = AddressSpace.lowestAddress }
      // MAP_32BIT: a wish below 2 GiB, or else the second GiB, as the kernel has it.
      let top: UInt64 = request.isLow ? 1 << 31 : limit
      if wish != 0, let end = rangeEnd(wish, size), end <= top, isRoom(wish, end) { return wish }
      if request.isLow {
        let stackGap = AddressSpace.stackGap
        guard let low = table.findGap(size: size, bottom: 1 << 30, top: top, stackGap: stackGap) else {
          throw .noMemory
        }
        return low
      }
      return try findRoom(size: size)
    }
  }

  /// Free, and not inside the guard gap of a stack above.
  private func isRoom(_ start: UInt64, _ end: UInt64) -> Bool {
    guard let next = table.region(endingAbove: start) else { return true }
    let gap = next.flags.contains(.growsDown) ? AddressSpace.stackGap : 0
    return next.start >= gap && next.start &- gap >= end
  }

  /// Lets the search for room begin `distance` bytes below its usual place (address space randomisation).
  public func moveSearchTop(down distance: UInt64) {
    let usual = limit &- (1 << 30)
    searchTop = distance < usual ? usual &- Page.down(distance) : usual
  }

  /// The address that a mapping of `size` bytes without a wish gets. Throws ENOMEM.
  public func findRoom(size: UInt64) throws(MemoryError) -> UInt64 {
    let bottom = AddressSpace.lowestAddress
    let gap = AddressSpace.stackGap
    if let found = table.findGap(size: size, bottom: bottom, top: searchTop, stackGap: gap) { return found }
    if let found = table.findGap(size: size, bottom: bottom, top: limit, stackGap: gap) { return found }
    throw .noMemory
  }

  /// Throws ENOMEM when a mapping of `[start, end)` would exceed `sizeLimit` or `dataLimit`.
  private func checkLimits(_ request: MapRequest, _ start: UInt64, _ end: UInt64) throws(MemoryError) {
    if sizeLimit == .max, dataLimit == .max { return }
    let isData =
      request.permissions.contains(.write) && request.flags.isDisjoint(with: [.shared, .growsDown])
    var size = end &- start
    var data = isData ? size : 0
    for region in table.regions(from: 0, to: limit) {
      let low = max(region.start, start)
      let high = min(region.end, end)
      let kept = region.size &- (low < high ? high &- low : 0)
      size &+= kept
      if region.permissions.contains(.write), region.flags.isDisjoint(with: [.shared, .growsDown]) {
        data &+= kept
      }
    }
    if size > sizeLimit || (isData && data > dataLimit) { throw .noMemory }
  }

  private func mapOnHost(_ request: MapRequest, _ start: UInt64, _ size: UInt64) throws(MemoryError) {
    var flags = HostMemory.fixed
    flags |= request.flags.contains(.shared) ? HostMemory.shared : HostMemory.private
    if request.flags.contains(.noReserve) { flags |= HostMemory.noReserve }
    if request.populate { flags |= HostMemory.populate }
    if request.file == nil { flags |= HostMemory.anonymous }
    let result = HostMemory.map(
      hostBase &+ start, size, protection: AddressSpace.hostProtection(request.permissions), flags: flags,
      descriptor: request.file?.descriptor ?? -1, offset: request.file?.offset ?? 0)
    try AddressSpace.check(result)
  }

  /// munmap(2). Holes are fine. Throws EINVAL for an unaligned or empty range or one that leaves the window, EPERM for sealed memory.
  public func unmap(_ start: UInt64, size: UInt64) throws(MemoryError) {
    guard start & Page.mask == 0, size != 0, let rounded = Page.up(size), let end = rangeEnd(start, rounded)
    else { throw .invalid }
    try checkSeals(start, end)
    try unmapNow(start, end)
  }

  private func unmapNow(_ start: UInt64, _ end: UInt64) throws(MemoryError) {
    if table.isFree(start, end) { return }
    let rounded = end &- start
    codeWillChange(from: start, to: end)
    sections.remove(start..<end)
    try AddressSpace.check(HostMemory.reserve(hostBase &+ start, rounded))
    table.remove(start, end)
    journal?.note(.unmap(start: start, size: rounded))
  }

  /// mprotect(2). Pages before the first hole, or seal, are changed even when ENOMEM, or EPERM, is thrown for it, as the kernel does.
  /// `growsDown` extends the change to the start of a stack region (PROT_GROWSDOWN).
  public func protect(
    _ address: UInt64, size: UInt64, permissions: Permissions, growsDown: Bool = false
  ) throws(MemoryError) {
    var start = address
    if start & Page.mask != 0 { throw .invalid }
    if size == 0 { return }
    guard let rounded = Page.up(size), let end = rangeEnd(start, rounded) else { throw .noMemory }
    if growsDown {
      guard let region = query(start) else { throw .noMemory }
      if !region.flags.contains(.growsDown) { throw .invalid }
      start = region.start
    }
    let covered = table.coveredEnd(from: start, to: end)
    let reached = firstSeal(from: start, to: covered) ?? covered
    codeWillChange(from: start, to: reached)
    journal?.note(.protect(start: start, size: reached &- start, permissions: permissions))
    for piece in table.regions(from: start, to: reached) {
      if piece.permissions == permissions { continue }
      try AddressSpace.check(
        HostMemory.protect(hostBase &+ piece.start, piece.size, AddressSpace.hostProtection(permissions)))
      table.update(piece.start, piece.end) { $0.permissions = permissions }
      if permissions.contains(.write), piece.flags.contains(.shared), piece.backing != 0 {
        dropAliases(of: piece)
      }
    }
    if reached < covered { throw .notPermitted }
    if covered < end { throw .noMemory }
  }

  /// Unmaps everything, for execve(2).
  public func reset() {
    if !table.isEmpty {
      // Everything at once, and without lifting the write protection of pages that go.
      if !tracked.isEmpty { tellObservers(CodeObserver.everything) }
      _ = HostMemory.reserve(hostBase, limit)
    }
    journal?.noteReset()
    table.removeAll()
    tracked.removeAll()
    sections.removeAll()
    hasSeals = false
    if !runsSharedFiles { directCalls.pointee.needs_care = 0 }
    breakStart = 0
    breakEnd = 0
  }

  /// In a forked child: removes what the parent marked MADV_DONTFORK.
  public func dropUnforked() {
    for region in table.regions(from: 0, to: limit) where region.flags.contains(.dontFork) {
      try? unmapNow(region.start, region.end)
    }
  }

  // MARK: Program break

  /// Puts the (empty) heap at `address`, rounded up to a page. The loader calls it once per program.
  public func startBreak(at address: UInt64) {
    breakStart = Page.up(address) ?? 0
    breakEnd = breakStart
  }

  /// brk(2): the new break, or the old one when the wish cannot be met.
  public func setBreak(_ wish: UInt64) -> UInt64 {
    guard wish >= breakStart, wish < limit, breakStart != 0 else { return breakEnd }
    guard let oldTop = Page.up(breakEnd), let newTop = Page.up(wish) else { return breakEnd }
    if newTop > oldTop {
      guard isRoom(oldTop, newTop) else { return breakEnd }
      var request = MapRequest(address: oldTop, size: newTop &- oldTop, permissions: [.read, .write])
      if readImpliesExecute { request.permissions.insert(.execute) }
      request.placement = .fixedNoReplace
      request.flags = .heap
      do { _ = try map(request) } catch { return breakEnd }
    } else if newTop < oldTop {
      do { try unmap(newTop, size: oldTop &- newTop) } catch { return breakEnd }
    }
    breakEnd = wish
    return breakEnd
  }

  // MARK: Faults

  /// Repairs an access that only the mirroring made fail: a write to a page protected for tracked code, or a touch just
  /// below a growing stack. True: run the access again. `address` is a guest address.
  public func handleFault(at address: UInt64, write: Bool) -> Bool {
    if write, handleWriteFault(address) { return true }
    return growStack(to: address)
  }

  /// Extends the growing stack above `address` down to it, if there is one within its limit.
  public func growStack(to address: UInt64) -> Bool {
    guard address >= AddressSpace.lowestAddress, address < limit else { return false }
    guard let region = table.region(endingAbove: address), region.start > address,
      region.flags.contains(.growsDown)
    else { return false }
    let start = Page.down(address)
    if region.end &- start > stackLimit { return false }
    if let below = table.region(before: address), !below.permissions.isEmpty {
      if start < below.end || start &- below.end < AddressSpace.stackGap { return false }
    }
    var request = MapRequest(address: start, size: region.start &- start, permissions: region.permissions)
    request.placement = .fixedNoReplace
    request.flags = region.flags
    do { _ = try map(request) } catch { return false }
    return true
  }
}
