// Checks within one row that operands, letters, immediates and attributes agree. What needs several rows (ambiguity) is
// checked where the decoder's tables are made.

enum RowCheck {
  static func check(_ row: Row) throws(OperandWordError) {
    try checkModRM(row)
    try checkImmediates(row)
    try checkAttributes(row)
    for operand in row.operands { try check(operand, of: row) }
  }

  private static func checkModRM(_ row: Row) throws(OperandWordError) {
    let letters = row.operands.map(\.letter)
    let needsRegister = letters.contains(.register)
    switch row.encoding.modRM {
    case .absent where letters.contains(.modRM) || needsRegister:
      throw OperandWordError(message: "an operand in ModRM, but no /r or digit")
    case .digit where needsRegister, .exact where needsRegister:
      throw OperandWordError(message: "operand letter R, but ModRM.reg is part of the opcode")
    default: break
    }
    if letters.contains(.opcode), !row.encoding.opcodeHoldsRegister {
      throw OperandWordError(message: "operand letter O needs an opcode like 50+r")
    }
    if letters.contains(.vvvv), row.encoding.space == .legacy {
      throw OperandWordError(message: "operand letter V needs VEX or EVEX")
    }
    for letter in Set(letters) where letter != .fixed && letter != .immediate {
      guard letters.filter({ $0 == letter }).count == 1 else {
        throw OperandWordError(message: "two operands in one place")
      }
    }
  }

  private static func checkImmediates(_ row: Row) throws(OperandWordError) {
    var expected: [Operand] = row.operands.filter {
      switch $0.letter {
      case .immediate, .is4, .relative, .offset: true
      default: false
      }
    }
    // One byte may hold both a register and a constant (VPERMIL2); a far pointer is one immediate of two parts.
    for immediate in row.encoding.immediates {
      guard !expected.isEmpty else {
        throw OperandWordError(message: "no operand for immediate \(immediate.rawValue)")
      }
      let operand = expected.removeFirst()
      guard matches(immediate, operand) else {
        throw OperandWordError(
          message: "immediate \(immediate.rawValue) does not fit operand \(operand.word)")
      }
    }
    guard expected.isEmpty else {
      throw OperandWordError(message: "no immediate for operand \(expected[0].word)")
    }
    guard row.encoding.immediates.count <= 2 else {
      throw OperandWordError(message: "more than two immediates")
    }
  }

  private static func matches(_ immediate: Encoding.Immediate, _ operand: Operand) -> Bool {
    switch (immediate, operand.kind) {
    case (.ib, .immediate), (.iw, .immediate), (.id, .immediate), (.io, .immediate):
      operand.width == (immediate.size ?? 0) * 8
    case (.cb, .relative), (.cw, .relative), (.cd, .relative): operand.width == (immediate.size ?? 0) * 8
    case (.is4, _): operand.letter == .is4
    case (.moffs, .memoryOffset): true
    case (.cp, .farPointer): true
    default: false
    }
  }

  private static func checkAttributes(_ row: Row) throws(OperandWordError) {
    if row.attributes.contains(.i64), row.attributes.contains(.o64) {
      throw OperandWordError(message: "i64 and o64: the row can never match")
    }
    if row.attributes.contains(.d64), row.attributes.contains(.f64) {
      throw OperandWordError(message: "d64 and f64 exclude each other")
    }
    if row.attributes.contains(.lock),
      !row.operands.contains(where: { $0.letter == .modRM && $0.allowsMemory })
    {
      throw OperandWordError(message: "lock needs a memory operand")
    }
    if row.encoding.space != .legacy, row.encoding.operandSize != nil {
      throw OperandWordError(message: "operand size tokens have no meaning with VEX or EVEX")
    }
  }

  private static func check(_ operand: Operand, of row: Row) throws(OperandWordError) {
    if operand.allowsMemory, operand.letter != .modRM, operand.letter != .offset {
      throw OperandWordError(message: "memory operand \(operand.word) must have letter M")
    }
    if operand.isImplied, operand.letter != .fixed {
      throw OperandWordError(message: "implied operand \(operand.word) must have letter F")
    }
    if (operand.kind == .vectorMemory) != (row.encoding.modRM == .vsib), operand.letter == .modRM {
      throw OperandWordError(message: "/vsib and a vm operand go together")
    }
    let isFixed = operand.letter == .fixed
    let namesFixed = operand.kind == .constant || operand.word.uppercased() == operand.word
    if isFixed != namesFixed {
      throw OperandWordError(
        message: "operand \(operand.word): letter F is for fixed registers and constants")
    }
  }
}
