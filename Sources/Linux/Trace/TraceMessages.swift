// What sockets and clone3 take and return, as strace prints it: the header of a message with its buffers and control
// messages, Internet addresses, struct clone_args. Offsets are those of x86-64's uapi headers.
import GuestMemory
import LinuxABI

extension TraceStructures {
  /// struct msghdr of sendmsg(2) and recvmsg(2). `received` is recvmsg's result, nil for a message to be sent;
  /// `oldNameLength` what the header held before it.
  func messageHeader(_ address: UInt64, received: Int64?, oldNameLength: UInt32?) -> String? {
    guard let name = u64(address), let nameLength = u32(address &+ UInt64(MessageHeader.nameLength)),
      let vector = u64(address &+ UInt64(MessageHeader.vector)),
      let count = u64(address &+ UInt64(MessageHeader.vectorCount)),
      let control = u64(address &+ UInt64(MessageHeader.control)),
      let controlLength = u64(address &+ UInt64(MessageHeader.controlLength)),
      let flags = u32(address &+ UInt64(MessageHeader.flags))
    else { return nil }
    if let received, received < 0 { return "{msg_namelen=\(nameLength)}" }
    var text = "{msg_name="
    text += nameLength == 0 && name != 0 ? TraceText.address(name) : ""
    text += name == 0 ? "NULL" : ""
    if name != 0, nameLength != 0 {
      text += socketAddress(name, UInt64(nameLength)) ?? TraceText.address(name)
    }
    let changed = received != nil && oldNameLength != nil && oldNameLength != nameLength
    text += ", msg_namelen=" + (changed ? "\(oldNameLength ?? 0) => \(nameLength)" : "\(nameLength)")
    text += ", msg_iov=" + (buffers(vector, count, filled: received) ?? TraceText.address(vector))
    text += ", msg_iovlen=\(count)"
    if controlLength > 0 {
      text += ", msg_control=" + (controlMessages(control, controlLength) ?? TraceText.address(control))
    }
    let names = FlagNames.flags("msg", UInt64(flags)) ?? "0"
    return text + ", msg_controllen=\(controlLength), msg_flags=\(names)}"
  }

  /// The buffers of a message; those that were filled show `filled` bytes in all.
  private func buffers(_ address: UInt64, _ count: UInt64, filled: Int64?) -> String? {
    var left = UInt64(max(0, filled ?? 0))
    return array(address, count, 16) { place in
      guard let base = u64(place), let size = u64(place &+ 8) else { return nil }
      let used = filled == nil ? size : min(size, left)
      left &-= min(left, used)
      let shown = min(used, UInt64(TraceText.stringLimit))
      let bytes = memory.bytes(at: GuestAddress(base), count: Int(shown))
      let text = bytes.map { TraceText.quoted($0, more: used > shown) } ?? TraceText.address(base)
      return "{iov_base=\(text), iov_len=\(size)}"
    }
  }

  /// cmsg(3): each message is a length, a level, a type and data, padded to eight bytes.
  private func controlMessages(_ address: UInt64, _ length: UInt64) -> String? {
    guard length <= 4096 else { return nil }
    var parts: [String] = []
    var offset: UInt64 = 0
    while offset &+ 16 <= length {
      let place = address &+ offset
      guard let size = u64(place), let level = i32(place &+ 8), let type = i32(place &+ 12) else {
        return nil
      }
      guard size >= 16, size <= length &- offset else { break }
      let levelName =
        FlagNames.choice("sol", Int64(level)) ?? TraceText.hex(UInt64(UInt32(bitPattern: level)))
      let set = level == 1 ? "scm" : level == 0 ? "ip" : ""
      let typeName = FlagNames.choice(set, Int64(type)) ?? TraceText.hex(UInt64(UInt32(bitPattern: type)))
      let data = controlData(level, type, place &+ 16, size &- 16) ?? TraceText.address(place &+ 16)
      parts.append("{cmsg_len=\(size), cmsg_level=\(levelName), cmsg_type=\(typeName), cmsg_data=\(data)}")
      offset &+= (size &+ 7) & ~7
    }
    return "[" + parts.joined(separator: ", ") + "]"
  }

