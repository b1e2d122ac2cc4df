// Which functions an address belongs to when the compiler has put some into others: read from `.debug_info` (DWARF 2 to 5). Of all units
// only the roots are read, to learn where each one's code is; the entries of a unit are walked once when an address of it is asked for,
// without recursion, and what is kept are its functions and the inlined calls in them. Addresses are those of the file.
import GuestMemory
import Linux

/// A function that an address belongs to.
struct FunctionScope {
  /// As linkers know it, where they do.
  var linkageName: [UInt8] = []
  /// As the source has it, with the namespaces and classes around it.
  var name: [UInt8] = []
  /// The code of the function, or of the call, around the address.
  var range: Range<UInt64>
  /// Where it was put into the next one; line 0: the compiler does not say.
  var callFile = 0
  var callLine = 0
  var isInlined = false
  /// Different for each function and each inlined call of a file.
  var identity = 0
  /// The address is where it begins.
  var isStart = false
}

/// The functions of one file.
final class FunctionInfo {
  /// A function with code, or an inlined call, and what is inside up to `end`.
  struct Scope {
    /// Its place in `.debug_info`, and that of what it is an instance of.
    var entry: Int
    var origin: Int?
    var parent: Int32
    var end: Int32 = 0
    var ranges: Range<Int32>
    var callFile: UInt32 = 0
    var callLine: UInt32 = 0
    var isInlined: Bool
    /// Where execution begins, if the compiler says so.
    var start: UInt64?
  }

  struct Stretch {
    var low: UInt64
    var high: UInt64
    var number: Int32
  }

  /// What is kept of a unit.
  final class Unit {
    var scopes: [Scope] = []
    var ranges: [(low: UInt64, high: UInt64)] = []
    /// The functions that are not inside others, by address.
    var functions: [Stretch] = []
    /// Namespaces, classes and functions by their places, and what each of them is in.
    var members: [Int] = []
    var parents: [Int] = []
    /// Attributes that were read.
    var steps = 0
    var size: Int { scopes.count &+ ranges.count &+ members.count }
  }

  private static let mostUnits = 1 << 18
  private static let mostKept = 1 << 23
  private static let mostOfUnit = 1 << 22
  private static let deepest = 4096
  static let mostHops = 32
  private static let mostColumns = 1 << 22
  private static let mostNames = 1 << 12
  /// Calls that are looked at for one address.
  private static let mostCalls = 1 << 17
  /// Attributes that are read of one unit.
  private static let mostSteps = 1 << 27

  private let sections: InfoSections
  /// Where the functions of skeletons are; nil for the sections of such a file itself.
  let splitFiles: SplitFiles?
  /// What code there is: entries about code that the linker has dropped are about no address, or about low ones.
  private let code: [Range<UInt64>]
  private(set) var units: [InfoUnit] = []
  /// The units that have an identity.
  private lazy var numbers = Dictionary(
    units.enumerated().compactMap { place, unit in unit.identity.map { ($0, place) } }, uniquingKeysWith: min)
  private var places: [Stretch] = []
  private var known: [Int: Unit] = [:]
  private var kept = 0
  private var tables: [AbbreviationKey: AbbreviationTable] = [:]
  private var names: [Int: (linkage: [UInt8], name: [UInt8])] = [:]
  private var nameBytes = 0
  private var keptColumns = 0
  /// What was found by names (FunctionPlaces.swift).
  var knownPlaces: [[UInt8]: [FunctionPlace]] = [:]
  /// Abbreviations that are read in all, and ranges that are kept.
  private var abbreviationsLeft = 1 << 26
  private let mostRanges: Int
  private var rangesLeft: Int

  private struct AbbreviationKey: Hashable {
    var place: UInt64
    var isWide: Bool
    var version: UInt16
    var addressSize: UInt64
  }

  init(_ sections: InfoSections, code: [Range<UInt64>], _ splitFiles: SplitFiles? = nil) {
    (self.sections, self.code, self.splitFiles) = (sections, code, splitFiles)
    // A few times what there can be without lists that serve several entries.
    mostRanges = 4096 &+ sections.ranges.count &+ 2 &* sections.rangeLists.count
    rangesLeft = mostRanges
    var start = 0
    while start < sections.info.count, units.count < FunctionInfo.mostUnits,
      var unit = try? InfoUnit(sections.info, at: start)
    {
      if unit.next &- start <= 4 { break }
      start = unit.next
      if unit.version == 0 { continue }
      // What is wrong with a root says nothing about the next one.
      try? readRoot(&unit)
      units.append(unit)
    }
    places.sort { ($0.low, $0.high) < ($1.low, $1.high) }
  }

