// The few host calls that making and reading recordings takes, past the personality: they are Vitrine's own. Results are values or
// -errno.
import CHost
import GuestMemory
import LinuxABI

enum HostFile {
  private static let closeOnExec: Int64 = 0x80000

  static func call(
    _ number: Int64, _ a: Int64 = 0, _ b: Int64 = 0, _ c: Int64 = 0, _ d: Int64 = 0, _ e: Int64 = 0,
    _ f: Int64 = 0
  ) -> Int64 {
    while true {
      let result = vt_syscall6(number, a, b, c, d, e, f)
      if result != -4 { return result }  // EINTR
    }
  }

  private static func pointer(_ bytes: UnsafeRawBufferPointer) -> Int64 {
    Int64(Int(bitPattern: bytes.baseAddress))
  }

  /// Opens a file for appending, empty.
  static func create(_ path: [UInt8]) -> Int64 {
    let writeAppendCreateTruncate: Int64 = 0o3101
    return (path + [0]).withUnsafeBytes {
      call(257, -100, pointer($0), writeAppendCreateTruncate | closeOnExec, 0o666)
    }
  }

  static func open(_ path: [UInt8]) -> Int64 {
    (path + [0]).withUnsafeBytes { call(257, -100, pointer($0), closeOnExec, 0) }
  }

  /// Opens a regular file for reading, or -errno: others are not opened in earnest, so that nothing waits and nothing happens.
  static func openRegular(_ path: [UInt8]) -> Int64 {
    let (nonBlocking, noTerminal): (Int64, Int64) = (0o4000, 0o400)
    let result = (path + [0]).withUnsafeBytes {
      call(257, -100, pointer($0), closeOnExec | nonBlocking | noTerminal, 0)
    }
    if result < 0 { return result }
    let descriptor = Int32(truncatingIfNeeded: result)
    // struct stat: st_mode at 24.
    let (type, regular): (UInt64, UInt64) = (0o170000, 0o100000)
    if let status = status(descriptor), status[3] & type == regular { return result }
    close(descriptor)
    return -Errno.EACCES
  }

  /// The words of a `struct stat`.
  private static func status(_ descriptor: Int32) -> InlineArray<18, UInt64>? {
    var status = InlineArray<18, UInt64>(repeating: 0)
    let result = withUnsafeMutableBytes(of: &status) {
      call(5, Int64(descriptor), pointer(UnsafeRawBufferPointer($0)))
    }
    return result == 0 ? status : nil
  }

  static func close(_ descriptor: Int32) { _ = vt_syscall6(3, Int64(descriptor), 0, 0, 0, 0, 0) }

