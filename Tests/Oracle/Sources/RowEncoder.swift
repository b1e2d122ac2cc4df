// Makes instruction bytes from a row: the inverse of the decoder, with random choices where the row leaves some.

/// Which form of a row to encode.
enum TestForm: CaseIterable {
  case register, memory, locked
  /// With F3, with F2 in front: string instructions.
  case repeated, repeatedNotEqual
}

/// One encoded instruction and what the state generator must know of it.
struct EncodedInstruction {
  var bytes: [UInt8] = []
  /// The memory operand, if any.
  var base: Int?
  var index: Int?
  var scale = 0
  var displacement: Int64 = 0
  var usesGS = false
  var is32BitAddress = false
  /// VSIB: the index is this vector register.
  var vectorIndex: Int?
}

struct RowEncoder {
  let row: Row
  var modRMReg = 0
  private var modRMRm = 0
  private var modRMMod = 3
  private var sib: UInt8?
  private var displacementBytes: [UInt8] = []
  var vvvv = 0
  private var is4 = 0
  private var opcodeRegister = 0
  var rexB = false, rexX = false, rexR = false
  private var forceRex = false
  private var allForms = false
  /// What only EVEX has; see RowEncoder+EVEX.swift.
  var evex = EVEXFields()
  var result = EncodedInstruction()

  /// Whether the row can be encoded in 64-bit mode in this form.
  static func allows(_ row: Row, _ form: TestForm) -> Bool {
    if row.attributes.contains(.i64) { return false }
    if row.encoding.addressSize == 16 { return false }
    if row.encoding.operandSize == 32 && row.attributes.contains(.d64) { return false }
    let memoryOperand = row.operands.first { $0.letter == .modRM || $0.letter == .offset }
    switch form {
    case .register: return memoryOperand?.allowsRegister ?? true
    case .memory: return memoryOperand?.allowsMemory ?? false
    case .locked: return (memoryOperand?.allowsMemory ?? false) && row.attributes.contains(.lock)
    case .repeated: return row.attributes.contains(.rep) || row.attributes.contains(.repcc)
    case .repeatedNotEqual: return row.attributes.contains(.repcc)
    }
  }

  /// `allForms`: also addresses without a base or a displacement, and far displacements, which only random blocks prepare.
  static func encode(
    _ row: Row, _ form: TestForm, _ random: inout RandomSource, codeAddress: UInt64, allForms: Bool = false
  ) -> EncodedInstruction {
    var encoder = RowEncoder(row: row)
    encoder.allForms = allForms
    encoder.chooseOperands(form, &random)
    return encoder.assemble(form, &random, codeAddress: codeAddress)
  }

  private init(row: Row) { self.row = row }

  // MARK: Choosing registers and addresses

  private mutating func chooseOperands(_ form: TestForm, _ random: inout RandomSource) {
    let usesMemory =
      form == .memory || form == .locked
      || (row.operands.contains { $0.letter == .modRM && !$0.allowsRegister })
    if row.encoding.space == .evex { chooseEVEX(usesMemory: usesMemory, &random) }
    for operand in row.operands {
      let number = registerNumber(operand, &random)
      switch operand.letter {
      case .register: modRMReg = number
      case .modRM:
        if usesMemory && operand.allowsMemory { chooseAddress(operand, &random) } else { modRMRm = number }
      case .vvvv: vvvv = number
      case .opcode: opcodeRegister = number
      case .is4: is4 = number
      default: break
      }
      let isByte = operand.kind == .general && operand.width == 8
      let isEncoded = operand.letter == .register || operand.letter == .modRM || operand.letter == .opcode
      if isByte, isEncoded, (4..<8).contains(number), random.oneIn(2) { forceRex = true }
    }
    switch row.encoding.modRM {
    case .digit(let digit): modRMReg = digit
    case .exact(let byte): setModRM(byte)
    case .stack(let byte): setModRM(byte + random.below(8))
    default: break
    }
    distinctGatherRegisters(&random)
  }

  private mutating func setModRM(_ byte: Int) {
    modRMMod = byte >> 6
    modRMReg = (byte >> 3) & 7
    modRMRm = byte & 7
  }

  /// Gathers need three different registers.
  private mutating func distinctGatherRegisters(_ random: inout RandomSource) {
    guard let index = result.vectorIndex else { return }
    while modRMReg == index { modRMReg = random.below(vectorRegisters) }
    if row.encoding.space == .evex { return }
    while vvvv == index || vvvv == modRMReg { vvvv = random.below(16) }
  }

  private func registerNumber(_ operand: Operand, _ random: inout RandomSource) -> Int {
    switch operand.kind {
    case .mmx, .x87, .mask: return random.below(8)
    case .segment: return random.pick([0, 3, 4, 5])
    case .xmm, .ymm, .zmm: return random.below(vectorRegisters)
    default: return random.below(16)
    }
  }