  private func isCode(_ address: UInt64) -> Bool { code.contains { $0.contains(address) } }

  // MARK: Units

  private func readRoot(_ unit: inout InfoUnit) throws(DwarfError) {
    var cursor = DwarfCursor(sections.info, base: 0, position: unit.firstEntry, end: unit.next)
    let code = try cursor.unsigned()
    let table = AbbreviationTable(sections.abbreviations, unit, upTo: code, left: &abbreviationsLeft)
    guard let entry = table.find(code) else { return }
    var (low, high, ranges): (InfoValue?, InfoValue?, InfoValue?)
    // Without a word of it tables of DWARF 5 begin behind their headers.
    unit.stringOffsets = unit.version < 5 ? 0 : unit.isWide ? 16 : 8
    unit.addresses = unit.stringOffsets
    unit.rangeLists = unit.version < 5 ? 0 : unit.isWide ? 20 : 12
    for column in table.columns[entry.columns] {
      let value = try unit.value(&cursor, form: column.form, constant: column.constant)
      switch column.name {
      case InfoAttribute.low: low = value
      case InfoAttribute.high: high = value
      case InfoAttribute.ranges: ranges = value
      case InfoAttribute.directory: unit.directory = value
      case InfoAttribute.splitName, InfoAttribute.oldSplitName: unit.splitName = value
      default:
        guard case .number(let number) = value else { break }
        switch column.name {
        case InfoAttribute.lines: unit.lines = number
        case InfoAttribute.stringOffsets: unit.stringOffsets = number
        case InfoAttribute.addresses, InfoAttribute.oldAddresses: unit.addresses = number
        case InfoAttribute.rangeLists: unit.rangeLists = number
        case InfoAttribute.oldIdentity: unit.identity = number
        case InfoAttribute.oldRanges: unit.splitRanges = number
        default: break
        }
      }
    }
    unit.low = low.flatMap { unit.address($0, sections) } ?? 0
    let number = Int32(truncatingIfNeeded: units.count)
    forEachRange(unit, low: low, high: high, ranges: ranges) { low, high in
      places.append(Stretch(low: low, high: high, number: number))
    }
  }

  /// The abbreviations of a unit, which others may share.
  private func table(of unit: InfoUnit) -> AbbreviationTable {
    let key = AbbreviationKey(
      place: unit.abbreviations, isWide: unit.isWide, version: unit.version, addressSize: unit.addressSize)
    if let known = tables[key] { return known }
    let table = AbbreviationTable(sections.abbreviations, unit, left: &abbreviationsLeft)
    keptColumns &+= table.columns.count
    if keptColumns > FunctionInfo.mostColumns { (tables, keptColumns) = ([:], table.columns.count) }
    tables[key] = table
    return table
  }

  /// Calls `body` with the ranges of an entry that are about code.
  private func forEachRange(
    _ unit: InfoUnit, low: InfoValue?, high: InfoValue?, ranges: InfoValue?, _ body: (UInt64, UInt64) -> Void
  ) {
    func add(_ low: UInt64, _ high: UInt64) { if low < high, isCode(low) { body(low, high) } }
    if let ranges {
      rangesLeft -= unit.forEachRange(ranges, sections, most: rangesLeft, add)
    } else if let low, let high, let start = unit.address(low, sections) {
      if case .number(let size) = high {
        add(start, start &+ size)
      } else if let end = unit.address(high, sections) {
        add(start, end)
      }
    }
  }

  /// The directory of a compilation; empty where it is not known.
  func directory(of unit: Int) -> [UInt8] {
    units[unit].directory.map { units[unit].text($0, sections) } ?? []
  }

  /// The unit that has an entry.
  private func number(ofUnitAt entry: Int) -> Int? {
    let next = units.partitionPoint { $0.start <= entry }
    guard next > 0, entry >= units[next &- 1].firstEntry, entry < units[next &- 1].next else { return nil }
    return next &- 1
  }

  // MARK: Entries of a unit

  func unit(_ number: Int) -> Unit {
    if let unit = known[number] { return unit }
    let unit = Unit()
    try? walk(units[number], unit)
    unit.functions.sort { ($0.low, $0.high) < ($1.low, $1.high) }
    if kept > FunctionInfo.mostKept {
      (names, nameBytes) = ([:], 0)
      forgetUnits()
    }
    known[number] = unit
    kept &+= unit.size
    return unit
  }

