// Files under /proc that would show Vitrine instead of the guest. They are recognised when they have been opened, by the file
// system and name behind the new descriptor, so that no symbolic link, working directory or bind mount leads past: then
// a text about the guest takes the file's place, or access is refused. Links (/proc/PID/exe) are recognised by their names.
import CHost
import GuestMemory
import LinuxABI

/// What is known of a file of the process file system: the process that it is about, nil for those about the machine, the
/// thread, for those below `task`, and its name.
struct ProcessFile {
  var process: Int64?
  var thread: Int64?
  var name: String

  /// From the path that the host tells: `…/PID/NAME`, `…/PID/task/TID/NAME`, `…/NAME`. Nil for what holds no secrets.
  init?(_ path: [UInt8]) {
    let parts = path.split(separator: 47).map { String(decoding: $0, as: UTF8.self) }
    guard let last = parts.last else { return nil }
    name = last
    guard parts.count >= 2, let number = Int64(parts[parts.count - 2]) else { return }
    process = number
    if parts.count >= 4, parts[parts.count - 3] == "task", let group = Int64(parts[parts.count - 4]) {
      (process, thread) = (group, number)
    }
  }
}

extension LinuxProcess {
  /// Called with the result of every call that opens a file by name: exchanges the file if it is one of those.
  func opened(_ result: Int64, flags: UInt64) -> Int64 {
    let result = unlessBusy(result, flags: flags)
    if result < 0 || flags & PathWalk.pathOnly != 0 || !isProcessFileSystem(result) { return result }
    guard let path = linkTarget(LinuxProcess.link(of: Int32(truncatingIfNeeded: result))),
      let file = ProcessFile(path)
    else {
      return result
    }
    let descriptor = UInt64(result)
    switch file.name {
    // Host addresses, and Vitrine's own memory: out of bounds.
    case "mem", "pagemap", "clear_refs":
      guard file.process.map(isGuest) ?? (file.name == "mem") else { return result }
      _ = host.call(3, descriptor)
      return -Errno.EACCES
    // The host's memory, for a guest that has a root of its own.
    case "kcore" where root != nil:
      _ = host.call(3, descriptor)
      return -Errno.EACCES
    default:
      if let root, let text = mountText(file.name, root) { return exchange(descriptor, for: text, flags) }
      guard let text = guestText(of: file, descriptor) else { return result }
      return exchange(descriptor, for: text, flags)
    }
  }

  /// The text that a file has for the guest; nil: the host's.
  private func guestText(of file: ProcessFile, _ descriptor: UInt64) -> [UInt8]? {
    guard let number = file.process else { return file.name == "cpuinfo" ? processorText(descriptor) : nil }
    if number == ownNumber { return ownText(file, descriptor) }
    if !isGuest(number) { return nil }
    let described = OtherGuest(number, self)
    switch file.name {
    case "maps", "smaps", "numa_maps": return described.mapsText()
    case "stat": return statusLine(contents(descriptor), described.figures)
    case "status": return statusText(contents(descriptor), described.figures)
    case "statm": return sizeText(contents(descriptor), described.figures)
    default: return nil
    }
  }

  private func ownText(_ file: ProcessFile, _ descriptor: UInt64) -> [UInt8]? {
    switch file.name {
    case "maps": return mapsText()
    case "smaps", "numa_maps": return residentText()
    case "cmdline": return toldKernel ? nil : options.arguments.reduce(into: []) { $0 += $1 + [0] }
    case "environ": return toldKernel ? nil : options.environment.reduce(into: []) { $0 += $1 + [0] }
    case "auxv": return toldKernel ? nil : auxiliaryBytes()
    case "personality": return Array((LinuxProcess.hex(personality, width: 8) + "\n").utf8)
    case "stat": return statusLine(contents(descriptor), ownFigures())
    case "status":
      var figures = ownFigures()
      let number = file.thread.map { Int32(truncatingIfNeeded: $0) }
      figures.seccomp = (number.flatMap { allThreads[$0] } ?? leader).seccomp
      return statusText(contents(descriptor), figures)
    case "statm": return sizeText(contents(descriptor), ownFigures())
    default: return nil
    }
  }

