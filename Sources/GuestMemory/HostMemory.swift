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
  #else
    // The generic table: arm64, riscv64, loongarch64.
    static let mmapNumber: Int64 = 222
    static let mprotectNumber: Int64 = 226
    static let munmapNumber: Int64 = 215
    static let mremapNumber: Int64 = 216
    static let msyncNumber: Int64 = 227
    static let mincoreNumber: Int64 = 232
    static let madviseNumber: Int64 = 233
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
