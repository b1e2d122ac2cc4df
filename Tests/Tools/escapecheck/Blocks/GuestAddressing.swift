// Encodes guest instructions with a memory operand in any addressing form, without the limits that running them would set.

/// A memory operand as the guest writes it.
struct GuestOperand {
  enum Segment: CaseIterable { case none, fs, gs }

  /// nil: none.
  var base: Int?
  var index: Int?
  /// log2
  var scale = 0
  var displacement: Int32 = 0
  var isRelative = false
  var segment = Segment.none
  var is32Bit = false

  static let displacements: [Int32] = [
    0, 1, -1, 127, -128, 128, 0x1234_5678, .min, .max, -0x10_0000, 0x10_0001,
  ]
}

/// An instruction with a hole for its memory operand.
struct InstructionTemplate {
  enum Space { case legacy, vex, evex }

  var name: String
  var space = Space.legacy
  /// 66, F2, F3, F0 before REX; for VEX and EVEX the field pp: 0 none, 1 66, 2 F3, 3 F2.
  var prefixes: [UInt8] = []
  var pp: UInt8 = 0
  /// 1: 0F, 2: 0F 38, 3: 0F 3A; for legacy 0: one byte.
  var map: UInt8 = 0
  var isWide = false
  var opcode: UInt8
  /// ModRM.reg where it is part of the opcode; nil: any register.
  var digit: Int?
  var immediates: [UInt8] = []
  /// The index is a vector register.
  var isVectorIndexed = false
  var opmask: UInt8 = 0
  var length: UInt8 = 0

  /// The bytes; `register` and `vvvv` are 0–15.
  func encode(_ operand: GuestOperand, register: Int, vvvv: Int = 0) -> [UInt8] {
    var bytes: [UInt8] = []
    if operand.segment == .fs { bytes.append(0x64) }
    if operand.segment == .gs { bytes.append(0x65) }
    if operand.is32Bit { bytes.append(0x67) }
    let reg = UInt8(digit ?? register)
    let base = UInt8(operand.base ?? 0)
    let index = UInt8(operand.index ?? 0)
    let (r, x, b) = (reg >> 3 & 1, index >> 3 & 1, base >> 3 & 1)
    let v = UInt8(~vvvv & 15) << 3
    switch space {
    case .legacy:
      bytes += prefixes
      let rex = (isWide ? 8 : 0) | r << 2 | x << 1 | b
      if rex != 0 { bytes.append(0x40 | rex) }
      bytes += [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][Int(map)]
    case .vex:
      bytes += [0xc4, (~r & 1) << 7 | (~x & 1) << 6 | (~b & 1) << 5 | map]
      bytes.append((isWide ? 0x80 : 0) | v | length << 2 | pp)
    case .evex:
      bytes += [0x62, (~r & 1) << 7 | (~x & 1) << 6 | (~b & 1) << 5 | 0x10 | map]
      bytes += [(isWide ? 0x80 : 0) | v | 4 | pp, length << 5 | 8 | opmask]
    }
    bytes.append(opcode)
    return bytes + modRM(operand, reg & 7) + immediates
  }

  private func modRM(_ operand: GuestOperand, _ reg: UInt8) -> [UInt8] {
    let displacement = (0..<4).map { UInt8(truncatingIfNeeded: operand.displacement >> (8 * Int32($0))) }
    if operand.isRelative { return [reg << 3 | 5] + displacement }
    let index: UInt8 = operand.index.map { UInt8($0 & 7) } ?? 4
    let scale = UInt8(operand.scale) << 6
    guard let base = operand.base else { return [reg << 3 | 4, scale | index << 3 | 5] + displacement }
    let low = UInt8(base & 7)
    let needsSIB = operand.index != nil || low == 4
    let rm: UInt8 = needsSIB ? 4 : low
    let sib: [UInt8] = needsSIB ? [scale | index << 3 | low] : []
    if operand.displacement == 0 && low != 5 { return [reg << 3 | rm] + sib }
    if Int32(Int8(truncatingIfNeeded: operand.displacement)) == operand.displacement, space != .evex {
      return [0x40 | reg << 3 | rm] + sib + displacement.prefix(1)
    }
    return [0x80 | reg << 3 | rm] + sib + displacement
  }

  static let load = InstructionTemplate(name: "mov r64, m", isWide: true, opcode: 0x8b)
  static let store = InstructionTemplate(name: "mov m, r64", isWide: true, opcode: 0x89)

