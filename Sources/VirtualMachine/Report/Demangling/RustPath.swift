// Makes the newer names of Rust programs readable ("v0", Rust RFC 2603): paths, identifiers and constants are
// written as they are read.

struct RustPath {
  let bytes: [UInt8]
  var position: Int
  var output: [UInt8] = []
  /// Reads without writing: where an implementation is, which nobody wants to know.
  var isSilent = false
  /// How many lifetimes the binders around have.
  var lifetimes = 0
  private var depth = 0
  private var steps = 0

  init(_ bytes: [UInt8], from position: Int) {
    self.bytes = bytes
    self.position = position
  }

  var next: UInt8 { position < bytes.count ? bytes[position] : 0 }

  mutating func take(_ byte: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: byte) else { return false }
    position &+= 1
    return true
  }

  mutating func byte() throws(CxxUnreadable) -> UInt8 {
    guard position < bytes.count else { throw CxxUnreadable() }
    position &+= 1
    return bytes[position &- 1]
  }

  mutating func enter() throws(CxxUnreadable) {
    depth &+= 1
    steps &+= 1
    if depth > CxxLimit.depth || steps > CxxLimit.steps { throw CxxUnreadable() }
  }

  mutating func leave() { depth &-= 1 }

  mutating func write(_ text: String) throws(CxxUnreadable) { try write(text.utf8) }

  mutating func write(_ text: some Sequence<UInt8>) throws(CxxUnreadable) {
    if !isSilent { output.append(contentsOf: text) }
    if output.count > CxxLimit.output { throw CxxUnreadable() }
  }

  /// `_` is 0, `0_` is 1 and so on, to the base 62.
  mutating func sequence() throws(CxxUnreadable) -> Int {
    if take("_") { return 0 }
    var value = 0
    while !take("_") {
      let digit: Int
      switch try byte() {
      case let byte where byte >= 48 && byte <= 57: digit = Int(byte) &- 48
      case let byte where byte >= 97 && byte <= 122: digit = Int(byte) &- 87
      case let byte where byte >= 65 && byte <= 90: digit = Int(byte) &- 29
      default: throw CxxUnreadable()
      }
      // Disambiguators of crates are hashes; they are not shown.
      value = value &* 62 &+ digit
    }
    return value &+ 1
  }

  /// Tells things of one name apart; 0 where there is nothing.
  mutating func disambiguator() throws(CxxUnreadable) -> Int { take("s") ? try sequence() &+ 1 : 0 }

  /// A name without its disambiguator.
  mutating func identifier() throws(CxxUnreadable) -> ArraySlice<UInt8> {
    // Names outside ASCII are written in Punycode.
    if take("u") { throw CxxUnreadable() }
    var length = 0
    guard next >= 48, next <= 57 else { throw CxxUnreadable() }
    if !take("0") {
      while next >= 48, next <= 57 {
        length = length &* 10 &+ Int(next &- 48)
        if length > CxxLimit.input { throw CxxUnreadable() }
        position &+= 1
      }
    }
    _ = take("_")
    guard length <= bytes.count &- position else { throw CxxUnreadable() }
    position &+= length
    return bytes[position &- length..<position]
  }

  /// Reads at an earlier place what stands there.
  mutating func reference(
    _ read: (inout RustPath) throws(CxxUnreadable) -> Void
  ) throws(CxxUnreadable) {
    let start = position
    let target = try sequence()
    // Places are counted from behind `_R`.
    guard target >= 0, target &+ 3 < start else { throw CxxUnreadable() }
    if isSilent { return }
    let end = position
    position = target &+ 2
    try read(&self)
    position = end
  }

  /// A path; in an expression (`isValue`) its arguments stand behind `::`.
  mutating func path(isValue: Bool) throws(CxxUnreadable) {
    try enter()
    defer { leave() }
    switch try byte() {
    case UInt8(ascii: "C"):
      _ = try disambiguator()
      try write(identifier())
    case UInt8(ascii: "N"): try nested(isValue: isValue)
    case UInt8(ascii: "M"):
      try implementation()
      try write("<")
      try type()
      try write(">")
    case UInt8(ascii: "X"):
      try implementation()
      try traitPath()
    case UInt8(ascii: "Y"): try traitPath()
    case UInt8(ascii: "I"):
      try path(isValue: isValue)
      if isValue { try write("::") }
      try write("<")
      try arguments()
      try write(">")
    case UInt8(ascii: "B"): try reference { path throws(CxxUnreadable) in try path.path(isValue: isValue) }
    default: throw CxxUnreadable()
    }
  }

  /// `<Type as Trait>`.
  private mutating func traitPath() throws(CxxUnreadable) {
    try write("<")
    try type()
    try write(" as ")
    try path(isValue: false)
    try write(">")
  }

  /// Where an implementation is.
  private mutating func implementation() throws(CxxUnreadable) {
    let outer = isSilent
    isSilent = true
    _ = try disambiguator()
    try path(isValue: false)
    isSilent = outer
  }

  private mutating func nested(isValue: Bool) throws(CxxUnreadable) {
    let space = try byte()
    try path(isValue: isValue)
    let number = try disambiguator()
    let name = try identifier()
    if space >= 97, space <= 122 {
      if name.isEmpty { return }
      try write("::")
      return try write(name)
    }
    guard space >= 65, space <= 90 else { throw CxxUnreadable() }
    try write("::{")
    switch space {
    case UInt8(ascii: "C"): try write("closure")
    case UInt8(ascii: "S"): try write("shim")
    default: try write([space])
    }
    if !name.isEmpty {
      try write(":")
      try write(name)
    }
    try write("#\(number)}")
  }

  /// Generic arguments, until E.
  private mutating func arguments() throws(CxxUnreadable) {
    var isFirst = true
    while !take("E") {
      if !isFirst { try write(", ") }
      isFirst = false
      if take("L") {
        try lifetime(sequence())
      } else if take("K") {
        try constant()
      } else {
        try type()
      }
    }
  }

  /// `'_` for 0; else counted from the innermost binder.
  mutating func lifetime(_ number: Int) throws(CxxUnreadable) {
    guard number >= 0, number <= lifetimes else { throw CxxUnreadable() }
    if number == 0 { return try write("'_") }
    let index = lifetimes &- number
    try write("'")
    try write(index < 26 ? [UInt8(97 &+ index)] : Array("_\(index)".utf8))
  }
}
