// What a debugger asks of a replay besides registers and memory: the process and its program, the auxiliary vector, mapped files.
import CHost
import Engine
import GuestMemory
import Linux
import LinuxABI

extension Replay {
  /// getpid(2) at the time of recording.
  public var processNumber: UInt64 { start.process }

  /// The system call whose answer a thread has just got: it has executed nothing since.
  public func answeredCall(of thread: Thread) -> UInt64? {
    thread.index == running && thread.count == 0 && !thread.isAtCall ? lastCall : nil
  }

  /// The FS base of the thread that the system call `event` has made, if it is clone(2) or clone3(2).
  func newThreadBase(_ event: Event, _ thread: Thread) -> UInt64? {
    guard case .systemCall(let number, _) = event.kind else { return nil }
    if number == CallNumber.clone { return thread.cpu.pointee.general.8 }
    guard number == CallNumber.clone3 else { return nil }
    // struct clone_args: tls.
    let offset: UInt64 = 56
    return memory.load(UInt64.self, at: thread.cpu.pointee.general.7 &+ offset)
  }

  /// The auxiliary vector of the program that runs, from its stack; empty when that has been overwritten.
  public var auxiliaryVector: [UInt8] {
    var place = initialStack
    func word() -> UInt64? {
      defer { place &+= 8 }
      return memory.load(UInt64.self, at: place)
    }
    guard let count = word(), count < 1 << 20 else { return [] }
    place &+= (count &+ 1) &* 8
    // The environment.
    for _ in 0..<1 << 20 {
      guard let pointer = word() else { return [] }
      if pointer == 0 { break }
    }
    let mostEntries = 64
    for index in 1...mostEntries where memory.load(UInt64.self, at: place &+ UInt64(index &- 1) &* 16) == 0 {
      return memory.peek(place, count: index &* 16)
    }
    return []
  }

  /// The program that runs: the file that its program headers lie in.
  public var executablePath: [UInt8] {
    let programHeaders: UInt64 = 3  // AT_PHDR
    let vector = auxiliaryVector
    for entry in stride(from: 0, to: vector.count, by: 16)
    where vector.littleEndian(UInt64.self, at: entry) == programHeaders {
      let region = vector.littleEndian(UInt64.self, at: entry + 8).flatMap { memory.query($0) }
      if let file = region.flatMap({ memory.backing($0.backing) }) { return file.path }
    }
    return start.executable
  }

  /// A descriptor for reading a file that was mapped, or -errno: the host's file when it still has the recorded bytes, so that all of it
  /// is there, else what was recorded of it. Files that were never mapped are the host's.
  public func openFile(_ path: [UInt8]) -> Int64 {
    let host = HostFile.openRegular(path)
    let identity = host < 0 ? nil : HostFile.identity(Int32(truncatingIfNeeded: host))
    guard let (descriptor, backing) = files.file(path, identity?.file) else { return host }
    if let identity, files.agrees(descriptor, Int32(truncatingIfNeeded: host), identity.size) { return host }
    if host >= 0 { HostFile.close(Int32(truncatingIfNeeded: host)) }
    return files.open(backing)
  }
}

extension ReplayedFiles {
  /// The file of this path, or this identity (the path may be a link).
  fileprivate func file(_ path: [UInt8], _ place: HostFile.Place?) -> (descriptor: Int32, backing: Backing)? {
    all.first { $0.backing.path == path }
      ?? all.first { HostFile.Place($0.backing) == place }
      ?? all.first { $0.backing.path.split(separator: 47).last == path.split(separator: 47).last }
  }

  /// Whether a file of `size` bytes has what was recorded. What was not is a hole, or zero.
  fileprivate func agrees(_ recorded: Int32, _ file: Int32, _ size: UInt64) -> Bool {
    guard HostFile.identity(recorded)?.size == size else { return false }
    let pieceSize = 1 << 16
    let seekData: Int64 = 3
    var offset: UInt64 = 0
    while offset < size {
      let next = HostFile.call(8, Int64(recorded), Int64(bitPattern: offset), seekData)
      if next < 0 { return true }
      offset = UInt64(next)
      let left = HostFile.read(recorded, at: offset, count: pieceSize)
      let right = HostFile.read(file, at: offset, count: pieceSize)
      if left.isEmpty || left.count != right.count { return left.count == right.count }
      for (index, byte) in left.enumerated() where byte != 0 && byte != right[index] { return false }
      offset &+= UInt64(left.count)
    }
    return true
  }
}
