// Instructions as text, in Intel's syntax (the default) and AT&T's, spelled as GNU objdump spells them. Text goes into the
// caller's buffer; symbols come from the caller's closure. What the text contains beyond the row (prefixes without
// effect) is read from the bytes. Docs/decoder.md lists where the text differs from objdump's.

/// Writes instructions in one syntax.
@frozen public struct Disassembler: Sendable {
  public enum Syntax: UInt8, Sendable { case intel, att }

  public var syntax: Syntax
  @inlinable public init(syntax: Syntax = .intel) { self.syntax = syntax }

  /// A name for addresses that are not to be named.
  public static func noSymbol(_ address: UInt64, _ buffer: inout TextBuffer) {}

  /// Appends the text of `instruction`, which stands at guest address `address` and was decoded from `bytes`. `symbol` is
  /// called with each branch target and each address relative to RIP, after the number; what it appends becomes part of
  /// the text (` <main+0x10>`).
  public func write(
    _ instruction: Instruction, bytes: UnsafeRawBufferPointer, address: UInt64, to buffer: inout TextBuffer,
    symbol: (UInt64, inout TextBuffer) -> Void = Disassembler.noSymbol
  ) {
    var writer = InstructionWriter(instruction, syntax: syntax, address: address)
    writer.start = buffer.count
    writer.writePrefixes(bytes, to: &buffer)
    writer.writeMnemonic(to: &buffer)
    writer.writeOperands(to: &buffer, symbol: symbol)
    writer.writeComment(to: &buffer, symbol: symbol)
  }

  /// The text as a string of at most 255 bytes.
  public func text(
    _ instruction: Instruction, bytes: UnsafeRawBufferPointer, address: UInt64,
    symbol: (UInt64, inout TextBuffer) -> Void = Disassembler.noSymbol
  ) -> String {
    String(text: 255) { write(instruction, bytes: bytes, address: address, to: &$0, symbol: symbol) }
  }
}

/// State of writing one instruction.
struct InstructionWriter {
  let instruction: Instruction
  let row: RowInfo
  let name: TextSlice
  let isATT: Bool
  let address: UInt64
  /// Where the text begins in the buffer: columns count from here.
  var start = 0
  /// `3E` before an indirect branch, `2E` and `3E` before a conditional one.
  var hintsNotrack = false
  var branchHint: UInt8 = 0
  /// The constant operand that the mnemonic expresses (`cmpltps`); it is not printed.
  var dropsImmediate = false

  init(_ instruction: Instruction, syntax: Disassembler.Syntax, address: UInt64) {
    self.instruction = instruction
    row = instruction.info
    name = row.mnemonic
    isATT = syntax == .att
    self.address = address
  }

  var nextAddress: UInt64 { address &+ UInt64(instruction.length) }

  /// `mov`, `movs`, `stos` … with implied memory operands.
  var isString: Bool { !row.attributes.isDisjoint(with: [.rep, .repcc]) }

  /// 66 90
  var isExchangedNop: Bool {
    name.equals("nop") && instruction.opcode == 0x90 && instruction.operandSize == 16 && row.operandCount == 0
      && instruction.prefixes.contains(.operandSize)
  }

  /// A jump or call whose target is in a register or in memory.
  var isIndirectBranch: Bool {
    row.operand(0).letter == .modRM && (name.equals("jmp") || name.equals("call"))
  }

  /// The operand that may be memory, or one of kind `.none`.
  var memoryOperand: OperandInfo {
    for index in 0..<row.operandCount {
      let operand = row.operand(index)
      if operand.letter == .modRM || operand.letter == .offset { return operand }
    }
    return row.operand(7)
  }

  var usesMemory: Bool { instruction.hasMemoryOperand || memoryOperand.letter == .offset }
}
