// Expressions: numbers, registers, symbols, memory, and C's operators on 64-bit words. Parsed once; conditions of breakpoints are
// evaluated by guest threads.
//
//     rax == 5 && [rsp + 8] != 0       byte[rdi] == 'x'       main + 4       -1 < rcx (unsigned, as everything)

/// What is wrong with what somebody typed.
struct CommandError: Error, Equatable {
  var message: String
  init(_ message: String) { self.message = message }
}

indirect enum Expression: Equatable {
  case number(UInt64)
  case name(String)
  case memory(Expression, size: Int)
  case unary(Operator, Expression)
  case binary(Operator, Expression, Expression)

  /// C's, by how they are written.
  enum Operator: String {
    case plus = "+", minus = "-", times = "*", over = "/", modulo = "%"
    case bitAnd = "&", bitOr = "|", bitXor = "^", left = "<<", right = ">>"
    case equal = "==", unequal = "!=", less = "<", atMost = "<=", greater = ">", atLeast = ">="
    case and = "&&", or = "||", not = "!", complement = "~"
  }

  /// Where names and memory get their values.
  struct Scope {
    var name: (String) -> UInt64?
    var memory: (UInt64, Int) -> UInt64?
  }

  init(_ text: String) throws(CommandError) {
    var parser = ExpressionParser(text)
    self = try parser.whole()
  }

  func evaluate(_ scope: Scope) throws(CommandError) -> UInt64 {
    switch self {
    case .number(let value): return value
    case .name(let name):
      guard let value = scope.name(name) else { throw CommandError("no register or symbol \(name)") }
      return value
    case .memory(let address, let size):
      let place = try address.evaluate(scope)
      guard let value = scope.memory(place, size) else {
        throw CommandError("no memory at 0x\(Format.hex(place))")
      }
      return value
    case .unary(let operation, let operand):
      return operation.applied(to: try operand.evaluate(scope))
    case .binary(let operation, let left, let right):
      let first = try left.evaluate(scope)
      if operation == .and, first == 0 { return 0 }
      if operation == .or, first != 0 { return 1 }
      guard let value = operation.applied(to: first, try right.evaluate(scope)) else {
        throw CommandError("division by zero")
      }
      return value
    }
  }

  /// The names that it is made of.
  var names: [String] {
    switch self {
    case .number: []
    case .name(let name): [name]
    case .memory(let inner, _), .unary(_, let inner): inner.names
    case .binary(_, let left, let right): left.names + right.names
    }
  }

  /// What no expression looks like, but names of C++ do: `space::name`, `name<int>`.
  static func isScopedName(_ text: some StringProtocol) -> Bool {
    !text.hasPrefix("'") && (text.contains("::") || text.hasSuffix(">"))
  }

  /// The register that a name is part of: `eax` is the low half of `rax`.
  static func registerName(_ name: String) -> (name: String, shift: UInt64, mask: UInt64) {
    let whole: UInt64 = .max
    var name = name.lowercased()
    if name == "pc" { name = "rip" }
    if name == "sp" { name = "rsp" }
    if name == "eflags" || name == "flags" { return ("rflags", 0, whole) }
    let letters = ["a", "b", "c", "d"]
    let pointers = ["si", "di", "bp", "sp"]
    if name.utf8.count == 3, name.hasPrefix("e"), name != "eip" {
      let rest = String(name.dropFirst())
      if pointers.contains(rest) || letters.contains(where: { $0 + "x" == rest }) {
        return ("r" + rest, 0, 0xffff_ffff)
      }
    }
    if pointers.contains(name) || letters.contains(where: { $0 + "x" == name }) {
      return ("r" + name, 0, 0xffff)
    }
    if name.utf8.count == 2, let first = name.first.map(String.init), letters.contains(first) {
      if name.hasSuffix("l") { return ("r\(first)x", 0, 0xff) }
      if name.hasSuffix("h") { return ("r\(first)x", 8, 0xff) }
    }
    if name.hasSuffix("l"), pointers.contains(String(name.dropLast())) {
      return ("r" + name.dropLast(), 0, 0xff)
    }
    if name.hasPrefix("r"), let last = name.last, "bwd".contains(last),
      Int(name.dropFirst().dropLast()) != nil
    {
      return (String(name.dropLast()), 0, last == "b" ? 0xff : last == "w" ? 0xffff : 0xffff_ffff)
    }
    return (name, 0, whole)
  }
}

extension Expression.Operator {
  func applied(to value: UInt64) -> UInt64 {
    switch self {
    case .minus: 0 &- value
    case .complement: ~value
    default: value == 0 ? 1 : 0
    }
  }

  /// Nil: a division by zero.
  func applied(to a: UInt64, _ b: UInt64) -> UInt64? {
    switch self {
    case .plus: a &+ b
    case .minus: a &- b
    case .times: a &* b
    case .over: b == 0 ? nil : a / b
    case .modulo: b == 0 ? nil : a % b
    case .bitAnd: a & b
    case .bitOr: a | b
    case .bitXor: a ^ b
    case .left: b < 64 ? a &<< b : 0
    case .right: b < 64 ? a &>> b : 0
    case .equal: a == b ? 1 : 0
    case .unequal: a != b ? 1 : 0
    case .less: a < b ? 1 : 0
    case .atMost: a <= b ? 1 : 0
    case .greater: a > b ? 1 : 0
    case .atLeast: a >= b ? 1 : 0
    case .and, .or, .not, .complement: b != 0 ? 1 : 0
    }
  }
}

