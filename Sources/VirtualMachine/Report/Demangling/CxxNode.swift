// What a mangled C++ name is made of (Itanium C++ ABI, section 5.1). A part is written down once and meant by
// its number afterwards, so that substitutions cost nothing and nobody has to take a deep tree apart.

/// The name is damaged, or has something that is not understood, or would take too much.
struct CxxUnreadable: Error {}

/// How much one name may take; names come from files that nobody vouches for.
enum CxxLimit {
  /// Bytes of the mangled name.
  static let input = 16 << 10
  /// Bytes of the readable name.
  static let output = 8 << 10
  /// Rules inside rules, and parts inside parts; real names have less than 50.
  static let depth = 128
  static let parts = 8 << 10
  /// Steps while printing: parts that are shown again and again, or show nothing.
  static let steps = 64 << 10
}

/// `const`, `volatile`, `restrict` and what else may stand behind a function's parameters.
struct CxxQualifiers {
  var isConstant = false
  var isVolatile = false
  var isRestricted = false
  /// ` &`, ` &&` or nothing.
  var reference = ""

  var isEmpty: Bool { !isConstant && !isVolatile && !isRestricted && reference.isEmpty }

  /// Those that `others` do not have already.
  func without(_ others: CxxQualifiers) -> CxxQualifiers {
    CxxQualifiers(
      isConstant: isConstant && !others.isConstant, isVolatile: isVolatile && !others.isVolatile,
      isRestricted: isRestricted && !others.isRestricted, reference: reference)
  }

  var text: String {
    (isConstant ? " const" : "") + (isVolatile ? " volatile" : "") + (isRestricted ? " restrict" : "")
      + reference
  }
}

/// What stands behind a function's parameters.
struct CxxFunctionTail {
  var qualifiers = CxxQualifiers()
  /// ` noexcept`, ` throw` or nothing; its expression, or types.
  var exceptions = ""
  var exceptionTerms: [Int] = []
  var isTransactionSafe = false
}

/// A part of a name. `Int` is the number of another part, `Range` a place in the mangled name.
enum CxxNode {
  // Names.
  case source(Range<Int>)
  case text(String)
  case member(scope: Int, name: Int)
  case local(function: Int, entity: Int)
  case template(name: Int, arguments: [Int])
  case structor(of: Int, isDestructor: Bool)
  case operation(String)
  case conversion(Int)
  case literalOperator(Int)
  case tagged(Int, tag: Int)
  case lambda(declarations: [Int], parameters: [Int], number: Int)
  case bindings([Int])
  case encoding(name: Int, function: Int)
  case prefixed(String, Int)
  case construction(base: Int, derived: Int)

  // Types.
  case qualified(Int, CxxQualifiers)
  case pointer(Int)
  case reference(Int, isRvalue: Bool)
  case suffixed(Int, String)
  case vendorQualified(Int, by: Int)
  case function(returned: Int?, parameters: [Int], tail: CxxFunctionTail)
  case array(element: Int, dimension: Int?)
  case vector(element: Int, dimension: Int)
  case memberPointer(owner: Int, Int)
  case enclosed(String, Int)
  case expansion(Int)
  /// A template's parameter; what it stands for depends on the function in which it is mentioned.
  case parameter(Int)
  case pack([Int])
  case declaration(String, Int?)

  // Expressions.
  case literal(type: Int, value: Range<Int>, isNegative: Bool)
  case functionParameter(Int)
  case unary(String, Int)
  case postfix(Int, String)
  case binary(Int, String, Int)
  case conditional(Int, Int, Int)
  case call(Int, [Int])
  case subscripted(Int, Int)
  case cast(String, type: Int, Int)
  case converted(type: Int, [Int], isList: Bool)
  case initializer(type: Int?, [Int])
  case allocation(String, placement: [Int], type: Int, initializer: [Int]?)
  case fold(left: Int?, String, right: Int?)
  case count(Int)
  case counted([Int])
}
