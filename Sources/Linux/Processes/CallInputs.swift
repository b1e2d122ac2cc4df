// What goes into a system call, as one number to compare two calls by: scalars, and the contents behind pointers that the call reads, but
// not where they lie; and where the call puts what it has to tell. The declarations of the calls say which is which. There is no
// process: registers and memory are those of a replay.
import CHost
import GuestMemory
import LinuxABI

/// A call's inputs and the places of its outputs.
public struct CallInputs: Equatable, Sendable {
  public var number: UInt64
  /// RDI, RSI, RDX, R10, R8, R9.
  public var arguments: [UInt64]
  /// A mixture of everything that the call reads.
  public var digest: UInt64
  /// The memory that the call fills, by argument; where it differs between two equal calls, so do their effects' places.
  public var outputs: [LinuxProcess.GuestBytes]
}

/// Reads the inputs of calls.
public final class CallReader {
  private let calls = SystemCallTable()
  /// Of one argument's contents so many bytes count.
  private static let mostBytes: UInt64 = 1 << 24
  private static let mostStrings: UInt64 = 4096

  public init() {}

  public static func arguments(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> [UInt64] {
    let arguments = Arguments(GuestRegisters(cpu))
    return (0..<6).map { arguments[$0] }
  }

  /// The call that `cpu` stands behind the SYSCALL of.
  public func read(_ cpu: UnsafeMutablePointer<vt_cpu_state>, _ memory: AddressSpace) -> CallInputs {
    let registers = GuestRegisters(cpu)
    let arguments = Arguments(registers)
    let number = LinuxProcess.callNumber(cpu)
    var inputs = CallInputs(
      number: number, arguments: (0..<6).map { arguments[$0] }, digest: 0, outputs: [])
    var digest = CallDigest()
    digest.add(number)
    let signalReturn: UInt64 = 15
    if number == signalReturn {
      addFrame(registers, memory, &digest)
    } else if let call = calls[number] {
      let signature = call.parsed
      for (index, type) in signature.arguments.enumerated() {
        add(type, arguments[index], arguments, memory, &digest)
        guard type.access == .write || type.access == .readWrite else { continue }
        inputs.outputs.append(
          LinuxProcess.GuestBytes(address: arguments[index], size: CallReader.size(type, arguments)))
      }
    } else {
      for index in 0..<6 { digest.add(arguments[index]) }
    }
    addNested(number, arguments, memory, &digest)
    inputs.digest = digest.value
    return inputs
  }

  /// What lies behind pointers that the declarations say nothing of.
  private func addNested(
    _ number: UInt64, _ arguments: Arguments, _ memory: AddressSpace, _ digest: inout CallDigest
  ) {
    let (sendMessage, receiveMessage, clone3): (UInt64, UInt64, UInt64) = (46, 47, 435)
    let (cloneSize, headerSize): (UInt64, Int) = (88, 56)
    let submitRequests: UInt64 = 209
    switch number {
    case submitRequests: addRequests(arguments, memory, &digest)
    case clone3: digest.add(memory.peek(arguments.a, count: Int(min(arguments.b, cloneSize))))
    case sendMessage, receiveMessage:
      digest.add(memory.peek(arguments.b, count: headerSize))
      let vector = memory.load(UInt64.self, at: arguments.b &+ UInt64(MessageHeader.vector)) ?? 0
      let count = memory.load(UInt64.self, at: arguments.b &+ UInt64(MessageHeader.vectorCount)) ?? 0
      for buffer in LinuxProcess.buffers(vector, count: count, memory) {
        digest.add(buffer.address)
        if number == receiveMessage { continue }
        digest.add(memory.peek(buffer.address, count: Int(min(buffer.size, CallReader.mostBytes))))
      }
    default: return
    }
  }

  /// What io_submit(2) is handed: each struct iocb, and the data that it writes.
  private func addRequests(_ arguments: Arguments, _ memory: AddressSpace, _ digest: inout CallDigest) {
    for index in 0..<min(arguments.b, CallReader.mostStrings) {
      guard let place = memory.load(UInt64.self, at: arguments.c &+ index &* 8),
        let block = memory.load(ControlBlock.self, at: place)
      else { return }
      digest.add(memory.peek(place, count: MemoryLayout<ControlBlock>.size))
      guard block.operation == ControlBlock.Operation.write else { continue }
      digest.add(memory.peek(block.buffer, count: Int(min(block.size, CallReader.mostBytes))))
    }
  }

  private static func size(_ type: ArgumentType, _ arguments: Arguments) -> UInt64 {
    let count = type.count.map { arguments[$0] } ?? 1
    let unit = type.kind == .buffer ? 1 : type.kind == .vector ? 16 : Structures.size(type.name)
    let (size, overflow) = unit.multipliedReportingOverflow(by: count)
    return overflow ? .max : size
  }

  private func add(
    _ type: ArgumentType, _ value: UInt64, _ arguments: Arguments, _ memory: AddressSpace,
    _ digest: inout CallDigest
  ) {
    switch type.kind {
    case .int, .uint, .descriptor, .directory, .process, .signal, .choice:
      digest.add(UInt64(UInt32(truncatingIfNeeded: value)))
    case .long, .ulong, .hex, .octal, .device, .flags, .address: digest.add(value)
    case .pointer: digest.add(value)
    case .path, .string:
      digest.add(value == 0 ? 0 : 1)
      digest.add(CallReader.string(value, memory))
    case .buffer, .structure:
      digest.add(value == 0 ? 0 : 1)
      if type.access == .write || value == 0 { return }
      if type.name.elementsEqual("strings".utf8) || type.name.elementsEqual("environ".utf8) {
        return addStrings(value, memory, &digest)
      }
      let size = min(CallReader.size(type, arguments), CallReader.mostBytes)
      digest.add(memory.peek(value, count: Int(size)))
    case .vector: addVector(type, value, arguments, memory, &digest)
    }
  }

  private func addVector(
    _ type: ArgumentType, _ value: UInt64, _ arguments: Arguments, _ memory: AddressSpace,
    _ digest: inout CallDigest
  ) {
    let count = type.count.map { arguments[$0] } ?? 0
    for buffer in LinuxProcess.buffers(value, count: count, memory) {
      if type.access == .write {
        // Filled buffers stay where they are: their addresses count.
        digest.add(buffer.address)
        digest.add(buffer.size)
      } else {
        digest.add(memory.peek(buffer.address, count: Int(min(buffer.size, CallReader.mostBytes))))
      }
    }
  }

  private func addStrings(_ vector: UInt64, _ memory: AddressSpace, _ digest: inout CallDigest) {
    for index in 0..<CallReader.mostStrings {
      guard let address = memory.load(UInt64.self, at: vector &+ index &* 8), address != 0 else { return }
      digest.add(CallReader.string(address, memory))
    }
  }

  /// The bytes up to a zero.
  private static func string(_ address: UInt64, _ memory: AddressSpace) -> [UInt8] {
    var result: [UInt8] = []
    let piece = 256
    let most = 1 << 17
    while result.count < most {
      let bytes = memory.peek(address &+ UInt64(result.count), count: piece)
      result += bytes.prefix { $0 != 0 }
      if bytes.count < piece || bytes.contains(0) { break }
    }
    return result
  }

  /// rt_sigreturn(2) reads a frame: the context, and the extended state that it points to.
  private func addFrame(_ registers: GuestRegisters, _ memory: AddressSpace, _ digest: inout CallDigest) {
    let frame = registers[.rsp] &- 8
    let contextSize = 440
    let extendedSize = 832
    digest.add(frame)
    digest.add(memory.peek(frame, count: contextSize))
    let state = frame &+ SignalFrame.context &+ UInt64(SignalFrame.extendedState &- 8)
    guard let extended = memory.load(UInt64.self, at: state), extended != 0 else { return }
    digest.add(memory.peek(extended, count: extendedSize))
  }
}

/// A mixture of words and bytes.
public struct CallDigest {
  public private(set) var value: UInt64 = 0x9e37_79b9_7f4a_7c15

  public init() {}

  public mutating func add(_ word: UInt64) {
    value = (value ^ word) &* 0xff51_afd7_ed55_8ccd
    value ^= value &>> 32
  }

  public mutating func add(_ bytes: [UInt8]) {
    add(UInt64(bytes.count))
    var word: UInt64 = 0
    for (index, byte) in bytes.enumerated() {
      word = word &<< 8 | UInt64(byte)
      if index & 7 == 7 {
        add(word)
        word = 0
      }
    }
    if bytes.count & 7 != 0 { add(word) }
  }
}