/// Precedence climbing over tokens.
struct ExpressionParser {
  private var tokens: [String] = []
  private var place = 0
  private var depth = 0
  private static let levels: [[String]] = [
    ["||"], ["&&"], ["|"], ["^"], ["&"], ["==", "!="], ["<", "<=", ">", ">="], ["<<", ">>"], ["+", "-"],
    ["*", "/", "%"],
  ]

  init(_ text: String) { tokens = ExpressionParser.split(text) }

  private static func split(_ text: String) -> [String] {
    var result: [String] = []
    var rest = Substring(text)
    while let first = rest.unicodeScalars.first {
      if first == " " || first == "\t" {
        rest = rest.dropFirst()
        continue
      }
      let isWord = { (character: Character) in
        character.isLetter || character.isNumber || "_.$@%:".contains(character)
      }
      let two = String(rest.prefix(2))
      if first == "'", let end = rest.dropFirst().firstIndex(of: "'") {
        result.append(String(rest[...end]))
        rest = rest[rest.index(after: end)...]
      } else if ["||", "&&", "==", "!=", "<=", ">=", "<<", ">>"].contains(two) {
        result.append(two)
        rest = rest.dropFirst(2)
      } else if first != "%", let character = rest.first, isWord(character) {
        let word = rest.prefix(while: isWord)
        result.append(String(word))
        rest = rest.dropFirst(word.count)
      } else {
        result.append(String(rest.prefix(1)))
        rest = rest.dropFirst()
      }
    }
    return result
  }

  mutating func whole() throws(CommandError) -> Expression {
    if tokens.isEmpty { throw CommandError("an expression is missing") }
    if tokens.count > 1000 { throw CommandError("the expression is too long") }
    let result = try level(0)
    if place < tokens.count { throw CommandError("unexpected \(tokens[place])") }
    return result
  }

  private mutating func level(_ number: Int) throws(CommandError) -> Expression {
    guard number < ExpressionParser.levels.count else { return try operand() }
    var left = try level(number + 1)
    while place < tokens.count, ExpressionParser.levels[number].contains(tokens[place]),
      let operation = Expression.Operator(rawValue: tokens[place])
    {
      place += 1
      left = .binary(operation, left, try level(number + 1))
    }
    return left
  }

  private mutating func operand() throws(CommandError) -> Expression {
    guard place < tokens.count else { throw CommandError("the expression is incomplete") }
    depth += 1
    defer { depth -= 1 }
    if depth > 64 { throw CommandError("the expression is nested too deeply") }
    let token = tokens[place]
    place += 1
    switch token {
    case "-": return .unary(.minus, try operand())
    case "~": return .unary(.complement, try operand())
    case "!": return .unary(.not, try operand())
    case "*": return .memory(try operand(), size: 8)
    // %rax, as AT&T's syntax writes it.
    case "%": return try operand()
    case "(":
      let inner = try level(0)
      try expect(")")
      return inner
    case "[": return try memory(8)
    default: break
    }
    let sizes = ["byte": 1, "word": 2, "dword": 4, "qword": 8]
    if let size = sizes[token], place < tokens.count, tokens[place] == "[" {
      place += 1
      return try memory(size)
    }
    return try atom(token)
  }

  private mutating func memory(_ size: Int) throws(CommandError) -> Expression {
    let inner = try level(0)
    try expect("]")
    return .memory(inner, size: size)
  }

  private mutating func expect(_ token: String) throws(CommandError) {
    guard place < tokens.count, tokens[place] == token else { throw CommandError("\(token) is missing") }
    place += 1
  }

  private func atom(_ token: String) throws(CommandError) -> Expression {
    if token.hasPrefix("'"), token.count == 3, let scalar = token.unicodeScalars.dropFirst().first {
      return .number(UInt64(scalar.value))
    }
    // A name that would not be one word: 'my-file.c:12'.
    if token.hasPrefix("'"), token.count > 3 { return .name(String(token.dropFirst().dropLast())) }
    if token.hasPrefix("0x") || token.hasPrefix("0X") {
      guard let value = UInt64(token.dropFirst(2), radix: 16) else {
        throw CommandError("\(token) is no number")
      }
      return .number(value)
    }
    if let first = token.unicodeScalars.first, first.value >= 48, first.value < 58 {
      guard let value = UInt64(token) else { throw CommandError("\(token) is no number") }
      return .number(value)
    }
    let name = token.hasPrefix("$") ? String(token.dropFirst()) : token
    guard let first = name.unicodeScalars.first, first == "_" || first == "." || first.properties.isAlphabetic
    else {
      throw CommandError("unexpected \(token)")
    }
    return .name(name)
  }
}
