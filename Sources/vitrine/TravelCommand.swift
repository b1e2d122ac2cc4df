// `vitrine debug` on a recording: the debugger of the terminal over any instant of it, on the whole screen or executing commands.
import Debugger
import Glibc
import GuestMemory
import Record
import TUI

enum TravelCommand {
  private struct Request {
    var commands: [String] = []
    /// Where to wait for gdb.
    var address: DebuggerAddress?
    var timeline: UInt64 = 0
    var memoryLimit: UInt64 = 1 << 30
    var json = false
    var usesATT = false
    /// Further commands come from standard input, one after the other.
    var readsInput = false
    var replay = ReplayOptions()
  }

  /// Options by name, and whether a value follows.
  private static let options = [
    "--command": true, "--script": true, "--gdb": true, "--timeline": true, "--checkpoint-memory": true,
    "--syntax": true, "--engine": true, "--json": false,
  ]

  /// Whether what is to be debugged is a recording: the first operand, or, behind options that only programs have, the last word.
  static func isMeant(_ words: [[UInt8]]) -> Bool {
    var reader = WordReader(words)
    while let option = reader.nextOption() {
      guard let hasValue = options[option.name] else { return isRecording(words.last) }
      if hasValue { _ = try? reader.bytes(of: option) }
    }
    return isRecording(reader.operands().first)
  }

  private static func isRecording(_ path: [UInt8]?) -> Bool {
    path.map { Recording.isRecording($0) } ?? false
  }

  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    withUsage(HelpText.debugUsage, topic: "debug") { () throws(UsageError) in
      var request = Request()
      request.replay.window = process.window
      var reader = WordReader(words)
      while let option = reader.nextOption() { try parse(option, &reader, &request) }
      return try travel(try reader.onlyOperand("recording"), request, process)
    }
  }

  private static func parse(
    _ option: Option, _ reader: inout WordReader, _ request: inout Request
  ) throws(UsageError) {
    switch option.name {
    case "--command": request.commands.append(try reader.text(of: option))
    case "--script":
      let path = try reader.bytes(of: option)
      if path == [45] {
        request.readsInput = true
      } else {
        request.commands += try DebugCommand.script(path)
      }
    case "--gdb": request.address = try DebugCommand.address(of: option, &reader)
    case "--timeline": request.timeline = try RunCommand.number(of: option, &reader, 0...UInt64(UInt32.max))
    case "--checkpoint-memory":
      request.memoryLimit = try RunCommand.number(of: option, &reader, 1...1 << 20) << 20
    case "--json":
      try reader.requireNoValue(option)
      request.json = true
    case "--syntax": request.usesATT = try RunCommand.syntax(try reader.text(of: option)) == .att
    case "--engine": request.replay.engine = try RunCommand.engine(try reader.text(of: option))
    default: throw UsageError("unknown option for a recording: \(shown(option.name))")
    }
  }

  private static func travel(
    _ path: [UInt8], _ request: Request, _ process: ProcessArguments
  ) throws(UsageError) -> Int32 {
    if let address = request.address {
      return open(path, request) { _, travel in
        let server = RecordingServer(address: address, travel: travel) { Terminal.complain($0) }
        guard let problem = server.serve() else { return 0 }
        Terminal.complain(problem)
        return ownFailureCode
      }
    }
    var commands = DebugCommand.Request()
    (commands.commands, commands.json) = (request.commands, request.json)
    commands.usesATT = request.usesATT
    let isScript = !request.commands.isEmpty || request.readsInput || request.json
    let isOnScreen = !isScript && isatty(0) == 1 && isatty(1) == 1
    commands.isBatch = !isOnScreen
    var options = try DebugCommand.options(commands, process)
    (options.output, options.errors) = (1, 2)
    if !isOnScreen { return session(path, request, options) { answer($0, request) } }
    options.screen = 0
    let code = TerminalKeeper.keep(0) { notices in
      options.notices = notices
      return session(path, request, options) { $0.showScreen() }
    }
    guard let code else {
      Terminal.complain("cannot start the debugger's process")
      return ownFailureCode
    }
    return code
  }

  /// A session of the terminal's debugger; the exit code.
  private static func session(
    _ path: [UInt8], _ request: Request, _ options: DebugOptions, _ body: (RecordingSession) -> Int32
  ) -> Int32 {
    open(path, request) { recording, travel in
      let overview = RecordingOverview(recording, timeline: request.timeline)
      return body(RecordingSession(travel, overview, options))
    }
  }

  /// Opens the recording and does something with it; the exit code.
  private static func open(
    _ path: [UInt8], _ request: Request, _ body: (Recording, TimeTravel) -> Int32
  ) -> Int32 {
    do throws(RecordingError) {
      let recording = try Recording(path)
      let replay = try Replay(recording, timeline: request.timeline, request.replay)
      return body(recording, try TimeTravel(replay, memoryLimit: request.memoryLimit))
    } catch {
      Terminal.complain(error.message)
      return ownFailureCode
    }
  }

  /// Executes the commands of the words, then those of standard input, where one that fails is not the last; 1 when one has failed.
  private static func answer(_ session: RecordingSession, _ request: Request) -> Int32 {
    var code = session.runCommands()
    if code == 0, request.readsInput || request.commands.isEmpty {
      while !session.isOver, let line = readLine() {
        if !session.execute(line) { code = 1 }
      }
    }
    return code
  }
}
