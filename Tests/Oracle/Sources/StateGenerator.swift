// Random states: registers with edge values, pointers where instructions need them, vector registers full of numbers that
// floating-point and integer units find hard, all x87 control settings.

import CNative

struct StateGenerator {
  var random: RandomSource
  /// Fill the registers that AVX-512 adds; else they are zero.
  var hasVectors512 = false

  /// A state in which `instruction` of `row` has its operands in reach, most of the time.
  mutating func state(for row: Row, _ instruction: EncodedInstruction, rip: UInt64) -> native_state {
    var state = native_state()
    state.rip = rip
    state.rflags = 0x202 | (random.next() & 0x8d5)
    if usesStrings(row) && random.oneIn(3) { state.rflags |= 0x400 }
    withUnsafeMutableBytes(of: &state.general) { raw in
      let general = raw.bindMemory(to: UInt64.self)
      for number in 0..<16 { general[number] = random.edge() }
      pointers(row, general)
      address(instruction, general)
    }
    withUnsafeMutableBytes(of: &state.extended) {
      extended(row, $0, instruction)
      if hasVectors512 { vectors512(row, $0, instruction) }
    }
    return state
  }

  private func usesStrings(_ row: Row) -> Bool {
    row.attributes.contains(.rep) || row.attributes.contains(.repcc)
  }

  private mutating func nearData() -> UInt64 {
    if random.oneIn(16) { return Layout.data &+ Layout.dataSize &- UInt64(random.below(40)) }
    let address = Layout.dataMiddle &+ UInt64(random.below(1024)) &- 512
    return random.oneIn(2) ? address & ~63 : address
  }

  /// Registers that instructions use as pointers or counts without naming them.
  private mutating func pointers(_ row: Row, _ general: UnsafeMutableBufferPointer<UInt64>) {
    general[4] = nearData() & ~7
    for number in [3, 5, 6, 7] where usesStrings(row) || random.oneIn(2) { general[number] = nearData() }
    if usesStrings(row) { general[1] = UInt64(random.below(40)) }
    if row.mnemonic == "XLATB" { general[3] = nearData() }
    if row.mnemonic.hasPrefix("MASKMOV") || row.mnemonic == "VMASKMOVDQU" { general[7] = nearData() }
    if row.mnemonic == "ENTER" || row.mnemonic == "LEAVE" { general[5] = nearData() & ~7 }
    if row.mnemonic.hasPrefix("BT"), random.oneIn(2) {
      // Bit strings: keep offsets within the data most of the time.
      for number in 0..<16 where number != 4 { general[number] = UInt64(random.below(4096)) &- 2048 }
    }
    if row.mnemonic.hasSuffix("DIV"), random.oneIn(2) {
      general[2] = UInt64(random.below(3)) &- 1
    }
  }

  /// Makes the explicit memory operand point into the data.
  private mutating func address(
    _ instruction: EncodedInstruction, _ general: UnsafeMutableBufferPointer<UInt64>
  ) {
    if random.oneIn(40) { return }
    guard let base = instruction.base else { return }
    if let index = instruction.index, index != base {
      if random.oneIn(2) { general[index] = UInt64(random.below(200)) }
      if instruction.is32BitAddress { general[index] &= 0xff }
    }
    let target = nearData()
    let scaled = instruction.index.map { general[$0] << UInt64(instruction.scale) } ?? 0
    general[base] = target &- scaled &- UInt64(bitPattern: instruction.displacement)
    if instruction.is32BitAddress {
      general[base] = (general[base] & 0xffff_ffff) | (random.next() << 32)
    }
  }

  // MARK: Extended state

  private mutating func extended(
    _ row: Row, _ area: UnsafeMutableRawBufferPointer, _ instruction: EncodedInstruction
  ) {
    func store<T>(_ value: T, _ offset: Int) { area.storeBytes(of: value, toByteOffset: offset, as: T.self) }
    let control: UInt16 =
      0x37f & ~0xf00 | UInt16(random.pick([0, 2, 3])) << 8 | UInt16(random.below(4)) << 10
    store(control, 0)
    let top = UInt16(random.below(8))
    store(top << 11 | UInt16(random.next() & 0x4700), 2)
    let tags: UInt8 = random.oneIn(3) ? UInt8(truncatingIfNeeded: random.next()) : 0xff
    store(tags, 4)
    var mxcsr: UInt32 = 0x1f80 | UInt32(random.below(4)) << 13
    if random.oneIn(4) { mxcsr |= 0x8000 }
    if random.oneIn(4) { mxcsr |= 0x40 }
    if random.oneIn(4) { mxcsr |= UInt32(random.next() & 0x3f) }
    store(mxcsr, 24)
    for number in 0..<8 { x87(area, 32 + number * 16) }
    let isNarrow = random.oneIn(2)
    for offset in stride(from: 160, to: 416, by: 8) { store(lane(isNarrow), offset) }
    for offset in stride(from: 576, to: 832, by: 8) { store(lane(isNarrow), offset) }
    if let index = instruction.vectorIndex, !row.isVectors512 { gatherIndices(area, index) }
    if row.file == "x87.isa" { x87State(area) }
  }

