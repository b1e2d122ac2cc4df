// What a recorder needs to know of system calls and files: which bytes a call fills according to its result, which calls put
// data into files that are mapped, where standard output goes. The declarations of the calls say most of it.
import CHost
import GuestMemory
import LinuxABI

extension LinuxProcess {
  /// A run of guest bytes.
  public struct GuestBytes: Equatable, Sendable {
    public var address: UInt64
    public var size: UInt64

    public init(address: UInt64, size: UInt64) {
      (self.address, self.size) = (address, size)
    }
  }

  /// The buffers that a call fills one after the other, with as many bytes as it returns.
  // PERF: no list for a single one, because making it takes a tenth of a short call's time.
  public enum FilledBuffers {
    case none
    case one(GuestBytes)
    case several([GuestBytes])

    /// How many of `size` bytes at `start`, which the call may have written, it has written when it returns `result`. A call that
    /// fails has filled nothing, unless it was for a bad address on the way.
    public func filledSize(at start: UInt64, size: UInt64, result: Int64) -> UInt64 {
      let total = result == -Errno.EFAULT ? .max : UInt64(max(result, 0))
      func isMeant(_ buffer: GuestBytes) -> Bool { buffer.address == start && buffer.size >= size }
      switch self {
      case .none: return size
      case .one(let buffer): return isMeant(buffer) ? min(size, total) : size
      case .several(let buffers):
        var rest = total
        for buffer in buffers {
          if isMeant(buffer) { return min(size, rest) }
          rest &-= min(buffer.size, rest)
        }
        return size
      }
    }
  }

  /// What is to be known of a call before it is made, and is not after it.
  public struct CallOutline {
    public var filled = FilledBuffers.none
    /// The descriptor that it writes data to.
    public var written: UInt64?
    /// The descriptor whose file's contents it changes.
    public var changed: UInt64?
  }

  /// The outline of the call that `cpu` is about to make.
  public func outline(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> CallOutline {
    let registers = GuestRegisters(cpu)
    let arguments = Arguments(registers)
    let number = LinuxProcess.callNumber(cpu)
    guard let call = calls[number] else { return CallOutline() }
    let writes = LinuxProcess.isWrite(number) || LinuxProcess.isVectorWrite(number)
    return CallOutline(
      filled: filledBuffers(call, arguments), written: writes ? arguments.a : nil,
      changed: changedFile(call, arguments))
  }

  private func filledBuffers(_ call: SystemCall, _ arguments: Arguments) -> FilledBuffers {
    let receiveMessage = 47
    if call.number == receiveMessage {
      let header = arguments.b
      guard let vector = memory.load(UInt64.self, at: header &+ UInt64(MessageHeader.vector)),
        let count = memory.load(UInt64.self, at: header &+ UInt64(MessageHeader.vectorCount))
      else { return .none }
      return .several(LinuxProcess.buffers(vector, count: count, memory))
    }
    guard let filled = call.filled else { return .none }
    let count = filled.count.map { arguments[$0] } ?? 0
    if filled.isVector {
      return .several(LinuxProcess.buffers(arguments[filled.index], count: count, memory))
    }
    return .one(GuestBytes(address: arguments[filled.index], size: count))
  }

  /// The data that this call writes; nothing for other calls.
  public static func writtenBuffers(
    _ cpu: UnsafeMutablePointer<vt_cpu_state>, _ memory: AddressSpace
  ) -> [GuestBytes] {
    let registers = GuestRegisters(cpu)
    let arguments = Arguments(registers)
    let number = callNumber(cpu)
    if isWrite(number) { return [GuestBytes(address: arguments.b, size: arguments.c)] }
    return isVectorWrite(number) ? buffers(arguments.b, count: arguments.c, memory) : []
  }

  /// write, pwrite64, sendto.
  private static func isWrite(_ number: UInt64) -> Bool { number == 1 || number == 18 || number == 44 }

  /// writev, pwritev, pwritev2.
  private static func isVectorWrite(_ number: UInt64) -> Bool {
    number == 20 || number == 296 || number == 328
  }

  static func buffers(_ vector: UInt64, count: UInt64, _ memory: AddressSpace) -> [GuestBytes] {
    let most: UInt64 = 1024
    var result: [GuestBytes] = []
    for index in 0..<min(count, most) {
      guard let start = memory.load(UInt64.self, at: vector &+ index &* 16),
        let size = memory.load(UInt64.self, at: vector &+ index &* 16 &+ 8)
      else { break }
      result.append(GuestBytes(address: start, size: size))
    }
    return result
  }

  /// The descriptor whose file's contents a call changes; nil for calls that change none.
  func changedFile(_ call: SystemCall, _ arguments: Arguments) -> UInt64? {
    if !call.traits.contains(.writesFile) { return nil }
    // splice(2) and copy_file_range(2) name it third.
    return call.number == 275 || call.number == 326 ? arguments.c : arguments.a
  }

  /// Whether a call leaves alone what descriptors stand for. Of the others some do, too.
  public static func keepsDescriptors(_ number: UInt64) -> Bool {
    switch number {
    // Reading, writing and waiting; memory; signals; clocks; the thread itself.
    case 0, 1, 4...8, 17...24, 262, 295, 296, 327, 328: true
    case 9...15, 25...28, 127...131: true
    case 35...39, 96...100, 102, 104, 107, 108, 110, 186, 201, 202, 218, 228...230: true
    case 89, 217, 232, 267, 270, 271, 281, 318, 332: true
    default: false
    }
  }

  /// Device and inode behind a descriptor of the guest's; nil when it is not open.
  public func file(behind descriptor: UInt64) -> [UInt64]? {
    descriptors.contains(int(descriptor)) ? nil : fileBehind(descriptor)
  }

  /// The signals that instructions raise, as bits n-1.
  public static var synchronousSignals: UInt64 { SignalState.synchronous }

  /// The signals that end a process by default, as bits n-1, but for SIGKILL.
  public static var endingSignals: UInt64 {
    var result: UInt64 = 0
    for signal in Int32(1)...64 {
      switch Signal.defaultAction(signal) {
      case .ignore, .stop, .continue: break
      case .terminate, .core: result |= 1 << UInt64(signal - 1)
      }
    }
    return result & ~SignalState.unblockable & ~SignalState.synchronous
  }
}
