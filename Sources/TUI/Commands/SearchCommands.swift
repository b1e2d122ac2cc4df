// Commands that look for an instant: the next or previous call of a function, system call of some kind, or time at which something holds.

extension Console {
  static var searches: [Command] {
    [
      Command(
        names: ["next-call", "nc"], usage: "next-call [FUNCTION]",
        summary: "run to where this function, or FUNCTION, is called next", words: .place
      ) { (console, text) throws(CommandError) in
        try console.move(.until(try console.functionEntries(text)))
      },
      Command(
        names: ["previous-call", "pc"], usage: "previous-call [FUNCTION]",
        summary: "back to where this function, or FUNCTION, was called last", words: .place
      ) { (console, text) throws(CommandError) in
        try console.move(.back(.until(try console.functionEntries(text))))
      },
      Command(
        names: ["next-syscall", "ns"], usage: "next-syscall [CALL…] [\"TEXT\"] [if COND]",
        summary: "run until such a system call has returned: TEXT is part of its line in the list of calls",
        words: .call
      ) { (console, text) throws(CommandError) in try console.move(.call(try console.callPattern(text))) },
      Command(
        names: ["previous-syscall", "ps"], usage: "previous-syscall [CALL…] [\"TEXT\"] [if COND]",
        summary: "back to the last such system call; rdi, rsi, … are its arguments, rax is its result",
        words: .call
      ) { (console, text) throws(CommandError) in
        try console.move(.back(.call(try console.callPattern(text))))
      },
      Command(
        names: ["when"], usage: "when CONDITION",
        summary: "run to where CONDITION begins to hold for this thread, instruction by instruction",
        words: .place
      ) { (console, text) throws(CommandError) in try console.move(.when(try console.predicate(text))) },
      Command(
        names: ["reverse-when", "last-when"], usage: "reverse-when CONDITION",
        summary: "back to where CONDITION held last; where it holds, to where it began to", words: .place
      ) { (console, text) throws(CommandError) in
        try console.move(.back(.when(try console.predicate(text))))
      },
    ]
  }

  /// Where a function begins: the one of this name, or the one where the program stands.
  private func functionEntries(_ text: Substring) throws(CommandError) -> [CodePlace] {
    if !text.isEmpty { return try subject.codePlaces(text) }
    if let frame = subject.presentFrames.first, frame.isInlined {
      let places = try subject.codePlaces("'\(frame.name)'")
      if !places.isEmpty { return places }
    }
    guard let function = subject.objects?.symbol(at: subject.registers.rip) else {
      throw CommandError("this function has no name")
    }
    return [CodePlace(address: function.address)]
  }

  /// `openat read "passwd" if rax > 3`.
  private func callPattern(_ text: Substring) throws(CommandError) -> CallPattern {
    var pattern = CallPattern()
    var rest = text
    while !rest.isEmpty {
      if rest.hasPrefix("\"") {
        guard let end = rest.dropFirst().firstIndex(of: "\"") else { throw CommandError("\" is missing") }
        pattern.text = String(rest[rest.index(after: rest.startIndex)..<end])
        rest = rest[rest.index(after: end)...].drop { $0 == " " }
        continue
      }
      let (word, others) = Console.split(rest)
      if word == "if" {
        pattern.condition = try predicate(others)
        break
      }
      guard let number = subject.callNumber(named: String(word)) ?? UInt64(word) else {
        throw CommandError("no system call \(word)")
      }
      pattern.numbers.insert(number)
      rest = others
    }
    return pattern
  }

  /// A condition whose names are known.
  private func predicate(_ text: Substring) throws(CommandError) -> Expression {
    let expression = try Expression(String(text))
    for name in expression.names where subject.scope.name(name) == nil {
      throw CommandError("no register or symbol \(name)")
    }
    return expression
  }
}
