// Names and directories: links, renames, working directory, reading directories.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineDirectories() {
    define(78, "getdents", "fd *dirents>2 ulong", [], LinuxProcess.readDirectory)
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
    define(217, "getdents64", "fd *dirents>2 ulong", [], LinuxProcess.readDirectory)
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

  /// getdents(2) and getdents64(2): a listing of /proc/PID/fd leaves out Vitrine's own descriptors.
  static func readDirectory(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let number = process.callNumber
    process.memory.prepareHostWrite(arguments.b, size: arguments.c & 0xffff_ffff)
    while true {
      let result = process.host.call(
        number, arguments.a, process.memory.hostArgument(arguments.b), arguments.c)
      if result <= 0 || process.descriptors.numbers.isEmpty || !process.listsDescriptors(arguments.a) {
        return result
      }
      let place = GuestAddress(arguments.b)
      guard let entries = process.memory.bytes(at: place, count: Int(result)) else { return -Errno.EFAULT }
      // The name follows inode, offset, length and, in the newer layout, the type.
      let kept = process.withoutHidden(entries, nameOffset: number == 217 ? 19 : 18)
      // What is left over behind them would tell of the others.
      let rest = [UInt8](repeating: 0, count: entries.count - kept.count)
      let end = GuestAddress(arguments.b &+ UInt64(kept.count))
      if !process.memory.copyOut(kept, to: place) || !process.memory.copyOut(rest, to: end) {
        return -Errno.EFAULT
      }
      // Nothing left of this part: the next one.
      if !kept.isEmpty { return Int64(kept.count) }
    }
  }

  /// Whether a descriptor is of the folder /proc/PID/fd or fdinfo.
  private func listsDescriptors(_ descriptor: UInt64) -> Bool {
    guard let path = linkTarget(LinuxProcess.link(of: int(descriptor))), path.starts(with: "/proc/".utf8)
    else { return false }
    return LinuxProcess.isDescriptorFolder(path)
  }

  /// Whether a path of /proc ends in `fd` or `fdinfo`.
  static func isDescriptorFolder(_ path: [UInt8]) -> Bool {
    path.reversed().starts(with: "df/".utf8) || path.reversed().starts(with: "ofnidf/".utf8)
  }

  /// Directory entries without those named like one of Vitrine's descriptors.
  private func withoutHidden(_ entries: [UInt8], nameOffset: Int) -> [UInt8] {
    let hidden = Set(descriptors.numbers.map { Array(String($0).utf8) })
    return LinuxProcess.entries(entries, nameOffset) { !hidden.contains(Array($0)) }
  }

  /// The directory entries whose names are wanted.
  static func entries(
    _ entries: [UInt8], _ nameOffset: Int, _ wanted: (ArraySlice<UInt8>) -> Bool
  ) -> [UInt8] {
    var kept: [UInt8] = []
    var offset = 0
    while let length = entries.littleEndian(UInt16.self, at: offset + 16), length > 0,
      offset + Int(length) <= entries.count
    {
      let entry = entries[offset..<offset + Int(length)]
      if wanted(entry.dropFirst(nameOffset).prefix { $0 != 0 }) { kept += entry }
      offset += Int(length)
    }
    return kept
  }

  /// What readlink(2) of /proc/self/exe says: the guest's path, cut to `size`.
  private func executableLink(_ executable: [UInt8], _ buffer: UInt64, size: Int32) -> Int64 {
    if size <= 0 { return -Errno.EINVAL }
    let path = Array(executable.prefix(Int(size)))
    return memory.copyOut(path, to: GuestAddress(buffer)) ? Int64(path.count) : -Errno.EFAULT
  }
}
