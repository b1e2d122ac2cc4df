// Sockets. Addresses and data pass as they are; messages carry vectors whose bases need translating.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineSockets() {
    define(41, "socket", "$family %socktype int")
    define(42, "connect", "fd *sockaddr<2 int", .slow)
    define(43, "accept", "fd *sockaddr> *socklen>", .slow, LinuxProcess.withAddressResult)
    define(44, "sendto", "fd buf<2 ulong %msg *sockaddr<5 int", [.slow, .message])
    define(
      45, "recvfrom", "fd buf>2 ulong %msg *sockaddr> *socklen>", [.slow, .message],
      LinuxProcess.receiveFrom)
    define(46, "sendmsg", "fd ptr %msg", .slow, LinuxProcess.message)
    define(47, "recvmsg", "fd ptr %msg", .slow, LinuxProcess.message)
    define(48, "shutdown", "fd $shutdown")
    define(49, "bind", "fd *sockaddr<2 int")
    define(50, "listen", "fd int")
    define(51, "getsockname", "fd *sockaddr> *socklen>", [], LinuxProcess.withAddressResult)
    define(52, "getpeername", "fd *sockaddr> *socklen>", [], LinuxProcess.withAddressResult)
    define(53, "socketpair", "$family %socktype int *pipe>")
    define(54, "setsockopt", "fd $sol int buf<4 int", [], LinuxProcess.setOption)
    define(55, "getsockopt", "fd $sol int *optval> *socklen>", [], LinuxProcess.getOption)
    define(288, "accept4", "fd *sockaddr> *socklen> %socktype", .slow, LinuxProcess.withAddressResult)
    define(299, "recvmmsg", "fd ptr uint %msg *timespec<", .slow, LinuxProcess.messages)
    define(307, "sendmmsg", "fd ptr uint %msg", .slow, LinuxProcess.messages)
  }
}

/// Offsets in struct msghdr (56 bytes); struct mmsghdr adds a length and padding (64 bytes).
enum MessageHeader {
  static let size = 56
  static let name = 0
  static let nameLength = 8
  static let vector = 16
  static let vectorCount = 24
  static let control = 32
  static let controlLength = 40
  static let flags = 48
}

extension LinuxProcess {
  /// The buffer whose size the guest keeps in an int at `length`: made writable for the host.
  private func prepareSized(_ buffer: UInt64, length: UInt64) {
    if let size = memory.load(UInt32.self, at: length) { memory.prepareHostWrite(buffer, size: UInt64(size)) }
    memory.prepareHostWrite(length, size: 4)
  }

  /// accept, accept4, getsockname, getpeername.
  static func withAddressResult(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    process.prepareSized(arguments.b, length: arguments.c)
    let memory = process.memory
    return process.host.callWaiting(
      process.callNumber, arguments.a, memory.hostArgument(arguments.b), memory.hostArgument(arguments.c),
      arguments.d)
  }

  static func receiveFrom(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let memory = process.memory
    memory.prepareHostWrite(arguments.b, size: arguments.c)
    process.prepareSized(arguments.e, length: arguments.f)
    return process.host.callWaiting(
      45, arguments.a, memory.hostArgument(arguments.b), arguments.c, arguments.d,
      memory.hostArgument(arguments.e),
      memory.hostArgument(arguments.f))
  }

  static func getOption(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    process.prepareSized(arguments.d, length: arguments.e)
    let memory = process.memory
    return process.host.call(
      55, arguments.a, arguments.b, arguments.c, memory.hostArgument(arguments.d),
      memory.hostArgument(arguments.e))
  }

  /// Options whose value is a struct sock_fprog, a length and the address of a filter (socket(7)): the host gets a copy with its own address.
  static func setOption(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let (socketLevel, attachFilter, attachReusePortFilter): (Int32, Int32, Int32) = (1, 26, 51)
    let memory = process.memory
    let option = int(arguments.c)
    let isFilter =
      int(arguments.b) == socketLevel && (option == attachFilter || option == attachReusePortFilter)
    let size = 16
    guard isFilter, int(arguments.e) == size,
      var value = memory.bytes(at: GuestAddress(arguments.d), count: size)
    else {
      return process.host.call(
        54, arguments.a, arguments.b, arguments.c, memory.hostArgument(arguments.d), arguments.e)
    }
    value.put(memory.hostArgument(value.littleEndian(UInt64.self, at: 8) ?? 0), at: 8)
    return value.withUnsafeBytes {
      process.host.call(
        54, arguments.a, arguments.b, arguments.c, process.address(of: $0.baseAddress), arguments.e)
    }
  }

