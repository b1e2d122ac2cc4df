// Commands without a terminal: from the command line, from a file; answers as text or as JSON; the first failure decides the exit code.

struct Batch {
  private let console: Console
  private let options: DebugOptions

  init(_ console: Console, _ options: DebugOptions) {
    self.console = console
    self.options = options
  }

  /// Executes all commands; 0, or 1 when one has failed.
  func run() -> Int32 {
    var code: Int32 = 0
    for command in options.commands where !console.quits {
      let text = command.drop { $0 == " " || $0 == "\t" }
      if text.isEmpty || text.hasPrefix("#") { continue }
      switch console.execute(command) {
      case .success(let answer): tell(command, answer)
      case .failure(let error):
        code = 1
        tell(command, error)
      }
    }
    return code
  }

  private func tell(_ command: String, _ answer: Answer) {
    if options.json {
      let lines = answer.lines.map { Format.json($0) }.joined(separator: ",")
      var text = "{\"command\":\(Format.json(command)),\"ok\":true"
      for field in answer.fields { text += ",\(Format.json(field.name)):\(field.value)" }
      return write(text + ",\"lines\":[\(lines)]}\n")
    }
    if !answer.lines.isEmpty { write(answer.lines.joined(separator: "\n") + "\n") }
  }

  private func tell(_ command: String, _ error: CommandError) {
    if options.json {
      return write("{\"command\":\(Format.json(command)),\"ok\":false,\"error\":\(Format.json(error.message))}\n")
    }
    System.write(Array("vitrine: \(command): \(error.message)\n".utf8), to: options.errors)
  }

  private func write(_ text: String) { System.write(Array(text.utf8), to: options.output) }
}
