// Commands about source lines: steps by lines, the text of sources, where the code of a line is.

import VirtualMachine

extension Console {
  static var sourceLines: [Command] {
    [
      lineStep(
        "step-line", "sl", "go to the beginning of N other source lines (1), into functions that have lines"
      ) {
        .stepLine($0)
      },
      lineStep("next-line", "nl", "the same, but calls are part of their line") { .nextLine($0) },
      lineStep("reverse-step-line", "rsl", "back to the beginning of the source line, or of the one before") {
        .back(.stepLine($0))
      },
      lineStep("reverse-next-line", "rnl", "the same, but calls that have returned are part of their line") {
        .back(.nextLine($0))
      },
      Command(
        names: ["list", "l"], usage: "list [PLACE] [COUNT]",
        summary: "show the source around the present or PLACE (10 lines)",
        words: .place
      ) { (console, text) throws(CommandError) in try console.list(text) },
      Command(
        names: ["lines"], usage: "lines [FILE]",
        summary: "show where the code of the lines of this function, or of a source, begins", words: .none
      ) { (console, text) throws(CommandError) in
        text.isEmpty ? try console.linesOfFunction() : try console.lines(of: Array(text.utf8))
      },
    ]
  }

  private static func lineStep(
    _ name: String, _ short: String, _ summary: String, _ movement: @escaping (Int) -> Movement
  ) -> Command {
    Command(names: [name, short], usage: "\(name) [N]", summary: summary, words: .none) {
      (console, text) throws(CommandError) in
      var answer = try console.move(movement(try console.count(text, 1)))
      if !console.subject.isRunning, let line = console.sourceText(console.subject.presentLine) {
        answer.lines.append(line)
      }
      return answer
    }
  }

  /// `12  text of the line`; nil where there is none.
  func sourceText(_ line: SourceLine?) -> String? {
    guard let line, let text = subject.objects?.source(line.path)?.line(line.line) else { return nil }
    return "\(line.line)  \(text)"
  }

  /// Where the program stands in its source.
  func addPresent(to answer: inout Answer) {
    guard let line = subject.presentLine else { return }
    answer.add("file", text: String(decoding: line.path, as: UTF8.self))
    answer.add("line", number: line.line)
    if let call = subject.presentFrames.first, call.isInlined { answer.add("inlined", text: call.name) }
  }

  /// The frames as a list of objects.
  var framesAsJSON: String {
    var objects: [String] = []
    func add(_ frame: StackFrame, _ name: String?, _ line: SourceLine?, isInlined: Bool) {
      var object = "{\"address\":\(Format.json("0x" + Format.hex(frame.address))),\"inlined\":\(isInlined)"
      if let name { object += ",\"function\":\(Format.json(name))" }
      if let line {
        object += ",\"file\":\(Format.json(String(decoding: line.path, as: UTF8.self))),\"line\":\(line.line)"
      }
      objects.append(object + "}")
    }
    for (number, frame) in subject.frames.enumerated() {
      let parts = subject.sourceFrames(of: frame, number: number)
      for call in parts.dropLast() { add(frame, call.name, call.line, isInlined: true) }
      let symbol = subject.objects?.symbol(at: frame.lookup).map { LoadedObjects.readable($0) }
      let line = parts.last?.line ?? subject.objects?.line(at: frame.lookup)
      add(frame, symbol ?? parts.last?.name, line, isInlined: false)
    }
    return "[" + objects.joined(separator: ",") + "]"
  }

  // MARK: Sources

  private func list(_ text: Substring) throws(CommandError) -> Answer {
    var (place, count) = (text, 10)
    if let number = Int(text), number > 0 {
      (place, count) = ("", number)
    } else if let blank = text.lastIndex(of: " "), let number = Int(text[text.index(after: blank)...]),
      number > 0
    {
      (place, count) = (text[..<blank], number)
    }
    let (path, middle) = try sourcePlace(place)
    guard let source = subject.objects?.source(path) else {
      throw CommandError("cannot read \(String(decoding: path, as: UTF8.self))")
    }
    guard middle <= source.count else { throw CommandError("the source has \(source.count) lines") }
    count = min(count, source.count)
    let first = max(1, min(middle - count / 2, source.count - count + 1))
    let present = subject.presentLine.flatMap { $0.path == path ? $0.line : nil }
    var answer = Answer()
    for number in first..<(first + count) {
      let mark = number == present ? "=>" : "  "
      answer.lines.append("\(mark) \(Format.right(String(number), 4))  \(source.line(number) ?? "")")
    }
    answer.add("file", text: String(decoding: path, as: UTF8.self))
    answer.add("line", number: middle)
    return answer
  }

