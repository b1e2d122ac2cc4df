// Host I/O (gdb manual, appendix E.7): the debugger reads the program and its libraries through the server, so that it needs none of
// them itself. Paths mean what they mean to the guest; the debugger acts with the rights of whoever started Vitrine. In a root of the
// guest's own it can read only.

import CHost

/// The files that one debugger has open.
struct RemoteFiles {
  /// By the debugger's numbers; out of the guest's sight.
  private var open: [UInt64: Int32] = [:]
  private var next: UInt64 = 1
  private static let mostOpen = 64
  private static let mostBytes = RemoteServer.packetSize / 2

  /// The reply to `vFile:` and `text`.
  mutating func reply(_ text: [UInt8], _ target: (any RemoteTarget)?) -> [UInt8] {
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else { return [] }
    let operation = String(decoding: text[..<colon], as: UTF8.self)
    let rest = text[(colon + 1)...]
    let words = rest.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    switch operation {
    // There is one file system.
    case "setfs": return RemoteFiles.result(0)
    case "open": return openFile(words, target)
    case "close": return closeFile(words, target)
    case "pread": return read(words)
    case "pwrite": return write(rest)
    case "fstat": return status(words)
    case "unlink", "readlink":
      if target?.hasOwnFiles ?? true { return RemoteFiles.result(-1) }
      return operation == "unlink" ? unlink(words) : readLink(words)
    default: return []
    }
  }

  mutating func closeAll(_ target: (any RemoteTarget)?) {
    for descriptor in open.values { target?.closeFile(descriptor) }
    open = [:]
  }

  private static func result(_ value: Int64, _ attachment: [UInt8]? = nil) -> [UInt8] {
    if value < 0 { return Array("F-1,\(String(errorNumber(-value), radix: 16))".utf8) }
    let text = Array("F\(String(value, radix: 16))".utf8)
    return attachment.map { text + [UInt8(ascii: ";")] + $0 } ?? text
  }

  /// The protocol's error numbers are Linux's, as far as it has them.
  private static func errorNumber(_ number: Int64) -> Int64 {
    switch number {
    case 1, 2, 4, 9, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 27, 28, 29, 30: number
    case 36: 91
    default: 9999
    }
  }

  private static let invalid: Int64 = -22

  private static func path(_ word: ArraySlice<UInt8>?) -> [UInt8]? {
    guard let word, let path = Hex.decoded(word), !path.isEmpty, !path.contains(0) else { return nil }
    return path + [0]
  }

  private mutating func openFile(_ words: [ArraySlice<UInt8>], _ target: (any RemoteTarget)?) -> [UInt8] {
    guard words.count == 3, let path = RemoteFiles.path(words.first), let flags = Hex.number(words[1]),
      let mode = Hex.number(words[2]), open.count < RemoteFiles.mostOpen
    else { return RemoteFiles.result(RemoteFiles.invalid) }
    // The protocol's flags: O_RDONLY 0, O_WRONLY 1, O_RDWR 2, O_APPEND 8, O_CREAT 200, O_TRUNC 400, O_EXCL 800.
    var own = flags & 3 | 0x80000
    if flags & 8 != 0 { own |= 0o2000 }
    if flags & 0x200 != 0 { own |= 0o100 }
    if flags & 0x400 != 0 { own |= 0o1000 }
    if flags & 0x800 != 0 { own |= 0o200 }
    guard let target else { return RemoteFiles.result(RemoteFiles.invalid) }
    let descriptor = target.openFile(Array(path.dropLast()), flags: own, mode: mode & 0o7777)
    if descriptor < 0 { return RemoteFiles.result(descriptor) }
    open[next] = Int32(truncatingIfNeeded: descriptor)
    next += 1
    return RemoteFiles.result(Int64(next - 1))
  }

  private func descriptor(_ word: ArraySlice<UInt8>?) -> Int64? {
    word.flatMap { Hex.number($0) }.flatMap { open[$0] }.map { Int64($0) }
  }

