// The ELF files that are mapped into a guest, with their symbols and unwind tables: what a debugger needs to name addresses and to
// walk stacks across libraries. Files are found by the guest's mappings, so that neither the dynamic loader's list nor its help is
// needed, and read once. Everything the files hold may be wrong; then names are missing.
import CHost
import GuestMemory
import Linux

/// One mapped file.
public final class LoadedObject {
  public let path: [UInt8]
  /// What is added to the file's addresses.
  public let loadBias: UInt64
  /// Symbols at the addresses where the guest has them.
  public let symbols: SymbolTable
  let callFrames: CallFrameTable
  /// Source lines, at the file's addresses; read when first asked for.
  public let lines: LineTable

  init(
    _ path: [UInt8], _ sections: ELFSections?, _ header: ELFHeader?, loadBias: UInt64, _ lines: LineTable
  ) {
    self.path = path
    self.loadBias = loadBias
    self.lines = lines
    if let sections, let header {
      symbols = SymbolTable(sections).moved(by: loadBias)
      callFrames = CallFrameTable(sections, header: header)
    } else {
      symbols = SymbolTable([ELFSymbol]())
      callFrames = CallFrameTable([], address: 0)
    }
  }

  /// The path's last component.
  public var name: String { LoadError.name(Array(path.split(separator: 47).last ?? [])) }
}

/// A frame of a guest's stack.
public struct StackFrame: Equatable, Sendable {
  /// Where it stands, or will go on.
  public var address: UInt64
  /// Where to look for its function: inside the call for a return address.
  public var lookup: UInt64
  /// RSP as the frame has it.
  public var stackPointer: UInt64
  /// Between it and the frame that it was found from a signal was delivered.
  public var isBehindSignal: Bool
  /// Found by RBP alone, which may be wrong.
  public var isGuess: Bool
}

/// The mapped files of one address space.
public final class LoadedObjects {
  private static let frameLimit = 512
  private let memory: AddressSpace
  private let open: (Backing) -> Int64
  private let openPath: ([UInt8]) -> Int64
  private let shownPath: ([UInt8]) -> [UInt8]
  private var sources: [[UInt8]: SourceText] = [:]
  private var known: [Key: LoadedObject] = [:]
  /// Ordered by address; made anew when mappings have changed.
  private var ranges: [(range: Range<UInt64>, object: LoadedObject)] = []
  private var mappings: [Region] = []

  private struct Key: Hashable {
    var path: [UInt8]
    var base: UInt64
  }

  /// `open` gives a host descriptor of a mapped file, which is closed here, or -errno; `openPath` does so of any file by its path:
  /// a mapped one's whole contents, separate debug information, sources. `shownPath` makes of the path that a mapping has the one that
  /// these want.
  public init(
    _ memory: AddressSpace, open: @escaping (Backing) -> Int64, openPath: @escaping ([UInt8]) -> Int64,
    shownPath: @escaping ([UInt8]) -> [UInt8] = { $0 }
  ) {
    (self.memory, self.open, self.openPath, self.shownPath) = (memory, open, openPath, shownPath)
  }

  public convenience init(_ process: LinuxProcess) {
    func open(_ path: [UInt8]) -> Int64 { LoadedObjects.open(path, process) }
    self.init(process.memory, open: { open($0.path) }, openPath: open, shownPath: process.shownPath)
  }

  private static func open(_ path: [UInt8], _ process: LinuxProcess) -> Int64 {
    // O_CLOEXEC, O_NONBLOCK, O_NOCTTY: damaged files name pipes and terminals, too.
    process.openForObserver(path, flags: 0x80900, mode: 0)
  }

  /// A file of the guest's, for reading.
  static func file(_ path: [UInt8], _ process: LinuxProcess) -> ExecutableFile? {
    file(open(path, process), path)
  }

