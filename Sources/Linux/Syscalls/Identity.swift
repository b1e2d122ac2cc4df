// Who the process is: ids, groups, sessions, limits, scheduling. The host's answers are the guest's.
import LinuxABI

extension SystemCallTable {
  mutating func defineIdentity() {
    define(39, "getpid", "")
    define(102, "getuid", "")
    define(104, "getgid", "")
    define(105, "setuid", "int")
    define(106, "setgid", "int")
    define(107, "geteuid", "")
    define(108, "getegid", "")
    define(109, "setpgid", "pid pid")
    define(110, "getppid", "")
    define(111, "getpgrp", "")
    define(112, "setsid", "")
    define(113, "setreuid", "int int")
    define(114, "setregid", "int int")
    define(115, "getgroups", "int *gid>0")
    define(116, "setgroups", "int *gid<0")
    define(117, "setresuid", "int int int")
    define(118, "getresuid", "*uid> *uid> *uid>")
    define(119, "setresgid", "int int int")
    define(120, "getresgid", "*gid> *gid> *gid>")
    define(121, "getpgid", "pid")
    define(122, "setfsuid", "int")
    define(123, "setfsgid", "int")
    define(124, "getsid", "pid")
    define(125, "capget", "ptr ptr")
    define(126, "capset", "ptr ptr")
    define(186, "gettid", "")
    defineScheduling()
  }

  private mutating func defineScheduling() {
    define(24, "sched_yield", "")
    define(97, "getrlimit", "$rlimit *rlimit>")
    define(98, "getrusage", "$rusage *rusage>")
    define(140, "getpriority", "int int")
    define(141, "setpriority", "int int int")
    define(142, "sched_setparam", "pid *sched_param<")
    define(143, "sched_getparam", "pid *sched_param>")
    define(144, "sched_setscheduler", "pid $scheduler *sched_param<")
    define(145, "sched_getscheduler", "pid")
    define(146, "sched_get_priority_max", "$scheduler")
    define(147, "sched_get_priority_min", "$scheduler")
    define(148, "sched_rr_get_interval", "pid *timespec>")
    define(160, "setrlimit", "$rlimit *rlimit<", [], LinuxProcess.setLimit)
    define(203, "sched_setaffinity", "pid uint buf<1")
    define(204, "sched_getaffinity", "pid uint *cpuset>1")
    define(251, "ioprio_set", "int int int")
    define(252, "ioprio_get", "int int")
    define(302, "prlimit64", "pid $rlimit *rlimit< *rlimit>", [], LinuxProcess.processLimit)
    define(309, "getcpu", "*uint> *uint> ptr")
    define(314, "sched_setattr", "pid ptr uint")
    define(315, "sched_getattr", "pid buf>2 uint uint")
  }
}

extension LinuxProcess {
  /// Limits that would bind Vitrine's own reservation (RLIMIT_AS, RLIMIT_DATA) are accepted without effect.
  private static func bindsVitrine(_ resource: UInt64) -> Bool { resource == 9 || resource == 2 }

  static func setLimit(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let limits = process.memory.hostArgument(arguments.b)
    if bindsVitrine(arguments.a), process.memory.load(UInt64.self, at: arguments.b) != nil { return 0 }
    let result = process.host.call(160, arguments.a, limits)
    if result == 0 { process.followStackLimit(arguments.a, arguments.b) }
    return result
  }

  static func processLimit(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    var wish = process.memory.hostArgument(arguments.c)
    if wish != 0, bindsVitrine(arguments.b) {
      guard process.memory.load(UInt64.self, at: arguments.c) != nil else { return -Errno.EFAULT }
      wish = 0
    }
    process.memory.prepareHostWrite(arguments.d, size: 16)
    let result = process.host.call(
      302, arguments.a, arguments.b, wish, process.memory.hostArgument(arguments.d))
    if result == 0, wish != 0 { process.followStackLimit(arguments.b, arguments.c) }
    return result
  }

  private func followStackLimit(_ resource: UInt64, _ limits: UInt64) {
    if resource == 3, let soft = memory.load(UInt64.self, at: limits) { memory.stackLimit = soft }
  }
}
