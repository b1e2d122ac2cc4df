// Files by path and by descriptor: opening, reading, writing, attributes. Most calls go to the host as they are; the
// handlers below exist for buffers in vectors and for paths that name the process itself.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineFiles() {
    define(0, "read", "fd buf>2 ulong", .slow)
    define(1, "write", "fd buf<2 ulong", [.slow, .writesFile])
    define(2, "open", "path %open octal", .slow, LinuxProcess.open)
    define(3, "close", "fd")
    define(4, "stat", "path *stat>")
    define(5, "fstat", "fd *stat>")
    define(6, "lstat", "path *stat>", [], LinuxProcess.linkStatus)
    define(8, "lseek", "fd long $whence")
    define(17, "pread64", "fd buf>2 ulong long", .slow)
    define(18, "pwrite64", "fd buf<2 ulong long", [.slow, .writesFile])
    define(19, "readv", "fd iov>2 int", .slow, LinuxProcess.vectorIO)
    define(20, "writev", "fd iov<2 int", [.slow, .writesFile], LinuxProcess.vectorIO)
    define(21, "access", "path %access")
    define(40, "sendfile", "fd fd *off= ulong", [.slow, .writesFile])
    define(73, "flock", "fd %flock", .slow)
    define(74, "fsync", "fd", .slow)
    define(75, "fdatasync", "fd", .slow)
    define(76, "truncate", "path long", [], LinuxProcess.truncatePath)
    define(77, "ftruncate", "fd long", .writesFile)
    define(85, "creat", "path octal", .slow, LinuxProcess.create)
    define(90, "chmod", "path octal")
    define(91, "fchmod", "fd octal")
    define(92, "chown", "path int int")
    define(93, "fchown", "fd int int")
    define(94, "lchown", "path int int")
    define(95, "umask", "octal")
    define(132, "utime", "path *utimbuf<")
    define(137, "statfs", "path *statfs>")
    define(138, "fstatfs", "fd *statfs>")
    define(162, "sync", "")
    define(187, "readahead", "fd long ulong")
    defineMoreFiles()
  }

  private mutating func defineMoreFiles() {
    define(221, "fadvise64", "fd long ulong $fadvise")
    define(235, "utimes", "path *timevals<")
    define(257, "openat", "dirfd path %open octal", .slow, LinuxProcess.openAt)
    define(260, "fchownat", "dirfd path int int %at")
    define(261, "futimesat", "dirfd path *timevals<")
    define(262, "newfstatat", "dirfd path *stat> %at", [], LinuxProcess.statusAt)
    define(268, "fchmodat", "dirfd path octal")
    define(269, "faccessat", "dirfd path %access")
    define(275, "splice", "fd *off= fd *off= ulong %splice", [.slow, .writesFile])
    define(276, "tee", "fd fd ulong %splice", .slow)
    define(277, "sync_file_range", "fd long long uint", .slow)
    define(278, "vmsplice", "fd iov<2 ulong %splice", .slow, LinuxProcess.vectorIO)
    define(280, "utimensat", "dirfd path *timespecs< %at")
    define(285, "fallocate", "fd %fallocate long long", .writesFile)
    define(295, "preadv", "fd iov>2 int long ulong", .slow, LinuxProcess.vectorIO)
    define(296, "pwritev", "fd iov<2 int long ulong", [.slow, .writesFile], LinuxProcess.vectorIO)
    define(306, "syncfs", "fd")
    define(326, "copy_file_range", "fd *off= fd *off= ulong uint", [.slow, .writesFile])
    define(327, "preadv2", "fd iov>2 int long ulong %rwf", .slow, LinuxProcess.vectorIO)
    define(328, "pwritev2", "fd iov<2 int long ulong %rwf", [.slow, .writesFile], LinuxProcess.vectorIO)
    define(332, "statx", "dirfd path %statxflags %statxmask *statx>")
    define(437, "openat2", "dirfd path *open_how<3 ulong", .slow, LinuxProcess.openAt2)
    define(439, "faccessat2", "dirfd path %access %faccessat")
    define(452, "fchmodat2", "dirfd path octal %at")
  }
}

