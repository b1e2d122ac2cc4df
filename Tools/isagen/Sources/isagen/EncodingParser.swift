// Reads the encoding column: prefix conditions, opcode bytes, ModRM, immediates. Order of tokens is that of the manual
// and of ISA/README.md; anything else is an error that names the token.

struct EncodingParser {
  private var encoding: Encoding
  private var tokens: ArraySlice<String>
  private var bytes: [Int] = []

  /// Parses the column; throws a message without its place.
  static func parse(_ column: String) throws(OperandWordError) -> Encoding {
    var parser = EncodingParser(column)
    return try parser.run()
  }

  private init(_ column: String) {
    encoding = Encoding(text: column)
    tokens = column.split(separator: " ").map(String.init)[...]
  }

  private mutating func run() throws(OperandWordError) -> Encoding {
    while let token = tokens.first, try readPrefix(token) { tokens.removeFirst() }
    while let token = tokens.first, try readOpcodeByte(token) { tokens.removeFirst() }
    try finishOpcode()
    while let token = tokens.popFirst() {
      if try readModRM(token) { continue }
      guard let immediate = Encoding.Immediate(rawValue: token) else {
        throw OperandWordError(message: "unexpected token \(token) in encoding")
      }
      encoding.immediates.append(immediate)
    }
    return encoding
  }

  private mutating func readPrefix(_ token: String) throws(OperandWordError) -> Bool {
    switch token {
    case "NP": try require(.none)
    case "66", "F2", "F3":
      // These are never the opcode of a one-byte row; after VEX or EVEX they are nothing else.
      if encoding.space != .legacy { return false }
      try addMandatory(token)
    case "o16", "o32", "o64": encoding.operandSize = Int(token.dropFirst())
    case "a16", "a32", "a64": encoding.addressSize = Int(token.dropFirst())
    case "REX.W": encoding.w = true
    case "W0": encoding.w = false
    case "REX.B0": encoding.requiresNoB = true
    default:
      guard token.hasPrefix("VEX.") || token.hasPrefix("EVEX.") || token.hasPrefix("XOP.") else {
        return false
      }
      try readVectorPrefix(token)
    }
    return true
  }

  private mutating func require(_ prefix: Encoding.MandatoryPrefix) throws(OperandWordError) {
    guard encoding.prefix == .any else { throw OperandWordError(message: "contradicting mandatory prefixes") }
    encoding.prefix = prefix
  }

  private mutating func addMandatory(_ token: String) throws(OperandWordError) {
    switch (encoding.prefix, token) {
    case (.any, "66"): encoding.prefix = .p66
    case (.any, "F3"): encoding.prefix = .pF3
    case (.any, "F2"): encoding.prefix = .pF2
    case (.p66, "F3"): encoding.prefix = .p66F3
    case (.p66, "F2"): encoding.prefix = .p66F2
    default: throw OperandWordError(message: "contradicting mandatory prefixes")
    }
  }

  private mutating func readVectorPrefix(_ token: String) throws(OperandWordError) {
    let fields = token.split(separator: ".").map(String.init)
    guard fields.count == 5 else { throw OperandWordError(message: "\(token) needs L, P, MAP and W") }
    encoding.space = fields[0] == "VEX" ? .vex : fields[0] == "EVEX" ? .evex : .xop
    let lengths: [String: Encoding.VectorLength] = [
      "128": .l128, "256": .l256, "512": .l512, "LIG": .ignored, "LZ": .zero,
    ]
    let prefixes: [String: Encoding.MandatoryPrefix] = ["NP": .none, "66": .p66, "F2": .pF2, "F3": .pF3]
    let maps: [String: Encoding.Map] = [
      "0F": .map0F, "0F38": .map0F38, "0F3A": .map0F3A, "MAP5": .map5, "MAP6": .map6,
      "MAP8": .map8, "MAP9": .map9, "MAPA": .map10,
    ]
    let widths: [String: Bool] = ["W0": false, "W1": true]
    guard let length = lengths[fields[1]] else {
      throw OperandWordError(message: "vector length \(fields[1])?")
    }
    guard let prefix = prefixes[fields[2]] else {
      throw OperandWordError(message: "prefix field \(fields[2])?")
    }
    guard let map = maps[fields[3]] else { throw OperandWordError(message: "opcode map \(fields[3])?") }
    let w = widths[fields[4]]
    guard w != nil || fields[4] == "WIG" else { throw OperandWordError(message: "W field \(fields[4])?") }
    (encoding.vectorLength, encoding.prefix, encoding.map, encoding.w) = (length, prefix, map, w)
  }

  private mutating func readOpcodeByte(_ token: String) throws(OperandWordError) -> Bool {
    if token.hasSuffix("+r"), let value = Int(token.dropLast(2), radix: 16), token.count == 4 {
      guard value & 7 == 0 else { throw OperandWordError(message: "\(token): low three bits must be 0") }
      encoding.opcodeHoldsRegister = true
      bytes.append(value)
      return true
    }
    guard token.count == 2, token.allSatisfy({ $0.isHexDigit }), token == token.uppercased() else {
      return false
    }
    bytes.append(Int(token, radix: 16) ?? 0)
    return true
  }

  /// Splits the bytes into escape, opcode and, after a complete opcode, an exact ModRM byte.
  private mutating func finishOpcode() throws(OperandWordError) {
    if encoding.space == .legacy, bytes.first == 0x0f {
      bytes.removeFirst()
      encoding.map = .map0F
      if bytes.count > 1, bytes[0] == 0x38 || bytes[0] == 0x3a {
        encoding.map = bytes.removeFirst() == 0x38 ? .map0F38 : .map0F3A
      }
    }
    guard let opcode = bytes.first else { throw OperandWordError(message: "no opcode byte") }
    encoding.opcode = opcode
    if bytes.count == 2 { encoding.modRM = .exact(bytes[1]) }
    guard bytes.count <= 2 else { throw OperandWordError(message: "too many opcode bytes") }
  }

  private mutating func readModRM(_ token: String) throws(OperandWordError) -> Bool {
    let modRM: Encoding.ModRM
    if token == "/r" {
      modRM = .register
    } else if token == "/vsib" {
      modRM = .vsib
    } else if token.count == 2, token.first == "/", let digit = Int(token.dropFirst()), digit < 8 {
      modRM = .digit(digit)
    } else if token.first == "=", let value = Int(token.dropFirst(), radix: 16), token.count == 3 {
      modRM = .exact(value)
    } else if token.hasSuffix("+i"), let value = Int(token.dropLast(2), radix: 16), value >= 0xc0,
      value & 7 == 0
    {
      modRM = .stack(value)
    } else {
      return false
    }
    guard encoding.modRM == .absent else { throw OperandWordError(message: "two ModRM tokens") }
    encoding.modRM = modRM
    return true
  }
}
