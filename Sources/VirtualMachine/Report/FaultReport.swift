// The report of a guest that was killed: what happened and where, the registers, the instruction, the memory
// around the address, a backtrace. Written for people, on standard error. Only reads; it must not fail
// whatever state the guest left behind, and its size is bounded.
import CHost
import GuestMemory
import Linux
import LinuxABI
import X86

/// What to report of a guest that a signal killed.
public struct FaultReport {
  private let program: LoadedProgram
  private let space: AddressSpace
  private let cpu: UnsafePointer<vt_cpu_state>
  private let signal: Int32
  private let fault: GuestFault?
  private let files: ReportSymbols
  /// Colour, with the escape sequences of ECMA-48.
  public var useColour = false
  public var showVectors = false

  /// Frames that are looked for, and lines that are shown; equal frames in a row make one line.
  private static let frameLimit = 4096
  private static let lineLimit = 64

  /// `fault` is nil for a signal that was sent. Reads the program's file again for its symbols, and those of the libraries that are
  /// mapped; `path` is the guest's for it, by which `open` opens it, and others that belong to it.
  public init(
    signal: Int32, fault: GuestFault?, cpu: UnsafePointer<vt_cpu_state>, space: AddressSpace,
    program: LoadedProgram, path: [UInt8], libraries: LoadedObjects? = nil,
    open: @escaping ([UInt8]) -> ExecutableFile?
  ) {
    self.signal = signal
    self.fault = fault
    self.cpu = cpu
    self.space = space
    self.program = program
    files = ReportSymbols(program, path, libraries, open)
  }

  /// Whether there is anything to say: Ctrl-C and a reader that went away are no news.
  public static func isWanted(signal: Int32) -> Bool { signal != Signal.interrupt && signal != Signal.pipe }

  /// A sent signal that asks the program to end, not one by which it or the kernel complains.
  private var isRequest: Bool {
    fault == nil && ![Signal.abort, Signal.systemCall, Signal.trap, 3].contains(signal)
      && ![Signal.segmentation, Signal.bus, Signal.illegal, Signal.floatingPoint].contains(signal)
  }

  /// The whole report, ending with a line feed; one line when the signal was a request to end.
  public func text() -> String {
    let rip = cpu.pointee.rip
    var lines: [String] = []
    lines.append(
      strong("guest killed by \(Signal.name(signal))") + ": " + LoadError.name(program.executablePath))
    if isRequest { return lines[0] + "\n" }
    if let fault { lines.append("  " + FaultText(fault: fault, rip: rip, space: space).sentence) }
    lines.append("  at \(rip.hexadecimal)" + place(rip, shownAs: rip))
    lines += instructionLines(rip)
    lines.append(heading("registers"))
    lines += RegisterText(cpu: cpu).lines
    if showVectors { lines += RegisterText(cpu: cpu).vectorLines }
    lines += memoryLines(rip)
    lines.append(heading("backtrace"))
    lines += backtraceLines()
    return lines.joined(separator: "\n") + "\n"
  }

  private func strong(_ text: String) -> String { useColour ? "\u{1b}[1;31m\(text)\u{1b}[0m" : text }
  private func heading(_ text: String) -> String { useColour ? "\u{1b}[1m\(text)\u{1b}[0m" : text }

  /// ` in main+0x10 at file.c:12`, or where in the file, or nothing. The function is looked up by `lookup`: a return
  /// address behind a call that never returns may belong to the next function.
  private func place(_ lookup: UInt64, shownAs address: UInt64) -> String {
    let line = files.line(at: lookup).map { " at \($0.text)" } ?? ""
    let file = file(at: lookup)
    if let name = files.describe(lookup, shownAs: address) {
      if let call = files.frames(at: lookup).first, call.isInlined {
        return " in \(call.name) (inlined in \(name))\(line)\(file)"
      }
      return " in \(name)\(line)\(file)"
    }
    // Debug information names what a stripped library has no symbol for.
    if let function = files.frames(at: lookup).last { return " in \(function.name)\(line)\(file)" }
    if let library = files.library(at: lookup) {
      return " (\(library.name) + \((address &- library.loadBias).hexadecimal))"
    }
    if program.image.contains(address) {
      return
        " (\(LoadError.name(program.executablePath)) + \((address &- program.image.lowerBound).hexadecimal))"
    }
    return ""
  }

