// Instructions that need a prepared state: strings, divisions, gathers, control words, save areas, segment bases.

import X86

extension BlockGenerator {
  /// A target somewhere in the data, with room for `size` bytes.
  mutating func dataTarget(_ size: UInt64, aligned: UInt64 = 1) -> UInt64 {
    (BlockLayout.data + random.next() % (BlockLayout.dataSize - size)) & ~(aligned - 1)
  }

  mutating func prepared() {
    switch random.below(24) {
    case 0..<5: gather()
    case 5..<8: maskedStore()
    case 8..<11: translate()
    case 11..<14: loadMXCSR()
    case 14..<17: loadX87Control()
    case 17..<19: x87Environment()
    case 19: saveArea()
    case 20: extendedSaveArea()
    case 21, 22: segmentBase()
    default: setDirection()
    }
  }

  // MARK: Strings

  mutating func setDirection() {
    let down = random.oneIn(3)
    emit([down ? 0xfd : 0xfc], row: pool.bySemantic[down ? "std" : "cld"]?.first)
    direction = down
  }

  /// A string instruction, repeated or not, in either direction, with whatever address size the row has.
  mutating func string() {
    guard
      let index = pool.pick(random.pick(["movs", "movs", "stos", "stos", "cmps", "scas", "lods"]), &random),
      !isReserved(1), !isReserved(6), !isReserved(7), pool.rows[index].implicitWrites & reserved == 0
    else { return plain() }
    if direction == nil || random.oneIn(4) { setDirection() }
    let row = pool.rows[index]
    let form = random.pick(row.forms)
    let isRepeated = form != .register
    let count = UInt64(random.oneIn(6) ? random.below(2) : random.below(24))
    let length = (isRepeated ? count : 1) * 8 + 8
    var source = dataTarget(2 * length) + (direction == true ? length : 0)
    let target =
      random.oneIn(3) ? max(BlockLayout.data + length, source &+ 8 &- UInt64(random.below(17))) : source
    var destination = dataTarget(2 * length) + (direction == true ? length : 0)
    if target <= BlockLayout.readOnly - 2 * length && random.oneIn(2) { destination = target }
    var bytes = RowEncoder.encode(row.row, form, &random, codeAddress: 0).bytes
    let is32Bit = row.row.encoding.addressSize == 32
    // REP with 32-bit addresses that has nothing to do keeps the upper halves on AMD's processors and clears them on Intel's.
    let mayHaveRubbish = MakersChoice.isAMD || !isRepeated
    let rubbish = is32Bit && random.oneIn(3) && mayHaveRubbish ? random.next() << 32 : 0
    if var wild = wildString(isRepeated ? count : 1) {
      if is32Bit && !mayHaveRubbish { wild &= 0xffff_ffff }
      if random.oneIn(2) && row.semantic != "stos" && row.semantic != "scas" {
        source = wild
      } else {
        destination = wild
      }
    }
    let isSource = row.semantic == "movs" || row.semantic == "lods" || row.semantic == "cmps"
    if random.oneIn(8), options.hasBases, isSource {
      let isFS = random.oneIn(2)
      let offset = source &- (isFS ? fsBase : gsBase)
      if BlockGenerator.isCanonical(source) == BlockGenerator.isCanonical(offset),
        !is32Bit || offset < 1 << 32
      {
        bytes.insert(isFS ? 0x64 : 0x65, at: 0)
        source = offset
      }
    }
    move(6, source | rubbish)
    move(7, destination | rubbish)
    if isRepeated || random.oneIn(4) { move(1, count | (is32Bit ? rubbish : 0)) }
    let isSure = row.semantic == "cmps" || row.semantic == "scas"
    emit(
      bytes, reads: 0, defines: isSure && (!isRepeated || count > 0) ? FlagAnalysis.status : 0, row: index)
    for number in 0..<16 where row.implicitWrites & (1 << UInt32(number)) != 0 { known[number] = nil }
  }

  // MARK: Division

