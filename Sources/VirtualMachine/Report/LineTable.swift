// Source lines of a file's code: which line an address belongs to, and where the code of a line is. Nothing is read before the first
// question. Then all programs are run once without keeping rows, to learn which addresses each unit has; the rows of a unit are
// made when an address of it is asked for, and dropped again when there are too many. Addresses are those of the file.
import GuestMemory
import Linux

/// A line of a source.
public struct SourceLine: Equatable, Sendable {
  /// The path as the compiler knew it.
  public var path: [UInt8]
  /// From 1 on.
  public var line: Int
  /// The addresses around the one that was asked for up to where another row of the table begins.
  public var range: Range<UInt64>
  /// The range begins a statement: a place for breakpoints.
  public var isStatement: Bool

  /// The path's last component.
  public var name: String { String(decoding: path.split(separator: 47).last ?? [], as: UTF8.self) }
  /// `file.c:12`
  public var text: String { "\(name):\(line)" }

  public func isSameLine(_ other: SourceLine) -> Bool { line == other.line && path == other.path }
}

/// The line tables of one file.
public final class LineTable {
  /// Consecutive rows of one unit.
  private struct Sequence {
    var low: UInt64
    var high: UInt64
    var unit: Int32
    /// Its number in the unit.
    var number: Int32
  }

  /// The rows of a unit.
  private final class Unit {
    var rows: [LineRow] = []
    var sequences: [Range<Int>] = []
    /// Paths by the number of the file, once they have been asked for.
    private var paths: [Int: [UInt8]] = [:]
    let files: LineFiles
    let compilation: [UInt8]

    init(_ files: LineFiles, _ compilation: [UInt8]) {
      (self.files, self.compilation) = (files, compilation)
    }

    func path(_ number: Int) -> [UInt8] {
      if let known = paths[number] { return known }
      let path = files.path(number, compilation: compilation)
      paths[number] = path
      return path
    }
  }

  private static let mostSequences = 1 << 20
  private static let mostUnits = 1 << 18
  private static let mostRowsOfUnit = 1 << 22
  private static let mostRowsKept = 1 << 22

  private let open: () -> DebugFile?
  private var isLoaded = false
  private var knownFunctions: FunctionInfo?
  private var sections = LineSections()
  private var headers: [LineHeader] = []
  private var sequences: [Sequence] = []
  private var units: [Int: Unit] = [:]
  private var keptRows = 0
  /// What code there is: tables of code that the linker has dropped are about no address, or about low ones.
  private var code: [Range<UInt64>] = []
  /// The units of `.debug_info` that know the directories of tables, by where these begin.
  private var unitsOfTables: [UInt64: Int] = [:]
  private var filesByName: [[UInt8]: [(unit: Int, files: Set<Int>)]] = [:]

  /// `open` is called at the first question about lines and at the first one about functions; it answers nil where there are no tables.
  init(_ open: @escaping () -> DebugFile?) { self.open = open }

  /// The tables of these sections, for tests.
  init(_ sections: LineSections, code: [Range<UInt64>]) {
    (self.sections, self.code) = (sections, code)
    (open, isLoaded) = ({ nil }, true)
    index()
  }

  /// The tables of a file, which may lie in another one; files are the host's.
  public convenience init(_ sections: ELFSections, path: [UInt8]) {
    self.init { sections.withLines(path) { try? ExecutableFile(path: $0) } }
  }

  private func load() {
    if isLoaded { return }
    isLoaded = true
    guard let file = open()?.sections else { return }
    sections.lines = file.plainBytes(named: ".debug_line")
    if sections.lines.isEmpty { return }
    sections.lineStrings = file.plainBytes(named: ".debug_line_str")
    sections.strings = file.plainBytes(named: ".debug_str")
    for section in file.all where section.flags & 6 == 6 {
      let (end, overflow) = section.address.addingReportingOverflow(section.size)
      if !overflow { code.append(section.address..<end) }
    }
    index()
    if headers.contains(where: { $0.version < 5 }) {
      // Up to DWARF 4 only `.debug_info` has them.
      for (number, unit) in functions.units.enumerated() {
        if let lines = unit.lines, unit.version < 5, unit.directory != nil { unitsOfTables[lines] = number }
      }
    }
  }

