// Which system calls translated code makes by itself: a change of a declaration changes that, and somebody should look at it.
import GuestMemory
import Testing

@testable import Linux

@Suite struct DirectCallTests {
  /// The names of all calls, by kind.
  private func list(
    _ kindOf: (SystemCall) -> AddressSpace.DirectCall?
  ) -> [AddressSpace.DirectCall: String] {
    var names: [AddressSpace.DirectCall: String] = [:]
    for call in SystemCallTable().calls {
      guard let call, call.number < 256, let kind = kindOf(call) else { continue }
      names[kind, default: ""] += " \(call.name)"
    }
    return names
  }

  @Test func listIsKnown() {
    let names = list { $0.directKind }
    #expect(
      names[.numbers]
        == " shmget alarm getpid socket semget msgget umask getuid getgid setuid setgid geteuid getegid"
        + " setpgid getppid getpgrp setsid setreuid setregid setresuid setresgid getpgid setfsuid setfsgid getsid"
        + " getpriority setpriority sched_getscheduler sched_get_priority_max sched_get_priority_min munlockall sync"
        + " gettid epoll_create timer_getoverrun timer_delete ioprio_set ioprio_get inotify_init")
    #expect(
      names[.descriptor]
        == " close lseek dup shutdown listen flock fsync fdatasync fchdir fchmod fchown readahead"
        + " fadvise64 inotify_rm_watch")
    #expect(
      names[.pointer]
        == " read write fstat pread64 pwrite64 getitimer connect bind getrusage syslog getgroups"
        + " setgroups ustat fstatfs sched_setparam sched_getparam sched_rr_get_interval flistxattr fremovexattr"
        + " timer_gettime clock_settime clock_gettime clock_getres set_mempolicy")
    #expect(names[.message] == " sendto recvfrom")
    #expect(names[.futex] == " futex")
    #expect(names[.waiting] == " semop msgsnd epoll_wait")
  }

  /// Those that a recorder lets it make.
  @Test func listOfLoggedCallsIsKnown() {
    let structures = [16: " clock_gettime clock_getres", 32: " getitimer", 144: " fstat getrusage"]
    var names = list { $0.loggedKind }
    for (size, calls) in structures {
      let kind = AddressSpace.DirectCall.structure(UInt64(size))
      #expect(kind != nil && kind.flatMap { names.removeValue(forKey: $0) } == calls)
    }
    #expect(AddressSpace.DirectCall.structure(12) == nil && AddressSpace.DirectCall.structure(1024) == nil)
    #expect(
      names == [
        .numbers: " alarm getpid getuid getgid geteuid getegid getppid gettid", .descriptor: " lseek",
        .filling: " read pread64", .writing: " write pwrite64",
      ])
  }
}
