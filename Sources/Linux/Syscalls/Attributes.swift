// Attributes of files beside their contents: extended ones (xattr(7)) and the flags of file systems.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineAttributes() {
    define(188, "setxattr", "path str buf<3 ulong int")
    define(189, "lsetxattr", "path str buf<3 ulong int")
    define(190, "fsetxattr", "fd str buf<3 ulong int")
    define(191, "getxattr", "path str buf>3 ulong")
    define(192, "lgetxattr", "path str buf>3 ulong")
    define(193, "fgetxattr", "fd str buf>3 ulong")
    define(194, "listxattr", "path buf>2 ulong")
    define(195, "llistxattr", "path buf>2 ulong")
    define(196, "flistxattr", "fd buf>2 ulong")
    define(197, "removexattr", "path str")
    define(198, "lremovexattr", "path str")
    define(199, "fremovexattr", "fd str")
    define(463, "setxattrat", "dirfd path %at str *xattr_args<5 ulong", [], LinuxProcess.attributeAt)
    define(464, "getxattrat", "dirfd path %at str *xattr_args<5 ulong", [], LinuxProcess.attributeAt)
    define(465, "listxattrat", "dirfd path %at buf>4 ulong")
    define(466, "removexattrat", "dirfd path %at str")
    define(468, "file_getattr", "dirfd path *file_attr>3 ulong %at")
    define(469, "file_setattr", "dirfd path *file_attr<3 ulong %at")
  }
}

extension LinuxProcess {
  /// setxattrat(2), getxattrat(2).
  static func attributeAt(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if process.descriptors.contains(int(arguments.a)) { return -Errno.EBADF }
    var translated = arguments
    translated.b = process.hostPath(arguments.b, buffer: 0)
    translated.d = process.memory.hostArgument(arguments.d)
    return process.attributeCall(process.callNumber, translated)
  }

  /// Makes the call with a struct of the host's own: `struct xattr_args` has the address of the value in its first word. All else in
  /// `arguments` is the host's already; a struct that the host would refuse is left to it.
  func attributeCall(_ number: Int64, _ arguments: Arguments) -> Int64 {
    // value, size and flags; later versions are longer, and known by their size.
    let size = arguments.f
    guard size >= 16, size <= Page.size,
      var bytes = memory.bytes(at: GuestAddress(arguments.e), count: Int(truncatingIfNeeded: size)),
      let value = bytes.littleEndian(UInt64.self, at: 0), let room = bytes.littleEndian(UInt32.self, at: 8)
    else {
      let theirs = memory.hostArgument(arguments.e)
      return host.call(number, arguments.a, arguments.b, arguments.c, arguments.d, theirs, size)
    }
    if number == 464 { memory.prepareHostWrite(value, size: UInt64(room)) }
    return bytes.withUnsafeMutableBytes { buffer in
      buffer.storeBytes(of: memory.hostArgument(value), as: UInt64.self)
      return host.call(
        number, arguments.a, arguments.b, arguments.c, arguments.d, address(of: buffer.baseAddress), size)
    }
  }
}
