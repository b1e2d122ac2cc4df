// The frames that the code of one address stands for in the source: the function that it was compiled for, and those that the compiler
// has put into it. Lines come from the tables of lines and, of callers, from the calls' own words.
import Linux

/// A frame as the source has it.
public struct SourceFrame: Equatable, Sendable {
  /// The function's name as linkers know it, else as the source has it; empty where the compiler does not say.
  public var symbol: [UInt8]
  /// As people read it.
  public var name: String
  /// Where it stands; of callers of inlined functions the range is the call's.
  public var line: SourceLine?
  /// Its code is a part of the next frame's function.
  public var isInlined: Bool
  /// The address is where the code of the call begins.
  public var isStart: Bool
  /// Different for each function and each inlined call of a file.
  public var identity: Int
  /// The code around the address.
  public var range: Range<UInt64>
}

extension [SourceFrame] {
  /// The inlined calls whose code begins at the address of these frames: they are the innermost ones.
  public var beginningCount: Int { prefix { $0.isInlined && $0.isStart }.count }
}

extension LineTable {
  /// The frames of the code at `address`, the innermost first, and last the function that linkers know; none where nothing is known.
  public func frames(at address: UInt64) -> [SourceFrame] {
    var line = line(at: address)
    let (lines, scopes) = functions.scopes(at: address)
    return scopes.map { scope in
      let symbol = scope.linkageName.isEmpty ? scope.name : scope.linkageName
      let readable = SymbolName.readable(symbol)
      // Names that nobody can read here are taken as the source has them.
      let isPlain = scope.linkageName.isEmpty || scope.name.isEmpty || !readable.utf8.starts(with: "_Z".utf8)
      let frame = SourceFrame(
        symbol: symbol, name: isPlain ? readable : LoadError.name(scope.name), line: line,
        isInlined: scope.isInlined, isStart: scope.isStart, identity: scope.identity, range: scope.range)
      line = lines.flatMap { lines in
        let path = path(scope.callFile, ofTableAt: lines)
        guard !path.isEmpty, scope.callLine > 0 else { return nil }
        return SourceLine(path: path, line: scope.callLine, range: scope.range, isStatement: scope.isStart)
      }
      return frame
    }
  }

  /// A number for the innermost function, or inlined call, that `address` belongs to; nil where nothing is known.
  func scopeIdentity(at address: UInt64) -> UInt64? {
    functions.scopes(at: address).scopes.first.map { UInt64($0.identity) | 1 &<< 63 }
  }
}

extension LoadedObjects {
  /// The frames of the code at `address`, the innermost first, with the guest's addresses.
  public func sourceFrames(at address: UInt64) -> [SourceFrame] {
    guard let object = object(at: address) else { return [] }
    return object.lines.frames(at: address &- object.loadBias).map { frame in
      var frame = frame
      frame.range = LoadedObjects.moved(frame.range, by: object.loadBias, around: address)
      let range = frame.line?.range ?? 0..<0
      frame.line?.range = LoadedObjects.moved(range, by: object.loadBias, around: address)
      return frame
    }
  }

  /// A range of a file in the guest. Damaged tables say anything: one that would not fit ends behind its beginning.
  static func moved(_ range: Range<UInt64>, by bias: UInt64, around address: UInt64) -> Range<UInt64> {
    let start = range.lowerBound &+ bias
    let (end, overflow) = start.addingReportingOverflow(range.upperBound &- range.lowerBound)
    return start..<(overflow ? max(start, address &+ 1) : end)
  }
}

extension InfoSections {
  init(_ file: ELFSections, strings: [UInt8], lineStrings: [UInt8]) {
    info = file.plainBytes(named: ".debug_info")
    if info.isEmpty { return }
    abbreviations = file.plainBytes(named: ".debug_abbrev")
    (self.strings, self.lineStrings) = (strings, lineStrings)
    stringOffsets = file.plainBytes(named: ".debug_str_offsets")
    addresses = file.plainBytes(named: ".debug_addr")
    ranges = file.plainBytes(named: ".debug_ranges")
    rangeLists = file.plainBytes(named: ".debug_rnglists")
  }
}
