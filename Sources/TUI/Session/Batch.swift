// Commands without a terminal: from the command line, from a file; answers as text or as JSON; the first failure is the end.

struct Batch {
  private let console: Console
  private let options: DebugOptions

  init(_ console: Console, _ options: DebugOptions) {
    self.console = console
    self.options = options
  }

  /// Executes the commands up to the first one that fails; 0, or then 1.
  func run() -> Int32 {
    for command in options.commands where !console.quits {
      if !execute(command) { return 1 }
    }
    return 0
  }

  /// Executes a command and tells its answer; false when it has failed.
  func execute(_ command: String) -> Bool {
    let text = command.drop { $0 == " " || $0 == "\t" }
    if text.isEmpty || text.hasPrefix("#") { return true }
    switch console.execute(command) {
    case .success(let answer): tell(command, answer)
    case .failure(let error):
      tell(command, error)
      return false
    }
    return true
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
      return write(
        "{\"command\":\(Format.json(command)),\"ok\":false,\"error\":\(Format.json(error.message))}\n")
    }
    System.write(Array("vitrine: \(command): \(error.message)\n".utf8), to: options.errors)
  }

  private func write(_ text: String) { System.write(Array(text.utf8), to: options.output) }
}
