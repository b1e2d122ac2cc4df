// Memory calls: decoded here, carried out by `AddressSpace`, which checks every range.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineMemory() {
    define(9, "mmap", "addr ulong %prot %map fd hex = hex", [], LinuxProcess.map)
    define(10, "mprotect", "addr ulong %prot", [], LinuxProcess.protect)
    define(11, "munmap", "addr ulong", [], LinuxProcess.unmap)
    define(12, "brk", "addr = hex", [], LinuxProcess.programBreak)
    define(25, "mremap", "addr ulong ulong %mremap addr = hex", [], LinuxProcess.remap)
    define(26, "msync", "addr ulong %msync", [], LinuxProcess.synchronize)
    define(27, "mincore", "addr ulong addr", [], LinuxProcess.residency)
    define(28, "madvise", "addr ulong $madvise", [], LinuxProcess.advise)
    define(216, "remap_file_pages", "addr ulong hex ulong hex", [], LinuxProcess.remapFilePages)
    define(462, "mseal", "addr ulong hex", [], LinuxProcess.seal)
    define(149, "mlock", "addr ulong", [], LinuxProcess.lock)
    define(150, "munlock", "addr ulong", [], LinuxProcess.lock)
    define(151, "mlockall", "%mlockall", [], LinuxProcess.lockAll)
    define(152, "munlockall", "")
    define(325, "mlock2", "addr ulong uint", [], LinuxProcess.lock)
    define(324, "membarrier", "int uint int", [], LinuxProcess.barrier)
    define(329, "pkey_mprotect", "addr ulong %prot int", [], LinuxProcess.protectWithKey)
    define(440, "process_madvise", "fd iov<2 ulong $madvise uint", [], LinuxProcess.adviseProcess)
    define(451, "cachestat", "fd *range< *cachestat> uint")
    define(310, "process_vm_readv", "pid addr ulong addr ulong ulong", [], LinuxProcess.processMemory)
    define(311, "process_vm_writev", "pid addr ulong addr ulong ulong", [], LinuxProcess.processMemory)
    define(330, "pkey_alloc", "uint uint", [], LinuxProcess.noKeys)
    define(331, "pkey_free", "int", [], LinuxProcess.noKeys)
  }
}

/// Bits of mmap(2)'s `flags`.
private enum MapFlags {
  static let shared: UInt64 = 1
  static let `private`: UInt64 = 2
  static let sharedValidate: UInt64 = 3
  static let typeMask: UInt64 = 15
  static let fixed: UInt64 = 0x10
  static let anonymous: UInt64 = 0x20
  static let low: UInt64 = 0x40
  static let growsDown: UInt64 = 0x100
  static let populate: UInt64 = 0x8000
  static let noReserve: UInt64 = 0x4000
  static let hugeTLB: UInt64 = 0x40000
  static let fixedNoReplace: UInt64 = 0x100000
}

extension LinuxProcess {
  /// The result of an operation on memory: what it returns, or the error it throws.
  func result(_ body: () throws(MemoryError) -> UInt64) -> Int64 {
    do { return Int64(bitPattern: try body()) } catch { return -Int64(error.number) }
  }

  static func map(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let flags = arguments.d
    let type = flags & MapFlags.typeMask
    if type == 0 || type > MapFlags.sharedValidate || arguments.f & Page.mask != 0 { return -Errno.EINVAL }
    if flags & MapFlags.hugeTLB != 0 { return -Errno.ENOMEM }
    var request = MapRequest(
      address: arguments.a, size: arguments.b, permissions: process.permissions(arguments.c))
    if flags & MapFlags.fixed != 0 { request.placement = .fixed }
    if flags & MapFlags.fixedNoReplace != 0 { request.placement = .fixedNoReplace }
    request.isLow = flags & (MapFlags.low | MapFlags.fixed) == MapFlags.low
    if type != MapFlags.private { request.flags.insert(.shared) }
    if flags & MapFlags.noReserve != 0 { request.flags.insert(.noReserve) }
    if flags & MapFlags.growsDown != 0 {
      if type != MapFlags.private { return -Errno.EINVAL }
      request.flags.insert(.growsDown)
    }
    request.populate = flags & MapFlags.populate != 0
    if flags & MapFlags.anonymous == 0 {
      let descriptor = int(arguments.e)
      if process.descriptors.contains(descriptor) { return -Errno.EBADF }
      guard let identity = process.identity(of: descriptor) else { return -Errno.EBADF }
      request.file = (descriptor, arguments.f, identity)
    }
    return process.result { () throws(MemoryError) in try process.memory.map(request) }
  }

