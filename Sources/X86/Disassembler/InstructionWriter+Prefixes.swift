// Prefixes that the instruction does not use are printed before it, in the order of their bytes.

extension InstructionWriter {
  mutating func writePrefixes(_ bytes: UnsafeRawBufferPointer, to buffer: inout TextBuffer) {
    let count = prefixCount(bytes)
    for position in 0..<count {
      let byte = bytes[position]
      let isLast = !hasSame(as: byte, in: bytes, from: position + 1, to: count)
      if instruction.mode == .bits64, byte & 0xf0 == 0x40 {
        if position != count - 1 || !consumesREX(byte) { writeREX(byte, to: &buffer) }
      } else if !(isLast && consumes(byte)) {
        write(prefix: byte, to: &buffer)
      }
    }
  }

  private func prefixCount(_ bytes: UnsafeRawBufferPointer) -> Int {
    var count = 0
    while count < bytes.count, count < Decoder.maximumLength, isPrefix(bytes[count]) { count += 1 }
    return count
  }

  private func isPrefix(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x26, 0x2e, 0x36, 0x3e, 0x64...0x67, 0xf0, 0xf2, 0xf3: true
    case 0x40...0x4f: instruction.mode == .bits64
    default: false
    }
  }

  private func hasSame(as byte: UInt8, in bytes: UnsafeRawBufferPointer, from: Int, to: Int) -> Bool {
    for position in from..<max(from, to) where bytes[position] == byte { return true }
    return false
  }

  private mutating func consumes(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x66: return consumesOperandSize
    case 0x67:
      return instruction.hasMemoryOperand || isString || row.requiredAddressSize != 0
    case 0xf2: return row.mandatoryPrefix == .pF2 || row.mandatoryPrefix == .p66F2
    case 0xf3: return row.mandatoryPrefix == .pF3 || row.mandatoryPrefix == .p66F3
    case 0x64, 0x65: return usesMemory || readsStringSource
    case 0x26, 0x2e, 0x36, 0x3e:
      if readsStringSource || instruction.mode != .bits64 && usesMemory { return true }
      if byte == 0x3e, isIndirectBranch, row.operand(0).kind == .general {
        hintsNotrack = true
      } else if byte == 0x2e || byte == 0x3e, isConditionalBranch {
        branchHint = byte
      }
      return false
    default: return false
    }
  }

  /// Jcc, LOOPcc, JRCXZ: they have a short form and are neither JMP nor CALL.
  private var isConditionalBranch: Bool {
    row.operand(0).kind == .relative && row.attributes.contains(.flow)
      && !name.equals("jmp") && !name.equals("call") && !name.equals("xbegin")
  }

  /// MOVS, CMPS, LODS, OUTS and XLAT: the memory at DS:rSI.
  private var readsStringSource: Bool {
    if isString { return !name.hasPrefix("stos") && !name.hasPrefix("scas") && !name.hasPrefix("ins") }
    return name.equals("xlatb")
  }

  private var consumesOperandSize: Bool {
    switch row.mandatoryPrefix {
    case .p66, .p66F2, .p66F3: return true
    default: break
    }
    if isExchangedNop || hasStackSuffix { return true }
    if row.requiredOperandSize == 0 { return false }
    if instruction.mode != .bits64 { return true }
    return instruction.operandSize == 16
  }

  private func write(prefix byte: UInt8, to buffer: inout TextBuffer) {
    switch byte {
    case 0x26: buffer.append("es ")
    case 0x2e where branchHint == 0x2e, 0x3e where branchHint == 0x3e: break
    case 0x2e: buffer.append("cs ")
    case 0x36: buffer.append("ss ")
    case 0x3e: buffer.append(hintsNotrack ? "notrack " : "ds ")
    case 0x64: buffer.append("fs ")
    case 0x65: buffer.append("gs ")
    case 0x66: buffer.append(instruction.mode == .bits16 ? "data32 " : "data16 ")
    case 0x67: buffer.append(instruction.mode == .bits32 ? "addr16 " : "addr32 ")
    case 0xf0: buffer.append("lock ")
    case 0xf2:
      if row.attributes.contains(.flow), isNearBranch {
        buffer.append("bnd ")
      } else {
        buffer.append(acquires ? "xacquire " : "repnz ")
      }
    default: buffer.append(row.attributes.contains(.rep) ? "rep " : acquires ? "xrelease " : "repz ")
    }
  }

  private var isNearBranch: Bool {
    row.operand(0).kind == .relative && name[0] != 0x6c || name.equals("ret") || isIndirectBranch
  }

  private var acquires: Bool { instruction.prefixes.contains(.lock) }

  /// Whether the instruction uses every bit of `rex`.
  private func consumesREX(_ rex: UInt8) -> Bool {
    var used: UInt8 = 0
    if row.requiredW == true || row.requiredOperandSize == 64 && !row.attributes.contains(.defaults64) {
      used = 0x48
    }
    if row.attributes.contains(.forces64) { used = 0 }
    for index in 0..<row.operandCount {
      let operand = row.operand(index)
      switch operand.letter {
      case .register where operand.kind != .segment && operand.kind != .mmx: used |= 0x44
      case .modRM where operand.kind != .mmx || instruction.hasMemoryOperand:
        used |= 0x41
        if instruction.hasMemoryOperand, instruction.modRM & 7 == 4 { used |= 0x42 }
      case .opcode: used |= 0x41
      default: break
      }
      // SPL, BPL, SIL and DIL need a REX prefix of any kind.
      if rex == 0x40, case .register(let register) = instruction.value(of: operand) {
        if register.registerClass == .general8, register.number >= 4 { return true }
      }
    }
    return rex & 15 != 0 && rex & ~used & 15 == 0
  }

  private func writeREX(_ rex: UInt8, to buffer: inout TextBuffer) {
    buffer.append("rex")
    if rex & 15 != 0 { buffer.append(".") }
    if rex & 8 != 0 { buffer.append("W") }
    if rex & 4 != 0 { buffer.append("R") }
    if rex & 2 != 0 { buffer.append("X") }
    if rex & 1 != 0 { buffer.append("B") }
    buffer.append(" ")
  }
}
