// Reads whole rows and files: splits columns, parses each, and checks what can be checked row by row. Every problem is
// reported as `file:line: what`; parsing goes on with the next row, so that one run shows them all.

struct RowParser {
  private(set) var rows: [Row] = []
  private(set) var problems: [Problem] = []

  /// Parses one file's text; `file` is its name without directory.
  mutating func parse(_ text: String, file: String) {
    var number = 0
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      number += 1
      let trimmed = line.trimmed
      if trimmed.isEmpty || trimmed.first == "#" { continue }
      do {
        rows.append(try Self.row(trimmed, id: rows.count, file: file, line: number))
      } catch {
        problems.append(Problem(location: "\(file):\(number)", message: error.message))
      }
    }
  }

  private static func row(
    _ line: String, id: Int, file: String, line number: Int
  ) throws(OperandWordError) -> Row {
    let columns = line.split(separator: "|", omittingEmptySubsequences: false).map { $0.trimmed }
    guard columns.count == 7 || columns.count == 8 else {
      throw OperandWordError(message: "\(columns.count) columns instead of 7 or 8")
    }
    let encoding = try EncodingParser.parse(columns[0])
    let (mnemonic, words) = instruction(columns[1])
    let operands = try operands(words, letters: columns[2], access: columns[3])
    let row = Row(
      id: id, file: file, line: number, encoding: encoding, mnemonic: mnemonic, operands: operands,
      flags: try flags(columns[4]), features: try features(columns[5]),
      semantic: try semantic(columns[6], operandCount: operands.count),
      attributes: try attributes(columns.count == 8 ? columns[7] : ""))
    try RowCheck.check(row)
    return row
  }

  private static func instruction(_ column: String) -> (String, [String]) {
    guard let blank = column.firstIndex(of: " ") else { return (column, []) }
    let words = column[blank...].split(separator: ",").map { $0.trimmed }
    return (String(column[..<blank]), words)
  }

  private static func operands(
    _ words: [String], letters: String, access: String
  ) throws(OperandWordError) -> [Operand] {
    let letterList = letters == "-" ? [] : Array(letters.filter { $0 != " " })
    let accessList = words.isEmpty && access == "-" ? [] : access.split(separator: " ").map(String.init)
    guard letterList.count == words.count else {
      throw OperandWordError(message: "\(words.count) operands but Op/En \(letters)")
    }
    guard accessList.count == words.count else {
      throw OperandWordError(message: "\(words.count) operands but access \(access)")
    }
    var operands: [Operand] = []
    for (index, word) in words.enumerated() {
      var operand = try Operand(word: word)
      guard let letter = Operand.Letter(letterList[index]) else {
        throw OperandWordError(message: "unknown Op/En letter \(letterList[index])")
      }
      guard let mode = Operand.Access(rawValue: accessList[index]) else {
        throw OperandWordError(message: "unknown access \(accessList[index])")
      }
      (operand.letter, operand.access) = (letter, mode)
      operands.append(operand)
    }
    return operands
  }

  private static func flags(_ column: String) throws(OperandWordError) -> FlagEffects {
    var effects = FlagEffects()
    if column == "-" { return effects }
    for word in column.split(separator: " ") {
      let names = word.dropFirst(2).split(separator: ",").map(String.init)
      for name in names where FlagEffects.positions[name] == nil {
        throw OperandWordError(message: "unknown flag \(name)")
      }
      switch word.prefix(2) {
      case "r:": effects.read += names
      case "w:": effects.written += names
      case "u:": effects.undefined += names
      case "0:": effects.cleared += names
      case "1:": effects.set += names
      default: throw OperandWordError(message: "unknown flag effect \(word)")
      }
    }
    return effects
  }

  private static func features(_ column: String) throws(OperandWordError) -> [String] {
    let words = column.split(separator: "+").map(String.init)
    guard (1...3).contains(words.count) else {
      throw OperandWordError(message: "one to three features expected")
    }
    for word in words where !word.allSatisfy({ $0.isASCII && ($0.isUppercase || $0.isNumber || $0 == "_") }) {
      throw OperandWordError(message: "feature \(word): capitals, digits and _ only")
    }
    return words
  }

  private static func semantic(_ column: String, operandCount: Int) throws(OperandWordError) -> SemanticCall?
  {
    if column == "-" { return nil }
    let words = column.split(separator: " ").map(String.init)
    guard let name = words.first, name.first?.isLowercase == true else {
      throw OperandWordError(message: "semantic \(column)?")
    }
    var arguments: [SemanticCall.Argument] = []
    for word in words.dropFirst() {
      if word.first == "$", let number = Int(word.dropFirst()) {
        guard (1...max(operandCount, 1)).contains(number), operandCount > 0 else {
          throw OperandWordError(message: "there is no operand \(word)")
        }
        arguments.append(.operand(number - 1))
      } else if word.first == "." {
        arguments.append(.enumCase(String(word.dropFirst())))
      } else if let value = Int(word) {
        arguments.append(.literal(value))
      } else if word.hasPrefix("0x"), let value = Int(word.dropFirst(2), radix: 16) {
        arguments.append(.literal(value))
      } else if word.first?.isUppercase == true {
        arguments.append(.type(word))
      } else {
        throw OperandWordError(message: "semantic argument \(word)?")
      }
    }
    return SemanticCall(name: name, arguments: arguments)
  }

  private static func attributes(_ column: String) throws(OperandWordError) -> Set<Attribute> {
    var attributes: Set<Attribute> = []
    for word in column.split(separator: " ") {
      guard let attribute = Attribute(rawValue: String(word)) else {
        throw OperandWordError(message: "unknown attribute \(word)")
      }
      attributes.insert(attribute)
    }
    return attributes
  }
}

extension StringProtocol {
  /// Without blanks at both ends.
  var trimmed: String {
    let blank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
    return String(drop(while: blank).reversed().drop(while: blank).reversed())
  }
}
