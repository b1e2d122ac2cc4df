// The guest blocks that are translated and checked: every row in every form; every kind of access in every addressing form;
// chains of instructions, so that guards are used again, spoilt and crossed by calls and branches. Deterministic.

/// Makes guest code.
struct BlockSource {
  let rows: [Row]
  var random: RandomSource

  init(rows: [Row], seed: UInt64) {
    self.rows = rows.filter { row in TestForm.allCases.contains { RowEncoder.allows(row, $0) } }
    random = RandomSource(seed: seed)
  }

  /// A named piece of code; made for the address it will be at.
  typealias Piece = (name: String, make: (inout BlockSource, UInt64) -> [UInt8])

  /// Every row and form, `samples` times with random operands.
  func everyRow(samples: Int) -> [Piece] {
    var pieces: [Piece] = []
    for row in rows {
      for form in TestForm.allCases where RowEncoder.allows(row, form) {
        for _ in 0..<samples {
          pieces.append(
            (
              "\(row.location) \(row.mnemonic) \(form)",
              { source, address in
                RowEncoder.encode(row, form, &source.random, codeAddress: address, allForms: true).bytes
              }
            ))
        }
      }
    }
    return pieces
  }

  /// Every template with every base, index, scale, segment and address size.
  func everyAddress() -> [Piece] {
    var pieces: [Piece] = []
    for template in InstructionTemplate.all {
      for operand in BlockSource.operands(isVectorIndexed: template.isVectorIndexed) {
        pieces.append(
          (
            "\(template.name) \(operand)",
            { source, _ in
              template.encode(operand, register: source.random.below(16), vvvv: source.random.below(16))
            }
          ))
      }
    }
    return pieces
  }

  private static func operands(isVectorIndexed: Bool) -> [GuestOperand] {
    var operands: [GuestOperand] = []
    let bases: [Int?] = [nil] + (0..<16).map { $0 }
    for base in bases {
      for index in 0..<16 where isVectorIndexed || index != 4 {
        for scale in 0..<4 {
          let pick = operands.count
          let displacement = GuestOperand.displacements[pick % GuestOperand.displacements.count]
          var operand = GuestOperand(base: base, index: index, scale: scale, displacement: displacement)
          if pick % 7 == 3 { operand.segment = pick % 2 == 0 ? .fs : .gs }
          if pick % 11 == 5 { operand.is32Bit = true }
          operands.append(operand)
        }
      }
      if isVectorIndexed { continue }
      for displacement in GuestOperand.displacements {
        for segment in GuestOperand.Segment.allCases {
          for is32Bit in [false, true] {
            var operand = GuestOperand(
              base: base, displacement: displacement, segment: segment, is32Bit: is32Bit)
            operands.append(operand)
            if base != nil { continue }
            operand.isRelative = true
            operands.append(operand)
          }
        }
      }
    }
    return operands
  }

  // MARK: Chains

  /// A chain of up to eight instructions that share registers.
  func chain() -> Piece {
    (
      "chain",
      { source, address in
        let hot = (0..<2).map { _ in source.random.pick([0, 1, 3, 4, 4, 5, 6, 12, 13, 15]) }
        var bytes: [UInt8] = []
        for _ in 0..<(2 + source.random.below(7)) {
          bytes += source.link(hot, address + UInt64(bytes.count))
        }
        return bytes
      }
    )
  }

  private mutating func link(_ hot: [Int], _ address: UInt64) -> [UInt8] {
    let register = random.pick(hot)
    switch random.below(10) {
    case 0...3: return access(hot)
    case 4, 5: return stack(register)
    case 6: return spoil(register)
    case 7: return control()
    default:
      let row = random.pick(rows)
      let forms = TestForm.allCases.filter { RowEncoder.allows(row, $0) }
      if row.attributes.contains(.flow) { return [0x90] }
      return RowEncoder.encode(row, random.pick(forms), &random, codeAddress: address, allForms: true).bytes
    }
  }

  private mutating func access(_ hot: [Int]) -> [UInt8] {
    let template = random.oneIn(2) ? .load : random.pick(InstructionTemplate.all)
    var operand = GuestOperand(base: random.pick(hot), displacement: random.pick(GuestOperand.displacements))
    let index = random.pick(hot)
    if template.isVectorIndexed || (random.oneIn(3) && index != 4) {
      operand.index = index
      operand.scale = random.below(4)
    }
    return template.encode(operand, register: random.oneIn(2) ? random.pick(hot) : random.below(16))
  }

