// Chooses the command from the first word. Every command parses its own options; what they share (reading
// words, complaining) is in `WordReader`.
import GuestMemory

enum VitrineCommand {
  static let version = "0.2.0"

  /// Lays out the process as the command needs it, runs the command, and leaves with its exit code.
  static func start() -> Never {
    if ProcessArguments.isInterpreter() {
      IsolatedWindow.evacuate { window in
        exitProcess(with: RunCommand.interpret(ProcessArguments.current(window)))
      }
    }
    let withGuest: [StaticString] = ["run", "debug", "record", "replay", "trace", "core"]
    if withGuest.contains(where: { ProcessArguments.firstIs($0) }) {
      IsolatedWindow.evacuate { window in exitProcess(with: run(ProcessArguments.current(window))) }
    }
    exitProcess(with: run(ProcessArguments.current(nil)))
  }

  /// Runs the command line; the process's exit code.
  static func run(_ process: ProcessArguments) -> Int32 {
    guard let first = process.arguments.first else {
      Terminal.write(HelpText.overview, to: 2)
      return ownFailureCode
    }
    let rest = Array(process.arguments.dropFirst())
    switch String(decoding: first, as: UTF8.self) {
    case "run": return RunCommand.run(rest, process)
    case "debug":
      return TravelCommand.isMeant(rest) ? TravelCommand.run(rest, process) : DebugCommand.run(rest, process)
    case "record": return RecordCommand.run(rest, process)
    case "replay": return ReplayCommand.run(rest, process)
    case "trace": return TraceCommand.run(rest, process)
    case "core": return CoreCommand.run(rest, process)
    case "disassemble": return DisassembleCommand.run(rest)
    case "help", "--help", "-h": return help(rest)
    case "--version", "version", "-V":
      Terminal.write("vitrine \(version)\n", to: 1)
      return 0
    case let word:
      Terminal.complain("unknown command: \(shown(word))")
      Terminal.write(HelpText.usage + "Try: vitrine help\n", to: 2)
      return ownFailureCode
    }
  }

  private static func help(_ words: [[UInt8]]) -> Int32 {
    let topic = words.first.map { String(decoding: $0, as: UTF8.self) } ?? ""
    guard let text = HelpText.text(for: topic) else {
      Terminal.complain("no help for: \(shown(topic))")
      Terminal.write("Topics: run, debug, record, replay, trace, core, disassemble, exit-codes\n", to: 2)
      return ownFailureCode
    }
    Terminal.write(text, to: 1)
    return 0
  }
}

/// A word of the command line for a message, without control characters.
func shown(_ word: String) -> String {
  String(String.UnicodeScalarView(word.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : $0 }))
}
