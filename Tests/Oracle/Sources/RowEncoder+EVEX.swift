// The EVEX prefix of an encoded row: opmask, zeroing, broadcast, embedded rounding, suppressed exceptions, the upper
// registers, and the displacement byte that counts in units of the memory operand (SDM volume 2, section 2.7).

/// The fields that other prefixes lack.
struct EVEXFields {
  /// EVEX.aaa: K1…K7; 0 is no opmask.
  var opmask = 0
  /// EVEX.z
  var zeroes = false
  /// EVEX.b: broadcast of a memory operand, else embedded rounding or suppressed exceptions.
  var b = false
  /// EVEX.L'L: the vector length, or the rounding mode.
  var length = 0
}

extension RowEncoder {
  /// Chooses among what the row allows; called before operands, whose displacement depends on it.
  mutating func chooseEVEX(usesMemory: Bool, _ random: inout RandomSource) {
    switch row.encoding.vectorLength {
    case .l128, .zero: evex.length = 0
    case .l256: evex.length = 1
    case .l512: evex.length = 2
    case .ignored: evex.length = random.below(3)
    }
    if row.operands.contains(where: \.isMasked) {
      // Gathers and scatters are undefined without an opmask.
      let mayBeUnmasked = row.encoding.modRM != .vsib
      evex.opmask = mayBeUnmasked && random.oneIn(3) ? 0 : 1 + random.below(7)
    }
    // Memory is merged, never zeroed.
    let writesMemory = usesMemory && row.operands.contains { $0.letter == .modRM && $0.access != .read }
    if row.operands.contains(where: \.zeroes), evex.opmask != 0, !writesMemory {
      evex.zeroes = random.oneIn(2)
    }
    if usesMemory {
      evex.b = row.operands.contains { $0.broadcastWidth != 0 } && random.oneIn(2)
    } else if row.operands.contains(where: { $0.rounds || $0.suppressesExceptions }), random.oneIn(2) {
      evex.b = true
      // The rounding mode; without one the field means nothing.
      evex.length = random.below(4)
    }
  }

  /// Bytes that an 8-bit displacement counts in; 1 without EVEX.
  func displacementScale(_ operand: Operand) -> Int64 {
    guard row.encoding.space == .evex else { return 1 }
    if evex.b { return Int64(operand.broadcastWidth / 8) }
    let isElementwise = row.mnemonic.contains("COMPRESS") || row.mnemonic.contains("EXPAND")
    if isElementwise || operand.kind == .vectorMemory { return elementBytes }
    return Int64(operand.memoryWidth / 8)
  }

  /// Bytes of one element, for instructions that count in elements, by the mnemonic's last letter.
  private var elementBytes: Int64 {
    switch row.mnemonic.suffix(2) {
    case "PS": 4
    case "PD": 8
    default:
      switch row.mnemonic.last {
      case "B": 1
      case "W": 2
      case "D": 4
      default: 8
      }
    }
  }

  /// Prefix and opcode.
  func evexOpcode(_ random: inout RandomSource) -> [UInt8] {
    let encoding = row.encoding
    let usesV = row.operands.contains { $0.letter == .vvvv }
    let v = usesV ? vvvv : 0
    // V' extends vvvv, or the index of a VSIB operand.
    let high = (result.vectorIndex ?? v) & 16
    let w = encoding.w ?? random.oneIn(2)
    var first = encoding.map.rawValue
    if !rexR { first |= 0x80 }
    if !rexX { first |= 0x40 }
    if !rexB { first |= 0x20 }
    if modRMReg & 16 == 0 { first |= 0x10 }
    let second = (w ? 0x80 : 0) | (~v & 15) << 3 | 4 | prefixField
    var third = evex.length << 5 | evex.opmask
    if evex.zeroes { third |= 0x80 }
    if evex.b { third |= 0x10 }
    if high == 0 { third |= 8 }
    return [0x62, UInt8(first), UInt8(second), UInt8(third), UInt8(encoding.opcode)]
  }
}

extension Row {
  /// Whether the row needs AVX-512, which no interpreter executes.
  var isVectors512: Bool { features.contains { $0.hasPrefix("AVX512") } }
}