  private mutating func closeFile(_ words: [ArraySlice<UInt8>], _ target: (any RemoteTarget)?) -> [UInt8] {
    guard let number = words.first.flatMap({ Hex.number($0) }),
      let descriptor = open.removeValue(forKey: number)
    else { return RemoteFiles.result(-9) }
    target?.closeFile(descriptor)
    return RemoteFiles.result(0)
  }

  private func read(_ words: [ArraySlice<UInt8>]) -> [UInt8] {
    guard words.count == 3, let descriptor = descriptor(words.first) else { return RemoteFiles.result(-9) }
    guard let count = Hex.number(words[1]), let offset = Hex.number(words[2]), offset < 1 << 62 else {
      return RemoteFiles.result(RemoteFiles.invalid)
    }
    var buffer = [UInt8](repeating: 0, count: Int(min(count, UInt64(RemoteFiles.mostBytes))))
    let got = buffer.withUnsafeMutableBytes {
      Connection.call(
        17, descriptor, Connection.pointer(UnsafeRawBufferPointer($0)), Int64($0.count), Int64(offset))
    }
    return RemoteFiles.result(got, Array(buffer.prefix(max(0, Int(got)))))
  }

  private func write(_ text: ArraySlice<UInt8>) -> [UInt8] {
    let words = text.split(separator: UInt8(ascii: ","), maxSplits: 2, omittingEmptySubsequences: false)
    guard words.count == 3, let descriptor = descriptor(words.first) else { return RemoteFiles.result(-9) }
    guard let offset = Hex.number(words[1]), offset < 1 << 62 else {
      return RemoteFiles.result(RemoteFiles.invalid)
    }
    let written = Array(words[2]).withUnsafeBytes {
      Connection.call(18, descriptor, Connection.pointer($0), Int64($0.count), Int64(offset))
    }
    return RemoteFiles.result(written)
  }

  /// The protocol's `struct stat`: 64 bytes, most significant first.
  private func status(_ words: [ArraySlice<UInt8>]) -> [UInt8] {
    guard let descriptor = descriptor(words.first) else { return RemoteFiles.result(-9) }
    var own = [UInt64](repeating: 0, count: 18)
    let failure = own.withUnsafeMutableBytes {
      Connection.call(5, descriptor, Connection.pointer(UnsafeRawBufferPointer($0)))
    }
    if failure < 0 { return RemoteFiles.result(failure) }
    var result: [UInt8] = []
    func put(_ value: UInt64, _ size: Int) {
      for byte in (0..<size).reversed() {
        result.append(UInt8(truncatingIfNeeded: value >> UInt64(byte * 8)))
      }
    }
    // st_dev, st_ino, st_mode, st_nlink, st_uid, st_gid, st_rdev, st_size, st_blksize, st_blocks, three times.
    put(own[0], 4)
    put(own[1], 4)
    put(own[3] & 0xffff_ffff, 4)
    put(own[2], 4)
    put(own[3] >> 32, 4)
    put(own[4] & 0xffff_ffff, 4)
    put(own[5], 4)
    for index in 6...8 { put(own[index], 8) }
    for index in [9, 11, 13] { put(own[index], 4) }
    return RemoteFiles.result(Int64(result.count), result)
  }

  private func unlink(_ words: [ArraySlice<UInt8>]) -> [UInt8] {
    guard let path = RemoteFiles.path(words.first) else { return RemoteFiles.result(RemoteFiles.invalid) }
    return RemoteFiles.result(
      path.withUnsafeBytes { Connection.call(Connection.Call.unlink, Connection.pointer($0)) })
  }

  private func readLink(_ words: [ArraySlice<UInt8>]) -> [UInt8] {
    guard let path = RemoteFiles.path(words.first) else { return RemoteFiles.result(RemoteFiles.invalid) }
    var target = [UInt8](repeating: 0, count: 4096)
    let count = path.withUnsafeBytes { path in
      target.withUnsafeMutableBytes {
        Connection.call(
          89, Connection.pointer(path), Connection.pointer(UnsafeRawBufferPointer($0)), Int64($0.count))
      }
    }
    return RemoteFiles.result(count, Array(target.prefix(max(0, Int(count)))))
  }
}
