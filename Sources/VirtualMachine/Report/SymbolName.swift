// Makes the commonest C++ names readable: nested and plain names without templates (Itanium C++ ABI, section
// 5.1). What it does not know it leaves as it is; parameters are not shown.
import Linux

enum SymbolName {
  /// `S::boom` for `_ZN1S4boomEi`; the name itself, made safe for a terminal, when it is anything else.
  static func readable(_ name: [UInt8]) -> String {
    LoadError.name(name.starts(with: [0x5f, 0x5a]) ? cxxName(name) ?? name : name)
  }

  private static func cxxName(_ name: [UInt8]) -> [UInt8]? {
    var rest = name[2...]
    var parts: [[UInt8]] = []
    let isNested = rest.first == UInt8(ascii: "N")
    if isNested {
      rest = rest.dropFirst()
      // Qualifiers of a member function: restrict, volatile, const.
      rest = rest.drop { "rVK".utf8.contains($0) }
    }
    if rest.starts(with: "St".utf8) {
      parts.append(Array("std".utf8))
      rest = rest.dropFirst(2)
    }
    let scopes = parts.count
    while let part = sourceName(&rest) {
      parts.append(part)
      if !isNested { break }
    }
    // Operators, and abbreviations of the library's classes.
    if parts.count == scopes { return nil }
    if isNested, rest.first != UInt8(ascii: "E") {
      guard let last = parts.last, let special = constructorOrDestructor(&rest, last),
        rest.first == UInt8(ascii: "E")
      else { return nil }
      parts.append(special)
    }
    // Template arguments would belong to the name.
    if !isNested && rest.first == UInt8(ascii: "I") { return nil }
    let suffix = name.firstIndex(of: UInt8(ascii: ".")).map { Array(name[$0...]) } ?? []
    return Array(parts.joined(separator: Array("::".utf8))) + suffix
  }

  /// A length in decimal and as many bytes.
  private static func sourceName(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
    let digits = rest.prefix { $0 >= 48 && $0 <= 57 }
    guard !digits.isEmpty, digits.count < 5 else { return nil }
    let length = digits.reduce(0) { $0 &* 10 &+ Int($1 &- 48) }
    let body = rest.dropFirst(digits.count)
    guard length > 0, length <= body.count else { return nil }
    rest = body.dropFirst(length)
    return Array(body.prefix(length))
  }

  /// C1 … C3 and D0 … D2 behind the class's name.
  private static func constructorOrDestructor(_ rest: inout ArraySlice<UInt8>, _ name: [UInt8]) -> [UInt8]? {
    guard let kind = rest.first, kind == UInt8(ascii: "C") || kind == UInt8(ascii: "D"), rest.count >= 2
    else {
      return nil
    }
    rest = rest.dropFirst(2)
    return kind == UInt8(ascii: "C") ? name : [UInt8(ascii: "~")] + name
  }
}
