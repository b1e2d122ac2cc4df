// `vitrine disassemble`: prints the machine code of an ELF file, of a function or of a range of addresses.
// The output is asked for, so it goes to standard output.
import Linux
import VirtualMachine
import X86

struct DisassembleCommand {
  private var path: [UInt8] = []
  private var symbol: [UInt8]?
  private var range: Range<UInt64>?
  private var syntax = Disassembler.Syntax.intel
  /// The table of source lines in place of code.
  private var showsLines = false
  /// The functions of each row, too.
  private var showsFunctions = false

  static func run(_ words: [[UInt8]]) -> Int32 {
    withUsage(HelpText.disassembleUsage, topic: "disassemble") { () throws(UsageError) in
      var command = DisassembleCommand()
      guard try command.parse(words) else {
        Terminal.write(HelpText.disassemble, to: 1)
        return 0
      }
      guard let problem = command.list() else { return 0 }
      Terminal.complain(problem)
      return ownFailureCode
    }
  }

  /// False when help is wanted.
  private mutating func parse(_ words: [[UInt8]]) throws(UsageError) -> Bool {
    var reader = WordReader(words)
    while let option = reader.nextOption() {
      switch option.name {
      case "-h", "--help": return false
      case "--symbol": symbol = try reader.bytes(of: option)
      case "--range": range = try DisassembleCommand.range(try reader.text(of: option))
      case "--syntax": syntax = try RunCommand.syntax(try reader.text(of: option))
      case "--lines":
        try reader.requireNoValue(option)
        showsLines = true
      case "--inlined":
        try reader.requireNoValue(option)
        (showsLines, showsFunctions) = (true, true)
      default: throw UsageError("unknown option: \(shown(option.name))")
      }
    }
    let operands = reader.operands()
    guard operands.count == 1 else {
      throw UsageError(operands.isEmpty ? "no file to disassemble" : "more than one file")
    }
    if symbol != nil, range != nil { throw UsageError("--symbol and --range exclude each other") }
    path = operands[0]
    return true
  }

  private static func range(_ text: String) throws(UsageError) -> Range<UInt64> {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let low = parseNumber(parts[0]), let high = parseNumber(parts[1]), low <= high
    else {
      throw UsageError("--range needs A-B, two addresses, not \(shown(text))")
    }
    return low..<high
  }

  /// Prints; what went wrong, or nil.
  private func list() -> String? {
    let sections: ELFSections
    do {
      let file = try ExecutableFile(path: path)
      sections = ELFSections(try ELFHeader(of: file), in: file)
    } catch let error as LoadError {
      return error.description
    } catch {
      return describe(error)
    }
    let symbols = SymbolTable(sections)
    var wanted = range
    if showsLines, symbol == nil { return listLines(sections) }
    if let name = symbol {
      if let found = symbols.symbol(named: name), let end = symbols.end(of: found) {
        wanted = found.address..<max(end, found.address)
      } else {
        let places = LineTable(sections, path: path).places(named: name)
        guard let function = places.first(where: { !$0.isInlined }) else {
          return "\(LoadError.name(path)): \(DisassembleCommand.problem(name, places, symbols))"
        }
        wanted = function.ranges.first
      }
    }
    if showsLines { return listLines(sections, wanted) }
    let listing = CodeListing(symbols: symbols, syntax: syntax)
    var isEmpty = true
    for section in sections.all where section.isExecutable || (wanted != nil && section.flags & 2 != 0) {
      if print(section, of: sections, wanted, listing) { isEmpty = false }
    }
    if !isEmpty { return nil }
    return "\(LoadError.name(path)): no code " + (wanted == nil ? "sections" : "there")
  }

  /// Why there is no function called `name`: only copies of it in others, perhaps.
  private static func problem(_ name: [UInt8], _ copies: [FunctionPlace], _ symbols: SymbolTable) -> String {
    if copies.isEmpty { return "no symbol \(LoadError.name(name))" }
    let shown = copies.prefix(8).map { copy in
      let place = symbols.describe(copy.address, shownAs: copy.address)
      return "0x\(String(copy.address, radix: 16))" + (place.map { " (\($0))" } ?? "")
    }
    let rest = copies.count > shown.count ? " and \(copies.count - shown.count) more places" : ""
    return "\(LoadError.name(name)) has no code of its own, it is inlined at " + shown.joined(separator: ", ")
      + rest + "; see them with --range"
  }

  /// Prints the rows of the tables of source lines.
  private func listLines(_ sections: ELFSections, _ function: Range<UInt64>? = nil) -> String? {
    let wanted = function ?? range
    let table = LineTable(sections, path: path)
    if table.isEmpty {
      return "\(LoadError.name(path)): no table of source lines, here or in a separate file"
    }
    var text = ""
    table.forEachRow { path, line, addresses, isStatement in
      if let wanted, !wanted.overlaps(addresses), !wanted.contains(addresses.lowerBound) { return }
      if showsFunctions {
        text += "0x\(String(addresses.lowerBound, radix: 16))"
        for frame in table.frames(at: addresses.lowerBound) { text += "\t" + DisassembleCommand.place(frame) }
        text += "\n"
      } else {
        let begins = isStatement ? "\tstatement" : ""
        text += "0x\(String(addresses.lowerBound, radix: 16))\t\(LoadError.name(path)):\(line)\(begins)\n"
      }
      if text.utf8.count > 1 << 16 {
        Terminal.write(text, to: 1)
        text = ""
      }
    }
    Terminal.write(text, to: 1)
    return nil
  }

  /// `function at /path/file.c:12`
  private static func place(_ frame: SourceFrame) -> String {
    let name = frame.symbol.isEmpty ? "?" : LoadError.name(frame.symbol)
    return name + (frame.line.map { " at \(LoadError.name($0.path)):\($0.line)" } ?? "")
  }

  private func describe(_ error: any Error) -> String {
    switch error as? ExecutableFile.OpenError {
    case .host(let number): return LoadError.file(path: path, number: number).description
    case .notRegular(let isDirectory):
      return LoadError.notRegular(path: path, isDirectory: isDirectory).description
    case nil: return "\(LoadError.name(path)): cannot be read"
    }
  }

  /// Prints the part of a section that is wanted; false when there is none.
  private func print(
    _ section: ELFSection, of sections: ELFSections, _ wanted: Range<UInt64>?, _ listing: CodeListing
  ) -> Bool {
    let bytes = sections.bytes(of: section)
    let end = section.address &+ UInt64(truncatingIfNeeded: bytes.count)
    guard end > section.address else { return false }
    let part = (wanted ?? section.address..<end).clamped(to: section.address..<end)
    if part.isEmpty { return false }
    var text = "section \(LoadError.name(section.name)):\n"
    bytes.withUnsafeBytes { buffer in
      let first = Int(truncatingIfNeeded: part.lowerBound &- section.address)
      let last = Int(truncatingIfNeeded: part.upperBound &- section.address)
      listing.lines(UnsafeRawBufferPointer(rebasing: buffer[first..<last]), at: part.lowerBound) { line in
        text += line + "\n"
        if text.utf8.count > 1 << 16 {
          Terminal.write(text, to: 1)
          text = ""
        }
      }
    }
    Terminal.write(text, to: 1)
    return true
  }
}
