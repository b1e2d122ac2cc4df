// Memory operands in both syntaxes, and the comment with the address that a RIP-relative operand stands for.

extension InstructionWriter {
  func write(memory: MemoryOperand, _ operand: OperandInfo, to buffer: inout TextBuffer) {
    if isATT { writeATT(memory, &buffer) } else { writeIntel(memory, operand, &buffer) }
    if memory.broadcastWidth != 0 { writeBroadcast(memory, &buffer) }
  }

  private func writeBroadcast(_ memory: MemoryOperand, _ buffer: inout TextBuffer) {
    buffer.append("{1to")
    buffer.append(decimal: UInt64(memory.width / memory.broadcastWidth))
    buffer.append("}")
  }

  private var hasSIB: Bool {
    instruction.hasMemoryOperand && instruction.modRM & 7 == 4 && instruction.addressSize != 16
  }

  /// A SIB byte without an index that is not needed for RSP: objdump names the absent register.
  private func showsAbsentIndex(_ memory: MemoryOperand) -> Bool {
    guard hasSIB, memory.index == nil else { return false }
    if let base = memory.base { return instruction.scale != 0 || base.number & 7 != 4 }
    return instruction.mode != .bits64 || instruction.addressSize == 32 || instruction.scale != 0
  }

  private func writeSegment(_ memory: MemoryOperand, _ buffer: inout TextBuffer) {
    guard instruction.prefixes.contains(.segment) else { return }
    write(register: Register(.segment, memory.segment.rawValue), to: &buffer)
    buffer.append(":")
  }

  /// An address without registers: a number of the address size.
  private func absolute(_ displacement: Int64) -> UInt64 {
    let value = UInt64(bitPattern: displacement)
    switch instruction.addressSize {
    case 16: return value & 0xffff
    case 32: return value & 0xffff_ffff
    default: return value
    }
  }

  /// Whether a displacement is encoded, even of 0.
  private func hasDisplacement(_ memory: MemoryOperand) -> Bool {
    instruction.modRM &>> 6 != 0 || memory.base == nil || memory.base?.registerClass == .instructionPointer
  }

  // MARK: AT&T

  private func writeATT(_ memory: MemoryOperand, _ buffer: inout TextBuffer) {
    writeSegment(memory, &buffer)
    let showsAbsent = showsAbsentIndex(memory)
    if memory.base == nil, memory.index == nil, !showsAbsent {
      return buffer.append(hex: absolute(memory.displacement))
    }
    if hasDisplacement(memory) { buffer.append(signedHex: memory.displacement) }
    buffer.append("(")
    if let base = memory.base { write(register: base, to: &buffer) }
    if let index = memory.index {
      buffer.append(",")
      write(register: index, to: &buffer)
    } else if showsAbsent {
      buffer.append(instruction.addressSize == 64 ? ",%riz" : ",%eiz")
    }
    if memory.index != nil || showsAbsent, instruction.addressSize != 16 {
      buffer.append(",")
      buffer.append(decimal: UInt64(memory.scale))
    }
    buffer.append(")")
  }

  // MARK: Intel

  private func writeIntel(_ memory: MemoryOperand, _ operand: OperandInfo, _ buffer: inout TextBuffer) {
    let width = memory.broadcastWidth != 0 ? memory.broadcastWidth : memory.width
    if operand.access != .address { writeSize(width, to: &buffer) }
    let showsAbsent = showsAbsentIndex(memory)
    if memory.base == nil, memory.index == nil, !showsAbsent {
      if instruction.prefixes.contains(.segment) {
        writeSegment(memory, &buffer)
      } else {
        buffer.append("ds:")
      }
      return buffer.append(hex: absolute(memory.displacement))
    }
    writeSegment(memory, &buffer)
    buffer.append("[")
    var hasTerm = false
    if let base = memory.base {
      base.write(to: &buffer)
      hasTerm = true
    }
    if memory.index != nil || showsAbsent {
      if hasTerm { buffer.append("+") }
      if let index = memory.index {
        index.write(to: &buffer)
      } else {
        buffer.append(instruction.addressSize == 64 ? "riz" : "eiz")
      }
      if instruction.addressSize != 16 {
        buffer.append("*")
        buffer.append(decimal: UInt64(memory.scale))
      }
    }
    if hasDisplacement(memory) {
      buffer.append(memory.displacement < 0 ? "-" : "+")
      buffer.append(hex: memory.displacement.magnitude)
    }
    buffer.append("]")
  }

  /// `QWORD PTR `; nothing for operands without size.
  func writeSize(_ width: Int, to buffer: inout TextBuffer) {
    switch width {
    case 8: buffer.append("BYTE PTR ")
    case 16: buffer.append("WORD PTR ")
    case 32: buffer.append("DWORD PTR ")
    case 48: buffer.append("FWORD PTR ")
    case 64: buffer.append("QWORD PTR ")
    case 80: buffer.append("TBYTE PTR ")
    case 128: buffer.append("XMMWORD PTR ")
    case 256: buffer.append("YMMWORD PTR ")
    case 512: buffer.append("ZMMWORD PTR ")
    default: break
    }
  }

  // MARK: Comment

  func writeComment(to buffer: inout TextBuffer, symbol: (UInt64, inout TextBuffer) -> Void) {
    guard instruction.hasMemoryOperand, instruction.base == Instruction.relative else { return }
    let target = nextAddress &+ UInt64(bitPattern: instruction.displacement)
    buffer.append("        # ")
    buffer.append(hex: instruction.addressSize == 32 ? target & 0xffff_ffff : target)
    symbol(target, &buffer)
  }
}
