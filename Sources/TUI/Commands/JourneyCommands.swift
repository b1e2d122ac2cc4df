// Commands that go through the time of a recording: the movements backwards, and those to an instant.

extension Console {
  static var journeys: [Command] {
    [
      Command(
        names: ["reverse-step", "rs", "back"], usage: "reverse-step [N]",
        summary: "N instructions (1) back, in a recording", words: .none
      ) { (console, text) throws(CommandError) in
        try console.move(.back(.step(try console.count(text, 1))))
      },
      Command(
        names: ["reverse-next", "rn"], usage: "reverse-next [N]",
        summary: "the same, but calls that have returned count as one", words: .none
      ) { (console, text) throws(CommandError) in
        try console.move(.back(.next(try console.count(text, 1))))
      },
      Command(
        names: ["reverse-finish", "rf"], usage: "reverse-finish",
        summary: "back to the call of this function, or where the inlined call began",
        words: .none
      ) { (console, _) throws(CommandError) in try console.move(.back(.finish)) },
      Command(
        names: ["reverse-until", "ru"], usage: "reverse-until PLACE",
        summary: "back to when execution was at PLACE",
        words: .place
      ) { (console, text) throws(CommandError) in
        try console.move(.back(.until(try console.subject.codePlaces(text))))
      },
      Command(
        names: ["reverse-until-cursor"], usage: "reverse-until-cursor",
        summary: "back to when execution was at the code panel's cursor", words: .none
      ) { (console, _) throws(CommandError) in
        let address = console.workspace.code?.cursor ?? console.subject.registers.rip
        return try console.move(.back(.until([CodePlace(address: address)])))
      },
      Command(
        names: ["reverse-continue", "rc", "reverse"], usage: "reverse-continue [N]",
        summary: "back to the last stop; N-1 further ones do not count", words: .none
      ) { (console, text) throws(CommandError) in
        let count = try console.count(text, 1)
        var answer = try console.move(.back(.go))
        for _ in 1..<count {
          guard case .stopped(let stop) = console.subject.condition, stop.kind != .start else { break }
          answer = try console.move(.back(.go))
        }
        return answer
      },
      Command(
        names: ["seek"], usage: "seek INSTANT|start|end",
        summary: "go to an instant of a recording: after so many instructions", words: .place
      ) { (console, text) throws(CommandError) in try console.seek(text) },
      Command(
        names: ["last-change", "who-wrote"], usage: "last-change PLACE [SIZE]",
        summary: "back to what changed SIZE bytes (8) last", words: .place
      ) { (console, text) throws(CommandError) in
        let (place, size) = try console.placeAndSize(text)
        let start = try console.address(place)
        let (end, overflow) = start.addingReportingOverflow(size)
        if overflow { throw CommandError("that is beyond the end of memory") }
        return try console.move(.lastChange(start..<end))
      },
      Command(
        names: ["where"], usage: "where", summary: "show the instant, the event, the thread and the place",
        words: .none
      ) { (console, _) throws(CommandError) in try console.showInstant() },
      Command(
        names: ["checkpoints"], usage: "checkpoints", summary: "show what journeys in a recording begin from",
        words: .none
      ) { (console, _) throws(CommandError) in
        guard let timeLine = console.subject.timeLine else { throw CommandError("this is no recording") }
        var answer = Answer("\(timeLine.checkpoints.count) checkpoints, \(timeLine.checkpointBytes) bytes")
        answer.add("checkpoints", number: timeLine.checkpoints.count)
        return answer
      },
      Command(
        names: ["timelines"], usage: "timelines",
        summary:
          "show what changes in a recording have led to: where each timeline branches off, and its end",
        words: .none
      ) { (console, _) throws(CommandError) in try console.showTimelines() },
      Command(
        names: ["timeline"], usage: "timeline N",
        summary: "go over to timeline N, at the same instant; 0 is what was recorded", words: .none
      ) { (console, text) throws(CommandError) in
        try console.requireStopped()
        guard let number = Int(text) else { throw CommandError("the number of a timeline is wanted") }
        if let problem = console.subject.choose(timeline: number) { throw CommandError(problem) }
        console.workspace.programMoved()
        var answer = try console.showInstant()
        answer.lines.removeLast(max(0, answer.lines.count - 1))
        return answer
      },
      Command(names: ["hash"], usage: "hash", summary: "a number for all of memory", words: .none) {
        (console, _) throws(CommandError) in
        guard let hash = console.subject.memoryHash else { throw CommandError("this is no recording") }
        var answer = Answer("0x" + Format.hex(hash))
        answer.add("hash", hash)
        return answer
      },
    ]
  }

  func seek(_ text: Substring) throws(CommandError) -> Answer {
    switch text {
    case "": throw CommandError("an instant is wanted: a number, start or end")
    case "start": return try move(.seek(0))
    case "end": return try move(.seek(nil))
    default:
      let target = try address(text)
      guard target < 1 << 62 else { throw CommandError("there is no such instant") }
      return try move(.seek(Int64(target)))
    }
  }

  private func showInstant() throws(CommandError) -> Answer {
    let subject = subject
    let rip = subject.registers.rip
    var text = "thread \(subject.currentThread), \(subject.presentPlace(rip))"
    if let timeLine = subject.timeLine {
      text = "instant \(timeLine.present) of \(timeLine.length), event \(timeLine.eventCount), " + text
      if timeLine.timeline != 0 { text = "timeline \(timeLine.timeline), " + text }
    }
    var answer = Answer(text)
    if let line = sourceText(subject.presentLine) { answer.lines.append(line) }
    if let line = CodeReading(subject, syntax: workspace.syntax).instruction(at: rip) {
      answer.lines.append("=> \(Format.hex(rip, digits: 8)) \(line.text)")
    }
    if let timeLine = subject.timeLine {
      answer.add("timeline", number: timeLine.timeline)
      answer.add("instant", number: Int(timeLine.present))
    }
    answer.add("rip", rip)
    addPresent(to: &answer)
    return answer
  }

  private func showTimelines() throws(CommandError) -> Answer {
    let all = subject.timelines
    guard let present = subject.timeLine?.timeline else { throw CommandError("this is no recording") }
    var answer = Answer()
    var objects: [String] = []
    for line in all {
      let mark = line.number == present ? "*" : " "
      let end = line.end.map { RecordedMachine.text($0) }
      let reached = end.map { "; at instant \(line.reached): \($0)" } ?? ""
      answer.lines.append("\(mark) \(line.number)  \(line.origin)\(reached)")
      var object = "{\"number\":\(line.number),\"parent\":\(line.parent),\"instant\":\(line.instant)"
      object += ",\"edits\":[" + line.edits.map { Format.json($0) }.joined(separator: ",") + "]"
      object += ",\"end\":" + (end.map { Format.json($0) } ?? "null")
      objects.append(object + ",\"reached\":\(line.reached)}")
    }
    answer.fields.append(("timelines", "[" + objects.joined(separator: ",") + "]"))
    answer.add("timeline", number: present)
    return answer
  }
}
