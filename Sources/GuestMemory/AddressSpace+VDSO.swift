// The host kernel's vdso (vdso(7)) as a part of the guest's memory: the kernel maps its code and the pages with its clocks
// into the window, and the guest executes that code like its own. Owns nothing but what it has learnt of the mapping's layout.
//
//     vvar            vvar_vclock     vdso                 the room that is looked for
//     | clock data, r | clock data, r | ELF image, r x |   … 32 pages
//
// Such mappings cannot be divided, written to (the data) or made twice; the host kernel says so itself, since mmap(2),
// munmap(2), mprotect(2) and mremap(2) of the guest reach it.
import CHost

/// A mapping that belongs to the vdso, relative to the first one.
struct VDSOPart {
  var offset: UInt64
  var size: UInt64
  /// As /proc/PID/maps shows it: `[vvar]`, `[vdso]`.
  var name: [UInt8]

  var isCode: Bool { name == Array("[vdso]".utf8) }
}

extension AddressSpace {
  /// Room for every vdso that there is: Linux 6.18 has eight pages.
  private static let roomForVDSO: UInt64 = 32 * 4096

  /// Maps the vdso at `wish`, if that is free, or elsewhere. Returns the address of its ELF image (AT_SYSINFO_EHDR) and its
  /// size in bytes. Throws EEXIST while there is one, also one of the host's own process, ENOMEM, or what the kernel says:
  /// EINVAL without CONFIG_CHECKPOINT_RESTORE. Nothing else may map host memory meanwhile.
  public func mapVDSO(at wish: UInt64 = 0) throws(MemoryError) -> (image: UInt64, size: UInt64) {
    let regions = table.regions(from: 0, to: limit)
    if regions.contains(where: { $0.flags.contains(.indivisible) }) { throw .exists }
    let known = vdsoParts.last.map { $0.offset &+ $0.size }
    let room = known ?? AddressSpace.roomForVDSO
    var start = try findRoom(size: AddressSpace.roomForVDSO)
    if wish != 0 {
      let low = Page.down(wish)
      guard let end = rangeEnd(low, room) else { throw .noMemory }
      if low >= AddressSpace.lowestAddress, table.isFree(low, end) { start = low }
    }
    let hostStart = hostBase &+ start
    codeWillChange(from: start, to: start &+ room)
    // The kernel takes the address as a hint, which counts where nothing is mapped.
    try AddressSpace.check(HostMemory.unmap(hostStart, room))
    let result = HostMemory.mapVDSO(hostStart)
    if result >= 0, known == nil { vdsoParts = HostMemory.vdsoParts(from: hostStart, to: hostStart &+ room) }
    guard result >= 0, let code = vdsoParts.last, code.isCode, vdsoParts.allSatisfy({ $0.offset < room })
    else {
      _ = HostMemory.reserve(hostStart, room)
      vdsoParts = []
      throw MemoryError(result < 0 ? Int32(truncatingIfNeeded: 0 &- result) : 12)
    }
    let end = code.offset &+ code.size
    // Guest pages are never executable for the host.
    var refused = HostMemory.protect(hostStart &+ code.offset, code.size, HostMemory.protectionRead)
    if refused >= 0, end < room { refused = HostMemory.reserve(hostStart &+ end, room &- end) }
    if refused < 0 {
      _ = HostMemory.reserve(hostStart, room)
      throw MemoryError(Int32(truncatingIfNeeded: 0 &- refused))
    }
    for part in vdsoParts {
      let permissions: Permissions = part.isCode ? [.read, .execute] : .read
      let name = intern(Backing(device: 0, inode: 0, path: part.name))
      let first = start &+ part.offset
      table.insert(
        Region(
          start: first, end: first &+ part.size, permissions: permissions, flags: .indivisible, backing: name
        ))
    }
    return (start &+ code.offset, code.size)
  }

  /// All of the region if it is indivisible, else the part of it that is given.
  func whole(_ region: Region) -> Region {
    region.flags.contains(.indivisible) ? query(region.start) ?? region : region
  }

  /// A run of pages, up to the ends of indivisible regions at its ends.
  func whole(_ run: Range<UInt64>) -> Range<UInt64> {
    if vdsoParts.isEmpty { return run }
    var (first, last) = (run.lowerBound << Page.shift, run.upperBound << Page.shift)
    if let region = query(first), region.flags.contains(.indivisible) { first = region.start }
    if let region = query(last &- 1), region.flags.contains(.indivisible) { last = region.end }
    return first >> Page.shift..<last >> Page.shift
  }
}

extension HostMemory {
  #if arch(x86_64)
    /// arch_prctl(ARCH_MAP_VDSO_64): the size of the image's code, or -errno.
    static func mapVDSO(_ address: UInt64) -> Int64 {
      vt_syscall6(158, 0x2003, Int64(bitPattern: address), 0, 0, 0, 0)
    }
  #else
    static func mapVDSO(_ address: UInt64) -> Int64 { -38 }
  #endif

  /// The parts of the vdso that lie in a range, in order.
  static func vdsoParts(from start: UInt64, to end: UInt64) -> [VDSOPart] {
    mappings(from: start, to: end)
      .filter { $0.range.lowerBound >= start && $0.range.upperBound <= end && $0.name.first == 91 }
      .map {
        VDSOPart(
          offset: $0.range.lowerBound &- start, size: $0.range.upperBound &- $0.range.lowerBound,
          name: $0.name)
      }
  }
}
