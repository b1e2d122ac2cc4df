// Writes the interpreter's handlers: for each distinct pair of semantic call and operand shapes one `@c` function that
// builds the places, calls the semantic and continues with the next operation. Rows share handlers whenever their calls
// are equal, so their number grows with meanings, not with encodings.
//
// Output: Sources/Engine/Generated/Handlers+<file>.swift, one for each row file that first needs the handler, and
// HandlerTable.swift with the table of handlers and, for each row, which of them executes it and how the block builder
// fills in the operation.

/// A handler to be generated.
struct HandlerDefinition {
  /// Swift and C name, made of the semantic and the places.
  let name: String
  /// The call in Swift.
  let call: String
}

/// Collects handlers over all rows and writes them.
struct HandlerEmitter {
  private let rows: [Row]
  private let semantics: Set<String>
  /// Rows that name a semantic that does not exist, or have an operand that no place stands for.
  private(set) var problems: [Problem] = []

  private var indexByName: [String: Int] = [:]
  private var definitionsByFile: [String: [HandlerDefinition]] = [:]
  private var names: [String] = []
  /// Three handler indices a row, plus one (0: none), in the order of `forms(of:)`.
  private var rowHandlers: [UInt16] = []
  private var rowFields: [UInt64] = []
  private let flowNames: [String]

  /// The names of all static functions in a folder of Swift files.
  static func semantics(in folder: String) -> Set<String> {
    var names: Set<String> = []
    for file in Files.list(folder) where file.hasSuffix(".swift") {
      let text = Files.read(folder + "/" + file) ?? ""
      for line in text.split(separator: "\n") {
        guard let range = line.firstRange(of: "static func ") else { continue }
        names.insert(String(line[range.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "_" }))
      }
    }
    return names
  }

  /// `semantics`: names of the functions in Sources/Engine/Semantics.
  init(_ instructionSet: InstructionSet, semantics: Set<String>) {
    rows = instructionSet.rows
    self.semantics = semantics
    flowNames = Set(rows.filter { $0.attributes.contains(.flow) }.compactMap { $0.semantic?.name }).sorted()
    for row in rows { collect(row) }
  }

  // MARK: Collecting

  private mutating func collect(_ row: Row) {
    rowFields.append(fields(of: row))
    var handlers: [UInt16] = [0, 0, 0]
    if let semantic = row.semantic, !row.attributes.contains(.flow), !row.attributes.contains(.priv) {
      if semantics.contains(semantic.name) {
        for (index, form) in forms(of: row).enumerated() {
          if let form { handlers[index] = handler(row, semantic, form) }
        }
      } else {
        problems.append(
          Problem(location: row.location, message: "no function \(semantic.name) in Sources/Engine/Semantics")
        )
      }
    }
    rowHandlers += handlers
  }

  /// What distinguishes the handlers of one row.
  private enum Form {
    case register, memory, locked
    case repetition(String)
  }

  /// The forms in the order of the three slots: register or none, memory, locked memory;
  /// string instructions: no prefix, F3, F2.
  private func forms(of row: Row) -> [Form?] {
    if row.attributes.contains(.rep) {
      return [.repetition(".none"), .repetition(".repeated"), .repetition(".repeated")]
    }
    if row.attributes.contains(.repcc) {
      return [.repetition(".none"), .repetition(".whileEqual"), .repetition(".whileNotEqual")]
    }
    guard let operand = row.operands.first(where: { $0.isMemoryPlace }) else {
      return [.register]
    }
    return [
      operand.allowsRegister ? .register : nil,
      operand.allowsMemory ? .memory : nil,
      row.attributes.contains(.lock) ? .locked : nil,
    ]
  }

  private mutating func handler(_ row: Row, _ semantic: SemanticCall, _ form: Form) -> UInt16 {
    var parts: [String] = [semantic.name]
    var arguments: [String] = []
    for argument in semantic.arguments {
      switch argument {
      case .operand(let number):
        let place = place(row, row.operands[number], form)
        arguments.append(place.swift)
        parts.append(place.short)
      case .enumCase(let name):
        arguments.append("." + name)
        parts.append(name)
      case .literal(let value):
        arguments.append(String(value))
        parts.append(String(value))
      case .type(let name):
        arguments.append(name + ".self")
        parts.append(name)
      }
    }
    if case .repetition(let name) = form {
      arguments.append(name)
      parts.append(String(name.dropFirst()))
    }
    if row.attributes.contains(.rep) || row.attributes.contains(.repcc) || row.attributes.contains(.implicit)
    {
      arguments.append("ImplicitSegment(o.pointee.d)")
    }
    let name = parts.joined(separator: "_")
    if let index = indexByName[name] { return UInt16(index + 1) }
    indexByName[name] = names.count
    names.append(name)
    let call = "Semantics.\(semantic.name)(" + (["&b"] + arguments).joined(separator: ", ") + ")"
    definitionsByFile[row.file, default: []].append(HandlerDefinition(name: name, call: call))
    return UInt16(names.count)
  }

