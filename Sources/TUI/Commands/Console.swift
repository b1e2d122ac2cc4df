// Commands: what is typed behind `:`, bound to keys, and executed from scripts. One table of them with their help; each answers lines
// for people and fields for programs, or fails with a message.

import VirtualMachine

/// What a command has to say.
struct Answer {
  var lines: [String] = []
  /// Names and values for JSON; values are JSON already.
  var fields: [(name: String, value: String)] = []

  init(_ lines: [String] = []) { self.lines = lines }
  init(_ line: String) { lines = [line] }

  mutating func add(_ name: String, _ value: UInt64) {
    fields.append((name, Format.json("0x" + Format.hex(value))))
  }
  /// A value that is JSON.
  mutating func add(_ name: String, json: String) { fields.append((name, json)) }
  mutating func add(_ name: String, number: Int) { fields.append((name, String(number))) }
  mutating func add(_ name: String, text: String) { fields.append((name, Format.json(text))) }
}

/// One command of the table.
struct Command {
  /// What its words are, for completion.
  enum Words { case none, place, panel, command, thread, call }
  let names: [String]
  let usage: String
  let summary: String
  let words: Words
  let run: (Console, Substring) throws(CommandError) -> Answer
}

/// Executes commands on a subject.
final class Console {
  let subject: any Subject
  let workspace: Workspace
  /// Waits until the program stands still; does nothing where somebody watches and can go on typing.
  let settle: () -> Void
  /// Lets time pass (milliseconds), or until the closure is true.
  let wait: (Int64, () -> Bool) -> Void
  /// Ends the debugger.
  var quits = false
  var sources = 0
  /// What `find` has looked for last.
  var lastSearch = ""
  private(set) var table: [Command] = []

  init(
    subject: any Subject, workspace: Workspace, settle: @escaping () -> Void,
    wait: @escaping (Int64, () -> Bool) -> Void
  ) {
    (self.subject, self.workspace, self.settle, self.wait) = (subject, workspace, settle, wait)
    table =
      Console.movements + Console.journeys + Console.searches + Console.sourceLines + Console.stops
      + Console.looks + Console.activities + Console.changes + Console.views + Console.tests
  }

  func command(named name: String) -> Command? {
    if let exact = table.first(where: { $0.names.contains(name) }) { return exact }
    let matches = table.filter { $0.names[0].hasPrefix(name) }
    return matches.count == 1 ? matches[0] : nil
  }

  /// Executes one line.
  func execute(_ line: String) -> Result<Answer, CommandError> {
    let text = line.drop { $0 == " " || $0 == "\t" }
    let name = text.prefix { $0 != " " && $0 != "\t" }
    if name.isEmpty || name.hasPrefix("#") { return .success(Answer()) }
    guard let command = command(named: String(name)) else {
      let similar = table.filter { $0.names[0].hasPrefix(name) }.map { $0.names[0] }
      let hint = similar.isEmpty ? "" : " (\(similar.joined(separator: ", ")))"
      return .failure(CommandError("unknown command: \(name)\(hint)"))
    }
    var rest = text.dropFirst(name.count).drop { $0 == " " || $0 == "\t" }
    while let last = rest.last, last == " " || last == "\t" || last == "\r" { rest.removeLast() }
    do { return .success(try command.run(self, rest)) } catch { return .failure(error) }
  }

  // MARK: What commands share

  func requireStopped() throws(CommandError) {
    if subject.isRunning { throw CommandError("the program is running") }
  }

  /// Registers, memory and what the program is told can be changed, and now.
  func requireChangeable() throws(CommandError) {
    try requireStopped()
    if let refusal = subject.refusal { throw CommandError(refusal) }
  }

  /// What an expression is worth.
  func address(_ text: Substring) throws(CommandError) -> UInt64 {
    // Names of files may look like expressions.
    if let line = subject.lineAddresses(text)?.addresses.first { return line }
    // And so may names of C++.
    if Expression.isScopedName(text), let function = subject.functionPlaces(text).first {
      return function.address
    }
    return try subject.evaluate(String(text))
  }

  /// A count in decimal or as an expression; `standard` when there is none.
  func count(_ text: Substring, _ standard: Int, most: Int = 1_000_000_000) throws(CommandError) -> Int {
    if text.isEmpty { return standard }
    let value = try subject.evaluate(String(text))
    guard value >= 1, value <= UInt64(most) else {
      throw CommandError("a number from 1 to \(most) is wanted")
    }
    return Int(value)
  }

  /// The first word and what follows it.
  static func split(_ text: Substring) -> (first: Substring, rest: Substring) {
    let first = text.prefix { $0 != " " }
    return (first, text.dropFirst(first.count).drop { $0 == " " })
  }

  func move(_ movement: Movement) throws(CommandError) -> Answer {
    if let problem = subject.begin(movement) { throw CommandError(problem) }
    settle()
    if let failure = subject.failure { throw CommandError(failure) }
    return conditionAnswer()
  }

  func conditionAnswer() -> Answer {
    var answer: Answer
    switch subject.condition {
    case .running: return Answer()
    case .stopped(let stop):
      answer = Answer(stop.text)
      answer.add("stop", text: stop.kind.rawValue)
      answer.add("rip", subject.registers.rip)
      answer.add("thread", number: Int(truncatingIfNeeded: subject.currentThread))
      addPresent(to: &answer)
    case .ended(let termination):
      answer = Answer(Workspace.text(termination))
      answer.add("stop", text: "end")
      switch termination {
      case .exited(let code): answer.add("code", number: Int(code))
      case .killed(let signal): answer.add("signal", number: Int(signal))
      default: break
      }
    }
    if let timeLine = subject.timeLine {
      if timeLine.timeline != 0 { answer.add("timeline", number: timeLine.timeline) }
      answer.add("instant", number: Int(timeLine.present))
    }
    return answer
  }

  // MARK: Completion

  /// The words that could stand where the last one of `text` stands.
  func completions(_ text: String) -> [String] {
    let words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    guard let last = words.last else { return [] }
    if words.count == 1 {
      return table.flatMap { $0.names.filter { $0.count > 1 } }.filter { $0.hasPrefix(last) }.sorted()
    }
    guard let command = command(named: words[0]) else { return [] }
    switch command.words {
    case .none: return []
    case .place: return places(last)
    case .panel: return PanelKind.allCases.map(\.rawValue).filter { $0.hasPrefix(last) }
    case .command: return table.map { $0.names[0] }.filter { $0.hasPrefix(last) }
    case .thread: return subject.threads.map { String($0.number) }.filter { $0.hasPrefix(last) }
    case .call: return (0..<600).compactMap { subject.callName($0) }.filter { $0.hasPrefix(last) }
    }
  }

  private func places(_ prefix: String) -> [String] {
    if prefix.isEmpty { return [] }
    let bytes = Array(prefix.utf8)
    var found = Set<String>(Registers.generalNames.filter { $0.hasPrefix(prefix) })
    for object in subject.objects?.all ?? [] {
      for symbol in object.symbols.all where symbol.name.starts(with: bytes) {
        found.insert(LoadedObjects.readable(symbol))
        if found.count > 500 { break }
      }
    }
    return found.sorted()
  }
}

extension Workspace {
  static func text(_ termination: Termination) -> String {
    switch termination {
    case .exited(let code): return "exited with code \(code)"
    case .killed(let signal): return "killed by \(SignalText.name(signal))"
    case .budgetSpent: return "the budget of instructions is spent"
    case .failed(let message): return message
    }
  }
}
