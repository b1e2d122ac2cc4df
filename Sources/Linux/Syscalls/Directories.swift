// Names and directories: links, renames, working directory, reading directories.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineDirectories() {
    define(78, "getdents", "fd *dirents>2 ulong")
    define(79, "getcwd", "buf>1 ulong")
    define(80, "chdir", "path")
    define(81, "fchdir", "fd")
    define(82, "rename", "path path")
    define(83, "mkdir", "path octal")
    define(84, "rmdir", "path")
    define(86, "link", "path path")
    define(87, "unlink", "path")
    define(88, "symlink", "path path")
    define(89, "readlink", "path buf>2 ulong", [], LinuxProcess.readLink)
    define(133, "mknod", "path octal dev")
    define(161, "chroot", "path")
    define(217, "getdents64", "fd *dirents>2 ulong")
    define(258, "mkdirat", "dirfd path octal")
    define(259, "mknodat", "dirfd path octal dev")
    define(263, "unlinkat", "dirfd path %unlinkat")
    define(264, "renameat", "dirfd path dirfd path")
    define(265, "linkat", "dirfd path dirfd path %at")
    define(266, "symlinkat", "path dirfd path")
    define(267, "readlinkat", "dirfd path buf>3 ulong", [], LinuxProcess.readLinkAt)
    define(316, "renameat2", "dirfd path dirfd path %rename")
  }
}

extension LinuxProcess {
  static func readLink(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if let executable = process.executableReference(arguments.a) {
      return process.executableLink(executable, arguments.b, size: int(arguments.c))
    }
    process.memory.prepareHostWrite(arguments.b, size: arguments.c)
    let path = process.memory.hostArgument(arguments.a)
    return process.host.call(89, path, process.memory.hostArgument(arguments.b), arguments.c)
  }

  static func readLinkAt(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    if let executable = process.executableReference(arguments.b) {
      return process.executableLink(executable, arguments.c, size: int(arguments.d))
    }
    process.memory.prepareHostWrite(arguments.c, size: arguments.d)
    let path = process.memory.hostArgument(arguments.b)
    return process.host.call(267, arguments.a, path, process.memory.hostArgument(arguments.c), arguments.d)
  }

  /// What readlink(2) of /proc/self/exe says: the guest's path, cut to `size`.
  private func executableLink(_ executable: [UInt8], _ buffer: UInt64, size: Int32) -> Int64 {
    if size <= 0 { return -Errno.EINVAL }
    let path = Array(executable.prefix(Int(size)))
    return memory.copyOut(path, to: GuestAddress(buffer)) ? Int64(path.count) : -Errno.EFAULT
  }
}
