// Expressions in template arguments, decltype and the like (Itanium C++ ABI, section 5.1.6).

extension CxxParser {
  mutating func expression() throws(CxxUnreadable) -> Int {
    try enter()
    defer { depth &-= 1 }
    switch next {
    case UInt8(ascii: "L"): return try literal()
    case UInt8(ascii: "T"): return try templateParameter()
    case UInt8(ascii: "f"): return try parameterOrFold()
    case 48...57: return try simpleName()
    case UInt8(ascii: "u"):
      position &+= 1
      let function = try sourceName()
      return try make(.call(function, expressions(until: "E")))
    default: break
    }
    if take("gs") {
      if isNext("nw") || isNext("na") || isNext("dl") || isNext("da") { return try expression() }
      return try make(.prefixed("::", expression()))
    }
    if take("sr") { return try scopedName() }
    if take("on") || isNext("dn") { return try unresolvedName() }
    if take("il") { return try make(.initializer(type: nil, expressions(until: "E"))) }
    if take("tl") {
      let type = try type()
      return try make(.initializer(type: type, expressions(until: "E")))
    }
    if take("cv") { return try conversion() }
    if take("cl") || take("cp") {
      let function = try expression()
      return try make(.call(function, expressions(until: "E")))
    }
    if take("sp") { return try make(.expansion(expression())) }
    if take("sZ") { return try make(.count(isNext("f") ? expression() : templateParameter())) }
    if take("sP") {
      var list: [Int] = []
      while !take("E") { list.append(try argument()) }
      return try make(.counted(list))
    }
    if take("tr") { return try make(.text("throw")) }
    if take("di") {
      let field = try make(.prefixed(".", sourceName()))
      return try make(.binary(field, "=", expression()))
    }
    return try operation()
  }

  /// What has one of the operators' codes.
  private mutating func operation() throws(CxxUnreadable) -> Int {
    for (code, name) in CxxParser.casts where take(code) {
      let type = try type()
      return try make(.cast(name, type: type, expression()))
    }
    if take("dt") || isNext("pt") {
      let symbol = take("pt") ? "->" : "."
      let object = try expression()
      return try make(.binary(object, symbol, member()))
    }
    if take("ix") {
      let array = try expression()
      return try make(.subscripted(array, expression()))
    }
    if take("st") { return try make(.unary("sizeof ", make(.enclosed("(", type())))) }
    if take("at") { return try make(.unary("alignof ", make(.enclosed("(", type())))) }
    if take("ti") { return try make(.unary("typeid ", make(.enclosed("(", type())))) }
    if isNext("nw") || isNext("na") { return try allocation() }
    if take("pp_") { return try make(.unary("++", expression())) }
    if take("mm_") { return try make(.unary("--", expression())) }
    let (symbol, shape) = try takeOperator()
    let first = try expression()
    switch shape {
    case .prefix: return try make(.unary(symbol, first))
    case .postfix: return try make(.postfix(first, symbol))
    case .binary: return try make(.binary(first, symbol, expression()))
    case .conditional:
      let positive = try expression()
      return try make(.conditional(first, positive, expression()))
    case .other: throw CxxUnreadable()
    }
  }

  private static let casts: [(StaticString, String)] = [
    ("sc", "static_cast"), ("dc", "dynamic_cast"), ("rc", "reinterpret_cast"), ("cc", "const_cast"),
  ]

  private mutating func expressions(until end: StaticString) throws(CxxUnreadable) -> [Int] {
    var list: [Int] = []
    while !take(end) { list.append(try expression()) }
    return list
  }

  /// A value of a type, or what another mangled name stands for.
  mutating func literal() throws(CxxUnreadable) -> Int {
    try expect("L")
    if take("_Z") || take("Z") {
      let entity = try encoding()
      try expect("E")
      return entity
    }
    let type = try type()
    if take("E") { return type }
    let isNegative = take("n")
    let start = position
    while !isAtEnd && next != UInt8(ascii: "E") { position &+= 1 }
    let range = start..<position
    try expect("E")
    return try make(.literal(type: type, value: range, isNegative: isNegative))
  }

