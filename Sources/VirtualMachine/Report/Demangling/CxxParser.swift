// Takes a mangled C++ name apart: the position in it, what substitutions stand for, the limits, and the
// encoding of an entity (Itanium C++ ABI, sections 5.1.2 and 5.1.4).

/// Each `mutating` function reads one rule of the grammar from `position` on.
struct CxxParser {
  let bytes: [UInt8]
  var position: Int
  var nodes: [CxxNode] = []
  /// What S_, S0_ and so on stand for.
  var substitutions: [Int] = []
  var depth = 0
  /// Inside the type of a conversion operator, where template arguments are those of the operator.
  var isInConversion = false

  init(_ bytes: [UInt8], from position: Int) {
    self.bytes = bytes
    self.position = position
  }

  var isAtEnd: Bool { position >= bytes.count }

  /// The next byte, 0 at the end.
  var next: UInt8 { position < bytes.count ? bytes[position] : 0 }

  /// The byte after that.
  var second: UInt8 { position &+ 1 < bytes.count ? bytes[position &+ 1] : 0 }

  var isDigit: Bool { next >= 48 && next <= 57 }

  /// Whether the name goes on with `text`.
  func isNext(_ text: StaticString) -> Bool {
    guard bytes.count &- position >= text.utf8CodeUnitCount else { return false }
    return text.withUTF8Buffer { $0.elementsEqual(bytes[position..<position &+ $0.count]) }
  }

  /// Steps over `text` if it is next.
  mutating func take(_ text: StaticString) -> Bool {
    guard isNext(text) else { return false }
    position &+= text.utf8CodeUnitCount
    return true
  }

  mutating func expect(_ text: StaticString) throws(CxxUnreadable) {
    if !take(text) { throw CxxUnreadable() }
  }

  /// Guards against rules inside rules without end; whoever enters leaves with `depth &-= 1`.
  mutating func enter() throws(CxxUnreadable) {
    depth &+= 1
    if depth > CxxLimit.depth { throw CxxUnreadable() }
  }

  mutating func make(_ node: CxxNode) throws(CxxUnreadable) -> Int {
    guard nodes.count < CxxLimit.parts else { throw CxxUnreadable() }
    nodes.append(node)
    return nodes.count &- 1
  }

  /// A part that a later S_ may stand for.
  mutating func remember(_ node: Int) -> Int {
    substitutions.append(node)
    return node
  }

  /// A decimal number.
  mutating func number() throws(CxxUnreadable) -> Int {
    guard isDigit else { throw CxxUnreadable() }
    var value = 0
    while isDigit {
      value = value &* 10 &+ Int(next &- 48)
      if value > 1 << 30 { throw CxxUnreadable() }
      position &+= 1
    }
    return value
  }

  /// `_` is 0, `0_` is 1 and so on.
  mutating func ordinal() throws(CxxUnreadable) -> Int {
    if take("_") { return 0 }
    let value = try number()
    try expect("_")
    return value &+ 1
  }

  /// Tells apart entities of one name in one function; is not shown.
  mutating func discriminator() throws(CxxUnreadable) {
    guard next == UInt8(ascii: "_") else { return }
    if take("__") {
      _ = try number()
      try expect("_")
    } else if second >= 48, second <= 57 {
      position &+= 2
    }
  }

  /// A function with its parameters, or a variable: 5.1.2.
  mutating func encoding() throws(CxxUnreadable) -> Int {
    try enter()
    defer { depth &-= 1 }
    if next == UInt8(ascii: "T") || (next == UInt8(ascii: "G") && second != UInt8(ascii: "E")) {
      return try specialName()
    }
    var entity = CxxEntity()
    let name = try name(&entity)
    if isEncodingEnd { return name }
    var function = CxxFunctionTail()
    function.qualifiers = entity.qualifiers
    var returned: Int?
    if entity.isTemplate && !entity.hasNoResult { returned = try type() }
    var types: [Int] = []
    if !take("v") {
      repeat { types.append(try type()) } while !isEncodingEnd && next != UInt8(ascii: "Q")
    }
    if take("Q") { _ = try expression() }
    let type = try make(.function(returned: returned, parameters: types, tail: function))
    return try make(.encoding(name: name, function: type))
  }

