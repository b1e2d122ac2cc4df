// Instructions whose constant operand has names: CMPPS and its family, PCLMULQDQ, and EVEX integer comparisons. As objdump
// does, the name replaces the constant where there is one.

extension InstructionWriter {
  /// Writes such a mnemonic; false when this is none.
  mutating func writePredicate(_ buffer: inout TextBuffer) -> Bool {
    guard row.operandCount >= 3, row.operand(row.operandCount &- 1).kind == .immediate else { return false }
    let stem = TextSlice(
      text: name.text, offset: name.offset &+ (isVector ? 1 : 0), count: name.count &- (isVector ? 1 : 0))
    let predicate: TextSlice?
    var infix = 3
    if stem.hasPrefix("cmp"), stem.count == 5 {
      let limit = row.space == .legacy ? 8 : 32
      predicate =
        instruction.immediate < limit ? WordList.word(Int(instruction.immediate), of: Self.floatNames) : nil
    } else if stem.hasPrefix("pclmulqdq") {
      infix = 6
      predicate = carrylessName
    } else if stem.hasPrefix("pcmp"), row.space == .evex, instruction.immediate & 3 != 3,
      instruction.immediate < 8
    {
      infix = 4
      predicate = WordList.word(Int(instruction.immediate), of: Self.floatNames)
    } else {
      return false
    }
    guard let predicate else { return false }
    if isVector { buffer.append("v") }
    for index in 0..<infix { buffer.append(byte: stem[index]) }
    buffer.append(predicate)
    for index in infix..<stem.count { buffer.append(byte: stem[index]) }
    dropsImmediate = true
    return true
  }

  private var isVector: Bool { row.space != .legacy }

  private var carrylessName: TextSlice? {
    switch instruction.immediate {
    case 0x00: WordList.word(0, of: Self.carrylessNames)
    case 0x01: WordList.word(1, of: Self.carrylessNames)
    case 0x10: WordList.word(2, of: Self.carrylessNames)
    case 0x11: WordList.word(3, of: Self.carrylessNames)
    default: nil
    }
  }

  private static var carrylessNames: StaticString { "lql hql lqh hqh " }

  /// SDM volume 2, table 3-1 and CMPPD's table 3-9; the first eight are SSE's.
  private static var floatNames: StaticString {
    "eq lt le unord neq nlt nle ord eq_uq nge ngt false neq_oq ge gt true eq_os lt_oq le_oq unord_s neq_us nlt_uq nle_uq ord_s eq_us nge_uq ngt_uq false_os neq_os ge_oq gt_oq true_us "
  }
}
