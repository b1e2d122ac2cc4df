// Bytes to `Instruction`. Three steps: prefixes; opcode, ModRM and memory operand; then the row, found among the few that
// share the opcode by comparing one packed context word. The tables are generated (Generated/DecoderTables.swift).
// Nothing is allocated, nothing is read beyond the given bytes or beyond 15 of them. See Docs/decoder.md.

/// What decoding came to.
public enum DecodeStatus: UInt8, Sendable {
  /// The instruction is complete.
  case valid
  /// No row matches: #UD.
  case invalid
  /// The given bytes end within the instruction.
  case needsMoreBytes
  /// More than 15 bytes: #GP.
  case tooLong
}

/// Decodes instructions of one operating mode. A cursor over one instruction's bytes while it works.
public struct Decoder {
  /// The longest instruction in bytes.
  @inlinable public static var maximumLength: Int { 15 }

  /// Decodes the instruction at the start of `bytes` into `instruction`. After `.invalid`, `instruction.length` tells how
  /// many bytes were looked at; its other fields mean nothing then.
  public static func decode(
    _ bytes: UnsafeRawBufferPointer, mode: OperatingMode, into instruction: inout Instruction
  ) -> DecodeStatus {
    guard let address = bytes.baseAddress else { return .needsMoreBytes }
    var decoder = Decoder(address, bytes.count, mode)
    let isValid = decoder.run(&instruction)
    instruction.length = UInt8(truncatingIfNeeded: decoder.position)
    if decoder.isOverrun { return decoder.limit == maximumLength ? .tooLong : .needsMoreBytes }
    return isValid ? .valid : .invalid
  }

  /// Decodes the instruction at the start of `bytes`; nil unless it is valid.
  public static func decode(_ bytes: UnsafeRawBufferPointer, mode: OperatingMode) -> Instruction? {
    var instruction = Instruction()
    return decode(bytes, mode: mode, into: &instruction) == .valid ? instruction : nil
  }

  // SAFETY: valid for `limit` bytes while `decode` runs; `next` compares every position with `limit`.
  private let start: UnsafePointer<UInt8>
  private let limit: Int
  let mode: OperatingMode
  private var position = 0
  private var isOverrun = false

  // Prefixes
  var prefixes = Prefixes()
  var rex: UInt8 = 0
  private var segment: UInt8 = 255
  /// 0 none, 1 66, 2 F3, 3 F2; as VEX.pp.
  var selectingPrefix: UInt32 = 0

  // Fields of VEX and EVEX; REX.R, X, B are kept in `rex`.
  var vvvv: UInt8 = 0
  var vectorLength: UInt32 = 0
  /// EVEX.R', V', X as register number bit 4.
  var regHigh: UInt8 = 0
  var indexHigh: UInt8 = 0
  var rmHigh: UInt8 = 0
  var opmask: UInt8 = 0

  private init(_ address: UnsafeRawPointer, _ count: Int, _ mode: OperatingMode) {
    start = address.assumingMemoryBound(to: UInt8.self)
    limit = min(count, Decoder.maximumLength)
    self.mode = mode
  }

  // PERF: a call per byte would double the time of decoding.
  @inline(__always) mutating func next() -> UInt8 {
    guard position < limit else {
      isOverrun = true
      return 0
    }
    defer { position &+= 1 }
    return start[position]
  }

  @inline(__always) func peek() -> UInt8? { position < limit ? start[position] : nil }

  /// Little-endian, 1, 2, 4 or 8 bytes, unsigned.
  @inline(__always) mutating func nextUnsigned(_ count: Int) -> UInt64 {
    guard position &+ count <= limit else {
      isOverrun = true
      return 0
    }
    // SAFETY: compared with `limit` above.
    let place = UnsafeRawPointer(start + position)
    position &+= count
    switch count {
    case 1: return UInt64(place.loadUnaligned(as: UInt8.self))
    case 2: return UInt64(UInt16(littleEndian: place.loadUnaligned(as: UInt16.self)))
    case 4: return UInt64(UInt32(littleEndian: place.loadUnaligned(as: UInt32.self)))
    default: return UInt64(littleEndian: place.loadUnaligned(as: UInt64.self))
    }
  }

  /// The same, sign-extended.
  @inline(__always) mutating func nextSigned(_ count: Int) -> Int64 {
    let shift = UInt64(64 &- 8 &* count)
    return Int64(bitPattern: nextUnsigned(count) &<< shift) &>> Int64(shift)
  }

