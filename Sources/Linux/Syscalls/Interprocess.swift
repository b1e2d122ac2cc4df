// System V shared memory, semaphores and message queues (svipc(7)), POSIX message queues (mq_overview(7)). The host's own
// objects: guests and other processes meet there. Shared memory is attached inside the guest's window.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineInterprocess() {
    define(29, "shmget", "hex ulong hex")
    define(30, "shmat", "int addr hex = hex", [], LinuxProcess.attachShared)
    define(31, "shmctl", "int int *shmid=", [], LinuxProcess.controlShared)
    define(64, "semget", "hex int hex")
    define(65, "semop", "int ptr ulong", .waits)
    define(66, "semctl", "int int int hex", [], LinuxProcess.controlSemaphores)
    define(67, "shmdt", "addr", [], LinuxProcess.detachShared)
    define(68, "msgget", "hex hex")
    define(69, "msgsnd", "int ptr ulong hex", .waits)
    define(70, "msgrcv", "int ptr ulong long hex", .waits, LinuxProcess.receiveMessage)
    define(71, "msgctl", "int int *msqid=")
    define(220, "semtimedop", "int ptr ulong *timespec<", .waits)
    define(240, "mq_open", "str %open octal *mqattr<")
    define(241, "mq_unlink", "str")
    define(242, "mq_timedsend", "fd buf<2 ulong uint *timespec<", .slow)
    define(243, "mq_timedreceive", "fd buf>2 ulong *uint> *timespec<", .slow)
    define(244, "mq_notify", "fd *sigevent<", [], LinuxProcess.notifyOfMessages)
    define(245, "mq_getsetattr", "fd *mqattr< *mqattr>")
  }
}

/// Bits of shmat(2)'s flags.
private enum AttachFlags {
  static let readOnly: UInt64 = 0o10000
  static let round: UInt64 = 0o20000
  static let replace: UInt64 = 0o40000
  static let execute: UInt64 = 0o100000
}

/// IPC_STAT.
private let statusCommand: UInt64 = 2

extension LinuxProcess {
  static func attachShared(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let flags = arguments.c
    var place = arguments.b
    if flags & AttachFlags.round != 0 { place = Page.down(place) }
    if place & Page.mask != 0 || (place == 0 && flags & AttachFlags.replace != 0) { return -Errno.EINVAL }
    var size: UInt64 = 0
    var key: UInt32 = 0
    let result = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 14) { status -> Int64 in
      status.initialize(repeating: 0)
      let result = process.host.call(31, arguments.a, statusCommand, process.address(of: status.baseAddress))
      // struct shmid64_ds: the key comes first, the size after 48 bytes of permissions.
      key = UInt32(truncatingIfNeeded: status[0])
      size = status[6]
      return result
    }
    if result < 0 { return result }
    var request = MapRequest(address: place, size: size, permissions: [.read])
    if flags & AttachFlags.readOnly == 0 { request.permissions.insert(.write) }
    if flags & AttachFlags.execute != 0 { request.permissions.insert(.execute) }
    request.flags = .shared
    if place != 0 { request.placement = flags & AttachFlags.replace != 0 ? .fixed : .fixedNoReplace }
    let name = Array(("/SYSV" + LinuxProcess.hex(UInt64(key), width: 8) + " (deleted)").utf8)
    let identity = Backing(device: 1, inode: UInt64(UInt32(truncatingIfNeeded: arguments.a)), path: name)
    do {
      let start = try process.memory.attach(request, identity) { address in
        process.host.call(30, arguments.a, address, flags & ~AttachFlags.round | AttachFlags.replace)
      }
      return Int64(bitPattern: start)
    } catch {
      return error == .exists ? -Errno.EINVAL : -Int64(error.number)
    }
  }

  /// shmdt(2): all that is left of the attachment that began at the address.
  static func detachShared(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    guard let first = process.memory.query(arguments.a), first.start == arguments.a, first.offset == 0,
      first.flags.contains(.shared), let file = process.memory.backing(first.backing),
      file.device == 1, file.path.starts(with: "/SYSV".utf8)
    else { return -Errno.EINVAL }
    for region in process.memory.regions(from: arguments.a)
    where region.backing == first.backing && region.start &- region.offset == arguments.a {
      do { try process.memory.unmap(region.start, size: region.size) } catch { return -Int64(error.number) }
    }
    return 0
  }

  static func controlShared(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.memory.prepareHostWrite(arguments.c, size: 112)
    return process.host.call(31, arguments.a, arguments.b, process.memory.hostArgument(arguments.c))
  }

  /// semctl(2): the fourth argument is a value for SETVAL and a pointer for commands that carry data.
  static func controlSemaphores(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    var value = arguments.d
    switch int(arguments.c) & ~0x100 {
    // IPC_SET, IPC_STAT, IPC_INFO, GETALL, SETALL, SEM_STAT, SEM_INFO, SEM_STAT_ANY
    case 1, 2, 3, 13, 17, 18, 19, 20:
      // GETALL writes two bytes a semaphore, of which a set has at most 32,000.
      process.memory.prepareHostWrite(value, size: int(arguments.c) & ~0x100 == 13 ? 64000 : 112)
      value = process.memory.hostArgument(value)
    default: break
    }
    return process.host.call(66, arguments.a, arguments.b, arguments.c, value)
  }

  /// msgrcv(2): the type, eight bytes, comes in front of the text.
  static func receiveMessage(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.memory.prepareHostWrite(arguments.b, size: arguments.c &+ 8)
    return process.host.callWaiting(
      70, arguments.a, process.memory.hostArgument(arguments.b), arguments.c, arguments.d, arguments.e)
  }

  /// mq_notify(2): with SIGEV_THREAD the value points to 32 bytes that the C library's helper is to get.
  static func notifyOfMessages(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    if arguments.b == 0 { return process.host.call(244, arguments.a, 0) }
    guard var event = process.memory.bytes(at: GuestAddress(arguments.b), count: 64) else {
      return -Errno.EFAULT
    }
    let viaThread: UInt32 = 2
    if event.littleEndian(UInt32.self, at: 12) == viaThread,
      let value = event.littleEndian(UInt64.self, at: 0)
    {
      let translated = process.memory.hostArgument(value)
      event.replaceSubrange(0..<8, with: withUnsafeBytes(of: translated.littleEndian) { Array($0) })
    }
    return event.withUnsafeBytes { process.host.call(244, arguments.a, process.address(of: $0.baseAddress)) }
  }
}
