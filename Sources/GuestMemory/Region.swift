// One mapping of the guest: a run of pages with equal permissions and backing. A plain value, so that a table of a
// hundred thousand of them is one block of bytes without reference counts.

/// Properties of a mapping besides its permissions.
public struct RegionFlags: OptionSet, Sendable, Hashable, BitwiseCopyable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Writes reach the file and other mappings of it (MAP_SHARED).
  public static var shared: RegionFlags { RegionFlags(rawValue: 1) }
  /// Grows towards lower addresses when touched just below (MAP_GROWSDOWN).
  public static var growsDown: RegionFlags { RegionFlags(rawValue: 2) }
  /// The main thread's stack.
  public static var stack: RegionFlags { RegionFlags(rawValue: 4) }
  /// The program break's area.
  public static var heap: RegionFlags { RegionFlags(rawValue: 8) }
  /// Absent from a forked child (MADV_DONTFORK).
  public static var dontFork: RegionFlags { RegionFlags(rawValue: 16) }
  /// The host kernel changes it as a whole or not at all (parts of the vdso).
  public static var indivisible: RegionFlags { RegionFlags(rawValue: 64) }
  /// Mapped with MAP_NORESERVE.
  public static var noReserve: RegionFlags { RegionFlags(rawValue: 32) }
  /// It stays where it is and as it is until the next program (mseal(2)).
  public static var sealed: RegionFlags { RegionFlags(rawValue: 128) }
}

/// A run of mapped guest pages.
public struct Region: Equatable, Sendable, BitwiseCopyable {
  /// First byte; page aligned.
  public var start: UInt64
  /// One past the last byte; page aligned.
  public var end: UInt64
  /// Offset in the file of the byte at `start`; 0 for anonymous memory.
  public var offset: UInt64
  /// Which file: an index for `AddressSpace.backing(_:)`; 0 is anonymous memory.
  public var backing: UInt32
  public var permissions: Permissions
  public var flags: RegionFlags

  public init(
    start: UInt64, end: UInt64, permissions: Permissions, flags: RegionFlags = [], backing: UInt32 = 0,
    offset: UInt64 = 0
  ) {
    self.start = start
    self.end = end
    self.permissions = permissions
    self.flags = flags
    self.backing = backing
    self.offset = offset
  }

  public var size: UInt64 { end &- start }

  public func contains(_ address: UInt64) -> Bool { address >= start && address < end }

  /// The part of this region inside `[low, high)`; the caller knows that it is not empty.
  func clipped(_ low: UInt64, _ high: UInt64) -> Region {
    var result = self
    if low > start {
      result.start = low
      if backing != 0 { result.offset = offset &+ (low &- start) }
    }
    if high < end { result.end = high }
    return result
  }

  /// True when `next` continues this region so exactly that the two are one.
  func continues(into next: Region) -> Bool {
    end == next.start && permissions == next.permissions && flags == next.flags && backing == next.backing
      && (backing == 0 || offset &+ size == next.offset)
  }
}

/// A mapped file, for reports and `/proc/self/maps`.
public struct Backing: Hashable, Sendable {
  public var device: UInt64
  public var inode: UInt64
  /// The path's bytes as known when it was mapped; may be empty.
  public var path: [UInt8]

  public init(device: UInt64, inode: UInt64, path: [UInt8]) {
    self.device = device
    self.inode = inode
    self.path = path
  }

  /// Shared memory without a file: the kernel's own device for it, and a number that no inode has.
  static func anonymous(_ number: UInt64) -> Backing {
    Backing(device: 1, inode: 1 << 62 | number, path: Array("/dev/zero (deleted)".utf8))
  }
}
