// Names of entities (Itanium C++ ABI, sections 5.1.3 and 5.1.6): nested, local and unnamed ones, constructors,
// substitutions.

/// What an encoding has to know about its name.
struct CxxEntity {
  /// Ends with template arguments, so that the type of the result is mangled too …
  var isTemplate = false
  /// … unless it is a constructor, a destructor or a conversion.
  var hasNoResult = false
  /// `const` and so on of a member function.
  var qualifiers = CxxQualifiers()
}

extension CxxParser {
  /// The name of a class or an enumeration.
  mutating func typeName() throws(CxxUnreadable) -> Int {
    var ignored = CxxEntity()
    return try name(&ignored)
  }

  /// The name of an entity.
  mutating func name(_ entity: inout CxxEntity) throws(CxxUnreadable) -> Int {
    try enter()
    defer { depth &-= 1 }
    if take("N") { return try nestedName(&entity) }
    if take("Z") { return try localName(&entity) }
    if next == UInt8(ascii: "S"), second != UInt8(ascii: "t") {
      let template = try substitution()
      guard next == UInt8(ascii: "I") else { throw CxxUnreadable() }
      entity.isTemplate = true
      return try make(.template(name: template, arguments: arguments()))
    }
    var name: Int
    if take("St") {
      let scope = try make(.text("std"))
      name = try make(.member(scope: scope, name: unqualifiedName(nil, &entity)))
    } else {
      name = try unqualifiedName(nil, &entity)
    }
    if next == UInt8(ascii: "I") {
      entity.isTemplate = true
      name = try make(.template(name: remember(name), arguments: arguments()))
    }
    return name
  }

  /// Behind N: scopes and a name, until E.
  private mutating func nestedName(_ entity: inout CxxEntity) throws(CxxUnreadable) -> Int {
    if !take("H") {
      entity.qualifiers = qualifiers()
      entity.qualifiers.reference = take("R") ? " &" : take("O") ? " &&" : ""
    }
    var whole: Int?
    var isRemembered = false
    while !take("E") {
      isRemembered = true
      entity.isTemplate = false
      switch next {
      case UInt8(ascii: "I"):
        guard let name = whole else { throw CxxUnreadable() }
        entity.isTemplate = true
        whole = remember(try make(.template(name: name, arguments: arguments())))
      case UInt8(ascii: "T"):
        guard whole == nil else { throw CxxUnreadable() }
        whole = remember(try templateParameter())
      case UInt8(ascii: "S") where whole == nil && second != UInt8(ascii: "t"):
        whole = try substitution()
        isRemembered = false
      case UInt8(ascii: "D") where whole == nil && (second | 32) == UInt8(ascii: "t"):
        whole = remember(try decltype())
      case UInt8(ascii: "M") where whole != nil: position &+= 1
      default:
        var scope = whole
        if whole == nil, take("St") { scope = try make(.text("std")) }
        let name = try unqualifiedName(scope, &entity)
        whole = remember(try scope.map { outer throws(CxxUnreadable) in try joined(outer, name) } ?? name)
      }
    }
    guard let whole else { throw CxxUnreadable() }
    // The whole is no candidate here; as a type it will be one.
    if isRemembered { _ = substitutions.popLast() }
    return whole
  }

  private mutating func joined(_ scope: Int, _ name: Int) throws(CxxUnreadable) -> Int {
    try make(.member(scope: scope, name: name))
  }

  /// Behind Z: a function, E, and what is in it.
  private mutating func localName(_ entity: inout CxxEntity) throws(CxxUnreadable) -> Int {
    let function = try encoding()
    try expect("E")
    if next == UInt8(ascii: "s"), second == 0 || second == UInt8(ascii: "_") || second == UInt8(ascii: "E") {
      position &+= 1
      try discriminator()
      return try make(.local(function: function, entity: make(.text("string literal"))))
    }
    if take("d") {
      let argument = try make(.text("{default arg#\(ordinal() &+ 1)}"))
      let name = try name(&entity)
      return try make(.local(function: function, entity: joined(argument, name)))
    }
    let name = try name(&entity)
    try discriminator()
    return try make(.local(function: function, entity: name))
  }