  /// ` (libc.so.6)` for an address in a library.
  private func file(at address: UInt64) -> String {
    files.library(at: address).map { " (\($0.name))" } ?? ""
  }

  // MARK: Instruction

  private func instructionLines(_ rip: UInt64) -> [String] {
    var bytes: [UInt8] = []
    while bytes.count < 15, let byte = space.bytes(at: GuestAddress(rip &+ UInt64(bytes.count)), count: 1) {
      bytes += byte
    }
    if bytes.isEmpty { return ["  instruction: its memory cannot be read"] }
    let listing = CodeListing(symbols: files.symbols(at: rip))
    let decoded = bytes.withUnsafeBytes { listing.instruction($0, at: rip) }
    let shown = bytes.prefix(decoded?.length ?? 15).map { FaultReport.hex(UInt64($0), digits: 2) }
    // The disassembler sets operands in a column; here they follow the mnemonic.
    let text = decoded?.text.split(separator: " ").joined(separator: " ") ?? "(none known)"
    return ["  instruction: \(text)   [\(shown.joined(separator: " "))]"]
  }

  static func hex(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits &- text.count)) + text
  }

  // MARK: Memory

  private func memoryLines(_ rip: UInt64) -> [String] {
    guard let fault, fault.kind == .pageFault || fault.kind == .busError else { return [] }
    var lines = [heading("memory around \(fault.address.hexadecimal)")]
    let inside = space.query(fault.address)
    let before = space.regions(from: 0, to: inside?.start ?? fault.address).last
    if let before { lines.append("  " + line(of: before)) }
    if let inside {
      lines.append("> " + line(of: inside))
    } else {
      lines.append("> \(fault.address.hexadecimal): nothing is mapped here")
    }
    if let after = space.regions(from: fault.address, to: .max).first(where: { $0.start > fault.address }) {
      lines.append("  " + line(of: after))
    }
    return lines
  }

  /// A region as /proc/self/maps shows it.
  private func line(of region: Region) -> String {
    let range = FaultReport.hex(region.start, digits: 12) + "-" + FaultReport.hex(region.end, digits: 12)
    return "\(range) \(region.letters) \(space.name(of: region))"
  }

  // MARK: Backtrace

  private func backtraceLines() -> [String] {
    let unwinder = Unwinder(
      memory: SpaceMemory(space: space), frameLimit: FaultReport.frameLimit, table: files.callFrames(at:))
    let frames = unwinder.backtrace(UnwindRegisters(cpu))
    return frameLines(frames)
  }

  private func frameLines(_ frames: [BacktraceFrame]) -> [String] {
    var lines: [String] = []
    var (place, number) = (0, 0)
    while place < frames.count {
      guard lines.count < FaultReport.lineLimit else {
        lines.append("   … (deeper frames are not shown)")
        return lines
      }
      let frame = frames[place]
      // What the compiler has put into the function, innermost first, and the function.
      let parts = files.frames(at: frame.lookup)
      for call in parts.dropLast().prefix(FaultReport.lineLimit) {
        lines.append(frameLine(frame, number, call))
        number &+= 1
      }
      lines.append(frameLine(frame, number, parts.count > 1 ? parts.last : nil))
      // Recursion.
      let same = frames[place...].prefix { $0 == frame }.count
      if same > 2 {
        lines.append("       … and \((same &- 1) &* max(parts.count, 1)) more frames like it")
        place &+= same
        number &+= (same &- 1) &* max(parts.count, 1) &+ 1
      } else {
        place &+= 1
        number &+= 1
      }
    }
    if frames.count == FaultReport.frameLimit { lines.append("   … (deeper frames are not looked for)") }
    return lines
  }

  /// `part` is what of the frame's function is meant where the compiler has put others into it.
  private func frameLine(_ frame: BacktraceFrame, _ number: Int, _ part: SourceFrame?) -> String {
    let padded = number < 10 ? " #\(number)" : "#\(number)"
    let start = "  \(padded) \(FaultReport.hex(frame.address, digits: 12))"
    let line = part?.line.map { " at \($0.text)" } ?? ""
    if let part, part.isInlined { return "\(start) in \(part.name)\(line)  (inlined)" }
    var place = place(frame.lookup, shownAs: frame.address)
    // That is in what was put into the function, whose own line is that of the call.
    if part != nil, let name = files.describe(frame.lookup, shownAs: frame.address) {
      place = " in \(name)\(line)" + file(at: frame.lookup)
    }
    return start + place + FaultReport.note(on: frame.origin)
  }

  /// How a frame was found, where that is not by the tables.
  private static func note(on origin: BacktraceFrame.Origin) -> String {
    switch origin {
    case .framePointer: "  (by frame pointer)"
    case .signal: "  (interrupted by a signal)"
    case .stackTop: "  (return address on top of the stack)"
    case .fault, .callFrameInformation: ""
    }
  }
}

