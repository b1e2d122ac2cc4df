// Where a remote debugger is: a TCP port, a socket in the file system, or the standard streams. One listener, one connection at a
// time. Everything goes by plain system calls; descriptors are moved out of the guest's sight by the caller.

import CHost

/// Where to wait for a debugger.
public enum DebuggerAddress: Equatable, Sendable {
  case standardStreams
  /// IPv4 in network order, or IPv6's sixteen bytes.
  case tcp(host: [UInt8], port: UInt16)
  case unix([UInt8])
  /// A connection that a former run of Vitrine has left open, and what was agreed on there (`Inheritance`).
  case inherited(Inheritance)

  /// From `HOST:PORT`, `:PORT`, `unix:PATH`, `STDIO`. Names other than `localhost` and numbers are not looked up.
  public init?(_ text: [UInt8]) {
    if text.elementsEqual("STDIO".utf8) || text.elementsEqual("stdio".utf8) || text == [45] {
      self = .standardStreams
      return
    }
    if text.starts(with: "inherited:".utf8) {
      guard let inheritance = Inheritance(text.dropFirst(10)) else { return nil }
      self = .inherited(inheritance)
      return
    }
    if text.starts(with: "unix:".utf8) {
      let path = Array(text.dropFirst(5))
      guard !path.isEmpty, path.count < 108, !path.contains(0) else { return nil }
      self = .unix(path)
      return
    }
    guard let colon = text.lastIndex(of: 58),
      let port = UInt16(String(decoding: text[(colon + 1)...], as: UTF8.self)),
      let host = DebuggerAddress.host(String(decoding: text[..<colon], as: UTF8.self))
    else { return nil }
    self = .tcp(host: host, port: port)
  }

  private static func host(_ text: String) -> [UInt8]? {
    switch text {
    case "", "localhost", "127.0.0.1": return [127, 0, 0, 1]
    case "*": return [0, 0, 0, 0]
    case "[::1]": return [UInt8](repeating: 0, count: 15) + [1]
    case "[::]": return [UInt8](repeating: 0, count: 16)
    default:
      let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
      return parts.count == 4 && !parts.contains(nil) ? parts.compactMap { $0 } : nil
    }
  }

  /// `struct sockaddr` of the address.
  var socketAddress: [UInt8] {
    switch self {
    case .standardStreams, .inherited: return []
    case .unix(let path): return [1, 0] + path + [0]
    case .tcp(let host, let port):
      let place = [UInt8(truncatingIfNeeded: port >> 8), UInt8(truncatingIfNeeded: port)]
      if host.count == 4 { return [2, 0] + place + host + [UInt8](repeating: 0, count: 8) }
      return [10, 0] + place + [0, 0, 0, 0] + host + [0, 0, 0, 0]
    }
  }
}

/// Descriptors of the debugger's side.
struct Connection {
  /// Numbers of host calls.
  enum Call {
    static let read: Int64 = 0
    static let write: Int64 = 1
    static let open: Int64 = 2
    static let close: Int64 = 3
    static let poll: Int64 = 7
    static let duplicate: Int64 = 33
    static let socket: Int64 = 41
    static let send: Int64 = 44
    static let bind: Int64 = 49
    static let listen: Int64 = 50
    static let socketName: Int64 = 51
    static let setOption: Int64 = 54
    static let unlink: Int64 = 87
    static let accept: Int64 = 288
    static let event: Int64 = 290
  }

  static func call(
    _ number: Int64, _ a: Int64 = 0, _ b: Int64 = 0, _ c: Int64 = 0, _ d: Int64 = 0, _ e: Int64 = 0
  ) -> Int64 {
    while true {
      let result = vt_syscall6(number, a, b, c, d, e, 0)
      if result != -4 { return result }
    }
  }

  static func pointer(_ buffer: UnsafeRawBufferPointer) -> Int64 {
    Int64(Int(bitPattern: buffer.baseAddress))
  }

  private static let closeOnExec: Int64 = 0x80000

  /// A socket that listens, or -errno.
  static func listen(_ address: DebuggerAddress) -> Int64 {
    let bytes = address.socketAddress
    guard let family = bytes.first else { return -22 }
    let descriptor = call(Call.socket, Int64(family), 1 | closeOnExec)
    if descriptor < 0 { return descriptor }
    if case .unix(let path) = address {
      _ = (path + [0]).withUnsafeBytes { call(Call.unlink, pointer($0)) }
    } else {
      setOption(descriptor, level: 1, name: 2)  // SOL_SOCKET, SO_REUSEADDR
    }
    var result = bytes.withUnsafeBytes { call(Call.bind, descriptor, pointer($0), Int64($0.count)) }
    if result == 0 { result = call(Call.listen, descriptor, 1) }
    if result < 0 { _ = call(Call.close, descriptor) }
    return result < 0 ? result : descriptor
  }

  private static func setOption(_ descriptor: Int64, level: Int64, name: Int64) {
    let one: [UInt32] = [1]
    _ = one.withUnsafeBytes { call(Call.setOption, descriptor, level, name, pointer($0), 4) }
  }

  /// The port that a TCP listener got.
  static func port(_ descriptor: Int64) -> UInt16 {
    var name = [UInt8](repeating: 0, count: 28)
    var size: [UInt32] = [28]
    _ = name.withUnsafeMutableBytes { name in
      size.withUnsafeMutableBytes { size in
        call(
          Call.socketName, descriptor, pointer(UnsafeRawBufferPointer(name)),
          pointer(UnsafeRawBufferPointer(size)))
      }
    }
    return UInt16(name[2]) << 8 | UInt16(name[3])
  }

  /// A new connection, or -errno. Small packets are not held back.
  static func accept(_ listener: Int64, _ address: DebuggerAddress) -> Int64 {
    let result = call(Call.accept, listener, 0, 0, closeOnExec)
    if case .tcp = address, result >= 0 { setOption(result, level: 6, name: 1) }  // TCP_NODELAY
    return result
  }

  /// Sends everything; false when nobody reads any more.
  static func send(_ bytes: [UInt8], to descriptor: Int64) -> Bool {
    var done = 0
    while done < bytes.count {
      let result = bytes.withUnsafeBytes { all -> Int64 in
        let rest = UnsafeRawBufferPointer(rebasing: all[done...])
        // MSG_NOSIGNAL; what is no socket says ENOTSOCK.
        let sent = call(Call.send, descriptor, pointer(rest), Int64(rest.count), 0x4000)
        return sent == -88 ? call(Call.write, descriptor, pointer(rest), Int64(rest.count)) : sent
      }
      if result <= 0 { return false }
      done += Int(result)
    }
    return true
  }

  /// Something has arrived, or the end.
  static func isReadable(_ descriptor: Int64) -> Bool {
    let readable: UInt64 = 1
    var entry: [UInt64] = [UInt64(UInt32(truncatingIfNeeded: descriptor)) | readable << 32]
    return entry.withUnsafeMutableBytes {
      call(Call.poll, pointer(UnsafeRawBufferPointer($0)), 1, 0) > 0
    }
  }

  /// What has arrived; empty at the end.
  static func receive(_ descriptor: Int64) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 16_384)
    let count = buffer.withUnsafeMutableBytes {
      call(Call.read, descriptor, pointer(UnsafeRawBufferPointer($0)), Int64($0.count))
    }
    return Array(buffer.prefix(max(0, Int(count))))
  }
}
