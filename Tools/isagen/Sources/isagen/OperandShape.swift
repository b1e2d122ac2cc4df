// From an operand word of a row to the Swift place that a handler builds for it.

/// What an operand word stands for, in its register and its memory form.
enum OperandShape: Equatable {
  case general(width: Int)
  case immediate(width: Int)
  /// An immediate that is sign-extended to the operand size.
  case extendedImmediate
  case constant(Int)
  case fixedRegister(width: Int, offset: Int)
  case segment(fixed: Int?)
  case xmm(fixed: Int?)
  case ymm
  case mmx
  case stack(fixed: Int?)
  /// A memory operand of a number of bits; 0: the semantic wants the address.
  case memory(bits: Int)
  /// VSIB: width of the indices, bits of the index vector.
  case indexed(indexBits: Int, vectorBits: Int)

  private static let fixed: [String: OperandShape] = [
    "AL": .fixedRegister(width: 8, offset: 0), "AX": .fixedRegister(width: 16, offset: 0),
    "EAX": .fixedRegister(width: 32, offset: 0), "RAX": .fixedRegister(width: 64, offset: 0),
    "CL": .fixedRegister(width: 8, offset: 8), "DX": .fixedRegister(width: 16, offset: 16),
    "ES": .segment(fixed: 0), "CS": .segment(fixed: 1), "SS": .segment(fixed: 2),
    "DS": .segment(fixed: 3), "FS": .segment(fixed: 4), "GS": .segment(fixed: 5),
    "Sreg": .segment(fixed: nil), "<XMM0>": .xmm(fixed: 0),
    "ST(0)": .stack(fixed: 0), "ST(i)": .stack(fixed: nil), "1": .constant(1), "3": .constant(3),
  ]

  /// The register and the memory form of an operand word.
  static func shapes(of word: String) -> (register: OperandShape?, memory: OperandShape?) {
    if let shape = fixed[word] { return (shape, nil) }
    if word.hasPrefix("imm") || word.hasPrefix("rel") {
      if word.hasPrefix("imm") && word.hasSuffix("s") { return (.extendedImmediate, nil) }
      return (.immediate(width: digits(word.dropFirst(3))), nil)
    }
    if word.hasPrefix("moffs") { return (nil, .memory(bits: digits(word.dropFirst(5)))) }
    if word.hasPrefix("vm"), let size = word.last {
      let vector = size == "x" ? 128 : size == "y" ? 256 : 512
      return (nil, .indexed(indexBits: digits(word.dropFirst(2)), vectorBits: vector))
    }
    if let slash = word.firstIndex(of: "/"), let start = word.first {
      let left = String(word[..<slash])
      let right = String(word[word.index(after: slash)...])
      if start == "r", left == "r" {
        let width = digits(right.dropFirst())
        return (.general(width: width), .memory(bits: width))
      }
      return (shapes(of: left).register, shapes(of: right).memory)
    }
    if word.hasPrefix("xmm") { return (.xmm(fixed: nil), nil) }
    if word.hasPrefix("ymm") { return (.ymm, nil) }
    if word.hasPrefix("mm") { return (.mmx, nil) }
    if word.hasPrefix("m") { return (nil, .memory(bits: digits(word.dropFirst()))) }
    if word.hasPrefix("r"), digits(word.dropFirst()) > 0 {
      return (.general(width: digits(word.dropFirst())), nil)
    }
    return (nil, nil)
  }

  private static func digits(_ text: Substring) -> Int {
    Int(text.prefix { $0.isNumber }) ?? 0
  }
}

/// A place as Swift source, and its short name for the handler's name.
struct Place {
  let swift: String
  let short: String
}

/// Row-wide facts that decide which place a shape becomes.
struct ShapeContext {
  /// In the order of X86.Condition.
  static let conditions = [
    "overflow", "notOverflow", "below", "aboveOrEqual", "equal", "notEqual", "belowOrEqual", "above", "sign",
    "notSign",
    "parity", "notParity", "less", "greaterOrEqual", "lessOrEqual", "greater",
  ]

