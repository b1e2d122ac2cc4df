// The codes of built-in types (Itanium C++ ABI, section 5.1.5.2) and of operators (5.1.3.1).

/// How an operator stands in an expression.
enum CxxShape {
  case prefix, postfix, binary, conditional, other
}

extension CxxParser {
  static func builtIn(_ code: UInt8) -> String? {
    switch code {
    case UInt8(ascii: "v"): return "void"
    case UInt8(ascii: "w"): return "wchar_t"
    case UInt8(ascii: "b"): return "bool"
    case UInt8(ascii: "c"): return "char"
    case UInt8(ascii: "a"): return "signed char"
    case UInt8(ascii: "h"): return "unsigned char"
    case UInt8(ascii: "s"): return "short"
    case UInt8(ascii: "t"): return "unsigned short"
    case UInt8(ascii: "i"): return "int"
    case UInt8(ascii: "j"): return "unsigned int"
    case UInt8(ascii: "l"): return "long"
    case UInt8(ascii: "m"): return "unsigned long"
    case UInt8(ascii: "x"): return "long long"
    case UInt8(ascii: "y"): return "unsigned long long"
    case UInt8(ascii: "n"): return "__int128"
    case UInt8(ascii: "o"): return "unsigned __int128"
    case UInt8(ascii: "f"): return "float"
    case UInt8(ascii: "d"): return "double"
    case UInt8(ascii: "e"): return "long double"
    case UInt8(ascii: "g"): return "__float128"
    case UInt8(ascii: "z"): return "..."
    default: return nil
    }
  }

  /// Behind D.
  static func extendedBuiltIn(_ code: UInt8) -> String? {
    switch code {
    case UInt8(ascii: "a"): return "auto"
    case UInt8(ascii: "c"): return "decltype(auto)"
    case UInt8(ascii: "d"): return "decimal64"
    case UInt8(ascii: "e"): return "decimal128"
    case UInt8(ascii: "f"): return "decimal32"
    case UInt8(ascii: "h"): return "half"
    case UInt8(ascii: "i"): return "char32_t"
    case UInt8(ascii: "n"): return "decltype(nullptr)"
    case UInt8(ascii: "s"): return "char16_t"
    case UInt8(ascii: "u"): return "char8_t"
    default: return nil
    }
  }

  /// What a literal of a built-in type ends with; other types are written in front of it.
  static func literalSuffix(_ type: String) -> String? {
    switch type {
    case "int", "bool": return ""
    case "unsigned int": return "u"
    case "long": return "l"
    case "unsigned long": return "ul"
    case "long long": return "ll"
    case "unsigned long long": return "ull"
    default: return nil
    }
  }

  private static let operators: [(code: StaticString, symbol: String, shape: CxxShape)] = [
    ("aN", "&=", .binary), ("aS", "=", .binary), ("aa", "&&", .binary), ("ad", "&", .prefix),
    ("an", "&", .binary), ("at", "alignof ", .other), ("aw", "co_await ", .prefix),
    ("az", "alignof ", .prefix),
    ("cc", "const_cast", .other), ("cl", "()", .other), ("cm", ",", .binary), ("co", "~", .prefix),
    ("dV", "/=", .binary), ("da", "delete[] ", .prefix), ("dc", "dynamic_cast", .other), ("de", "*", .prefix),
    ("dl", "delete ", .prefix), ("ds", ".*", .binary), ("dt", ".", .other), ("dv", "/", .binary),
    ("eO", "^=", .binary), ("eo", "^", .binary), ("eq", "==", .binary), ("ge", ">=", .binary),
    ("gt", ">", .binary), ("ix", "[]", .other), ("lS", "<<=", .binary), ("le", "<=", .binary),
    ("ls", "<<", .binary), ("lt", "<", .binary), ("mI", "-=", .binary), ("mL", "*=", .binary),
    ("mi", "-", .binary), ("ml", "*", .binary), ("mm", "--", .postfix), ("na", "new[]", .other),
    ("ne", "!=", .binary), ("ng", "-", .prefix), ("nt", "!", .prefix), ("nw", "new", .other),
    ("nx", "noexcept", .prefix), ("oR", "|=", .binary), ("oo", "||", .binary), ("or", "|", .binary),
    ("pL", "+=", .binary), ("pl", "+", .binary), ("pm", "->*", .binary), ("pp", "++", .postfix),
    ("ps", "+", .prefix), ("pt", "->", .other), ("qu", "?", .conditional), ("rM", "%=", .binary),
    ("rS", ">>=", .binary), ("rc", "reinterpret_cast", .other), ("rm", "%", .binary), ("rs", ">>", .binary),
    ("sc", "static_cast", .other), ("ss", "<=>", .binary), ("st", "sizeof ", .other),
    ("sz", "sizeof ", .prefix),
    ("te", "typeid ", .prefix), ("ti", "typeid ", .other), ("tw", "throw ", .prefix),
  ]

  /// The operator that is next, which is stepped over.
  mutating func takeOperator() throws(CxxUnreadable) -> (symbol: String, shape: CxxShape) {
    for entry in CxxParser.operators where take(entry.code) { return (entry.symbol, entry.shape) }
    throw CxxUnreadable()
  }

  /// A function that is an operator: 5.1.3.
  mutating func operatorName(_ entity: inout CxxEntity) throws(CxxUnreadable) -> Int {
    if take("cv") {
      let outer = isInConversion
      defer { isInConversion = outer }
      isInConversion = true
      entity.hasNoResult = true
      return try make(.conversion(type()))
    }
    if take("li") { return try make(.literalOperator(sourceName())) }
    if next == UInt8(ascii: "v"), second >= 48, second <= 57 {
      position &+= 2
      return try make(.prefixed("operator ", sourceName()))
    }
    var symbol = try takeOperator().symbol
    if symbol.utf8.last == UInt8(ascii: " ") { symbol.removeLast() }
    guard let first = symbol.utf8.first else { throw CxxUnreadable() }
    let isWord = first >= UInt8(ascii: "a") && first <= UInt8(ascii: "z")
    return try make(.operation(isWord ? " " + symbol : symbol))
  }
}
