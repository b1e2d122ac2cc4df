// `vitrine trace`: what a recorded program did, in forms that viewers open. A program is recorded first, by `vitrine record` in a
// process of its own, to a file that nobody else sees.
import CHost
import Glibc
import GuestMemory
import Record
import Trace

enum TraceCommand {
  private struct Request {
    var trace = TraceRequest()
    /// The last format, for which no output has been named.
    var pending: TraceFormat?
  }

  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    withUsage(HelpText.traceUsage, topic: "trace") { () throws(UsageError) in
      var request = Request()
      request.trace.replay.window = process.window
      var reader = WordReader(words)
      while let option = reader.nextOption() {
        if option.name == "-h" || option.name == "--help" {
          Terminal.write(HelpText.trace, to: 1)
          return 0
        }
        if try !parseOutput(option, &reader, &request) { try parse(option, &reader, &request.trace) }
      }
      if let pending = request.pending { request.trace.outputs.append(.init(pending, path: nil)) }
      if request.trace.outputs.isEmpty { request.trace.outputs = [.init(.calls, path: nil)] }
      guard request.trace.outputs.count(where: { $0.path == nil }) < 2 else {
        throw UsageError("only one trace can go to standard output; name files with -o")
      }
      guard request.trace.from <= request.trace.to else { throw UsageError("--from lies behind --to") }
      let operands = reader.operands()
      guard let first = operands.first, !first.isEmpty else {
        throw UsageError("no recording and no program to trace")
      }
      if Recording.isRecording(first) {
        guard operands.count == 1 else { throw UsageError("one recording is needed") }
        return trace(first, request.trace, programCode: nil)
      }
      return record(operands, request.trace, process)
    }
  }

  // MARK: Options

  private static func parseOutput(
    _ option: Option, _ reader: inout WordReader, _ request: inout Request
  ) throws(UsageError) -> Bool {
    switch option.name {
    case "--format":
      let name = try reader.text(of: option)
      guard let format = TraceFormat(rawValue: name) else {
        throw UsageError("unknown format: \(shown(name)) (there are: \(TraceFormat.names))")
      }
      if let pending = request.pending { request.trace.outputs.append(.init(pending, path: nil)) }
      request.pending = format
    case "-o", "--output":
      let path = try reader.bytes(of: option)
      if path.isEmpty { throw UsageError("\(option.name) needs a file name") }
      request.trace.outputs.append(.init(request.pending ?? .calls, path: path))
      request.pending = nil
    default: return false
    }
    return true
  }

  private static func parse(
    _ option: Option, _ reader: inout WordReader, _ request: inout TraceRequest
  ) throws(UsageError) {
    let instants: ClosedRange<UInt64> = 0...UInt64(1) << 62
    switch option.name {
    case "--only": request.selections.append(try selection(try reader.bytes(of: option)))
    case "--from": request.from = Int64(try RunCommand.number(of: option, &reader, instants))
    case "--to": request.to = Int64(try RunCommand.number(of: option, &reader, instants))
    case "--limit": request.limit = Int64(try RunCommand.number(of: option, &reader, instants))
    case "--timeline": request.timeline = try RunCommand.number(of: option, &reader, 0...UInt64(UInt32.max))
    case "--engine": request.replay.engine = try RunCommand.engine(try reader.text(of: option))
    case "--size": (request.columns, request.rows) = try size(try reader.text(of: option))
    case "--arguments":
      try reader.requireNoValue(option)
      request.showsArguments = true
    case "--values":
      try reader.requireNoValue(option)
      request.showsValues = true
    default: throw UsageError("unknown option: \(shown(option.name))")
    }
  }

  /// `A-B`, where both are numbers, or a symbol's name.
  private static func selection(_ word: [UInt8]) throws(UsageError) -> TraceSelection {
    if word.isEmpty { throw UsageError("--only needs a function or addresses A-B") }
    let text = String(decoding: word, as: UTF8.self)
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let low = parseNumber(parts[0]), let high = parseNumber(parts[1]) else {
      return .symbol(word)
    }
    guard low < high else { throw UsageError("--only needs addresses A-B, A below B, not \(shown(text))") }
    return .range(low..<high)
  }

  private static func size(_ text: String) throws(UsageError) -> (Int, Int) {
    let parts = text.split(separator: "x", omittingEmptySubsequences: false).map { parseNumber($0) ?? 0 }
    guard parts.count == 2, parts.allSatisfy({ (1...2000).contains($0) }) else {
      throw UsageError("--size needs WxH, two numbers from 1 to 2000, not \(shown(text))")
    }
    return (Int(parts[0]), Int(parts[1]))
  }

  // MARK: Tracing

  /// Traces a recording; the exit code, which is the program's when that was run for it.
  private static func trace(_ path: [UInt8], _ request: TraceRequest, programCode: Int32?) -> Int32 {
    do throws(TraceProblem) {
      _ = try TraceRun.run(path, request)
      return programCode ?? 0
    } catch {
      Terminal.complain(error.message)
      return ownFailureCode
    }
  }

  /// Records a program to a temporary file, and traces that.
  private static func record(_ words: [[UInt8]], _ request: TraceRequest, _ process: ProcessArguments)
    -> Int32
  {
    let folder = process.value(of: "TMPDIR").flatMap { $0.isEmpty ? nil : $0 } ?? Array("/tmp".utf8)
    var path = (folder + Array("/vitrine-trace-XXXXXX".utf8)).map { CChar(bitPattern: $0) } + [0]
    let descriptor = path.withUnsafeMutableBufferPointer { $0.baseAddress.map { mkstemp($0) } ?? -1 }
    guard descriptor >= 0 else {
      Terminal.complain("cannot create a temporary file in \(shown(String(decoding: folder, as: UTF8.self)))")
      return ownFailureCode
    }
    close(descriptor)
    defer { unlink(path) }
    let name = path.dropLast().map { UInt8(bitPattern: $0) }
    let command = ["vitrine", "record", "-o"].map { Array($0.utf8) }
    let status = execute(command + [name, [45, 45]] + words, process)
    guard let status, Recording.isRecording(name) else { return ownFailureCode }
    return trace(name, request, programCode: status)
  }

  /// Runs this executable with other words, and waits for it; its exit code, nil when it cannot be run. Keys that end programs are for
  /// the program.
  private static func execute(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32? {
    let (arguments, environment) = (strings(words), strings(process.environment))
    defer { for pointer in arguments + environment { free(pointer) } }
    let handlers = [SIGINT, SIGQUIT].map { ($0, signal($0, SIG_IGN)) }
    defer { for (number, handler) in handlers { signal(number, handler) } }
    // There is one thread: what the child may call is not limited.
    let child = vt_syscall6(57, 0, 0, 0, 0, 0, 0)
    if child == 0 {
      for (number, handler) in handlers { signal(number, handler) }
      execve("/proc/self/exe", arguments, environment)
      _exit(ownFailureCode)
    }
    guard child > 0 else {
      Terminal.complain("cannot start a process (errno \(-child))")
      return nil
    }
    var status: Int32 = 0
    while waitpid(pid_t(child), &status, 0) < 0 {
      if errno != EINTR { return nil }
    }
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
  }

  /// Strings as C has them, with a null pointer at the end.
  private static func strings(_ words: [[UInt8]]) -> [UnsafeMutablePointer<CChar>?] {
    let pointers = words.map { word in
      (word.map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer { bytes in
        bytes.baseAddress.flatMap { strdup($0) }
      }
    }
    return pointers + [nil]
  }
}