  private var vectorRegisters: Int { row.encoding.space == .evex ? 32 : 16 }

  private mutating func chooseAddress(_ operand: Operand, _ random: inout RandomSource) {
    result.usesGS = random.oneIn(12)
    result.is32BitAddress =
      row.encoding.addressSize == 32 || (row.encoding.addressSize == nil && random.oneIn(12))
    let isVector = operand.kind == .vectorMemory
    if allForms, !isVector, chooseRareAddress(&random) { return }
    let kind = isVector ? 2 : random.below(8)
    if kind == 0 {  // RIP-relative; the displacement is fixed up at the end
      modRMMod = 0
      modRMRm = 5
      return
    }
    if kind == 1 {  // absolute, by SIB without base and index
      modRMMod = 0
      modRMRm = 4
      sib = 0x25
      result.displacement = Int64(Layout.dataMiddle) + Int64(random.below(64))
      displacementBytes = RowEncoder.little(UInt64(bitPattern: result.displacement), 4)
      return
    }
    let base = random.below(16)
    result.base = base
    rexB = base >= 8
    modRMMod = random.below(2) + 1
    let spread = modRMMod == 1 ? 100 : 300
    let displacement = Int64(random.below(2 * spread)) - Int64(spread)
    displacementBytes = RowEncoder.little(UInt64(bitPattern: displacement), modRMMod == 1 ? 1 : 4)
    result.displacement = modRMMod == 1 ? displacement * displacementScale(operand) : displacement
    if isVector || base & 7 == 4 || random.oneIn(3) {
      chooseIndex(isVector, base, &random)
    } else {
      modRMRm = base & 7
    }
  }

  /// Now and then: base without displacement, with or without index; index without base; base with a far displacement.
  private mutating func chooseRareAddress(_ random: inout RandomSource) -> Bool {
    let kind = random.below(12)
    if kind > 3 { return false }
    let base = random.below(16)
    let index = random.below(16)
    if kind < 2 && base & 7 == 5 { return false }
    if kind > 0 && kind < 3 && (index == 4 || index == base) { return false }
    modRMMod = kind == 3 ? 2 : 0
    modRMRm = base & 7
    if kind == 1 || kind == 2 || base & 7 == 4 {
      modRMRm = 4
      result.scale = kind == 0 || kind == 3 ? 0 : random.below(4)
      let number = kind == 0 || kind == 3 ? 4 : index
      rexX = number >= 8
      sib = UInt8(result.scale << 6 | (number & 7) << 3 | (kind == 2 ? 5 : base & 7))
      if number != 4 { result.index = number }
    }
    if kind != 2 {
      result.base = base
      rexB = base >= 8
    }
    if kind >= 2 {
      result.displacement = Int64(Int32(truncatingIfNeeded: random.edge()))
      displacementBytes = RowEncoder.little(UInt64(bitPattern: result.displacement), 4)
    }
    return true
  }

  private mutating func chooseIndex(_ isVector: Bool, _ base: Int, _ random: inout RandomSource) {
    modRMRm = 4
    result.scale = random.below(4)
    var index = random.below(isVector ? vectorRegisters : 16)
    if isVector {
      result.vectorIndex = index
    } else {
      while index == base { index = random.below(16) }
      if index == 4 { result.scale = 0 } else { result.index = index }
    }
    rexX = index & 8 != 0
    sib = UInt8(result.scale << 6 | (index & 7) << 3 | (base & 7))
  }

  // MARK: Bytes

  private mutating func assemble(_ form: TestForm, _ random: inout RandomSource, codeAddress: UInt64)
    -> EncodedInstruction
  {
    let encoding = row.encoding
    var bytes: [UInt8] = []
    if form == .locked { bytes.append(0xf0) }
    if form == .repeated { bytes.append(0xf3) }
    if form == .repeatedNotEqual { bytes.append(0xf2) }
    if result.usesGS { bytes.append(0x65) }
    if result.is32BitAddress || encoding.addressSize == 32 { bytes.append(0x67) }
    rexR = modRMReg & 8 != 0
    if modRMMod == 3 {
      rexB = modRMRm & 8 != 0
      // EVEX extends the register in ModRM.rm by X, since no index is there.
      rexX = modRMRm & 16 != 0
    }
    if encoding.opcodeHoldsRegister { rexB = opcodeRegister >= 8 }
    switch encoding.space {
    case .legacy: bytes += legacyOpcode()
    case .evex: bytes += evexOpcode(&random)
    case .vex, .xop: bytes += vexOpcode(&random)
    }
    if encoding.modRM != .absent {
      bytes.append(UInt8(modRMMod << 6 | (modRMReg & 7) << 3 | (modRMRm & 7)))
      if let sib, modRMMod != 3 { bytes.append(sib) }
    }
    let immediates = immediateBytes(&random)
    if modRMMod == 0, modRMRm == 5, encoding.modRM != .absent, sib == nil {
      let end = codeAddress &+ UInt64(bytes.count + 4 + immediates.count)
      let target = Layout.dataMiddle &+ UInt64(random.below(64))
      displacementBytes = RowEncoder.little(target &- end, 4)
    }
    result.bytes = bytes + displacementBytes + immediates
    return result
  }

