// Decodes guest code into blocks of operations. A block runs from its head over conditional branches to the first
// unconditional transfer, trap or system call, or to its longest size; behind its last operation stand the resolve stubs of its
// branches (Docs/engine.md draws it). Owns nothing but scratch memory: blocks go to the cache.

import CHost
import GuestMemory
import X86

/// Builds blocks at guest addresses.
struct BlockBuilder: ~Copyable {
  /// Instructions in a block at most, and operations they can make: address + operation each, then stubs.
  static let longestBlock = 64
  static let mostOperations = 5 * longestBlock + 1
  static let mostBranches = longestBlock + 2

  let memory: AddressSpace
  let cache: BlockCache
  // SAFETY: allocated in init, freed in deinit; the blocks in it live until the next call of `build` or `buildStep`.
  private let scratch: UnsafeMutablePointer<Operation>
  private let branches: UnsafeMutablePointer<PendingBranch>
  private let code: CodeReader
  /// The critical sections that the last block has made known. What was decoded there is to be forgotten.
  private(set) var newSections: [Range<UInt64>] = []
  /// Blocks end in front of these.
  var stops: StopAddresses?
  /// Blocks are left in front of instructions that may access what is watched.
  var filter: WatchFilter?

  init(memory: AddressSpace, cache: BlockCache) {
    self.memory = memory
    self.cache = cache
    scratch = .allocate(capacity: BlockBuilder.mostOperations)
    branches = .allocate(capacity: BlockBuilder.mostBranches)
    code = CodeReader(memory: memory)
  }

  deinit {
    scratch.deallocate()
    branches.deallocate()
  }

  /// Decodes the block at `rip`, adds it to the cache and returns its head. Code that cannot be fetched or decoded becomes an
  /// operation that traps; such a block is not kept when it is nothing else.
  mutating func build(_ rip: UInt64) -> UnsafePointer<Operation> {
    var room = cache.room(BlockBuilder.mostOperations)
    if room == nil {
      cache.flush()
      room = cache.room(BlockBuilder.mostOperations)
    }
    if memory.isThreaded { memory.markCode(aheadOf: rip, instructions: BlockBuilder.longestBlock) }
    var writer = BlockWriter(
      start: rip, operations: room ?? scratch, branches: branches, limit: BlockBuilder.longestBlock)
    if !newSections.isEmpty { newSections = [] }
    fill(&writer)
    writer.finish()
    if writer.isUnfetchable || room == nil { return UnsafePointer(writer.operations) }
    memory.markCode(from: rip, to: writer.address)
    return cache.add(start: rip, end: writer.address, count: writer.count)
  }

  /// A block in scratch memory with the single instruction at `rip`, which leaves when it is done.
  mutating func buildStep(_ rip: UInt64) -> UnsafePointer<Operation> {
    UnsafePointer(writeStep(rip).operations)
  }

  private mutating func writeStep(_ rip: UInt64) -> BlockWriter {
    var writer = BlockWriter(start: rip, operations: scratch, branches: branches, limit: 1)
    writer.isStep = true
    fill(&writer)
    writer.finish()
    return writer
  }

  /// The same, kept in `steps` if that is possible: from then on changes of the code are noticed.
  mutating func buildKeptStep(_ rip: UInt64, _ steps: StepCache) -> UnsafePointer<Operation> {
    let writer = writeStep(rip)
    if writer.isUnfetchable || writer.instructions != 1 { return UnsafePointer(scratch) }
    memory.markCode(from: rip, to: writer.address)
    return steps.add(rip, UnsafePointer(scratch), writer.count)
  }