  static func message(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    return process.transfer(
      arguments.a, header: arguments.b, flags: arguments.c, receive: process.callNumber == 47)
  }

  /// recvmmsg and sendmmsg, one message after the other. The timeout counts between messages only, as the kernel's does.
  static func messages(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    let receive = process.callNumber == 299
    let waitForOne: UInt64 = 0x10000
    let dontWait: UInt64 = 0x40
    var flags = arguments.d & ~waitForOne
    var done: Int64 = 0
    let count = Int64(min(arguments.c & 0xffff_ffff, 1024))
    while done < count {
      let header = arguments.b &+ UInt64(done) &* 64
      let result = process.transfer(arguments.a, header: header, flags: flags, receive: receive)
      if result < 0 { return done > 0 ? done : result }
      if !process.memory.store(UInt32(truncatingIfNeeded: result), at: header &+ 56) { return -Errno.EFAULT }
      done += 1
      if arguments.d & waitForOne != 0 { flags |= dontWait }
    }
    return done
  }

  private func transfer(_ socket: UInt64, header: UInt64, flags: UInt64, receive: Bool) -> Int64 {
    guard var bytes = memory.bytes(at: GuestAddress(header), count: MessageHeader.size) else {
      return -Errno.EFAULT
    }
    if receive { return transfer(socket, &bytes, header: header, flags: flags, receive: true) }
    var failure: Int64 = 0
    guard let control = sentRights(bytes, &failure) else { return failure }
    return control.withUnsafeBytes { rights in
      if !control.isEmpty { bytes.put(address(of: rights.baseAddress), at: MessageHeader.control) }
      guard let root, let name = bytes.littleEndian(UInt64.self, at: MessageHeader.name), name != 0 else {
        return transfer(
          socket, &bytes, header: header, flags: flags, receive: false, ownControl: !control.isEmpty)
      }
      let length = Int32(bitPattern: bytes.littleEndian(UInt32.self, at: MessageHeader.nameLength) ?? 0)
      if length < 0 { return -Errno.EINVAL }
      guard let given = memory.bytes(at: GuestAddress(name), count: min(Int(length), 128)) else {
        return -Errno.EFAULT
      }
      return withHostAddress(given, root) { name in
        name.withUnsafeBytes {
          bytes.put(address(of: $0.baseAddress), at: MessageHeader.name)
          bytes.put(UInt64($0.count), at: MessageHeader.nameLength)
          return transfer(
            socket, &bytes, header: header, flags: flags, receive: false, ownControl: !control.isEmpty,
            ownName: true)
        }
      }
    }
  }

  /// A copy of the control data that is to be sent, because it must stay what has been looked at; empty when there is none. Nil
  /// with `failure`: it cannot be read, is larger than kernels take, or passes on one of Vitrine's own descriptors.
  private func sentRights(_ header: [UInt8], _ failure: inout Int64) -> [UInt8]? {
    let most: UInt64 = 1 << 20
    let length = header.littleEndian(UInt64.self, at: MessageHeader.controlLength) ?? 0
    let place = header.littleEndian(UInt64.self, at: MessageHeader.control) ?? 0
    if place == 0 || length == 0 { return [] }
    failure = length > most ? -105 : -Errno.EFAULT  // ENOBUFS
    guard length <= most, let control = memory.bytes(at: GuestAddress(place), count: Int(length)) else {
      return nil
    }
    failure = -Errno.EBADF
    // struct cmsghdr: length, level, type; SOL_SOCKET, SCM_RIGHTS.
    var offset = 0
    while let size = control.littleEndian(UInt64.self, at: offset), size >= 16,
      size <= UInt64(control.count - offset)
    {
      let isRights =
        control.littleEndian(UInt32.self, at: offset + 8) == 1
        && control.littleEndian(UInt32.self, at: offset + 12) == 1
      if isRights {
        for place in stride(from: offset + 16, to: offset + Int(size) - 3, by: 4) {
          if let number = control.littleEndian(UInt32.self, at: place),
            descriptors.contains(Int32(bitPattern: number))
          {
            return nil
          }
        }
      }
      offset += (Int(size) + 7) & ~7
    }
    return control
  }

