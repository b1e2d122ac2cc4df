// One row with random operands: encoded, decoded again to see what was chosen, and given a reachable memory operand.

import X86

extension BlockGenerator {
  /// Where a row's memory operand shall lie.
  enum Target {
    case anywhere
    case at(UInt64)
  }

  /// Encodes the row and emits it, with the MOVs that its memory operand needs. False when no attempt fits.
  mutating func emitRow(_ index: Int, form: TestForm? = nil, target: Target = .anywhere, avoiding: UInt32 = 0)
    -> Bool
  {
    let row = pool.rows[index]
    for _ in 0..<10 {
      let form = form ?? chooseForm(row)
      var random = self.random
      var encoded = RowEncoder.encode(row.row, form, &random, codeAddress: 0, allForms: true)
      self.random = random
      if encoded.bytes.count > 14 { continue }
      guard var instruction = decode(encoded.bytes) else { continue }
      let written = row.writes(instruction)
      if !mayWrite(written) { continue }
      if avoiding != 0 && isUsing(instruction, avoiding) { continue }
      var fixup = BlockFixup.none
      let isMemory = instruction.hasMemoryOperand || row.memoryOperand?.letter == .offset
      if isMemory && (row.accessSize > 0 || instruction.base == Instruction.relative) {
        if !encoded.usesGS && options.hasBases && self.random.oneIn(20) {
          encoded.bytes.insert(0x64, at: 0)
          guard let again = decode(encoded.bytes) else { continue }
          instruction = again
        }
        guard let found = reach(row, &encoded, instruction, target) else { continue }
        fixup = found
        if BlockGenerator.margin(row) == 0x120 && !limitBitOffset(instruction) { continue }
      }
      let stack = known[4]
      emit(
        encoded.bytes, fixup: fixup, reads: row.reads, defines: row.defines, undefines: row.undefines,
        row: index)
      for number in 0..<16 where written & (1 << UInt32(number)) != 0 { known[number] = nil }
      if written & 1 << 4 != 0, let stack { move(4, stack) }
      return true
    }
    return false
  }

  private mutating func chooseForm(_ row: PoolRow) -> TestForm {
    if row.forms.count == 1 { return row.forms[0] }
    let form = random.pick(row.forms)
    // LOCK is slow on silicon and rare in programs.
    return form == .locked && random.oneIn(2) ? .memory : form
  }

  func decode(_ bytes: [UInt8]) -> Instruction? {
    bytes.withUnsafeBytes { Decoder.decode($0, mode: .bits64) }
  }

  /// Counters never, pointers seldom, RSP only where its value is known and can be put back.
  private mutating func mayWrite(_ written: UInt32) -> Bool {
    if written & reserved != 0 { return false }
    if written & 1 << 4 != 0 && (known[4] == nil || !random.oneIn(6)) { return false }
    for number in 0..<16 where written & (1 << UInt32(number)) != 0 && homes[number] != nil {
      if random.below(4) > 0 { return false }
    }
    return true
  }

  private func isUsing(_ instruction: Instruction, _ mask: UInt32) -> Bool {
    if instruction.hasMemoryOperand {
      return (instruction.base < 16 && mask & (1 << UInt32(instruction.base)) != 0)
        || (instruction.index < 16 && mask & (1 << UInt32(instruction.index)) != 0)
    }
    var used = mask & (1 << UInt32(instruction.rm & 15)) != 0
    let isByte = instruction.opcode & 1 == 0 && instruction.prefixes.isDisjoint(with: [.rex])
    if isByte && instruction.rm >= 4 { used = used || mask & (1 << UInt32(instruction.rm & 3)) != 0 }
    return used
  }

  // MARK: Memory operands

