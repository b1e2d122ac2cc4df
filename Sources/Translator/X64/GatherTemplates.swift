// Gathers and scatters. A 32-bit index reaches at most 2^34 bytes from the guarded base, which the guard areas cover. A vector
// of 64-bit indices is guarded as addresses are, all elements at once, in a vector register borrowed for that; its contents
// wait in the CPU state, where a fault finds them.

import CHost
import X86

extension BlockTranslator {
  mutating func gather(_ instruction: Instruction, _ plan: RowPlan, _ bytes: UnsafePointer<UInt8>) {
    if instruction.prefixes.contains(.evex) { needs.insert(.wideVectors) }
    // With 32-bit addresses the sum of each element wraps.
    if instruction.addressSize == 32 { return interpret() }
    var memory = HostAddress(displacement: Int32(truncatingIfNeeded: instruction.displacement))
    if instruction.base != Instruction.none || Self.hasSegmentBase(instruction) {
      var base = instruction
      base.index = Instruction.none
      guard let address = place(base, in: HostRegister.scratch) else { return interpret() }
      memory = address
    }
    memory.index = instruction.index
    memory.scale = instruction.scale
    let fields = EncodedFields(reg: instruction.reg, rm: 0, vvvv: instruction.vvvv, opcode: 0)
    let width = wideIndexWidth(instruction)
    guard width != 0, options.isGuarded else { return emit(instruction, bytes, fields, memory) }
    var borrowed: UInt8 = 0
    while borrowed == instruction.reg || borrowed == instruction.index || borrowed == instruction.vvvv {
      borrowed &+= 1
    }
    // All of the borrowed register comes back, also what VEX would clear.
    let isWide = options.hasVectors512
    let slot = HostOperand.memory(.state(StateOffset.vectorScratch))
    let full: UInt8 = isWide ? 2 : 1
    assembler.vector(isWide, map: 1, prefix: 2, w: isWide, length: full, 0x7f, borrowed, 0, slot)
    addEntry(kind: VT_ENTRY_VECTOR | Int(borrowed) &<< 8)
    let length: UInt8 = width == 128 ? 0 : width == 256 ? 1 : 2
    let index = HostOperand.register(instruction.index)
    // VPSRLQ borrowed, index, 60; VPSRLVQ borrowed, index, borrowed
    assembler.vector(isWide, map: 1, prefix: 1, w: true, length: length, 0x73, 2, borrowed, index)
    assembler.byte(UInt8(VT_STATE_BIAS))
    let count = HostOperand.register(borrowed)
    assembler.vector(
      isWide, map: 2, prefix: 1, w: true, length: length, 0x45, borrowed, instruction.index, count)
    memory.index = borrowed
    emit(instruction, bytes, fields, memory)
    assembler.vector(isWide, map: 1, prefix: 2, w: isWide, length: full, 0x6f, borrowed, 0, slot)
  }

  /// Bits of the register of 64-bit indices; 0 when indices have 32 bits.
  private func wideIndexWidth(_ instruction: Instruction) -> Int {
    for number in 0..<instruction.info.operandCount {
      let operand = instruction.info.operand(number)
      if operand.kind == .vectorMemory && operand.indexElementWidth == 64 { return operand.width }
    }
    return 0
  }
}
