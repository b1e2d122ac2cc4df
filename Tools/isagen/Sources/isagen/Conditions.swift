// Which bits of the decoder's context word a row asks for. The decoder packs what it knows after prefixes, opcode and
// ModRM into one 32-bit word; a row matches when `(context ^ value) & mask == 0`. The word's layout is shared with
// Sources/X86/Decoder/DecodeContext.swift through the generated constants of `ContextField`.

/// A field of the context word.
enum ContextField: String, CaseIterable {
  /// 1 in 64-bit mode.
  case mode64
  /// The prefix that selects an instruction: 0 none, 1 66, 2 F3, 3 F2.
  case selectingPrefix
  /// A 66 prefix is present.
  case has66
  case w
  /// Effective operand size: 0 16, 1 32, 2 64 bits; with attribute d64; with attribute f64.
  case operandSize, defaultedSize, forcedSize
  /// 0 16, 1 32, 2 64 bits.
  case addressSize
  /// 0 128, 1 256, 2 512 bits.
  case vectorLength
  /// ModRM.mod is 3.
  case isRegisterForm
  case modRMReg, modRMRM
  /// REX.B
  case b
  /// VEX.vvvv is 1111.
  case vvvvUnused

  var width: Int {
    switch self {
    case .mode64, .has66, .w, .isRegisterForm, .b, .vvvvUnused: 1
    case .selectingPrefix, .operandSize, .defaultedSize, .forcedSize, .addressSize, .vectorLength: 2
    case .modRMReg, .modRMRM: 3
    }
  }

  var shift: Int {
    var shift = 0
    for field in ContextField.allCases {
      if field == self { break }
      shift += field.width
    }
    return shift
  }
}

/// What one row asks of the context.
struct Conditions {
  private(set) var mask: UInt32 = 0
  private(set) var value: UInt32 = 0
  /// Number of conditions; among matching rows the one with most wins.
  private(set) var count = 0

  init(_ row: Row) {
    let encoding = row.encoding
    // An opcode byte spelled out is one condition more than `50+r`.
    if !encoding.opcodeHoldsRegister { count += 1 }
    if row.attributes.contains(.i64) { require(.mode64, 0) }
    if row.attributes.contains(.o64) { require(.mode64, 1) }
    if let w = encoding.w {
      // REX.W and nothing else makes the (not defaulted) operand size 64 bits; said so, it excludes o16 and o32.
      if encoding.space == .legacy, w { require(.operandSize, 2) } else { require(.w, w ? 1 : 0) }
    }
    if let size = encoding.operandSize {
      let field: ContextField =
        row.attributes.contains(.f64)
        ? .forcedSize : row.attributes.contains(.d64) ? .defaultedSize : .operandSize
      require(field, Self.sizeCode(size))
    }
    if let size = encoding.addressSize { require(.addressSize, Self.sizeCode(size)) }
    if encoding.requiresNoB { require(.b, 0) }
    requirePrefix(encoding.prefix)
    requireLength(encoding.vectorLength)
    if encoding.space != .legacy, !row.operands.contains(where: { $0.letter == .vvvv }) {
      require(.vvvvUnused, 1)
    }
    requireModRM(row)
  }

  private static func sizeCode(_ bits: Int) -> UInt32 { bits == 16 ? 0 : bits == 32 ? 1 : 2 }

  private mutating func require(_ field: ContextField, _ wanted: UInt32) {
    let fieldMask = UInt32(1 << field.width - 1) << UInt32(field.shift)
    if mask & fieldMask == 0 { count += 1 }
    mask |= fieldMask
    value = (value & ~fieldMask) | (wanted << UInt32(field.shift))
  }

  private mutating func requirePrefix(_ prefix: Encoding.MandatoryPrefix) {
    // A prefix that selects an instruction outweighs everything else.
    if prefix != .any, prefix != .none { count += 4 }
    switch prefix {
    case .any: break
    case .none: require(.selectingPrefix, 0)
    case .p66: require(.selectingPrefix, 1)
    case .pF3: require(.selectingPrefix, 2)
    case .pF2: require(.selectingPrefix, 3)
    case .p66F3, .p66F2:
      require(.selectingPrefix, prefix == .p66F3 ? 2 : 3)
      require(.has66, 1)
    }
  }

  private mutating func requireLength(_ length: Encoding.VectorLength) {
    switch length {
    case .ignored: break
    case .l128, .zero: require(.vectorLength, 0)
    case .l256: require(.vectorLength, 1)
    case .l512: require(.vectorLength, 2)
    }
  }

  private mutating func requireModRM(_ row: Row) {
    switch row.encoding.modRM {
    case .absent, .register: break
    case .vsib: require(.modRMRM, 4)
    case .digit(let digit): require(.modRMReg, UInt32(digit))
    case .exact(let byte):
      if byte >= 0xc0 { require(.isRegisterForm, 1) }
      require(.modRMReg, UInt32(byte >> 3 & 7))
      require(.modRMRM, UInt32(byte & 7))
    case .stack(let byte):
      require(.isRegisterForm, 1)
      require(.modRMReg, UInt32(byte >> 3 & 7))
    }
    if row.attributes.contains(.modless) { return }
    for operand in row.operands
    where operand.letter == .modRM && operand.allowsMemory != operand.allowsRegister {
      require(.isRegisterForm, operand.allowsRegister ? 1 : 0)
    }
  }

  /// Whether some context satisfies both.
  func overlaps(_ other: Conditions) -> Bool { (value ^ other.value) & mask & other.mask == 0 }
}
