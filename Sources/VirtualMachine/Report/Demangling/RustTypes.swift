// Types and constants in the newer names of Rust programs.

extension RustPath {
  private static func basic(_ code: UInt8) -> String? {
    switch code {
    case UInt8(ascii: "a"): return "i8"
    case UInt8(ascii: "b"): return "bool"
    case UInt8(ascii: "c"): return "char"
    case UInt8(ascii: "d"): return "f64"
    case UInt8(ascii: "e"): return "str"
    case UInt8(ascii: "f"): return "f32"
    case UInt8(ascii: "h"): return "u8"
    case UInt8(ascii: "i"): return "isize"
    case UInt8(ascii: "j"): return "usize"
    case UInt8(ascii: "l"): return "i32"
    case UInt8(ascii: "m"): return "u32"
    case UInt8(ascii: "n"): return "i128"
    case UInt8(ascii: "o"): return "u128"
    case UInt8(ascii: "p"): return "_"
    case UInt8(ascii: "s"): return "i16"
    case UInt8(ascii: "t"): return "u16"
    case UInt8(ascii: "u"): return "()"
    case UInt8(ascii: "v"): return "..."
    case UInt8(ascii: "x"): return "i64"
    case UInt8(ascii: "y"): return "u64"
    case UInt8(ascii: "z"): return "!"
    default: return nil
    }
  }

  mutating func type() throws(CxxUnreadable) {
    try enter()
    defer { leave() }
    let code = try byte()
    if let name = RustPath.basic(code) { return try write(name) }
    switch code {
    case UInt8(ascii: "R"), UInt8(ascii: "Q"):
      try write("&")
      if take("L") {
        let number = try sequence()
        if number != 0 {
          try lifetime(number)
          try write(" ")
        }
      }
      if code == UInt8(ascii: "Q") { try write("mut ") }
      try type()
    case UInt8(ascii: "P"), UInt8(ascii: "O"):
      try write(code == UInt8(ascii: "P") ? "*const " : "*mut ")
      try type()
    case UInt8(ascii: "A"), UInt8(ascii: "S"):
      try write("[")
      try type()
      if code == UInt8(ascii: "A") {
        try write("; ")
        try constant()
      }
      try write("]")
    case UInt8(ascii: "T"):
      try write("(")
      let count = try types()
      try write(count == 1 ? ",)" : ")")
    case UInt8(ascii: "F"): try bound { type throws(CxxUnreadable) in try type.function() }
    case UInt8(ascii: "D"):
      try write("dyn ")
      try bound { type throws(CxxUnreadable) in try type.traits() }
      guard take("L") else { throw CxxUnreadable() }
      let number = try sequence()
      if number != 0 {
        try write(" + ")
        try lifetime(number)
      }
    case UInt8(ascii: "B"): try reference { type throws(CxxUnreadable) in try type.type() }
    default:
      position &-= 1
      try path(isValue: false)
    }
  }

  /// Types with commas between them, until E.
  private mutating func types() throws(CxxUnreadable) -> Int {
    var count = 0
    while !take("E") {
      if count > 0 { try write(", ") }
      count &+= 1
      try type()
    }
    return count
  }

  /// Something that may begin with the lifetimes which it binds.
  private mutating func bound(
    _ read: (inout RustPath) throws(CxxUnreadable) -> Void
  ) throws(CxxUnreadable) {
    let outer = lifetimes
    if take("G") {
      let count = try sequence() &+ 1
      guard count > 0, count < 1000 else { throw CxxUnreadable() }
      try write("for<")
      for index in 0..<count {
        if index > 0 { try write(", ") }
        lifetimes &+= 1
        try lifetime(1)
      }
      try write("> ")
    }
    try read(&self)
    lifetimes = outer
  }

  private mutating func function() throws(CxxUnreadable) {
    if take("U") { try write("unsafe ") }
    if take("K") {
      try write("extern \"")
      if take("C") {
        try write("C")
      } else {
        try write(identifier().map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0 })
      }
      try write("\" ")
    }
    try write("fn(")
    _ = try types()
    try write(")")
    if take("u") { return }
    try write(" -> ")
    try type()
  }

  /// Traits with the types that belong to them, until E.
  private mutating func traits() throws(CxxUnreadable) {
    var isFirst = true
    while !take("E") {
      if !isFirst { try write(" + ") }
      isFirst = false
      var isOpen = try openTrait()
      while take("p") {
        try write(isOpen ? ", " : "<")
        isOpen = true
        try write(identifier())
        try write(" = ")
        try type()
      }
      if isOpen { try write(">") }
    }
  }

  /// A trait's path; true if its generic arguments are left open for the types that follow.
  private mutating func openTrait() throws(CxxUnreadable) -> Bool {
    let start = output.count
    try path(isValue: false)
    guard next == UInt8(ascii: "p"), output.count > start, output.last == UInt8(ascii: ">"),
      !output[start...].starts(with: "<".utf8)
    else { return false }
    output.removeLast()
    return true
  }

  /// A number, a truth value or a character; whatever else there may be is not understood.
  mutating func constant() throws(CxxUnreadable) {
    try enter()
    defer { leave() }
    let code = try byte()
    if code == UInt8(ascii: "p") { return try write("_") }
    if code == UInt8(ascii: "B") {
      return try reference { constant throws(CxxUnreadable) in try constant.constant() }
    }
    guard "abchijlmnostxy".utf8.contains(code) else { throw CxxUnreadable() }
    let isNegative = take("n")
    let start = position
    while !take("_") {
      let digit = try byte()
      guard (digit >= 48 && digit <= 57) || (digit >= 97 && digit <= 102) else { throw CxxUnreadable() }
    }
    let digits = String(decoding: bytes[start..<position &- 1], as: UTF8.self)
    let value = UInt64(digits, radix: 16)
    switch (code, value) {
    case (UInt8(ascii: "b"), 0): try write("false")
    case (UInt8(ascii: "b"), 1): try write("true")
    case (UInt8(ascii: "b"), _): throw CxxUnreadable()
    case (UInt8(ascii: "c"), let value?):
      guard value <= 0x10ffff, let scalar = Unicode.Scalar(UInt32(value)) else { throw CxxUnreadable() }
      try write("'\(String(Character(scalar)))'")
    case (UInt8(ascii: "c"), nil): throw CxxUnreadable()
    default: try write((isNegative ? "-" : "") + (value.map { "\($0)" } ?? "0x" + digits))
    }
  }
}