  private mutating func place(_ row: Row, _ operand: Operand, _ form: Form) -> Place {
    let context = PlaceContext(row: row)
    if operand.letter == .immediate,
      row.operands.first(where: { $0.letter == .immediate })?.word != operand.word
    {
      // The second immediate (of ENTER) is a byte and lies above the first.
      return Place(swift: "Immediate<W8>(o.pointee.immediate &>> 16)", short: "second")
    }
    switch form {
    case .memory where operand.isMemoryPlace: return context.memory(operand, locked: false)
    case .locked where operand.isMemoryPlace: return context.memory(operand, locked: true)
    default: break
    }
    if let place = context.place(operand) { return place }
    problems.append(Problem(location: row.location, message: "no place for operand \(operand.word)"))
    return Place(swift: "", short: "")
  }

  /// How the block builder fills in the operation of a row: two bits each for the fields a, b, c (0 number or unused,
  /// 1 general register, 2 byte register), then properties and codes. Engine/Interpreter/RowFields.swift reads this.
  private func fields(of row: Row) -> UInt64 {
    var bits: UInt64 = 0
    for operand in row.operands {
      guard operand.kind == .general, operand.letter != .fixed else { continue }
      let kind: UInt64 = operand.width == 8 ? 2 : 1
      switch operand.letter {
      case .register: bits |= kind
      case .modRM, .opcode: bits |= kind << 2
      case .vvvv: bits |= kind << 4
      default: break
      }
    }
    let isString = row.attributes.contains(.rep) || row.attributes.contains(.repcc)
    let properties: [Bool] = [
      row.operands.contains { $0.indexElementWidth > 0 },
      isString,
      row.attributes.contains(.priv),
      row.semantic?.name == "lea",
      row.operands.contains { $0.letter == .opcode },
      row.operands.contains { $0.letter == .offset },
      isString || row.attributes.contains(.implicit),
      row.semantic?.name == "pop",
      row.operands.contains { $0.indexElementWidth > 0 }
        || ["bt", "bts", "btr", "btc"].contains(row.semantic?.name ?? ""),
      row.semantic?.name == "popf",
    ]
    for (index, property) in properties.enumerated() where property { bits |= 1 << UInt64(6 + index) }
    if row.attributes.contains(.flow), let name = row.semantic?.name,
      let code = flowNames.firstIndex(of: name)
    {
      bits |= UInt64(code + 1) << 16
    }
    if case .enumCase(let name)? = row.semantic?.arguments.first,
      let code = BranchEmitter.conditions.firstIndex(of: name)
    {
      bits |= UInt64(code) << 24
    }
    if let fused = BranchEmitter.fusedKind(row) {
      bits |= UInt64(fused.kind + 1) << 32 | UInt64(fused.order) << 40
    }
    return bits
  }

  // MARK: Writing

  func emit() -> [GeneratedFile] {
    let folder = "Sources/Engine/Generated/"
    var result: [GeneratedFile] = []
    for file in definitionsByFile.keys.sorted() {
      let stem = file.hasSuffix(".isa") ? String(file.dropLast(4)) : file
      let text = handlersText(file, definitionsByFile[file] ?? [])
      result.append(GeneratedFile(path: folder + "Handlers+\(stem).swift", text: text))
    }
    result.append(GeneratedFile(path: folder + "HandlerTable.swift", text: tableText()))
    result.append(BranchEmitter.emit())
    return result
  }

  private func handlersText(_ file: String, _ definitions: [HandlerDefinition]) -> String {
    var text = """
      // Generated by Tools/isagen from ISA/\(file); do not edit. Interpreter handlers, one for each distinct meaning.

      import CHost
      import X86


      """
    for definition in definitions {
      text += """
        @c(vt_op_\(definition.name))
        func op_\(definition.name)(
          _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
        ) {
          var b = Interpreter(o, c, w)
          \(definition.call)
          next(o, c, w, n)
        }


        """
    }
    return text
  }

  private func tableText() -> String {
    var text = """
      // Generated by Tools/isagen; do not edit. Which handler executes which row.

      /// Control transfers and traps that the block builder treats itself: the semantics of rows with `flow`.
      enum Flow: UInt8 {
        case none

      """
    for name in flowNames { text += "  case \(name == "int" || name == "loop" ? name + "_" : name)\n" }
    text += """
      }

      enum HandlerTable {
        /// All handlers.
        static let handlers: InlineArray<\(max(names.count, 1)), Handler> = [

      """
    if names.isEmpty { text += "    resolve\n" }
    for name in names { text += "    op_\(name),\n" }
    text += "  ]\n\n"
    text += """
        /// Three indices into `handlers`, plus one, a row (0: none): register form, memory form, locked memory form; for string
        /// instructions: no prefix, F3, F2.
        static let rowHandlers: InlineArray<\(rowHandlers.count), UInt16> = [

      """
    text += HandlerEmitter.lines(rowHandlers.map(String.init))
    text += "  ]\n\n"
    text += """
        /// One word a row; see RowFields.
        static let rowFields: InlineArray<\(rowFields.count), UInt64> = [

      """
    text += HandlerEmitter.lines(rowFields.map(String.init))
    text += "  ]\n}\n"
    return text
  }

  static func lines(_ values: [String]) -> String {
    var text = ""
    var line = "   "
    for value in values {
      if line.count + value.count + 2 > 110 {
        text += line + "\n"
        line = "   "
      }
      line += " " + value + ","
    }
    return text + line + "\n"
  }
}

extension Operand {
  /// Encoded where a memory operand can be: ModRM.rm or an absolute offset.
  var isMemoryPlace: Bool { letter == .modRM || letter == .offset }
}
