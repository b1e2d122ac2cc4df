// Where the code of a function is, by its name: its own, and each copy that the compiler has put into another function. All units of a file
// are walked for the first question about a name.
import Linux

/// The code of a function, or of an inlined call of it.
public struct FunctionPlace: Equatable, Sendable {
  /// Where execution gets into it.
  public var address: UInt64
  public var ranges: [Range<UInt64>]
  public var isInlined: Bool
  /// As its frame has it (`SourceFrame.identity`).
  public var identity: Int
}

extension FunctionInfo {
  private static let mostAsked = 64
  private static let mostPlaces = 1 << 16
  /// Attributes that are read for one name.
  private static let mostOfName = 1 << 28

  /// All code of the functions that linkers or sources call `name`, with namespaces and classes in front, by address.
  func places(named name: [UInt8]) -> [FunctionPlace] {
    if name.isEmpty { return [] }
    if let known = knownPlaces[name] { return known }
    var found: [FunctionPlace] = []
    var steps = 0
    for number in units.indices where steps < FunctionInfo.mostOfName {
      if let (functions, part) = splitFiles?.unit(of: units[number]) {
        steps &+= functions.addPlaces(named: name, ofUnit: part, skeleton: number, &found)
      } else {
        steps &+= addPlaces(named: name, ofUnit: number, skeleton: nil, &found)
      }
    }
    found.sort { ($0.address, $0.identity) < ($1.address, $1.identity) }
    if knownPlaces.count >= FunctionInfo.mostAsked { knownPlaces = [:] }
    knownPlaces[name] = found
    return found
  }

  /// Adds those of a unit, which may stand outside the program, for a skeleton there; how many attributes were read.
  private func addPlaces(
    named name: [UInt8], ofUnit number: Int, skeleton: Int?, _ found: inout [FunctionPlace]
  ) -> Int {
    let unit = unit(number)
    var isWanted: [Int: Bool] = [:]
    for scope in unit.scopes where !scope.ranges.isEmpty && found.count < FunctionInfo.mostPlaces {
      // Many calls are instances of one function.
      let function = scope.origin ?? scope.entry
      let isCalled = isWanted[function] ?? self.isCalled(name, function)
      isWanted[function] = isCalled
      guard isCalled else { continue }
      let ranges = scope.ranges.map { unit.ranges[Int($0)] }
      let start = scope.start.flatMap { start in ranges.contains { contains($0, start) } ? start : nil }
      found.append(
        FunctionPlace(
          address: start ?? ranges[0].low, ranges: ranges.map { $0.low..<$0.high },
          isInlined: scope.isInlined,
          identity: identity(scope.entry, skeleton: skeleton)))
    }
    return unit.steps
  }

  /// Whether a function has this name, or is an instance of one that has.
  private func isCalled(_ name: [UInt8], _ function: Int) -> Bool {
    var (linkage, plain): ([UInt8], [UInt8]) = ([], [])
    var present = function
    for _ in 0..<FunctionInfo.mostHops {
      guard let values = values(of: present) else { break }
      if linkage.isEmpty { linkage = values.linkage }
      if plain.isEmpty { plain = values.name }
      guard let origin = values.origin else { break }
      present = origin
    }
    if linkage == name { return true }
    // What is in front of names takes longer to find.
    guard !plain.isEmpty, name.count >= plain.count, name.suffix(plain.count).elementsEqual(plain) else {
      return false
    }
    return qualified(plain, present) == name || SymbolName.readable(linkage).utf8.elementsEqual(name)
  }
}

extension LineTable {
  /// The code of the functions that linkers or sources call `name`, at the file's addresses.
  public func places(named name: [UInt8]) -> [FunctionPlace] { functions.places(named: name) }
}

extension LoadedObjects {
  /// The code of the function that a symbol, or the source, calls `name`: its own first, then its inlined copies, by address. Looks into the
  /// file that has the symbol, and the program; where there is no symbol, into the first file that knows the name.
  public func functionPlaces(named name: String) -> [FunctionPlace] {
    let wanted = Array(name.utf8)
    let all = all
    guard let owner = all.first(where: { $0.symbols.symbol(named: wanted) != nil }),
      let symbol = owner.symbols.symbol(named: wanted)
    else {
      for object in all {
        let found = object.places(named: wanted)
        if !found.isEmpty { return LoadedObjects.ordered(found) }
      }
      return []
    }
    var found = owner.places(named: wanted)
    if let program = all.first, program !== owner { found += program.places(named: wanted) }
    if !found.contains(where: { !$0.isInlined && $0.address == symbol.address }) {
      let end = max(owner.symbols.end(of: symbol) ?? symbol.address, symbol.address)
      found.append(
        FunctionPlace(address: symbol.address, ranges: [symbol.address..<end], isInlined: false, identity: 0))
    }
    let ordered = LoadedObjects.ordered(found)
    return ordered.filter { $0.address == symbol.address } + ordered.filter { $0.address != symbol.address }
  }

  private static func ordered(_ places: [FunctionPlace]) -> [FunctionPlace] {
    places.filter { !$0.isInlined } + places.filter(\.isInlined)
  }
}

extension LoadedObject {
  /// The code of the functions with this name, at the guest's addresses.
  public func places(named name: [UInt8]) -> [FunctionPlace] {
    lines.places(named: name).map { place in
      var place = place
      place.address &+= loadBias
      place.ranges = place.ranges.map {
        LoadedObjects.moved($0, by: loadBias, around: $0.lowerBound &+ loadBias)
      }
      return place
    }
  }
}