  /// Makes the instruction's memory operand lie at a good address, by MOVs in front or by patching its bytes.
  private mutating func reach(
    _ row: PoolRow, _ encoded: inout EncodedInstruction, _ instruction: Instruction, _ wish: Target
  ) -> BlockFixup? {
    let segment = segmentBase(instruction)
    let is32Bit = instruction.addressSize == 32
    let target: UInt64
    switch wish {
    case .at(let address): target = address
    case .anywhere: target = wildTarget(row) ?? goodTarget(row)
    }
    let isWild = wildAccess != nil
    let offset = target &- segment
    if is32Bit && offset >= 1 << 32 { return nil }
    if segment != 0 && wildAccess != nil && row.row.encoding.modRM == .vsib { return nil }
    // AMD's processors check the offset in a segment as well as the address.
    if segment != 0 && BlockGenerator.isCanonical(target) != BlockGenerator.isCanonical(offset) { return nil }
    let end = encoded.bytes.count - row.immediateSize
    if row.memoryOperand?.letter == .offset {
      BlockProgram.put(offset, is32Bit ? 4 : 8, at: encoded.bytes.count - (is32Bit ? 4 : 8), &encoded.bytes)
      return BlockFixup.none
    }
    if instruction.base == Instruction.relative {
      let distance = Int64(bitPattern: offset &- BlockLayout.code)
      guard is32Bit || abs(distance) < 0x7ff0_0000 else { return nil }
      return .instructionPointer(target: offset, offset: end - 4)
    }
    let base = Int(instruction.base)
    let hasIndex = instruction.index != Instruction.none && encoded.vectorIndex == nil
    if instruction.base == Instruction.none && !hasIndex && encoded.vectorIndex == nil {
      let signed = Int64(bitPattern: offset)
      guard is32Bit || (signed >= Int64(Int32.min) && signed <= Int64(Int32.max)) else { return nil }
      BlockProgram.put(offset, 4, at: end - 4, &encoded.bytes)
      return BlockFixup.none
    }
    if base == 4 {
      if isWild { return nil }
      if case .at = wish { return nil }
      return reachStack(row, instruction, segment) ? BlockFixup.none : nil
    }
    return reachByRegisters(row, instruction, hasIndex, segment, offset, wish) ? BlockFixup.none : nil
  }

  static func isCanonical(_ address: UInt64) -> Bool {
    let high = Int64(bitPattern: address) >> 47
    return high == 0 || high == -1
  }

  private func segmentBase(_ instruction: Instruction) -> UInt64 {
    switch instruction.segment {
    case .fs: return fsBase
    case .gs: return gsBase
    default: return 0
    }
  }

  /// Loads the registers of the address, unless what they hold is good already.
  private mutating func reachByRegisters(
    _ row: PoolRow, _ instruction: Instruction, _ hasIndex: Bool, _ segment: UInt64, _ offset: UInt64,
    _ wish: Target
  ) -> Bool {
    let is32Bit = instruction.addressSize == 32
    let displacement = UInt64(bitPattern: instruction.displacement)
    let base = Int(instruction.base)
    let index = Int(instruction.index)
    if instruction.base == Instruction.none {
      // Only an index: the address must be a multiple away.
      let scaled = offset &- displacement
      guard hasIndex, index != 4, !isReserved(index) else { return false }
      let mask = (UInt64(1) << UInt64(instruction.scale)) - 1
      if scaled & mask != 0 { return false }
      let value = UInt64(bitPattern: Int64(bitPattern: scaled) >> Int64(instruction.scale))
      move(index, is32Bit ? value & 0xffff_ffff : value)
      return true
    }
    if isReserved(base) || (hasIndex && index == base) { return false }
    if hasIndex && (index == 4 || isReserved(index)) && known[index] == nil { return false }
    var scaled: UInt64 = 0
    if hasIndex {
      if let value = known[index], let here = known[base] {
        let address = here &+ (value << UInt64(instruction.scale)) &+ displacement
        if isGood(row, is32Bit ? address & 0xffff_ffff : address, segment, wish) { return true }
      }
      if known[index] == nil { move(index, indexValue()) }
      scaled = (known[index] ?? 0) << UInt64(instruction.scale)
    } else if let here = known[base] {
      let address = here &+ displacement
      if isGood(row, is32Bit ? address & 0xffff_ffff : address, segment, wish) { return true }
    }
    if homes[base] != nil && !random.oneIn(6) { return false }
    var value = offset &- scaled &- displacement
    if is32Bit { value = value & 0xffff_ffff | (random.oneIn(3) ? random.next() << 32 : 0) }
    move(base, value)
    return true
  }

