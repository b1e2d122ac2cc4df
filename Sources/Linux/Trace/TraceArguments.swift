// One argument of a call as strace prints it, from its declared type. Input is printed when the call begins, output when
// it has returned; a call that failed shows addresses instead of output.
import GuestMemory
import LinuxABI

/// Prints arguments of one call.
struct TraceArguments {
  let call: SystemCall
  let arguments: Arguments
  let memory: AddressSpace
  /// Nil while the call has not returned.
  let result: Int64?
  /// What an argument of type *socklen> pointed to when the call began, or recvmsg's header held as length of the name.
  var oldLength: UInt32?
  /// Where sendfile was to begin.
  var oldOffset: Int64?

  private var structures: TraceStructures { TraceStructures(memory: memory) }

  /// How many of the declared arguments the call really has.
  func count(_ signature: Signature) -> Int {
    let all = signature.arguments.count
    switch call.number {
    case 2: return TraceArguments.creates(arguments.b) ? all : all - 1
    case 257: return TraceArguments.creates(arguments.c) ? all : all - 1
    case 72: return TraceArguments.takesArgument(int(arguments.b)) ? all : 2
    // FIOCLEX and FIONCLEX take nothing.
    case 16: return [0x5450, 0x5451].contains(UInt32(truncatingIfNeeded: arguments.b)) ? 2 : all
    case 25: return arguments.d & 6 != 0 ? all : 4
    case 157: return processControlCount
    case 202: return futexCount
    case 269: return 3
    default: return all
    }
  }

  /// O_CREAT or O_TMPFILE: the mode counts.
  private static func creates(_ flags: UInt64) -> Bool { flags & 0x40 != 0 || flags & 0x41_0000 == 0x41_0000 }

  private static func takesArgument(_ command: Int32) -> Bool {
    switch command {
    case 1, 3, 9, 11, 1025, 1032, 1034: return false
    default: return true
    }
  }

  private var processControlCount: Int {
    switch int(arguments.a) {
    case 22: return seccompControlCount
    case 3, 7, 21, 27, 30, 39: return 1
    case 1, 2, 4, 8, 15, 16, 23, 24, 26, 28, 29, 36, 37, 40: return 2
    default: return 5
    }
  }

  /// True for an argument that is printed only after the call.
  func isOutput(_ type: ArgumentType, _ index: Int) -> Bool {
    switch call.number {
    case 40: return index == 2
    case 47: return index == 1
    case 435: return index == 0
    default: break
    }
    if call.number == 35 || call.number == 230 { return type.access == .write }
    if call.number == 16 || (call.number == 72 && int(arguments.b) == 5) { return index == 2 }
    if call.number == 157, int(arguments.a) == 16 { return index == 1 }
    return type.access == .write
  }

  func text(_ type: ArgumentType, _ index: Int) -> String {
    let value = arguments[index]
    if let special = special(index, value) { return special }
    switch type.kind {
    case .int, .process: return "\(int(value))"
    case .descriptor: return "\(int(value))"
    case .uint: return "\(UInt32(truncatingIfNeeded: value))"
    case .long: return "\(Int64(bitPattern: value))"
    case .ulong: return "\(value)"
    case .hex: return TraceText.hex(value)
    case .octal:
      return call.number == 133 || call.number == 259 ? TraceText.mode(value) : TraceText.octal(value)
    case .device: return TraceText.device(value)
    case .directory: return int(value) == -100 ? "AT_FDCWD" : "\(int(value))"
    case .signal: return int(value) == 0 ? "0" : Signal.name(int(value))
    case .flags: return flags(String(decoding: type.name, as: UTF8.self), value)
    case .choice: return choice(String(decoding: type.name, as: UTF8.self), value)
    case .path: return path(value)
    case .string: return string(value)
    case .buffer: return buffer(type, value)
    case .vector: return vector(type, value)
    case .structure: return structure(type, value)
    case .pointer, .address: return TraceText.address(value)
    }
  }

  // MARK: Flags

  private func flags(_ set: String, _ value: UInt64) -> String {
    let number = value & 0xffff_ffff
    switch set {
    case "open": return TraceArguments.openFlags(number)
    case "access": return number == 0 ? "F_OK" : FlagNames.flags(set, number) ?? "F_OK"
    case "prot": return FlagNames.flags(set, number) ?? "PROT_NONE"
    case "map":
      let types = ["0", "MAP_SHARED", "MAP_PRIVATE", "MAP_SHARED_VALIDATE"]
      let type = number & 15
      let first = type < 4 ? types[Int(type)] : TraceText.hex(type)
      return FlagNames.flags(set, number & ~15).map { first + "|" + $0 } ?? first
    case "statxflags":
      let sync = ["AT_STATX_SYNC_AS_STAT", "AT_STATX_FORCE_SYNC", "AT_STATX_DONT_SYNC", "0x6000"]
      let first = sync[Int(number >> 13 & 3)]
      return FlagNames.flags("at", number & ~0x6000).map { first + "|" + $0 } ?? first
    case "socktype":
      if call.number == 288 { return FlagNames.flags("socktypeflags", number) ?? "0" }
      let first = FlagNames.choice(set, Int64(number & 15)) ?? "\(number & 15)"
      return FlagNames.flags("socktypeflags", number & ~15).map { first + "|" + $0 } ?? first
    default: return FlagNames.flags(set, number) ?? "0"
    }
  }