  private func forgetUnits() { (known, kept, rangesLeft) = ([:], 0, mostRanges) }

  /// An entry around the present one.
  private struct Level {
    /// The innermost scope, or -1, and the innermost entry that names have in front.
    var scope: Int32
    var member: Int
    /// The entry is that scope.
    var isScope: Bool
  }

  private func walk(_ unit: InfoUnit, _ result: Unit) throws(DwarfError) {
    let table = table(of: unit)
    var cursor = DwarfCursor(sections.info, base: 0, position: unit.firstEntry, end: unit.next)
    var levels: [Level] = []
    var steps = FunctionInfo.mostSteps
    // What is open at the end of a damaged unit ends with it.
    defer {
      for level in levels where level.isScope { close(level, result) }
      result.steps = FunctionInfo.mostSteps &- steps
    }
    while !cursor.isAtEnd, result.size < FunctionInfo.mostOfUnit {
      let place = cursor.position
      let code = try cursor.unsigned()
      if code == 0 {
        guard let level = levels.popLast() else { continue }
        if level.isScope { close(level, result) }
        if levels.isEmpty { return }
        continue
      }
      guard let entry = table.find(code) else { throw DwarfError() }
      var level = levels.last ?? Level(scope: -1, member: -1, isScope: false)
      level.isScope = false
      steps -= entry.columns.count
      if entry.tag == 0x2e || entry.tag == 0x1d {
        // DW_TAG_subprogram, DW_TAG_inlined_subroutine
        guard steps > 0 else { throw DwarfError() }
        add(try readScope(&cursor, unit, table, entry, place, result), entry.tag, place, &level, result)
      } else {
        if FunctionInfo.enclosing.contains(entry.tag) {
          result.members.append(place)
          result.parents.append(level.member)
          level.member = place
        }
        try skip(&cursor, unit, table, entry, &steps)
      }
      guard entry.hasChildren else { continue }
      guard levels.count < FunctionInfo.deepest else { throw DwarfError() }
      levels.append(level)
    }
  }

  private func close(_ level: Level, _ result: Unit) {
    result.scopes[Int(level.scope)].end = Int32(result.scopes.count)
  }

  /// Namespaces, structures, classes, unions, enumerations, interfaces and modules (DW_TAG_…).
  private static let enclosing: [UInt32] = [0x39, 0x13, 0x02, 0x17, 0x04, 0x38, 0x1e]

  /// A function, or an inlined call, at `place`; `level` is what is inside.
  private func add(_ scope: Scope?, _ tag: UInt32, _ place: Int, _ level: inout Level, _ result: Unit) {
    let isFunction = tag == 0x2e
    if isFunction {
      result.members.append(place)
      result.parents.append(level.member)
      // What is inside a function is not named after it.
      level.member = -1
    }
    let around = level.scope
    if isFunction { level.scope = -1 }
    guard var scope else { return }
    scope.parent = isFunction ? -1 : around
    level.scope = Int32(result.scopes.count)
    level.isScope = true
    scope.end = level.scope &+ 1
    result.scopes.append(scope)
    if isFunction { add(functionAt: level.scope, result) }
  }

  private func add(functionAt scope: Int32, _ result: Unit) {
    for index in result.scopes[Int(scope)].ranges {
      let (low, high) = result.ranges[Int(index)]
      result.functions.append(Stretch(low: low, high: high, number: scope))
    }
  }

  private func skip(
    _ cursor: inout DwarfCursor, _ unit: InfoUnit, _ table: AbbreviationTable,
    _ entry: AbbreviationTable.Abbreviation, _ steps: inout Int
  ) throws(DwarfError) {
    if let size = entry.size { return try cursor.skip(size) }
    guard steps > 0 else { throw DwarfError() }
    for column in table.columns[entry.columns] {
      if column.form == 0x16 {
        _ = try unit.value(&cursor, form: column.form, constant: 0)
      } else {
        try skipAttribute(
          &cursor, UInt64(column.form), isWide: unit.isWide, addressSize: unit.addressSize,
          version: unit.version)
      }
    }
  }

