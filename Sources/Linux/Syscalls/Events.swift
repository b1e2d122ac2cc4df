// Waiting for several things: poll, select, epoll, and descriptors that deliver events. Calls that replace the signal
// mask while they wait keep the old one in `thread.savedMask` until the signal has been delivered.
import CHost
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineEvents() {
    define(7, "poll", "*pollfd=1 uint int", .waits)
    define(23, "select", "int *fdset=0 *fdset=0 *fdset=0 *timeval=", .waits)
    define(232, "epoll_wait", "fd *epoll_event>2 int int", .waits)
    define(213, "epoll_create", "int")
    define(233, "epoll_ctl", "fd $epollctl fd *epoll_event<")
    define(253, "inotify_init", "")
    define(254, "inotify_add_watch", "fd path %inotify")
    define(255, "inotify_rm_watch", "fd int")
    define(
      270, "pselect6", "int *fdset=0 *fdset=0 *fdset=0 *timespec= ptr", .waits, LinuxProcess.selectMasked)
    define(271, "ppoll", "*pollfd=1 uint *timespec= *sigset< ulong", .waits, LinuxProcess.pollMasked)
    define(281, "epoll_pwait", "fd *epoll_event>2 int int *sigset< ulong", .waits, LinuxProcess.epollMasked)
    define(282, "signalfd", "fd *sigset< ulong", [], LinuxProcess.signalDescriptor)
    define(284, "eventfd", "uint")
    define(289, "signalfd4", "fd *sigset< ulong %signalfd", [], LinuxProcess.signalDescriptor)
    define(290, "eventfd2", "uint %eventfd")
    define(291, "epoll_create1", "%epoll")
    define(294, "inotify_init1", "%inotifyinit")
    define(
      441, "epoll_pwait2", "fd *epoll_event>2 int *timespec< *sigset< ulong", .waits, LinuxProcess.epollMasked
    )
  }
}

extension LinuxProcess {
  /// Installs a temporary guest mask. Nil when the guest gave none; -errno when it cannot be read.
  private func replaceMask(_ pointer: UInt64, size: UInt64) -> Int64? {
    if pointer == 0 { return nil }
    if size != 8 { return -Errno.EINVAL }
    guard let mask = memory.load(UInt64.self, at: pointer) else { return -Errno.EFAULT }
    thread.savedMask = thread.mask
    // The host's mask stays the guest's old one until the waiting call sets the new one in the same step.
    thread.mask = mask & ~SignalState.unblockable
    updateAttention()
    return nil
  }

  /// Runs a waiting call with the guest's temporary mask, if there is one, handed to the host as `body`'s argument.
  func waiting(_ pointer: UInt64, size: UInt64, _ body: (_ mask: UInt64) -> Int64) -> Int64 {
    if let failure = replaceMask(pointer, size: size) { return failure }
    guard pointer != 0 else { return body(0) }
    let result = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { place -> Int64 in
      place[0] = thread.mask & ~SignalState.synchronous
      return body(address(of: place.baseAddress))
    }
    updateAttention()
    let interrupted = result == -Errno.EINTR || result == Int64(VT_NOT_STARTED)
    if !interrupted, cpu?.pointee.attention == 0, let saved = thread.savedMask {
      thread.savedMask = nil
      thread.mask = saved
      updateAttention()
    }
    return result
  }

  static func pollMasked(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    memory.prepareHostWrite(arguments.a, size: (arguments.b & 0xffff_ffff) &* 8)
    memory.prepareHostWrite(arguments.c, size: 16)
    return process.waiting(arguments.d, size: arguments.e) { mask in
      process.host.callWaiting(
        271, memory.hostArgument(arguments.a), arguments.b, memory.hostArgument(arguments.c), mask, 8)
    }
  }

  static func epollMasked(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let number = process.callNumber
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let memory = process.memory
    memory.prepareHostWrite(arguments.b, size: (arguments.c & 0xffff_ffff) &* 12)
    let timeout = number == 441 ? memory.hostArgument(arguments.d) : arguments.d
    return process.waiting(arguments.e, size: arguments.f) { mask in
      process.host.callWaiting(
        number, arguments.a, memory.hostArgument(arguments.b), arguments.c, timeout, mask, 8)
    }
  }

  /// pselect6(2): the sixth argument points to a pair (mask address, mask size).
  static func selectMasked(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    let bytes = UInt64((max(0, min(int(arguments.a), 1 << 20)) + 63) / 64 * 8)
    for set in [arguments.b, arguments.c, arguments.d] { memory.prepareHostWrite(set, size: bytes) }
    memory.prepareHostWrite(arguments.e, size: 16)
    var pointer: UInt64 = 0
    var size: UInt64 = 0
    if arguments.f != 0 {
      guard let first = memory.load(UInt64.self, at: arguments.f),
        let second = memory.load(UInt64.self, at: arguments.f &+ 8)
      else { return -Errno.EFAULT }
      pointer = first
      size = second
    }
    return process.waiting(pointer, size: size) { mask in
      withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { pair -> Int64 in
        pair[0] = mask
        pair[1] = 8
        return process.host.callWaiting(
          270, arguments.a, memory.hostArgument(arguments.b), memory.hostArgument(arguments.c),
          memory.hostArgument(arguments.d), memory.hostArgument(arguments.e),
          process.address(of: pair.baseAddress))
      }
    }
  }

  static func signalDescriptor(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    return process.host.call(
      process.callNumber, arguments.a, process.memory.hostArgument(arguments.b), arguments.c, arguments.d)
  }
}
