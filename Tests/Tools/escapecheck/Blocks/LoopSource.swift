// Guest loops: a few instructions and one or two branches back to the first. Registers are few, so that pointers are moved, copied,
// written with 32 bits and spoilt in every order, before and after the branch that not every iteration comes past.

extension BlockSource {
  /// A random loop.
  func loop() -> Piece {
    (
      "loop",
      { source, address in
        let hot = (0..<3).map { _ in source.random.pick([0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 15]) }
        var bytes: [UInt8] = []
        let hasTwo = source.random.oneIn(3)
        for part in 0...(hasTwo ? 1 : 0) {
          for _ in 0..<(1 + source.random.below(part == 0 ? 6 : 3)) {
            bytes += source.loopInstruction(hot, address + UInt64(bytes.count))
          }
          bytes += source.back(bytes.count, isLast: part == 1 || !hasTwo)
        }
        return bytes
      }
    )
  }

  private mutating func loopInstruction(_ hot: [Int], _ address: UInt64) -> [UInt8] {
    let (register, other) = (random.pick(hot), random.pick(hot))
    switch random.below(20) {
    case 0...6: return loopAccess(hot)
    case 7...11: return step(register, other)
    case 12...14: return narrow(register, other)
    case 15: return wild(register, other)
    case 16: return random.pick([[0xac], [0x48, 0xad], [0xa4], [0xf3, 0xaa], [0x48, 0xa5], [0xaf]])
    case 17: return [0x48 | UInt8(register >> 3), 0xff, 0xc8 | UInt8(register & 7)]
    case 18: return random.pick([[0x50], [0x5a], [0x48, 0x83, 0xec, 8], [0x48, 0x8b, 0x44, 0x24, 8]])
    default:
      let row = random.pick(rows)
      let forms = TestForm.allCases.filter { RowEncoder.allows(row, $0) }
      if row.attributes.contains(.flow) { return [0x90] }
      return RowEncoder.encode(row, random.pick(forms), &random, codeAddress: address, allForms: true).bytes
    }
  }

  private mutating func loopAccess(_ hot: [Int]) -> [UInt8] {
    let template = random.oneIn(2) ? .load : random.pick(InstructionTemplate.all)
    let displacement: Int32 = random.oneIn(3) ? random.pick(GuestOperand.displacements) : 8
    var operand = GuestOperand(base: random.pick(hot), displacement: displacement)
    let index = random.pick(hot)
    if template.isVectorIndexed || random.oneIn(2) {
      operand.index = index
      operand.scale = random.below(4)
      if random.oneIn(5) { operand.base = nil }
    }
    return template.encode(operand, register: random.oneIn(3) ? random.pick(hot) : random.below(16))
  }

  /// 64 bits: ADD, SUB, LEA of a constant, MOV and LEA of another register.
  private mutating func step(_ register: Int, _ other: Int) -> [UInt8] {
    let distances: [Int32] = [8, -8, 1, 64, 127, 4096, 0x8000, -0x8000, 0x10_0000, 0x100_0000, .max, .min]
    let distance = RowEncoder.little(UInt64(bitPattern: Int64(random.pick(distances))), 4)
    let (r, b) = (UInt8(register >> 3), UInt8(other >> 3))
    let (low, otherLow) = (UInt8(register & 7), UInt8(other & 7))
    switch random.below(6) {
    case 0: return [0x48 | r, 0x83, 0xc0 | low, 8]
    case 1: return [0x48 | r, 0x81, 0xe8 | low] + distance
    case 2: return [0x48 | r << 2 | r, 0x8d, 0x80 | low << 3 | low] + (low == 4 ? [0x24] : []) + distance
    case 3: return [0x48 | r << 2 | b, 0x8b, 0xc0 | low << 3 | otherLow]
    case 4: return [0x48 | r | b << 2, 0x89, 0xc0 | otherLow << 3 | low]
    default:
      return [0x48 | r << 2 | b, 0x8d, 0x80 | low << 3 | otherLow] + (otherLow == 4 ? [0x24] : []) + distance
    }
  }

  /// 32 bits, and what looks like it: MOV, INC, MOVZX, BSF, TZCNT, CMOV, CMPXCHG, XCHG, ADD, SETcc, IMUL.
  private mutating func narrow(_ register: Int, _ other: Int) -> [UInt8] {
    let rex = 0x40 | UInt8(register >> 3) << 2 | UInt8(other >> 3)
    let wide = 0x40 | UInt8(register >> 3)
    let both = 0xc0 | UInt8(register & 7) << 3 | UInt8(other & 7)
    let low = UInt8(register & 7)
    let forms: [[UInt8]] = [
      [rex, 0x8b, both], [wide, 0xff, 0xc0 | low], [rex, 0x0f, 0xb6, both], [rex, 0x0f, 0xbc, both],
      [0xf3, rex, 0x0f, 0xbc, both], [rex, 0x0f, 0x45, both], [rex, 0x0f, 0xb1, both], [rex, 0x87, both],
      [rex, 0x03, both], [wide, 0x0f, 0x95, 0xc0 | low], [rex, 0x0f, 0xaf, both],
      [wide, 0xb8 | low, 1, 2, 3, 4],
      [rex, 0x0f, 0xbd, both], [0x66, rex, 0x8b, both], [wide, 0x83, 0xc0 | low, 8],
      [rex | 8, 0x0f, 0xb7, both], [rex, 0x63, both], [rex, 0x0f, 0xc1, both],
      [0x48 | UInt8(register >> 3) << 2, 0x8d, 0x05 | low << 3, 0x40, 0, 0, 0],
      [wide | 8, 0xb8 | low, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x3f, 0, 0],
      [wide | 8, 0xb8 | low, 0, 0, 0, 0, 0, 0x40, 0, 0],
    ]
    return random.pick(forms)
  }

  private mutating func wild(_ register: Int, _ other: Int) -> [UInt8] {
    let rex = 0x48 | UInt8(register >> 3) << 2 | UInt8(other >> 3)
    let wide = 0x48 | UInt8(register >> 3)
    let both = 0xc0 | UInt8(register & 7) << 3 | UInt8(other & 7)
    let low = UInt8(register & 7)
    let forms: [[UInt8]] = [
      [rex, 0x03, both], [wide, 0xd1, 0xe0 | low], [wide, 0xf7, 0xd8 | low], [rex, 0x87, both],
      [rex, 0x0f, 0xaf, both],
      [wide, 0x0f, 0xc8 | low], [rex, 0x63, both], [wide, 0xf7, 0xe0 | low], [rex, 0x0f, 0x45, both],
      [0x48, 0x99],
      [rex, 0x0f, 0xb1, both], [wide, 0x83, 0xe0 | low, 0xf0], [0xc9], [wide & 0x41, 0x58 | low],
    ]
    return random.pick(forms)
  }

  /// A branch to the first byte from byte `place`.
  private mutating func back(_ place: Int, isLast: Bool) -> [UInt8] {
    let condition = UInt8(random.below(16))
    let near = place < 100 && random.oneIn(2)
    func short(_ opcode: UInt8) -> [UInt8] { [opcode, UInt8(bitPattern: Int8(-(place + 2)))] }
    if near {
      return short(
        random.pick(isLast ? [0x70 | condition, 0xeb, 0xe2, 0xe0, 0xe3] : [0x70 | condition, 0xe2]))
    }
    let size = isLast && random.oneIn(3) ? 5 : 6
    let distance = RowEncoder.little(UInt64(bitPattern: Int64(-(place + size))), 4)
    return size == 5 ? [0xe9] + distance : [0x0f, 0x80 | condition] + distance
  }
}
