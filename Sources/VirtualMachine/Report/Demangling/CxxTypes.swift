// Types and template arguments (Itanium C++ ABI, sections 5.1.5 and 5.1.7).

extension CxxParser {
  /// A type; every one but the built-in ones may be substituted later.
  mutating func type() throws(CxxUnreadable) -> Int {
    try enter()
    defer { depth &-= 1 }
    switch next {
    case UInt8(ascii: "r"), UInt8(ascii: "V"), UInt8(ascii: "K"): return remember(try qualifiedType())
    case UInt8(ascii: "P"): return remember(try modified { .pointer($0) })
    case UInt8(ascii: "R"): return remember(try modified { .reference($0, isRvalue: false) })
    case UInt8(ascii: "O"): return remember(try modified { .reference($0, isRvalue: true) })
    case UInt8(ascii: "C"): return remember(try modified { .suffixed($0, " _Complex") })
    case UInt8(ascii: "G"): return remember(try modified { .suffixed($0, " _Imaginary") })
    case UInt8(ascii: "U"):
      position &+= 1
      var qualifier = try sourceName()
      if next == UInt8(ascii: "I") {
        qualifier = try make(.template(name: qualifier, arguments: arguments()))
      }
      return remember(try make(.vendorQualified(type(), by: qualifier)))
    case UInt8(ascii: "F"): return remember(try functionType(CxxQualifiers()))
    case UInt8(ascii: "A"): return remember(try arrayType())
    case UInt8(ascii: "M"):
      position &+= 1
      let owner = try type()
      return remember(try make(.memberPointer(owner: owner, type())))
    case UInt8(ascii: "T"): return try parameterType()
    case UInt8(ascii: "S") where second != UInt8(ascii: "t"):
      let known = try substitution()
      guard next == UInt8(ascii: "I") else { return known }
      return remember(try make(.template(name: known, arguments: arguments())))
    case UInt8(ascii: "D"): return try extendedType()
    case UInt8(ascii: "u"):
      position &+= 1
      let name = try sourceName()
      guard next == UInt8(ascii: "I") else { return remember(name) }
      return remember(try make(.template(name: name, arguments: arguments())))
    case UInt8(ascii: "N"), UInt8(ascii: "Z"), UInt8(ascii: "S"), 48...57: return remember(try typeName())
    default:
      guard let name = CxxParser.builtIn(next) else { throw CxxUnreadable() }
      position &+= 1
      return try make(.text(name))
    }
  }

  private mutating func modified(_ change: (Int) -> CxxNode) throws(CxxUnreadable) -> Int {
    position &+= 1
    return try make(change(type()))
  }

  mutating func qualifiers() -> CxxQualifiers {
    var result = CxxQualifiers()
    result.isRestricted = take("r")
    result.isVolatile = take("V")
    result.isConstant = take("K")
    return result
  }

  /// Qualifiers in front of a function's type are those of `this`.
  private mutating func qualifiedType() throws(CxxUnreadable) -> Int {
    let qualifiers = qualifiers()
    let isFunction =
      next == UInt8(ascii: "F") || isNext("Do") || isNext("DO") || isNext("Dw") || isNext("Dx")
    if isFunction { return try functionType(qualifiers) }
    return try make(.qualified(type(), qualifiers))
  }

  private mutating func functionType(_ qualifiers: CxxQualifiers) throws(CxxUnreadable) -> Int {
    var tail = CxxFunctionTail()
    tail.qualifiers = qualifiers
    if take("Do") {
      tail.exceptions = " noexcept"
    } else if take("DO") {
      tail.exceptions = " noexcept"
      tail.exceptionTerms = [try expression()]
      try expect("E")
    } else if take("Dw") {
      tail.exceptions = " throw"
      while !take("E") { tail.exceptionTerms.append(try type()) }
    }
    tail.isTransactionSafe = take("Dx")
    try expect("F")
    _ = take("Y")
    let returned = try type()
    var types: [Int] = []
    if !take("v") || !isFunctionEnd {
      while !isFunctionEnd { types.append(try type()) }
    }
    tail.qualifiers.reference = take("R") ? " &" : take("O") ? " &&" : ""
    try expect("E")
    return try make(.function(returned: returned, parameters: types, tail: tail))
  }

