// Sizes of the structs that signatures name, in bytes, for x86-64 (LinuxABI has those that handlers take apart). One
// entry a struct: a call that writes a struct of unknown size would let the host kernel run into protected code pages.

enum Structures {
  /// Size of struct `name`; 0 when unknown.
  static func size(_ name: [UInt8]) -> UInt64 {
    switch String(decoding: name, as: UTF8.self) {
    case "int", "uint", "pid", "uid", "gid", "socklen", "wstatus": return 4
    case "long", "ulong", "off", "time", "sigset", "pipe", "winsize", "addr", "aioctx", "iocbs":
      return 8
    case "timespec", "timeval", "rlimit", "utimbuf", "range", "aiosigset": return 16
    case "mqattr", "iocb": return 64
    case "cachestat": return 40
    case "timespecs", "timevals", "io_event": return 32
    case "timezone", "pollfd", "sched_param", "cap_header": return 8
    case "itimerval", "itimerspec", "tms", "sigaction", "flock": return 32
    case "stack", "cap_data": return 24
    case "stat", "rusage": return 144
    case "statx": return 256
    case "statfs": return 120
    case "sysinfo": return 112
    case "utsname": return 390
    case "ustat": return 32
    case "shmid": return 112
    case "msqid": return 120
    case "siginfo", "fdset": return 128
    case "epoll_event": return 12
    case "timex": return 208
    case "sigevent": return 64
    // Counted in bytes.
    case "dirents", "cpuset", "sockaddr", "optval", "open_how": return 1
    case "xattr_args", "file_attr", "statmount": return 1
    case "mnt_id_req": return 24
    default: return 0
    }
  }
}
