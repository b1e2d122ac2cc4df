// `vitrine debug` without `--gdb`: the debugger of the terminal, on the whole screen, or executing commands for scripts.
import Glibc
import TUI
import VirtualMachine

extension DebugCommand {
  static func parseTerminalOption(
    _ option: Option, _ reader: inout WordReader, _ request: inout Request
  ) throws(UsageError) -> Bool {
    switch option.name {
    case "--command":
      request.commands.append(try reader.text(of: option))
      request.isBatch = true
    case "--script":
      request.commands += try script(try reader.bytes(of: option))
      request.isBatch = true
    case "--json":
      try reader.requireNoValue(option)
      request.json = true
      request.isBatch = true
    case "--syntax": request.usesATT = try RunCommand.syntax(try reader.text(of: option)) == .att
    default: return false
    }
    return true
  }

  /// The lines of a file of commands; `-` is standard input.
  static func script(_ path: [UInt8]) throws(UsageError) -> [String] {
    guard let text = contents(of: path) else {
      throw UsageError("cannot read the script \(shown(String(decoding: path, as: UTF8.self)))")
    }
    return text.split(separator: "\n").map(String.init)
  }

  /// A whole file; `-` is standard input.
  private static func contents(of path: [UInt8]) -> String? {
    let isInput = path == [45]
    let name = path.map { CChar(bitPattern: $0) } + [0]
    let descriptor =
      isInput ? 0 : name.withUnsafeBufferPointer { $0.baseAddress.map { open($0, O_RDONLY) } ?? -1 }
    guard descriptor >= 0 else { return nil }
    defer { if !isInput { close(descriptor) } }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count < 0 { return nil }
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += buffer.prefix(count)
    }
  }

  static func options(_ request: Request, _ process: ProcessArguments) throws(UsageError) -> DebugOptions {
    var options = DebugOptions()
    options.commands = request.commands
    options.isBatch = request.isBatch
    options.json = request.json
    options.usesATT = request.usesATT
    if request.isBatch { return options }
    guard isatty(0) == 1, isatty(1) == 1 else {
      throw UsageError("there is no terminal; use --command, --script or --gdb")
    }
    func text(_ name: StaticString) -> String? {
      process.value(of: name).map { String(decoding: $0, as: UTF8.self) }
    }
    options.depth = ColourDepth(
      colourTerm: text("COLORTERM"), term: text("TERM"), noColour: text("NO_COLOR"))
    return options
  }

  static func runInTerminal(
    _ configuration: UserMachineConfiguration, _ options: DebugOptions, _ process: ProcessArguments
  ) -> Int32 {
    let code = TerminalKeeper.keep(options.isBatch ? -1 : 0) { notices in
      runSession(configuration, options, notices, process)
    }
    guard let code else {
      Terminal.complain("cannot start the debugger's process")
      return ownFailureCode
    }
    return code
  }

  /// In the child, which becomes the leader of a session with the guest's terminal.
  private static func runSession(
    _ configuration: UserMachineConfiguration, _ options: DebugOptions, _ notices: Int32,
    _ process: ProcessArguments
  ) -> Int32 {
    var configuration = configuration
    var options = options
    let errors = fcntl(2, F_DUPFD_CLOEXEC, 100)
    options.notices = notices
    options.errors = errors
    options.output = fcntl(1, F_DUPFD_CLOEXEC, 100)
    if !options.isBatch { options.screen = fcntl(0, F_DUPFD_CLOEXEC, 100) }
    guard let terminal = GuestTerminal.becomeOurs() else {
      Terminal.complain("the host has no pseudo-terminal to give")
      return ownFailureCode
    }
    if options.isBatch { terminal.copyOutput(to: errors) }
    let trace = CallTrace()
    // SAFETY: used under the address space's lock only.
    nonisolated(unsafe) let sharedTrace = trace
    if case .none = configuration.trace { configuration.trace = .receiver { sharedTrace.receive($0) } }
    if !options.isBatch || process.value(of: "TERM") == nil {
      setTerminalName(in: &configuration.environment)
    }
    let session = DebugSession(options, terminal: terminal, trace: trace)
    // SAFETY: the closure is called once, by the machine, before any thread of the guest begins.
    nonisolated(unsafe) let shared = session
    configuration.makeController = { shared.makeController() }
    let code = RunCommand.run(configuration, process)
    // Why the program could not be started.
    if !session.hasBegun { terminal.drain(to: errors) }
    return code
  }

  /// What the guest's terminal understands.
  private static func setTerminalName(in environment: inout [[UInt8]]) {
    for name in ["TERM=", "LINES=", "COLUMNS=", "COLORTERM="] {
      environment.removeAll { $0.starts(with: Array(name.utf8)) }
    }
    environment.append(Array("TERM=xterm-256color".utf8))
  }
}