  private func legacyOpcode() -> [UInt8] {
    let encoding = row.encoding
    var bytes: [UInt8] = []
    if encoding.operandSize == 16 { bytes.append(0x66) }
    switch encoding.prefix {
    case .p66: bytes.append(0x66)
    case .pF3: bytes.append(0xf3)
    case .pF2: bytes.append(0xf2)
    case .p66F3: bytes += [0x66, 0xf3]
    case .p66F2: bytes += [0x66, 0xf2]
    case .any, .none: break
    }
    let default64 = row.attributes.contains(.d64) || row.attributes.contains(.f64)
    let wide = encoding.w == true || (encoding.operandSize == 64 && !default64)
    let rex = 0x40 | (wide ? 8 : 0) | (rexR ? 4 : 0) | (rexX ? 2 : 0) | (rexB ? 1 : 0)
    if rex != 0x40 || forceRex { bytes.append(UInt8(rex)) }
    switch encoding.map {
    case .oneByte: break
    case .map0F: bytes.append(0x0f)
    case .map0F38: bytes += [0x0f, 0x38]
    case .map0F3A: bytes += [0x0f, 0x3a]
    default: break
    }
    bytes.append(UInt8(encoding.opcode | (encoding.opcodeHoldsRegister ? opcodeRegister & 7 : 0)))
    return bytes
  }

  /// VEX.pp and EVEX.pp
  var prefixField: Int {
    switch row.encoding.prefix {
    case .p66: 1
    case .pF3: 2
    case .pF2: 3
    default: 0
    }
  }

  private func vexOpcode(_ random: inout RandomSource) -> [UInt8] {
    let encoding = row.encoding
    let length: Int
    switch encoding.vectorLength {
    case .l256: length = 1
    case .ignored: length = random.below(2)
    default: length = 0
    }
    let usesV = row.operands.contains { $0.letter == .vvvv }
    let v = usesV ? ~vvvv & 15 : 15
    let w = encoding.w == true ? 1 : (encoding.w == nil ? random.below(2) : 0)
    let low = v << 3 | length << 2 | prefixField
    if encoding.map == .map0F, w == 0, !rexX, !rexB, random.oneIn(2) {
      return [0xc5, UInt8((rexR ? 0 : 0x80) | low), UInt8(encoding.opcode)]
    }
    let first = (rexR ? 0 : 0x80) | (rexX ? 0 : 0x40) | (rexB ? 0 : 0x20) | encoding.map.rawValue
    return [0xc4, UInt8(first), UInt8(w << 7 | low), UInt8(encoding.opcode)]
  }

  private func immediateBytes(_ random: inout RandomSource) -> [UInt8] {
    var bytes: [UInt8] = []
    for immediate in row.encoding.immediates {
      switch immediate {
      case .ib: bytes += RowEncoder.little(immediateByte(&random), 1)
      case .iw: bytes += RowEncoder.little(immediateWord(&random), 2)
      case .id: bytes += RowEncoder.little(random.edge(), 4)
      case .io: bytes += RowEncoder.little(random.edge(), 8)
      case .cb: bytes += RowEncoder.little(UInt64(random.below(100)), 1)
      case .cw: bytes += RowEncoder.little(UInt64(random.below(100)), 2)
      case .cd: bytes += RowEncoder.little(UInt64(random.below(1000)), 4)
      case .is4: bytes.append(UInt8(is4 << 4) | UInt8(random.below(16)))
      case .moffs: bytes += RowEncoder.little(Layout.dataMiddle &+ UInt64(random.below(64)), moffsSize)
      case .cp: bytes += RowEncoder.little(random.next(), 6)
      }
    }
    return bytes
  }

  private var moffsSize: Int { result.is32BitAddress || row.encoding.addressSize == 32 ? 4 : 8 }

  private func immediateByte(_ random: inout RandomSource) -> UInt64 {
    if row.mnemonic == "ENTER" { return UInt64(random.below(32)) }
    return random.oneIn(3) ? random.edge() : random.next()
  }

  private func immediateWord(_ random: inout RandomSource) -> UInt64 {
    row.mnemonic == "ENTER" || row.mnemonic == "RET" ? UInt64(random.below(256)) : random.edge()
  }

  static func little(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
  }
}
