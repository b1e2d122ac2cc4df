// The folder of kept translations: a few calls of the host's file system. It is opened anew each time, and has to be the same folder
// still: a guest may have changed its root or its mounts. Nothing here says why it failed; then nothing is kept.
import CHost
import Linux

struct StoreFolder {
  /// Which file, and which version of it.
  struct Identity: Equatable {
    let device: UInt64
    let inode: UInt64
    let seconds: UInt64
    let nanoseconds: UInt64

    init(_ status: HostCall.Status) {
      (device, inode) = (status.device, status.inode)
      (seconds, nanoseconds) = status.modified
    }
  }

  static func status(_ descriptor: Int32) -> HostCall.Status? {
    var status = HostCall.Status()
    return HostCall.status(of: descriptor, into: &status) == 0 ? status : nil
  }

  private let path: [UInt8]
  private let device: UInt64
  private let inode: UInt64

  /// The folder is made when its parent exists: a guest whose home has no folder for such things finds none afterwards. Nil unless it
  /// is the user's own and nobody else may write there.
  init?(_ path: [UInt8]) {
    // mkdirat(2)
    _ = StoreFolder.withPath(path) { vt_syscall6(258, StoreFolder.currentDirectory, $0, 0o700, 0, 0, 0) }
    guard let descriptor = StoreFolder.open(path) else { return nil }
    defer { HostCall.close(descriptor) }
    let user = UInt32(truncatingIfNeeded: vt_syscall6(107, 0, 0, 0, 0, 0, 0))
    guard let status = StoreFolder.status(descriptor), status.user == user, status.mode & 0o022 == 0 else {
      return nil
    }
    (self.path, device, inode) = (path, status.device, status.inode)
  }

  /// `1a2b3c….vts`
  static func fileName(_ number: UInt64) -> [UInt8] { Array((String(number, radix: 16) + ".vts").utf8) }

  /// A name that `fileName` or `write` may have given.
  private static func isOurs(_ name: [UInt8]) -> Bool {
    let digits = name.prefix { $0 >= 48 && $0 <= 57 || $0 >= 97 && $0 <= 102 }
    let rest = name.dropFirst(digits.count)
    return !digits.isEmpty && digits.count <= 16
      && (rest.elementsEqual(".vts".utf8) || rest.elementsEqual(".new".utf8))
  }

  private static func open(_ path: [UInt8]) -> Int32? {
    // openat(2): O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
    let result = withPath(path) { vt_syscall6(257, currentDirectory, $0, 0o2600000, 0, 0, 0) }
    return result < 0 ? nil : Int32(truncatingIfNeeded: result)
  }

  /// Calls `body` with a descriptor of the folder; nil when it is another one by now.
  private func withFolder<T>(_ body: (Int32) -> T?) -> T? {
    guard let descriptor = StoreFolder.open(path) else { return nil }
    defer { HostCall.close(descriptor) }
    guard let status = StoreFolder.status(descriptor), status.device == device, status.inode == inode else {
      return nil
    }
    return body(descriptor)
  }

  /// The status of a file in `folder`.
  private static func status(_ name: [UInt8], in folder: Int32) -> HostCall.Status? {
    // O_PATH | O_NOFOLLOW | O_CLOEXEC
    let result = withPath(name) { call(257, folder, $0, 0o12400000) }
    guard result >= 0 else { return nil }
    defer { HostCall.close(Int32(truncatingIfNeeded: result)) }
    return status(Int32(truncatingIfNeeded: result))
  }

  /// Which file has this name now.
  func identity(_ name: [UInt8]) -> Identity? {
    withFolder { StoreFolder.status(name, in: $0).map(Identity.init) }
  }

