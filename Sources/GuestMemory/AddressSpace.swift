// The guest's address space: one reserved window of host addresses and a table of what the guest has mapped in it.
// Owns the window, the table, the program break and the set of pages that hold decoded code. Every change to guest
// mappings goes through here, so that table, host protections and the engine's caches stay in step.
//
//     base - guard      base                         base + limit        + guard
//     |  inaccessible   | guest 0 … mapped here …    |  inaccessible    |
//
// In a process that was laid out for it (IsolatedWindow.swift) everything above is the window's too, and the host's own
// memory lies below.
//
// Host pages carry the guest's R and W bits and never X; X lives in the table and is checked when code is decoded.
// Whoever uses it holds its lock, once there is more than one guest thread (AddressSpace+Threads.swift).
import CHost

/// A guest's virtual memory. Host address = `base` + guest address.
public final class AddressSpace {
  /// Lowest address that can be mapped (`vm.mmap_min_addr`).
  public static let lowestAddress: UInt64 = 65536
  /// Inaccessible bytes before and after the window, 64 GiB: any address in it plus a 32-bit displacement, or an index of 32
  /// bits times 8, lands in the window or there.
  public static let guardSize: UInt64 = 1 << 36
  /// Distance kept free below a growing stack (`stack_guard_gap`, 256 pages).
  static let stackGap: UInt64 = 256 * 4096

  /// Host address of guest address 0.
  public let base: UnsafeMutableRawPointer
  /// Size of the window in bytes; guest addresses at or above it are never mapped. A multiple of `guardSize`.
  public let limit: UInt64
  /// Addresses for mappings without a place of their own are searched downwards from here (`mmap_base`).
  public var searchTop: UInt64
  /// RLIMIT_STACK of growing stacks, in bytes.
  public var stackLimit: UInt64 = 8 << 20
  /// RLIMIT_AS and RLIMIT_DATA, in bytes: how much may be mapped, and how much of it private and writable.
  public var sizeLimit: UInt64 = .max
  public var dataLimit: UInt64 = .max
  /// Told that decoded code is about to change or vanish.
  var observers: [CodeObserver] = []
  /// There is, or was, more than one guest thread: the lock counts.
  public internal(set) var isThreaded = false
  // SAFETY: allocated in init, freed in deinit; threads use it only as long as they have the address space.
  let lock: UnsafeMutablePointer<vt_lock>

  /// Told of everything that changes memory besides the guest; for a recorder.
  public var journal: MemoryJournal?
  /// Threads run guest code one after the other: the lock is kept there, too.
  public var keepsLock = false
  /// Besides the lock a thread has this, which processes share; nil: nothing of the kind.
  // SAFETY: whoever sets it keeps it for the rest of the process.
  public var turn: UnsafeMutablePointer<vt_turn>?
  /// Gives anonymous shared memory an identity from the beginning: by numbers that no other process gives. Nil: only when it is
  /// mapped twice.
  public var nextAnonymousIdentity: (() -> UInt64)?

  /// System calls that translated code may make by itself (`allowDirectCall`).
  // SAFETY: allocated in init, freed in deinit; engines use it only as long as they have the address space.
  public let directCalls: UnsafeMutablePointer<vt_direct_calls>

  var table = RegionTable()
  var tracked = PageRanges()
  /// The pages that are opened together when a tracked one or two are about to be written; else only those.
  /// For whoever tracks much more than code, and would have to hear of every page.
  var widening: ((_ pages: Range<UInt64>) -> Range<UInt64>)?
  /// Code has been decoded from a shared mapping of a file: writes to files can change it.
  public internal(set) var runsSharedFiles = false
  var backings = BackingTable()
  /// How the kernel lays out the vdso, once that is known (AddressSpace+VDSO.swift).
  var vdsoParts: [VDSOPart] = []
  /// How many pieces of anonymous shared memory have been given an identity.
  var anonymousIdentities: UInt64 = 0

  /// Critical sections of rseq(2), by address (CriticalSections.swift), and whether they are looked for.
  var sections = PageRanges()
  public var findsSections = false

  /// Something was sealed since the last execve(2).
  var hasSeals = false

  /// Program break: the heap is `[breakStart, breakEnd)`, in bytes.
  public internal(set) var breakStart: UInt64 = 0
  public internal(set) var breakEnd: UInt64 = 0
  /// What can be read can be executed (personality(2)).
  public var readImpliesExecute = false

  /// Nothing of the host's lies at or above `base - guardSize`: there, up to the end of user space, are only guest mappings
  /// and inaccessible pages. (Pages of the vdso that the kernel has sealed stay, readable.) False for a window that lies
  /// just anywhere.
  public let isIsolated: Bool

