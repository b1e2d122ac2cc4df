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

  /// The buffers that the call which `cpu` is about to make fills one after the other, with as many bytes as it returns.
  public func filledBuffers(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> [GuestBytes] {
    let registers = GuestRegisters(cpu)
    let arguments = Arguments(registers)
    guard let call = calls[registers[.rax]] else { return [] }
    let receiveMessage = 47
    if call.number == receiveMessage {
      let header = arguments.b
      guard let vector = memory.load(UInt64.self, at: header &+ UInt64(MessageHeader.vector)),
        let count = memory.load(UInt64.self, at: header &+ UInt64(MessageHeader.vectorCount))
      else { return [] }
      return LinuxProcess.buffers(vector, count: count, memory)
    }
    let signature = call.parsed
    guard let index = signature.filled else { return [] }
    let type = signature.arguments[index]
    let count = type.count.map { arguments[$0] } ?? 0
    if type.kind == .vector { return LinuxProcess.buffers(arguments[index], count: count, memory) }
    return [GuestBytes(address: arguments[index], size: count)]
  }

  /// The data that a call writes to the descriptor of its first argument, and the descriptor; nil for other calls.
  public static func writtenBuffers(
    _ cpu: UnsafeMutablePointer<vt_cpu_state>, _ memory: AddressSpace
  ) -> (descriptor: UInt64, data: [GuestBytes])? {
    let registers = GuestRegisters(cpu)
    let arguments = Arguments(registers)
    switch registers[.rax] {
    case 1, 18, 44:  // write, pwrite64, sendto
      return (arguments.a, [GuestBytes(address: arguments.b, size: arguments.c)])
    case 20, 296, 328:  // writev, pwritev, pwritev2
      return (arguments.a, buffers(arguments.b, count: arguments.c, memory))
    default: return nil
    }
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
  public func changedFile(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> UInt64? {
    let registers = GuestRegisters(cpu)
    return calls[registers[.rax]].flatMap { changedFile($0, Arguments(registers)) }
  }

  /// The same for `call` with these arguments.
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
    case 35...39, 96, 97, 102, 104, 107, 108, 110, 186, 201, 202, 218, 228...230: true
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