  /// Bit strings: the offset in the register must be small.
  private mutating func limitBitOffset(_ instruction: Instruction) -> Bool {
    let number = Int(instruction.reg)
    if number == 4 || isReserved(number) || instruction.reg == instruction.base
      || instruction.reg == instruction.index
    {
      return false
    }
    move(number, UInt64(bitPattern: Int64(random.below(4096)) - 2048))
    return true
  }

  private mutating func indexValue() -> UInt64 {
    switch random.below(8) {
    case 0: return 0 &- UInt64(random.below(100))
    case 1: return random.edge()
    case 2: return UInt64(random.below(0x10000))
    default: return UInt64(random.below(100))
    }
  }

  /// Whether an address that registers happen to form can be used.
  private mutating func isGood(_ row: PoolRow, _ offset: UInt64, _ segment: UInt64, _ wish: Target) -> Bool {
    if wildAccess != nil { return false }
    if case .at(let address) = wish { return offset &+ segment == address }
    let address = offset &+ segment
    let size = max(row.accessSize, 1)
    let margin = BlockGenerator.margin(row)
    let end = BlockLayout.data + BlockLayout.dataSize + (row.isStore ? 0 : BlockLayout.readOnlySize)
    guard address >= BlockLayout.data + margin, address <= end - size - margin else { return false }
    return !row.isAligned || address & (size - 1) == 0
  }

  /// Bit strings and gathers reach beyond the address of their operand.
  static func margin(_ row: PoolRow) -> UInt64 {
    switch row.semantic {
    case "bt", "bts", "btr", "btc": return 0x120
    default: return row.row.encoding.modRM == .vsib ? 0x300 : 0
    }
  }

  private mutating func goodTarget(_ row: PoolRow) -> UInt64 {
    let size = max(row.accessSize, 1)
    let margin = BlockGenerator.margin(row)
    let length = BlockLayout.dataSize + (row.isStore ? 0 : BlockLayout.readOnlySize) - size - 2 * margin
    var address = BlockLayout.data + margin + random.next() % length
    if row.isAligned { return address & ~(size - 1) }
    switch random.below(8) {
    case 0:
      // Across a page boundary, if it is long enough.
      let boundary = BlockLayout.data + 0x1000 + 0x1000 * UInt64(random.below(2))
      address = boundary - UInt64(random.below(Int(min(size, 64))))
    case 1, 2: address = max(BlockLayout.data + margin, address & ~63) + (margin == 0 ? 0 : 64)
    case 3, 4, 5: address &= ~(min(size & (0 &- size), 64) - 1)
    default: break
    }
    return max(address, BlockLayout.data + margin)
  }

  /// RSP as the base: loads anywhere near it, stores below it or where nothing matters.
  private mutating func reachStack(_ row: PoolRow, _ instruction: Instruction, _ segment: UInt64) -> Bool {
    guard segment == 0, BlockGenerator.margin(row) == 0 else { return false }
    var offset = instruction.displacement
    if instruction.index != Instruction.none {
      let index = Int(instruction.index)
      if isReserved(index) && known[index] == nil { return false }
      if known[index] == nil || (known[index] ?? 0) > 64 {
        if isReserved(index) || homes[index] != nil { return false }
        move(index, UInt64(random.below(33)))
      }
      offset += Int64(known[index] ?? 0) << Int64(instruction.scale)
    }
    let size = Int64(max(row.accessSize, 1))
    guard offset > -0x600, offset + size < 0x600 else { return false }
    if row.isStore && offset + size > 0 && (offset < 0 || offset + size > Int64(freeAbove)) { return false }
    if row.isAligned {
      guard let stack = known[4] else { return false }
      return (stack &+ UInt64(bitPattern: offset)) & UInt64(size - 1) == 0
    }
    return true
  }
}