  /// Looks at the mappings again.
  public func refresh() {
    let now = memory.regions().filter { $0.backing != 0 }
    if now == mappings { return }
    mappings = now
    func file(of region: Region) -> Backing? {
      guard var file = memory.backing(region.backing) else { return nil }
      file.path = shownPath(file.path)
      return file
    }
    let withCode = Set(now.filter { $0.permissions.contains(.execute) }.compactMap { file(of: $0)?.path })
    var found: [(range: Range<UInt64>, object: LoadedObject)] = []
    var base: UInt64 = 0
    for region in now {
      guard let file = file(of: region), !file.path.isEmpty else { continue }
      // A file's first mapping is that of its beginning.
      if region.offset == 0 { base = region.start }
      if base == 0 || !withCode.contains(file.path) { continue }
      let key = Key(path: file.path, base: base)
      let object = known[key] ?? read(file, at: base)
      known[key] = object
      found.append((region.start..<region.end, object))
    }
    ranges = found
  }

  /// Looks at the mappings again when what is mapped at `address` is not what it was.
  public func refresh(at address: UInt64) {
    guard let region = memory.query(address), region.backing != 0 else { return }
    let next = mappings.partitionPoint { $0.start <= address }
    if next == 0 || mappings[next &- 1] != region { refresh() }
  }

  private func read(_ mapped: Backing, at base: UInt64) -> LoadedObject {
    let path = mapped.path
    guard let (header, sections) = LoadedObjects.sections(open(mapped), path) else {
      return LoadedObject(path, nil, nil, loadBias: base, LineTable { nil })
    }
    let lowest = (try? ProgramHeaders(of: header, in: sections.file, limit: 1 << 47))?.lowest ?? 0
    let bias = header.isPositionIndependent ? base &- lowest & ~Page.mask : 0
    // The file is not kept open; when its lines are asked for it has to be the same one still.
    let (identity, size) = (sections.buildIdentity, sections.file.size)
    let lines = LineTable { [openPath] in
      guard let now = LoadedObjects.sections(openPath(path), path)?.sections, now.file.size == size,
        identity == nil || now.buildIdentity == identity
      else { return nil }
      return now.withLines(path) { LoadedObjects.file(openPath($0), $0) }
    }
    return LoadedObject(path, sections, header, loadBias: bias, lines)
  }

  /// The file of a descriptor, which is closed.
  private static func file(_ descriptor: Int64, _ path: [UInt8]) -> ExecutableFile? {
    guard descriptor >= 0 else { return nil }
    defer { HostCall.close(Int32(truncatingIfNeeded: descriptor)) }
    return try? ExecutableFile(path: path, at: Array("/proc/self/fd/\(descriptor)".utf8))
  }

  private static func sections(
    _ descriptor: Int64, _ path: [UInt8]
  ) -> (header: ELFHeader, sections: ELFSections)? {
    guard let file = file(descriptor, path), let header = try? ELFHeader(of: file) else { return nil }
    return (header, ELFSections(header, in: file))
  }

  public var all: [LoadedObject] {
    var seen = Set<ObjectIdentifier>()
    return ranges.map(\.object).filter { seen.insert(ObjectIdentifier($0)).inserted }
  }

  /// The file that is mapped at `address`.
  public func object(at address: UInt64) -> LoadedObject? {
    let next = ranges.partitionPoint { $0.range.lowerBound <= address }
    if next > 0, ranges[next &- 1].range.contains(address) { return ranges[next &- 1].object }
    // Zeroed data behind a file's last mapping.
    guard next > 0, address &- ranges[next &- 1].range.upperBound < 1 << 20,
      memory.query(address)?.backing == 0
    else { return nil }
    return ranges[next &- 1].object
  }

  /// The symbol that contains `address`.
  public func symbol(at address: UInt64) -> ELFSymbol? {
    object(at: address)?.symbols.nearest(to: address)
  }

  /// `name` or `name+0x12`; nil where nothing has a name.
  public func describe(_ address: UInt64, lookup: UInt64? = nil) -> String? {
    object(at: lookup ?? address)?.symbols.describe(lookup ?? address, shownAs: address)
  }

