// What people write for places: lines of sources, functions, and expressions of registers, symbols and memory.

import VirtualMachine

/// A place of code.
struct CodePlace: Equatable {
  var address: UInt64
  /// The line that begins there, if that is what somebody has asked for.
  var line: Int?
  /// The inlined call that begins there (`SourceFrame.identity`), if its function is what somebody has asked for.
  var call: Int?
}

extension Subject {
  /// What names and memory are worth in expressions.
  var scope: Expression.Scope {
    let registers = registers
    return Expression.Scope(
      name: { [self] name in
        let known = Expression.registerName(name)
        if let value = registers.values[known.name] { return value &>> known.shift & known.mask }
        if name == "instant", let timeLine { return UInt64(bitPattern: timeLine.present) }
        if let line = lineAddresses(name)?.addresses.first { return line }
        return objects?.symbol(named: name)?.address ?? functionPlaces(name).first?.address
      },
      memory: { [self] address, size in
        let bytes = bytes(at: address, count: size)
        return bytes.count == size ? bytes.littleEndianNumber : nil
      })
  }

  /// Where a line begins that is written as `file.c:12`, or `:12` for one of the source where the program stands; in front a place of
  /// the function where that is, if there is one. Nil for everything else.
  func lineAddresses(_ text: some StringProtocol) -> (line: Int, addresses: [UInt64])? {
    guard let objects else { return nil }
    var wanted = LoadedObjects.fileAndLine(text)
    if text.hasPrefix(":"), let line = Int(text.dropFirst()), let path = presentLine?.path {
      wanted = (path, line)
    }
    guard let wanted, var found = objects.addresses(of: wanted.file, line: wanted.line) else { return nil }
    let function = objects.symbol(at: registers.rip)?.address
    if let function, let here = found.addresses.first(where: { objects.symbol(at: $0)?.address == function })
    {
      found.addresses = [here] + found.addresses.filter { $0 != here }
    }
    return found
  }

  /// The code of the function that `text` names, its inlined copies behind; in front a copy in the function where the program stands, if
  /// it has no code of its own. Empty for everything else.
  func functionPlaces(_ text: some StringProtocol) -> [FunctionPlace] {
    guard let objects, let name = functionName(String(text)) else { return [] }
    let found = objects.functionPlaces(named: name)
    guard let first = found.first, first.isInlined,
      let function = objects.symbol(at: registers.rip)?.address,
      let here = found.first(where: { objects.symbol(at: $0.address)?.address == function })
    else { return found }
    return [here] + found.filter { $0 != here }
  }

  /// What may be the name of a function: a name, in quotes where it is not one word, or what can only be one of C++.
  private func functionName(_ text: String) -> String? {
    if Expression.isScopedName(text) { return text }
    if case .name(let name) = try? Expression(text) {
      let isKnown = name == "instant" || registers.values[Expression.registerName(name).name] != nil
      return isKnown ? nil : name
    }
    return nil
  }

  /// All places that a line or a function has, or the one that an expression is worth.
  func codePlaces(_ text: some StringProtocol) throws(CommandError) -> [CodePlace] {
    if let found = lineAddresses(text) {
      return found.addresses.map { CodePlace(address: $0, line: found.line) }
    }
    let functions = functionPlaces(text)
    if functions.isEmpty { return [CodePlace(address: try evaluate(String(text)))] }
    return functions.map { CodePlace(address: $0.address, call: $0.isInlined ? $0.identity : nil) }
  }

  func evaluate(_ text: String) throws(CommandError) -> UInt64 { try Expression(text).evaluate(scope) }
}