  /// Maps a file privately for reading.
  func map(_ name: [UInt8], most: Int) -> (start: UnsafeMutableRawPointer, size: Int, identity: Identity)? {
    withFolder { folder in
      // O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
      let result = StoreFolder.withPath(name) { StoreFolder.call(257, folder, $0, 0o2404000) }
      guard result >= 0 else { return nil }
      let descriptor = Int32(truncatingIfNeeded: result)
      defer { HostCall.close(descriptor) }
      guard let status = StoreFolder.status(descriptor), status.isRegular, status.size > 0,
        status.size <= UInt64(most)
      else { return nil }
      // mmap(2): PROT_READ, MAP_PRIVATE; MAP_POPULATE of what will be read for the most part.
      let flags: Int64 = status.size <= 16 << 20 ? 0x8002 : 2
      let start = vt_syscall6(9, 0, Int64(status.size), 1, flags, Int64(descriptor), 0)
      guard start > 0, let pointer = UnsafeMutableRawPointer(bitPattern: Int(start)) else { return nil }
      return (pointer, Int(status.size), Identity(status))
    }
  }

  /// Writes a file beside the one that it then replaces, so that readers find the old or the new one.
  func write(_ bytes: [UInt8], to name: [UInt8], _ host: Host) -> Bool {
    withFolder { folder in
      let other = Array((String(vt_host_random(), radix: 16) + ".new").utf8)
      // O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
      let result = StoreFolder.withPath(other) { StoreFolder.call(257, folder, $0, 0o2400301, 0o600) }
      guard result >= 0 else { return false }
      let descriptor = Int32(truncatingIfNeeded: result)
      // fchmod(2): the umask is the guest's.
      _ = StoreFolder.call(91, descriptor, 0o600)
      let isComplete = host.writeAll(bytes, to: descriptor)
      HostCall.close(descriptor)
      // renameat(2), unlinkat(2)
      let renamed = StoreFolder.withPath(other) { old in
        StoreFolder.withPath(name) { isComplete ? StoreFolder.call(264, folder, old, Int64(folder), $0) : -1 }
      }
      if renamed != 0 { _ = StoreFolder.withPath(other) { StoreFolder.call(263, folder, $0) } }
      return renamed == 0
    } ?? false
  }

  /// Removes those of the store's files that were written first until all together have at most `most` bytes, and what killed
  /// processes have left half-written.
  func prune(to most: UInt64) {
    _ = withFolder { folder -> Void? in
      var files: [(name: [UInt8], status: HostCall.Status)] = []
      for name in StoreFolder.names(in: folder) where StoreFolder.isOurs(name) {
        if let status = StoreFolder.status(name, in: folder), status.isRegular {
          files.append((name, status))
        }
      }
      files.sort { $0.status.modified < $1.status.modified }
      var total = files.reduce(0) { $0 &+ $1.status.size }
      let newest = files.last?.status.modified.0 ?? 0
      for file in files {
        let isLeft = file.name.last == UInt8(ascii: "w") && file.status.modified.0 + 3600 < newest
        guard total > most || isLeft else { continue }
        if StoreFolder.withPath(file.name, { StoreFolder.call(263, folder, $0) }) == 0 {
          total &-= file.status.size
        }
      }
    }
  }

  /// getdents64(2), from the beginning.
  private static func names(in folder: Int32) -> [[UInt8]] {
    var names: [[UInt8]] = []
    _ = call(8, folder, 0, 0)  // lseek(2)
    withUnsafeTemporaryAllocation(byteCount: 1 << 15, alignment: 8) { buffer in
      while true {
        let count = Int(call(217, folder, Int64(Int(bitPattern: buffer.baseAddress)), Int64(buffer.count)))
        if count <= 0 { return }
        var offset = 0
        while offset &+ 19 < count {
          let length = Int(buffer.loadUnaligned(fromByteOffset: offset &+ 16, as: UInt16.self))
          if length < 20 || offset &+ length > count { return }
          names.append(Array(buffer[offset &+ 19..<offset &+ length].prefix { $0 != 0 }))
          offset &+= length
        }
      }
    }
    return names.filter { $0 != [46] && $0 != [46, 46] }
  }

  private static let currentDirectory: Int64 = -100

  private static func call(
    _ number: Int64, _ descriptor: Int32, _ a: Int64 = 0, _ b: Int64 = 0, _ c: Int64 = 0
  ) -> Int64 { vt_syscall6(number, Int64(descriptor), a, b, c, 0, 0) }

  private static func withPath(_ path: [UInt8], _ body: (Int64) -> Int64) -> Int64 {
    (path + [0]).withUnsafeBytes { body(Int64(Int(bitPattern: $0.baseAddress))) }
  }
}