  /// One component of a name, with its ABI tags; `scope` is what constructors are named after.
  mutating func unqualifiedName(_ scope: Int?, _ entity: inout CxxEntity) throws(CxxUnreadable) -> Int {
    entity.hasNoResult = false
    _ = take("F")
    var name: Int
    let isInternal = take("L")
    switch next {
    case 48...57:
      name = try sourceName()
      if isInternal { try discriminator() }
    case UInt8(ascii: "U"): name = try unnamedType()
    case UInt8(ascii: "C"), UInt8(ascii: "D"):
      if take("DC") {
        var names: [Int] = []
        repeat { names.append(try sourceName()) } while !take("E")
        name = try make(.bindings(names))
      } else {
        guard let scope else { throw CxxUnreadable() }
        let isDestructor = take("D")
        if !isDestructor { position &+= 1 }
        let isInherited = !isDestructor && take("I")
        guard isDigit, next <= 53 else { throw CxxUnreadable() }
        position &+= 1
        if isInherited { _ = try typeName() }
        entity.hasNoResult = true
        name = try make(.structor(of: scope, isDestructor: isDestructor))
      }
    default: name = try operatorName(&entity)
    }
    while take("B") { name = try make(.tagged(name, tag: sourceName())) }
    return name
  }

  /// A length and as many bytes.
  mutating func sourceName() throws(CxxUnreadable) -> Int {
    let length = try number()
    guard length > 0, length <= bytes.count &- position else { throw CxxUnreadable() }
    let range = position..<position &+ length
    position = range.upperBound
    let text = bytes[range]
    if length >= 10, text.starts(with: "_GLOBAL_".utf8), text[range.lowerBound &+ 9] == UInt8(ascii: "N"),
      "._$".utf8.contains(text[range.lowerBound &+ 8])
    {
      return try make(.text("(anonymous namespace)"))
    }
    return try make(.source(range))
  }

  /// A type without a name, or a lambda.
  private mutating func unnamedType() throws(CxxUnreadable) -> Int {
    if take("Ut") { return try make(.text("{unnamed type#\(ordinal() &+ 1)}")) }
    try expect("Ul")
    var declarations: [Int] = []
    while next == UInt8(ascii: "T"), "yptnk".utf8.contains(second) {
      declarations.append(try declaration(declarations.count))
    }
    var types: [Int] = []
    if !take("v") {
      repeat { types.append(try type()) } while next != UInt8(ascii: "E") && next != UInt8(ascii: "Q")
    }
    if take("Q") { _ = try expression() }
    try expect("E")
    let number = try ordinal() &+ 1
    return try make(.lambda(declarations: declarations, parameters: types, number: number))
  }

  /// The declaration of a lambda's, or template's, template parameter.
  mutating func declaration(_ index: Int) throws(CxxUnreadable) -> Int {
    try enter()
    defer { depth &-= 1 }
    let suffix = index == 0 ? "" : "\(index &- 1)"
    if take("Ty") { return try make(.declaration("typename $T" + suffix, nil)) }
    if take("Tn") { return try make(.declaration(" $N" + suffix, type())) }
    if take("Tp") { return try make(.declaration("...", declaration(index))) }
    if take("Tk") {
      _ = try typeName()
      return try make(.declaration("auto $T" + suffix, nil))
    }
    try expect("Tt")
    var inner = 0
    while !take("E") {
      _ = try declaration(inner)
      inner &+= 1
    }
    return try make(.declaration("template<> typename $TT" + suffix, nil))
  }

  /// S_, S0_ and so on, or one of the abbreviations for what is in `std`.
  mutating func substitution() throws(CxxUnreadable) -> Int {
    try expect("S")
    var name: Int
    switch next {
    case UInt8(ascii: "a"): name = try standard("allocator", [])
    case UInt8(ascii: "b"): name = try standard("basic_string", [])
    case UInt8(ascii: "s"): name = try standard("basic_string", ["char_traits", "allocator"])
    case UInt8(ascii: "i"): name = try standard("basic_istream", ["char_traits"])
    case UInt8(ascii: "o"): name = try standard("basic_ostream", ["char_traits"])
    case UInt8(ascii: "d"): name = try standard("basic_iostream", ["char_traits"])
    default:
      let index = try sequence()
      guard index < substitutions.count else { throw CxxUnreadable() }
      return substitutions[index]
    }
    position &+= 1
    guard next == UInt8(ascii: "B") else { return name }
    while take("B") { name = try make(.tagged(name, tag: sourceName())) }
    return remember(name)
  }

  /// A class of `std`, as a template of `char` if it has further arguments that are.
  private mutating func standard(_ name: String, _ arguments: [String]) throws(CxxUnreadable) -> Int {
    let plain = try make(.member(scope: make(.text("std")), name: make(.text(name))))
    if arguments.isEmpty { return plain }
    let character = try make(.text("char"))
    var all = [character]
    for argument in arguments {
      let template = try standard(argument, [])
      all.append(try make(.template(name: template, arguments: [character])))
    }
    return try make(.template(name: plain, arguments: all))
  }
}
