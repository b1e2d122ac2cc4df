// Units outside a program, by hand: in `.dwo` files and in packages of both versions, right and wrong ones; and that damage does no more than
// make functions missing.
import Glibc
import Linux
import Testing

@testable import VirtualMachine

private func long(_ value: UInt64) -> [UInt8] {
  value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f) | 0x80] + long(value >> 7)
}

/// A unit of `.debug_info` with its length.
private func unit(_ body: [UInt8]) -> [UInt8] { little(UInt64(body.count), 4) + body }

/// An object file with these sections.
private func objectFile(_ sections: [(name: String, bytes: [UInt8])]) -> [UInt8] {
  var (bodies, table): ([UInt8], [UInt8]) = ([], [])
  let names = sections.flatMap { Array($0.name.utf8) + [0] } + Array(".shstrtab\0".utf8)
  var name = 0
  for section in sections + [(".shstrtab", names)] {
    table += little(UInt64(name), 4) + little(1, 4) + little(0, 16) + little(UInt64(64 + bodies.count), 8)
    table += little(UInt64(section.bytes.count), 8) + little(0, 8) + little(1, 8) + little(0, 8)
    bodies += section.bytes
    name += section.name.utf8.count + 1
  }
  let header: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + little(0, 9) + little(1, 2) + little(62, 2)
  let places = little(1, 4) + little(0, 16) + little(UInt64(64 + bodies.count), 8) + little(0, 4)
  let counts = [64, 0, 0, 64, sections.count + 1, sections.count].flatMap { little(UInt64($0), 2) }
  return header + places + counts + bodies + table
}

/// Files in a folder of their own, which goes away with them.
private final class Folder {
  let path: String

  init() {
    var template = Array("/tmp/vitrine-split-XXXXXX".utf8CString)
    if mkdtemp(&template) == nil { template = [0] }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = system("rm -rf '\(path)'") }

  func write(_ name: String, _ bytes: [UInt8]) {
    guard let file = fopen("\(path)/\(name)", "w") else { return }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
  }

  func remove(_ name: String) { unlink("\(path)/\(name)") }
}

/// A function at 0x1000 up to 0x1040 with an inlined call at 0x1010 up to 0x1020, whose unit is outside the program; and at 0x1800 the same,
/// because the unit has been linked twice.
private struct Example {
  static let identity: UInt64 = 0x1234_5678_9abc_def0
  let isNew: Bool
  var program = InfoSections()
  /// `.debug_info`, `.debug_abbrev`, `.debug_str_offsets`, `.debug_rnglists`, `.debug_str`
  var parts: [[UInt8]] = []
  static let names = ["info", "abbrev", "str_offsets", "rnglists", "str"].map { ".debug_\($0).dwo" }

  /// DWARF 5, or 4 with what GNU had added.
  init(isNew: Bool) {
    self.isNew = isNew
    func header(_ kind: UInt8) -> [UInt8] {
      isNew
        ? little(5, 2) + [kind, 8] + little(0, 4) + little(Example.identity, 8)
        : little(4, 2) + little(0, 4) + [8]
    }
    let old = isNew ? [] : little(Example.identity, 8)
    // Of the skeleton: low, high, name of the file, addresses; and before DWARF 5 its ranges and its identity.
    let (name, addresses) = isNew ? (UInt64(0x76), UInt64(0x73)) : (0x2130, 0x2133)
    program.abbreviations = [1] + long(isNew ? 0x4a : 0x11) + [0, 0x11, 0x01, 0x12, 0x0b]
    program.abbreviations += long(name) + [0x08] + long(addresses) + [0x17]
    program.abbreviations += isNew ? [] : long(0x2132) + [0x17] + long(0x2131) + [0x07]
    program.abbreviations += [0, 0, 0]
    for (low, addresses) in [(UInt64(0x1000), UInt64(16)), (0x1800, 24)] {
      program.info += unit(
        header(4) + [1] + little(low, 8) + [0x40] + Array("unit.dwo\0".utf8) + little(addresses, 4)
          + (isNew ? [] : little(32, 4)) + old)
    }
    program.addresses = little(9, 8) + little(8, 8) + little(0x1000, 8) + little(0x1800, 8)
    // Pairs count from the skeleton's low address; those of others are in front.
    program.ranges = little(7, 32) + little(0x10, 8) + little(0x20, 8) + little(0, 16)
    readUnit(header(5), old)
  }

