// Writes the X86 module's tables: the decoder's index, and what is known of each row. Tables are packed integers, because
// typed literals cost the compiler minutes and memory; Sources/X86/Rows/RowInfo.swift reads them. The packing is written
// down once, in `RowPacking`, and reaches the module as generated constants.

struct TableEmitter {
  let instructionSet: InstructionSet
  private(set) var problems: [Problem] = []
  private let directory = "Sources/X86/Generated/"

  init(_ instructionSet: InstructionSet) { self.instructionSet = instructionSet }

  mutating func emit() -> [GeneratedFile] {
    let index = OpcodeIndex(instructionSet.rows)
    problems = index.problems
    var packing = RowPacking(instructionSet)
    packing.pack()
    return [decoderTables(index), rowTables(packing), strings(packing), features(packing)]
  }

  private func decoderTables(_ index: OpcodeIndex) -> GeneratedFile {
    let words = index.words()
    var text = Self.header("Which rows an opcode may mean, and what each asks of the context.")
    text += "/// Fields of the context word: shift and mask.\nenum ContextField {\n"
    for field in ContextField.allCases {
      text += "  static var \(field.rawValue): UInt32 { \(field.shift) }\n"
    }
    text += "}\n\n"
    text += Self.table("opcodeIndex", "UInt32", words.index, per: 12)
    text += Self.table("candidateConditions", "UInt64", words.conditions, per: 5)
    text += Self.table("candidateRows", "UInt16", words.rows, per: 14)
    return GeneratedFile(path: directory + "DecoderTables.swift", text: text)
  }

  private func rowTables(_ packing: RowPacking) -> GeneratedFile {
    var text = Self.header("What is known of each row; packed as RowInfo.swift reads it.")
    text += "extension RowInfo {\n  /// Number of rows.\n"
    text += "  public static var count: Int { \(packing.first.count) }\n}\n\n"
    text += Self.table("rowFirstWords", "UInt64", packing.first, per: 5)
    text += Self.table("rowSecondWords", "UInt64", packing.second, per: 5)
    text += Self.table("rowLocations", "UInt32", packing.locations, per: 12)
    text += Self.table("operandWords", "UInt32", packing.operands, per: 10)
    text += Self.table("flagWords", "UInt32", packing.flags, per: 10)
    return GeneratedFile(path: directory + "RowTables.swift", text: text)
  }

  private func strings(_ packing: RowPacking) -> GeneratedFile {
    var text = Self.header("Mnemonics and names of row files, one after the other.")
    for (name, blob) in [("mnemonicText", packing.mnemonics.text), ("fileText", packing.fileNames.text)] {
      text += "let \(name): StaticString = \"\"\"\n"
      var rest = Substring(blob)
      while !rest.isEmpty {
        text += "  \(rest.prefix(100))\\\n"
        rest = rest.dropFirst(100)
      }
      text += "\n  \"\"\"\n"
    }
    text += Self.table("fileNames", "UInt32", packing.fileNames.places, per: 10)
    return GeneratedFile(path: directory + "Strings.swift", text: text)
  }

  private func features(_ packing: RowPacking) -> GeneratedFile {
    var text = Self.header("The CPUID features that rows name.")
    text += "/// A CPUID feature, by the name its rows use.\n"
    text += "public enum Feature: UInt8, CaseIterable, Sendable {\n"
    for (number, name) in packing.features.enumerated() {
      text += "  case \(name.lowercased()) = \(number + 1)\n"
    }
    text += "\n  /// As rows write it.\n  public var name: StaticString {\n    switch self {\n"
    for name in packing.features { text += "    case .\(name.lowercased()): \"\(name)\"\n" }
    text += "    }\n  }\n}\n"
    return GeneratedFile(path: directory + "Feature.swift", text: text)
  }

  static func header(_ purpose: String) -> String {
    "// Written by Tools/isagen from ISA/*.isa (`make gen`); do not edit.\n// \(purpose)\n\n"
  }

  /// A global table: static read-only data, no initialiser that runs.
  private static func table(_ name: String, _ type: String, _ words: [UInt64], per lineCount: Int) -> String {
    let values = words.isEmpty ? [0] : words
    var text = "let \(name): InlineArray<\(values.count), \(type)> = [\n"
    for start in stride(from: 0, to: values.count, by: lineCount) {
      let line = values[start..<min(start + lineCount, values.count)]
      text +=
        "  " + line.map { $0 < 10 ? "\($0)" : "0x" + String($0, radix: 16) }.joined(separator: ", ") + ",\n"
    }
    return text + "]\n\n"
  }
}