/// Guest memory for the unwinder.
struct SpaceMemory: UnwindMemory {
  let space: AddressSpace

  func bytes(at address: UInt64, count: Int) -> [UInt8]? {
    space.bytes(at: GuestAddress(address), count: count)
  }

  func isExecutable(_ address: UInt64) -> Bool {
    space.query(address)?.permissions.contains(.execute) ?? false
  }
}

/// Symbols, unwind tables and source lines of the program's file, and of the libraries that are mapped.
struct ReportSymbols {
  let program: LoadedObject
  private let image: Range<UInt64>
  private let libraries: LoadedObjects?

  /// Without what is in a file that has changed into something else or cannot be read any more. The program is found by `path` and
  /// not by its mappings, because a file may be mapped without its beginning, or not at all.
  init(
    _ program: LoadedProgram, _ path: [UInt8], _ libraries: LoadedObjects? = nil,
    _ open: @escaping ([UInt8]) -> ExecutableFile?
  ) {
    image = program.image
    self.libraries = libraries
    let file = open(path)
    let header = file.flatMap { try? ELFHeader(of: $0) }
    let sections = file.flatMap { file in header.map { ELFSections($0, in: file) } }
    self.program = LoadedObject(
      path, sections, header, loadBias: program.loadBias, LineTable { sections?.withLines(path, open) })
    libraries?.refresh()
  }

  /// The file, other than the program's, that is mapped at a guest address.
  func library(at address: UInt64) -> LoadedObject? {
    image.contains(address) ? nil : libraries?.object(at: address)
  }

  private func object(at address: UInt64) -> LoadedObject { library(at: address) ?? program }

  /// The table for the code at a guest address, and what is added to the addresses of its file.
  func callFrames(at address: UInt64) -> (frames: CallFrameTable, loadBias: UInt64)? {
    let object = object(at: address)
    return (object.callFrames, object.loadBias)
  }

  /// The symbols, at the guest's addresses, of the file that is mapped at one.
  func symbols(at address: UInt64) -> SymbolTable { object(at: address).symbols }

  /// The source's frames of a guest address, innermost first.
  func frames(at address: UInt64) -> [SourceFrame] {
    let object = object(at: address)
    return object.lines.frames(at: address &- object.loadBias)
  }

  /// The source line of a guest address.
  func line(at address: UInt64) -> SourceLine? {
    let object = object(at: address)
    return object.lines.line(at: address &- object.loadBias)
  }

  /// `name+0x12` for a guest address, in the function that contains `lookup`.
  func describe(_ lookup: UInt64, shownAs address: UInt64) -> String? {
    object(at: lookup).symbols.describe(lookup, shownAs: address)
  }
}