  private mutating func parameterOrFold() throws(CxxUnreadable) -> Int {
    if take("fpT") { return try make(.text("this")) }
    if take("fp") {
      _ = qualifiers()
      return try make(.functionParameter(ordinal() &+ 1))
    }
    if isNext("fL"), position &+ 2 < bytes.count, bytes[position &+ 2] >= 48, bytes[position &+ 2] <= 57 {
      position &+= 2
      _ = try number()
      try expect("p")
      _ = qualifiers()
      return try make(.functionParameter(ordinal() &+ 1))
    }
    position &+= 1
    let form = next
    position &+= 1
    let symbol = try takeOperator().symbol
    let first = try expression()
    switch form {
    case UInt8(ascii: "l"): return try make(.fold(left: nil, symbol, right: first))
    case UInt8(ascii: "r"): return try make(.fold(left: first, symbol, right: nil))
    case UInt8(ascii: "L"), UInt8(ascii: "R"):
      return try make(.fold(left: first, symbol, right: expression()))
    default: throw CxxUnreadable()
    }
  }

  /// A name that depends on parameters, perhaps with arguments.
  private mutating func simpleName() throws(CxxUnreadable) -> Int {
    let name = try sourceName()
    guard next == UInt8(ascii: "I") else { return name }
    return try make(.template(name: name, arguments: arguments()))
  }

  private mutating func unresolvedName() throws(CxxUnreadable) -> Int {
    if isDigit { return try simpleName() }
    if take("dn") {
      let name = isDigit ? try simpleName() : try type()
      return try make(.structor(of: name, isDestructor: true))
    }
    _ = take("on")
    var ignored = CxxEntity()
    let name = try operatorName(&ignored)
    guard next == UInt8(ascii: "I") else { return name }
    return try make(.template(name: name, arguments: arguments()))
  }

  /// Behind . and ->.
  private mutating func member() throws(CxxUnreadable) -> Int {
    isDigit || isNext("on") || isNext("dn") ? try unresolvedName() : try expression()
  }

  /// Behind sr: a name in a scope that depends on parameters.
  private mutating func scopedName() throws(CxxUnreadable) -> Int {
    let isNested = take("N")
    if isNested || !isDigit {
      var scope = try type()
      if isNested {
        while !take("E") { scope = try make(.member(scope: scope, name: simpleName())) }
      }
      return try make(.member(scope: scope, name: unresolvedName()))
    }
    // Scopes, E and a name; older compilers write the name without an E.
    var scope = try simpleName()
    while isDigit { scope = try make(.member(scope: scope, name: simpleName())) }
    guard next == UInt8(ascii: "E") else {
      return try make(.member(scope: scope, name: unresolvedName()))
    }
    let end = position
    position &+= 1
    guard isDigit || isNext("on") || isNext("dn") else {
      position = end
      return scope
    }
    return try make(.member(scope: scope, name: unresolvedName()))
  }

  private mutating func conversion() throws(CxxUnreadable) -> Int {
    let outer = isInConversion
    isInConversion = false
    defer { isInConversion = outer }
    let type = try type()
    if take("_") { return try make(.converted(type: type, expressions(until: "E"), isList: true)) }
    return try make(.converted(type: type, [expression()], isList: false))
  }

  private mutating func allocation() throws(CxxUnreadable) -> Int {
    let keyword = isNext("na") ? "new[] " : "new "
    position &+= 2
    let placement = try expressions(until: "_")
    let type = try type()
    var values: [Int]?
    if take("pi") {
      values = try expressions(until: "E")
    } else if take("il") {
      values = try expressions(until: "E")
      try expect("E")
    } else {
      try expect("E")
    }
    return try make(.allocation(keyword, placement: placement, type: type, initializer: values))
  }
}
