// Commands that let the program go on, and those that say where it is to stop.

import Debugger
import LinuxABI

extension Console {
  static var movements: [Command] {
    [
      Command(
        names: ["step", "s"], usage: "step [N]", summary: "execute N instructions (1), into calls",
        words: .none
      ) { (console, text) throws(CommandError) in try console.move(.step(try console.count(text, 1))) },
      Command(
        names: ["next", "n"], usage: "next [N]",
        summary: "the same, but calls and repeated strings count as one",
        words: .none
      ) { (console, text) throws(CommandError) in try console.move(.next(try console.count(text, 1))) },
      Command(
        names: ["finish", "f"], usage: "finish",
        summary: "run until the function has returned, or the inlined call is over",
        words: .none
      ) { (console, _) throws(CommandError) in try console.move(.finish) },
      Command(
        names: ["until", "u"], usage: "until PLACE",
        summary: "run until execution gets to PLACE, or any copy of that function",
        words: .place
      ) { (console, text) throws(CommandError) in
        try console.move(.until(try console.subject.codePlaces(text)))
      },
      Command(
        names: ["until-cursor"], usage: "until-cursor", summary: "run to the cursor of the code panel",
        words: .none
      ) { (console, _) throws(CommandError) in
        let address = console.workspace.code?.cursor ?? console.subject.registers.rip
        return try console.move(.until([CodePlace(address: address)]))
      },
      Command(
        names: ["continue", "c"], usage: "continue [N]", summary: "run; N-1 further stops do not count",
        words: .none
      ) { (console, text) throws(CommandError) in
        let count = try console.count(text, 1)
        var answer = try console.move(.go)
        for _ in 1..<count {
          guard case .stopped = console.subject.condition else { break }
          answer = try console.move(.go)
        }
        return answer
      },
      Command(names: ["stop"], usage: "stop", summary: "stop the running program", words: .none) {
        (console, _) throws(CommandError) in
        console.subject.interrupt()
        console.settle()
        return console.subject.isRunning ? Answer() : console.conditionAnswer()
      },
      Command(
        names: ["signal"], usage: "signal SIG|0",
        summary: "go on with this signal in place of the one stopped for",
        words: .none
      ) { (console, text) throws(CommandError) in
        guard let number = text == "0" ? 0 : SignalText.number(text) else {
          throw CommandError("no signal \(text)")
        }
        try console.requireChangeable()
        console.subject.setSignal(number)
        return try console.move(.go)
      },
      Command(
        names: ["thread", "threads"], usage: "thread [N]",
        summary: "list threads, or choose the one that panels show", words: .thread
      ) { (console, text) throws(CommandError) in try console.thread(text) },
    ]
  }

  private func thread(_ text: Substring) throws(CommandError) -> Answer {
    try requireStopped()
    if !text.isEmpty {
      let number = try subject.evaluate(String(text))
      guard subject.chooseThread(number) else { throw CommandError("no thread \(number)") }
    }
    let lines = subject.threads.map {
      ($0.number == subject.currentThread ? "* " : "  ") + "\($0.number)  " + subject.place($0.rip)
        + ($0.isWaiting ? "  (in a system call)" : "")
    }
    return Answer(lines)
  }

  static var stops: [Command] {
    [
      Command(
        names: ["break", "b"], usage: "break [PLACE] [if CONDITION]",
        summary: "stop at PLACE (here) and all copies of that function, where CONDITION holds",
        words: .place
      ) { (console, text) throws(CommandError) in try console.setBreakpoint(text) },
      Command(
        names: ["watch"], usage: "watch PLACE [SIZE]",
        summary: "stop behind writes that change SIZE bytes (8)",
        words: .place
      ) { (console, text) throws(CommandError) in try console.watch(text, .change) },
      Command(names: ["rwatch"], usage: "rwatch PLACE [SIZE]", summary: "stop behind reads", words: .place) {
        (console, text) throws(CommandError) in try console.watch(text, .read)
      },
      Command(
        names: ["wwatch"], usage: "wwatch PLACE [SIZE]",
        summary: "stop behind writes, also of what is there already", words: .place
      ) { (console, text) throws(CommandError) in try console.watch(text, [.write, .change]) },
      Command(
        names: ["awatch"], usage: "awatch PLACE [SIZE]", summary: "stop behind reads and writes",
        words: .place
      ) {
        (console, text) throws(CommandError) in try console.watch(text, [.read, .write, .change])
      },
      Command(
        names: ["xwatch"], usage: "xwatch PLACE [SIZE]",
        summary: "stop in front of all instructions that begin in SIZE bytes (8)", words: .place
      ) { (console, text) throws(CommandError) in try console.watchCode(text) },
      Command(
        names: ["catch"], usage: "catch [CALL…|all|none|exec|fork]",
        summary: "stop around system calls by name; at new programs; at new processes", words: .call
      ) { (console, text) throws(CommandError) in try console.catchCalls(text) },
      Command(
        names: ["handle"], usage: "handle SIG stop|pass", summary: "stop at a signal, or let it pass",
        words: .none
      ) { (console, text) throws(CommandError) in try console.handle(text) },
      Command(
        names: ["delete", "d"], usage: "delete N…|all", summary: "remove breakpoints by number", words: .none
      ) {
        (console, text) throws(CommandError) in
        try console.each(text) { console.subject.removeBreakpoint($0) }
      },
      Command(
        names: ["enable"], usage: "enable N…|all", summary: "make breakpoints count again", words: .none
      ) {
        (console, text) throws(CommandError) in try console.each(text) { console.enable($0, true) }
      },
      Command(
        names: ["disable"], usage: "disable N…|all", summary: "keep breakpoints, but do not stop",
        words: .none
      ) {
        (console, text) throws(CommandError) in try console.each(text) { console.enable($0, false) }
      },
      Command(
        names: ["breakpoints"], usage: "breakpoints", summary: "list breakpoints and watchpoints",
        words: .none
      ) {
        (console, _) throws(CommandError) in
        Answer(console.subject.breakpoints.map { "\($0.number) \(BreakpointPanel.text($0))" })
      },
    ]
  }

