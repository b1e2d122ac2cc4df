// Names of flags and constants as strace prints them, as text tables: the number, then the name. The order inside a set is
// the order of printing; a combination stands before its parts. Only traces read this.

/// Named constants for traces.
public enum FlagNames {
  /// The table of a set of flags or of a choice.
  static func table(_ name: String) -> StaticString {
    switch name {
    case "open": return openNames
    case "pipe": return pipeNames
    case "epoll": return epollNames
    case "eventfd": return eventfdNames
    case "timerfd": return timerfdNames
    case "signalfd": return signalfdNames
    case "inotifyinit": return inotifyinitNames
    case "at": return atNames
    case "faccessat": return faccessatNames
    case "unlinkat": return unlinkatNames
    case "prot": return protNames
    case "map": return mapNames
    case "mremap": return mremapNames
    case "msync": return msyncNames
    case "mlockall": return mlockallNames
    case "access": return accessNames
    case "flock": return flockNames
    case "wait": return waitNames
    case "wait4": return wait4Names
    case "clone": return cloneNames
    case "sigaction": return sigactionNames
    case "getrandom": return getrandomNames
    case "memfd": return memfdNames
    case "closerange": return closerangeNames
    case "splice": return spliceNames
    case "fallocate": return fallocateNames
    case "rwf": return rwfNames
    case "rename": return renameNames
    case "statxmask": return statxmaskNames
    case "poll": return pollNames
    case "epollevents": return epolleventsNames
    case "msg": return msgNames
    case "socktypeflags": return socktypeflagsNames
    case "timer": return timerNames
    case "tfdtimer": return tfdtimerNames
    case "inotify": return inotifyNames
    case "stackflags": return stackflagsNames
    case "statfsflags": return statfsflagsNames
    case "iflag": return iflagNames
    case "oflag": return oflagNames
    case "cflag": return cflagNames
    case "lflag": return lflagNames
    case "whence": return whenceNames
    case "how": return howNames
    case "rlimit": return rlimitNames
    case "rusage": return rusageNames
    case "scheduler": return schedulerNames
    case "madvise": return madviseNames
    case "fadvise": return fadviseNames
    case "clock": return clockNames
    case "itimer": return itimerNames
    case "fcntl": return fcntlNames
    case "ioctl": return ioctlNames
    case "archprctl": return archprctlNames
    case "prctl": return prctlNames
    case "seccomp": return seccompNames
    case "seccompmode": return seccompModeNames
    case "seccompaction": return seccompActionNames
    case "seccompflags": return seccompFlagNames
    case "futex": return futexNames
    case "idtype": return idtypeNames
    case "epollctl": return epollctlNames
    case "family": return familyNames
    case "socktype": return socktypeNames
    case "shutdown": return shutdownNames
    case "sol": return solNames
    case "ipproto": return ipprotoNames
    case "so": return soNames
    case "ip": return ipNames
    case "ipv6": return ipv6Names
    case "tcp": return tcpNames
    case "scm": return scmNames
    case "priority": return priorityNames
    case "cap": return capNames
    case "personality": return personalityNames
    case "filesystem": return filesystemNames
    case "locktype": return locktypeNames
    default: return ""
    }
  }

  /// `value` as names joined by "|", the rest in hexadecimal; nil when no bit is set.
  public static func flags(_ set: String, _ value: UInt64) -> String? {
    var rest = value
    var parts: [String] = []
    for entry in TextTable.entries(of: table(set)) {
      let bits = UInt64(bitPattern: entry.number)
      if bits != 0, rest & bits == bits {
        parts.append(String(decoding: entry.text, as: UTF8.self))
        rest &= ~bits
      }
    }
    if parts.isEmpty, rest == 0 { return nil }
    if rest != 0 { parts.append("0x" + String(rest, radix: 16)) }
    return parts.joined(separator: "|")
  }

  /// The name of `value`; nil when it has none.
  public static func choice(_ set: String, _ value: Int64) -> String? {
    TextTable.line(of: table(set), key: value).map { String(decoding: $0, as: UTF8.self) }
  }
}
