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
    define(202, "futex", "addr $futex uint *timespec< addr uint", [.slow, .futex], LinuxProcess.futex)
    define(218, "set_tid_address", "addr", [], LinuxProcess.setThreadAddress)
    define(247, "waitid", "$idtype pid *siginfo> %wait *rusage>", .slow)
    define(273, "set_robust_list", "addr ulong", [], LinuxProcess.setRobustList)
    define(334, "rseq", "addr hex uint hex", [], LinuxProcess.registerArea)
    define(274, "get_robust_list", "pid addr addr", [], LinuxProcess.getRobustList)
    define(322, "execveat", "dirfd path *strings< *environ< %at", [], LinuxProcess.executeAt)
    define(449, "futex_waitv", "ptr uint uint *timespec< $clock", .slow, LinuxProcess.futexVector)
    define(454, "futex_wake", "addr hex int hex", [], LinuxProcess.futexWake)
    define(455, "futex_wait", "addr ulong hex hex *timespec< $clock", .slow, LinuxProcess.futexWait)
    define(456, "futex_requeue", "ptr hex int int", [], LinuxProcess.futexRequeue)
    define(448, "process_mrelease", "fd uint")
    define(435, "clone3", "addr ulong", [], LinuxProcess.clone3)
  }
}

extension LinuxProcess {
  static func exit(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.releaseAllFutexes()
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

  /// get_robust_list(2): of the process's own threads. Those of other processes are only known there.
  static func getRobustList(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let number = int(arguments.a)
    var head = process.robustList
    if number != 0, Int64(number) != process.host.call(186) {
      if let other = process.allThreads[number] {
        head = other.robustList
      } else {
        return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { place -> Int64 in
          let address = process.address(of: place.baseAddress)
          let result = process.host.call(274, arguments.a, address, address &+ 8)
          return result < 0 ? result : -Errno.EPERM
        }
      }
    }
    guard process.memory.store(UInt64(24), at: arguments.c), process.memory.store(head, at: arguments.b)
    else { return -Errno.EFAULT }
    return 0
  }

  /// futex(2) on the host's futex at the guest's word: private to the process, and right between forked processes for
  /// shared mappings.
  static func futex(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    let word = memory.hostFutex(arguments.a)
    let second = memory.hostFutex(arguments.e)
    var fourth = arguments.d
    switch arguments.b & 0x7f {
    // WAIT, WAIT_BITSET, LOCK_PI, LOCK_PI2, WAIT_REQUEUE_PI: a timeout
    case 0, 9, 6, 13, 11: fourth = memory.hostArgument(arguments.d)
    default: break
    }
    memory.prepareHostWrite(arguments.a, size: 4)
    return process.host.callWaiting(202, word, arguments.b, arguments.c, fourth, second, arguments.f)
  }

  /// futex_waitv(2).
  static func futexVector(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let count = arguments.b & 0xffff_ffff
    let timeout = process.memory.hostArgument(arguments.d)
    return process.withFutexes(arguments.a, count: count > 128 ? 0 : Int(count)) {
      process.host.callWaiting(449, $0, count, arguments.c, timeout, arguments.e)
    }
  }

  /// Hands `body` the host's copy of an array of futexes: value, address and flags, 24 bytes each. Where it cannot be read its
  /// entries are of words that cannot either: the host has looked at what comes before when it finds out.
  private func withFutexes(_ array: UInt64, count: Int, _ body: (UInt64) -> Int64) -> Int64 {
    if array == 0 { return body(0) }
    let unreadable: [UInt64] = [0, 1 << 63, 2]
    var words: [UInt64] = []
    for index in 0..<count {
      let place = array &+ UInt64(index) &* 24
      guard let value = memory.load(UInt64.self, at: place),
        let word = memory.load(UInt64.self, at: place &+ 8),
        let flags = memory.load(UInt64.self, at: place &+ 16)
      else {
        for _ in index..<count { words += unreadable }
        break
      }
      words += [value, memory.hostArgument(word), flags]
    }
    words += unreadable
    return words.withUnsafeBytes { body(address(of: $0.baseAddress)) }
  }

  /// futex_wake(2).
  static func futexWake(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let word = process.memory.hostArgument(arguments.a)
    return process.host.call(454, word, arguments.b, arguments.c, arguments.d)
  }

  /// futex_wait(2).
  static func futexWait(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    return process.host.callWaiting(
      455, memory.hostArgument(arguments.a), arguments.b, arguments.c, arguments.d,
      memory.hostArgument(arguments.e), arguments.f)
  }

  /// futex_requeue(2): two entries as futex_waitv(2) has them, from one to the other.
  static func futexRequeue(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.withFutexes(arguments.a, count: 2) {
      process.host.call(456, $0, arguments.b, arguments.c, arguments.d)
    }
  }
}
