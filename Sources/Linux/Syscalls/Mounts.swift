// Mounting and what goes with it. The host decides: without privileges it refuses, inside a user namespace of the guest's own
// it allows.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineMounts() {
    define(136, "ustat", "dev *ustat>")
    define(155, "pivot_root", "path path")
    define(165, "mount", "path path str hex ptr")
    define(166, "umount2", "path hex")
    define(300, "fanotify_init", "hex hex")
    define(301, "fanotify_mark", "fd hex hex dirfd path")
    define(303, "name_to_handle_at", "dirfd path ptr *int> %at", [], LinuxProcess.nameToHandle)
    define(304, "open_by_handle_at", "fd ptr %open", .slow, LinuxProcess.openByHandle)
    define(428, "open_tree", "dirfd path hex")
    define(429, "move_mount", "dirfd path dirfd path hex")
    define(430, "fsopen", "str hex")
    define(431, "fsconfig", "fd uint str ptr int")
    define(432, "fsmount", "fd hex hex")
    define(433, "fspick", "dirfd path hex")
    define(442, "mount_setattr", "dirfd path hex ptr ulong")
    define(443, "quotactl_fd", "fd hex int ptr")
    define(139, "sysfs", "int hex addr", [], LinuxProcess.fileSystemTypes)
    define(457, "statmount", "*mnt_id_req< *statmount>2 ulong hex", [], LinuxProcess.mounts)
    define(458, "listmount", "*mnt_id_req< *ulong>2 ulong hex", [], LinuxProcess.mounts)
    define(467, "open_tree_attr", "dirfd path hex ptr ulong")
  }
}

extension LinuxProcess {
  /// name_to_handle_at(2): a header of two ints says how many bytes of handle follow.
  static func nameToHandle(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let memory = process.memory
    guard let room = memory.load(UInt32.self, at: arguments.c) else { return -Errno.EFAULT }
    memory.prepareHostWrite(arguments.c, size: UInt64(min(room, 128)) + 8)
    memory.prepareHostWrite(arguments.d, size: 4)
    return process.host.call(
      303, arguments.a, process.hostPath(arguments.b, buffer: 1), memory.hostArgument(arguments.c),
      memory.hostArgument(arguments.d), arguments.e)
  }

  static func openByHandle(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let handle = process.memory.hostArgument(arguments.b)
    return process.opened(process.host.callWaiting(304, arguments.a, handle, arguments.c), flags: arguments.c)
  }

  /// sysfs(2): the number of a type of file systems, its name, or how many there are.
  static func fileSystemTypes(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    switch int(arguments.a) {
    case 1: return process.host.call(139, arguments.a, memory.hostArgument(arguments.b))
    case 2:
      // Names are short; the kernel writes no more than one.
      memory.prepareHostWrite(arguments.c, size: 64)
      return process.host.call(139, arguments.a, arguments.b, memory.hostArgument(arguments.c))
    default: return process.host.call(139, arguments.a)
    }
  }

  /// statmount(2), listmount(2): the host's mounts, which are those of a guest without a root of its own only.
  static func mounts(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.root != nil { return -Errno.ENOSYS }
    let (memory, number) = (process.memory, process.callNumber)
    let each: UInt64 = number == 458 ? 8 : 1
    memory.prepareHostWrite(arguments.b, size: min(arguments.c, 1 << 20) &* each)
    return process.host.call(
      number, memory.hostArgument(arguments.a), memory.hostArgument(arguments.b), arguments.c, arguments.d)
  }
}