  /// DIV or IDIV, whose dividend is extended and whose divisor is not zero, most of the time.
  mutating func division() {
    guard let index = pool.pick(random.oneIn(2) ? "div" : "idiv", &random), !isReserved(0), !isReserved(2)
    else {
      return plain()
    }
    let row = pool.rows[index]
    let width = row.row.operands.first?.width ?? 64
    let isSigned = row.semantic == "idiv"
    let form = random.pick(row.forms)
    if form == .memory {
      let target = dataTarget(8)
      operate([0xc7], cell: target, 0, immediate: RowEncoder.little(random.edge() | 1, 4), wide: width == 64)
      extendDividend(width, isSigned)
      if emitRow(index, form: .memory, target: .at(target), avoiding: 5) { return }
    } else {
      let divisor = scratch(except: pointerMask | 5)
      if random.below(10) > 0 { operate([0x83], divisor, 1, immediate: [1], defines: 0x8c5, undefines: 0x10) }
      known[divisor] = nil
      extendDividend(width, isSigned)
      let prefix: [UInt8] = width == 16 ? [0x66] : []
      let rex = UInt8(0x40 | (width == 64 ? 8 : 0) | (divisor >= 8 ? 1 : 0))
      let modRM = UInt8(0xc0 | (isSigned ? 7 : 6) << 3 | divisor & 7)
      emit(
        prefix + [rex, width == 8 ? 0xf6 : 0xf7, modRM], defines: row.defines, undefines: row.undefines,
        row: index)
    }
    known[0] = nil
    known[2] = nil
  }

  private mutating func extendDividend(_ width: Int, _ isSigned: Bool) {
    known[0] = nil
    known[2] = nil
    switch (width, isSigned) {
    case (8, false): emit([0x0f, 0xb6, 0xc0])
    case (8, true): emit([0x66, 0x98])
    case (16, true): emit([0x66, 0x99])
    case (32, true): emit([0x99])
    case (64, true): emit([0x48, 0x99])
    default: move(2, 0)
    }
    known[2] = nil
  }

  // MARK: Vectors

  /// A gather whose indices come from a table.
  private mutating func gather() {
    guard let index = pool.pick("gather", &random), let table = cell(8) else { return plain() }
    let row = pool.rows[index]
    let isNarrow = row.memoryOperand?.indexElementWidth == 32
    for number in 0..<8 {
      let low = UInt64(bitPattern: Int64(random.below(120) - 60))
      let high = UInt64(bitPattern: Int64(random.below(120) - 60))
      let value = isNarrow ? low & 0xffff_ffff | high << 32 : low
      program.constants.append((table + UInt64(number) * 8, value))
    }
    // The index register is known when the row is encoded; the load goes in front of it.
    let place = program.items.count
    guard emitRow(index, form: .memory), let last = program.items.indices.last,
      let instruction = decode(program.items[last].bytes), instruction.index < 32
    else { return }
    let number = Int(instruction.index)
    var item = BlockItem()
    // VMOVDQU, or VMOVDQU64 of 512 bits.
    let high = UInt8((number & 8 == 0 ? 0x80 : 0) | (number & 16 == 0 ? 0x10 : 0))
    item.bytes = row.row.isVectors512 ? [0x62, 0x61 | high, 0xfe, 0x48] : [0xc5, number >= 8 ? 0x7e : 0xfe]
    item.bytes += [0x6f, UInt8(4 | (number & 7) << 3), 0x25] + RowEncoder.little(table, 4)
    program.items.insert(item, at: place)
    emitted += 1
  }

  /// MASKMOVQ and MASKMOVDQU store where RDI points to.
  private mutating func maskedStore() {
    guard let index = pool.pick("maskedStoreBytes", &random), !isReserved(7) else { return plain() }
    move(7, dataTarget(16))
    _ = emitRow(index)
  }

  /// XLATB.
  private mutating func translate() {
    guard let index = pool.pick("xlat", &random), !isReserved(3), !isReserved(0) else { return plain() }
    move(3, dataTarget(256))
    _ = emitRow(index)
  }

  // MARK: Control words

  /// Flags, rounding, flush to zero; exceptions are masked unless a fault is wanted.
  mutating func loadMXCSR(unmasking: UInt64 = 0) {
    guard let index = pool.pick("loadMXCSR", &random), let memory = cell() else { return plain() }
    let value = 0x1f80 & ~unmasking | random.next() & 0xe07f & (unmasking == 0 ? ~0 : ~0x3f)
    program.constants.append((memory, value))
    _ = emitRow(index, form: .memory, target: .at(memory))
  }

  mutating func loadX87Control(unmasking: UInt64 = 0) {
    guard let index = pool.pick("x87LoadControl", &random), let memory = cell() else { return plain() }
    let value = 0x7f & ~unmasking | random.pick([0, 2, 3]) << 8 | UInt64(random.below(4)) << 10
    program.constants.append((memory, value))
    _ = emitRow(index, form: .memory, target: .at(memory))
  }

