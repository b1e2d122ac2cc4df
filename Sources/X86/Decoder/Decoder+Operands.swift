// ModRM, SIB, displacement and immediates.

extension Decoder {
  /// Fills in register numbers and the memory operand.
  mutating func readModRM(_ instruction: inout Instruction, _ row: RowInfo, modless: Bool) {
    let modRM = instruction.modRM
    instruction.reg = modRM &>> 3 & 7 | (rex & 4) &<< 1 | regHigh
    let mod = modless ? 3 : modRM &>> 6
    if mod == 3 {
      instruction.rm = modRM & 7 | (rex & 1) &<< 3 | rmHigh
      return
    }
    instruction.prefixes.insert(.memory)
    var displacementSize: Int
    if instruction.addressSize == 16 {
      displacementSize = readAddress16(&instruction, mod)
    } else {
      displacementSize = readAddress(&instruction, mod, vectorIndex: row.usesVSIB)
    }
    if displacementSize != 0 {
      instruction.displacement = nextSigned(displacementSize)
      displacementSize &-= 1
      if displacementSize == 0, prefixes.contains(.evex) { scaleDisplacement(&instruction, row) }
    }
    if let override = segmentOverride { instruction.segment = override }
  }

  private func scaleDisplacement(_ instruction: inout Instruction, _ row: RowInfo) {
    var shift = Int64(row.displacementScale)
    if prefixes.contains(.evexB) {
      for index in 0..<row.operandCount where row.operand(index).broadcastWidth != 0 {
        shift = Int64((row.operand(index).broadcastWidth / 8).trailingZeroBitCount)
      }
    }
    instruction.displacement &<<= shift
  }

  /// 32-bit and 64-bit addresses; returns the displacement's size in bytes.
  private mutating func readAddress(_ instruction: inout Instruction, _ mod: UInt8, vectorIndex: Bool) -> Int
  {
    let displacementSize = mod == 1 ? 1 : mod == 2 ? 4 : 0
    var base = instruction.modRM & 7
    if base == 4 {
      let sib = next()
      base = sib & 7
      let index = sib &>> 3 & 7 | (rex & 2) &<< 2
      if vectorIndex {
        instruction.index = index | indexHigh
      } else if index != 4 {
        instruction.index = index
      }
      instruction.scale = sib &>> 6
      if base == 5, mod == 0 { return 4 }
    } else if base == 5, mod == 0 {
      if mode == .bits64 { instruction.base = Instruction.relative }
      return 4
    }
    if base == 4 || base == 5, rex & 1 == 0 { instruction.segment = .ss }
    instruction.base = base | (rex & 1) &<< 3
    return displacementSize
  }

  /// 16-bit addresses (SDM volume 2, table 2-1): BX and BP with SI and DI.
  private func readAddress16(_ instruction: inout Instruction, _ mod: UInt8) -> Int {
    let rm = instruction.modRM & 7
    if mod == 0, rm == 6 { return 2 }
    let bases: UInt64 = 0x03_05_07_06_05_05_03_03
    instruction.base = UInt8(truncatingIfNeeded: bases &>> (UInt64(rm) &* 8) & 0xff)
    if rm < 4 { instruction.index = 6 &+ (rm & 1) }
    if rm == 2 || rm == 3 || rm == 6 { instruction.segment = .ss }
    return Int(mod)
  }

  /// The codes are RowPacking's: 1–4 unsigned of 1, 2, 4, 8 bytes, 5–7 signed of 1, 2, 4, 8 is4, 9 moffs, 10 far pointer.
  mutating func readImmediates(_ instruction: inout Instruction, _ row: RowInfo) {
    switch row.immediateCode {
    case 1: instruction.immediate = Int64(bitPattern: nextUnsigned(1))
    case 2: instruction.immediate = Int64(bitPattern: nextUnsigned(2))
    case 3: instruction.immediate = Int64(bitPattern: nextUnsigned(4))
    case 4: instruction.immediate = Int64(bitPattern: nextUnsigned(8))
    case 5: instruction.immediate = nextSigned(1)
    case 6: instruction.immediate = nextSigned(2)
    case 7: instruction.immediate = nextSigned(4)
    case 8:
      let byte = next()
      instruction.is4 = mode == .bits64 ? byte &>> 4 : byte &>> 4 & 7
      instruction.secondImmediate = UInt16(byte & 15)
    case 9:
      instruction.displacement = Int64(bitPattern: nextUnsigned(Int(instruction.addressSize) / 8))
    default:
      instruction.immediate = Int64(bitPattern: nextUnsigned(instruction.operandSize == 16 ? 2 : 4))
      instruction.secondImmediate = UInt16(truncatingIfNeeded: nextUnsigned(2))
    }
    if row.secondImmediateCode == 1 {
      instruction.secondImmediate = UInt16(truncatingIfNeeded: nextUnsigned(1))
    }
  }
}
