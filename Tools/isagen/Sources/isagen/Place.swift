// From an operand of a row to the Swift place that a handler builds for it.

/// A place as Swift source, and its short name for the handler's name.
struct Place {
  let swift: String
  let short: String
}

/// Row-wide facts that decide which place an operand becomes.
struct PlaceContext {
  let isVEX: Bool
  /// Rows with a vector register see memory as vectors.
  let isVector: Bool
  let isAligned: Bool
  /// Width of the row's first general operand, to which immediates are extended; 64 when there is none.
  let operandWidth: Int

  init(row: Row) {
    operandWidth = row.operands.first { $0.kind == .general }?.width ?? 64
    isVEX = row.encoding.space != .legacy
    isAligned = row.attributes.contains(.align)
    isVector = row.operands.contains { $0.kind == .xmm || $0.kind == .ymm || $0.kind == .mmx }
  }

  /// The field of the operation that holds an operand encoded at `letter`.
  private func field(_ letter: Operand.Letter) -> String {
    switch letter {
    case .register: return "a"
    case .modRM, .opcode: return "b"
    case .vvvv: return "c"
    default: return "d"
    }
  }

  /// The place of an operand that is not in memory; nil for kinds that no semantic takes yet.
  func place(_ operand: Operand) -> Place? {
    let isFixed = operand.letter == .fixed
    let field = isFixed ? String(operand.fixed) : field(operand.letter)
    let number = isFixed ? field : "o.pointee.\(field)"
    let width = operand.width
    switch operand.kind {
    case .general where isFixed:
      let offset = operand.fixed * 8
      return Place(swift: "Register<W\(width)>(\(offset))", short: "f\(width)at\(offset)")
    case .general: return Place(swift: "Register<W\(width)>(\(number))", short: "r\(width)\(field)")
    case .immediate, .relative:
      let extended = operand.isSignExtended ? operandWidth : width
      return Place(swift: "Immediate<W\(extended)>(o.pointee.immediate)", short: "i\(extended)")
    case .constant: return Place(swift: "Immediate<W8>(\(operand.fixed))", short: "c\(operand.fixed)")
    case .segment: return Place(swift: "SegmentRegister(\(number))", short: "s\(field)")
    case .xmm:
      return Place(
        swift: "\(isVEX ? "VexXMM" : "LegacyXMM")(\(number))", short: "\(isVEX ? "v" : "")x\(field)")
    case .ymm: return Place(swift: "VexYMM(\(number))", short: "y\(field)")
    case .mmx: return Place(swift: "MMXRegister(\(number))", short: "mm\(field)")
    case .x87: return Place(swift: "StackRegister(\(number))", short: "st\(field)")
    default: return nil
    }
  }

  /// The place of an operand in memory.
  func memory(_ operand: Operand, locked: Bool) -> Place {
    if operand.kind == .vectorMemory {
      let (indexBits, vectorBits) = (operand.indexElementWidth, operand.width)
      return Place(
        swift: "VectorIndexed(o.pointee.b, o.pointee.displacement, index: o.pointee.d, "
          + "scale: UInt8(truncatingIfNeeded: o.pointee.immediate), indexBits: \(indexBits), vectorBits: \(vectorBits))",
        short: "vm\(indexBits)x\(vectorBits)")
    }
    let bits = operand.memoryWidth
    let address = "(o.pointee.b, o.pointee.displacement)"
    if isVector && bits > 0 {
      let type = isAligned ? "AlignedVectorMemory" : "VectorMemory"
      return Place(swift: "\(type)<Bytes\(bits / 8)>\(address)", short: "\(isAligned ? "a" : "")m\(bits)v")
    }
    let short = "\(locked ? "l" : "")m\(bits)"
    if [8, 16, 32, 64].contains(bits) {
      return Place(swift: "\(locked ? "LockedMemory" : "Memory")<W\(bits)>\(address)", short: short)
    }
    return Place(swift: "Address\(address)", short: short)
  }
}
