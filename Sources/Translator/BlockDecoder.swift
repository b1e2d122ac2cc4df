// Decodes the instructions of one block before it is translated, so that templates can know what follows and what the block
// repeats. A block runs from its head over conditional branches and calls to the first unconditional transfer, system call
// or instruction for the interpreter, or to its longest size. Owns the buffer.

import Engine
import GuestMemory
import X86

/// Instructions of one block at a time.
final class BlockDecoder {
  private let memory: AddressSpace
  private let code: CodeReader
  // SAFETY: room for `TranslatorOptions.mostInstructions`, freed in deinit.
  private let buffer: UnsafeMutablePointer<DecodedInstruction>
  /// The block ends with bytes that are no instruction, of this length.
  private(set) var endsInvalid = false
  private(set) var invalidLength = 0
  /// The block lies in a critical section, or names the descriptor of one: to be translated anew in each run.
  private(set) var isInSection = false
  private(set) var namesSection = false
  /// The sections that the block has made known. What was decoded there is to be forgotten.
  private(set) var newSections: [Range<UInt64>] = []
  /// Instructions of the block that was decoded last.
  private var decodedCount = 0
  // SAFETY: room for the bytes of so many instructions, and for a whole copy of the last one's sixteen; freed in deinit.
  private let joined = UnsafeMutableRawPointer.allocate(
    byteCount: 16 &* (TranslatorOptions.mostInstructions &+ 1), alignment: 8)
  /// Blocks end in front of these.
  var stops: StopAddresses?

  init(memory: AddressSpace) {
    self.memory = memory
    code = CodeReader(memory: memory)
    buffer = .allocate(capacity: TranslatorOptions.mostInstructions)
    buffer.initialize(repeating: DecodedInstruction(), count: TranslatorOptions.mostInstructions)
  }

  deinit {
    buffer.deallocate()
    joined.deallocate()
  }

  /// The bytes of the block that was decoded last, as they were then. Valid until the next call.
  var bytes: UnsafeRawBufferPointer {
    var size = 0
    for index in 0..<decodedCount {
      (joined + size).storeBytes(of: buffer[index].bytes, as: (UInt64, UInt64).self)
      size &+= Int(buffer[index].instruction.length)
    }
    return UnsafeRawBufferPointer(start: joined, count: size)
  }

  /// The block at `start`; empty when its first instruction cannot be fetched or is invalid.
  func decode(_ start: UInt64, _ options: TranslatorOptions) -> UnsafeMutableBufferPointer<DecodedInstruction>
  {
    endsInvalid = false
    code.begin(start)
    var count = 0
    var address = start
    let limit = min(options.longestBlock, TranslatorOptions.mostInstructions)
    beginSections(start)
    while count < limit {
      if count > 0, address >= boundary { break }
      if count > 0, let stops, stops.contains(address) { break }
      let status = code.decode(address, into: &buffer[count].instruction)
      if status == .needsMoreBytes { break }
      if status != .valid {
        endsInvalid = true
        invalidLength = status == .tooLong ? 1 : Int(buffer[count].instruction.length)
        break
      }
      buffer[count].address = address
      let row = buffer[count].instruction.row
      buffer[count].plan = options.trapsChance && isChance(row) ? .interpreted : RowPlan(row: row)
      if memory.findsSections { lookForSections(&buffer[count]) }
      let length = Int(buffer[count].instruction.length)
      // SAFETY: `CodeReader.readable` bytes, also of a shorter instruction; nobody looks behind its end.
      buffer[count].bytes = UnsafeRawPointer(code.bytes(at: address)).loadUnaligned(as: (UInt64, UInt64).self)
      address &+= UInt64(length)
      count &+= 1
      if isLast(buffer[count &- 1].plan.template) { break }
    }
    decodedCount = count
    return UnsafeMutableBufferPointer(start: buffer, count: count)
  }

  // MARK: Critical sections

  /// Where the block ends at the latest.
  private var boundary = UInt64.max

  private func beginSections(_ start: UInt64) {
    isInSection = memory.isInSection(start)
    boundary = memory.sectionBoundary(behind: start)
    namesSection = false
    if !newSections.isEmpty { newSections = [] }
  }

  /// Learns of the section whose descriptor `decoded` names, and keeps what would leave a section unnoticed for the interpreter.
  private func lookForSections(_ decoded: inout DecodedInstruction) {
    let next = decoded.address &+ UInt64(decoded.instruction.length)
    if let section = decoded.instruction.namedAddress(next: next).flatMap({ memory.section(describedAt: $0) })
    {
      namesSection = true
      if memory.addSection(section) { newSections.append(section) }
      boundary = memory.sectionBoundary(behind: decoded.address)
    }
    guard isInSection else { return }
    switch decoded.plan.template {
    case .call, .ret, .systemCall: decoded.plan = .interpreted
    case .jump where decoded.instruction.info.operand(0).kind != .relative: decoded.plan = .interpreted
    default: break
    }
  }

  /// RDTSC, RDTSCP, RDPID; random numbers are the interpreter's anyway.
  private func isChance(_ row: UInt16) -> Bool {
    switch RowInfo(id: row).features.0 {
    case .tsc, .rdtscp, .rdpid: true
    default: false
    }
  }

  private func isLast(_ template: RowPlan.Template) -> Bool {
    switch template {
    case .interpret, .jump, .ret, .systemCall: true
    default: false
    }
  }
}
