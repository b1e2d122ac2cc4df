// Faults in translated code. The interpreter executes the instruction once more, and has its exact effect: the guest's fault,
// or success, when the guard's view of the address was too coarse or only code tracking stood in the way. Instructions of
// AVX-512 have no interpreter: for them the host's report is read here.

import CHost
import Engine
import GuestMemory
import X86

extension TranslatorEngine {
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
    guard cache.exceptions.insert(address: rip) else { return false }
    cache.discardBlocks(containing: rip)
    return true
  }

  /// An instruction of AVX-512 that normal translation does not reach: its operand is beyond the window, it is a gather with
  /// 32-bit addresses, or RSP is no address.
  func interpretWide(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> Exit? {
    if instruction.info.usesVSIB { return gather(cpu, instruction) }
    if instruction.hasMemoryOperand, effectiveAddress(cpu, instruction) >= memory.limit {
      return wideProtectionFault(cpu, instruction)
    }
    guard cpu.pointee.general.4 >= memory.limit else { return .fault(Fault(trap: .invalidOpcode)) }
    untracked = cpu.pointee.rip
    return nil
  }

  private func wideFault(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> Exit? {
    let trap = Trap(rawValue: cpu.pointee.translated.fault_trap) ?? .generalProtection
    switch trap {
    case .invalidOpcode, .x87FloatingPoint, .simdFloatingPoint, .alignmentCheck:
      return .fault(Fault(trap: trap))
    case .pageFault: return widePageFault(cpu, instruction)
    default: return wideProtectionFault(cpu, instruction)
    }
  }

  private func widePageFault(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> Exit? {
    let report = cpu.pointee.translated
    let address = report.fault_address &- report.window
    let isWrite = report.fault_error & 2 != 0
    let error = UInt64(report.fault_error & 3) | 4
    guard address < memory.limit else {
      return .fault(Fault(trap: .pageFault, address: address, errorCode: error))
    }
    if report.fault_signal == UInt32(HostSignal.bus) {
      return .fault(Fault(trap: .pageFault, address: address, errorCode: error, isBusError: true))
    }
    if isWrite && memory.handleWriteFault(address) {
      untracked = cpu.pointee.rip
      return nil
    }
    if memory.handleFault(at: address, write: isWrite) || isAccessible(address, isWrite) { return nil }
    return .fault(Fault(trap: .pageFault, address: address, errorCode: error))
  }

  /// Another thread has made the access possible since it faulted.
  private func isAccessible(_ address: UInt64, _ isWrite: Bool) -> Bool {
    guard memory.isThreaded else { return false }
    let place = memory.base + Int(truncatingIfNeeded: address & ~3)
    var word: UInt32 = 0
    if isWrite { return vt_guard_exchange(place, &word, word) != 2 }
    return vt_guard_copy(&word, place, 4) == 0
  }

  /// #GP or #SS of the host: a misaligned operand, or an address that the guard changed.
  private func wideProtectionFault(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> Exit?
  {
    if instruction.info.usesVSIB { return gather(cpu, instruction) }
    let address = effectiveAddress(cpu, instruction)
    let operands = (0..<instruction.info.operandCount).map { instruction.info.operand($0) }
    let operand = operands.first { $0.letter == .modRM }
    let size = UInt64(max(operand?.memoryWidth ?? 8, 8) / 8)
    let first = firstElement(cpu, instruction)
    if address >= memory.limit, first == nil {
      // No element is accessed: the instruction completes, whatever its address is.
      untracked = cpu.pointee.rip
      untrackedIsMasked = true
      return nil
    }
    if instruction.info.attributes.contains(.aligned), address & (size &- 1) != 0 {
      return .fault(Fault(trap: .generalProtection))
    }
    // Within the window, and guarded exactly: misaligned after all.
    guard address >= memory.limit, let first else {
      return guardExactly(cpu.pointee.rip) ? nil : .fault(Fault(trap: .generalProtection))
    }
    let isWrite = [.write, .readWrite, .conditionalWrite].contains(operand?.access ?? .read)
    return .fault(wildFault(address &+ first, isWrite: isWrite, isStack: instruction.segment == .ss))
  }

  /// Offset of the first element that the opmask names: the processor looks at no other. Nil when it names none.
  private func firstElement(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> UInt64? {
    if instruction.opmask == 0 { return 0 }
    let name = instruction.info.mnemonic
    func begins(_ names: [StaticString]) -> Bool { names.contains { name.hasPrefix($0) } }
    // These read their operand whole: the opmask is about their results. Shifts by a vector's low quadword do, too.
    let isCount = [0xd1, 0xd2, 0xd3, 0xe1, 0xe2, 0xf1, 0xf2, 0xf3].contains(instruction.opcode)
    if isCount && begins(["vpsl", "vpsr"]) { return 0 }
    if !name.hasPrefix("vpshufbit"),
      begins([
        "vperm", "vshuf", "vinsert", "vpshuf", "vpunpck", "vunpck", "valign", "vpalign", "vpack", "vdbpsadbw",
        "vextract", "vpmadd", "vcvtne2ps", "vpmultishift", "vgf2p8affine", "vpconflict", "vmovsldup",
        "vmovshdup",
        "vmovddup",
      ]), !name.hasPrefix("vpmadd52")
    {
      return 0
    }
    let mask = UnsafeRawPointer(cpu).load(
      fromByteOffset: Int(VT_OFFSET_MASK) &+ Int(instruction.opmask & 7) &* 8, as: UInt64.self)
    // One element or a few for all, or all that are named side by side.
    let isPacked = begins(["vpexpand", "vexpand", "vpcompress", "vcompress"])
    let isRepeated = instruction.prefixes.contains(.evexB) || begins(["vbroadcast", "vpbroadcast"])
    let size = elementSize(instruction)
    let operands = (0..<instruction.info.operandCount).map { instruction.info.operand($0) }
    let width = UInt64(max(operands.first { $0.letter == .modRM }?.memoryWidth ?? 0, 8) / 8)
    let inMemory = instruction.prefixes.contains(.evexB) ? 1 : max(width / size, 1)
    let count = isPacked || isRepeated ? (16 &<< UInt64(instruction.vectorLength)) / size : inMemory
    var active = count < 64 ? mask & (1 &<< count &- 1) : mask
    if active == 0 { return nil }
    if isPacked { return 0 }
    while isRepeated, active >> inMemory != 0 { active = active >> inMemory | active & (1 << inMemory &- 1) }
    return UInt64(active.trailingZeroBitCount) &* size
  }

  /// Bytes of the element that one bit of the opmask is about, in memory.
  private func elementSize(_ instruction: Instruction) -> UInt64 {
    let name = instruction.info.mnemonic
    if name.hasPrefix("vcvtph2ps") || name.hasPrefix("vcvtps2ph") { return 2 }
    // VPMOVZX and VPMOVSX say source and destination; others end in b or w when they are about bytes or words.
    let isExtension = name.hasPrefix("vpmovzx") || name.hasPrefix("vpmovsx")
    let saysNothing = name.hasPrefix("vcvt") || name.hasPrefix("vbroadcast")
    let last = saysNothing ? 0 : name[name.count &- (isExtension ? 2 : 1)]
    switch last {
    case UInt8(ascii: "b"), UInt8(ascii: "8"): return 1
    case UInt8(ascii: "w"), UInt8(ascii: "6"): return 2
    case UInt8(ascii: "d") where isExtension: return 4
    default: return instruction.prefixes.contains(.w) ? 8 : 4
    }
  }

  /// The fault of an access beyond the window: canonical addresses are page faults, also in the kernel's half.
  func wildFault(_ address: UInt64, isWrite: Bool, isStack: Bool) -> Fault {
    guard address &+ (1 &<< 47) < 1 &<< 48 else {
      return Fault(trap: isStack ? .stackFault : .generalProtection)
    }
    return Fault(trap: .pageFault, address: address, errorCode: isWrite ? 6 : 4)
  }

  /// Base, displacement and segment of the memory operand, and its index unless that is a vector.
  func effectiveAddress(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> UInt64 {
    let general = UnsafeRawPointer(cpu).assumingMemoryBound(to: UInt64.self)
    var address = UInt64(bitPattern: instruction.displacement)
    if instruction.base == Instruction.relative {
      address &+= cpu.pointee.rip &+ UInt64(instruction.length)
    } else if instruction.base != Instruction.none {
      address &+= general[Int(instruction.base & 15)]
    }
    if !instruction.info.usesVSIB, instruction.index != Instruction.none {
      address &+= general[Int(instruction.index & 15)] &<< UInt64(instruction.scale)
    }
    if instruction.addressSize == 32, !instruction.info.usesVSIB { address &= 0xffff_ffff }
    return address &+ segmentBase(cpu, instruction)
  }

  func segmentBase(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> UInt64 {
    guard instruction.prefixes.contains(.segment) else { return 0 }
    return instruction.segment == .fs
      ? cpu.pointee.fs_base : instruction.segment == .gs ? cpu.pointee.gs_base : 0
  }
}