  private mutating func gatherIndices(_ area: UnsafeMutableRawBufferPointer, _ index: Int) {
    for offset in [160 + index * 16, 168 + index * 16, 576 + index * 16, 584 + index * 16] {
      let low = UInt32(random.below(64))
      let high = random.oneIn(2) ? UInt32(random.below(64)) : 0
      area.storeBytes(of: UInt64(low) | UInt64(high) << 32, toByteOffset: offset, as: UInt64.self)
    }
  }

  /// Eight bytes of a vector register.
  mutating func lane(_ isNarrow: Bool) -> UInt64 {
    switch random.below(6) {
    case 0: return double()
    case 1: return UInt64(float()) | UInt64(float()) << 32
    case 2: return UInt64(float()) | UInt64(float()) << 32
    case 3: return double()
    case 4: return random.edge()
    default: return isNarrow ? random.next() & 0x0f0f_0f0f_0f0f_0f0f : random.next()
    }
  }

  mutating func double() -> UInt64 {
    let sign = random.next() & 0x8000_0000_0000_0000
    switch random.below(10) {
    case 0: return sign
    case 1: return sign | (random.next() & 0xf_ffff_ffff_ffff)
    case 2: return sign | 0x7ff0_0000_0000_0000
    case 3: return sign | 0x7ff8_0000_0000_0000 | (random.next() & 0x7_ffff_ffff_ffff)
    case 4: return sign | 0x7ff0_0000_0000_0000 | (random.next() & 0x7_ffff_ffff_ffff) | 1
    case 5:
      return sign | (0x3fe &+ UInt64(random.below(3))) << 52 | (random.oneIn(2) ? 0 : random.next() >> 12)
    case 6: return Double(Int32(truncatingIfNeeded: random.next())).bitPattern
    case 7: return sign | UInt64(random.below(2047)) << 52 | (random.next() >> 12)
    case 8: return sign | (0x3ff &+ UInt64(random.below(80))) << 52 | (random.next() >> 12)
    default: return sign | (random.oneIn(2) ? 1 : 0x7fe) << 52 | (random.next() >> 12)
    }
  }

  mutating func float() -> UInt32 {
    let sign = UInt32(random.next() & 0x8000_0000)
    let mantissa = UInt32(random.next() & 0x7f_ffff)
    switch random.below(9) {
    case 0: return sign
    case 1: return sign | mantissa
    case 2: return sign | 0x7f80_0000
    case 3: return sign | 0x7fc0_0000 | mantissa
    case 4: return sign | 0x7f80_0000 | (mantissa & 0x3f_ffff) | 1
    case 5: return sign | (0x7e &+ UInt32(random.below(3))) << 23 | (random.oneIn(2) ? 0 : mantissa)
    case 6: return Float(Int16(truncatingIfNeeded: random.next())).bitPattern
    case 7: return sign | (0x7f &+ UInt32(random.below(70))) << 23 | mantissa
    default: return sign | UInt32(random.below(255)) << 23 | mantissa
    }
  }

  /// An 80-bit register: also pseudo-denormals and unnormals.
  private mutating func x87(_ area: UnsafeMutableRawBufferPointer, _ offset: Int) {
    var significand = random.next() | 0x8000_0000_0000_0000
    var exponent = UInt16(random.next() & 0x8000)
    switch random.below(12) {
    case 0: significand = 0
    case 1: (significand, exponent) = (random.next() >> UInt64(random.below(64)), exponent)
    case 2: (significand, exponent) = (0x8000_0000_0000_0000, exponent | 0x7fff)
    case 3: exponent |= 0x7fff
    case 4: (significand, exponent) = (random.next() >> 1, exponent | UInt16(random.below(0x8000)))
    case 5: exponent |= UInt16(random.below(0x7fff))
    case 6, 7: exponent |= 0x3fff &+ UInt16(random.below(70)) &- 4
    case 8:
      (significand, exponent) = (
        0x8000_0000_0000_0000 << UInt64(0), exponent | (0x3ffe &+ UInt16(random.below(3)))
      )
    case 9: exponent |= 1
    case 10: exponent |= 0x7ffe
    default: exponent |= 0x3fff &+ UInt16(random.below(20)) &- 10
    }
    area.storeBytes(of: significand, toByteOffset: offset, as: UInt64.self)
    area.storeBytes(of: exponent, toByteOffset: offset + 8, as: UInt16.self)
  }

  /// Fills the data pages.
  mutating func fill(_ bytes: UnsafeMutableRawBufferPointer) {
    let isNarrow = random.oneIn(2)
    for offset in stride(from: 0, to: bytes.count, by: 8) {
      bytes.storeBytes(of: lane(isNarrow), toByteOffset: offset, as: UInt64.self)
    }
  }
}