  /// Device, inode and path of an open file; nil when the descriptor is not open.
  func identity(of descriptor: Int32) -> Backing? {
    let number = UInt64(UInt32(bitPattern: descriptor))
    guard let file = fileBehind(number) else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer -> Backing in
      var link = Array("/proc/self/fd/\(number)".utf8)
      link.append(0)
      let length = link.withUnsafeBytes {
        host.call(89, address(of: $0.baseAddress), address(of: buffer.baseAddress), 4096)
      }
      return Backing(device: file[0], inode: file[1], path: Array(buffer.prefix(max(Int(length), 0))))
    }
  }

  static func protect(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let growsDown: UInt64 = 0x0100_0000
    let growsUp: UInt64 = 0x0200_0000
    if arguments.c & ~(7 | 8 | growsDown | growsUp) != 0 || arguments.c & growsUp != 0 {
      return -Errno.EINVAL
    }
    return process.result { () throws(MemoryError) in
      try process.memory.protect(
        arguments.a, size: arguments.b, permissions: process.permissions(arguments.c),
        growsDown: arguments.c & growsDown != 0)
      return 0
    }
  }

  static func protectWithKey(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    int(arguments.d) == -1 ? protect(process, arguments) : -Errno.EINVAL
  }

  /// There are no protection keys: what hardware without them answers.
  static func noKeys(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.callNumber == 330 ? -Errno.ENOSPC : -Errno.EINVAL
  }

  static func unmap(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.result { () throws(MemoryError) in
      try process.memory.unmap(arguments.a, size: arguments.b)
      return 0
    }
  }

  static func programBreak(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    Int64(bitPattern: process.memory.setBreak(arguments.a))
  }

  static func remap(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.result { () throws(MemoryError) in
      try process.memory.remap(
        arguments.a, size: arguments.b, newSize: arguments.c,
        flags: RemapFlags(rawValue: UInt32(truncatingIfNeeded: arguments.d)), newAddress: arguments.e)
    }
  }

  static func synchronize(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.result { () throws(MemoryError) in
      try process.memory.sync(arguments.a, size: arguments.b, flags: int(arguments.c))
      return 0
    }
  }

  static func residency(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.result { () throws(MemoryError) in
      try process.memory.residency(arguments.a, size: arguments.b, into: GuestAddress(arguments.c))
      return 0
    }
  }

  static func advise(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.result { () throws(MemoryError) in
      try process.memory.advise(arguments.a, size: arguments.b, advice: int(arguments.c))
      return 0
    }
  }

  static func remapFilePages(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    // The mapping keeps its permissions.
    if arguments.c != 0 { return -Errno.EINVAL }
    return process.result { () throws(MemoryError) in
      try process.memory.remapFilePages(
        arguments.a, size: arguments.b, page: arguments.d, flags: arguments.e)
      return 0
    }
  }

  static func seal(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.c != 0 { return -Errno.EINVAL }
    return process.result { () throws(MemoryError) in
      try process.memory.seal(arguments.a, size: arguments.b)
      return 0
    }
  }

  /// mlockall(2) would lock Vitrine and its reservation: accepted without effect.
  static func lockAll(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    arguments.a == 0 || arguments.a & ~7 != 0 ? -Errno.EINVAL : 0
  }

  /// membarrier(2). Where sections are executed under the lock, nobody is in one when this is called, and the host's answers are right;
  /// elsewhere there is no rseq(2), which has commands of its own here: tcmalloc complains where only one of them exists.
  static func barrier(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let query: Int32 = 0
    let restartable: Int64 = process.memory.findsSections ? 0 : 1 << 7 | 1 << 8
    let command = Int32(truncatingIfNeeded: arguments.a)
    if command > 0, Int64(command) & restartable != 0 { return -Errno.EINVAL }
    let result = process.host.call(324, arguments.a, arguments.b, arguments.c)
    return command == query && result > 0 ? result & ~restartable : result
  }

  // MARK: Ranges that the host looks at

  /// Calls `body` with host address and size of each mapped piece of a range of pages; ENOMEM when there are holes, or what
  /// `body` returns first below zero.
  func forMapped(
    _ start: UInt64, size: UInt64, _ body: (_ address: UInt64, _ size: UInt64) -> Int64
  ) -> Int64 {
    let first = Page.down(start)
    // A size that is nearly 2^64 becomes 0, as in the kernel.
    guard let rounded = Page.up(size &+ (start & Page.mask)), size &+ (start & Page.mask) >= size else {
      return 0
    }
    let (last, overflow) = first.addingReportingOverflow(rounded)
    if overflow { return -Errno.EINVAL }
    var reached = first
    for region in memory.regions(from: first, to: last) {
      if region.start > reached { return -Errno.ENOMEM }
      let result = body(memory.hostArgument(region.start), region.end &- region.start)
      if result < 0 { return result }
      reached = region.end
    }
    return reached < last ? -Errno.ENOMEM : 0
  }

  /// mlock(2), mlock2(2), munlock(2).
  static func lock(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let number = process.callNumber
    if number == 325, arguments.c & ~1 != 0 { return -Errno.EINVAL }
    return process.forMapped(arguments.a, size: arguments.b) { address, size in
      process.host.call(number, address, size, number == 325 ? arguments.c : 0)
    }
  }

  /// process_madvise(2): the ranges are guest addresses, in this process or in another guest.
  static func adviseProcess(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    var failure: Int64 = 0
    guard
      let vector = process.hostVector(
        arguments.b, count: arguments.c & 0xffff_ffff, hostWrites: true, failure: &failure)
    else { return failure }
    return vector.withUnsafeBytes {
      process.host.call(
        440, arguments.a, process.address(of: $0.baseAddress), arguments.c, arguments.d, arguments.e)
    }
  }

  /// process_vm_readv(2), process_vm_writev(2): between guests, whose windows all lie at the same host address. Other
  /// processes are out of bounds.
  static func processMemory(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let number = process.callNumber
    let reads = number == 310
    if arguments.f != 0 { return -Errno.EINVAL }
    let target = Int64(int(arguments.a))
    var failure: Int64 = 0
    guard
      // The kernel cuts the number of its own buffers to 32 bits.
      let local = process.hostVector(
        arguments.b, count: arguments.c & 0xffff_ffff, hostWrites: reads, failure: &failure),
      let remote = process.hostVector(
        arguments.d, count: arguments.e, hostWrites: !reads && target == process.host.call(39),
        failure: &failure)
    else { return failure }
    if !process.isGuest(target) {
      let exists = process.host.call(62, arguments.a, 0)
      return exists == -Errno.ESRCH || target <= 0 ? -Errno.ESRCH : -Errno.EPERM
    }
    return local.withUnsafeBytes { near in
      remote.withUnsafeBytes { far in
        process.host.call(
          number, arguments.a, process.address(of: near.baseAddress), arguments.c,
          process.address(of: far.baseAddress), arguments.e, 0)
      }
    }
  }
}