  let isVEX: Bool
  /// Rows with a vector register see memory as vectors.
  let isVector: Bool
  let isAligned: Bool
  /// Width of the row's first general operand, to which immediates are extended; 64 when there is none.
  let operandWidth: Int

  init(row: Row) {
    operandWidth =
      row.operands.lazy.compactMap { operand -> Int? in
        switch OperandShape.shapes(of: operand.word).register {
        case .general(let width), .fixedRegister(let width, _): return width
        default: return nil
        }
      }.first ?? 64
    isVEX = row.encoding.space != .legacy
    isAligned = row.attributes.contains(.align)
    isVector = row.operands.contains { operand in
      switch OperandShape.shapes(of: operand.word).register {
      case .xmm, .ymm, .mmx: return true
      default: return false
      }
    }
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

  func place(_ shape: OperandShape, letter: Operand.Letter, locked: Bool) -> Place {
    let field = field(letter)
    let number = "o.pointee.\(field)"
    switch shape {
    case .general(let width):
      return Place(swift: "Register<W\(width)>(\(number))", short: "r\(width)\(field)")
    case .immediate(let width):
      let name = width == 8 || width == 16 || width == 32 ? "W\(width)" : "W64"
      return Place(swift: "Immediate<\(name)>(o.pointee.immediate)", short: "i\(width)")
    case .extendedImmediate:
      return Place(swift: "Immediate<W\(operandWidth)>(o.pointee.immediate)", short: "i\(operandWidth)")
    case .constant(let value): return Place(swift: "Immediate<W8>(\(value))", short: "c\(value)")
    case .fixedRegister(let width, let offset):
      return Place(swift: "Register<W\(width)>(\(offset))", short: "f\(width)at\(offset)")
    case .segment(let fixed):
      return Place(
        swift: "SegmentRegister(\(fixed.map(String.init) ?? number))",
        short: "s\(fixed.map(String.init) ?? field)")
    case .xmm(let fixed):
      let type = isVEX ? "VexXMM" : "LegacyXMM"
      return Place(
        swift: "\(type)(\(fixed.map(String.init) ?? number))",
        short: "\(isVEX ? "v" : "")x\(fixed.map(String.init) ?? field)")
    case .ymm: return Place(swift: "VexYMM(\(number))", short: "y\(field)")
    case .mmx: return Place(swift: "MMXRegister(\(number))", short: "mm\(field)")
    case .stack(let fixed):
      return Place(
        swift: "StackRegister(\(fixed.map(String.init) ?? number))",
        short: "st\(fixed.map(String.init) ?? field)")
    case .memory(let bits): return memory(bits, locked)
    case .indexed(let indexBits, let vectorBits):
      return Place(
        swift: "VectorIndexed(o.pointee.b, o.pointee.displacement, index: o.pointee.d, "
          + "scale: UInt8(truncatingIfNeeded: o.pointee.immediate), indexBits: \(indexBits), vectorBits: \(vectorBits))",
        short: "vm\(indexBits)x\(vectorBits)")
    }
  }

  private func memory(_ bits: Int, _ locked: Bool) -> Place {
    let operand = "(o.pointee.b, o.pointee.displacement)"
    if isVector && bits > 0 {
      let type = isAligned ? "AlignedVectorMemory" : "VectorMemory"
      return Place(swift: "\(type)<Bytes\(bits / 8)>\(operand)", short: "\(isAligned ? "a" : "")m\(bits)v")
    }
    if bits == 8 || bits == 16 || bits == 32 || bits == 64 {
      let type = locked ? "LockedMemory" : "Memory"
      return Place(swift: "\(type)<W\(bits)>\(operand)", short: "\(locked ? "l" : "")m\(bits)")
    }
    return Place(swift: "Address\(operand)", short: "\(locked ? "l" : "")m\(bits)")
  }
}