  /// The functions of the file, inlined ones among them; read when they are asked for.
  var functions: FunctionInfo {
    if let knownFunctions { return knownFunctions }
    load()
    var found = InfoSections()
    var splitFiles: SplitFiles?
    if !sequences.isEmpty, let file = open() {
      found = InfoSections(file.sections, strings: sections.strings, lineStrings: sections.lineStrings)
      splitFiles = SplitFiles(file, found, code: code)
    }
    let functions = FunctionInfo(found, code: code, splitFiles)
    knownFunctions = functions
    return functions
  }

  /// Learns which addresses there are.
  private func index() {
    var place = 0
    while place < sections.lines.count, headers.count < LineTable.mostUnits,
      let header = try? LineHeader(sections.lines, at: place)
    {
      // Behind the end of what a recording holds of a file there are zeros.
      if header.isEmpty { break }
      place = header.next
      guard header.isKnown else { continue }
      headers.append(header)
      index(header, Int32(truncatingIfNeeded: headers.count &- 1))
    }
    sequences.sort { ($0.low, $0.high) < ($1.low, $1.high) }
  }

  private func index(_ header: LineHeader, _ unit: Int32) {
    var program = LineProgram(header, sections.lines)
    var number: Int32 = 0
    var (low, high) = (UInt64.max, UInt64(0))
    while let row = try? program.next() {
      low = min(low, row.address)
      high = max(high, row.address)
      guard row.isEnd else { continue }
      if isCode(low), low < high, sequences.count < LineTable.mostSequences {
        sequences.append(Sequence(low: low, high: high, unit: unit, number: number))
      }
      number &+= 1
      (low, high) = (.max, 0)
    }
  }

  private func isCode(_ address: UInt64) -> Bool { code.contains { $0.contains(address) } }

  /// There are lines to ask for.
  public var isEmpty: Bool {
    load()
    return sequences.isEmpty
  }

  /// The compilation's directory, where the table itself does not have it.
  private func directory(of header: LineHeader) -> [UInt8] {
    unitsOfTables[UInt64(header.start)].map { functions.directory(of: $0) } ?? []
  }

  // MARK: Rows of a unit

  private func unit(_ number: Int) -> Unit? {
    if let known = units[number] { return known }
    guard headers.indices.contains(number) else { return nil }
    let header = headers[number]
    let directory = directory(of: header)
    var program = LineProgram(header, sections.lines)
    var rows: [LineRow] = []
    var ranges: [Range<Int>] = []
    var start = 0
    var isOrdered = true
    while rows.count < LineTable.mostRowsOfUnit, let row = try? program.next() {
      if rows.count > start, row.address < rows[rows.count &- 1].address { isOrdered = false }
      rows.append(row)
      guard row.isEnd else { continue }
      if !isOrdered { LineTable.order(&rows[start...]) }
      ranges.append(start..<rows.count)
      (start, isOrdered) = (rows.count, true)
    }
    var files = LineFiles(header, sections)
    for place in program.definitions {
      var cursor = DwarfCursor(sections.lines, base: 0, position: place, end: header.next)
      if let name = try? cursor.cString() { try? files.addFile(name, &cursor) }
    }
    let unit = Unit(files, directory)
    (unit.rows, unit.sequences) = (rows, ranges)
    if keptRows > LineTable.mostRowsKept {
      units = [:]
      keptRows = 0
    }
    units[number] = unit
    keptRows &+= rows.count
    return unit
  }

  /// By address; rows of one address stay in their order.
  private static func order(_ rows: inout ArraySlice<LineRow>) {
    let sorted = rows.enumerated().sorted {
      ($0.element.address, $0.offset) < ($1.element.address, $1.offset)
    }
    rows = ArraySlice(sorted.map(\.element))
  }

  /// The sequence that has `address`, with its unit.
  private func find(_ address: UInt64) -> (unit: Unit, rows: Range<Int>)? {
    load()
    let end = sequences.partitionPoint { $0.low <= address }
    // Damaged or merged code: one further down may reach up to here.
    for place in sequences[..<end].indices.suffix(16).reversed() where address < sequences[place].high {
      guard let unit = unit(Int(sequences[place].unit)),
        unit.sequences.indices.contains(Int(sequences[place].number))
      else { continue }
      return (unit, unit.sequences[Int(sequences[place].number)])
    }
    return nil
  }