  /// FNSTENV or FNSAVE, and perhaps back. What processors disagree on, the pointers, is overwritten.
  private mutating func x87Environment() {
    let isWhole = random.oneIn(2)
    guard let index = pool.pick(isWhole ? "x87SaveState" : "x87StoreEnvironment", &random) else {
      return plain()
    }
    let isNarrow = pool.rows[index].row.encoding.operandSize == 16
    let target = dataTarget(128)
    guard emitRow(index, form: .memory, target: .at(target)) else { return }
    for offset in stride(from: isNarrow ? 6 : 12, to: isNarrow ? 14 : 28, by: 4) {
      operate(
        [0xc7], cell: target + UInt64(offset), 0, immediate: RowEncoder.little(random.next(), 4), wide: false)
    }
    if random.oneIn(3) { return }
    let back = isWhole ? "x87RestoreState" : "x87LoadEnvironment"
    let candidates = (pool.bySemantic[back] ?? []).filter {
      (pool.rows[$0].row.encoding.operandSize == 16) == isNarrow
    }
    if let restore = candidates.first { _ = emitRow(restore, form: .memory, target: .at(target)) }
  }

  /// FXSAVE, and perhaps FXRSTOR.
  private mutating func saveArea() {
    guard let index = pool.pick("fxsave", &random) else { return plain() }
    let target = dataTarget(1024, aligned: 16)
    guard emitRow(index, form: .memory, target: .at(target)) else { return }
    settle(target)
    if random.oneIn(3) { return }
    sequence(random.below(3), plainOnly: true)
    // What the body stored there may be no valid image.
    operate(
      [0xc7], cell: target + 24, 0, immediate: RowEncoder.little(0x1f80 | random.next() & 0xe03f, 4),
      wide: false)
    operate([0xc7], cell: target, 0, immediate: RowEncoder.little(0x37f, 4), wide: false)
    if let restore = pool.pick("fxrstor", &random) {
      _ = emitRow(restore, form: .memory, target: .at(target))
    }
  }

  /// XSAVE, and perhaps XRSTOR.
  private mutating func extendedSaveArea() {
    guard let index = pool.pick("xsave", &random), !isReserved(0), !isReserved(2) else { return plain() }
    let target = dataTarget(1024, aligned: 64)
    move(0, UInt64(random.below(8)))
    move(2, 0)
    guard emitRow(index, form: .memory, target: .at(target), avoiding: 5) else { return }
    settle(target)
    operate(
      [0xc7], cell: target + 24, 0, immediate: RowEncoder.little(0x1f80 | random.next() & 0xe03f, 4),
      wide: false)
    operate([0xc7], cell: target, 0, immediate: RowEncoder.little(0x37f, 4), wide: false)
    for offset in stride(from: 512, to: 576, by: 8) {
      let value = offset == 512 ? UInt64(random.below(8)) : 0
      operate([0xc7], cell: target + UInt64(offset), 0, immediate: RowEncoder.little(value, 4))
    }
    if random.oneIn(3) { return }
    if let restore = pool.pick("xrstor", &random) {
      _ = emitRow(restore, form: .memory, target: .at(target), avoiding: 5)
    }
  }

  /// Overwrites what processors disagree on: x87 pointers and MXCSR_MASK.
  private mutating func settle(_ target: UInt64) {
    for offset in [4, 8, 12, 16, 20, 28] as [UInt64] {
      let value = offset == 4 ? random.next() & 0xff : random.next()
      operate([0xc7], cell: target + offset, 0, immediate: RowEncoder.little(value, 4), wide: false)
    }
  }

  // MARK: Segment bases

  /// Another base of FS or GS for some instructions.
  private mutating func segmentBase() {
    let isFS = random.oneIn(2)
    guard options.hasBases, mayCall, let index = pool.pick(isFS ? "wrfsbase" : "wrgsbase", &random) else {
      return plain()
    }
    let isWide = pool.rows[index].row.encoding.w == true
    let register = scratch(except: pointerMask)
    let value = random.pick(
      [0x10, 0x1000_0000, BlockLayout.data - 0x80] + (isWide ? [~0xffff, 1 << 46] : []))
    let home = isFS ? program.fsBase : program.gsBase
    let opcode = { (wide: Bool) -> [UInt8] in
      let rex = UInt8(0x40 | (wide ? 8 : 0) | (register >= 8 ? 1 : 0))
      return [0xf3, rex, 0x0f, 0xae, UInt8(0xc0 | (isFS ? 2 : 3) << 3 | register & 7)]
    }
    move(register, value | (isWide ? 0 : random.next() << 32))
    emit(opcode(isWide), row: index)
    if isFS { fsBase = value } else { gsBase = value }
    sequence(1 + random.below(4), plainOnly: true)
    move(register, home)
    emit(opcode(true), row: nil)
    if isFS { fsBase = home } else { gsBase = home }
  }
}