  /// The auxiliary vector as it is in memory.
  public func auxiliaryBytes() -> [UInt8] {
    guard let place = program?.auxiliaryVector else { return [] }
    return memory.bytes(at: GuestAddress(place.lowerBound), count: Int(place.upperBound &- place.lowerBound))
      ?? []
  }

  /// Puts a read-only descriptor of a memory file with `text` in the place of `descriptor`.
  func exchange(_ descriptor: UInt64, for text: [UInt8], _ flags: UInt64) -> Int64 {
    let closeOnExec: UInt64 = 0x80000
    let file = host.withPath("proc") { host.call(319, $0, 1) }
    if file < 0 { return Int64(descriptor) }
    defer { _ = host.call(3, UInt64(file)) }
    host.writeAll(text, to: Int32(truncatingIfNeeded: file))
    let reader = host.openForReading("/proc/self/fd/\(file)")
    if reader < 0 { return Int64(descriptor) }
    _ = host.call(292, UInt64(reader), descriptor, flags & closeOnExec)
    _ = host.call(3, UInt64(reader))
    return Int64(descriptor)
  }

  // MARK: Asking the host

  func isProcessFileSystem(_ descriptor: Int64) -> Bool {
    let processFileSystem: UInt64 = 0x9fa0
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 15) { status -> Bool in
      host.call(138, UInt64(descriptor), address(of: status.baseAddress)) == 0
        && status[0] == processFileSystem
    }
  }

  /// Where a symbolic link of the host leads.
  func linkTarget(_ path: String) -> [UInt8]? {
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer -> [UInt8]? in
      let length = host.withPath(path) { host.call(89, $0, address(of: buffer.baseAddress), 4096) }
      return length < 0 ? nil : Array(buffer.prefix(Int(length)))
    }
  }

  /// All that can be read from an open file, from its beginning.
  func contents(_ descriptor: UInt64) -> [UInt8] {
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while true {
      let got = buffer.withUnsafeMutableBytes {
        host.callUninterrupted(
          17, descriptor, address(of: $0.baseAddress), UInt64($0.count), UInt64(result.count))
      }
      if got <= 0 { return result }
      result += buffer.prefix(Int(got))
    }
  }

  /// The contents of a file of the host; nil when it cannot be opened.
  public func contents(of path: String) -> [UInt8]? {
    let file = host.openForReading(path)
    if file < 0 { return nil }
    defer { _ = host.call(3, UInt64(file)) }
    return contents(UInt64(file))
  }

  /// What /proc calls this process. In a namespace of processes that the guest has made getpid(2) says something else, which may be
  /// another's number here.
  var ownNumber: Int64? { linkTarget("/proc/self").flatMap { Int64(String(decoding: $0, as: UTF8.self)) } }

  /// Whether a process is one of Vitrine's: it runs the same executable.
  func isGuest(_ number: Int64) -> Bool {
    if number == ownNumber { return true }
    guard let own = fileIdentity("/proc/self/exe"), let other = fileIdentity("/proc/\(number)/exe") else {
      return false
    }
    return own == other
  }

  private func fileIdentity(_ path: String) -> [UInt64]? {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 18) { status -> [UInt64]? in
      let result = host.withPath(path) { host.call(4, $0, address(of: status.baseAddress)) }
      return result < 0 ? nil : [status[0], status[1]]
    }
  }

  // MARK: The link to the executable

  /// The guest's program that the path names through /proc, as in /proc/self/exe; nil for other paths.
  func executableReference(_ pointer: UInt64) -> [UInt8]? {
    let prefix: UInt64 = 0x2f63_6f72_702f  // "/proc/", little endian, six bytes
    guard let head = memory.load(UInt64.self, at: pointer), head & 0xffff_ffff_ffff == prefix,
      let path = try? memory.cString(at: GuestAddress(pointer), limit: 64)
    else { return nil }
    var parts = path.dropFirst(6).split(separator: 47).map { String(decoding: $0, as: UTF8.self) }
    guard parts.popLast() == "exe", let first = parts.first else { return nil }
    let isWhole = parts.count == 1 || (parts.count == 3 && parts[1] == "task" && Int64(parts[2]) != nil)
    if !isWhole { return nil }
    if first == "self" || first == "thread-self" { return options.executable }
    guard let number = Int64(first) else { return nil }
    if number == ownNumber { return options.executable }
    return isGuest(number) ? OtherGuest(number, self).executable : nil
  }
}
