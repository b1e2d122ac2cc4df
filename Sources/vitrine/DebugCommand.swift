// `vitrine debug`: a program under a debugger: the terminal's (DebugCommand+Terminal), or one that speaks gdb's remote protocol.
import Debugger
import Glibc
import TUI
import VirtualMachine

enum DebugCommand {
  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    withUsage(HelpText.debugUsage, topic: "debug") { () throws(UsageError) in
      guard let request = try parse(words, process) else {
        Terminal.write(HelpText.debug, to: 1)
        return 0
      }
      guard let address = request.address else {
        return runInTerminal(request.configuration, try options(request, process), process)
      }
      return run(request.configuration, address, words, process)
    }
  }

  /// What the words ask for.
  struct Request {
    var configuration = UserMachineConfiguration()
    /// Where to wait for gdb; nil: the debugger of the terminal.
    var address: DebuggerAddress?
    var commands: [String] = []
    var isBatch = false
    var json = false
    var usesATT = false
  }

  /// Takes the debugger's options out; the others are those of `vitrine run`. Nil when help is wanted.
  private static func parse(_ words: [[UInt8]], _ process: ProcessArguments) throws(UsageError) -> Request? {
    var request = Request()
    guard
      let configuration = try RunCommand.parse(
        words, process,
        further: { (option, reader) throws(UsageError) in
          guard option.name == "--gdb" else { return try parseTerminalOption(option, &reader, &request) }
          request.address = try address(of: option, &reader)
          return true
        })
    else { return nil }
    request.configuration = configuration
    if request.address != nil, request.isBatch {
      throw UsageError("--gdb and commands for the terminal's debugger exclude each other")
    }
    if configuration.budget != nil || configuration.translator.countsInstructions {
      throw UsageError("--budget and --count do not go together with a debugger")
    }
    return request
  }

  /// The value of `--gdb`.
  static func address(of option: Option, _ reader: inout WordReader) throws(UsageError) -> DebuggerAddress {
    let text = try reader.bytes(of: option)
    guard let address = DebuggerAddress(text) else {
      let place = shown(String(decoding: text, as: UTF8.self))
      throw UsageError("--gdb needs HOST:PORT, unix:PATH or STDIO, not \(place)")
    }
    return address
  }

  private static func run(
    _ configuration: UserMachineConfiguration, _ address: DebuggerAddress, _ words: [[UInt8]],
    _ process: ProcessArguments
  ) -> Int32 {
    var configuration = configuration
    let environment = process.environment
    let operands = configuration.arguments.count
    let server = GDBServer(
      address: address, say: { Terminal.complain($0) },
      relaunch: { gdb, program, arguments in
        execute(newWords(words, operands, gdb, program, arguments), environment)
      })
    // SAFETY: the closure is called once, by the machine, before any thread of the guest begins.
    nonisolated(unsafe) let shared = server
    configuration.makeController = { shared.makeController() }
    return RunCommand.run(configuration, process)
  }

  /// The words of a new run: the same options with another `--gdb`, which counts because it is the last one, and another program
  /// or other arguments where they are not nil. The last `operands` of `words` are the program and its arguments.
  private static func newWords(
    _ words: [[UInt8]], _ operands: Int, _ gdb: String, _ program: [UInt8]?, _ arguments: [[UInt8]]?
  ) -> [[UInt8]] {
    let old = words.suffix(operands)
    var options = Array(words.dropLast(operands))
    if options.last == [45, 45] { options.removeLast() }
    // What the run before was started with.
    if options.suffix(2).first == Array("--gdb".utf8) { options.removeLast(2) }
    return [Array("vitrine".utf8), Array("debug".utf8)] + options
      + [Array("--gdb".utf8), Array(gdb.utf8), [45, 45]]
      + [program ?? old.first ?? []] + (arguments ?? Array(old.dropFirst()))
  }

  /// execve(2) of Vitrine itself; returns when that fails.
  private static func execute(_ words: [[UInt8]], _ environment: [[UInt8]]) {
    func strings(_ list: [[UInt8]]) -> [UnsafeMutablePointer<CChar>?] {
      list.map { ($0 + [0]).withUnsafeBytes { $0.bindMemory(to: CChar.self).baseAddress.map { strdup($0) } } }
        + [nil]
    }
    // SAFETY: the strings live on: this process ends here, or has lost a few hundred bytes.
    _ = execve("/proc/self/exe", strings(words), strings(environment))
  }
}
