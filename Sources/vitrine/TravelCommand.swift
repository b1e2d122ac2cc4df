// `vitrine debug` on a recording: commands that go to any instant of it, forwards and backwards.
import Glibc
import GuestMemory
import Record

enum TravelCommand {
  private struct Request {
    var commands: [String] = []
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
    do throws(UsageError) {
      var request = Request()
      request.replay.window = process.window
      var reader = WordReader(words)
      while let option = reader.nextOption() { try parse(option, &reader, &request) }
      let operands = reader.operands()
      guard let path = operands.first, operands.count == 1 else {
        throw UsageError("one recording is needed")
      }
      return travel(path, request)
    } catch {
      Terminal.complain(error.message)
      Terminal.write(HelpText.debugUsage + "Try: vitrine help debug\n", to: 2)
      return ownFailureCode
    }
  }

  private static func parse(
    _ option: Option, _ reader: inout WordReader, _ request: inout Request
  ) throws(UsageError) {
    switch option.name {
    case "--command": request.commands.append(try reader.text(of: option))
    case "--script":
      let path = try reader.text(of: option)
      if path == "-" {
        request.readsInput = true
        return
      }
      guard let text = content(of: path) else { throw UsageError("cannot read \(shown(path))") }
      request.commands += lines(text)
    case "--timeline": request.timeline = try RunCommand.number(of: option, &reader, 0...UInt64(UInt32.max))
    case "--checkpoint-memory":
      request.memoryLimit = try RunCommand.number(of: option, &reader, 1...1 << 20) << 20
    case "--json":
      try reader.requireNoValue(option)
      request.wantsJSON = true
    case "--engine":
      switch try reader.text(of: option) {
      case "auto": request.replay.engine = .automatic
      case "translator": request.replay.engine = .translator
      case "interpreter": request.replay.engine = .interpreter
      case let name:
        throw UsageError("unknown engine: \(shown(name)) (there are: auto, translator, interpreter)")
      }
    default: throw UsageError("unknown option for a recording: \(shown(option.name))")
    }
  }

  /// Executes the commands; 1 when one fails.
  private static func travel(_ path: [UInt8], _ request: Request) -> Int32 {
    do throws(RecordingError) {
      let replay = try Replay(try Recording(path), timeline: request.timeline, request.replay)
      let session = TravelSession(try TimeTravel(replay, memoryLimit: request.memoryLimit))
      var code: Int32 = 0
      func execute(_ command: String) {
        if command.isEmpty || command.hasPrefix("#") { return }
        let answer = session.execute(command)
        Terminal.write(request.wantsJSON ? json(command, answer) : text(command, answer), to: 1)
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

  private static func text(_ command: String, _ answer: TravelAnswer) -> String {
    answer.lines.map { (answer.isFailure ? "\(command): " : "") + $0 + "\n" }.joined()
  }

  private static func json(_ command: String, _ answer: TravelAnswer) -> String {
    let lines = answer.lines.map { quoted($0) }.joined(separator: ", ")
    return "{\"command\": \(quoted(command)), \"failed\": \(answer.isFailure), \"lines\": [\(lines)]}\n"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\" + String(scalar)
      case _ where scalar.value < 32:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  private static func lines(_ text: String) -> [String] {
    text.split(separator: "\n").map(String.init).filter { !$0.isEmpty }
  }

  private static func content(of path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    while true {
      let next = fgetc(file)
      if next == EOF { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(UInt8(truncatingIfNeeded: next))
    }
  }
}
