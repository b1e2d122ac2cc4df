// `vitrine core`: an instant of a recording as a core file.
import Debugger
import Glibc
import Record

enum CoreCommand {
  private struct Request {
    var output = Array("core".utf8)
    var timeline: UInt64 = 0
    var replay = ReplayOptions()
  }

  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    withUsage(HelpText.coreUsage, topic: "core") { () throws(UsageError) in
      var request = Request()
      request.replay.window = process.window
      // Options may stand behind the recording as well.
      var operands: [[UInt8]] = []
      var rest = words
      repeat {
        var reader = WordReader(rest)
        while let option = reader.nextOption() {
          if try parse(option, &reader, &request) { continue }
          Terminal.write(HelpText.core, to: 1)
          return 0
        }
        rest = reader.operands()
        if !rest.isEmpty { operands.append(rest.removeFirst()) }
      } while !rest.isEmpty
      guard let operand = operands.first, operands.count == 1 else {
        throw UsageError("one recording is needed")
      }
      guard let sign = operand.lastIndex(of: UInt8(ascii: "@")) else {
        return write(operand, nil, request)
      }
      let instant = String(decoding: operand[(sign + 1)...], as: UTF8.self)
      switch instant {
      case "end": return write(Array(operand[..<sign]), nil, request)
      case "start": return write(Array(operand[..<sign]), 0, request)
      default:
        guard let number = Int64(instant), number >= 0 else {
          throw UsageError("an instant is a number, start or end, not \(shown(instant))")
        }
        return write(Array(operand[..<sign]), number, request)
      }
    }
  }

  /// False when help is wanted.
  private static func parse(
    _ option: Option, _ reader: inout WordReader, _ request: inout Request
  ) throws(UsageError) -> Bool {
    switch option.name {
    case "-h", "--help": return false
    case "-o", "--output": request.output = try reader.bytes(of: option)
    case "--timeline":
      request.timeline = try RunCommand.number(of: option, &reader, 0...UInt64(UInt32.max))
    case "--engine": request.replay.engine = try RunCommand.engine(try reader.text(of: option))
    default: throw UsageError("unknown option: \(shown(option.name))")
    }
    return true
  }

  /// `instant`: nil for the end.
  private static func write(_ path: [UInt8], _ instant: Int64?, _ request: Request) -> Int32 {
    do throws(RecordingError) {
      let replay = try Replay(try Recording(path), timeline: request.timeline, request.replay)
      let travel = try TimeTravel(replay)
      var signal: Int32 = 0
      let end = if let instant { try travel.seek(instant) } else { try travel.goOn(TravelStops()) }
      if case .end(.killed(let number)) = end { signal = number }
      return write(CoreFile(travel), signal, to: request.output)
    } catch {
      Terminal.complain(error.message)
      return ownFailureCode
    }
  }

  private static func write(_ core: CoreFile, _ signal: Int32, to path: [UInt8]) -> Int32 {
    let name = path.map { CChar(bitPattern: $0) } + [0]
    let descriptor = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      Terminal.complain("cannot write \(shown(String(decoding: path, as: UTF8.self)))")
      return ownFailureCode
    }
    defer { close(descriptor) }
    let size = core.write(signal: signal) { offset, bytes in
      var done = 0
      while done < bytes.count {
        let count = bytes.withUnsafeBytes { all in
          pwrite(descriptor, all.baseAddress.map { $0 + done }, all.count - done, off_t(offset) + off_t(done))
        }
        if count <= 0 { return false }
        done += count
      }
      return true
    }
    guard let size, ftruncate(descriptor, off_t(size)) == 0 else {
      Terminal.complain("there is no room for the core file")
      return ownFailureCode
    }
    return 0
  }
}