  /// Takes over `window`, of which there is one in a process that was laid out for it (`IsolatedWindow.evacuate`). Without
  /// one reserves 2^46 bytes wherever the host has room, or less where it refuses. Throws the host's errno when even 2^40 is
  /// too much.
  public init(_ window: IsolatedWindow? = nil) throws(MemoryError) {
    lock = .allocate(capacity: 1)
    lock.initialize(to: vt_lock())
    directCalls = .allocate(capacity: 1)
    directCalls.initialize(to: vt_direct_calls())
    directCalls.pointee.hidden = 1 << 31
    if let window, let start = UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: window.base)) {
      base = start
      limit = window.limit
      directCalls.pointee.window_bits = AddressSpace.bits(limit)
      searchTop = window.limit &- (1 << 30)
      isIsolated = true
      return
    }
    isIsolated = false
    var bits: UInt64 = 46
    while true {
      let size: UInt64 = 1 << bits
      let total = size &+ 2 &* AddressSpace.guardSize
      let result = HostMemory.map(
        0, total, protection: HostMemory.protectionNone,
        flags: HostMemory.private | HostMemory.anonymous | HostMemory.noReserve)
      if result >= 0, let start = UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: result)) {
        base = start + Int(truncatingIfNeeded: AddressSpace.guardSize)
        limit = size
        directCalls.pointee.window_bits = bits
        searchTop = size &- (1 << 30)
        return
      }
      if bits == 40 { throw MemoryError(Int32(truncatingIfNeeded: 0 &- result)) }
      bits &-= 1
    }
  }

  deinit {
    lock.deallocate()
    directCalls.deallocate()
    if isIsolated {
      _ = HostMemory.reserve(hostBase, limit)
    } else {
      _ = HostMemory.unmap(hostBase &- AddressSpace.guardSize, limit &+ 2 &* AddressSpace.guardSize)
    }
  }

  /// All guest addresses have at most so many bits.
  public var addressBits: UInt64 { AddressSpace.bits(limit) }

  private static func bits(_ limit: UInt64) -> UInt64 { UInt64(64 &- (limit &- 1).leadingZeroBitCount) }

  var hostBase: UInt64 { UInt64(UInt(bitPattern: base)) }

  // MARK: Looking

  /// The region that contains `address`, if it is mapped.
  public func query(_ address: UInt64) -> Region? { table.region(containing: address) }

  /// The region that contains `address` or the next one above.
  public func region(atOrAbove address: UInt64) -> Region? { table.region(endingAbove: address) }

  /// The number of regions.
  public var regionCount: Int { table.count }

  /// All regions in order, or those parts that overlap `[start, end)`.
  public func regions(from start: UInt64 = 0, to end: UInt64 = .max) -> [Region] {
    table.regions(from: start, to: end)
  }

  /// How far from `address` on bytes are executable without interruption, at most to `end`; nil when not even the first.
  public func executableEnd(from address: UInt64, to end: UInt64) -> UInt64? {
    var reached = address
    while reached < end, let region = table.region(containing: reached), region.permissions.contains(.execute)
    {
      reached = region.end
    }
    return reached == address ? nil : min(reached, end)
  }

  /// The file behind a region's `backing` number.
  public func backing(_ number: UInt32) -> Backing? {
    backings[number]
  }

  /// The number of `backing`, which a region has by the time that the next one is asked for.
  func intern(_ backing: Backing) -> UInt32 {
    if backings.isDue {
      var used: Set<UInt32> = []
      for region in table.regions(from: 0, to: limit) { used.insert(region.backing) }
      backings.keep(used)
    }
    return backings.number(of: backing)
  }

  /// End of a range, or nil when it leaves the window.
  func rangeEnd(_ start: UInt64, _ size: UInt64) -> UInt64? {
    let (end, overflow) = start.addingReportingOverflow(size)
    return overflow || end > limit ? nil : end
  }

  /// The host's protection bits that mirror the guest's: x86 pages that can be written or executed can be read.
  static func hostProtection(_ permissions: Permissions) -> Int64 {
    if permissions.contains(.write) { return HostMemory.protectionRead | HostMemory.protectionWrite }
    return permissions.isEmpty ? HostMemory.protectionNone : HostMemory.protectionRead
  }

  static func check(_ result: Int64) throws(MemoryError) {
    if result < 0 { throw MemoryError(Int32(truncatingIfNeeded: 0 &- result)) }
  }
}
