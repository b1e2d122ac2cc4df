// AVX-512 gathers and scatters one element at a time: those with 32-bit addresses, and those whose base alone is no address.
// As the processor does, an element that is done clears its opmask bit, so that a fault in between can be repeated.

import CHost
import Engine
import GuestMemory
import X86

extension TranslatorEngine {
  /// The element size, count and places of one gather or scatter.
  private struct Elements {
    let isScatter: Bool
    let size: Int
    let indexSize: Int
    let count: Int

    init?(_ instruction: Instruction) {
      let operands = (0..<instruction.info.operandCount).map { instruction.info.operand($0) }
      guard let memory = operands.first(where: { $0.kind == .vectorMemory }) else { return nil }
      isScatter = memory.access != .read
      // EVEX.W tells the element, the operand the index.
      size = instruction.prefixes.contains(.w) ? 8 : 4
      indexSize = memory.indexElementWidth / 8
      count = (16 &<< Int(instruction.vectorLength)) / max(size, indexSize)
    }
  }

  /// Executes `instruction`; nil when it is complete.
  func gather(_ cpu: UnsafeMutablePointer<CPUState>, _ instruction: Instruction) -> Exit? {
    guard let elements = Elements(instruction) else { return .fault(Fault(trap: .invalidOpcode)) }
    let state = UnsafeMutableRawPointer(cpu)
    let indices = state + (Int(VT_OFFSET_VECTOR) &+ Int(instruction.index & 31) &* 64)
    let data = state + (Int(VT_OFFSET_VECTOR) &+ Int(instruction.reg & 31) &* 64)
    let mask = (state + (Int(VT_OFFSET_MASK) &+ Int(instruction.opmask & 7) &* 8)).assumingMemoryBound(
      to: UInt64.self)
    let base = effectiveAddress(cpu, instruction) &- segmentBase(cpu, instruction)
    for element in 0..<elements.count where mask.pointee &>> UInt64(element) & 1 != 0 {
      let index =
        elements.indexSize == 8
        ? indices.load(fromByteOffset: element &* 8, as: UInt64.self)
        : UInt64(bitPattern: Int64(indices.load(fromByteOffset: element &* 4, as: Int32.self)))
      var address = base &+ index &<< UInt64(instruction.scale)
      if instruction.addressSize == 32 { address &= 0xffff_ffff }
      address &+= segmentBase(cpu, instruction)
      if let fault = move(
        address, data + element &* elements.size, elements, isStack: instruction.segment == .ss)
      {
        return .fault(fault)
      }
      mask.pointee &= ~(1 &<< UInt64(element))
      // What lies above the vector is cleared with the first element, the upper half of one with narrow elements at the end.
      if !elements.isScatter { clear(data, from: 16 &<< Int(instruction.vectorLength)) }
    }
    if !elements.isScatter { clear(data, from: elements.count &* elements.size) }
    mask.pointee = 0
    cpu.pointee.rip &+= UInt64(instruction.length)
    cpu.pointee.translated.remaining &-= 1
    return nil
  }

  private func clear(_ data: UnsafeMutableRawPointer, from used: Int) {
    (data + used).initializeMemory(as: UInt8.self, repeating: 0, count: max(64 &- used, 0))
  }

  /// Copies one element from or to guest memory; the fault that keeps it from that.
  private func move(
    _ address: UInt64, _ register: UnsafeMutableRawPointer, _ elements: Elements, isStack: Bool
  ) -> Fault? {
    guard address <= memory.limit &- UInt64(elements.size) else {
      return wildFault(address, isWrite: elements.isScatter, isStack: isStack)
    }
    // Nor does one that crosses into a page that cannot be written leave half of itself.
    let last = address &+ UInt64(elements.size &- 1)
    if elements.isScatter, address &>> 12 != last &>> 12,
      memory.query(address)?.permissions.contains(.write) == true,
      memory.query(last)?.permissions.contains(.write) != true
    {
      let present: UInt64 = memory.query(last) == nil ? 0 : 1
      return Fault(trap: .pageFault, address: last & ~0xfff, errorCode: 6 | present)
    }
    // An element that crosses into a page that cannot be read leaves the register alone.
    var value: UInt64 = 0
    if elements.isScatter {
      withUnsafeMutableBytes(of: &value) {
        $0.baseAddress?.copyMemory(from: register, byteCount: elements.size)
      }
    }
    while true {
      let place = memory.base + Int(truncatingIfNeeded: address)
      let missing = withUnsafeMutableBytes(of: &value) { bytes in
        elements.isScatter
          ? vt_guard_copy(place, bytes.baseAddress, elements.size)
          : vt_guard_copy(bytes.baseAddress, place, elements.size)
      }
      if missing == 0 {
        if !elements.isScatter {
          withUnsafeBytes(of: value) {
            register.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(place), byteCount: elements.size)
          }
        }
        return nil
      }
      let stuck = address &+ UInt64(elements.size &- missing)
      if elements.isScatter, memory.handleWriteFault(stuck) { continue }
      if memory.handleFault(at: stuck, write: elements.isScatter) { continue }
      let present: UInt64 = memory.query(stuck) == nil ? 0 : 1
      return Fault(trap: .pageFault, address: stuck, errorCode: (elements.isScatter ? 6 : 4) | present)
    }
  }
}
