// Makes the names of C++ and Rust readable that linkers know.
import Linux

enum SymbolName {
  /// `S::boom` for `_ZN1S4boomEi`, without parameters; the name itself, made safe for a terminal, when it is
  /// anything else or damaged.
  static func readable(_ name: [UInt8]) -> String {
    guard name.count <= CxxLimit.input else { return LoadError.name(name) }
    if name.starts(with: "_R".utf8) { return LoadError.name(RustName.readablePath(name) ?? name) }
    guard name.starts(with: "_Z".utf8) else { return LoadError.name(name) }
    return LoadError.name(RustName.readable(name[...]) ?? cxxName(name) ?? name)
  }

  /// As `c++filt -p` has it; what compilers append to the names of parts of functions stays behind it.
  private static func cxxName(_ name: [UInt8]) -> [UInt8]? {
    do throws(CxxUnreadable) {
      var parser = CxxParser(name, from: 2)
      var whole = try parser.encoding()
      guard parser.isAtEnd || parser.next == UInt8(ascii: ".") else { return nil }
      if case .encoding(let plain, _) = parser.nodes[whole] { whole = plain }
      var printer = CxxPrinter(parser)
      printer.enterScope(of: whole)
      try printer.print(whole)
      return printer.output + name.dropFirst(parser.position)
    } catch {
      return nil
    }
  }
}
