// execve(2): reads the request, resolves scripts, and has the program loaded in place. Up to the moment when the loader
// has accepted the file nothing of the old program changes, so every error can still be returned.
import CHost
import GuestMemory
import LinuxABI

/// A program to be started instead of the present one.
public struct ExecuteRequest {
  /// Host descriptor of the program file, opened for reading; the loader does not close it.
  public var descriptor: Int32
  /// Absolute path of the program file.
  public var path: [UInt8]
  public var arguments: [[UInt8]]
  public var environment: [[UInt8]]
}

/// Replaces the program: validates the file, and only then resets `memory`, maps the new program and sets all registers
/// of the CPU. Returns 0, or -errno with everything as it was.
public typealias ProgramReplacement = (ExecuteRequest, UnsafeMutablePointer<vt_cpu_state>) -> Int64

extension LinuxProcess {
  static func execute(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.execute(
      directory: -100, path: arguments.a, arguments: arguments.b, environment: arguments.c, flags: 0)
  }

  static func executeAt(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.execute(
      directory: int(arguments.a), path: arguments.b, arguments: arguments.c, environment: arguments.d,
      flags: arguments.e)
  }

  private func execute(
    directory: Int32, path: UInt64, arguments: UInt64, environment: UInt64, flags: UInt64
  ) -> Int64 {
    do {
      var name = try memory.cString(at: GuestAddress(path), limit: 4096)
      if selfReference(path) == .executable { name = options.executable }
      let list = try strings(at: arguments)
      let environmentList = try strings(at: environment)
      return try execute(name, directory, flags, list, environmentList, depth: 0)
    } catch {
      return -Int64(error.number)
    }
  }

  /// A zero-terminated array of strings. Throws EFAULT, E2BIG.
  private func strings(at address: UInt64) throws(MemoryError) -> [[UInt8]] {
    var result: [[UInt8]] = []
    if address == 0 { return result }
    var total = 0
    while true {
      guard let pointer = memory.load(UInt64.self, at: address &+ UInt64(result.count) &* 8) else {
        throw .badAddress
      }
      if pointer == 0 { return result }
      let text = try memory.cString(at: GuestAddress(pointer), limit: 131_072)
      total += text.count + 9
      if total > 2 << 20 { throw MemoryError(7) }
      result.append(text)
    }
  }

  private func execute(
    _ name: [UInt8], _ directory: Int32, _ flags: UInt64, _ arguments: [[UInt8]], _ environment: [[UInt8]],
    depth: Int
  ) throws(MemoryError) -> Int64 {
    if depth > 5 { throw MemoryError(40) }
    guard let loader = programLoader, let cpu else { return -Errno.ENOSYS }
    let descriptor = try openProgram(name, directory, flags)
    defer { _ = host.call(3, UInt64(UInt32(bitPattern: descriptor))) }
    var absolute = identity(of: descriptor)?.path ?? name
    if absolute.isEmpty { absolute = name }
    if let script = interpreter(of: descriptor) {
      var list = [script.interpreter]
      if let argument = script.argument { list.append(argument) }
      list.append(name)
      list.append(contentsOf: arguments.dropFirst())
      return try execute(script.interpreter, -100, 0, list, environment, depth: depth + 1)
    }
    let list = arguments.isEmpty ? [[]] : arguments
    let request = ExecuteRequest(
      descriptor: descriptor, path: absolute, arguments: list, environment: environment)
    let result = loader(request, cpu)
    if result < 0 { return result }
    options.executable = absolute
    options.arguments = list
    options.environment = environment
    afterExecute(absolute)
    return 0
  }

