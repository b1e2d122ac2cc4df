// The host kernel's memory calls, as raw numbers: the core builds without a libc. This is the only file of the module
// that knows the host's system call numbers. Addresses here are host addresses.
import CHost

enum HostMemory {
  static let protectionNone: Int64 = 0
  static let protectionRead: Int64 = 1
  static let protectionWrite: Int64 = 2

  static let shared: Int64 = 0x01
  static let `private`: Int64 = 0x02
  static let fixed: Int64 = 0x10
  static let anonymous: Int64 = 0x20
  static let noReserve: Int64 = 0x4000
  static let populate: Int64 = 0x8000
  static let stack: Int64 = 0x2_0000
  static let fixedNoReplace: Int64 = 0x10_0000

  static let remapMayMove: Int64 = 1
  static let remapFixed: Int64 = 2
  static let remapDontUnmap: Int64 = 4

  #if arch(x86_64)
    static let mmapNumber: Int64 = 9
    static let mprotectNumber: Int64 = 10
    static let munmapNumber: Int64 = 11
    static let mremapNumber: Int64 = 25
    static let msyncNumber: Int64 = 26
    static let mincoreNumber: Int64 = 27
    static let madviseNumber: Int64 = 28
    static let yieldNumber: Int64 = 24
    static let readNumber: Int64 = 0
    static let closeNumber: Int64 = 3
    static let openatNumber: Int64 = 257
    static let ioctlNumber: Int64 = 16
    static let preadNumber: Int64 = 17
    static let pwriteNumber: Int64 = 18
    static let ftruncateNumber: Int64 = 77
    static let memfdCreateNumber: Int64 = 319
    static let remapFilePagesNumber: Int64 = 216
  #else
    // The generic table: arm64, riscv64, loongarch64.
    static let mmapNumber: Int64 = 222
    static let mprotectNumber: Int64 = 226
    static let munmapNumber: Int64 = 215
    static let mremapNumber: Int64 = 216
    static let msyncNumber: Int64 = 227
    static let mincoreNumber: Int64 = 232
    static let madviseNumber: Int64 = 233
    static let yieldNumber: Int64 = 124
    static let readNumber: Int64 = 63
    static let closeNumber: Int64 = 57
    static let openatNumber: Int64 = 56
    static let ioctlNumber: Int64 = 29
    static let preadNumber: Int64 = 67
    static let pwriteNumber: Int64 = 68
    static let ftruncateNumber: Int64 = 46
    static let memfdCreateNumber: Int64 = 279
    static let remapFilePagesNumber: Int64 = 234
  #endif

  /// mmap(2). Returns the address, or -errno.
  static func map(
    _ address: UInt64, _ size: UInt64, protection: Int64, flags: Int64, descriptor: Int32 = -1,
    offset: UInt64 = 0
  ) -> Int64 {
    vt_syscall6(
      mmapNumber, Int64(bitPattern: address), Int64(bitPattern: size), protection, flags, Int64(descriptor),
      Int64(bitPattern: offset))
  }

  /// Turns a range back into reserved, inaccessible address space.
  static func reserve(_ address: UInt64, _ size: UInt64) -> Int64 {
    map(address, size, protection: protectionNone, flags: `private` | anonymous | noReserve | fixed)
  }

  /// Reserves the whole range, whatever is mapped there now. Kernels can seal the pages of the vdso (mseal(2)); sealed
  /// mappings stay (EPERM), and what lies around them is reserved. False when the host refuses for another reason.
  static func cover(_ start: UInt64, _ end: UInt64) -> Bool {
    if start >= end || reserve(start, end &- start) >= 0 { return true }
    var reached = start
    for mapping in mappings(from: start, to: end).map({ $0.range }) {
      if mapping.lowerBound > reached, reserve(reached, mapping.lowerBound &- reached) < 0 { return false }
      let part = max(mapping.lowerBound, reached)..<min(mapping.upperBound, end)
      let result = reserve(part.lowerBound, part.upperBound &- part.lowerBound)
      if result < 0, result != -1 { return false }
      reached = part.upperBound
    }
    return reached >= end || reserve(reached, end &- reached) >= 0
  }