  private func setBreakpoint(_ text: Substring) throws(CommandError) -> Answer {
    var place = text
    var condition: Expression?
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    if let index = words.firstIndex(of: "if") {
      place = Substring(words[..<index].joined(separator: " "))
      condition = try Expression(words[(index + 1)...].joined(separator: " "))
    }
    if let found = subject.lineAddresses(place) { return try addLine(found, place, condition) }
    let functions = place.isEmpty ? [] : subject.functionPlaces(place)
    if !functions.isEmpty { return try addFunction(functions, place, condition) }
    let address = place.isEmpty ? subject.registers.rip : try self.address(place)
    let name = place.isEmpty ? subject.describe(address) ?? "0x" + Format.hex(address) : String(place)
    return try added(Breakpoint(number: 0, kind: .code, address: address, place: name, condition: condition))
  }

  private func watch(_ text: Substring, _ kinds: AccessKinds) throws(CommandError) -> Answer {
    let (place, size) = try placeAndSize(text)
    let kind = Breakpoint.Kind.data(size: size, kinds)
    return try added(Breakpoint(number: 0, kind: kind, address: try address(place), place: String(place)))
  }

  private func watchCode(_ text: Substring) throws(CommandError) -> Answer {
    let (place, size) = try placeAndSize(text)
    let address = try address(place)
    return try added(Breakpoint(number: 0, kind: .range(size: size), address: address, place: String(place)))
  }

  /// Words for bytes: those that somebody has written, else `PLACE SIZE` of what is chosen in the memory panel.
  func wordsForBytes(_ text: Substring) -> Substring {
    guard text.isEmpty, let chosen = workspace.selection else { return text }
    return Substring("0x\(Format.hex(chosen.lowerBound)) \(chosen.count)")
  }

  /// `PLACE [SIZE]`, of bytes: the size is the last word, if it is a number and not all there is.
  func placeAndSize(_ text: Substring) throws(CommandError) -> (place: Substring, size: UInt64) {
    let text = wordsForBytes(text)
    var place = text
    var size: UInt64 = 8
    if let blank = text.lastIndex(of: " "), let number = UInt64(text[text.index(after: blank)...]) {
      (place, size) = (text[..<blank], number)
    }
    guard size > 0, size <= 1 << 30 else { throw CommandError("a size from 1 to 2^30 is wanted") }
    return (place, size)
  }

  func added(_ breakpoint: Breakpoint) throws(CommandError) -> Answer {
    if let problem = subject.problem(with: breakpoint) { throw CommandError(problem) }
    guard let new = subject.add(breakpoint) else {
      throw CommandError("no memory at 0x\(Format.hex(breakpoint.address))")
    }
    var answer = Answer("\(new.number) \(BreakpointPanel.text(new)) (0x\(Format.hex(new.address)))")
    answer.add("number", number: new.number)
    answer.add("address", new.address)
    return answer
  }

  private func catchCalls(_ text: Substring) throws(CommandError) -> Answer {
    if text.isEmpty || text == "all" {
      subject.caughtCalls = []
      return Answer("all system calls stop")
    }
    if text == "none" {
      subject.caughtCalls = nil
      (subject.stopsAtExecutions, subject.stopsAtForks) = (false, false)
      return Answer("system calls do not stop")
    }
    if text == "exec" {
      subject.stopsAtExecutions = true
      return Answer("stops where a program begins")
    }
    if text == "fork" {
      subject.stopsAtForks = true
      return Answer("stops where a process is made")
    }
    var numbers = subject.caughtCalls ?? []
    for name in text.split(separator: " ") {
      guard let number = subject.callNumber(named: String(name)) ?? UInt64(name) else {
        throw CommandError("no system call \(name)")
      }
      numbers.insert(number)
    }
    subject.caughtCalls = numbers
    return Answer(
      "stops around " + numbers.sorted().map { subject.callName($0) ?? String($0) }.joined(separator: ", "))
  }

  private func handle(_ text: Substring) throws(CommandError) -> Answer {
    let (name, what) = Console.split(text)
    guard let signal = SignalText.number(name) else { throw CommandError("no signal \(name)") }
    guard what == "stop" || what == "pass" else { throw CommandError("stop or pass is wanted") }
    let bit: UInt64 = 1 << UInt64(signal - 1)
    if what == "pass" { subject.passedSignals |= bit } else { subject.passedSignals &= ~bit }
    return Answer("\(SignalText.name(signal)) \(what == "pass" ? "passes" : "stops")")
  }

  private func each(_ text: Substring, _ change: (Int) -> Bool) throws(CommandError) -> Answer {
    if text.isEmpty { throw CommandError("which ones? A number, or all") }
    let numbers =
      text == "all" ? subject.breakpoints.map(\.number) : text.split(separator: " ").map { Int($0) ?? 0 }
    for number in numbers where !change(number) { throw CommandError("no breakpoint \(number)") }
    return Answer()
  }

  private func enable(_ number: Int, _ isEnabled: Bool) -> Bool {
    guard var breakpoint = subject.breakpoints.first(where: { $0.number == number }) else { return false }
    breakpoint.isEnabled = isEnabled
    subject.change(breakpoint)
    return true
  }
}