  /// Writes all of `bytes`; false when the host takes no more.
  static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    bytes.withUnsafeBytes { write($0, to: descriptor) }
  }

  static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Bool {
    var done = 0
    while done < bytes.count {
      let result = call(
        1, Int64(descriptor), pointer(UnsafeRawBufferPointer(rebasing: bytes[done...])),
        Int64(bytes.count - done))
      if result <= 0 { return false }
      done += Int(result)
    }
    return true
  }

  /// As many of `count` bytes at `offset` as there are.
  static func read(_ descriptor: Int32, at offset: UInt64, count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = read(descriptor, at: offset, into: UnsafeMutableRawBufferPointer(buffer))
    }
  }

  /// Fills `buffer` with what there is at `offset`: so many bytes.
  static func read(_ descriptor: Int32, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int
  {
    let raw = UnsafeRawBufferPointer(buffer)
    var filled = 0
    while filled < raw.count {
      let result = call(
        17, Int64(descriptor), pointer(UnsafeRawBufferPointer(rebasing: raw[filled...])),
        Int64(raw.count - filled), Int64(bitPattern: offset &+ UInt64(filled)))
      if result <= 0 { break }
      filled += Int(result)
    }
    return filled
  }

  static func write(_ bytes: [UInt8], to descriptor: Int32, at offset: UInt64) -> Bool {
    bytes.withUnsafeBytes {
      call(18, Int64(descriptor), pointer($0), Int64($0.count), Int64(bitPattern: offset)) == Int64($0.count)
    }
  }

  /// Where a file is in the host's file systems.
  struct Place: Hashable {
    var device: UInt64
    var inode: UInt64
  }

  /// What tells one state of a file from another.
  struct Identity: Equatable {
    var file: Place
    var size: UInt64
    /// Nanoseconds of the real time.
    var modified: UInt64
    var changed: UInt64

    /// It has not been changed for so long that whoever changes it gives it another time, however coarse the clock of its file system is.
    var isSettled: Bool {
      let (realTime, margin): (Int64, UInt64) = (0, 2_000_000_000)
      var now: (seconds: UInt64, nanoseconds: UInt64) = (0, 0)
      _ = withUnsafeMutableBytes(of: &now) { call(228, realTime, pointer(UnsafeRawBufferPointer($0))) }
      let latest = max(modified, changed)
      return latest &+ margin >= latest && latest &+ margin < now.seconds &* 1_000_000_000 &+ now.nanoseconds
    }
  }

  static func identity(_ descriptor: Int32) -> Identity? {
    guard let status = status(descriptor) else { return nil }
    // struct stat: st_dev, st_ino, …, st_size at 48, st_mtim at 88, st_ctim at 104.
    return Identity(
      file: Place(device: status[0], inode: status[1]), size: status[6],
      modified: status[11] &* 1_000_000_000 &+ status[12], changed: status[13] &* 1_000_000_000 &+ status[14])
  }

  /// A file of `size` bytes that lies in memory only.
  static func inMemory(size: UInt64) -> Int32? {
    let name: [UInt8] = Array("recorded".utf8) + [0]
    let result = name.withUnsafeBytes { call(319, pointer($0), 1) }
    let descriptor = Int32(truncatingIfNeeded: result)
    return result >= 0 && resize(descriptor, size) ? descriptor : nil
  }

  /// A pipe whose ends close at execve(2).
  static func pipe() -> (reading: Int32, writing: Int32)? {
    var ends: (Int32, Int32) = (0, 0)
    let result = withUnsafeBytes(of: &ends) { call(293, pointer($0), closeOnExec) }
    return result == 0 ? (ends.0, ends.1) : nil
  }

  /// Closes the pipe here, and waits until its other owner has done so, or ended.
  static func waitForEnd(of pipe: (reading: Int32, writing: Int32)) {
    close(pipe.writing)
    var byte: UInt8 = 0
    _ = withUnsafeBytes(of: &byte) { call(0, Int64(pipe.reading), pointer($0), 1) }
    close(pipe.reading)
  }

  /// Makes a file longer or shorter.
  static func resize(_ descriptor: Int32, _ size: UInt64) -> Bool {
    call(77, Int64(descriptor), Int64(bitPattern: size)) == 0
  }

  /// Both for reading and for writing.
  static func isOpenForBoth(_ descriptor: Int32) -> Bool {
    let (getFlags, accessMode, readWrite): (Int64, Int64, Int64) = (3, 3, 2)
    let flags = call(72, Int64(descriptor), getFlags)
    return flags >= 0 && flags & accessMode == readWrite
  }

  /// In a file system that lies in memory: made for sharing, more often than not.
  static func isInMemory(_ descriptor: Int32) -> Bool {
    // struct statfs: f_type first, 120 bytes in all.
    var status = InlineArray<15, UInt64>(repeating: 0)
    let result = withUnsafeMutableBytes(of: &status) {
      call(138, Int64(descriptor), pointer(UnsafeRawBufferPointer($0)))
    }
    let temporaryFiles: UInt64 = 0x0102_1994
    return result == 0 && status[0] == temporaryFiles
  }

  /// Zeros that forked children share.
  static func sharedWords(_ count: Int) -> UnsafeMutablePointer<UInt64>? {
    let readWrite: Int64 = 3
    let sharedAnonymousUnreserved: Int64 = 0x4021
    let result = call(9, 0, Int64(count) &* 8, readWrite, sharedAnonymousUnreserved, -1, 0)
    guard result > 0 else { return nil }
    return UnsafeMutableRawPointer(bitPattern: Int(result))?.assumingMemoryBound(to: UInt64.self)
  }

  static func sleepMillisecond() {
    let time: [Int64] = [0, 1_000_000]
    _ = time.withUnsafeBytes { call(35, pointer($0), 0) }
  }

  /// Adds one to a word that other processes use, too; what it was.
  static func fetchAdd(_ word: UnsafeMutablePointer<UInt64>) -> UInt64 {
    var seen = word.pointee
    while true {
      let next = seen &+ 1
      if vt_compare_exchange64(word, &seen, next) { return next &- 1 }
    }
  }
}

extension HostFile.Place {
  init(_ backing: Backing) { self.init(device: backing.device, inode: backing.inode) }
}