  private mutating func fill(_ writer: inout BlockWriter) {
    code.begin(writer.address)
    var boundary = memory.sectionBoundary(behind: writer.address)
    var instruction = Instruction()
    while !writer.isEnded {
      if writer.instructions > 0, writer.address >= boundary || stops?.contains(writer.address) ?? false {
        writer.endHere()
        return
      }
      switch code.decode(writer.address, into: &instruction) {
      case .valid:
        if memory.findsSections { lookForSection(instruction, writer.address, &boundary) }
        if let filter, !writer.isStep { writer.appendWatch(instruction, filter) }
        writer.append(instruction)
      case .invalid: writer.appendTrap(.invalidOpcode, length: max(instruction.length, 1))
      case .tooLong: writer.appendTrap(.generalProtection)
      case .needsMoreBytes: writer.appendFetchFault(code.faultAddress(writer.address))
      }
    }
  }

  /// Learns of the critical section whose descriptor `instruction` names.
  private mutating func lookForSection(
    _ instruction: Instruction, _ address: UInt64, _ boundary: inout UInt64
  ) {
    guard let place = instruction.namedAddress(next: address &+ UInt64(instruction.length)),
      let section = memory.section(describedAt: place), memory.addSection(section)
    else { return }
    newSections.append(section)
    boundary = memory.sectionBoundary(behind: address)
  }

  /// Bytes of the memory operand of the instruction at `rip`; 1 when it has none or no size.
  func memoryOperandSize(_ rip: UInt64) -> UInt64 {
    code.begin(rip)
    var instruction = Instruction()
    guard code.decode(rip, into: &instruction) == .valid else { return 1 }
    // What is pushed or popped is no operand.
    var bits = isAboutStack(instruction) ? (instruction.operandSize == 16 ? 16 : 64) : 8
    for index in 0..<instruction.info.operandCount {
      bits = max(bits, instruction.info.operand(index).memoryWidth)
    }
    return UInt64(bits / 8)
  }

  /// The address of the memory operand that the instruction at RIP both reads and writes; nil when there is none.
  func modifiedOperand(_ cpu: UnsafePointer<CPUState>) -> UInt64? {
    code.begin(cpu.pointee.rip)
    var instruction = Instruction()
    guard code.decode(cpu.pointee.rip, into: &instruction) == .valid, instruction.hasMemoryOperand else {
      return nil
    }
    let isModified = (0..<instruction.info.operandCount).contains { index in
      let operand = instruction.info.operand(index)
      return operand.letter == .modRM && operand.kind != .vectorMemory && operand.access == .readWrite
    }
    return isModified ? address(of: instruction, cpu) : nil
  }

  private func address(of instruction: Instruction, _ cpu: UnsafePointer<CPUState>) -> UInt64 {
    func register(_ number: UInt8) -> UInt64 {
      if number == Instruction.none { return 0 }
      if number == Instruction.relative { return cpu.pointee.rip &+ UInt64(instruction.length) }
      return UnsafeRawPointer(cpu).load(fromByteOffset: Int(number & 15) &* 8, as: UInt64.self)
    }
    let offset =
      register(instruction.base) &+ register(instruction.index) &<< UInt64(instruction.scale)
      &+ UInt64(bitPattern: instruction.displacement)
    let segment =
      instruction.segment == .fs ? cpu.pointee.fs_base : instruction.segment == .gs ? cpu.pointee.gs_base : 0
    return segment &+ (instruction.addressSize == 32 ? offset & 0xffff_ffff : offset)
  }

  /// Whether the memory operand of the instruction at `rip` is in the stack segment.
  func usesStackSegment(_ rip: UInt64) -> Bool {
    code.begin(rip)
    var instruction = Instruction()
    guard code.decode(rip, into: &instruction) == .valid else { return false }
    return instruction.segment == .ss || isAboutStack(instruction)
  }

  /// Its only memory is the stack, where it pushes or pops. Neither absolute offsets nor string operands are ModRM operands.
  private func isAboutStack(_ instruction: Instruction) -> Bool {
    let fields = RowFields(row: Int(instruction.row))
    return !fields.hasMemoryOffset && !fields.isString && !fields.isImplicit && !instruction.hasMemoryOperand
  }
}
