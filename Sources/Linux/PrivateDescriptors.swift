// Vitrine's own descriptors (the trace file, diagnostics) live at high numbers and do not exist for the guest: any call
// that names one answers EBADF, and close_range leaves them alone. Also the paths that name the guest itself.
import GuestMemory
import LinuxABI

/// The host descriptors that belong to Vitrine.
struct PrivateDescriptors {
  private(set) var numbers: [Int32] = []

  func contains(_ descriptor: Int32) -> Bool {
    // The common case costs one comparison.
    if numbers.isEmpty || descriptor < 100 { return false }
    return numbers.contains(descriptor)
  }

  mutating func insert(_ descriptor: Int32) { numbers.append(descriptor) }
}

/// Host memory for rewritten paths, one buffer an argument; kept as long as the process.
struct PathBuffers {
  private var buffers: [UnsafeMutablePointer<UInt8>?] = [nil, nil, nil, nil, nil, nil]
  static let size = 4096

  /// The buffer of argument `index`, filled with `path` and a zero; nil when it is too long.
  mutating func fill(_ index: Int, _ path: [UInt8]) -> UnsafeMutablePointer<UInt8>? {
    guard path.count < PathBuffers.size, index < buffers.count else { return nil }
    let buffer = buffers[index] ?? UnsafeMutablePointer<UInt8>.allocate(capacity: PathBuffers.size)
    buffers[index] = buffer
    for (offset, byte) in path.enumerated() { buffer[offset] = byte }
    buffer[path.count] = 0
    return buffer
  }
}

extension LinuxProcess {
  /// Moves a descriptor to a high number with close-on-exec and hides it from the guest. Returns the new number, or the
  /// old one when there is no room.
  public func hide(_ descriptor: Int32) -> Int32 {
    let duplicateCloseOnExec: UInt64 = 1030
    var lowest: UInt64 = 1000
    while lowest >= 125 {
      let moved = host.call(72, UInt64(UInt32(bitPattern: descriptor)), duplicateCloseOnExec, lowest)
      if moved >= 0 {
        let number = Int32(truncatingIfNeeded: moved)
        descriptors.insert(number)
        if descriptor > 2 { _ = host.call(3, UInt64(UInt32(bitPattern: descriptor))) }
        return number
      }
      lowest /= 2
    }
    return descriptor
  }

  /// What to give the host for a path argument: the guest's own bytes, or a rewritten copy when the path names the
  /// process's executable through /proc.
  func hostPath(_ pointer: UInt64, buffer index: Int) -> UInt64 {
    if let special = selfReference(pointer), special == .executable,
      let copy = pathBuffers.fill(index, options.executable)
    {
      return address(of: copy)
    }
    return memory.hostArgument(pointer)
  }

  /// Files under /proc that describe the calling process.
  enum SelfReference { case executable, maps, commandLine }

  /// Which of them the guest's path names, if any.
  func selfReference(_ pointer: UInt64) -> SelfReference? {
    let prefix: UInt64 = 0x2f63_6f72_702f  // "/proc/", little endian, six bytes
    guard let head = memory.load(UInt64.self, at: pointer), head & 0xffff_ffff_ffff == prefix,
      let path = try? memory.cString(at: GuestAddress(pointer), limit: 64)
    else { return nil }
    var rest = path.dropFirst(6)
    let process = Array(String(host.call(39)).utf8)
    if rest.starts(with: "self/".utf8) {
      rest = rest.dropFirst(5)
    } else if rest.starts(with: "thread-self/".utf8) {
      rest = rest.dropFirst(12)
    } else if rest.starts(with: process + [47]) {
      rest = rest.dropFirst(process.count + 1)
    } else {
      return nil
    }
    if rest.elementsEqual("exe".utf8) { return .executable }
    if rest.elementsEqual("maps".utf8) { return .maps }
    if rest.elementsEqual("cmdline".utf8) { return .commandLine }
    return nil
  }
}
