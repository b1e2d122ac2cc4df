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

/// Names of guest addresses in the program that is loaded now and its libraries.
struct ProgramSymbols {
  private let process: LinuxProcess
  private let libraries: LoadedObjects
  private var program: LoadedProgram?
  private var files: ReportSymbols?
  /// How often the program changed (execve(2)).
  private(set) var generation = 0

  init(_ process: LinuxProcess) {
    self.process = process
    libraries = LoadedObjects(process)
  }

  /// Code at `address` has been translated: reads the symbols of the program when it is another one than before, or of the library.
  mutating func update(_ address: UInt64) {
    if let now = process.program, now != program {
      program = now
      files = ReportSymbols(now, process.shownPath(now.executablePath), libraries) { [process] in
        LoadedObjects.file($0, process)
      }
      generation &+= 1
    }
    libraries.refresh(at: address)
  }

  /// `main` or `main+0x12`.
  func describe(_ address: UInt64) -> String? { files?.describe(address, shownAs: address) }

  /// What profilers show: never empty.
  func name(_ address: UInt64) -> String { describe(address) ?? "guest_\(address.hexadecimal)" }

  /// Whether a function of the program called `name` is only a part of others, into which the compiler has put it.
  func isInlined(_ name: [UInt8]) -> Bool {
    range(of: name) == nil && files?.program.lines.places(named: name).contains(where: \.isInlined) == true
  }

  /// Whether the program or a library that is mapped now has a function called `name`.
  func isKnown(_ name: [UInt8]) -> Bool {
    if range(of: name) != nil { return true }
    libraries.refresh()
    return libraries.symbol(named: LoadError.name(name)) != nil
  }

  /// Where the program has the function called `name`.
  func range(of name: [UInt8]) -> Range<UInt64>? {
    files.flatMap { ProgramSymbols.range(of: name, in: $0.program) }
  }

  /// Where the library that is mapped at `address` has it.
  func range(of name: [UInt8], inLibraryAt address: UInt64) -> Range<UInt64>? {
    files?.library(at: address).flatMap { ProgramSymbols.range(of: name, in: $0) }
  }

  private static func range(of name: [UInt8], in file: LoadedObject) -> Range<UInt64>? {
    let symbols = file.symbols
    guard let symbol = symbols.symbol(named: name), let end = symbols.end(of: symbol), end > symbol.address
    else { return nil }
    return symbol.address..<end
  }
}
