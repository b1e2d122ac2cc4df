// States for engines with AVX-512: opmask registers, the upper halves of ZMM0–15, ZMM16–31, and indices of gathers and
// scatters in any of them. Drawn from a source of their own, so that everything else is as it is without AVX-512.

import CNative

extension StateGenerator {
  /// Fills what AVX-512 adds to the extended state.
  mutating func vectors512(
    _ row: Row, _ area: UnsafeMutableRawBufferPointer, _ instruction: EncodedInstruction
  ) {
    let outer = random
    defer { random = outer }
    random = RandomSource(seed: random.next() ^ 0x512)
    let isNarrow = random.oneIn(2)
    for offset in stride(from: Int(NATIVE_ZMM_HIGH), to: Int(NATIVE_EXTENDED_SIZE), by: 8) {
      area.storeBytes(of: lane(isNarrow), toByteOffset: offset, as: UInt64.self)
    }
    for number in 0..<8 {
      area.storeBytes(of: opmask(), toByteOffset: Int(NATIVE_OPMASK) + number * 8, as: UInt64.self)
    }
    // Components in their initial state.
    for (start, end) in [(NATIVE_OPMASK, NATIVE_ZMM_HIGH), (NATIVE_ZMM_HIGH, NATIVE_HIGH_16)]
    where random.oneIn(12) {
      for offset in Int(start)..<Int(end) { area[offset] = 0 }
    }
    if random.oneIn(12) {
      for offset in Int(NATIVE_HIGH_16)..<Int(NATIVE_EXTENDED_SIZE) { area[offset] = 0 }
    }
    if row.isVectors512, let index = instruction.vectorIndex { indices(row, area, index) }
  }

  /// Nothing, everything, one element, few, many.
  private mutating func opmask() -> UInt64 {
    switch random.below(8) {
    case 0: return 0
    case 1: return ~0
    case 2: return 1 << UInt64(random.below(64))
    case 3: return random.next() & random.next() & random.next()
    case 4: return random.next() | random.next()
    case 5: return random.edge()
    default: return random.next()
    }
  }

  /// Small indices of both signs; one register in sixteen has a wild one.
  private mutating func indices(_ row: Row, _ area: UnsafeMutableRawBufferPointer, _ register: Int) {
    let isWide = row.operands.contains { $0.indexElementWidth == 64 }
    let wild = random.oneIn(16) ? random.below(8) : nil
    for part in 0..<8 {
      let low = Int32(random.below(128)) - 64
      let high = Int32(random.below(128)) - 64
      let narrow = UInt64(UInt32(bitPattern: low)) | UInt64(UInt32(bitPattern: high)) << 32
      let value = part == wild ? random.next() : isWide ? UInt64(bitPattern: Int64(low)) : narrow
      area.storeBytes(of: value, toByteOffset: StateGenerator.place(register, part), as: UInt64.self)
    }
  }

  /// Offset of eight bytes of a vector register, number 0–31, in `native_state.extended`.
  static func place(_ register: Int, _ part: Int) -> Int {
    if register >= 16 { return Int(NATIVE_HIGH_16) + (register - 16) * 64 + part * 8 }
    switch part {
    case 0, 1: return Int(NATIVE_XMM) + register * 16 + part * 8
    case 2, 3: return Int(NATIVE_YMM_HIGH) + register * 16 + (part - 2) * 8
    default: return Int(NATIVE_ZMM_HIGH) + register * 32 + (part - 4) * 8
    }
  }
}