  /// One of each kind that the translator treats in its own way.
  static let all: [InstructionTemplate] = [
    load, store, .init(name: "mov r8, m", opcode: 0x8a), .init(name: "mov m, r8", opcode: 0x88),
    .init(name: "movzx", map: 1, opcode: 0xb6), .init(name: "add m, r", opcode: 0x01),
    .init(name: "lock add", prefixes: [0xf0], opcode: 0x01), .init(name: "xchg", isWide: true, opcode: 0x87),
    .init(name: "mov m16, r16", prefixes: [0x66], opcode: 0x89),
    .init(name: "mov m, imm32", isWide: true, opcode: 0xc7, digit: 0, immediates: [1, 2, 3, 4]),
    .init(name: "shl m, cl", opcode: 0xd3, digit: 4), .init(name: "shld m, r, cl", map: 1, opcode: 0xa5),
    .init(name: "cmpxchg", map: 1, isWide: true, opcode: 0xb1), .init(name: "xadd", map: 1, opcode: 0xc1),
    .init(name: "cmpxchg16b", map: 1, isWide: true, opcode: 0xc7, digit: 1),
    .init(name: "mul m", opcode: 0xf7, digit: 4), .init(name: "div m", opcode: 0xf7, digit: 6),
    .init(name: "push m", opcode: 0xff, digit: 6), .init(name: "pop m", opcode: 0x8f, digit: 0),
    .init(name: "call m", opcode: 0xff, digit: 2), .init(name: "jmp m", opcode: 0xff, digit: 4),
    .init(name: "call far m", opcode: 0xff, digit: 3), .init(name: "setc m", map: 1, opcode: 0x92, digit: 0),
    .init(name: "cmovne", map: 1, isWide: true, opcode: 0x45), .init(name: "lea", isWide: true, opcode: 0x8d),
    .init(name: "lea r32", opcode: 0x8d),
    .init(name: "bt m, imm", map: 1, opcode: 0xba, digit: 4, immediates: [63]),
    .init(name: "bts m, r", map: 1, opcode: 0xab), .init(name: "movbe", map: 2, opcode: 0xf1),
    .init(name: "crc32", prefixes: [0xf2], map: 2, opcode: 0xf1), .init(name: "movups", map: 1, opcode: 0x10),
    .init(name: "movntps", map: 1, opcode: 0x2b), .init(name: "movq mmx", map: 1, opcode: 0x6f),
    .init(name: "cvtsi2sd", prefixes: [0xf2], map: 1, isWide: true, opcode: 0x2a),
    .init(name: "pcmpestri", prefixes: [0x66], map: 3, opcode: 0x61, immediates: [0]),
    .init(name: "pinsrq", prefixes: [0x66], map: 3, isWide: true, opcode: 0x22, immediates: [0]),
    .init(name: "pextrb", prefixes: [0x66], map: 3, opcode: 0x14, immediates: [0]),
    .init(name: "prefetcht0", map: 1, opcode: 0x18, digit: 1),
    .init(name: "nop m", map: 1, opcode: 0x1f, digit: 0),
    .init(name: "clflush", map: 1, opcode: 0xae, digit: 7),
    .init(name: "ldmxcsr", map: 1, opcode: 0xae, digit: 2),
    .init(name: "fxsave", map: 1, opcode: 0xae, digit: 0),
    .init(name: "fxrstor", map: 1, opcode: 0xae, digit: 1),
    .init(name: "xsave", map: 1, opcode: 0xae, digit: 4),
    .init(name: "xrstor", map: 1, opcode: 0xae, digit: 5),
    .init(name: "sgdt", map: 1, opcode: 0x01, digit: 0), .init(name: "mov sreg, m", opcode: 0x8e, digit: 3),
    .init(name: "fld m80", opcode: 0xdb, digit: 5), .init(name: "fbstp", opcode: 0xdf, digit: 6),
    .init(name: "fnsave", opcode: 0xdd, digit: 6), .init(name: "fldenv", opcode: 0xd9, digit: 4),
    .init(name: "vmovups", space: .vex, map: 1, opcode: 0x11, length: 1),
    .init(name: "vmaskmovps", space: .vex, pp: 1, map: 2, opcode: 0x2c, length: 1),
    .init(name: "vpmaskmovd m", space: .vex, pp: 1, map: 2, opcode: 0x8e, length: 1),
    .init(name: "andn", space: .vex, map: 2, isWide: true, opcode: 0xf2),
    .init(name: "mulx", space: .vex, pp: 3, map: 2, isWide: true, opcode: 0xf6),
    .init(name: "shrx", space: .vex, pp: 3, map: 2, isWide: true, opcode: 0xf7),
    .init(name: "bzhi", space: .vex, map: 2, isWide: true, opcode: 0xf5),
    .init(name: "vpgatherdd", space: .vex, pp: 1, map: 2, opcode: 0x90, isVectorIndexed: true, length: 1),
    .init(name: "vpgatherqd", space: .vex, pp: 1, map: 2, opcode: 0x91, isVectorIndexed: true, length: 1),
    .init(name: "vmovups zmm", space: .evex, map: 1, opcode: 0x10, opmask: 1, length: 2),
    .init(name: "vmovdqu8 m", space: .evex, pp: 3, map: 1, opcode: 0x7f, opmask: 2, length: 2),
    .init(
      name: "vpgatherdd zmm", space: .evex, pp: 1, map: 2, opcode: 0x90, isVectorIndexed: true, opmask: 1,
      length: 2),
    .init(
      name: "vpgatherqq zmm", space: .evex, pp: 1, map: 2, isWide: true, opcode: 0x91, isVectorIndexed: true,
      opmask: 1, length: 2),
    .init(
      name: "vscatterdps", space: .evex, pp: 1, map: 2, opcode: 0xa2, isVectorIndexed: true, opmask: 1,
      length: 2),
    .init(name: "vpcompressb", space: .evex, pp: 1, map: 2, opcode: 0x63, opmask: 1, length: 2),
  ]
}
