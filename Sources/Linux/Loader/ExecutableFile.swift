// A file opened for loading or for reading symbols. Owns the host descriptor and closes it. All reads are
// `pread64`s of bounded size into arrays of at most the file's own size: a number found in a file never
// decides how much is allocated.
import CHost
import GuestMemory

/// A regular file of the host, open for reading.
public final class ExecutableFile {
  /// Why a file cannot be opened.
  public enum OpenError: Error, Equatable, Sendable {
    /// The host said no; an errno (open(2)).
    case host(Int32)
    /// A directory, device, socket or pipe.
    case notRegular(isDirectory: Bool)
  }

  /// The host's descriptor.
  public let descriptor: Int32
  /// The size when it was opened, in bytes.
  public let size: UInt64
  /// File type and permission bits (`st_mode`, inode(7)).
  public let mode: UInt32
  /// Owner and group, for set-user-ID decisions and permission checks.
  public let owner: (user: UInt32, group: UInt32)
  /// Device, inode and path, for the region table.
  public let identity: Backing

  /// Opens `path` (bytes without a terminating zero), which the host finds at `place`.
  public init(path: [UInt8], at place: [UInt8]? = nil) throws(OpenError) {
    if path.contains(0) || path.isEmpty { throw .host(HostCall.noEntry) }
    let opened = ((place ?? path) + [0]).withUnsafeBytes { HostCall.open($0.baseAddress) }
    if opened < 0 { throw .host(Int32(truncatingIfNeeded: 0 &- opened)) }
    descriptor = Int32(truncatingIfNeeded: opened)
    var status = HostCall.Status()
    let result = HostCall.status(of: descriptor, into: &status)
    size = status.size
    mode = status.mode
    owner = (status.user, status.group)
    identity = Backing(device: status.device, inode: status.inode, path: path)
    // All properties are set: from here on `deinit` closes the descriptor.
    if result < 0 { throw .host(Int32(truncatingIfNeeded: 0 &- result)) }
    if !status.isRegular { throw .notRegular(isDirectory: status.mode & 0o170000 == 0o040000) }
  }

  /// Takes over a descriptor of a regular file that has been opened as `path`.
  init(adopting descriptor: Int32, path: [UInt8]) {
    self.descriptor = descriptor
    var status = HostCall.Status()
    _ = HostCall.status(of: descriptor, into: &status)
    size = status.size
    mode = status.mode
    owner = (status.user, status.group)
    identity = Backing(device: status.device, inode: status.inode, path: path)
  }

  deinit { HostCall.close(descriptor) }

  /// The identity with the path that the host has for the file, absolute and without symbolic links, as /proc/PID/maps
  /// shows it; with the path that was opened when the host does not say. The host is asked once.
  public private(set) lazy var resolvedIdentity: Backing = {
    var result = identity
    if let path = HostCall.path(of: descriptor) { result.path = path }
    return result
  }()

  /// Reads up to `count` bytes at `offset`; fewer at the end of the file, none beyond it or when the host
  /// cannot read.
  public func read(at offset: UInt64, count: Int) -> [UInt8] {
    guard count > 0, offset < size else { return [] }
    let wanted = Int(truncatingIfNeeded: Swift.min(UInt64(truncatingIfNeeded: count), size &- offset))
    return [UInt8](unsafeUninitializedCapacity: wanted) { buffer, filled in
      filled = 0
      while filled < wanted {
        let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...])
        let got = HostCall.read(descriptor, into: rest, at: offset &+ UInt64(truncatingIfNeeded: filled))
        if got <= 0 { break }
        filled &+= got
      }
    }
  }
}

/// The few host calls that reading files needs where there is no process with its `Host`, as raw numbers.
public enum HostCall {
  static let noEntry: Int32 = 2
  private static let interrupted: Int64 = -4

  #if arch(x86_64)
    private static let closeNumber: Int64 = 3
    private static let pread64Number: Int64 = 17
    private static let openatNumber: Int64 = 257
    private static let readlinkatNumber: Int64 = 267
    private static let faccessatNumber: Int64 = 269
    private static let executeNumber: Int64 = 59
    private static let controlNumber: Int64 = 72
    private static let statxNumber: Int64 = 332
  #else
    private static let closeNumber: Int64 = 57
    private static let pread64Number: Int64 = 67
    private static let openatNumber: Int64 = 56
    private static let readlinkatNumber: Int64 = 78
    private static let faccessatNumber: Int64 = 48
    private static let executeNumber: Int64 = 221
    private static let controlNumber: Int64 = 25
    private static let statxNumber: Int64 = 291
  #endif

  /// What statx(2) says of a file.
  public struct Status {
    public var mode: UInt32 = 0
    public var user: UInt32 = 0
    var group: UInt32 = 0
    public var inode: UInt64 = 0
    public var size: UInt64 = 0
    public var device: UInt64 = 0
    /// When its contents were modified last: seconds and nanoseconds.
    public var modified: (UInt64, UInt64) = (0, 0)
    public var isRegular: Bool { mode & 0o170000 == 0o100000 }

