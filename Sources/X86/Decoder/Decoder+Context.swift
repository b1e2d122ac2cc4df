// The context word that rows are compared with, effective sizes, and the VEX and EVEX prefixes.

extension Decoder {
  /// Effective address size in bits.
  // PERF: inlined, so that the cursor stays in registers instead of being copied for each call; so for the next two.
  @inline(__always) var addressSize: UInt8 {
    let isOverridden = prefixes.contains(.addressSize)
    switch mode {
    case .bits64: return isOverridden ? 32 : 64
    case .bits32: return isOverridden ? 16 : 32
    case .bits16: return isOverridden ? 32 : 16
    }
  }

  /// Effective operand size in bits of a row with `attributes`.
  @inline(__always) func operandSize(_ attributes: RowInfo.Attributes) -> UInt8 {
    let isOverridden = prefixes.contains(.operandSize)
    if mode == .bits64 {
      if prefixes.contains(.w) || attributes.contains(.forces64) { return 64 }
      if attributes.contains(.defaults64) { return isOverridden ? 16 : 64 }
      return isOverridden ? 16 : 32
    }
    return (mode == .bits16) == isOverridden ? 32 : 16
  }

  /// Everything of the context word that is known before ModRM.
  @inline(__always) func contextBeforeModRM() -> UInt32 {
    let has66: UInt32 = prefixes.contains(.operandSize) ? 1 : 0
    let w: UInt32 = prefixes.contains(.w) ? 1 : 0
    var context = has66 &<< ContextField.has66 | w &<< ContextField.w
    context |= selectingPrefix &<< ContextField.selectingPrefix | vectorLength &<< ContextField.vectorLength
    context |= UInt32(rex & 1) &<< ContextField.b
    if vvvv & 15 == 0 { context |= 1 &<< ContextField.vvvvUnused }
    // Sizes are coded 0, 1, 2 for 16, 32, 64 bits.
    let sizes: UInt32
    if mode == .bits64 {
      let normal = w == 1 ? 2 : 1 &- has66
      let defaulted = w == 1 ? 2 : 2 &- 2 &* has66
      sizes = normal &<< ContextField.operandSize | defaulted &<< ContextField.defaultedSize
      context |= 2 &<< ContextField.forcedSize | 1 &<< ContextField.mode64
    } else {
      let size: UInt32 = (mode == .bits16) == (has66 == 1) ? 1 : 0
      sizes =
        size &<< ContextField.operandSize | size &<< ContextField.defaultedSize | size
        &<< ContextField.forcedSize
    }
    return context | sizes | UInt32(addressSize &>> 5) &<< ContextField.addressSize
  }

  /// With embedded rounding EVEX.L'L is the rounding mode, and the vector is 512 bits long.
  func withoutVectorLength(_ context: UInt32) -> UInt32 {
    context & ~(3 &<< ContextField.vectorLength) | 2 &<< ContextField.vectorLength
  }

  /// Reads VEX, EVEX or AMD's XOP, laid out like VEX, after its first byte `kind`; returns the opcode table, nil when the prefix is invalid.
  mutating func readVectorPrefix(_ kind: UInt8) -> Int? {
    // With LOCK, 66, F2, F3 or REX before it: #UD.
    guard prefixes.isDisjoint(with: [.lock, .operandSize, .rep, .repne, .rex]) else { return nil }
    if kind == 0x62 { return readEVEX() }
    prefixes.insert(.vex)
    let second = next()
    var map: UInt8 = 1
    var last = second
    rex = (~second &>> 5) & 4
    if kind != 0xc5 {
      map = second & 31
      rex = ~second &>> 5
      last = next()
      if last & 0x80 != 0 { noteW() }
    }
    noteVVVV(~last &>> 3 & 15)
    vectorLength = UInt32(last &>> 2 & 1)
    selectingPrefix = UInt32(last & 3)
    if kind == 0x8f { return (8...10).contains(map) ? 4 &+ Int(map) : nil }
    return (1...3).contains(map) ? 3 &+ Int(map) : nil
  }

  private mutating func noteW() {
    prefixes.insert(.w)
    rex |= 8
  }

  private mutating func noteVVVV(_ number: UInt8) {
    vvvv = number
    // Only eight registers outside 64-bit mode; the extension bits are ignored.
    if mode != .bits64 {
      vvvv = number & 7
      rex &= 8
    }
  }

  private mutating func readEVEX() -> Int? {
    prefixes.insert(.evex)
    let first = next()
    let second = next()
    let third = next()
    guard first & 8 == 0, second & 4 != 0 else { return nil }
    rex = ~first &>> 5
    if second & 0x80 != 0 { noteW() }
    noteVVVV(~second &>> 3 & 15)
    selectingPrefix = UInt32(second & 3)
    vectorLength = UInt32(third &>> 5 & 3)
    opmask = third & 7
    if third & 0x80 != 0 { prefixes.insert(.zeroing) }
    if third & 0x10 != 0 { prefixes.insert(.evexB) }
    if mode == .bits64 {
      regHigh = ~first & 0x10
      indexHigh = (~third & 8) &<< 1
      rmHigh = (~first &>> 2) & 0x10
      // V' also extends vvvv; rows with VSIB take it for the index.
      vvvv |= indexHigh
    }
    switch first & 7 {
    case 1, 2, 3: return 6 &+ Int(first & 7)
    case 5, 6: return 5 &+ Int(first & 7)
    default: return nil
    }
  }

  /// EVEX rules beyond the context word: opmask, zeroing, broadcast and rounding only where the row has them.
  mutating func isPermitted(_ instruction: inout Instruction, _ row: RowInfo) -> Bool {
    let isRegister = !instruction.hasMemoryOperand
    // 3 is a rounding mode, not a length; also where the row ignores the length.
    if vectorLength == 3, !isRegister || !prefixes.contains(.evexB) { return false }
    if !hasExistingRegisters(row) { return false }
    if prefixes.contains(.evexB) {
      if isRegister {
        guard row.allowsRounding || row.allowsExceptionSuppression else { return false }
        instruction.roundingControl = instruction.vectorLength
        instruction.vectorLength = 2
      } else if !row.allowsBroadcast {
        return false
      }
    }
    if opmask != 0, !row.allowsOpmask { return false }
    if opmask == 0, row.usesVSIB { return false }
    if prefixes.contains(.zeroing) {
      // Memory is merged, never zeroed.
      let writesMemory = !isRegister && row.operand(0).letter == .modRM
      return row.allowsZeroing && opmask != 0 && !writesMemory
    }
    return true
  }

  /// Extension bits that name no register: V' without an operand in vvvv, R' of a general and R of an opmask register.
  private func hasExistingRegisters(_ row: RowInfo) -> Bool {
    if indexHigh != 0, !row.usesVVVV, !row.usesVSIB { return false }
    let first = row.operand(0)
    guard first.letter == .register, regHigh != 0 || rex & 4 != 0 else { return true }
    switch first.kind {
    case .mask: return mode != .bits64
    case .general: return regHigh == 0
    default: return true
    }
  }
}