  /// The line of the code at `address`; nil where the compiler names none.
  public func line(at address: UInt64) -> SourceLine? {
    guard let (unit, rows) = find(address) else { return nil }
    let next = unit.rows[rows].partitionPoint { $0.address <= address }
    guard next > rows.lowerBound, next < rows.upperBound else { return nil }
    var row = unit.rows[next &- 1]
    // Of several rows at one address the last one counts, one that begins a statement before others.
    var place = next &- 1
    while !row.isStatement, place > rows.lowerBound, unit.rows[place &- 1].address == row.address {
      place &-= 1
      if unit.rows[place].isStatement { row = unit.rows[place] }
    }
    guard row.line != 0, !row.isEnd else { return nil }
    var end = next
    while end &+ 1 < rows.upperBound, unit.rows[end].goesOn { end &+= 1 }
    while row.goesOn, place > rows.lowerBound {
      place &-= 1
      row = unit.rows[place]
    }
    return SourceLine(
      path: unit.path(row.file), line: Int(row.line),
      range: row.address..<unit.rows[end].address, isStatement: row.isStatement)
  }

  /// The path of a file by its number in the table that begins at `start` of its section.
  func path(_ file: Int, ofTableAt start: UInt64) -> [UInt8] {
    let place = headers.partitionPoint { UInt64($0.start) < start }
    guard place < headers.count, UInt64(headers[place].start) == start, let unit = unit(place) else {
      return []
    }
    return unit.path(file)
  }

  // MARK: Code of lines

  /// The units with a file whose path ends in `name`, and its numbers there.
  private func files(named name: [UInt8]) -> [(unit: Int, files: Set<Int>)] {
    if let known = filesByName[name] { return known }
    let wanted = name.first == 47 ? name : [47] + name
    // Most names differ in their last part.
    let last = name.split(separator: 47).last ?? []
    var result: [(unit: Int, files: Set<Int>)] = []
    for (number, header) in headers.enumerated() {
      let files = LineFiles(header, sections)
      var found: Set<Int> = []
      let directory = directory(of: header)
      for index in files.files.indices where files.files[index].name.suffix(last.count).elementsEqual(last) {
        let path = files.path(index, compilation: directory)
        if path == name || path.count >= wanted.count && path.suffix(wanted.count).elementsEqual(wanted) {
          found.insert(index)
        }
      }
      if !found.isEmpty { result.append((number, found)) }
    }
    filesByName[name] = result
    return result
  }

  /// Calls `body` with each row of the file whose path ends in `name`, and the whole path.
  func forEachRow(of name: [UInt8], _ body: ([UInt8], LineRow) -> Void) {
    load()
    for (number, files) in files(named: name) {
      guard let unit = unit(number) else { continue }
      for range in unit.sequences {
        guard let first = range.first, isCode(unit.rows[first].address) else { continue }
        for index in range.dropLast() {
          let row = unit.rows[index]
          if !row.isEnd, row.line != 0, files.contains(row.file) { body(unit.path(row.file), row) }
        }
      }
    }
  }

  /// Where statements of a line of the file whose path ends in `name` begin, in order; and the line itself, which is the next one with
  /// code when that has none.
  public func addresses(of name: [UInt8], line: Int) -> (line: Int, addresses: [UInt64])? {
    guard line > 0 else { return nil }
    var best = Int.max
    var found: Set<UInt64> = []
    forEachRow(of: name) { _, row in
      guard row.isStatement, Int(row.line) >= line, Int(row.line) <= best else { return }
      if Int(row.line) < best { found = [] }
      best = Int(row.line)
      found.insert(row.address)
    }
    return found.isEmpty ? nil : (best, found.sorted())
  }

  /// Rows of the file whose path ends in `name`, by address.
  public func rows(of name: [UInt8]) -> [(address: UInt64, path: [UInt8], line: Int, isStatement: Bool)] {
    var result: [(address: UInt64, path: [UInt8], line: Int, isStatement: Bool)] = []
    forEachRow(of: name) { path, row in result.append((row.address, path, Int(row.line), row.isStatement))
    }
    return result
  }

  /// Calls `body` with all rows of all code: path, line, address, where the next row begins, and whether it begins a statement.
  public func forEachRow(_ body: ([UInt8], Int, Range<UInt64>, Bool) -> Void) {
    load()
    for number in headers.indices {
      guard let unit = unit(number) else { continue }
      for range in unit.sequences {
        guard let first = range.first, isCode(unit.rows[first].address) else { continue }
        for index in range.dropLast() {
          let row = unit.rows[index]
          guard row.line != 0 else { continue }
          let path = unit.path(row.file)
          if path.isEmpty { continue }
          body(
            path, Int(row.line), row.address..<unit.rows[index &+ 1].address, row.isStatement)
        }
      }
    }
  }
}
