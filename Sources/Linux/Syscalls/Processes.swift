// Processes: declarations of what makes, executes and awaits them; exit, futexes of one thread. How a process is made is in
// Processes/Cloning.swift, how one is replaced in Execute.swift.
import CHost
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineProcesses() {
    define(56, "clone", "%clone addr addr addr hex", [], LinuxProcess.clone)
    define(57, "fork", "", [], LinuxProcess.fork)
    define(58, "vfork", "", [], LinuxProcess.vfork)
    define(59, "execve", "path *strings< *environ<", [], LinuxProcess.execute)
    define(60, "exit", "int", .noReturn, LinuxProcess.exitThread)
    define(61, "wait4", "pid *wstatus> %wait4 *rusage>", .slow)
    define(231, "exit_group", "int", .noReturn, LinuxProcess.exit)
    define(202, "futex", "addr $futex uint *timespec< addr uint", .slow, LinuxProcess.futex)
    define(218, "set_tid_address", "addr", [], LinuxProcess.setThreadAddress)
    define(247, "waitid", "$idtype pid *siginfo> %wait *rusage>", .slow)
    define(273, "set_robust_list", "addr ulong", [], LinuxProcess.setRobustList)
    define(274, "get_robust_list", "pid addr addr", [], LinuxProcess.getRobustList)
    define(322, "execveat", "dirfd path *strings< *environ< %at", [], LinuxProcess.executeAt)
    define(449, "futex_waitv", "ptr uint uint *timespec< $clock", .slow, LinuxProcess.futexVector)
    define(448, "process_mrelease", "fd uint")
    define(435, "clone3", "addr ulong", [], LinuxProcess.clone3)
  }
}

extension LinuxProcess {
  static func exit(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.releaseFutexes()
    process.giveBack()
    process.outcome = .exited(code: int(arguments.a) & 0xff)
    return 0
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

  /// futex_waitv(2): an array of (value, address, flags), 24 bytes each.
  static func futexVector(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let count = arguments.b & 0xffff_ffff
    var words = [UInt64](repeating: 0, count: count > 128 ? 0 : Int(count) * 3)
    let readable = words.withUnsafeMutableBytes {
      process.memory.copyIn($0, from: GuestAddress(arguments.a))
    }
    if !readable || words.isEmpty {
      // Which of several mistakes counts is the host's to say; it will not wait.
      let refused = process.memory.hostArgument(.max)
      return process.host.call(
        449, refused, count, arguments.c, process.memory.hostArgument(arguments.d), arguments.e)
    }
    for index in 0..<Int(count) { words[index * 3 + 1] = process.memory.hostArgument(words[index * 3 + 1]) }
    let timeout = process.memory.hostArgument(arguments.d)
    return words.withUnsafeBytes {
      process.host.callWaiting(
        449, process.address(of: $0.baseAddress), count, arguments.c, timeout, arguments.e)
    }
  }
}