  /// Access mode, then the flags.
  static func openFlags(_ value: UInt64) -> String {
    let modes = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"]
    let first = modes[Int(value & 3)]
    return FlagNames.flags("open", value & ~3).map { first + "|" + $0 } ?? first
  }

  private func choice(_ set: String, _ value: UInt64) -> String {
    let number = Int64(set == "ioctl" ? Int64(value & 0xffff_ffff) : Int64(int(value)))
    if set == "futex" {
      let name = FlagNames.choice(set, number & 0x7f) ?? TraceText.hex(UInt64(number & 0x7f))
      return name + (number & 128 != 0 ? "_PRIVATE" : "") + (number & 256 != 0 ? "|FUTEX_CLOCK_REALTIME" : "")
    }
    if let name = FlagNames.choice(set, number) { return name }
    let hexadecimal = TraceText.hex(UInt64(UInt32(truncatingIfNeeded: number)))
    switch set {
    case "archprctl": return hexadecimal + " /* ARCH_??? */"
    case "prctl": return hexadecimal + " /* PR_??? */"
    case "seccomp": return hexadecimal + " /* SECCOMP_SET_MODE_??? */"
    default: return hexadecimal
    }
  }

  // MARK: Memory

  private func path(_ address: UInt64) -> String {
    guard let bytes = try? memory.cString(at: GuestAddress(address), limit: 4096) else {
      return TraceText.address(address)
    }
    return TraceText.quoted(bytes, limit: 4096)
  }

  private func string(_ address: UInt64) -> String {
    do { return TraceText.quoted(try memory.cString(at: GuestAddress(address), limit: 4096)) } catch {
      return TraceText.address(address)
    }
  }

  private func data(_ address: UInt64, _ size: UInt64, allHex: Bool = false) -> String {
    let shown = min(size, UInt64(TraceText.stringLimit))
    guard let bytes = memory.bytes(at: GuestAddress(address), count: Int(shown)) else {
      return TraceText.address(address)
    }
    return TraceText.quoted(bytes, more: size > shown, allHex: allHex)
  }

  private func buffer(_ type: ArgumentType, _ address: UInt64) -> String {
    let size = type.count.map { arguments[$0] } ?? 0
    if type.access == .read {
      if call.number == 54, size == 4, let value = memory.load(Int32.self, at: address) {
        return "[\(value)]"
      }
      return address == 0 ? "NULL" : data(address, size)
    }
    guard let result, result >= 0 else { return TraceText.address(address) }
    if call.number == 79 {
      return path(address)
    }
    return data(address, min(UInt64(result), size), allHex: call.number == 318)
  }

  private func vector(_ type: ArgumentType, _ address: UInt64) -> String {
    let count = min(type.count.map { arguments[$0] & 0xffff_ffff } ?? 0, 1024)
    var left = UInt64(max(0, result ?? 0))
    if type.access == .write, result ?? -1 < 0 { return TraceText.address(address) }
    var parts: [String] = []
    for index in 0..<min(count, 32) {
      let place = address &+ index &* 16
      guard let base = memory.load(UInt64.self, at: place),
        let size = memory.load(UInt64.self, at: place &+ 8)
      else {
        return TraceText.address(address)
      }
      let shown = type.access == .write ? min(size, left) : size
      left &-= min(left, shown)
      parts.append("{iov_base=\(data(base, shown)), iov_len=\(size)}")
    }
    return "[" + parts.joined(separator: ", ") + (count > 32 ? ", ...]" : "]")
  }

  private func structure(_ type: ArgumentType, _ address: UInt64) -> String {
    if address == 0 { return "NULL" }
    let name = String(decoding: type.name, as: UTF8.self)
    if name == "strings" { return strings(address) }
    if name == "environ" { return "\(TraceText.address(address)) /* \(variableCount(address)) vars */" }
    if name == "socklen" { return socketLength(address) }
    if type.access == .write, result ?? -1 < 0 { return TraceText.address(address) }
    if type.access == .write, name == "sockaddr" || name == "optval" { return socketOutput(name, address) }
    // wait4 without a child, and a sleep that was not interrupted, have written nothing.
    if call.number == 61, result == 0 { return TraceText.address(address) }
    if call.number == 35 || call.number == 230, type.access == .write { return TraceText.address(address) }
    // getgroups returns how many groups it has written.
    let count = call.number == 115 ? UInt64(result ?? 0) : type.count.map { arguments[$0] }
    let text = structures.text(name, address, count: count, result: result ?? 0)
    return text ?? TraceText.address(address)
  }

  /// [28 => 16], or [16] when the call has not changed it.
  private func socketLength(_ address: UInt64) -> String {
    guard let length = memory.load(UInt32.self, at: address) else { return TraceText.address(address) }
    if let oldLength, oldLength != length, result ?? -1 >= 0 { return "[\(oldLength) => \(length)]" }
    return "[\(length)]"
  }

