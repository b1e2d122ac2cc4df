// Writes types. A declaration goes around what it declares, as in `int (*)(char)`: what is in front of it is
// the left part of the type, what is behind it the right part.

extension CxxPrinter {
  /// The argument of the present template.
  func argument(_ number: Int) throws(CxxUnreadable) -> Int {
    guard let scope, number < scopes[scope].arguments.count else { throw CxxUnreadable() }
    return scopes[scope].arguments[number]
  }

  /// The element of a pack that is its turn, else the whole.
  private func turn(_ argument: Int) throws(CxxUnreadable) -> Int? {
    guard case .pack(let list) = nodes[argument], let element else { return argument }
    return element < list.count ? list[element] : nil
  }

  /// Goes from parameters to what they stand for, and to the scope where that was written.
  private mutating func resolve(_ index: inout Int) throws(CxxUnreadable) {
    while case .parameter(let number) = nodes[index], !isInLambda {
      guard let next = try turn(argument(number)) else { return }
      index = next
      scope = scopes[scope ?? 0].outer
    }
  }

  /// What comes behind modifiers, when they stand in front of a function or an array.
  private mutating func isAround(_ type: Int) throws(CxxUnreadable) -> Bool {
    let outer = scope
    defer { scope = outer }
    var index = type
    for _ in 0..<CxxLimit.depth {
      try resolve(&index)
      switch nodes[index] {
      case .function, .array: return true
      case .pointer(let type), .reference(let type, _), .qualified(let type, _), .suffixed(let type, _),
        .vendorQualified(let type, _), .memberPointer(_, let type):
        index = type
      default: return false
      }
    }
    return false
  }

  /// References to references become one; `scope` becomes the one of what they refer to.
  private mutating func collapse(_ type: inout Int, _ isRvalue: inout Bool) throws(CxxUnreadable) {
    for _ in 0..<CxxLimit.depth {
      var (index, outer) = (type, scope)
      try resolve(&index)
      swap(&outer, &scope)
      guard case .reference(let inner, let isInnerRvalue) = nodes[index] else { return }
      (type, isRvalue, scope) = (inner, isRvalue && isInnerRvalue, outer)
    }
  }

  /// The kind of a type, whatever it is called here; with `isPlain` without its qualifiers.
  private mutating func kind(_ type: Int, isPlain: Bool = true) throws(CxxUnreadable) -> CxxNode {
    let outer = scope
    defer { scope = outer }
    var index = type
    try resolve(&index)
    for _ in 0..<CxxLimit.depth {
      guard isPlain, case .qualified(let inner, _) = nodes[index] else { break }
      index = inner
      try resolve(&index)
    }
    return nodes[index]
  }

  /// The opening parenthesis of a pointer to a function or an array.
  private mutating func open(_ type: Int, isMember: Bool = false) throws(CxxUnreadable) {
    switch try kind(type) {
    case .function: try write("(")
    case .array: try write(" (")
    default: if isMember { try write(" ") }
    }
  }

  private mutating func close(_ type: Int) throws(CxxUnreadable) {
    switch try kind(type) {
    case .function, .array: try write(")")
    default: break
    }
  }

  mutating func writeSpaceAfterResult(_ type: Int) throws(CxxUnreadable) {
    let isOpen = last == UInt8(ascii: "(") || last == UInt8(ascii: "*")
    let isAround = try isAround(type)
    if !isOpen || !isAround { try write(" ") }
  }

  /// False if the node is none that belongs here.
  mutating func printTypeLeft(_ node: CxxNode) throws(CxxUnreadable) -> Bool {
    switch node {
    case .qualified(let type, let qualifiers):
      try printLeft(type)
      guard case .qualified(_, let inner) = try kind(type, isPlain: false) else {
        try write(qualifiers.text)
        break
      }
      try write(qualifiers.without(inner).text)
    case .pointer(let type):
      try printLeft(type)
      try open(type)
      try write("*")
    case .reference(var type, var isRvalue):
      let outer = scope
      defer { scope = outer }
      try collapse(&type, &isRvalue)
      try printLeft(type)
      try open(type)
      try write(isRvalue ? "&&" : "&")
    case .suffixed(let type, let text):
      try printLeft(type)
      try write(text)
    case .vendorQualified(let type, let qualifier):
      try printLeft(type)
      try open(type)
      try write(" ")
      try print(qualifier)
    case .vector(let type, let dimension):
      try printLeft(type)
      try write(" __vector(")
      try print(dimension)
      try write(")")
    case .memberPointer(let owner, let type):
      try printLeft(type)
      try open(type, isMember: true)
      try print(owner)
      try write("::*")
    case .function(let returned, _, _):
      if let returned {
        try printLeft(returned)
        try writeSpaceAfterResult(returned)
      }
    case .array(let type, _): try printLeft(type)
    case .enclosed(let text, let inner):
      try write(text)
      try print(inner)
      try write(")")
    case .expansion(let pattern): try printExpansion(pattern)
    case .parameter(let number):
      if isInLambda { try write("auto:\(number &+ 1)") } else { try printArgument(number, isLeft: true) }
    default: return false
    }
    return true
  }

  private mutating func printArgument(_ number: Int, isLeft: Bool) throws(CxxUnreadable) {
    guard let present = try turn(argument(number)) else { return }
    let outer = scope
    defer { scope = outer }
    scope = scopes[scope ?? 0].outer
    if isLeft { try printLeft(present) } else { try printRight(present) }
  }

  /// A type's part behind what it declares.
  mutating func printRight(_ index: Int) throws(CxxUnreadable) {
    try enter()
    defer { leave() }
    switch nodes[index] {
    case .qualified(let type, _), .suffixed(let type, _), .vector(let type, _):
      try printRight(type)
    case .pointer(let type), .memberPointer(_, let type), .vendorQualified(let type, _):
      try close(type)
      try printRight(type)
    case .reference(var type, var isRvalue):
      let outer = scope
      defer { scope = outer }
      try collapse(&type, &isRvalue)
      try close(type)
      try printRight(type)
    case .function(let returned, let parameters, let tail):
      try printParameters(parameters, tail)
      if let returned { try printRight(returned) }
    case .array(let type, let dimension):
      try write(last == UInt8(ascii: "]") ? "[" : " [")
      if let dimension { try print(dimension) }
      try write("]")
      try printRight(type)
    case .parameter(let number): if !isInLambda { try printArgument(number, isLeft: false) }
    default: break
    }
  }

  mutating func printParameters(_ types: [Int], _ tail: CxxFunctionTail) throws(CxxUnreadable) {
    try write("(")
    try printList(types)
    try write(")")
    try write(tail.isTransactionSafe ? " transaction_safe" : "")
    try write(tail.qualifiers.text)
    try write(tail.exceptions)
    if !tail.exceptionTerms.isEmpty || tail.exceptions == " throw" {
      try write("(")
      try printList(tail.exceptionTerms)
      try write(")")
    }
  }

  /// A pattern for each element of the pack in it.
  private mutating func printExpansion(_ pattern: Int) throws(CxxUnreadable) {
    guard let count = try packCount(pattern) else {
      try printOperand(pattern)
      try write("...")
      return
    }
    let outer = element
    defer { element = outer }
    var isFirst = true
    for index in 0..<count {
      let before = output.count
      if !isFirst { try write(", ") }
      let start = output.count
      element = index
      try print(pattern)
      if output.count == start { drop(to: before) } else { isFirst = false }
    }
  }
}