  /// 1: unit; 2: abstract function with a name; 3: function (name, low, high); 4: inlined call (origin, ranges, line).
  private mutating func readUnit(_ header: [UInt8], _ old: [UInt8]) {
    let (string, address) = isNew ? (UInt64(0x1a), UInt64(0x1b)) : (0x1f02, 0x1f01)
    var abbreviations: [UInt8] = [1, 0x11, 1] + (isNew ? [] : long(0x2131) + [0x07]) + [0, 0]
    abbreviations += [2, 0x2e, 0, 0x03] + long(string) + [0, 0]
    abbreviations += [3, 0x2e, 1, 0x03] + long(string) + [0x11] + long(address) + [0x12, 0x0b, 0, 0]
    abbreviations += [4, 0x1d, 0, 0x31, 0x13, 0x55, isNew ? 0x23 : 0x17, 0x59, 0x0b, 0, 0, 0]
    var body = header + [1] + old
    let inner = UInt64(body.count + 4)
    body += [2, 0, 3, 1, 0, 0x40, 4] + little(inner, 4) + (isNew ? [0] : little(0, 4)) + [9, 0, 0]
    let offsets = (isNew ? little(12, 4) + little(5, 4) : []) + little(0, 4) + little(6, 4)
    // An offset pair, and the end.
    let list: [UInt8] = [4, 0x10, 0x20, 0]
    let lists = unit(little(5, 2) + [8, 0] + little(1, 4) + little(4, 4) + list)
    parts = [unit(body), abbreviations, offsets, isNew ? lists : [], Array("inner\0outer\0".utf8)]
  }

  /// The unit as a `.dwo` file.
  var file: [UInt8] { objectFile(zip(Example.names, parts).map { ($0, $1) }) }

  /// The unit in a package, behind parts of others, in the third slot that is looked at.
  var package: [UInt8] {
    let foreign = [UInt8](repeating: 0xee, count: 24)
    let columns: [(section: UInt64, part: Int)] = [(1, 0), (3, 1), (6, 2), (8, 3)]
    var index = little(isNew ? 5 : 2, 4) + little(4, 4) + little(2, 4) + little(8, 4)
    let first = Int(Example.identity & 7)
    let step = Int(Example.identity >> 32 & 7) | 1
    var (identities, rows) = ([UInt64](repeating: 0, count: 8), [UInt64](repeating: 0, count: 8))
    for probe in 0..<3 {
      let slot = (first + probe * step) & 7
      (identities[slot], rows[slot]) = probe == 2 ? (Example.identity, 2) : (UInt64(probe + 1), 1)
    }
    index += identities.flatMap { little($0, 8) } + rows.flatMap { little($0, 4) }
    index += columns.flatMap { little($0.section, 4) }
    index += columns.flatMap { _ in little(0, 4) } + columns.flatMap { _ in little(24, 4) }
    index += columns.flatMap { _ in little(24, 4) }
    index += columns.flatMap { little(UInt64(parts[$0.part].count), 4) }
    let moved = zip(Example.names, parts).map { ($0, $0 == ".debug_str.dwo" ? $1 : foreign + $1) }
    return objectFile(moved + [(".debug_cu_index", index)])
  }

  /// Names of the functions at an address, as the files of the folder have them.
  func names(_ address: UInt64, _ folder: Folder) throws -> [String] {
    try functions(folder).scopes(at: address).scopes.map { String(decoding: $0.name, as: UTF8.self) }
  }

  func functions(_ folder: Folder) throws -> FunctionInfo {
    let path = Array("\(folder.path)/program".utf8)
    let program = try ExecutableFile(path: path)
    let file = DebugFile(program: path, sections: try #require(ELFSections(anyIn: program))) {
      try? ExecutableFile(path: $0)
    }
    let code: [Range<UInt64>] = [0x1000..<0x2000]
    return FunctionInfo(self.program, code: code, SplitFiles(file, self.program, code: code))
  }
}

