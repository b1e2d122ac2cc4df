// Names of UNIX sockets (unix(7)) for guests with a root of their own. The host is told another path than the guest gave, and tells that path to
// whoever asks for a socket's address, also in other processes of the guest. So the path carries a number, written with slashes and
// dots that mean nothing to the kernel, under which a table in memory that all processes of the guest share has the guest's own words.
import CHost
import GuestMemory
import LinuxABI

/// The table. When it is full the oldest names are forgotten.
final class SocketNames {
  // SAFETY: shared memory, mapped once and never unmapped; all indices are masked.
  private let memory: UnsafeMutableRawPointer
  private static let bits = 10
  private static let slot = 128
  private static let count = 1 << bits
  /// The counter, then the slots: a length and up to 108 bytes.
  private static let size = 4096 + count * slot

  init?(_ host: Host) {
    guard let memory = host.sharedMemory(UInt64(SocketNames.size)) else { return nil }
    self.memory = memory
  }

  /// Remembers a name. Returns its number.
  func add(_ name: [UInt8]) -> Int {
    var number = memory.load(as: UInt64.self)
    while !vt_compare_exchange64(memory, &number, number &+ 1) {}
    let index = Int(truncatingIfNeeded: number) & (SocketNames.count - 1)
    let place = memory + 4096 + index * SocketNames.slot
    let kept = name.prefix(SocketNames.slot - 1)
    place.storeBytes(of: UInt8(kept.count), as: UInt8.self)
    for (offset, byte) in kept.enumerated() {
      place.storeBytes(of: byte, toByteOffset: 1 + offset, as: UInt8.self)
    }
    return index
  }

  private func name(_ number: Int) -> [UInt8] {
    let place = memory + 4096 + (number & (SocketNames.count - 1)) * SocketNames.slot
    let length = min(Int(place.load(as: UInt8.self)), SocketNames.slot - 1)
    return (0..<length).map { place.load(fromByteOffset: 1 + $0, as: UInt8.self) }
  }

  /// A number in slashes and dots: "/" is 0, "/." is 1.
  static func marks(_ number: Int) -> [UInt8] {
    (0..<bits).reduce(into: []) { $0 += number >> (bits - 1 - $1) & 1 == 0 ? [47] : [47, 46] }
  }

  /// The guest's words for a path of the host's; the path itself when it is not one of ours.
  func guestName(_ path: [UInt8]) -> [UInt8] {
    let prefixes = ["/proc/self/fd/", "/proc/thread-self/fd/", "/proc/self/cwd", "/proc/thread-self/cwd"].map
    {
      Array($0.utf8)
    }
    guard let prefix = prefixes.first(where: { path.starts(with: $0) }) else { return path }
    var rest = path.dropFirst(prefix.count).drop { $0 >= 48 && $0 <= 57 }
    var number = 0
    for _ in 0..<SocketNames.bits {
      guard rest.first == 47 else { return rest.isEmpty ? path : Array(rest.drop { $0 == 47 }) }
      let isOne = rest.dropFirst().starts(with: [46, 47])
      number = number << 1 | (isOne ? 1 : 0)
      rest = rest.dropFirst(isOne ? 2 : 1)
    }
    return rest.first == 47 ? name(number) : Array(rest)
  }
}

extension LinuxProcess {
  private static let family = 2
  private static let longest = 108

  /// The path in a sockaddr_un; nil: another family, no name, or an abstract one.
  private func socketPath(_ address: [UInt8]) -> [UInt8]? {
    guard address.littleEndian(UInt16.self, at: 0) == 1, address.count > LinuxProcess.family,
      address.count <= LinuxProcess.family + LinuxProcess.longest, address[LinuxProcess.family] != 0
    else { return nil }
    return Array(address.dropFirst(LinuxProcess.family).prefix { $0 != 0 })
  }

  private static func socketAddress(_ path: [UInt8]) -> [UInt8] { [1, 0] + path + [0] }

  /// Runs `body` with the host's form of an address to connect or send to, or returns why there is none.
  func withHostAddress(_ given: [UInt8], _ root: GuestRoot, _ body: ([UInt8]) -> Int64) -> Int64 {
    guard let path = socketPath(given) else { return body(given) }
    let walk = PathWalk(self, root)
    defer { walk.finish() }
    do throws(MemoryError) {
      guard let object = try walk.walk(-100, path, [.follow]).object else { return -Errno.ENOENT }
      // The call may wait while other threads run: the descriptor must not be theirs.
      let kept = keepHidden(object.descriptor, walk)
      walk.finish()
      defer { if let kept { closeKept(kept) } }
      return body(
        LinuxProcess.socketAddress(Array(LinuxProcess.link(of: kept ?? object.descriptor).utf8)))
    } catch {
      return -Int64(error.number)
    }
  }