  /// Opens a program for reading and checks that it may be executed.
  private func openProgram(_ name: [UInt8], _ directory: Int32, _ flags: UInt64) throws(MemoryError) -> Int32
  {
    let emptyPath: UInt64 = 0x1000
    let path = name + [0]
    let base = UInt64(bitPattern: Int64(directory))
    let result = path.withUnsafeBytes { bytes -> Int64 in
      let text = address(of: bytes.baseAddress)
      let access = host.call(439, base, text, 1, flags & emptyPath | 0x200)
      if access < 0 { return access }
      if name.isEmpty {
        // The descriptor itself; a new one, so that it can be closed.
        return host.call(72, base, 1030, 0)
      }
      return host.call(257, base, text, 0x80000)
    }
    if result < 0 { throw MemoryError(Int32(truncatingIfNeeded: -result)) }
    let descriptor = Int32(truncatingIfNeeded: result)
    let isRegular = withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 36) { status -> Bool in
      host.call(5, UInt64(UInt32(bitPattern: descriptor)), address(of: status.baseAddress)) == 0
        && status[6] & 0xf000 == 0x8000
    }
    if !isRegular {
      _ = host.call(3, UInt64(UInt32(bitPattern: descriptor)))
      throw .accessDenied
    }
    return descriptor
  }

  /// The interpreter that a "#!" line names, with its one optional argument (execve(2)).
  private func interpreter(of descriptor: Int32) -> (interpreter: [UInt8], argument: [UInt8]?)? {
    var head = [UInt8](repeating: 0, count: 256)
    let count = head.withUnsafeMutableBytes {
      host.call(17, UInt64(UInt32(bitPattern: descriptor)), address(of: $0.baseAddress), 256, 0)
    }
    guard count > 2, head[0] == 0x23, head[1] == 0x21 else { return nil }
    let line = head[2..<Int(count)].prefix { $0 != 10 && $0 != 0 }
    let isBlank: (UInt8) -> Bool = { $0 == 32 || $0 == 9 }
    let trimmed = line.drop(while: isBlank)
    let name = trimmed.prefix { !isBlank($0) }
    if name.isEmpty { return nil }
    var argument = Array(trimmed.dropFirst(name.count).drop(while: isBlank))
    while let last = argument.last, isBlank(last) { argument.removeLast() }
    return (Array(name), argument.isEmpty ? nil : argument)
  }

  /// What execve(2) changes besides memory and registers.
  private func afterExecute(_ path: [UInt8]) {
    resetHandlers()
    clearChildThread = 0
    robustList = 0
    registersReplaced = true
    closeOnExecute()
    let name = Array(path.suffix(while: { $0 != 47 }).prefix(15)) + [0]
    name.withUnsafeBytes { _ = host.call(157, 15, address(of: $0.baseAddress)) }
  }

  /// Closes the guest's descriptors that have FD_CLOEXEC; Vitrine's own stay.
  private func closeOnExecute() {
    for descriptor in openDescriptors() where !descriptors.contains(descriptor) {
      let number = UInt64(UInt32(bitPattern: descriptor))
      let flags = host.call(72, number, 1)
      if flags > 0, flags & 1 != 0 { _ = host.call(3, number) }
    }
  }

  /// The process's open descriptors, from /proc/self/fd; the first 1024 numbers when that cannot be read.
  private func openDescriptors() -> [Int32] {
    let path = Array("/proc/self/fd".utf8) + [0]
    let directory = path.withUnsafeBytes { host.call(2, address(of: $0.baseAddress), 0x90000) }
    if directory < 0 { return Array(0..<1024) }
    defer { _ = host.call(3, UInt64(bitPattern: directory)) }
    var result: [Int32] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = buffer.withUnsafeMutableBytes {
        host.call(217, UInt64(bitPattern: directory), address(of: $0.baseAddress), 4096)
      }
      if count <= 0 { return result }
      var offset = 0
      while offset + 19 < Int(count) {
        let name = buffer[(offset + 19)...].prefix { $0 != 0 }
        if let number = Int32(String(decoding: name, as: UTF8.self)), Int64(number) != directory {
          result.append(number)
        }
        offset += Int(buffer[offset + 16]) | Int(buffer[offset + 17]) << 8
      }
    }
  }
}

extension Array {
  /// The longest tail whose elements all satisfy `predicate`.
  fileprivate func suffix(while predicate: (Element) -> Bool) -> ArraySlice<Element> {
    var start = endIndex
    while start > startIndex, predicate(self[start - 1]) { start -= 1 }
    return self[start...]
  }
}