  /// `ownControl`, `ownName`: these lie in Vitrine's memory already.
  private func transfer(
    _ socket: UInt64, _ bytes: inout [UInt8], header: UInt64, flags: UInt64, receive: Bool,
    ownControl: Bool = false, ownName: Bool = false
  ) -> Int64 {
    var failure: Int64 = 0
    let guestName = bytes.littleEndian(UInt64.self, at: MessageHeader.name) ?? 0
    let vector = bytes.withUnsafeMutableBytes { raw -> [UInt64]? in
      let name = raw.load(fromByteOffset: MessageHeader.name, as: UInt64.self)
      let control = raw.load(fromByteOffset: MessageHeader.control, as: UInt64.self)
      if receive {
        memory.prepareHostWrite(
          name, size: UInt64(raw.load(fromByteOffset: MessageHeader.nameLength, as: UInt32.self)))
        memory.prepareHostWrite(
          control, size: raw.load(fromByteOffset: MessageHeader.controlLength, as: UInt64.self))
      }
      if !ownName {
        raw.storeBytes(of: memory.hostArgument(name), toByteOffset: MessageHeader.name, as: UInt64.self)
      }
      if !ownControl {
        raw.storeBytes(
          of: memory.hostArgument(control), toByteOffset: MessageHeader.control, as: UInt64.self)
      }
      return hostVector(
        raw.load(fromByteOffset: MessageHeader.vector, as: UInt64.self),
        count: raw.load(fromByteOffset: MessageHeader.vectorCount, as: UInt64.self), hostWrites: receive,
        failure: &failure)
    }
    guard let vector else { return failure == -Errno.EINVAL ? -90 : failure }  // EMSGSIZE
    let result = vector.withUnsafeBytes { buffers in
      bytes.withUnsafeMutableBytes { raw -> Int64 in
        raw.storeBytes(
          of: address(of: buffers.baseAddress), toByteOffset: MessageHeader.vector, as: UInt64.self)
        return host.callWaiting(receive ? 47 : 46, socket, address(of: raw.baseAddress), flags)
      }
    }
    if result >= 0, receive {
      if let root, guestName != 0 { renameSender(&bytes, at: guestName, root) }
      if !returnHeader(bytes, to: header) { return -Errno.EFAULT }
    }
    return result
  }

  /// The address that a message came from, in the guest's words.
  private func renameSender(_ header: inout [UInt8], at name: UInt64, _ root: GuestRoot) {
    guard let length = header.littleEndian(UInt32.self, at: MessageHeader.nameLength), length <= 128,
      let found = memory.bytes(at: GuestAddress(name), count: Int(length))
    else { return }
    let shown = guestAddress(found, root)
    if shown == found { return }
    _ = memory.copyOut(shown, to: GuestAddress(name))
    header.replaceSubrange(
      MessageHeader.nameLength..<MessageHeader.nameLength + 4,
      with: withUnsafeBytes(of: UInt32(shown.count).littleEndian) { Array($0) })
  }

  /// What recvmsg changes in the guest's header: the lengths and the flags.
  private func returnHeader(_ bytes: [UInt8], to header: UInt64) -> Bool {
    bytes.withUnsafeBytes { raw in
      let nameLength = raw.load(fromByteOffset: MessageHeader.nameLength, as: UInt32.self)
      let controlLength = raw.load(fromByteOffset: MessageHeader.controlLength, as: UInt64.self)
      let flags = raw.load(fromByteOffset: MessageHeader.flags, as: UInt32.self)
      return memory.store(nameLength, at: header &+ UInt64(MessageHeader.nameLength))
        && memory.store(controlLength, at: header &+ UInt64(MessageHeader.controlLength))
        && memory.store(flags, at: header &+ UInt64(MessageHeader.flags))
    }
  }
}

extension [UInt8] {
  /// Writes eight bytes; the name's length in a message's header is followed by padding.
  mutating func put(_ value: UInt64, at offset: Int) {
    replaceSubrange(offset..<offset + 8, with: Swift.withUnsafeBytes(of: value.littleEndian) { Array($0) })
  }
}
