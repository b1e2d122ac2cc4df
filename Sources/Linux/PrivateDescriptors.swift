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

  mutating func remove(_ descriptor: Int32) { numbers.removeAll { $0 == descriptor } }
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
  /// old one when there is no room. The standard streams stay open under their own numbers, too, unless `movesStandard`.
  public func hide(_ descriptor: Int32, movesStandard: Bool = false) -> Int32 {
    var lowest: UInt64 = 1000
    while lowest >= 125 {
      if let number = hiddenCopy(of: descriptor, from: lowest) {
        if descriptor > 2 || movesStandard { _ = host.call(3, UInt64(UInt32(bitPattern: descriptor))) }
        return number
      }
      lowest /= 2
    }
    return descriptor
  }

  /// A copy of a descriptor with close-on-exec that the guest cannot name, numbered `lowest` or above; nil when there is no room.
  func hiddenCopy(of descriptor: Int32, from lowest: UInt64) -> Int32? {
    let duplicateCloseOnExec: UInt64 = 1030
    memory.hideDescriptors(from: lowest)
    let copy = host.call(72, UInt64(UInt32(bitPattern: descriptor)), duplicateCloseOnExec, lowest)
    guard copy >= 0 else { return nil }
    let number = Int32(truncatingIfNeeded: copy)
    descriptors.insert(number)
    return number
  }

  /// Closes one of Vitrine's own descriptors.
  public func closeHidden(_ descriptor: Int32) {
    _ = host.call(3, UInt64(UInt32(bitPattern: descriptor)))
    descriptors.remove(descriptor)
  }

  /// What to give the host for a path argument: the guest's own bytes, or a rewritten copy when the path names the
  /// process's executable through /proc.
  func hostPath(_ pointer: UInt64, buffer index: Int) -> UInt64 {
    if let executable = executableReference(pointer), let copy = pathBuffers.fill(index, executable) {
      return address(of: copy)
    }
    return memory.hostArgument(pointer)
  }
}
