// Structs in guest memory as strace prints them. Offsets are those of x86-64's uapi headers. Each function returns nil
// when the memory cannot be read; the caller then prints the address.
import GuestMemory
import LinuxABI

/// Reads structs of the guest for a trace.
struct TraceStructures {
  let memory: AddressSpace

  func u64(_ address: UInt64) -> UInt64? { memory.load(UInt64.self, at: address) }
  func i64(_ address: UInt64) -> Int64? { memory.load(Int64.self, at: address) }
  func u32(_ address: UInt64) -> UInt32? { memory.load(UInt32.self, at: address) }
  func i32(_ address: UInt64) -> Int32? { memory.load(Int32.self, at: address) }
  func u16(_ address: UInt64) -> UInt16? { memory.load(UInt16.self, at: address) }

  /// The struct `name` at `address`; `count` elements when the declaration says that it is an array.
  func text(_ name: String, _ address: UInt64, count: UInt64?, result: Int64) -> String? {
    switch name {
    case "stat": return status(address)
    case "statx": return extendedStatus(address)
    case "timespec": return pair(address, "tv_sec", "tv_nsec")
    case "timeval": return pair(address, "tv_sec", "tv_usec")
    case "timespecs": return two(address, 16, fileTime)
    case "timevals": return two(address, 16) { pair($0, "tv_sec", "tv_usec") }
    case "itimerspec": return interval(address, "tv_nsec")
    case "itimerval": return interval(address, "tv_usec")
    case "timezone": return timezone(address)
    case "rlimit": return limits(address)
    case "rusage": return usage(address)
    case "utsname": return systemName(address)
    case "sysinfo": return systemInformation(address)
    case "statfs": return fileSystem(address)
    case "tms": return times(address)
    case "sigset": return u64(address).map(TraceText.signalSet)
    case "sigaction": return action(address)
    case "stack": return stack(address)
    case "siginfo":
      return memory.bytes(at: GuestAddress(address), count: 128).map {
        TraceStructures.information(words($0))
      }
    case "pipe": return array(address, 2, 4) { i32($0).map(String.init) }
    case "int", "pid", "uid", "gid", "uint": return list(address, count ?? 1)
    case "long", "off", "ulong", "time": return i64(address).map { "[\($0)]" }
    case "wstatus": return i32(address).map { "[" + TraceStructures.waitStatus($0) + "]" }
    case "pollfd": return polled(address, count ?? 0)
    case "epoll_event": return events(address, count, result)
    case "aioctx": return u64(address).map { "[" + TraceText.hex($0) + "]" }
    case "iocbs": return controlBlocks(address, count ?? 0)
    case "iocb": return controlBlock(address, isWhole: false)
    case "io_event": return completions(address, count == nil ? 0 : result)
    case "aiosigset": return eventMask(address)
    case "fdset": return descriptorSet(address, count ?? 0)
    case "sockaddr": return socketAddress(address, count ?? 0)
    case "flock": return lock(address)
    case "sched_param": return i32(address).map { "[\($0)]" }
    case "cap_header": return capabilityHeader(address)
    case "cap_data": return capabilities(address)
    case "winsize": return windowSize(address)
    case "termios": return terminal(address)
    case "utimbuf": return pair(address, "actime", "modtime")
    case "dirents": return directoryEntries(address, result)
    case "cpuset": return processorSet(address, result)
    default: return nil
    }
  }

