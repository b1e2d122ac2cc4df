// Operands in printed order (Intel) or reversed (AT&T), immediates, branch targets, and implied operands of string
// instructions. Memory operands are in InstructionWriter+Memory.swift.

extension InstructionWriter {
  func writeOperands(to buffer: inout TextBuffer, symbol: (UInt64, inout TextBuffer) -> Void) {
    if isString || name.equals("xlatb") { return writeStringOperands(&buffer) }
    if isExchangedNop { return writeExchangedNop(&buffer) }
    // These two keep Intel's order in AT&T's syntax.
    let isReversed = isATT && !name.equals("enter") && !name.equals("bound")
    let count = row.operandCount &- (dropsImmediate || dropsOne ? 1 : 0)
    var isFirst = true
    if isReversed { writeRounding(to: &buffer, isFirst: &isFirst) }
    for position in 0..<count {
      if !isFirst { buffer.append(",") }
      isFirst = false
      let index = isReversed ? count &- 1 &- position : position
      write(operand: row.operand(index), to: &buffer, symbol: symbol)
    }
    if !isReversed { writeRounding(to: &buffer, isFirst: &isFirst) }
  }

  /// Without effect, but objdump sees the exchange that the opcode was once.
  private func writeExchangedNop(_ buffer: inout TextBuffer) {
    write(register: Register(.general16, 0), to: &buffer)
    buffer.append(",")
    write(register: Register(.general16, 0), to: &buffer)
  }

  /// Shifts by the constant 1 have one operand in AT&T's syntax.
  private var dropsOne: Bool {
    isATT && row.operandCount == 2 && row.operand(1).kind == .constant && row.operand(1).fixed == 1
  }

  /// MOV to a segment register reads 16 bits; objdump names the whole register.
  private func shown(_ register: Register) -> Register {
    guard instruction.opcode == 0x8e, row.operand(0).kind == .segment, register.registerClass == .general16
    else {
      return register
    }
    return Register(general: register.number, width: Int(instruction.operandSize))
  }

  private func write(
    operand: OperandInfo, to buffer: inout TextBuffer, symbol: (UInt64, inout TextBuffer) -> Void
  ) {
    if isATT, isIndirectBranch { buffer.append("*") }
    switch instruction.value(of: operand) {
    case .none: break
    case .register(let register):
      let isPort = isATT && register.registerClass == .general16 && register.number == 2 && isPortAccess
      if isPort { buffer.append("(") }
      write(register: shown(register), to: &buffer)
      if isPort { buffer.append(")") }
      // `%st` is the fixed register, `%st(0)` the one that ModRM names.
      if register.registerClass == .x87, register.number == 0, operand.letter == .modRM {
        buffer.append("(0)")
      }
    case .memory(let memory): write(memory: memory, operand, to: &buffer)
    case .immediate(let value, let width):
      if isATT { buffer.append("$") }
      let bits =
        width >= 64 ? UInt64(bitPattern: value) : UInt64(bitPattern: value) & ((1 &<< UInt64(width)) &- 1)
      if !isATT, operand.kind == .constant { buffer.append(decimal: bits) } else { buffer.append(hex: bits) }
    case .relative(let distance):
      let target = branchTarget(distance)
      buffer.append(hex: target)
      symbol(target, &buffer)
    case .farPointer(let selector, let offset):
      let mark: StaticString = isATT ? "$" : ""
      buffer.append(mark)
      buffer.append(hex: UInt64(selector))
      buffer.append(isATT ? "," : ":")
      buffer.append(mark)
      buffer.append(hex: UInt64(offset))
    }
    if operand.isMasked { writeMask(to: &buffer) }
  }

  /// IN and OUT; AT&T puts DX in parentheses.
  private var isPortAccess: Bool {
    (name.equals("in") || name.equals("out")) && instruction.opcode & 0xfc == 0xec
  }

  private func branchTarget(_ distance: Int64) -> UInt64 {
    let target = nextAddress &+ UInt64(bitPattern: distance)
    switch instruction.operandSize {
    case 16: return target & 0xffff
    case 32: return target & 0xffff_ffff
    default: return target
    }
  }

  func write(register: Register, to buffer: inout TextBuffer) {
    if isATT { buffer.append("%") }
    register.write(to: &buffer)
  }

  // MARK: EVEX decorations

  private func writeMask(to buffer: inout TextBuffer) {
    if instruction.opmask == 0 { return }
    buffer.append(isATT ? "{%k" : "{k")
    buffer.append(decimal: UInt64(instruction.opmask))
    buffer.append(instruction.prefixes.contains(.zeroing) ? "}{z}" : "}")
  }

  private func writeRounding(to buffer: inout TextBuffer, isFirst: inout Bool) {
    guard instruction.prefixes.contains(.evexB), !instruction.hasMemoryOperand else { return }
    if !isATT { buffer.append(",") }
    if row.allowsRounding {
      switch instruction.roundingControl {
      case 0: buffer.append("{rn-sae}")
      case 1: buffer.append("{rd-sae}")
      case 2: buffer.append("{ru-sae}")
      default: buffer.append("{rz-sae}")
      }
    } else {
      buffer.append("{sae}")
    }
    isFirst = false
  }

  // MARK: String instructions

  private func writeStringOperands(_ buffer: inout TextBuffer) {
    switch name[0] {
    case 0x6d: pair(&buffer, .destination, .source)
    case 0x63: pair(&buffer, .source, .destination)
    case 0x6c: pair(&buffer, .accumulator, .source)
    case 0x69: pair(&buffer, .destination, .port)
    case 0x6f: pair(&buffer, .port, .source)
    case 0x78: writeImplied(.table, &buffer)
    default:
      // STOS and SCAS
      if name[1] == 0x74 {
        pair(&buffer, .destination, .accumulator)
      } else {
        pair(&buffer, .accumulator, .destination)
      }
    }
  }

  private enum Implied { case source, destination, accumulator, port, table }

  private func pair(_ buffer: inout TextBuffer, _ first: Implied, _ second: Implied) {
    writeImplied(isATT ? second : first, &buffer)
    buffer.append(",")
    writeImplied(isATT ? first : second, &buffer)
  }

  private func writeImplied(_ implied: Implied, _ buffer: inout TextBuffer) {
    let width = Int(instruction.addressSize)
    switch implied {
    case .accumulator: write(register: Register(general: 0, width: stringWidth), to: &buffer)
    case .port:
      if isATT { buffer.append("(") }
      write(register: Register(.general16, 2), to: &buffer)
      if isATT { buffer.append(")") }
    case .source, .destination, .table:
      let isDestination = implied == .destination
      let number: UInt8 = implied == .table ? 3 : isDestination ? 7 : 6
      if !isATT { writeSize(implied == .table ? 8 : stringWidth, to: &buffer) }
      write(register: Register(.segment, isDestination ? 0 : instruction.segment.rawValue), to: &buffer)
      buffer.append(isATT ? ":(" : ":[")
      write(register: Register(general: number, width: width), to: &buffer)
      buffer.append(isATT ? ")" : "]")
    }
  }
}