  /// A source and a line of it: of the present, of `file.c:12` whether or not that line has code, or of an address.
  private func sourcePlace(_ place: Substring) throws(CommandError) -> (path: [UInt8], line: Int) {
    let present = subject.presentLine
    if let wanted = LoadedObjects.fileAndLine(place) {
      for object in subject.objects?.all ?? [] {
        if let row = object.lines.rows(of: wanted.file).first { return (row.path, wanted.line) }
      }
      throw CommandError("no source \(String(decoding: wanted.file, as: UTF8.self)) is known")
    }
    if place.hasPrefix(":"), let line = Int(place.dropFirst()), line > 0, let present {
      return (present.path, line)
    }
    let function = place.isEmpty ? nil : subject.functionPlaces(place).first
    if let function, function.isInlined,
      let call = subject.objects?.sourceFrames(at: function.address).first(where: {
        $0.identity == function.identity
      }),
      let line = call.line
    {
      return (line.path, line.line)
    }
    let address = place.isEmpty ? subject.registers.rip : try self.address(place)
    guard let line = subject.objects?.line(at: address) else {
      throw CommandError("no source line is known of \(subject.place(address))")
    }
    return (line.path, line.line)
  }

  /// The rows of the function where the program stands.
  private func linesOfFunction() throws(CommandError) -> Answer {
    let rip = subject.registers.rip
    guard let objects = subject.objects, let symbol = objects.symbol(at: rip), symbol.size > 0 else {
      throw CommandError("no function is known here; lines FILE")
    }
    var answer = Answer()
    var place = symbol.address
    // A symbol of a damaged file may have any size.
    let most: UInt64 = 1 << 24
    let end = symbol.address &+ min(symbol.size, most)
    while place < end {
      guard let line = objects.line(at: place), line.range.upperBound > place else {
        // A byte without a line.
        place &+= 1
        continue
      }
      let mark = line.range.contains(rip) ? "=>" : "  "
      answer.lines.append(
        "\(mark) \(Format.hex(place, digits: 8)) \(line.name) \(sourceText(line) ?? String(line.line))")
      place = line.range.upperBound
    }
    if answer.lines.isEmpty { throw CommandError("no source line is known here") }
    return answer
  }

  /// The lines of a source with code, and where that is.
  private func lines(of file: [UInt8]) throws(CommandError) -> Answer {
    var places: [Int: [UInt64]] = [:]
    for object in subject.objects?.all ?? [] {
      for row in object.lines.rows(of: file) where row.isStatement {
        places[row.line, default: []].append(row.address &+ object.loadBias)
      }
    }
    if places.isEmpty { throw CommandError("no source \(String(decoding: file, as: UTF8.self)) is known") }
    return Answer(
      places.keys.sorted().map { line in
        let addresses = Set(places[line] ?? []).sorted().map { "0x" + Format.hex($0) }
        return "\(line)  \(addresses.joined(separator: " "))"
      })
  }

  // MARK: Breakpoints

  /// A breakpoint wherever the line begins.
  func addLine(
    _ found: (line: Int, addresses: [UInt64]), _ place: Substring, _ condition: Expression?
  ) throws(CommandError) -> Answer {
    let file = place.prefix { $0 != ":" }
    let name =
      file.isEmpty
      ? subject.presentLine?.name ?? "" : String(place[..<(place.lastIndex(of: ":") ?? place.endIndex)])
    var answer = Answer()
    for address in found.addresses {
      let one = try added(
        Breakpoint(
          number: 0, kind: .code, address: address, place: "\(name):\(found.line)", condition: condition))
      answer.lines += one.lines
      if answer.fields.isEmpty { answer.fields = one.fields }
    }
    return answer
  }

  /// A breakpoint wherever a function begins: its own code, and each copy of it.
  func addFunction(
    _ places: [FunctionPlace], _ name: Substring, _ condition: Expression?
  ) throws(CommandError) -> Answer {
    var answer = Answer()
    for place in places {
      var new = Breakpoint(
        number: 0, kind: .code, address: place.address, place: String(name), condition: condition)
      if place.isInlined {
        (new.call, new.around) = (place.identity, subject.describe(place.address) ?? "?")
      }
      let one = try added(new)
      answer.lines += one.lines
      if answer.fields.isEmpty { answer.fields = one.fields }
    }
    return answer
  }
}
