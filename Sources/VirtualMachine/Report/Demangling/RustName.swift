// Makes the names of Rust programs readable: those that look like C++ names (the "legacy" mangling of rustc),
// paths whose last component is `h` and 16 hexadecimal digits; and the newer ones.

enum RustName {
  /// A name of the newer mangling, which begins with `_R`; nil if it is damaged.
  static func readablePath(_ name: [UInt8]) -> [UInt8]? {
    do throws(CxxUnreadable) {
      var path = RustPath(name, from: 2)
      try path.path(isValue: true)
      let result = path.output
      // The crate for which the function was made.
      if path.next >= UInt8(ascii: "A"), path.next <= UInt8(ascii: "Z") {
        path.isSilent = true
        try path.path(isValue: false)
      }
      guard path.position == name.count || path.next == UInt8(ascii: ".") else { return nil }
      return result + name.dropFirst(path.position)
    } catch {
      return nil
    }
  }

  /// The path without its hash; nil if the name is no such path.
  static func readable(_ name: ArraySlice<UInt8>) -> [UInt8]? {
    guard name.starts(with: "_ZN".utf8) else { return nil }
    var rest = name.dropFirst(3)
    var components: [ArraySlice<UInt8>] = []
    while let component = component(&rest) { components.append(component) }
    guard rest.popFirst() == UInt8(ascii: "E"), rest.isEmpty || rest.first == UInt8(ascii: "."),
      components.count > 1, let hash = components.popLast(), isHash(hash)
    else { return nil }
    var output: [UInt8] = []
    for component in components {
      if !output.isEmpty { output += "::".utf8 }
      guard decode(component, into: &output) else { return nil }
    }
    return output + rest
  }

  private static func component(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    let digits = rest.prefix { $0 >= 48 && $0 <= 57 }
    guard !digits.isEmpty, digits.count < 6 else { return nil }
    let length = digits.reduce(0) { $0 &* 10 &+ Int($1 &- 48) }
    let body = rest.dropFirst(digits.count)
    guard length > 0, length <= body.count else { return nil }
    rest = body.dropFirst(length)
    return body.prefix(length)
  }

  private static func isHash(_ text: ArraySlice<UInt8>) -> Bool {
    text.count == 17 && text.first == UInt8(ascii: "h") && text.dropFirst().allSatisfy { digit($0) != nil }
  }

  private static func digit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case 48...57: return UInt32(byte) &- 48
    case 97...102: return UInt32(byte) &- 87
    default: return nil
    }
  }

  private static let escapes: [(String, String)] = [
    ("SP", "@"), ("BP", "*"), ("RF", "&"), ("LT", "<"), ("GT", ">"), ("LP", "("), ("RP", ")"), ("C", ","),
  ]

  /// False if there is an escape that nobody knows.
  private static func decode(_ component: ArraySlice<UInt8>, into output: inout [UInt8]) -> Bool {
    // The underscore only makes an identifier of what begins with an escape.
    var rest = component.starts(with: "_$".utf8) ? component.dropFirst() : component
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "."), rest.first == UInt8(ascii: ".") {
        rest = rest.dropFirst()
        output += "::".utf8
      } else if byte == UInt8(ascii: "$") {
        guard let end = rest.firstIndex(of: UInt8(ascii: "$")) else { return false }
        let code = rest[..<end]
        rest = rest[(end &+ 1)...]
        if let known = escapes.first(where: { code.elementsEqual($0.0.utf8) }) {
          output += known.1.utf8
        } else if let character = character(code) {
          output += String(character).utf8
        } else {
          return false
        }
      } else {
        output.append(byte)
      }
    }
    return true
  }

  /// `u` and a code point in hexadecimal.
  private static func character(_ code: ArraySlice<UInt8>) -> Character? {
    guard code.first == UInt8(ascii: "u"), code.count > 1, code.count < 8 else { return nil }
    var value: UInt32 = 0
    for byte in code.dropFirst() {
      guard let digit = digit(byte) else { return nil }
      value = value &<< 4 | digit
    }
    guard value >= 32, value != 127, let scalar = Unicode.Scalar(value) else { return nil }
    return Character(scalar)
  }
}
