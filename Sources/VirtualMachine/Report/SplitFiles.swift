// Functions that `-gsplit-dwarf` has left outside the program (DWARF 5 section 7.3.2; before, GNU's DebugFission): the program has skeletons
// of units, which say where code is and what their files are called, and the units are in these files (`.dwo`), or together in a package
// (`.dwp`). Nothing is opened before somebody asks about code of a skeleton. What is found counts if its identity is the skeleton's.
import Linux

/// Finds and keeps the units that a program's skeletons stand for.
final class SplitFiles {
  /// Files and sections that are read in all, and sections that are kept (bytes).
  private static let mostBytes = 1 << 34
  private static let mostKeptBytes = 1 << 29
  /// Of what is known of all files (`FunctionInfo.weight`).
  private static let mostKept = 1 << 23
  private static let mostFiles = 512
  /// What a damaged file counts, whose sections may have cost as much before that was noticed (bytes).
  private static let damage = 1 << 28

  private let paths: DebugPaths
  /// The program's sections: skeletons, addresses, and up to DWARF 4 ranges.
  private let program: InfoSections
  private let code: [Range<UInt64>]
  private lazy var packages = paths.packages.compactMap { SplitPackage($0, paths.open) }
  /// Units by where their skeletons are.
  private var known: [Int: (functions: FunctionInfo, number: Int)] = [:]
  private var missing: Set<Int> = []
  private var files: [Place: File] = [:]
  private var bytesLeft = SplitFiles.mostBytes

  /// A file, or of a package what belongs to one unit.
  private struct Place: Hashable {
    var path: [UInt8]
    var identity: UInt64?
  }

  private struct File {
    var functions: FunctionInfo
    /// What was read for it alone.
    var bytes: Int
  }

  init(_ file: DebugFile, _ program: InfoSections, code: [Range<UInt64>]) {
    (paths, self.program, self.code) = (DebugPaths(file), program, code)
  }

  /// The unit that a skeleton stands for, by its number in a file; nil for what is no skeleton, or where nothing is found.
  func unit(of skeleton: InfoUnit) -> (functions: FunctionInfo, number: Int)? {
    guard let identity = skeleton.identity else { return nil }
    if let (functions, _) = known[skeleton.start],
      let number = functions.unit(identity, inheritingFrom: skeleton)
    {
      return (functions, number)
    }
    if missing.contains(skeleton.start) { return nil }
    makeRoom()
    for place in places(of: skeleton, identity) {
      guard let functions = functions(place), let number = functions.unit(identity, inheritingFrom: skeleton)
      else { continue }
      known[skeleton.start] = (functions, number)
      return (functions, number)
    }
    missing.insert(skeleton.start)
    return nil
  }

  private func makeRoom() {
    var (kept, bytes) = (0, 0)
    for file in files.values {
      kept &+= file.functions.weight
      bytes &+= file.bytes
    }
    if kept > SplitFiles.mostKept || bytes > SplitFiles.mostKeptBytes || files.count >= SplitFiles.mostFiles {
      (known, files) = ([:], [:])
    }
  }

  /// Where a unit may be: in packages first.
  private func places(of skeleton: InfoUnit, _ identity: UInt64) -> [Place] {
    func text(_ value: InfoValue?) -> [UInt8] { value.map { skeleton.text($0, program) } ?? [] }
    let separate = paths.places(of: text(skeleton.splitName), in: text(skeleton.directory))
    return packages.map { Place(path: $0.path, identity: identity) } + separate.map { Place(path: $0) }
  }

  private func functions(_ place: Place) -> FunctionInfo? {
    if let found = files[place] { return found.functions }
    guard bytesLeft > 0, var sections = read(place) else { return nil }
    guard !sections.info.isEmpty else {
      bytesLeft -= SplitFiles.damage
      return nil
    }
    // The strings of a package are there once.
    let strings = place.identity == nil ? sections.strings.count : 0
    let parts = [sections.info, sections.abbreviations, sections.stringOffsets, sections.rangeLists]
    let bytes = parts.reduce(strings) { $0 &+ $1.count }
    bytesLeft -= bytes
    (sections.addresses, sections.ranges) = (program.addresses, program.ranges)
    let functions = FunctionInfo(sections, code: code)
    files[place] = File(functions: functions, bytes: bytes)
    return functions
  }

  /// The sections of a place; nil where there is nothing, empty for damage.
  private func read(_ place: Place) -> InfoSections? {
    if let identity = place.identity {
      return packages.first { $0.path == place.path }?.sections(of: identity)
    }
    guard let file = paths.open(place.path), let sections = ELFSections(anyIn: file) else { return nil }
    bytesLeft -= Int(min(file.size, UInt64(SplitFiles.mostBytes)))
    return InfoSections(split: sections)
  }
}

extension InfoSections {
  /// Those of a `.dwo` file, none if one of them is damaged; addresses are the program's.
  fileprivate init(split file: ELFSections) {
    info = file.allPlainBytes(named: ".debug_info.dwo")
    var isDamaged = info.isEmpty
    func read(_ name: StaticString) -> [UInt8] {
      if isDamaged { return [] }
      let bytes = file.plainBytes(named: name)
      isDamaged = bytes.isEmpty && file.section(named: name).map { $0.size > 0 } ?? false
      return bytes
    }
    abbreviations = read(".debug_abbrev.dwo")
    strings = read(".debug_str.dwo")
    stringOffsets = read(".debug_str_offsets.dwo")
    rangeLists = read(".debug_rnglists.dwo")
    if isDamaged { info = [] }
  }
}

/// Where files are looked for that belong to a program.
private struct DebugPaths {
  let open: ([UInt8]) -> ExecutableFile?
  /// The program and, where that is another file, what has its tables.
  private let paths: [[UInt8]]

  init(_ file: DebugFile) {
    open = file.open
    paths = file.path == file.program ? [file.program] : [file.program, file.path]
  }

  /// The folder of a path, with a slash at the end, and the name in it.
  private static func parts(_ path: [UInt8]) -> (folder: ArraySlice<UInt8>, name: ArraySlice<UInt8>) {
    let start = path.lastIndex(of: 47).map { $0 &+ 1 } ?? 0
    return (path[..<start], path[start...])
  }

  private static func unique(_ paths: [[UInt8]]) -> [[UInt8]] {
    var seen: Set<[UInt8]> = []
    return paths.filter { seen.insert($0).inserted }
  }

  /// Packages: a program's name with `.dwp` behind it, beside the program or its separate file, and the same of that one's name.
  var packages: [[UInt8]] {
    let suffix = Array(".dwp".utf8)
    var result = paths.map { $0 + suffix }
    for path in paths.dropFirst() {
      result.append(Array(DebugPaths.parts(path).folder) + DebugPaths.parts(paths[0]).name + suffix)
    }
    return DebugPaths.unique(result)
  }

  /// A `.dwo` file by its name and the directory that it was compiled in: there, and beside the program and its separate file.
  func places(of name: [UInt8], in directory: [UInt8]) -> [[UInt8]] {
    if name.isEmpty { return [] }
    let slash: [UInt8] = [47]
    let isAbsolute = name[0] == 47
    var result = isAbsolute ? [name] : []
    let inside = directory.isEmpty || isAbsolute ? name : directory + slash + name
    if inside[0] == 47 { result.append(inside) }
    for path in paths {
      let folder = DebugPaths.parts(path).folder
      if inside[0] != 47 { result.append(folder + inside) }
      if !isAbsolute { result.append(folder + name) }
      result.append(Array(folder) + DebugPaths.parts(name).name)
    }
    return DebugPaths.unique(result)
  }
}
