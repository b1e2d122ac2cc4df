// Processes: fork, wait, exit, futexes of one thread. A guest's fork is a fork of the whole of Vitrine: window, table and
// engine caches are copied by the host kernel, and the child goes on in the same run loop.
import CHost
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineProcesses() {
    define(56, "clone", "%clone addr addr addr hex", [], LinuxProcess.clone)
    define(57, "fork", "", [], LinuxProcess.fork)
    define(58, "vfork", "", [], LinuxProcess.fork)
    define(59, "execve", "path *strings< *environ<", [], LinuxProcess.execute)
    define(60, "exit", "int", .noReturn, LinuxProcess.exit)
    define(61, "wait4", "pid *wstatus> %wait4 *rusage>", .slow)
    define(231, "exit_group", "int", .noReturn, LinuxProcess.exit)
    define(202, "futex", "addr $futex uint *timespec< addr uint", .slow, LinuxProcess.futex)
    define(218, "set_tid_address", "addr", [], LinuxProcess.setThreadAddress)
    define(247, "waitid", "$idtype pid *siginfo> %wait *rusage>", .slow)
    define(273, "set_robust_list", "addr ulong", [], LinuxProcess.setRobustList)
    define(274, "get_robust_list", "pid addr addr", [], LinuxProcess.getRobustList)
    define(322, "execveat", "dirfd path *strings< *environ< %at", [], LinuxProcess.executeAt)
    define(435, "clone3", "addr ulong", [], LinuxProcess.notImplemented)
  }
}

/// Bits of clone(2)'s flags.
enum CloneFlags {
  static let vm: UInt64 = 0x100
  static let vfork: UInt64 = 0x4000
  static let thread: UInt64 = 0x10000
  static let setTLS: UInt64 = 0x80000
  static let parentSetThread: UInt64 = 0x10_0000
  static let childClearThread: UInt64 = 0x20_0000
  static let childSetThread: UInt64 = 0x100_0000
  static let signalMask: UInt64 = 0xff
  /// New namespaces, CLONE_PARENT, CLONE_FS and CLONE_FILES … that the host can take as they are.
  static let forwarded: UInt64 = 0x7e02_8000 | 0x200 | 0x400 | 0x80 | 0x8000_0000
}

extension LinuxProcess {
  static func exit(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.clearChildThread != 0 { _ = process.memory.store(UInt32(0), at: process.clearChildThread) }
    process.outcome = .exited(code: int(arguments.a) & 0xff)
    return 0
  }

  static func fork(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.forkHost(flags: 17, parentThread: 0, childThread: 0)
  }

  /// clone(2). Threads are not there yet; a child that would share memory until it executes (vfork) gets a copy.
  static func clone(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let flags = arguments.a
    if flags & CloneFlags.thread != 0 || (flags & CloneFlags.vm != 0 && flags & CloneFlags.vfork == 0) {
      process.reportOnce(1 << 33, "threads (clone with CLONE_VM) are not implemented (ENOSYS)")
      return -Errno.ENOSYS
    }
    let result = process.forkHost(
      flags: flags & (CloneFlags.signalMask | CloneFlags.forwarded),
      parentThread: flags & CloneFlags.parentSetThread != 0 ? arguments.c : 0,
      childThread: flags & CloneFlags.childSetThread != 0 ? arguments.d : 0)
    guard result == 0, let cpu = process.cpu else { return result }
    process.clearChildThread = flags & CloneFlags.childClearThread != 0 ? arguments.d : 0
    if arguments.b != 0 { GuestRegisters(cpu)[.rsp] = arguments.b }
    if flags & CloneFlags.setTLS != 0 { cpu.pointee.fs_base = arguments.e }
    return 0
  }

  private func forkHost(flags: UInt64, parentThread: UInt64, childThread: UInt64) -> Int64 {
    let result = host.call(56, flags, 0, 0, 0, 0)
    if result == 0 {
      isForkedChild = true
      vt_signal_forget()
      updateAttention()
      memory.dropUnforked()
      tracer = nil
      if childThread != 0 { _ = memory.store(UInt32(truncatingIfNeeded: host.call(186)), at: childThread) }
    } else if result > 0, parentThread != 0 {
      _ = memory.store(UInt32(truncatingIfNeeded: result), at: parentThread)
    }
    return result
  }

  static func setThreadAddress(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.clearChildThread = arguments.a
    return process.host.call(186)
  }

  static func setRobustList(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.b != 24 { return -Errno.EINVAL }
    process.robustList = arguments.a
    return 0
  }

  static func getRobustList(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.a != 0, Int64(bitPattern: arguments.a) != process.host.call(186) { return -Errno.EPERM }
    guard process.memory.store(process.robustList, at: arguments.b),
      process.memory.store(UInt64(24), at: arguments.c)
    else { return -Errno.EFAULT }
    return 0
  }

  /// futex(2) on the host's futex at the guest's word: private to the process, and right between forked processes for
  /// shared mappings.
  static func futex(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    let word = memory.hostArgument(arguments.a)
    let second = memory.hostArgument(arguments.e)
    var fourth = arguments.d
    switch arguments.b & 0x7f {
    // WAIT, WAIT_BITSET, LOCK_PI, LOCK_PI2, WAIT_REQUEUE_PI: a timeout
    case 0, 9, 6, 13, 11: fourth = memory.hostArgument(arguments.d)
    default: break
    }
    memory.prepareHostWrite(arguments.a, size: 4)
    return process.host.callWaiting(202, word, arguments.b, arguments.c, fourth, second, arguments.f)
  }
}