@Suite struct SplitTests {
  @Test(arguments: [false, true]) func readsUnitsElsewhere(isNew: Bool) throws {
    let example = Example(isNew: isNew)
    for (name, bytes) in [("unit.dwo", example.file), ("program.dwp", example.package)] {
      let folder = Folder()
      folder.write("program", objectFile([]))
      #expect(try example.names(0x1010, folder) == [])
      folder.write(name, bytes)
      #expect(try example.names(0x1000, folder) == ["outer"])
      #expect(try example.names(0x1010, folder) == ["inner", "outer"])
      #expect(try example.names(0x1020, folder) == ["outer"] && example.names(0x1040, folder) == [])
      let scopes = try example.functions(folder).scopes(at: 0x101f).scopes
      #expect(scopes.map(\.callLine) == [9, 0] && scopes.map(\.isInlined) == [true, false])
      #expect(scopes.first?.range == 0x1010..<0x1020)
    }
  }

  /// Each question forgets what the other skeleton said, and none uses up what there is for ranges.
  @Test(arguments: [false, true]) func readsUnitsOfTwoSkeletons(isNew: Bool) throws {
    let example = Example(isNew: isNew)
    let folder = Folder()
    folder.write("program", objectFile([]))
    folder.write("unit.dwo", example.file)
    let functions = try example.functions(folder)
    for number in 0..<6000 {
      let base: UInt64 = number & 1 == 0 ? 0x1000 : 0x1800
      let ranges = functions.scopes(at: base + 0x10).scopes.map(\.range)
      try #require(ranges == [base + 0x10..<base + 0x20, base..<base + 0x40])
    }
  }

  @Test(arguments: [false, true]) func refusesOtherBuilds(isNew: Bool) throws {
    let example = Example(isNew: isNew)
    let wanted = little(Example.identity, 8)
    for (name, bytes) in [("unit.dwo", example.file), ("program.dwp", example.package)] {
      let folder = Folder()
      folder.write("program", objectFile([]))
      for place in bytes.indices where bytes[place...].starts(with: wanted) {
        var other = bytes
        other[place + 3] ^= 1
        folder.write(name, other)
        #expect(try example.names(0x1010, folder) == [])
      }
      // What is in the package is taken from there, and what is not from the file.
      folder.write("program.dwp", objectFile([(".debug_cu_index", little(5, 16))]))
      folder.write("unit.dwo", example.file)
      #expect(try example.names(0x1010, folder) == ["inner", "outer"])
      folder.remove("program.dwp")
      folder.write("unit.dwo", Array(example.file.prefix(200)))
      #expect(try example.names(0x1010, folder) == [])
    }
  }

  @Test func findsNothingInBadIndices() {
    #expect(SplitIndex([]) == nil && SplitIndex(little(4, 16)) == nil)
    // Slots that are no power of two, more columns than there can be, a table without an end.
    #expect(SplitIndex(little(5, 4) + little(1, 4) + little(1, 4) + little(3, 4)) == nil)
    #expect(SplitIndex(little(5, 4) + little(65, 4) + little(1, 4) + little(2, 4)) == nil)
    let full = [2, 1, 1, 2].flatMap { little($0, 4) } + little(7, 16) + little(1, 4) + little(1, 4)
    #expect(SplitIndex(full)?.parts(of: 8) == nil && SplitIndex(full)?.parts(of: 7) == nil)
    let huge = little(2, 4) + little(64, 4) + little(0xffff_ffff, 4) + little(0x8000_0000, 4)
    #expect(SplitIndex(huge)?.parts(of: 8) == nil)
  }

  @Test(arguments: [false, true]) func survivesDamage(isNew: Bool) throws {
    var numbers = RandomNumbers()
    func random(_ limit: Int) -> Int { numbers.next(below: limit) }
    let example = Example(isNew: isNew)
    let folder = Folder()
    folder.write("program", objectFile([]))
    for (name, whole) in [("unit.dwo", example.file), ("program.dwp", example.package)] {
      var known = 0
      for _ in 0..<2000 {
        var bytes = whole
        for _ in 0...random(4) { bytes[random(bytes.count)] = UInt8(random(3) == 0 ? 255 : random(256)) }
        if random(8) == 0 { bytes.removeLast(random(bytes.count)) }
        folder.write(name, bytes)
        let functions = try example.functions(folder)
        for address in stride(from: UInt64(0x1000), to: 0x1040, by: 4) {
          let scopes = functions.scopes(at: address).scopes
          #expect(scopes.count <= bytes.count)
          known += scopes.count
        }
      }
      #expect(known > 2000)
      folder.remove(name)
    }
  }
}