  func rootedSocket(_ call: SystemCall, _ arguments: Arguments, _ root: GuestRoot) -> Int64? {
    switch call.number {
    case 42, 49, 44:
      if descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
      let pointer = call.number == 44 ? arguments.e : arguments.b
      let length = int(call.number == 44 ? arguments.f : arguments.c)
      if call.number == 44, pointer == 0 { return nil }
      if length < 0 || length > 128 { return -Errno.EINVAL }
      guard let bytes = length == 0 ? [] : memory.bytes(at: GuestAddress(pointer), count: Int(length)) else {
        return -Errno.EFAULT
      }
      if call.number == 49, let path = socketPath(bytes) { return bind(arguments.a, path, root) }
      return sendAddress(call.number, arguments, bytes, root)
    case 43, 51, 52, 288: return addressResult(call, arguments, arguments.b, arguments.c, root)
    case 45 where arguments.e != 0: return addressResult(call, arguments, arguments.e, arguments.f, root)
    default: return nil
    }
  }

  /// connect, bind, sendto with a copy of the address: the guest's may be another one by the time the host looks.
  private func sendAddress(
    _ number: Int, _ arguments: Arguments, _ given: [UInt8], _ root: GuestRoot
  ) -> Int64 {
    if number == 49 {
      return given.withUnsafeBytes {
        host.call(49, arguments.a, address(of: $0.baseAddress), UInt64($0.count))
      }
    }
    return withHostAddress(given, root) { bytes in
      bytes.withUnsafeBytes {
        let place = address(of: $0.baseAddress)
        let size = UInt64($0.count)
        return number == 42
          ? host.callWaiting(42, arguments.a, place, size)
          : host.callWaiting(
            44, arguments.a, memory.hostArgument(arguments.b), arguments.c, arguments.d, place, size)
      }
    }
  }

  private func bind(_ socket: UInt64, _ path: [UInt8], _ root: GuestRoot) -> Int64 {
    let walk = PathWalk(self, root)
    defer { walk.finish() }
    let inUse: Int64 = -98
    do throws(MemoryError) {
      let place = try walk.walk(-100, path, [.entry])
      guard let parent = place.parent, place.mount == nil else { return inUse }
      if isReadOnly(parent) { return exists(place) ? inUse : -Errno.EROFS }
      let short = parent.descriptor == -100 ? "/proc/self/cwd" : "/proc/self/fd/\(parent.descriptor)"
      let isShared =
        (Array(short.utf8) + [0]).withUnsafeBytes { fileStatus(-100, address(of: $0.baseAddress), 0) }?
        .identity == parent.status.identity
      let base = Array(
        (isShared && parent.descriptor >= 0 ? short : LinuxProcess.link(of: parent.descriptor)).utf8)
      var name = base + SocketNames.marks(root.names.add(path)) + [47] + place.name
      if name.count >= LinuxProcess.longest { name = base + [47] + place.name }
      if name.count >= LinuxProcess.longest, parent.descriptor == -100 { name = place.name }
      if name.count >= LinuxProcess.longest { return -Errno.ENAMETOOLONG }
      return LinuxProcess.socketAddress(name).withUnsafeBytes {
        host.call(49, socket, address(of: $0.baseAddress), UInt64($0.count))
      }
    } catch {
      return -Int64(error.number)
    }
  }

  /// accept, accept4, getsockname, getpeername, recvfrom: the address comes to a buffer of ours and goes on in the guest's words.
  private func addressResult(
    _ call: SystemCall, _ arguments: Arguments, _ pointer: UInt64, _ length: UInt64, _ root: GuestRoot
  ) -> Int64? {
    if descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    guard pointer != 0, let given = memory.load(Int32.self, at: length), given >= 0 else { return nil }
    if call.number == 45 { memory.prepareHostWrite(arguments.b, size: arguments.c) }
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 18) { words -> Int64 in
      words.initialize(repeating: 0)
      words[0] = 128
      let size = address(of: words.baseAddress)
      let place = size &+ 8
      let result: Int64
      if call.number == 45 {
        result = host.callWaiting(
          45, arguments.a, memory.hostArgument(arguments.b), arguments.c, arguments.d, place, size)
      } else if call.number == 43 || call.number == 288 {
        result = host.callWaiting(Int64(call.number), arguments.a, place, size, arguments.d)
      } else {
        result = host.call(Int64(call.number), arguments.a, place, size)
      }
      if result < 0 { return result }
      let used = min(Int(words[0] & 0xffff_ffff), 128)
      let bytes = Array(UnsafeRawBufferPointer(UnsafeMutableRawBufferPointer(words))[8..<8 + used])
      let shown = guestAddress(bytes, root)
      let copied = Array(shown.prefix(Int(given)))
      guard memory.copyOut(copied, to: GuestAddress(pointer)),
        memory.store(UInt32(truncatingIfNeeded: shown.count), at: length)
      else { return -Errno.EFAULT }
      return result
    }
  }

  /// An address of the host's in the guest's words.
  func guestAddress(_ address: [UInt8], _ root: GuestRoot) -> [UInt8] {
    guard let path = socketPath(address) else { return address }
    let name = root.names.guestName(path)
    return name == path ? address : LinuxProcess.socketAddress(name)
  }
}