  /// What moves the stack pointer, by hand and by itself.
  private mutating func stack(_ register: Int) -> [UInt8] {
    let rex: UInt8 = register >= 8 ? 0x41 : 0x40
    let low = UInt8(register & 7)
    let wide: UInt8 = register >= 8 ? 0x49 : 0x48
    let distance = RowEncoder.little(UInt64(bitPattern: Int64(random.pick(GuestOperand.displacements))), 4)
    let forms: [[UInt8]] = [
      [rex, 0x50 | low], [rex, 0x58 | low], [0x5c], [0x54], [0x48, 0x83, 0xec, 0x40],
      [0x48, 0x83, 0xc4, 0x28],
      [0x48, 0x81, 0xec] + distance, [0x48, 0x81, 0xc4] + distance, [0x81, 0xc4] + distance,
      [0x66, 0x81, 0xc4, 1, 2], [wide, 0x8d, 0xa0 | low] + (low == 4 ? [0x24] : []) + distance,
      [0x48, 0x8d, 0xa4, 0x24] + distance, [0x48, 0x83, 0xe4, 0xf0], [0x4c | wide & 1, 0x87, 0xe0 | low],
      [wide == 0x49 ? 0x4c : 0x48, 0x89, 0xc4 | low << 3], [0xc9], [0xc8, 16, 0, 1], [0x6a, 0xff], [0x9c],
      [0x9d], [0xc5, 0xfc, 0x28, 0x0c, 0x24], [0xc4, 0xe2, 0x75, 0x2c, 0x04, 0x24], [0x0f, 0x18, 0x0c, 0x24],
      [0x48, 0x8b, 0x44, 0x24, 8], [0x48, 0x89, 0x04, 0x24], [0x62, 0xf1, 0x7c, 0x49, 0x10, 0x04, 0x24],
      [0x66, 0x0f, 0xb6, 0xec], [0x0f, 0xb6, 0xe4], [0x0f, 0xc8 | 4], [0x48, 0x0f, 0xc7, 0x0c, 0x24],
    ]
    return random.pick(forms)
  }

  private mutating func spoil(_ register: Int) -> [UInt8] {
    let wide: UInt8 = register >= 8 ? 0x49 : 0x48
    let low = UInt8(register & 7)
    let forms: [[UInt8]] = [
      [wide, 0x01, 0xc0 | low], [wide, 0x83, 0xc0 | low, 8], [wide, 0xc7, 0xc0 | low, 1, 2, 3, 4],
      [wide, 0xd3, 0xe0 | low], [wide, 0xff, 0xc8 | low], [wide, 0x0f, 0xaf, low << 3 & 0x38 | 0xc0],
      [wide, 0xf7, 0xe0 | low], [wide, 0x0f, 0xc8 | low], [0x0f, 0xa2], [0x0f, 0x31], [0xd7],
      [0xf3, 0x48, 0xa5], [0xa4], [0xf2, 0xae], [0xf3, 0xaa], [0xac], [0xf3, 0x0f, 0xae, 0xd0 | low],
      [0x67, 0xf3, 0xa4], [0x64, 0xa4], [0x66, 0x0f, 0xf7, 0xc1], [0xfd], [0xf3, 0xa6],
      [0x48 | UInt8(register >> 3) << 2, 0x8d, 0x05 | low << 3, 0x40, 0, 0, 0],
      [wide, 0xb8 | low, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x3f, 0, 0],
      [wide, 0xb8 | low, 0, 0, 0, 0, 0, 0x40, 0, 0],
    ]
    return random.pick(forms)
  }

  private mutating func control() -> [UInt8] {
    let condition = UInt8(random.below(16))
    let forms: [[UInt8]] = [
      [0x70 | condition, 2], [0x0f, 0x80 | condition, 0, 1, 0, 0], [0xe8, 0, 0, 0, 0], [0xe2, 0xfe],
      [0xe1, 4],
      [0xe0, 4], [0xe3, 4], [0x67, 0xe3, 4], [0xff, 0xd0], [0xff, 0xe1], [0xff, 0xe4], [0xc3], [0xc2, 8, 0],
      [0xeb, 1], [0x0f, 0x05], [0xcd, 0x80], [0xcc], [0xf3, 0x90],
    ]
    return random.pick(forms)
  }

  /// Something that ends a block.
  mutating func ending() -> [UInt8] {
    random.pick([
      [0xc3], [0xeb, 0x10], [0xe9, 0, 0, 0x10, 0], [0xff, 0xe0], [0xcc], [0xe8, 0, 1, 0, 0], [0x0f, 0x05],
    ])
  }
}