  /// This process's mappings that overlap `[start, end)`, in order, from /proc/self/maps; none when that cannot be read.
  static func mappings(from start: UInt64 = 0, to end: UInt64 = .max) -> [HostMapping] {
    let path: StaticString = "/proc/self/maps"
    let descriptor = vt_syscall6(
      openatNumber, -100, Int64(Int(bitPattern: path.utf8Start)), 0, 0, 0, 0)  // AT_FDCWD, O_RDONLY
    if descriptor < 0 { return [] }
    defer { _ = vt_syscall6(closeNumber, descriptor, 0, 0, 0, 0, 0) }
    var result: [HostMapping] = []
    var reader = MapsReader(from: start, to: end)
    return withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      while true {
        // SAFETY: the kernel writes at most the buffer's size, and the buffer outlives the call.
        let count = vt_syscall6(
          readNumber, descriptor, Int64(Int(bitPattern: buffer.baseAddress)), Int64(buffer.count), 0, 0, 0)
        if count <= 0 { return result }
        for byte in buffer.prefix(Int(truncatingIfNeeded: count)) {
          if let mapping = reader.take(byte) { result.append(mapping) }
        }
      }
    }
  }

  /// sched_yield(2).
  static func yieldProcessor() { _ = vt_syscall6(yieldNumber, 0, 0, 0, 0, 0, 0) }

  static func unmap(_ address: UInt64, _ size: UInt64) -> Int64 {
    vt_syscall6(munmapNumber, Int64(bitPattern: address), Int64(bitPattern: size), 0, 0, 0, 0)
  }

  static func protect(_ address: UInt64, _ size: UInt64, _ protection: Int64) -> Int64 {
    vt_syscall6(mprotectNumber, Int64(bitPattern: address), Int64(bitPattern: size), protection, 0, 0, 0)
  }

  static func remap(_ address: UInt64, _ size: UInt64, _ newSize: UInt64, flags: Int64, to target: UInt64 = 0)
    -> Int64
  {
    vt_syscall6(
      mremapNumber, Int64(bitPattern: address), Int64(bitPattern: size), Int64(bitPattern: newSize), flags,
      Int64(bitPattern: target), 0)
  }

  static func remapFilePages(_ address: UInt64, _ size: UInt64, page: UInt64, flags: UInt64) -> Int64 {
    vt_syscall6(
      remapFilePagesNumber, Int64(bitPattern: address), Int64(bitPattern: size), 0, Int64(bitPattern: page),
      Int64(bitPattern: flags), 0)
  }

  static func advise(_ address: UInt64, _ size: UInt64, _ advice: Int32) -> Int64 {
    vt_syscall6(madviseNumber, Int64(bitPattern: address), Int64(bitPattern: size), Int64(advice), 0, 0, 0)
  }

  static func sync(_ address: UInt64, _ size: UInt64, _ flags: Int32) -> Int64 {
    vt_syscall6(msyncNumber, Int64(bitPattern: address), Int64(bitPattern: size), Int64(flags), 0, 0, 0)
  }

  static func residency(_ address: UInt64, _ size: UInt64, into vector: UInt64) -> Int64 {
    vt_syscall6(
      mincoreNumber, Int64(bitPattern: address), Int64(bitPattern: size), Int64(bitPattern: vector), 0, 0, 0)
  }
}

/// A line of /proc/PID/maps.
struct HostMapping {
  var range: Range<UInt64>
  /// The last word of the line: the end of a path, a name such as `[vdso]`, or the inode number of what has neither.
  var name: [UInt8]
}

/// Reads the lines of /proc/PID/maps, byte by byte.
private struct MapsReader {
  private let lowest: UInt64
  private let end: UInt64
  private var start: UInt64 = 0
  private var number: UInt64 = 0
  private var isAddress = true
  private var word: [UInt8] = []

  /// For the mappings that overlap `[lowest, end)`.
  init(from lowest: UInt64, to end: UInt64) { (self.lowest, self.end) = (lowest, end) }

  private var isWanted: Bool { start < number && start < end && number > lowest }

  /// The mapping whose line `byte` completes, if it is wanted.
  mutating func take(_ byte: UInt8) -> HostMapping? {
    switch byte {
    case UInt8(ascii: "\n"):
      defer { self = MapsReader(from: lowest, to: end) }
      return isWanted ? HostMapping(range: start..<number, name: word) : nil
    case UInt8(ascii: " "):
      isAddress = false
      word.removeAll(keepingCapacity: true)
    case _ where !isAddress: if isWanted { word.append(byte) }
    case UInt8(ascii: "-"): (start, number) = (number, 0)
    case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt64(byte & 15)
    case UInt8(ascii: "a")...UInt8(ascii: "f"):
      number = number << 4 | UInt64(byte &- UInt8(ascii: "a") &+ 10)
    default: break
    }
    return nil
  }
}