  private mutating func run(_ instruction: inout Instruction) -> Bool {
    instruction = Instruction()
    instruction.mode = mode
    var byte = readPrefixes()
    instruction.opcodeOffset = UInt8(truncatingIfNeeded: position &- 1)
    var table = 0
    if byte == 0x0f {
      (table, byte) = readEscape()
    } else if byte == 0xc4 || byte == 0xc5 || byte == 0x62 || byte == 0x8f, isVectorPrefix(byte) {
      guard !isOverrun, let selected = readVectorPrefix(byte) else { return false }
      (table, byte) = (selected, next())
    }
    if isOverrun { return false }
    instruction.opcode = byte
    let entry = opcodeIndex[table &* 256 &+ Int(byte)]
    if entry == 0 { return false }
    instruction.addressSize = addressSize
    instruction.opcodeRegister = byte & 7 | (rex & 1) &<< 3
    var context = contextBeforeModRM()
    if entry &>> 24 & 1 != 0 {
      let modRM = next()
      instruction.modRM = modRM
      instruction.modRMOffset = UInt8(truncatingIfNeeded: position &- 1)
      let isRegister = modRM >= 0xc0 || entry &>> 25 & 1 != 0
      context |= (isRegister ? 1 : 0) &<< ContextField.isRegisterForm
      context |=
        UInt32(modRM &>> 3 & 7) &<< ContextField.modRMReg | UInt32(modRM & 7) &<< ContextField.modRMRM
      if prefixes.contains(.evexB), isRegister { context = withoutVectorLength(context) }
    }
    guard let row = match(entry, context) else { return false }
    return finish(&instruction, row, hasModRM: entry &>> 24 & 1 != 0, modless: entry &>> 25 & 1 != 0)
  }

  // PERF: once per instruction, on the hottest path of block building.
  @inline(__always) private func match(_ entry: UInt32, _ context: UInt32) -> RowInfo? {
    var candidate = Int(entry & 0xffff)
    let end = candidate &+ Int(entry &>> 16 & 0xff)
    while candidate < end {
      let condition = candidateConditions[candidate]
      let value = UInt32(truncatingIfNeeded: condition)
      if (context ^ value) & UInt32(truncatingIfNeeded: condition &>> 32) == 0 {
        return RowInfo(id: candidateRows[candidate])
      }
      candidate &+= 1
    }
    return nil
  }

  @inline(__always) private mutating func finish(
    _ instruction: inout Instruction, _ row: RowInfo, hasModRM: Bool, modless: Bool
  ) -> Bool {
    instruction.row = row.id
    instruction.operandSize = operandSize(row.attributes)
    if hasModRM {
      readModRM(&instruction, row, modless: modless)
    } else if let override = Segment(rawValue: segment) {
      instruction.segment = override
    }
    instruction.immediateOffset = UInt8(truncatingIfNeeded: position)
    if row.immediateCode != 0 { readImmediates(&instruction, row) }
    instruction.prefixes.formUnion(prefixes)
    if !prefixes.isDisjoint(with: [.vex, .evex]) {
      instruction.vvvv = vvvv
      instruction.vectorLength = UInt8(truncatingIfNeeded: vectorLength)
      instruction.opmask = opmask
      return prefixes.contains(.evex) ? isPermitted(&instruction, row) : true
    }
    if prefixes.contains(.lock) {
      guard row.attributes.contains(.lock), instruction.hasMemoryOperand else { return false }
    }
    // MOV to and from segment registers: only six exist, and CS is not written.
    if instruction.opcode & 0xfd == 0x8c, row.operand(0).kind == .segment || row.operand(1).kind == .segment {
      let number = instruction.modRM &>> 3 & 7
      return number < 6 && (instruction.opcode == 0x8c || number != 1)
    }
    return true
  }

  /// Consumes prefixes and returns the first byte after them. REX counts only directly before the opcode.
  // PERF: most instructions have one prefix or none.
  @inline(__always) private mutating func readPrefixes() -> UInt8 {
    while true {
      let byte = next()
      if isOverrun { return 0 }
      if byte & 0xf0 == 0x40, mode == .bits64 {
        rex = byte
        continue
      }
      guard notePrefix(byte) else {
        if rex != 0 {
          prefixes.insert(.rex)
          if rex & 8 != 0 { prefixes.insert(.w) }
        }
        return byte
      }
      rex = 0
    }
  }

  // PERF: one comparison tells most opcodes from prefixes.
  @inline(__always) private mutating func notePrefix(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x66:
      prefixes.insert(.operandSize)
      if selectingPrefix == 0 { selectingPrefix = 1 }
    case 0x67: prefixes.insert(.addressSize)
    case 0xf0: prefixes.insert(.lock)
    case 0xf2:
      prefixes = prefixes.subtracting(.rep).union(.repne)
      selectingPrefix = 3
    case 0xf3:
      prefixes = prefixes.subtracting(.repne).union(.rep)
      selectingPrefix = 2
    case 0x26, 0x2e, 0x36, 0x3e:
      // Without meaning in 64-bit mode; they do not cancel FS or GS.
      if mode != .bits64 { override(byte &>> 3 & 3) }
    case 0x64, 0x65: override(byte &- 0x60)
    default: return false
    }
    return true
  }

  private mutating func override(_ number: UInt8) {
    segment = number
    prefixes.insert(.segment)
  }

  private mutating func readEscape() -> (table: Int, opcode: UInt8) {
    let byte = next()
    if byte == 0x38 { return (2, next()) }
    if byte == 0x3a { return (3, next()) }
    return (1, byte)
  }

  /// In 16-bit and 32-bit modes C4, C5 and 62 are LES, LDS and BOUND when a memory operand follows.
  /// 8F is POP unless the five bits that would be the opcode map are 8 or more.
  private func isVectorPrefix(_ byte: UInt8) -> Bool {
    if byte == 0x8f { return (peek() ?? 0) & 31 >= 8 }
    return mode == .bits64 || (peek() ?? 0) >= 0xc0
  }

  var segmentOverride: Segment? { Segment(rawValue: segment) }
}
