// Writes the parts of a C++ name as the language does: the limits, names, and lists.

struct CxxPrinter {
  let bytes: [UInt8]
  let nodes: [CxxNode]
  private(set) var output: [UInt8] = []
  /// The byte written last.
  private(set) var last: UInt8 = 0
  /// Which element of a pack stands for the pack; nil: all of them.
  var element: Int?
  /// Inside the parameters of a lambda, where a template's parameter is `auto`.
  var isInLambda = false
  /// The arguments of the templates whose functions are being written, each with the number of the one around
  /// it, where those arguments were written themselves.
  private(set) var scopes: [(arguments: [Int], outer: Int?)] = []
  /// The one that the parameters of templates mean now.
  var scope: Int?
  /// Whether functions show the types of their results.
  var showsResults = true
  private var depth = 0
  private var steps = 0

  init(_ parser: CxxParser) { (bytes, nodes) = (parser.bytes, parser.nodes) }

  mutating func enter() throws(CxxUnreadable) {
    depth &+= 1
    steps &+= 1
    if depth > CxxLimit.depth || steps > CxxLimit.steps { throw CxxUnreadable() }
  }

  mutating func leave() { depth &-= 1 }

  mutating func write(_ text: String) throws(CxxUnreadable) {
    output.append(contentsOf: text.utf8)
    last = text.utf8.last ?? last
    if output.count > CxxLimit.output { throw CxxUnreadable() }
  }

  mutating func write(_ range: Range<Int>) throws(CxxUnreadable) {
    output.append(contentsOf: bytes[range])
    last = bytes[range].last ?? last
    if output.count > CxxLimit.output { throw CxxUnreadable() }
  }

  /// Takes a comma back behind which nothing came. As c++filt has it, there is a space last then.
  mutating func drop(to count: Int) {
    output.removeLast(output.count &- count)
    last = UInt8(ascii: " ")
  }

  /// The whole part.
  mutating func print(_ index: Int) throws(CxxUnreadable) {
    try printLeft(index)
    try printRight(index)
  }

  /// Parts with commas between them; empty packs leave no trace.
  mutating func printList(_ list: [Int]) throws(CxxUnreadable) {
    var isFirst = true
    for index in list {
      let before = output.count
      if !isFirst { try write(", ") }
      let start = output.count
      try print(index)
      if output.count == start {
        drop(to: before)
      } else {
        isFirst = false
      }
    }
  }

  mutating func printArguments(_ list: [Int]) throws(CxxUnreadable) {
    if last == UInt8(ascii: "<") { try write(" ") }
    try write("<")
    try printList(list)
    try write(last == UInt8(ascii: ">") ? " >" : ">")
  }

  /// Everything that is not a type; a type's part in front of what it declares.
  mutating func printLeft(_ index: Int) throws(CxxUnreadable) {
    try enter()
    defer { leave() }
    switch nodes[index] {
    case .source(let range): try write(range)
    case .text(let text): try write(text)
    case .member(let scope, let name):
      try print(scope)
      try write("::")
      try print(name)
    case .local(let function, let entity):
      let outer = showsResults
      defer { showsResults = outer }
      showsResults = false
      try print(function)
      showsResults = outer
      try write("::")
      try print(entity)
    case .template(let name, let arguments):
      try print(name)
      try printArguments(arguments)
    case .structor(let scope, let isDestructor):
      if isDestructor { try write("~") }
      try print(base(scope))
    case .operation(let symbol): try write("operator" + symbol)
    case .conversion(let type):
      try write("operator ")
      try print(type)
    case .literalOperator(let name):
      try write("operator\"\" ")
      try print(name)
    case .tagged(let name, let tag):
      try print(name)
      try write("[abi:")
      try print(tag)
      try write("]")
    case .lambda(let declarations, let parameters, let number):
      try printLambda(declarations, parameters, number)
    case .bindings(let names):
      try write("[")
      try printList(names)
      try write("]")
    case .encoding(let name, let function): try printEncoding(name, function)
    case .prefixed(let prefix, let rest):
      try write(prefix)
      try print(rest)
    case .construction(let base, let derived):
      try write("construction vtable for ")
      try print(base)
      try write("-in-")
      try print(derived)
    case .pack(let list): try printList(list)
    case .declaration(let text, let type):
      if let type { try print(type) }
      try write(text)
    default:
      if try !printTypeLeft(nodes[index]) { try printExpression(nodes[index]) }
    }
  }

  /// What a constructor is called after: the last name, without arguments and tags.
  private func base(_ scope: Int) -> Int {
    var index = scope
    // Each part is made after those that it has.
    while true {
      switch nodes[index] {
      case .member(_, let name) where name < index: index = name
      case .local(_, let name) where name < index: index = name
      case .template(let name, _) where name < index: index = name
      case .tagged(let name, _) where name < index: index = name
      default: return index
      }
    }
  }

  private mutating func printLambda(
    _ declarations: [Int], _ parameters: [Int], _ number: Int
  ) throws(CxxUnreadable) {
    let (outer, outerElement) = (isInLambda, element)
    defer { (isInLambda, element) = (outer, outerElement) }
    (isInLambda, element) = (true, nil)
    try write("{lambda")
    if !declarations.isEmpty { try printArguments(declarations) }
    try write("(")
    try printList(parameters)
    try write(")#\(number)}")
  }

  /// Parameters of templates stand for the arguments that this name ends with, if it does.
  mutating func enterScope(of name: Int) {
    var name = name
    while case .local(_, let entity) = nodes[name], entity < name { name = entity }
    guard case .template(_, let arguments) = nodes[name] else { return }
    scopes.append((arguments, scope))
    scope = scopes.count &- 1
  }

  /// A function with its parameters, and its result if that is mangled.
  private mutating func printEncoding(_ name: Int, _ function: Int) throws(CxxUnreadable) {
    guard case .function(let returned, let parameters, let tail) = nodes[function] else {
      throw CxxUnreadable()
    }
    let outer = (scope, isInLambda)
    defer { (scope, isInLambda) = outer }
    isInLambda = false
    enterScope(of: name)
    let result = showsResults ? returned : nil
    if let result {
      try printLeft(result)
      try writeSpaceAfterResult(result)
    }
    try print(name)
    try printParameters(parameters, tail)
    if let result { try printRight(result) }
  }
}