  private func words(_ bytes: [UInt8]) -> [UInt64] {
    bytes.withUnsafeBytes { raw in
      (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
    }
  }

  // MARK: Building blocks

  private func pair(_ address: UInt64, _ first: String, _ second: String) -> String? {
    guard let a = i64(address), let b = i64(address &+ 8) else { return nil }
    if second == "tv_nsec", b == 0x3fff_ffff { return "UTIME_NOW" }
    if second == "tv_nsec", b == 0x3fff_fffe { return "UTIME_OMIT" }
    return "{\(first)=\(a), \(second)=\(b)}"
  }

  /// A time of utimensat(2), with the date that it stands for behind it. The date is in UTC.
  private func fileTime(_ address: UInt64) -> String? {
    guard let text = pair(address, "tv_sec", "tv_nsec"), let seconds = i64(address),
      let rest = i64(address &+ 8)
    else { return nil }
    if !text.hasPrefix("{") || seconds == 0 && rest == 0 { return text }
    guard let date = TraceText.date(seconds, nanoseconds: rest) else { return text }
    return text + " /* \(date) */"
  }

  private func two(_ address: UInt64, _ stride: UInt64, _ element: (UInt64) -> String?) -> String? {
    array(address, 2, stride, element)
  }

  func array(_ address: UInt64, _ count: UInt64, _ stride: UInt64, _ element: (UInt64) -> String?)
    -> String?
  {
    var parts: [String] = []
    for index in 0..<min(count, 32) {
      guard let part = element(address &+ index &* stride) else { return nil }
      parts.append(part)
    }
    return "[" + parts.joined(separator: ", ") + (count > 32 ? ", ...]" : "]")
  }

  private func list(_ address: UInt64, _ count: UInt64) -> String? {
    array(address, count, 4) { i32($0).map(String.init) }
  }

  private func string(_ address: UInt64, _ size: Int) -> String? {
    guard let bytes = memory.bytes(at: GuestAddress(address), count: size) else { return nil }
    return TraceText.quoted(Array(bytes.prefix { $0 != 0 }))
  }

  // MARK: Files

  private func status(_ address: UInt64) -> String? {
    guard let mode = u32(address &+ 24), let device = u64(address &+ 40), let size = i64(address &+ 48) else {
      return nil
    }
    let type = mode & 0xf000
    let isDevice = type == 0x2000 || type == 0x6000
    let last = isDevice ? "st_rdev=" + TraceText.device(device) : "st_size=\(size)"
    return "{st_mode=\(TraceText.mode(UInt64(mode))), \(last), ...}"
  }

  private func extendedStatus(_ address: UInt64) -> String? {
    guard let mask = u32(address), let attributes = u64(address &+ 8), let mode = u16(address &+ 28),
      let size = u64(address &+ 40)
    else { return nil }
    let names = FlagNames.flags("statxmask", UInt64(mask)) ?? "0"
    return "{stx_mask=\(names), stx_attributes=\(TraceText.hex(attributes)), "
      + "stx_mode=\(TraceText.mode(UInt64(mode))), stx_size=\(size), ...}"
  }

  private func fileSystem(_ address: UInt64) -> String? {
    let values = (0..<11).compactMap { u64(address &+ UInt64($0) &* 8) }
    guard values.count == 11, let first = u32(address &+ 56), let second = u32(address &+ 60) else {
      return nil
    }
    let type = FlagNames.choice("filesystem", Int64(bitPattern: values[0])) ?? TraceText.hex(values[0])
    let flags = FlagNames.flags("statfsflags", values[10]) ?? "0"
    return "{f_type=\(type), f_bsize=\(values[1]), f_blocks=\(values[2]), f_bfree=\(values[3]), "
      + "f_bavail=\(values[4]), f_files=\(values[5]), f_ffree=\(values[6]), "
      + "f_fsid={val=[\(TraceText.hex(UInt64(first))), \(TraceText.hex(UInt64(second)))]}, f_namelen=\(values[8]), "
      + "f_frsize=\(values[9]), f_flags=\(flags)}"
  }

  private func directoryEntries(_ address: UInt64, _ size: Int64) -> String? {
    var entries = 0
    var offset: UInt64 = 0
    while Int64(offset) < size, let length = u16(address &+ offset &+ 16), length != 0 {
      entries += 1
      offset &+= UInt64(length)
    }
    return "\(TraceText.address(address)) /* \(entries) entries */"
  }

  private func lock(_ address: UInt64) -> String? {
    guard let type = u16(address), let whence = u16(address &+ 2), let start = i64(address &+ 8),
      let length = i64(address &+ 16)
    else { return nil }
    let typeName = FlagNames.choice("locktype", Int64(type)) ?? "\(type)"
    let whenceName = FlagNames.choice("whence", Int64(whence)) ?? "\(whence)"
    return "{l_type=\(typeName), l_whence=\(whenceName), l_start=\(start), l_len=\(length)}"
  }

  // MARK: Time and resources

  private func interval(_ address: UInt64, _ fraction: String) -> String? {
    guard let every = pair(address, "tv_sec", fraction), let first = pair(address &+ 16, "tv_sec", fraction)
    else {
      return nil
    }
    return "{it_interval=\(every), it_value=\(first)}"
  }

  private func timezone(_ address: UInt64) -> String? {
    guard let west = i32(address), let saving = i32(address &+ 4) else { return nil }
    return "{tz_minuteswest=\(west), tz_dsttime=\(saving)}"
  }

  private func limits(_ address: UInt64) -> String? {
    guard let soft = u64(address), let hard = u64(address &+ 8) else { return nil }
    return "{rlim_cur=\(TraceText.limit(soft)), rlim_max=\(TraceText.limit(hard))}"
  }

  private func usage(_ address: UInt64) -> String? {
    guard let user = pair(address, "tv_sec", "tv_usec"), let system = pair(address &+ 16, "tv_sec", "tv_usec")
    else {
      return nil
    }
    return "{ru_utime=\(user), ru_stime=\(system), ...}"
  }

  private func times(_ address: UInt64) -> String? {
    let values = (0..<4).compactMap { i64(address &+ UInt64($0) &* 8) }
    guard values.count == 4 else { return nil }
    return
      "{tms_utime=\(values[0]), tms_stime=\(values[1]), tms_cutime=\(values[2]), tms_cstime=\(values[3])}"
  }

  private func systemName(_ address: UInt64) -> String? {
    guard let system = string(address, 65), let node = string(address &+ 65, 65) else { return nil }
    return "{sysname=\(system), nodename=\(node), ...}"
  }

  private func systemInformation(_ address: UInt64) -> String? {
    let values = (0..<10).compactMap { u64(address &+ UInt64($0) &* 8) }
    guard values.count == 10, let processes = u16(address &+ 80), let high = u64(address &+ 88),
      let freeHigh = u64(address &+ 96), let unit = u32(address &+ 104)
    else { return nil }
    return "{uptime=\(values[0]), loads=[\(values[1]), \(values[2]), \(values[3])], totalram=\(values[4]), "
      + "freeram=\(values[5]), sharedram=\(values[6]), bufferram=\(values[7]), totalswap=\(values[8]), "
      + "freeswap=\(values[9]), procs=\(processes), totalhigh=\(high), freehigh=\(freeHigh), mem_unit=\(unit)}"
  }

  private func processorSet(_ address: UInt64, _ size: Int64) -> String? {
    guard size > 0, size <= 8192, let bytes = memory.bytes(at: GuestAddress(address), count: Int(size)) else {
      return nil
    }
    var members: [String] = []
    for (index, byte) in bytes.enumerated() {
      for bit in 0..<8 where byte >> UInt8(bit) & 1 != 0 { members.append("\(index * 8 + bit)") }
    }
    return "[" + members.joined(separator: " ") + "]"
  }

  // MARK: Signals

  private func action(_ address: UInt64) -> String? {
    guard let action = memory.load(KernelSignalAction.self, at: address) else { return nil }
    var handler = TraceText.address(action.handler)
    if action.handler == 0 { handler = "SIG_DFL" }
    if action.handler == 1 { handler = "SIG_IGN" }
    if action.handler == .max { handler = "SIG_ERR" }
    let flags = FlagNames.flags("sigaction", action.flags) ?? "0"
    var text = "{sa_handler=\(handler), sa_mask=\(TraceText.signalSet(action.mask)), sa_flags=\(flags)"
    if action.flags & SignalActionFlags.restorer != 0 {
      text += ", sa_restorer=" + TraceText.address(action.restorer)
    }
    return text + "}"
  }

  private func stack(_ address: UInt64) -> String? {
    guard let stack = memory.load(SignalStack.self, at: address) else { return nil }
    let flags = FlagNames.flags("stackflags", UInt64(stack.flags)) ?? "0"
    return "{ss_sp=\(TraceText.address(stack.address)), ss_flags=\(flags), ss_size=\(stack.size)}"
  }

  /// The inside of a "--- SIG {…} ---" line, from the sixteen words of a siginfo_t.
  static func information(_ words: [UInt64]) -> String {
    guard words.count >= 5 else { return "{}" }
    let signal = Int32(truncatingIfNeeded: words[0])
    let code = Int32(truncatingIfNeeded: words[1])
    var text = "{si_signo=\(Signal.name(signal)), si_code=\(Signal.codeName(signal, code) ?? "\(code)")"
    let process = Int32(truncatingIfNeeded: words[2])
    let user = Int32(truncatingIfNeeded: words[2] >> 32)
    let isFault = signal == 4 || signal == 5 || signal == 7 || signal == 8 || signal == 11
    if signal == Signal.child, code > 0 {
      let status = Int32(truncatingIfNeeded: words[3])
      let shown = code == 1 ? "\(status)" : Signal.name(status)
      text += ", si_pid=\(process), si_uid=\(user), si_status=\(shown), si_utime=" + TraceText.ticks(words[4])
      text += ", si_stime=" + TraceText.ticks(words.count > 5 ? words[5] : 0)
    } else if isFault, code > 0 {
      text += ", si_addr=" + TraceText.address(words[2])
    } else if code <= 0, code != -2 {
      text += ", si_pid=\(process), si_uid=\(user)"
      if code == -1 {
        let value = words[3]
        text +=
          ", si_value={sival_int=\(Int32(truncatingIfNeeded: value)), sival_ptr=\(TraceText.address(value))}"
      }
    } else if code == -2 {
      text += ", si_timerid=\(TraceText.hex(UInt64(UInt32(bitPattern: process)))), si_overrun=\(user)"
    }
    return text + "}"
  }

  /// The status word of wait4(2).
  static func waitStatus(_ status: Int32) -> String {
    let signal = status & 0x7f
    if signal == 0 { return "{WIFEXITED(s) && WEXITSTATUS(s) == \(status >> 8 & 0xff)}" }
    if status & 0xff == 0x7f { return "{WIFSTOPPED(s) && WSTOPSIG(s) == \(Signal.name(status >> 8 & 0xff))}" }
    if status == 0xffff { return "{WIFCONTINUED(s)}" }
    let core = status & 0x80 != 0 ? " && WCOREDUMP(s)" : ""
    return "{WIFSIGNALED(s) && WTERMSIG(s) == \(Signal.name(signal))\(core)}"
  }

  // MARK: Events and sockets

  private func polled(_ address: UInt64, _ count: UInt64) -> String? {
    array(address, count, 8) { place in
      guard let descriptor = i32(place), let events = u16(place &+ 4) else { return nil }
      if descriptor < 0 { return "{fd=\(descriptor)}" }
      return "{fd=\(descriptor), events=\(FlagNames.flags("poll", UInt64(events)) ?? "0")}"
    }
  }

  /// The ready ones, for the end of a poll line.
  func ready(_ address: UInt64, _ count: UInt64) -> String {
    var parts: [String] = []
    for index in 0..<min(count, 1024) {
      let place = address &+ index &* 8
      guard let descriptor = i32(place), let events = u16(place &+ 6), events != 0, descriptor >= 0 else {
        continue
      }
      parts.append("{fd=\(descriptor), revents=\(FlagNames.flags("poll", UInt64(events)) ?? "0")}")
    }
    return "([" + parts.joined(separator: ", ") + "])"
  }

  private func events(_ address: UInt64, _ count: UInt64?, _ result: Int64) -> String? {
    let element: (UInt64) -> String? = { place in
      guard let events = u32(place), let data = u64(place &+ 4) else { return nil }
      let names = FlagNames.flags("epollevents", UInt64(events)) ?? "0"
      return "{events=\(names), data={u32=\(UInt32(truncatingIfNeeded: data)), u64=\(data)}}"
    }
    if count == nil { return element(address) }
    return array(address, UInt64(max(0, result)), 12, element)
  }

  func descriptorSet(_ address: UInt64, _ count: UInt64) -> String? {
    guard let bytes = memory.bytes(at: GuestAddress(address), count: Int(min(count, 65536) + 7) / 8) else {
      return nil
    }
    var members: [String] = []
    for number in 0..<Int(min(count, 65536)) where bytes[number / 8] >> UInt8(number % 8) & 1 != 0 {
      members.append("\(number)")
    }
    return "[" + members.joined(separator: " ") + "]"
  }

  func socketAddress(_ address: UInt64, _ length: UInt64) -> String? {
    guard length >= 2, length <= 256, let bytes = memory.bytes(at: GuestAddress(address), count: Int(length))
    else {
      return nil
    }
    let family = Int64(bytes[0]) | Int64(bytes[1]) << 8
    let name = FlagNames.choice("family", family) ?? "\(family)"
    switch family {
    case 1 where length == 2:
      return "{sa_family=AF_UNIX}"
    case 1 where bytes[2] == 0:
      return "{sa_family=AF_UNIX, sun_path=@\(TraceText.quoted(Array(bytes.dropFirst(3)), limit: 108))}"
    case 1:
      let path = Array(bytes.dropFirst(2).prefix { $0 != 0 })
      return "{sa_family=AF_UNIX, sun_path=\(TraceText.quoted(path, limit: 108))}"
    case 2 where length >= 8:
      let port = Int(bytes[2]) << 8 | Int(bytes[3])
      let dotted = bytes[4..<8].map(String.init).joined(separator: ".")
      return "{sa_family=AF_INET, sin_port=htons(\(port)), sin_addr=inet_addr(\"\(dotted)\")}"
    case 10 where length >= 28: return TraceStructures.internetAddress6(bytes)
    default:
      return "{sa_family=\(name), sa_data=\(TraceText.quoted(Array(bytes.dropFirst(2)), limit: 254))}"
    }
  }

  // MARK: Terminals

  private func windowSize(_ address: UInt64) -> String? {
    let values = (0..<4).compactMap { u16(address &+ UInt64($0) &* 2) }
    guard values.count == 4 else { return nil }
    return "{ws_row=\(values[0]), ws_col=\(values[1]), ws_xpixel=\(values[2]), ws_ypixel=\(values[3])}"
  }

  private func terminal(_ address: UInt64) -> String? {
    let values = (0..<4).compactMap { u32(address &+ UInt64($0) &* 4) }.map(UInt64.init)
    guard values.count == 4 else { return nil }
    func names(_ set: String, _ value: UInt64) -> String { FlagNames.flags(set, value) ?? "0" }
    let output = values[1]
    var delays = "NL\(output >> 8 & 1)|CR\(output >> 9 & 3)|"
    let tabs = output >> 11 & 3
    delays += tabs == 3 ? "TAB3|" : "TAB\(tabs)|"
    delays += "BS\(output >> 13 & 1)|VT\(output >> 14 & 1)|FF\(output >> 15 & 1)"
    let outputRest = FlagNames.flags("oflag", output & 0xff).map { "|" + $0 } ?? ""
    let speed = values[2] & 0x100f
    let baud = TraceStructures.baudNames[Int(speed & 15) + (speed & 0x1000 != 0 ? 16 : 0)]
    let size = "CS\(5 + (values[2] >> 4 & 3))"
    let control = FlagNames.flags("cflag", values[2] & ~0x103f & ~0x100f_0000).map { "|" + $0 } ?? ""
    return
      "{c_iflag=\(names("iflag", values[0])), c_oflag=\(delays)\(outputRest), c_cflag=\(baud)|\(size)\(control), "
      + "c_lflag=\(names("lflag", values[3])), ...}"
  }

  private static let baudNames: [String] = [
    "B0", "B50", "B75", "B110", "B134", "B150", "B200", "B300", "B600", "B1200", "B1800", "B2400", "B4800",
    "B9600",
    "B19200", "B38400", "BOTHER", "B57600", "B115200", "B230400", "B460800", "B500000", "B576000", "B921600",
    "B1000000", "B1152000", "B1500000", "B2000000", "B2500000", "B3000000", "B3500000", "B4000000",
  ]
}