  private var isEncodingEnd: Bool { isAtEnd || next == UInt8(ascii: "E") || next == UInt8(ascii: ".") }

  /// Tables, thunks and guards: 5.1.4.
  private mutating func specialName() throws(CxxUnreadable) -> Int {
    let (kind, detail) = (next, second)
    guard position &+ 2 <= bytes.count else { throw CxxUnreadable() }
    position &+= 2
    var entity = CxxEntity()
    switch (kind, detail) {
    case (UInt8(ascii: "T"), UInt8(ascii: "V")): return try make(.prefixed("vtable for ", type()))
    case (UInt8(ascii: "T"), UInt8(ascii: "T")): return try make(.prefixed("VTT for ", type()))
    case (UInt8(ascii: "T"), UInt8(ascii: "I")): return try make(.prefixed("typeinfo for ", type()))
    case (UInt8(ascii: "T"), UInt8(ascii: "S")): return try make(.prefixed("typeinfo name for ", type()))
    case (UInt8(ascii: "T"), UInt8(ascii: "F")): return try make(.prefixed("typeinfo fn for ", type()))
    case (UInt8(ascii: "T"), UInt8(ascii: "A")):
      return try make(.prefixed("template parameter object for ", argument()))
    case (UInt8(ascii: "T"), UInt8(ascii: "H")):
      return try make(.prefixed("TLS init function for ", name(&entity)))
    case (UInt8(ascii: "T"), UInt8(ascii: "W")):
      return try make(.prefixed("TLS wrapper function for ", name(&entity)))
    case (UInt8(ascii: "T"), UInt8(ascii: "h")), (UInt8(ascii: "T"), UInt8(ascii: "v")):
      position &-= 1
      let isVirtual = try offset()
      return try make(.prefixed(isVirtual ? "virtual thunk to " : "non-virtual thunk to ", encoding()))
    case (UInt8(ascii: "T"), UInt8(ascii: "c")):
      _ = try offset()
      _ = try offset()
      return try make(.prefixed("covariant return thunk to ", encoding()))
    case (UInt8(ascii: "T"), UInt8(ascii: "C")):
      let derived = try type()
      _ = try number()
      try expect("_")
      return try make(.construction(base: type(), derived: derived))
    case (UInt8(ascii: "G"), UInt8(ascii: "V")):
      return try make(.prefixed("guard variable for ", name(&entity)))
    case (UInt8(ascii: "G"), UInt8(ascii: "R")):
      let object = try name(&entity)
      let number = isAtEnd ? 0 : try sequence()
      return try make(.prefixed("reference temporary #\(number) for ", object))
    case (UInt8(ascii: "G"), UInt8(ascii: "A")): return try make(.prefixed("hidden alias for ", encoding()))
    case (UInt8(ascii: "G"), UInt8(ascii: "T")):
      let prefix = take("n") ? "non-transaction clone for " : "transaction clone for "
      if prefix.utf8.first == UInt8(ascii: "t") { try expect("t") }
      return try make(.prefixed(prefix, encoding()))
    default: throw CxxUnreadable()
    }
  }

  /// What a thunk adds to `this`; whether it looks into the table of the object for it.
  private mutating func offset() throws(CxxUnreadable) -> Bool {
    let isVirtual = take("v")
    if !isVirtual { try expect("h") }
    for _ in 0..<(isVirtual ? 2 : 1) {
      _ = take("n")
      _ = try number()
      try expect("_")
    }
    return isVirtual
  }

  /// A number to the base 36: `_` is 0, `0_` is 1.
  mutating func sequence() throws(CxxUnreadable) -> Int {
    if take("_") { return 0 }
    var value = 0
    while !take("_") {
      switch next {
      case 48...57: value = value &* 36 &+ Int(next &- 48)
      case 65...90: value = value &* 36 &+ Int(next &- 55)
      default: throw CxxUnreadable()
      }
      if value > 1 << 24 { throw CxxUnreadable() }
      position &+= 1
    }
    return value &+ 1
  }
}
