// The host calls that the debugger makes for itself, by number, because the C library's wrappers of some are not for Swift and its
// buffers and signal handling are not wanted beside a guest. No state.

import CHost

enum System {
  static func call(
    _ number: Int64, _ a: Int64 = 0, _ b: Int64 = 0, _ c: Int64 = 0, _ d: Int64 = 0, _ e: Int64 = 0
  ) -> Int64 { vt_syscall6(number, a, b, c, d, e, 0) }

  static func pointer(_ buffer: UnsafeRawBufferPointer) -> Int64 {
    Int64(Int(bitPattern: buffer.baseAddress))
  }

  static func close(_ descriptor: Int32) { _ = call(3, Int64(descriptor)) }

  /// What there is to read, at most 64 KiB; nil at the end or at an error other than EAGAIN and EINTR.
  static func read(_ descriptor: Int32) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = buffer.withUnsafeMutableBytes {
      call(0, Int64(descriptor), pointer(UnsafeRawBufferPointer($0)), Int64($0.count))
    }
    if count == -11 || count == -4 { return [] }
    return count > 0 ? Array(buffer.prefix(Int(count))) : nil
  }

  /// Writes as much as goes without waiting for a descriptor that does not block, else everything; the bytes written.
  @discardableResult
  static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int {
    var done = 0
    while done < bytes.count {
      let result = bytes.withUnsafeBytes {
        call(
          1, Int64(descriptor), pointer(UnsafeRawBufferPointer(rebasing: $0[done...])), Int64($0.count - done)
        )
      }
      if result == -4 { continue }
      if result <= 0 { break }
      done += Int(result)
    }
    return done
  }

  static func open(_ path: String, flags: Int64, mode: Int64 = 0o666) -> Int32 {
    let result = (Array(path.utf8) + [0]).withUnsafeBytes { call(2, pointer($0), flags | 0x80000, mode) }
    return Int32(truncatingIfNeeded: max(-1, result))
  }

  /// A whole file of at most 16 MiB; nil when it cannot be read.
  static func contents(_ path: String) -> [UInt8]? {
    let descriptor = open(path, flags: 0)
    if descriptor < 0 { return nil }
    defer { close(descriptor) }
    var result: [UInt8] = []
    while result.count < 1 << 24, let part = read(descriptor), !part.isEmpty { result += part }
    return result
  }

  /// Creates or replaces a file.
  static func write(_ text: String, toFile path: String) -> Bool {
    let descriptor = open(path, flags: 0o1101)
    if descriptor < 0 { return false }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    return write(bytes, to: descriptor) == bytes.count
  }

  /// Waits until one of the descriptors can be read (-1: skipped); which of them can, or are at their end.
  static func wait(_ descriptors: [Int32], milliseconds: Int64) -> [Bool] {
    var polled = descriptors.map { UInt64(UInt32(bitPattern: $0)) | 1 << 32 }
    _ = polled.withUnsafeMutableBytes {
      call(7, pointer(UnsafeRawBufferPointer($0)), Int64(descriptors.count), milliseconds)
    }
    return zip(polled, descriptors).map { $0 >> 48 != 0 && $1 >= 0 }
  }

  /// CLOCK_MONOTONIC in milliseconds.
  static var now: Int64 {
    var time: [Int64] = [0, 0]
    _ = time.withUnsafeMutableBytes { call(228, 1, pointer(UnsafeRawBufferPointer($0))) }
    return time[0] * 1000 + time[1] / 1_000_000
  }

  static func sleep(microseconds: Int64) {
    let time: [Int64] = [0, microseconds * 1000]
    _ = time.withUnsafeBytes { call(35, pointer($0), 0) }
  }

  /// ioctl(2) with a block of bytes.
  @discardableResult
  static func control(_ descriptor: Int32, _ request: Int64, _ block: inout [UInt8]) -> Int64 {
    block.withUnsafeMutableBytes { call(16, Int64(descriptor), request, pointer(UnsafeRawBufferPointer($0))) }
  }

  static func exit(_ code: Int32) -> Never {
    while true { _ = call(231, Int64(code)) }
  }

  // MARK: Terminals

  private static let getSettings: Int64 = 0x5401
  private static let setSettings: Int64 = 0x5402

  /// struct termios of the kernel; nil when `descriptor` is no terminal.
  static func terminalSettings(_ descriptor: Int32) -> [UInt8]? {
    var block = [UInt8](repeating: 0, count: 64)
    return control(descriptor, getSettings, &block) == 0 ? block : nil
  }

  static func setTerminal(_ descriptor: Int32, _ settings: [UInt8]) {
    var block = settings
    control(descriptor, setSettings, &block)
  }

  /// cfmakeraw(3).
  static func raw(_ settings: [UInt8]) -> [UInt8] {
    var words = settings
    func clear(_ offset: Int, _ bits: UInt32) {
      for byte in 0..<4 { words[offset + byte] &= ~UInt8(truncatingIfNeeded: bits >> UInt32(byte * 8)) }
    }
    clear(0, 0o2753)  // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
    clear(4, 1)  // OPOST
    clear(8, 0o460)  // CSIZE PARENB
    words[8] |= 0o60  // CS8
    clear(12, 0o100113)  // ECHO ECHONL ICANON ISIG IEXTEN
    (words[17 + 6], words[17 + 5]) = (1, 0)  // VMIN, VTIME
    return words
  }

  /// Columns and rows; nil when there is no terminal or it does not know.
  static func terminalSize(_ descriptor: Int32) -> (width: Int, height: Int)? {
    var block = [UInt8](repeating: 0, count: 8)
    guard control(descriptor, 0x5413, &block) == 0 else { return nil }
    let (height, width) = (Int(block[0]) | Int(block[1]) << 8, Int(block[2]) | Int(block[3]) << 8)
    return width > 0 && height > 0 ? (width, height) : nil
  }

  static func setTerminalSize(_ descriptor: Int32, width: Int, height: Int) {
    var block = [UInt8](repeating: 0, count: 8)
    (block[0], block[1]) = (UInt8(truncatingIfNeeded: height), UInt8(truncatingIfNeeded: height >> 8))
    (block[2], block[3]) = (UInt8(truncatingIfNeeded: width), UInt8(truncatingIfNeeded: width >> 8))
    control(descriptor, 0x5414, &block)
  }
}
