// `vitrine debug` on a recording: commands that go to any instant of it, forwards and backwards.
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
    var wantsJSON = false
    /// Further commands come from standard input, one after the other.
    var readsInput = false
    var replay = ReplayOptions()
  }

  /// Whether the last of the words names a recording.
  static func isMeant(_ words: [[UInt8]]) -> Bool {
    words.last.map { Recording.isRecording($0) } ?? false
  }

  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    withUsage(HelpText.debugUsage, topic: "debug") { () throws(UsageError) in
      var request = Request()
      request.replay.window = process.window
      var reader = WordReader(words)
      while let option = reader.nextOption() { try parse(option, &reader, &request) }
      return travel(try reader.onlyOperand("recording"), request)
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
      request.wantsJSON = true
    case "--engine": request.replay.engine = try RunCommand.engine(try reader.text(of: option))
    default: throw UsageError("unknown option for a recording: \(shown(option.name))")
    }
  }

  /// Executes the commands; 1 when one fails.
  private static func travel(_ path: [UInt8], _ request: Request) -> Int32 {
    do throws(RecordingError) {
      let replay = try Replay(try Recording(path), timeline: request.timeline, request.replay)
      let travel = try TimeTravel(replay, memoryLimit: request.memoryLimit)
      if let address = request.address {
        let server = RecordingServer(address: address, travel: travel) { Terminal.complain($0) }
        guard let problem = server.serve() else { return 0 }
        Terminal.complain(problem)
        return ownFailureCode
      }
      let session = TravelSession(travel)
      var code: Int32 = 0
      func execute(_ command: String) {
        if command.isEmpty || command.hasPrefix("#") { return }
        let answer = session.execute(command)
        Terminal.write(request.wantsJSON ? answer.json(command) : answer.text(command), to: 1)
        if answer.isFailure { code = 1 }
      }
      for command in request.commands { execute(command) }
      if request.readsInput || request.commands.isEmpty {
        while let line = readLine() { execute(line) }
      }
      return code
    } catch {
      Terminal.complain(error.message)
      return ownFailureCode
    }
  }
}
