// Clocks, sleeping and timers. Clock values come from the host object only.
import LinuxABI

extension SystemCallTable {
  mutating func defineTime() {
    define(35, "nanosleep", "*timespec< *timespec>", .waits)
    define(36, "getitimer", "$itimer *itimerval>")
    define(37, "alarm", "uint")
    define(38, "setitimer", "$itimer *itimerval< *itimerval>")
    define(96, "gettimeofday", "*timeval> *timezone>")
    define(100, "times", "*tms>")
    define(159, "adjtimex", "*timex=")
    define(164, "settimeofday", "*timeval< *timezone<")
    define(201, "time", "*time>")
    define(222, "timer_create", "$clock *sigevent< *int>", [], LinuxProcess.createTimer)
    define(223, "timer_settime", "int %timer *itimerspec< *itimerspec>")
    define(224, "timer_gettime", "int *itimerspec>")
    define(225, "timer_getoverrun", "int")
    define(226, "timer_delete", "int")
    define(227, "clock_settime", "$clock *timespec<")
    define(228, "clock_gettime", "$clock *timespec>")
    define(229, "clock_getres", "$clock *timespec>")
    define(230, "clock_nanosleep", "$clock %timer *timespec< *timespec>", .waits)
    define(283, "timerfd_create", "$clock %timerfd")
    define(286, "timerfd_settime", "fd %tfdtimer *itimerspec< *itimerspec>")
    define(287, "timerfd_gettime", "fd *itimerspec>")
    define(305, "clock_adjtime", "$clock *timex=")
  }
}

extension LinuxProcess {
  /// timer_create(2): the sigevent's value travels unchanged, so a guest pointer in it stays the guest's.
  static func createTimer(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.memory.prepareHostWrite(arguments.c, size: 4)
    return process.host.call(
      222, arguments.a, process.memory.hostArgument(arguments.b), process.memory.hostArgument(arguments.c))
  }
}
