// What can be asked for about translated code, and the files it goes to. Nothing here exists in a run that asks for nothing.
import Linux
import X86

/// Files and listings about translated code.
public struct TranslationOutput: Sendable {
  /// Code whose translation is listed.
  public enum Place: Sendable, Equatable { case address(UInt64), symbol([UInt8]) }

  /// Write /tmp/perf-PID.map, which perf-report(1) reads by itself.
  public var perfMap = false
  /// Write jit-PID.dump, for `perf inject --jit`, into this folder.
  public var perfDump: [UInt8]?
  public var listed: [Place] = []
  public var syntax = Disassembler.Syntax.intel

  public init() {}

  var isWanted: Bool { perfMap || perfDump != nil || !listed.isEmpty }
}

/// A file that the guest cannot see, written front to back.
struct OutputFile {
  private let process: LinuxProcess
  let descriptor: Int32

  /// Creates or empties the file; a symbolic link is not followed. Nil when the host refuses.
  init?(_ path: [UInt8], readable: Bool = false, _ process: LinuxProcess) {
    // openat(AT_FDCWD, path, O_WRONLY or O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644)
    let flags: UInt64 = 0o2401100 | (readable ? 2 : 1)
    let result = (path + [0]).withUnsafeBytes {
      process.host.callUninterrupted(
        257, UInt64(bitPattern: -100), UInt64(UInt(bitPattern: $0.baseAddress)), flags, 0o644)
    }
    if result < 0 { return nil }
    self.process = process
    descriptor = process.hide(Int32(truncatingIfNeeded: result))
  }

  func write(_ bytes: [UInt8]) { process.host.writeAll(bytes, to: descriptor) }
}

/// Names of guest addresses in the program that is loaded now.
struct ProgramSymbols {
  private var program: LoadedProgram?
  private var symbols = SymbolTable([])
  /// How often the program changed (execve(2)).
  private(set) var generation = 0

  /// Reads the symbols of `now` when it is another program than before.
  mutating func update(_ now: LoadedProgram?) {
    guard let now, now != program else { return }
    program = now
    // Symbols need no other file than the program's.
    let files = ReportSymbols(now, now.executablePath) { try? ExecutableFile(path: $0) }
    symbols = files.symbols.moved(by: now.loadBias)
    generation &+= 1
  }

  /// `main` or `main+0x12`.
  func describe(_ address: UInt64) -> String? { symbols.describe(address, shownAs: address) }

  /// What profilers show: never empty.
  func name(_ address: UInt64) -> String { describe(address) ?? "guest_\(address.hexadecimal)" }

  /// Whether a function called `name` is only a part of others, into which the compiler has put it.
  func isInlined(_ name: [UInt8]) -> Bool {
    guard range(of: name) == nil, let program else { return false }
    let files = ReportSymbols(program, program.executablePath) { try? ExecutableFile(path: $0) }
    return files.lines.places(named: name).contains(where: \.isInlined)
  }

  /// Where the function called `name` is.
  func range(of name: [UInt8]) -> Range<UInt64>? {
    guard let symbol = symbols.symbol(named: name), let end = symbols.end(of: symbol), end > symbol.address
    else { return nil }
    return symbol.address..<end
  }
}