  /// A function that has code, or an inlined call; nil for a function without.
  private func readScope(
    _ cursor: inout DwarfCursor, _ unit: InfoUnit, _ table: AbbreviationTable,
    _ entry: AbbreviationTable.Abbreviation, _ place: Int, _ result: Unit
  ) throws(DwarfError) -> Scope? {
    var scope = Scope(entry: place, parent: -1, ranges: 0..<0, isInlined: entry.tag == 0x1d)
    var (low, high, ranges, start): (InfoValue?, InfoValue?, InfoValue?, InfoValue?)
    for column in table.columns[entry.columns] {
      let value = try unit.value(&cursor, form: column.form, constant: column.constant)
      switch (column.name, value) {
      case (InfoAttribute.low, _): low = value
      case (InfoAttribute.high, _): high = value
      case (InfoAttribute.ranges, _): ranges = value
      case (InfoAttribute.entry, _): start = value
      case (InfoAttribute.origin, .reference(let origin)):
        scope.origin = Int(truncatingIfNeeded: origin & .max >> 1)
      case (InfoAttribute.callFile, .number(let number)): scope.callFile = UInt32(truncatingIfNeeded: number)
      case (InfoAttribute.callLine, .number(let number)): scope.callLine = UInt32(truncatingIfNeeded: number)
      default: break
      }
    }
    let first = Int32(result.ranges.count)
    if result.size < FunctionInfo.mostOfUnit {
      forEachRange(unit, low: low, high: high, ranges: ranges) { result.ranges.append(($0, $1)) }
    }
    scope.ranges = first..<Int32(result.ranges.count)
    if case .number(let distance) = start {
      // Counted from where the first range begins (DWARF 5 section 2.18).
      scope.start = scope.ranges.first.map { result.ranges[Int($0)].low &+ distance }
    } else {
      scope.start = start.flatMap { unit.address($0, sections) }
    }
    return scope.isInlined || !scope.ranges.isEmpty ? scope : nil
  }
}

// MARK: Units outside the program

extension FunctionInfo {
  /// The number of the unit with this identity, once it knows what its skeleton says.
  func unit(_ identity: UInt64, inheritingFrom skeleton: InfoUnit) -> Int? {
    guard let number = numbers[identity] else { return nil }
    // Two skeletons may stand for one unit if it has been linked twice.
    if units[number].skeleton != skeleton.start {
      units[number].inherit(from: skeleton)
      forgetUnits()
    }
    return number
  }

  /// What is kept, roughly as many things as `mostKept` counts.
  var weight: Int { kept &+ keptColumns &+ 4 &* units.count &+ nameBytes / 16 }
}

// MARK: Questions

extension FunctionInfo {
  /// The functions that `address` belongs to, inlined calls before what they are in, and the table of lines that numbers their files;
  /// none where nothing is known.
  func scopes(at address: UInt64) -> (lines: UInt64?, scopes: [FunctionScope]) {
    let end = places.partitionPoint { $0.low <= address }
    // Damaged or merged code: one further down may reach up to here.
    for place in places[..<end].indices.suffix(16).reversed() where address < places[place].high {
      let number = Int(places[place].number)
      var found = splitScopes(at: address, number)
      if found.isEmpty { found = scopes(at: address, ofUnit: number) }
      if !found.isEmpty { return (units[number].lines, found) }
    }
    return (nil, [])
  }

  /// The functions of a unit whose skeleton is here; none where it is no skeleton, or nothing is known of its file.
  private func splitScopes(at address: UInt64, _ number: Int) -> [FunctionScope] {
    guard let (functions, unit) = splitFiles?.unit(of: units[number]) else { return [] }
    return functions.scopes(at: address, ofUnit: unit).map { scope in
      var scope = scope
      scope.identity = identity(scope.identity, skeleton: number)
      return scope
    }
  }

  /// What tells a function, or an inlined call, from others of the program.
  func identity(_ entry: Int, skeleton: Int?) -> Int {
    // Places in other files count from zero, too; sections are far smaller than this.
    skeleton.map { entry | ($0 &+ 1) &<< 32 } ?? entry
  }

  private func scopes(at address: UInt64, ofUnit number: Int) -> [FunctionScope] {
    let unit = unit(number)
    guard let innermost = innermost(at: address, unit) else { return [] }
    var found: [FunctionScope] = []
    var scope = innermost
    while scope >= 0, found.count < FunctionInfo.deepest {
      found.append(shown(unit.scopes[scope], at: address, unit))
      scope = Int(unit.scopes[scope].parent)
    }
    return found
  }

