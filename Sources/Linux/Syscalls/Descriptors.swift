// Descriptors themselves: duplicating, pipes, fcntl, ioctl, terminals.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineDescriptors() {
    define(16, "ioctl", "fd $ioctl hex", .slow, LinuxProcess.control)
    define(22, "pipe", "*pipe>")
    define(32, "dup", "fd")
    define(33, "dup2", "fd fd", [], LinuxProcess.duplicateTo)
    define(72, "fcntl", "fd $fcntl hex", .slow, LinuxProcess.descriptorControl)
    define(292, "dup3", "fd fd %pipe", [], LinuxProcess.duplicateTo)
    define(293, "pipe2", "*pipe> %pipe")
    define(319, "memfd_create", "str %memfd")
    define(447, "memfd_secret", "uint")
    define(436, "close_range", "uint uint %closerange", [], LinuxProcess.closeRange)
  }
}

extension LinuxProcess {
  static func duplicateTo(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) || process.descriptors.contains(int(arguments.b)) {
      return -Errno.EBADF
    }
    return process.host.call(process.callNumber, arguments.a, arguments.b, arguments.c)
  }

  /// close_range(2) in pieces around Vitrine's own descriptors.
  static func closeRange(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    var first = arguments.a & 0xffff_ffff
    let last = arguments.b & 0xffff_ffff
    if first > last { return -Errno.EINVAL }
    for hidden in process.descriptors.numbers.sorted() {
      let number = UInt64(UInt32(bitPattern: hidden))
      if number < first || number > last { continue }
      if number > first {
        let result = process.host.call(436, first, number - 1, arguments.c)
        if result < 0 { return result }
      }
      first = number + 1
    }
    return first <= last ? process.host.call(436, first, last, arguments.c) : 0
  }

  /// fcntl(2): only some commands take a pointer.
  static func descriptorControl(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    var value = arguments.c
    switch int(arguments.b) {
    case 5, 36:  // F_GETLK, F_OFD_GETLK
      process.memory.prepareHostWrite(value, size: 32)
      value = process.memory.hostArgument(value)
    case 6, 7, 37, 38:  // F_SETLK(W), F_OFD_SETLK(W)
      value = process.memory.hostArgument(value)
    case 15, 16, 17, 1035, 1036, 1037, 1038, 1039:  // F_SETOWN_EX, F_GETOWN_EX, F_GETOWNER_UIDS, F_*_RW_HINT
      process.memory.prepareHostWrite(value, size: 16)
      value = process.memory.hostArgument(value)
    default: break
    }
    return process.host.callWaiting(72, arguments.a, arguments.b, value)
  }

  /// ioctl(2): the request's number says whether its argument is a pointer, for those that are known.
  static func control(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let request = UInt32(truncatingIfNeeded: arguments.b)
    if request == ControlRequests.interfaceList {
      return process.interfaceList(arguments.a, arguments.c)
    }
    var value = arguments.c
    switch ControlRequests.shape(request) {
    case .value: break
    case .pointer(let size):
      process.memory.prepareHostWrite(value, size: size)
      value = process.memory.hostArgument(value)
    // Programs probe with requests of other devices all the time, and get the same answer from the host.
    case .unknown: return -Errno.ENOTTY
    }
    return process.host.callWaiting(16, arguments.a, arguments.b, value)
  }

  /// SIOCGIFCONF: struct ifconf, a length and a pointer to room for the answer.
  private func interfaceList(_ socket: UInt64, _ address: UInt64) -> Int64 {
    guard let length = memory.load(UInt64.self, at: address),
      let room = memory.load(UInt64.self, at: address &+ 8)
    else { return -Errno.EFAULT }
    memory.prepareHostWrite(room, size: length & 0xffff_ffff)
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { words -> Int64 in
      words[0] = length
      words[1] = memory.hostArgument(room)
      let result = host.call(
        16, socket, UInt64(ControlRequests.interfaceList), self.address(of: words.baseAddress))
      if result < 0 { return result }
      return memory.store(UInt32(truncatingIfNeeded: words[0]), at: address) ? result : -Errno.EFAULT
    }
  }
}