    public init() {}
  }

  /// openat(2) with O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY: a pipe or a terminal must not make us wait
  /// or own it.
  static func open(_ path: UnsafeRawPointer?) -> Int64 {
    retrying {
      vt_syscall6(openatNumber, -100, Int64(Int(bitPattern: path)), 0o2000000 | 0o4000 | 0o400, 0, 0, 0)
    }
  }

  public static func close(_ descriptor: Int32) {
    _ = vt_syscall6(closeNumber, Int64(descriptor), 0, 0, 0, 0, 0)
  }

  static func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int
  {
    let address = Int64(Int(bitPattern: buffer.baseAddress))
    let result = retrying {
      vt_syscall6(
        pread64Number, Int64(descriptor), address, Int64(buffer.count), Int64(bitPattern: offset), 0, 0)
    }
    return Int(result)
  }

  /// Where an open file is, by /proc/self/fd.
  static func path(of descriptor: Int32) -> [UInt8]? {
    let link = Array("/proc/self/fd/\(descriptor)".utf8) + [0]
    return withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer -> [UInt8]? in
      let length = link.withUnsafeBytes {
        vt_syscall6(
          readlinkatNumber, -100, Int64(Int(bitPattern: $0.baseAddress)),
          Int64(Int(bitPattern: buffer.baseAddress)), 4096, 0, 0)
      }
      return length <= 0 ? nil : Array(buffer.prefix(Int(truncatingIfNeeded: length)))
    }
  }

  /// faccessat(2) for execution, with the effective ids.
  static func mayExecute(_ path: [UInt8]) -> Bool {
    (path + [0]).withUnsafeBytes { bytes in
      vt_syscall6(faccessatNumber, -100, Int64(Int(bitPattern: bytes.baseAddress)), 1, 0, 0, 0) == 0
    }
  }

  /// fcntl(2) with a pointer.
  static func control(_ descriptor: Int32, _ command: UInt64, _ pointer: UInt64) -> Int64 {
    vt_syscall6(
      controlNumber, Int64(descriptor), Int64(bitPattern: command), Int64(bitPattern: pointer), 0, 0, 0)
  }

  /// Whether the host will not execute a file because somebody has it open for writing. Kernels since 6.8 open the program
  /// before they look at the arguments, and these are where nothing can be: so execve(2) fails always. Older ones say nothing.
  static func isBeingWritten(_ path: [UInt8]) -> Bool {
    let busy: Int64 = -26
    let nowhere = Int64.min
    return (path + [0]).withUnsafeBytes { bytes in
      vt_syscall6(executeNumber, Int64(Int(bitPattern: bytes.baseAddress)), nowhere, nowhere, 0, 0, 0) == busy
    }
  }

  /// statx(2): one layout on every architecture. Offsets of `struct statx` in bytes are 28 mode (16 bits), 20
  /// user, 24 group, 32 inode, 40 size, 112 and 120 time of modification, 136 and 140 device. 0, or -errno.
  public static func status(of descriptor: Int32, into status: inout Status) -> Int64 {
    var bytes = [UInt8](repeating: 0, count: 256)
    let result = bytes.withUnsafeMutableBytes { buffer -> Int64 in
      var empty: UInt8 = 0
      return withUnsafePointer(to: &empty) { path in
        vt_syscall6(
          statxNumber, Int64(descriptor), Int64(Int(bitPattern: path)), 0x1000, 0x7ff,
          Int64(Int(bitPattern: buffer.baseAddress)), 0)
      }
    }
    status.mode = UInt32(bytes.littleEndian(UInt16.self, at: 28) ?? 0)
    status.user = bytes.littleEndian(UInt32.self, at: 20) ?? 0
    status.group = bytes.littleEndian(UInt32.self, at: 24) ?? 0
    status.inode = bytes.littleEndian(UInt64.self, at: 32) ?? 0
    status.size = bytes.littleEndian(UInt64.self, at: 40) ?? 0
    status.modified = (
      bytes.littleEndian(UInt64.self, at: 112) ?? 0, UInt64(bytes.littleEndian(UInt32.self, at: 120) ?? 0)
    )
    let major = UInt64(bytes.littleEndian(UInt32.self, at: 136) ?? 0)
    let minor = UInt64(bytes.littleEndian(UInt32.self, at: 140) ?? 0)
    status.device = (minor & 0xff) | (major & 0xfff) &<< 8 | (minor & ~0xff) &<< 12 | (major & ~0xfff) &<< 32
    return result
  }

  private static func retrying(_ call: () -> Int64) -> Int64 {
    while true {
      let result = call()
      if result != interrupted { return result }
    }
  }
}
