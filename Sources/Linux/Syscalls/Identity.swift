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
    define(125, "capget", "*cap_header= *cap_data>")
    define(126, "capset", "*cap_header= *cap_data<")
    define(186, "gettid", "")
    defineScheduling()
  }

  private mutating func defineScheduling() {
    define(24, "sched_yield", "", .waits)
    define(97, "getrlimit", "$rlimit *rlimit>", [], LinuxProcess.getLimit)
    define(98, "getrusage", "$rusage *rusage>")
    define(140, "getpriority", "$priority int")
    define(141, "setpriority", "int int int")
    define(142, "sched_setparam", "pid *sched_param<")
    define(143, "sched_getparam", "pid *sched_param>")
    define(144, "sched_setscheduler", "pid $scheduler *sched_param<")
    define(145, "sched_getscheduler", "pid")
    define(146, "sched_get_priority_max", "$scheduler")
    define(147, "sched_get_priority_min", "$scheduler")
    define(148, "sched_rr_get_interval", "pid *timespec>")
    define(160, "setrlimit", "$rlimit *rlimit<", [], LinuxProcess.setLimit)
    define(203, "sched_setaffinity", "pid uint buf<1", [], LinuxProcess.setAffinity)
    define(204, "sched_getaffinity", "pid uint *cpuset>1")
    define(251, "ioprio_set", "int int int")
    define(252, "ioprio_get", "int int")
    define(302, "prlimit64", "pid $rlimit *rlimit< *rlimit>", [], LinuxProcess.processLimit)
    define(309, "getcpu", "*uint> *uint> ptr")
    define(314, "sched_setattr", "pid ptr uint")
    define(315, "sched_getattr", "pid buf>2 uint uint")
  }
}

/// RLIMIT_AS and RLIMIT_DATA, in bytes. On the host they would bind Vitrine's reservation, so the guest's are kept here and
/// watched by `AddressSpace`.
struct MemoryLimits {
  var addresses: (soft: UInt64, hard: UInt64)?
  var data: (soft: UInt64, hard: UInt64)?

  subscript(resource: Int32) -> (soft: UInt64, hard: UInt64)? {
    get { resource == MemoryLimits.addressSpace ? addresses : data }
    set { if resource == MemoryLimits.addressSpace { addresses = newValue } else { data = newValue } }
  }

  static let dataSegment: Int32 = 2
  static let stack: Int32 = 3
  static let addressSpace: Int32 = 9

  static func has(_ resource: Int32) -> Bool { resource == dataSegment || resource == addressSpace }
}

extension LinuxProcess {
  static func getLimit(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.changeLimit(0, int(arguments.a), new: 0, old: arguments.b)
  }

  static func setLimit(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.b == 0 { return -Errno.EFAULT }
    return process.changeLimit(0, int(arguments.a), new: arguments.b, old: 0)
  }

  static func processLimit(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.changeLimit(int(arguments.a), int(arguments.b), new: arguments.c, old: arguments.d)
  }

  private func changeLimit(_ target: Int32, _ resource: Int32, new: UInt64, old: UInt64) -> Int64 {
    let isOwn = target == 0 || Int64(target) == host.call(39)
    if MemoryLimits.has(resource), isOwn || new != 0 {
      return isOwn ? changeMemoryLimit(resource, new: new, old: old) : -Errno.EPERM
    }
    memory.prepareHostWrite(old, size: 16)
    let wish = memory.hostArgument(new)
    let result = host.call(
      302, UInt64(bitPattern: Int64(target)), UInt64(UInt32(bitPattern: resource)), wish,
      memory.hostArgument(old))
    if result == 0, new != 0, isOwn, resource == MemoryLimits.stack,
      let soft = memory.load(UInt64.self, at: new)
    {
      memory.stackLimit = soft
    }
    return result
  }

  /// prlimit(2) for the process's own memory.
  private func changeMemoryLimit(_ resource: Int32, new: UInt64, old: UInt64) -> Int64 {
    let present = memoryLimits[resource] ?? hostLimit(resource)
    if new != 0 {
      guard let soft = memory.load(UInt64.self, at: new), let hard = memory.load(UInt64.self, at: new &+ 8)
      else {
        return -Errno.EFAULT
      }
      if soft > hard { return -Errno.EINVAL }
      // CAP_SYS_RESOURCE comes with the effective user 0.
      if hard > present.hard, host.call(107) != 0 { return -Errno.EPERM }
      memoryLimits[resource] = (soft, hard)
      if resource == MemoryLimits.addressSpace { memory.sizeLimit = soft } else { memory.dataLimit = soft }
    }
    if old != 0, !memory.store(present.soft, at: old) || !memory.store(present.hard, at: old &+ 8) {
      return -Errno.EFAULT
    }
    return 0
  }

  /// A limit of the host.
  public func hostLimit(_ resource: Int32) -> (soft: UInt64, hard: UInt64) {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { limits in
      limits.initialize(repeating: .max)
      _ = host.call(302, 0, UInt64(UInt32(bitPattern: resource)), 0, address(of: limits.baseAddress))
      return (limits[0], limits[1])
    }
  }
}