/// What is known of ioctl requests (ioctl_list(2), ioctl_tty(2), ioctl_fs): the size of what they point to.
enum ControlRequests {
  /// SIOCGIFCONF, which holds a pointer.
  static let interfaceList: UInt32 = 0x8912

  enum Shape { case value, pointer(UInt64), unknown }

  static func shape(_ request: UInt32) -> Shape {
    switch request {
    // TCSBRK, TCXONC, TCFLSH, TIOCEXCL, TIOCNXCL, TIOCSCTTY, TCSBRKP, TIOCNOTTY, TIOCSBRK, TIOCCBRK, TIOCVHANGUP
    case 0x5409, 0x540a, 0x540b, 0x540c, 0x540d, 0x540e, 0x5425, 0x5422, 0x5427, 0x5428, 0x5437: return .value
    // FIONCLEX, FIOCLEX, FICLONE
    case 0x5450, 0x5451, 0x4004_9409: return .value
    // TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETA, TCSETA, TCSETAW, TCSETAF
    case 0x5401...0x5408: return .pointer(60)
    // TIOCGPGRP, TIOCSPGRP, TIOCOUTQ, TIOCSTI, TIOCMGET…TIOCMSET, TIOCGSOFTCAR, TIOCSSOFTCAR, FIONREAD
    case 0x540f, 0x5410, 0x5411, 0x5412, 0x5415...0x541b: return .pointer(4)
    // TIOCGWINSZ, TIOCSWINSZ
    case 0x5413, 0x5414: return .pointer(8)
    // TIOCPKT, FIONBIO, TIOCSETD, TIOCGETD, TIOCGSID, TIOCGEXCL, FIOASYNC, FIOQSIZE
    case 0x5420, 0x5421, 0x5423, 0x5424, 0x5429, 0x5440, 0x8004_5440, 0x5452, 0x5460: return .pointer(8)
    // TCGETS2, TCSETS2, TCSETSW2, TCSETSF2
    case 0x802c_542a, 0x402c_542b, 0x402c_542c, 0x402c_542d: return .pointer(44)
    // TIOCGPTN, TIOCSPTLCK, TIOCGPTLCK, TIOCGPKT, TIOCGDEV
    case 0x8004_5430, 0x4004_5431, 0x8004_5439, 0x8004_5438, 0x8004_5432: return .pointer(4)
    // TIOCGPTPEER takes flags
    case 0x5441: return .value
    // SIOCGIFCONF and friends: ifreq of 40 bytes
    case 0x8913...0x891b, 0x891d, 0x891f, 0x8921, 0x8927, 0x8933, 0x8942: return .pointer(40)
    // SIOCATMARK, SIOCGPGRP, SIOCSPGRP
    case 0x8902, 0x8904, 0x8905: return .pointer(4)
    // BLKGETSIZE64, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_GETVERSION, BLKGETSIZE, BLKSSZGET, BLKROGET
    case 0x8008_1272, 0x8008_6601, 0x4008_6602, 0x8008_7601, 0x1260, 0x1268, 0x125e: return .pointer(8)
    // FITRIM, FICLONERANGE, FS_IOC_FSGETXATTR
    case 0xc018_5879, 0x4020_940d, 0x801c_581f: return .pointer(32)
    // RNDGETENTCNT; NS_GET_USERNS, NS_GET_PARENT, NS_GET_NSTYPE take nothing, NS_GET_OWNER_UID an int
    case 0x8004_5200, 0xb704: return .pointer(4)
    case 0xb701, 0xb702, 0xb703: return .value
    // RTC_RD_TIME, KDGKBTYPE, KDGETMODE, KDGKBMODE, VT_GETSTATE, VT_OPENQRY
    case 0x8024_7009, 0x4b33, 0x4b3b, 0x4b44, 0x5603, 0x5600: return .pointer(36)
    default: return .unknown
    }
  }
}
