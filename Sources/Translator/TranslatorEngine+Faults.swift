// Faults in translated code. The interpreter executes the instruction once more, and has its exact effect: the guest's fault,
// or success, when the guard's view of the address was too coarse or only code tracking stood in the way. Instructions of
// AVX-512 have no interpreter: for them the host's report is read here.

import CHost
import Engine
import GuestMemory
import X86

extension TranslatorEngine {
  /// Vector numbers (SDM volume 3, section 7.3.1).
  private enum Vector {
    static let invalidOpcode: UInt32 = 6
    static let pageFault: UInt32 = 14
    static let x87: UInt32 = 16
    static let alignment: UInt32 = 17
    static let simd: UInt32 = 19
  }

  /// After `recover`: what the fault is for the guest; nil when execution simply goes on.
  func handleFault(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit? {
    if let decoded = decode(cpu.pointee.rip), decoded.plan.isWide {
      return wideFault(cpu, decoded.instruction)
    }
    let rip = cpu.pointee.rip
    let invalidations = cache.statistics.invalidations
    let exit = interpret(cpu)
    // It succeeded, and no code was written: the address was fine, and only its base was not.
    if exit == nil, cache.statistics.invalidations == invalidations { guardExactly(rip) }
    return exit
  }

  /// From now on the whole address of the instruction at `rip` is guarded. False: it was already.
  @discardableResult private func guardExactly(_ rip: UInt64) -> Bool {
    guard exceptions.addresses.insert(rip).inserted else { return false }
    cache.discardBlocks(containing: rip)
    return true
  }

  private func wideFault(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> Exit? {
    let report = cpu.pointee.translated
    switch report.fault_trap {
    case Vector.invalidOpcode: return .fault(Fault(trap: .invalidOpcode))
    case Vector.x87: return .fault(Fault(trap: .x87FloatingPoint))
    case Vector.simd: return .fault(Fault(trap: .simdFloatingPoint))
    case Vector.alignment: return .fault(Fault(trap: .alignmentCheck))
    case Vector.pageFault: return widePageFault(cpu, instruction)
    default: return wideProtectionFault(cpu, instruction)
    }
  }

  private func widePageFault(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> Exit? {
    let report = cpu.pointee.translated
    let address = report.fault_address &- report.window
    let isWrite = report.fault_error & 2 != 0
    let error = UInt64(report.fault_error & 3) | 4
    guard address < memory.limit else { return .fault(Fault(trap: .pageFault, address: address, errorCode: error)) }
    if report.fault_signal == UInt32(hostBusSignal) {
      return .fault(Fault(trap: .pageFault, address: address, errorCode: error, isBusError: true))
    }
    if isWrite && memory.handleWriteFault(address) {
      untracked = cpu.pointee.rip
      return nil
    }
    if memory.handleFault(at: address, write: isWrite) { return nil }
    return .fault(Fault(trap: .pageFault, address: address, errorCode: error))
  }

  /// #GP or #SS of the host: a misaligned operand, or an address that the guard changed.
  private func wideProtectionFault(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> Exit? {
    let isStack = instruction.segment == .ss
    let protection = Exit.fault(Fault(trap: isStack ? .stackFault : .generalProtection))
    guard let address = wildAddress(cpu, instruction) else {
      if instruction.info.attributes.contains(.aligned) { return .fault(Fault(trap: .generalProtection)) }
      return guardExactly(cpu.pointee.rip) ? nil : protection
    }
    // Canonical addresses outside the window are page faults, also in the kernel's half.
    guard address &+ (1 &<< 47) < 1 &<< 48 else { return protection }
    let isWrite = (0..<instruction.info.operandCount).contains {
      let operand = instruction.info.operand($0)
      return operand.letter == .modRM && [.write, .readWrite, .conditionalWrite].contains(operand.access)
    }
    return .fault(Fault(trap: .pageFault, address: address, errorCode: isWrite ? 6 : 4))
  }

  /// The address beyond the window that the memory operand asks for; nil when it asks for none.
  private func wildAddress(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> UInt64? {
    let general = UnsafeRawPointer(cpu).assumingMemoryBound(to: UInt64.self)
    var base = UInt64(bitPattern: instruction.displacement)
    if instruction.base == Instruction.relative {
      base &+= cpu.pointee.rip &+ UInt64(instruction.length)
    } else if instruction.base != Instruction.none {
      base &+= general[Int(instruction.base & 15)]
    }
    if instruction.prefixes.contains(.segment) {
      if instruction.segment == .fs { base &+= cpu.pointee.fs_base }
      if instruction.segment == .gs { base &+= cpu.pointee.gs_base }
    }
    if !instruction.info.usesVSIB {
      if instruction.index != Instruction.none { base &+= general[Int(instruction.index & 15)] &<< UInt64(instruction.scale) }
      return base < memory.limit ? nil : base
    }
    return wildElement(cpu, instruction, base)
  }

  /// The same for the elements of a gather or scatter that its opmask still names.
  private func wildElement(
    _ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction, _ base: UInt64
  ) -> UInt64? {
    let state = UnsafeRawPointer(cpu)
    let indices = state + (Int(VT_OFFSET_VECTOR) &+ Int(instruction.index & 31) &* 64)
    let mask = state.load(fromByteOffset: Int(VT_OFFSET_MASK) &+ Int(instruction.opmask & 7) &* 8, as: UInt64.self)
    let operands = (0..<instruction.info.operandCount).map { instruction.info.operand($0) }
    guard let operand = operands.first(where: { $0.kind == .vectorMemory }) else { return nil }
    let size = operand.indexElementWidth / 8
    for element in 0..<operand.width / 8 / size where mask &>> UInt64(element) & 1 != 0 {
      let index =
        size == 8
        ? indices.load(fromByteOffset: element &* 8, as: UInt64.self)
        : UInt64(bitPattern: Int64(indices.load(fromByteOffset: element &* 4, as: Int32.self)))
      let address = base &+ index &<< UInt64(instruction.scale)
      if address >= memory.limit { return address }
    }
    return nil
  }
}

/// SIGBUS.
private let hostBusSignal = 7