  // MARK: Source lines

  /// The address of a symbol, of a line written as `file.c:12`, or of a function that is only inlined: of the first place where its code
  /// begins.
  public func address(named name: String) -> UInt64? {
    if let symbol = symbol(named: name) { return symbol.address }
    if let (file, line) = LoadedObjects.fileAndLine(name) {
      return addresses(of: file, line: line)?.addresses.first
    }
    return functionPlaces(named: name).first?.address
  }

  /// The parts of `file.c:12`.
  public static func fileAndLine(_ text: some StringProtocol) -> (file: [UInt8], line: Int)? {
    guard let colon = text.lastIndex(of: ":"), colon > text.startIndex,
      let line = Int(text[text.index(after: colon)...]), line > 0
    else { return nil }
    return (Array(text[..<colon].utf8), line)
  }

  /// The line of the code at `address`; its range is the guest's.
  public func line(at address: UInt64) -> SourceLine? {
    guard let object = object(at: address) else { return nil }
    guard var line = object.lines.line(at: address &- object.loadBias) else { return nil }
    line.range = LoadedObjects.moved(line.range, by: object.loadBias, around: address)
    return line
  }

  /// ` at file.c:12`, or nothing.
  public func describeLine(_ address: UInt64) -> String { line(at: address).map { " at \($0.text)" } ?? "" }

  /// Where a line of the file whose path ends in `name` begins, for each function, and each inlined call, that has a part of it; of a
  /// line without code the next one's. Nil where no mapped file has lines of such a source.
  public func addresses(of name: [UInt8], line: Int) -> (line: Int, addresses: [UInt64])? {
    var best: (line: Int, addresses: [UInt64])?
    for object in all {
      guard let found = object.lines.addresses(of: name, line: line) else { continue }
      if let known = best, known.line <= found.line { continue }
      var functions: Set<UInt64> = []
      var places: [UInt64] = []
      for address in found.addresses.map({ $0 &+ object.loadBias }) {
        // What the compiler has put elsewhere is there as often as it was called.
        let scope = object.lines.scopeIdentity(at: address &- object.loadBias)
        let function = scope ?? object.symbols.nearest(to: address)?.address
        if let function, !functions.insert(function).inserted { continue }
        places.append(address)
      }
      best = (found.line, places)
    }
    return best
  }

  /// The text of a source; nil where it cannot be read.
  public func source(_ path: [UInt8]) -> SourceText? {
    if let known = sources[path] { return known.isEmpty ? nil : known }
    var text = SourceText([])
    if let file = LoadedObjects.file(openPath(path), path), file.size <= SourceText.largest {
      text = SourceText(file.read(at: 0, count: Int(file.size)))
    }
    sources[path] = text
    return text.isEmpty ? nil : text
  }

  /// A symbol's name as people read it.
  public static func readable(_ symbol: ELFSymbol) -> String { SymbolName.readable(symbol.name) }

  /// The place of a symbol: the program's own one before those of libraries.
  public func symbol(named name: String) -> ELFSymbol? {
    let wanted = Array(name.utf8)
    for object in all {
      if let found = object.symbols.symbol(named: wanted) { return found }
    }
    return nil
  }

  /// The frames of the thread on `cpu`, outwards.
  public func frames(_ cpu: UnsafePointer<vt_cpu_state>) -> [StackFrame] {
    let unwinder = Unwinder(
      memory: SpaceMemory(space: memory), frameLimit: LoadedObjects.frameLimit
    ) { [self] address in object(at: address).map { ($0.callFrames, $0.loadBias) } }
    var pointers: [UInt64] = []
    let frames = unwinder.backtrace(UnwindRegisters(cpu)) { pointers.append($0[UnwindRegisters.rsp]) }
    return zip(frames, pointers).map { frame, pointer in
      StackFrame(
        address: frame.address, lookup: frame.lookup, stackPointer: pointer,
        isBehindSignal: frame.origin == .signal, isGuess: frame.origin == .framePointer)
    }
  }
}
