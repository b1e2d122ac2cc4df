// Reads one operand word of the instruction column (`r/m64`, `xmm3/m128/m32bcst`, `imm8s`, `<XMM0>`, `{k1}{z}` …).
// The vocabulary is ISA/README.md's; a word outside it is an error.

/// Fixed registers by name: kind, bits, number.
private let fixedRegisters: [String: (Operand.Kind, Int, Int)] = {
  var table: [String: (Operand.Kind, Int, Int)] = [:]
  let stems = ["AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI"]
  for (number, stem) in stems.enumerated() {
    table[stem] = (.general, 16, number)
    table["E" + stem] = (.general, 32, number)
    table["R" + stem] = (.general, 64, number)
    if number < 4, let letter = stem.first { table["\(letter)L"] = (.general, 8, number) }
  }
  for (number, name) in ["ES", "CS", "SS", "DS", "FS", "GS"].enumerated() {
    table[name] = (.segment, 16, number)
  }
  table["ST(0)"] = (.x87, 80, 0)
  table["XMM0"] = (.xmm, 128, 0)
  return table
}()

extension Operand {
  /// Parses `word`; throws a message without its place.
  init(word text: String) throws(OperandWordError) {
    word = text
    var core = text
    while core.last == "}", let open = core.lastIndex(of: "{") {
      try readDecoration(String(core[open...]))
      core = String(core[..<open])
    }
    if core.hasPrefix("<"), core.hasSuffix(">") {
      isImplied = true
      core = String(core.dropFirst().dropLast())
    }
    for (position, part) in Self.alternatives(core).enumerated() {
      try readAlternative(part, isFirst: position == 0)
    }
  }

  /// `r/m64` is one register-or-memory word of one width; other words are split at the slash.
  private static func alternatives(_ core: String) -> [String] {
    if core.hasPrefix("r/m") { return ["r" + core.dropFirst(3), "m" + core.dropFirst(3)] }
    return core.split(separator: "/").map(String.init)
  }

  private mutating func readDecoration(_ decoration: String) throws(OperandWordError) {
    switch decoration {
    case "{k1}", "{k2}": isMasked = true
    case "{z}": zeroes = true
    case "{er}": rounds = true
    case "{sae}": suppressesExceptions = true
    default: throw OperandWordError(message: "unknown decoration \(decoration)")
    }
  }

  private mutating func readAlternative(_ part: String, isFirst: Bool) throws(OperandWordError) {
    if part.hasSuffix("bcst"), let bits = Int(part.dropFirst().dropLast(4)) {
      broadcastWidth = bits
      return
    }
    if let memory = Self.memoryWidth(part) {
      memoryWidth = memory
      allowsMemory = true
      if isFirst { kind = .memory }
      return
    }
    guard isFirst else { throw OperandWordError(message: "unknown operand word \(word)") }
    if readFixed(part) || readRegister(part) || readVSIB(part) || readEncoded(part) { return }
    throw OperandWordError(message: "unknown operand word \(word)")
  }

  private static func memoryWidth(_ part: String) -> Int? {
    guard part.first == "m" else { return nil }
    let digits = part.dropFirst()
    if digits.isEmpty { return 0 }
    guard let bits = Int(digits), [8, 16, 32, 64, 80, 128, 256, 512].contains(bits) else { return nil }
    return bits
  }

  private mutating func readFixed(_ part: String) -> Bool {
    if let (kind, width, number) = fixedRegisters[part] {
      (self.kind, self.width, fixed, allowsRegister) = (kind, width, number, true)
      return true
    }
    guard let value = Int(part) else { return false }
    (kind, fixed) = (.constant, value)
    return true
  }

  private mutating func readRegister(_ part: String) -> Bool {
    let undecorated = Self.withoutDecorativeDigit(part)
    let found: (Kind, Int)? =
      switch undecorated {
      case "r8": (.general, 8)
      case "r16": (.general, 16)
      case "r32": (.general, 32)
      case "r64": (.general, 64)
      case "Sreg": (.segment, 16)
      case "CRn": (.control, 64)
      case "DRn": (.debug, 64)
      case "ST(i)": (.x87, 80)
      case "mm": (.mmx, 64)
      case "xmm": (.xmm, 128)
      case "ymm": (.ymm, 256)
      case "zmm": (.zmm, 512)
      case "k": (.mask, 64)
      default: nil
      }
    guard let found else { return false }
    (kind, width, allowsRegister) = (found.0, found.1, true)
    return true
  }

  /// `xmm1` → `xmm`, `mm2` → `mm`, `k1` → `k`, `r32a` → `r32`; widths of general registers stay.
  private static func withoutDecorativeDigit(_ part: String) -> String {
    if part.first == "r", let last = part.last, last == "a" || last == "b" { return String(part.dropLast()) }
    guard part.first != "r", let last = part.last, last.isNumber else { return part }
    return String(part.dropLast())
  }

  private mutating func readVSIB(_ part: String) -> Bool {
    guard part.hasPrefix("vm"), let size = part.last, let bits = Int(part.dropFirst(2).dropLast()) else {
      return false
    }
    guard let index = ["x": 128, "y": 256, "z": 512][size], bits == 32 || bits == 64 else { return false }
    (kind, width, indexElementWidth, allowsMemory) = (.vectorMemory, index, bits, true)
    return true
  }

  private mutating func readEncoded(_ part: String) -> Bool {
    switch part {
    case "imm8", "imm16", "imm32", "imm64": (kind, width) = (.immediate, Int(part.dropFirst(3)) ?? 0)
    case "imm8s", "imm16s", "imm32s":
      (kind, width, isSignExtended) = (.immediate, Int(part.dropFirst(3).dropLast()) ?? 0, true)
    case "rel8", "rel16", "rel32": (kind, width) = (.relative, Int(part.dropFirst(3)) ?? 0)
    case "moffs8", "moffs16", "moffs32", "moffs64":
      (kind, memoryWidth, allowsMemory) = (.memoryOffset, Int(part.dropFirst(5)) ?? 0, true)
    case "ptr16:16": (kind, width) = (.farPointer, 32)
    case "ptr16:32": (kind, width) = (.farPointer, 48)
    case "m16:16": (kind, memoryWidth, allowsMemory) = (.farMemory, 32, true)
    case "m16:32": (kind, memoryWidth, allowsMemory) = (.farMemory, 48, true)
    case "m16:64": (kind, memoryWidth, allowsMemory) = (.farMemory, 80, true)
    default: return false
    }
    return true
  }
}

struct OperandWordError: Error {
  var message: String
}
