// Watchpoints: which bytes an instruction is going to read and write is worked out from its operands before it is executed; what it
// has written in spite of that (an instruction of unusual kind) is found by comparing.

import CHost
import Engine
import GuestMemory
import X86

/// What has to be remembered from before an instruction to after it.
struct WatchedInstruction {
  /// The watchpoint that its operands meet.
  var hit: Watchpoint?
  /// The watched bytes, one array for each watchpoint for writes.
  var before: [[UInt8]]
}

extension MachineControl {
  func beginWatching(_ cpu: UnsafeMutablePointer<CPUState>) -> WatchedInstruction {
    var result = WatchedInstruction(hit: nil, before: [])
    result.before.reserveCapacity(watchpoints.count)
    for watchpoint in watchpoints where watchpoint.kinds.contains(.write) {
      result.before.append(content(of: watchpoint))
    }
    accesses?.forEach(cpu) { access in
      if result.hit != nil { return }
      result.hit = watchpoints.first {
        !$0.kinds.isDisjoint(with: access.kinds) && $0.overlaps(access.address, access.size)
      }
    }
    return result
  }

  func endWatching(_ watched: WatchedInstruction) -> Watchpoint? {
    var index = 0
    for watchpoint in watchpoints where watchpoint.kinds.contains(.write) {
      guard index < watched.before.count else { break }
      if content(of: watchpoint) != watched.before[index] { return watchpoint }
      index += 1
    }
    return watched.hit
  }

  /// At most this many bytes are compared; operands are looked at for all.
  private static let mostCompared: UInt64 = 64

  private func content(of watchpoint: Watchpoint) -> [UInt8] {
    let count = Int(min(watchpoint.size, MachineControl.mostCompared))
    return memory?.bytes(at: GuestAddress(watchpoint.address), count: count) ?? []
  }
}

/// An access that an instruction is about to make.
struct MemoryAccess: Equatable {
  var address: UInt64
  var size: UInt64
  var kinds: AccessKinds
}

/// Works out what memory the instruction at RIP accesses.
final class AccessReader {
  private let code: CodeReader
  private var instruction = Instruction()

  init(memory: AddressSpace) { code = CodeReader(memory: memory) }

  func forEach(_ cpu: UnsafeMutablePointer<CPUState>, _ body: (MemoryAccess) -> Void) {
    let rip = cpu.pointee.rip
    code.begin(rip)
    guard code.decode(rip, into: &instruction) == .valid else { return }
    let info = instruction.info
    for index in 0..<info.operandCount {
      let operand = info.operand(index)
      guard case .memory(let memory) = instruction.value(of: operand) else { continue }
      // A vector of addresses is found by comparing only.
      if operand.kind == .vectorMemory { continue }
      guard let kinds = AccessReader.kinds(operand.access) else { continue }
      // Operands without a size are save areas.
      let bits = memory.broadcastWidth != 0 ? memory.broadcastWidth : memory.width
      let size = bits == 0 ? UInt64(ExtendedState.largestSize) : UInt64(bits / 8)
      body(MemoryAccess(address: address(of: memory, cpu), size: size, kinds: kinds))
    }
    if info.space == .legacy { implied(cpu, body) }
  }

  private static func kinds(_ access: OperandInfo.Access) -> AccessKinds? {
    switch access {
    case .read: .read
    case .write, .conditionalWrite: .write
    case .readWrite: [.read, .write]
    case .none, .address: nil
    }
  }

  private func register(_ cpu: UnsafeMutablePointer<CPUState>, _ number: UInt8) -> UInt64 {
    UnsafeRawPointer(cpu).load(fromByteOffset: Int(number & 15) &* 8, as: UInt64.self)
  }

  private func address(of operand: MemoryOperand, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    func value(_ register: X86.Register?) -> UInt64 {
      guard let register else { return 0 }
      if register.registerClass == .instructionPointer {
        return cpu.pointee.rip &+ UInt64(instruction.length)
      }
      return self.register(cpu, register.number)
    }
    let offset =
      value(operand.base) &+ value(operand.index) &* UInt64(operand.scale)
      &+ UInt64(bitPattern: operand.displacement)
    return segment(operand.segment, cpu) &+ (instruction.addressSize == 32 ? offset & 0xffff_ffff : offset)
  }

  private func segment(_ segment: Segment, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    segment == .fs ? cpu.pointee.fs_base : segment == .gs ? cpu.pointee.gs_base : 0
  }

  // MARK: What is not an operand

  /// The stack, and what string instructions move. Opcodes are those of the one-byte map, or of 0F.
  private func implied(_ cpu: UnsafeMutablePointer<CPUState>, _ body: (MemoryAccess) -> Void) {
    let stack = cpu.pointee.general.4
    let isSecondMap = code.bytes(at: cpu.pointee.rip)[Int(instruction.opcodeOffset)] == 0x0f
    let word: UInt64 = instruction.operandSize == 16 ? 2 : 8
    func push(_ size: UInt64) { body(MemoryAccess(address: stack &- size, size: size, kinds: .write)) }
    func pop(_ place: UInt64, _ size: UInt64) { body(MemoryAccess(address: place, size: size, kinds: .read)) }
    if isSecondMap {
      switch instruction.opcode {
      case 0xa0, 0xa8: push(word)
      case 0xa1, 0xa9: pop(stack, word)
      default: break
      }
      return
    }
    switch instruction.opcode {
    case 0x50...0x57, 0x68, 0x6a, 0x9c: push(word)
    case 0x58...0x5f, 0x8f, 0x9d: pop(stack, word)
    case 0xe8: push(8)
    case 0xc2, 0xc3: pop(stack, 8)
    case 0xc8: push(8)
    case 0xc9: pop(cpu.pointee.general.5, word)
    case 0xff where instruction.modRM >> 3 & 7 == 2: push(8)
    case 0xff where instruction.modRM >> 3 & 7 == 6: push(word)
    case 0xa4...0xa7, 0xaa...0xaf: string(cpu, body)
    default: break
    }
  }

  private func string(_ cpu: UnsafeMutablePointer<CPUState>, _ body: (MemoryAccess) -> Void) {
    let unit: UInt64 = instruction.opcode & 1 == 0 ? 1 : UInt64(instruction.operandSize / 8)
    let isRepeated = !instruction.prefixes.isDisjoint(with: [.rep, .repne])
    let count = isRepeated ? cpu.pointee.general.1 : 1
    let (size, overflow) = unit.multipliedReportingOverflow(by: count)
    if size == 0 || overflow { return }
    let isDown = cpu.pointee.flags_other & 0x400 != 0
    func area(_ pointer: UInt64, _ kinds: AccessKinds) {
      let first = isDown ? pointer &- (size &- unit) : pointer
      body(MemoryAccess(address: first, size: size, kinds: kinds))
    }
    let source = segment(instruction.segment, cpu) &+ cpu.pointee.general.6
    switch instruction.opcode {
    case 0xa4, 0xa5:
      area(source, .read)
      area(cpu.pointee.general.7, .write)
    case 0xa6, 0xa7:
      area(source, .read)
      area(cpu.pointee.general.7, .read)
    case 0xaa, 0xab: area(cpu.pointee.general.7, .write)
    case 0xac, 0xad: area(source, .read)
    case 0xae, 0xaf: area(cpu.pointee.general.7, .read)
    default: break
    }
  }
}