  private func controlData(_ level: Int32, _ type: Int32, _ address: UInt64, _ size: UInt64) -> String? {
    if level == 1, type == 1 { return array(address, size / 4, 4) { i32($0).map(String.init) } }
    if level == 1, type == 2, size >= 12 {
      guard let process = i32(address), let user = u32(address &+ 4), let group = u32(address &+ 8) else {
        return nil
      }
      return "{pid=\(process), uid=\(user), gid=\(group)}"
    }
    let shown = min(size, UInt64(TraceText.stringLimit))
    return memory.bytes(at: GuestAddress(address), count: Int(shown)).map {
      TraceText.quoted($0, more: size > shown, allHex: true)
    }
  }

  // MARK: Addresses

  /// sa_family=AF_INET6 with port, flow, address and scope.
  static func internetAddress6(_ bytes: [UInt8]) -> String {
    let port = Int(bytes[2]) << 8 | Int(bytes[3])
    let flow = bytes[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let scope = bytes[24..<28].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return "{sa_family=AF_INET6, sin6_port=htons(\(port)), sin6_flowinfo=htonl(\(flow)), "
      + "inet_pton(AF_INET6, \"\(presented(bytes[8..<24]))\", &sin6_addr), sin6_scope_id=\(scope)}"
  }

  /// inet_ntop(3): groups of hexadecimal digits, the longest run of two or more zeros as "::".
  private static func presented(_ bytes: ArraySlice<UInt8>) -> String {
    let groups = stride(from: bytes.startIndex, to: bytes.endIndex, by: 2).map {
      Int(bytes[$0]) << 8 | Int(bytes[$0 + 1])
    }
    let dotted = bytes.suffix(4).map(String.init).joined(separator: ".")
    if groups.prefix(5).allSatisfy({ $0 == 0 }), groups[5] == 0xffff { return "::ffff:" + dotted }
    var longest = 0..<0
    var index = 0
    while index < groups.count {
      let end = groups[index...].firstIndex { $0 != 0 } ?? groups.count
      if end - index > max(1, longest.count) { longest = index..<end }
      index = end + 1
    }
    let texts = groups.map { String($0, radix: 16) }
    if longest.isEmpty { return texts.joined(separator: ":") }
    return texts[..<longest.lowerBound].joined(separator: ":") + "::"
      + texts[longest.upperBound...].joined(separator: ":")
  }

  // MARK: clone3

  /// struct clone_args of clone3(2); `result` is nil before the call has returned.
  func cloneArguments(_ address: UInt64, result: Int64) -> String? {
    let values = (0..<8).compactMap { u64(address &+ UInt64($0) &* 8) }
    guard values.count == 8 else { return nil }
    let flags = values[0]
    var text = "{flags=" + (FlagNames.flags("clone", flags) ?? "0")
    if flags & CloneFlags.pidDescriptor != 0 { text += ", pidfd=" + TraceText.address(values[1]) }
    if flags & (CloneFlags.childSetThread | CloneFlags.childClearThread) != 0 {
      text += ", child_tid=" + TraceText.address(values[2])
    }
    if flags & CloneFlags.parentSetThread != 0 { text += ", parent_tid=" + TraceText.address(values[3]) }
    let signal = values[4] == 0 ? "0" : Signal.name(Int32(truncatingIfNeeded: values[4]))
    text += ", exit_signal=\(signal), stack=\(TraceText.address(values[5]))"
    text += ", stack_size=\(TraceText.hex(values[6]))"
    if flags & CloneFlags.setTLS != 0 { text += ", tls=" + TraceText.address(values[7]) }
    text += "}"
    var returned: [String] = []
    if result > 0, flags & CloneFlags.pidDescriptor != 0, let descriptor = i32(values[1]) {
      returned.append("pidfd=[\(descriptor)]")
    }
    if result > 0, flags & CloneFlags.parentSetThread != 0, let thread = i32(values[3]) {
      returned.append("parent_tid=[\(thread)]")
    }
    return returned.isEmpty ? text : text + " => {" + returned.joined(separator: ", ") + "}"
  }
}
