// `vitrine record` and `vitrine replay`: a run written to a file, and the file run again.
import Glibc
import GuestMemory
import Record
import VirtualMachine

enum RecordCommand {
  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    withUsage(HelpText.recordUsage, topic: "record") { () throws(UsageError) in
      var options = RecordingOptions(path: Array("vitrine.rec".utf8))
      guard
        var configuration = try RunCommand.parse(
          words, process,
          further: { (option, reader) throws(UsageError) in try parse(option, &reader, &options) })
      else {
        Terminal.write(HelpText.record, to: 1)
        return 0
      }
      if configuration.budget != nil { throw UsageError("--budget does not go together with a recording") }
      let recorder: Recorder
      do throws(RecordingError) { recorder = try Recorder(options) } catch {
        Terminal.complain(error.message)
        return ownFailureCode
      }
      // SAFETY: the closure is called once, by the machine, before any thread of the guest begins.
      nonisolated(unsafe) let shared = recorder
      configuration.makeController = { shared }
      return RunCommand.run(configuration, process)
    }
  }

  private static func parse(
    _ option: Option, _ reader: inout WordReader, _ options: inout RecordingOptions
  ) throws(UsageError) -> Bool {
    switch option.name {
    case "-o", "--output":
      options.path = try reader.bytes(of: option)
      if options.path.isEmpty { throw UsageError("\(option.name) needs a file name") }
    case "--seed": options.seed = try RunCommand.number(of: option, &reader, 0...UInt64.max)
    case "--chaos":
      try reader.requireNoValue(option)
      options.isChaotic = true
    case "--strict":
      try reader.requireNoValue(option)
      options.isStrict = true
    default: return false
    }
    return true
  }
}

enum ReplayCommand {
  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    withUsage(HelpText.replayUsage, topic: "replay") { () throws(UsageError) in
      var request = ReplayRequest()
      request.options.window = process.window
      var reader = WordReader(words)
      while let option = reader.nextOption() {
        switch option.name {
        case "-h", "--help":
          Terminal.write(HelpText.replay, to: 1)
          return 0
        case "--engine": request.options.engine = try RunCommand.engine(try reader.text(of: option))
        case "--quiet", "-q":
          try reader.requireNoValue(option)
          request.isQuiet = true
        case "--list":
          try reader.requireNoValue(option)
          request.onlyLists = true
        case "--timeline":
          request.timeline = try RunCommand.number(of: option, &reader, 0...UInt64(UInt32.max))
        default: throw UsageError("unknown option: \(shown(option.name))")
        }
      }
      return replay(try reader.onlyOperand("recording"), request)
    }
  }

  private static func replay(_ path: [UInt8], _ request: ReplayRequest) -> Int32 {
    do throws(RecordingError) {
      let family = FamilyReplay(try Recording(path), request)
      if request.onlyLists {
        Terminal.write(try family.list(), to: 1)
        return 0
      }
      let end = try family.run { Terminal.complain($0) }
      switch end {
      case .exited(let code): return code & 0xff
      case .killed(let signal): return 128 + signal
      case .unfinished, .departed:
        Terminal.complain("the recording ends here, before the program did")
        return 0
      }
    } catch {
      Terminal.complain(error.message)
      return ownFailureCode
    }
  }
}