extension LinuxProcess {
  static func open(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let path = process.hostPath(arguments.a, buffer: 0)
    if process.wouldTruncateProgram(PathWalk.word(-100), path, flags: arguments.b) { return -Errno.ETXTBSY }
    return process.opened(process.host.callWaiting(2, path, arguments.b, arguments.c), flags: arguments.b)
  }

  static func openAt(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let path = process.hostPath(arguments.b, buffer: 1)
    if process.wouldTruncateProgram(arguments.a, path, flags: arguments.c) { return -Errno.ETXTBSY }
    let result = process.host.callWaiting(257, arguments.a, path, arguments.c, arguments.d)
    return process.opened(result, flags: arguments.c)
  }

  static func openAt2(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let path = process.hostPath(arguments.b, buffer: 1)
    let how = process.memory.hostArgument(arguments.c)
    if process.wouldTruncateProgram(arguments.a, path, how: arguments.c, size: arguments.d) {
      return -Errno.ETXTBSY
    }
    let result = process.host.callWaiting(437, arguments.a, path, how, arguments.d)
    // The first word of struct open_how.
    return process.opened(result, flags: process.memory.load(UInt64.self, at: arguments.c) ?? 0)
  }

  static func create(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let path = process.hostPath(arguments.a, buffer: 0)
    let flags: UInt64 = 0o1101
    if process.wouldTruncateProgram(PathWalk.word(-100), path, flags: flags) { return -Errno.ETXTBSY }
    return process.opened(process.host.callWaiting(85, path, arguments.b), flags: 1)
  }

  static func truncatePath(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.truncate(process.hostPath(arguments.a, buffer: 0), arguments.b)
  }

  /// lstat(2) of /proc/self/exe is of the link itself: never rewritten.
  static func linkStatus(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.memory.prepareHostWrite(arguments.b, size: 144)
    return process.host.call(
      6, process.memory.hostArgument(arguments.a), process.memory.hostArgument(arguments.b))
  }

  static func statusAt(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let noFollow: UInt64 = 0x100
    process.memory.prepareHostWrite(arguments.c, size: 144)
    let path =
      arguments.d & noFollow != 0
      ? process.memory.hostArgument(arguments.b) : process.hostPath(arguments.b, buffer: 1)
    return process.host.call(262, arguments.a, path, process.memory.hostArgument(arguments.c), arguments.d)
  }

  /// The readv and writev families: the vector's bases are guest addresses and need translating.
  static func vectorIO(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let number = process.callNumber
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let count = number == 278 ? arguments.c & 0xffff_ffff : UInt64(bitPattern: Int64(int(arguments.c)))
    let writes =
      number == 278 ? !process.isWritable(arguments.a) : number == 19 || number == 295 || number == 327
    var failure: Int64 = 0
    guard let vector = process.hostVector(arguments.b, count: count, hostWrites: writes, failure: &failure)
    else {
      return failure
    }
    return vector.withUnsafeBytes {
      process.host.callWaiting(
        Int64(number), arguments.a, process.address(of: $0.baseAddress), arguments.c, arguments.d,
        arguments.e,
        arguments.f)
    }
  }

  /// Whether `descriptor` is open for writing. vmsplice(2) takes data from a pipe that is not.
  private func isWritable(_ descriptor: UInt64) -> Bool {
    let getFlags: UInt64 = 3
    let flags = host.call(72, descriptor, getFlags)
    return flags < 0 || flags & 3 != 0
  }

  /// A copy of the guest's iovec array with host addresses. Nil with `failure` set to -EINVAL or -EFAULT.
  func hostVector(_ address: UInt64, count: UInt64, hostWrites: Bool, failure: inout Int64) -> [UInt64]? {
    if count > 1024 {
      failure = -Errno.EINVAL
      return nil
    }
    var vector = [UInt64](repeating: 0, count: Int(count) * 2)
    let readable = vector.withUnsafeMutableBytes { memory.copyIn($0, from: GuestAddress(address)) }
    if !readable {
      failure = -Errno.EFAULT
      return nil
    }
    for index in stride(from: 0, to: vector.count, by: 2) {
      if hostWrites { memory.prepareHostWrite(vector[index], size: vector[index + 1]) }
      vector[index] = memory.hostArgument(vector[index])
    }
    return vector
  }
}