  /// A socket address or option whose size the next argument holds.
  private func socketOutput(_ name: String, _ address: UInt64) -> String {
    let place = call.number == 45 ? arguments.f : call.number == 55 ? arguments.e : arguments.c
    guard let length = memory.load(UInt32.self, at: place) else { return TraceText.address(address) }
    let size = min(length, oldLength ?? length)
    if name == "optval" {
      guard size == 4, let value = memory.load(Int32.self, at: address) else {
        return TraceText.address(address)
      }
      return "[\(value)]"
    }
    return structures.text(name, address, count: UInt64(size), result: 0) ?? TraceText.address(address)
  }

  private func strings(_ address: UInt64) -> String {
    var parts: [String] = []
    while let pointer = memory.load(UInt64.self, at: address &+ UInt64(parts.count) &* 8), pointer != 0 {
      if parts.count == 32 { return "[" + parts.joined(separator: ", ") + ", ...]" }
      parts.append(string(pointer))
    }
    return "[" + parts.joined(separator: ", ") + "]"
  }

  private func variableCount(_ address: UInt64) -> Int {
    var count = 0
    while count < 65536, let pointer = memory.load(UInt64.self, at: address &+ UInt64(count) &* 8),
      pointer != 0
    {
      count += 1
    }
    return count
  }

  // MARK: Arguments that depend on another

  private func special(_ index: Int, _ value: UInt64) -> String? {
    switch (call.number, index) {
    case (40, 2): return offset(value)
    case (202, 2...): return futexArgument(index)
    // EPOLL_CTL_DEL reads no event.
    case (233, 3): return int(arguments.b) == 2 ? TraceText.address(value) : nil
    case (46, 1), (47, 1): return message(value)
    case (435, 0): return structures.cloneArguments(value, result: result ?? 0)
    case (16, 2): return control(value)
    case (72, 2): return descriptorControl(value)
    case (317, 1...): return seccompArgument(index, value)
    case (157, 1...) where int(arguments.a) == 22: return seccompControl(index, value)
    case (157, 1):
      if int(arguments.a) == 38 { return "\(value)" }
      if int(arguments.a) == 15 { return string(value) }
      if (23...24).contains(int(arguments.a)) {
        return FlagNames.choice("cap", Int64(int(value))) ?? TraceText.hex(value) + " /* CAP_??? */"
      }
      return int(arguments.a) == 16 ? ((result ?? -1) < 0 ? TraceText.address(value) : string(value)) : nil
    case (54, 2), (55, 2):
      switch int(arguments.b) {
      case 0: return choice("ip", value)
      case 1: return choice("so", value)
      case 6: return choice("tcp", value)
      case 41: return choice("ipv6", value)
      default: return nil
      }
    case (41, 2), (53, 2): return arguments.a == 2 || arguments.a == 10 ? choice("ipproto", value) : nil
    default: return nil
    }
  }

  /// struct msghdr, from both sides of the call.
  private func message(_ address: UInt64) -> String? {
    structures.messageHeader(
      address, received: call.number == 47 ? result ?? 0 : nil, oldNameLength: oldLength)
  }

  /// [0] => [3], as far as sendfile has come.
  private func offset(_ address: UInt64) -> String? {
    guard address != 0, let now = memory.load(Int64.self, at: address), let before = oldOffset else {
      return nil
    }
    return (result ?? -1) < 0 || now == before ? "[\(before)]" : "[\(before)] => [\(now)]"
  }

  private func control(_ value: UInt64) -> String {
    let failed = (result ?? -1) < 0
    let isSetter = { (numbers: [UInt32]) in numbers.contains(UInt32(truncatingIfNeeded: arguments.b)) }
    let decodes = !failed || isSetter([0x5402, 0x5403, 0x5404, 0x5414, 0x5410, 0x5421, 0x4004_9409])
    if !decodes { return TraceText.address(value) }
    let name: String
    switch UInt32(truncatingIfNeeded: arguments.b) {
    case 0x5401, 0x5402, 0x5403, 0x5404: name = "termios"
    case 0x5413, 0x5414: name = "winsize"
    case 0x4004_9409: return "\(int(value))"  // FICLONE takes a descriptor
    case 0x540f, 0x5410, 0x541b, 0x5411, 0x5421, 0x8004_5430, 0x4004_5431, 0x5429: name = "int"
    default: return TraceText.hex(value)
    }
    return structures.text(name, value, count: nil, result: 0) ?? TraceText.address(value)
  }

  private func descriptorControl(_ value: UInt64) -> String? {
    switch int(arguments.b) {
    case 0, 1030, 1031: return "\(int(value))"
    case 2: return value & 1 != 0 ? "FD_CLOEXEC" : TraceText.hex(value)
    case 4: return TraceArguments.openFlags(value & 0xffff_ffff)
    case 5, 6, 7, 36, 37, 38:
      if int(arguments.b) == 5, (result ?? -1) < 0 { return TraceText.address(value) }
      return structures.text("flock", value, count: nil, result: 0) ?? TraceText.address(value)
    default: return nil
    }
  }
}