  private var isFunctionEnd: Bool { next == UInt8(ascii: "E") || isNext("RE") || isNext("OE") }

  private mutating func arrayType() throws(CxxUnreadable) -> Int {
    position &+= 1
    let dimension = next == UInt8(ascii: "_") ? nil : try dimension()
    try expect("_")
    return try make(.array(element: type(), dimension: dimension))
  }

  /// A number or an expression.
  private mutating func dimension() throws(CxxUnreadable) -> Int {
    guard isDigit else { return try expression() }
    let start = position
    while isDigit { position &+= 1 }
    return try make(.source(start..<position))
  }

  private mutating func parameterType() throws(CxxUnreadable) -> Int {
    for (code, keyword) in CxxParser.elaborations where isNext(code) {
      position &+= 2
      return remember(try make(.prefixed(keyword, typeName())))
    }
    let parameter = remember(try templateParameter())
    guard next == UInt8(ascii: "I"), !isInConversion else { return parameter }
    return remember(try make(.template(name: parameter, arguments: arguments())))
  }

  private static let elaborations: [(StaticString, String)] = [
    ("Ts", "struct "), ("Tu", "union "), ("Te", "enum "),
  ]

  /// T_, T0_ and so on.
  mutating func templateParameter() throws(CxxUnreadable) -> Int {
    try expect("T")
    if take("L") { _ = try ordinal() }
    let number = try ordinal()
    return try make(.parameter(number))
  }

  mutating func decltype() throws(CxxUnreadable) -> Int {
    position &+= 2
    let expression = try expression()
    try expect("E")
    return try make(.enclosed("decltype (", expression))
  }

  /// The types that begin with D.
  private mutating func extendedType() throws(CxxUnreadable) -> Int {
    switch second {
    case UInt8(ascii: "o"), UInt8(ascii: "O"), UInt8(ascii: "w"), UInt8(ascii: "x"):
      return remember(try functionType(CxxQualifiers()))
    case UInt8(ascii: "t"), UInt8(ascii: "T"): return remember(try decltype())
    case UInt8(ascii: "p"):
      position &+= 2
      return remember(try make(.expansion(type())))
    case UInt8(ascii: "v"):
      position &+= 2
      if take("_") {
        let dimension = try expression()
        try expect("_")
        return remember(try make(.vector(element: type(), dimension: dimension)))
      }
      let dimension = try dimension()
      try expect("_")
      return remember(try make(.vector(element: type(), dimension: dimension)))
    case UInt8(ascii: "F"):
      position &+= 2
      let size = try number()
      if size == 16, take("b") { return try make(.text("std::bfloat16_t")) }
      let isExtended = take("x")
      if !isExtended { try expect("_") }
      return try make(.text("_Float\(size)" + (isExtended ? "x" : "")))
    case UInt8(ascii: "B"), UInt8(ascii: "U"):
      let prefix = second == UInt8(ascii: "U") ? "unsigned _BitInt(" : "_BitInt("
      position &+= 2
      let size = try dimension()
      try expect("_")
      return try make(.enclosed(prefix, size))
    default:
      guard let name = CxxParser.extendedBuiltIn(second) else { throw CxxUnreadable() }
      position &+= 2
      return try make(.text(name))
    }
  }

  /// Behind a template's name.
  mutating func arguments() throws(CxxUnreadable) -> [Int] {
    try expect("I")
    let wasInConversion = isInConversion
    defer { isInConversion = wasInConversion }
    isInConversion = false
    var list: [Int] = []
    while !take("E") {
      if take("Q") {
        _ = try expression()
        continue
      }
      list.append(try argument())
    }
    return list
  }

  /// A type, an expression, a literal or a pack of those.
  mutating func argument() throws(CxxUnreadable) -> Int {
    try enter()
    defer { depth &-= 1 }
    if next == UInt8(ascii: "T"), "yptnk".utf8.contains(second) { _ = try declaration(0) }
    switch next {
    case UInt8(ascii: "X"):
      position &+= 1
      let expression = try expression()
      try expect("E")
      return expression
    case UInt8(ascii: "L"): return try literal()
    case UInt8(ascii: "J"), UInt8(ascii: "I"):
      position &+= 1
      var list: [Int] = []
      while !take("E") { list.append(try argument()) }
      return try make(.pack(list))
    default: return try type()
    }
  }
}
