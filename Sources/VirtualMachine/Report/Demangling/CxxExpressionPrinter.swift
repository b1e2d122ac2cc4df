// Writes expressions, with parentheses around everything that is more than a name.

extension CxxPrinter {
  /// In parentheses, unless it is a name.
  mutating func printOperand(_ index: Int) throws(CxxUnreadable) {
    switch nodes[index] {
    case .source, .text, .member, .initializer, .functionParameter: try print(index)
    default: try printEnclosed([index])
    }
  }

  private mutating func printEnclosed(_ list: [Int]) throws(CxxUnreadable) {
    try write("(")
    try printList(list)
    try write(")")
  }

  /// A function that is called, or whose address is taken, is its name.
  private func nameOnly(_ index: Int) -> Int {
    if case .encoding(let name, _) = nodes[index] { return name }
    return index
  }

  mutating func printExpression(_ node: CxxNode) throws(CxxUnreadable) {
    switch node {
    case .literal(let type, let value, let isNegative): try printLiteral(type, value, isNegative)
    case .functionParameter(let number): try write("{parm#\(number)}")
    case .unary(let symbol, let operand): try printUnary(symbol, operand)
    case .postfix(let operand, let symbol):
      try printOperand(operand)
      try write(symbol)
    case .binary(let left, let symbol, let right):
      // Would end template arguments.
      if symbol == ">" { try write("(") }
      try printOperand(left)
      try write(symbol)
      if symbol == "." || symbol == "->" { try print(right) } else { try printOperand(right) }
      if symbol == ">" { try write(")") }
    case .conditional(let condition, let positive, let negative):
      try printOperand(condition)
      try write("?")
      try printOperand(positive)
      try write(" : ")
      try printOperand(negative)
    case .call(let function, let arguments):
      let name = nameOnly(function)
      if name == function { try printOperand(name) } else { try print(name) }
      try printEnclosed(arguments)
    case .subscripted(let array, let index):
      try printOperand(array)
      try write("[")
      try print(index)
      try write("]")
    case .cast(let name, let type, let operand):
      try write(name)
      try printArguments([type])
      try printEnclosed([operand])
    case .converted(let type, let operands, let isList):
      try printEnclosed([type])
      if isList { try printEnclosed(operands) } else { for operand in operands { try printOperand(operand) } }
    case .initializer(let type, let values):
      if let type { try print(type) }
      try write("{")
      try printList(values)
      try write("}")
    case .allocation(let keyword, let placement, let type, let initializer):
      try write(keyword)
      if !placement.isEmpty {
        try printEnclosed(placement)
        try write(" ")
      }
      try print(type)
      if let initializer { try printEnclosed(initializer) }
    case .fold(let left, let symbol, let right): try printFold(left, symbol, right)
    case .count(let pack): try write("\(packCount(pack) ?? 0)")
    case .counted(let list): try write("\(elementCount(list))")
    default: throw CxxUnreadable()
    }
  }

  private mutating func printUnary(_ symbol: String, _ operand: Int) throws(CxxUnreadable) {
    try write(symbol)
    if symbol == "&", case .encoding(let name, let function) = nodes[operand], case .member = nodes[name],
      case .function(_, _, let tail) = nodes[function], tail.qualifiers.isEmpty
    {
      return try print(name)
    }
    switch nodes[operand] {
    case .enclosed("(", _): try print(operand)
    default: if symbol == "noexcept" { try printEnclosed([operand]) } else { try printOperand(operand) }
    }
  }

  /// Numbers of the common types as they are written, others behind their type.
  private mutating func printLiteral(
    _ type: Int, _ value: Range<Int>, _ isNegative: Bool
  ) throws(CxxUnreadable) {
    let sign = isNegative ? "-" : ""
    guard case .text(let name) = nodes[type] else {
      try printEnclosed([type])
      try write(sign)
      return try write(value)
    }
    if name == "bool", !isNegative, value.count == 1, bytes[value.lowerBound] | 1 == 49 {
      return try write(bytes[value.lowerBound] == 48 ? "false" : "true")
    }
    if name != "bool", let suffix = CxxParser.literalSuffix(name) {
      try write(sign)
      try write(value)
      return try write(suffix)
    }
    try printEnclosed([type])
    try write(sign)
    let isFloat = name == "float" || name == "double" || name == "long double" || name == "__float128"
    try write(isFloat ? "[" : "")
    try write(value)
    try write(isFloat ? "]" : "")
  }

  private mutating func printFold(_ left: Int?, _ symbol: String, _ right: Int?) throws(CxxUnreadable) {
    let outer = element
    defer { element = outer }
    element = nil
    try write("(")
    if let left {
      try printOperand(left)
      try write(symbol)
    }
    try write("...")
    if let right {
      try write(symbol)
      try printOperand(right)
    }
    try write(")")
  }

  /// The number of arguments after their packs are written out.
  private mutating func elementCount(_ list: [Int]) throws(CxxUnreadable) -> Int {
    var count = 0
    for index in list {
      if case .expansion(let pattern) = nodes[index] {
        count &+= try packCount(pattern) ?? 1
      } else {
        count &+= 1
      }
    }
    return count
  }
}