  private func innermost(at address: UInt64, _ unit: Unit) -> Int? {
    let end = unit.functions.partitionPoint { $0.low <= address }
    for place in unit.functions[..<end].indices.suffix(16).reversed()
    where address < unit.functions[place].high {
      var best = Int(unit.functions[place].number)
      var next = best &+ 1
      let last = Int(unit.scopes[best].end)
      var left = FunctionInfo.mostCalls
      while next < last, left > 0 {
        left -= 1
        let scope = unit.scopes[next]
        let isHere = scope.ranges.contains { contains(unit.ranges[Int($0)], address) }
        if isHere, scope.isInlined { best = next }
        // A call without code of its own may have others in it.
        let isOpen = scope.isInlined && (isHere || scope.ranges.isEmpty)
        next = isOpen ? next &+ 1 : max(Int(scope.end), next &+ 1)
      }
      return best
    }
    return nil
  }

  func contains(_ range: (low: UInt64, high: UInt64), _ address: UInt64) -> Bool {
    range.low <= address && address < range.high
  }

  private func shown(_ scope: Scope, at address: UInt64, _ unit: Unit) -> FunctionScope {
    var result = FunctionScope(range: address..<address)
    for index in scope.ranges {
      let range = unit.ranges[Int(index)]
      if contains(range, address) { result.range = range.low..<range.high }
    }
    let isInFront = scope.ranges.contains { contains(unit.ranges[Int($0)], address &- 1) }
    result.isStart = !isInFront && scope.ranges.contains { unit.ranges[Int($0)].low == address }
    (result.linkageName, result.name) = names(of: scope.entry)
    (result.callFile, result.callLine) = (Int(scope.callFile), Int(scope.callLine))
    (result.isInlined, result.identity) = (scope.isInlined, scope.entry)
    return result
  }

  /// The names of a function: its own, or those of what it is an instance of.
  private func names(of entry: Int) -> (linkage: [UInt8], name: [UInt8]) {
    if let known = names[entry] { return known }
    var (linkage, name): ([UInt8], [UInt8]) = ([], [])
    var present = entry
    for _ in 0..<FunctionInfo.mostHops {
      guard let values = values(of: present) else { break }
      if linkage.isEmpty { linkage = values.linkage }
      // What is around the declaration is what names have in front.
      if name.isEmpty, !values.name.isEmpty { name = values.name }
      guard let origin = values.origin else { break }
      present = origin
    }
    if !name.isEmpty { name = qualified(name, present) }
    if names.count >= FunctionInfo.mostNames { (names, nameBytes) = ([:], 0) }
    names[entry] = (linkage, name)
    nameBytes &+= linkage.count &+ name.count
    return (linkage, name)
  }

  func values(of entry: Int) -> (tag: UInt32, linkage: [UInt8], name: [UInt8], origin: Int?)? {
    guard let number = number(ofUnitAt: entry) else { return nil }
    let unit = units[number]
    let table = table(of: unit)
    var cursor = DwarfCursor(sections.info, base: 0, position: entry, end: unit.next)
    guard let code = try? cursor.unsigned(), let abbreviation = table.find(code) else { return nil }
    var (linkage, name, origin): ([UInt8], [UInt8], Int?) = ([], [], nil)
    for column in table.columns[abbreviation.columns] {
      guard let value = try? unit.value(&cursor, form: column.form, constant: column.constant) else { break }
      switch (column.name, value) {
      case (InfoAttribute.name, _): name = unit.text(value, sections)
      case (InfoAttribute.linkageName, _), (InfoAttribute.oldLinkageName, _):
        linkage = unit.text(value, sections)
      case (InfoAttribute.origin, .reference(let place)),
        (InfoAttribute.specification, .reference(let place)):
        origin = Int(truncatingIfNeeded: place & .max >> 1)
      default: break
      }
    }
    return (abbreviation.tag, linkage, name, origin)
  }

  /// With the names of namespaces and classes in front.
  func qualified(_ name: [UInt8], _ entry: Int) -> [UInt8] {
    guard let number = number(ofUnitAt: entry) else { return name }
    let unit = unit(number)
    var result = name
    var present = entry
    for _ in 0..<FunctionInfo.mostHops {
      let place = unit.members.partitionPoint { $0 < present }
      guard place < unit.members.count, unit.members[place] == present, unit.parents[place] >= 0
      else { break }
      present = unit.parents[place]
      let values = values(of: present)
      let (parent, isNamespace) = (values?.name ?? [], values?.tag == 0x39)
      let unnamed = isNamespace ? "(anonymous namespace)" : "(anonymous)"
      result = (parent.isEmpty ? Array(unnamed.utf8) : parent) + Array("::".utf8) + result
      guard result.count < 1 << 16 else { break }
    }
    return result
  }
}
