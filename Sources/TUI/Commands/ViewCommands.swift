// Commands about the debugger's own screen, searching, help, and those that scripts and tests need.

import VirtualMachine
import X86

extension Console {
  static var views: [Command] {
    [
      Command(
        names: ["goto", "g"], usage: "goto PLACE|@INSTANT",
        summary: "look at code or memory; in a recording, go to an instant", words: .place
      ) { (console, text) throws(CommandError) in
        if text.hasPrefix("@") { return try console.seek(text.dropFirst()) }
        let place = try console.address(text)
        guard console.subject.region(at: place) != nil else {
          throw CommandError("no memory at 0x\(Format.hex(place))")
        }
        console.workspace.goTo(place)
        return Answer(console.subject.place(place))
      },
      Command(
        names: ["find", "/"], usage: "find [\"TEXT\"|BYTES|WORD]",
        summary:
          "look for text or bytes in memory, over code for an instruction, then for a symbol; nothing: again",
        words: .none
      ) { (console, text) throws(CommandError) in try console.find(text) },
      Command(
        names: ["find-code"], usage: "find-code TEXT",
        summary: "look for an instruction behind the code panel's cursor",
        words: .none
      ) { (console, text) throws(CommandError) in try console.findCode(String(text)) },
      Command(
        names: ["syntax"], usage: "syntax intel|att", summary: "choose how instructions are written",
        words: .none
      ) {
        (console, text) throws(CommandError) in
        let isIntel = console.workspace.syntax == .intel
        switch text {
        case "intel": console.workspace.syntax = .intel
        case "att": console.workspace.syntax = .att
        case "other": console.workspace.syntax = isIntel ? .att : .intel
        default: throw CommandError("intel or att is wanted")
        }
        return Answer()
      },
      Command(
        names: ["view"], usage: "view glyphs|hex|ascii|cell N|heat HOW",
        summary:
          "choose how memory panels show bytes, how many a cell has (1, 16, 256, 4096, 65536), and colours",
        words: .none
      ) { (console, text) throws(CommandError) in try console.view(text) },
      Command(
        names: ["vectors"], usage: "vectors bytes|words|longs|quads|floats|doubles",
        summary: "choose the type of vector registers", words: .none
      ) { (console, text) throws(CommandError) in
        guard let type = RegisterPanel.Interpretation(rawValue: String(text)) else {
          throw CommandError("bytes, words, longs, quads, floats or doubles is wanted")
        }
        (console.workspace.panel(.registers) as? RegisterPanel)?.interpretation = type
        return Answer()
      },
      panel("show", "show a panel") { $0.show($1, true) },
      panel("hide", "hide a panel") { $0.show($1, false) },
      panel("focus", "give a panel the keys") { $0.focus(on: $1) },
      panel("zoom", "show one panel only, or all again") {
        $0.layout.zoomed = $0.layout.zoomed == $1 ? nil : $1
        $0.focus(on: $1)
      },
      Command(
        names: ["help", "?"], usage: "help [COMMAND]", summary: "explain keys and commands", words: .command
      ) {
        (console, text) throws(CommandError) in try console.help(text)
      },
      Command(names: ["quit", "q"], usage: "quit", summary: "end the program and the debugger", words: .none)
      {
        (console, _) throws(CommandError) in
        console.quits = true
        return Answer()
      },
    ]
  }

  private static func panel(
    _ name: String, _ summary: String, _ act: @escaping (Workspace, PanelKind) -> Void
  ) -> Command {
    Command(names: [name], usage: "\(name) PANEL", summary: summary, words: .panel) {
      (console, text) throws(CommandError) in
      guard let kind = PanelKind(rawValue: String(text)) else {
        throw CommandError(
          "no panel \(text); there are " + PanelKind.allCases.map(\.rawValue).joined(separator: ", "))
      }
      act(console.workspace, kind)
      return Answer()
    }
  }

  // MARK: Searching

  /// What a word means depends on where one looks: over code it is part of an instruction, else text; and if there is none, a symbol.
  private func find(_ text: Substring) throws(CommandError) -> Answer {
    let isAgain = text.isEmpty
    let wanted = isAgain ? lastSearch : String(text)
    if wanted.isEmpty { throw CommandError("what? \"TEXT\", or bytes in hexadecimal, or a word") }
    lastSearch = wanted
    if wanted.hasPrefix("\"") { return try findBytes(wanted, isAgain) }
    var answer: Answer?
    if [.code, .source].contains(workspace.focus) { answer = try? findCode(wanted) }
    if let answer = answer ?? (try? findBytes(wanted, isAgain)) { return answer }
    guard let symbol = symbol(containing: wanted) else { throw CommandError("not found") }
    workspace.goTo(symbol.address)
    return Answer(subject.place(symbol.address))
  }

  /// The symbol of this name, or the first one whose name contains it.
  private func symbol(containing text: String) -> ELFSymbol? {
    if let exact = subject.objects?.symbol(named: text) { return exact }
    let part = Array(text.utf8)
    for object in subject.objects?.all ?? [] {
      if let found = object.symbols.all.first(where: { Bytes.find(part, in: $0.name, from: 0) != nil }) {
        return found
      }
    }
    return nil
  }

  private func findBytes(_ text: String, _ isAgain: Bool) throws(CommandError) -> Answer {
    let pattern = Bytes.parse(text) ?? Array(text.utf8)
    let start = (workspace.memory?.cursor ?? 0) &+ (isAgain ? 1 : 0)
    let regions = subject.regions
    // From the cursor to the end, then from the beginning.
    for (from, to) in [(start, UInt64.max), (0, start)] {
      for region in regions where region.end > from && region.start < to {
        if let place = find(pattern, from: max(from, region.start), to: region.end) {
          workspace.memory?.look(at: place)
          workspace.focus(on: .memory)
          var answer = Answer("\(subject.place(place)) in \(subject.name(of: region))")
          answer.add("address", place)
          return answer
        }
      }
    }
    throw CommandError("not found")
  }

  private func find(_ wanted: [UInt8], from start: UInt64, to end: UInt64) -> UInt64? {
    let chunk: UInt64 = 1 << 20
    var place = start
    while place < end {
      let size = min(chunk &+ UInt64(wanted.count), end &- place)
      let bytes = subject.bytes(at: place, count: Int(size))
      if let found = Bytes.find(wanted, in: bytes, from: 0) { return place &+ UInt64(found) }
      if bytes.count < Int(size) { return nil }
      place = place &+ chunk
    }
    return nil
  }

  private func findCode(_ text: String) throws(CommandError) -> Answer {
    if text.isEmpty { throw CommandError("a part of an instruction is wanted") }
    let wanted = Array(text.utf8)
    let reading = CodeReading(subject, syntax: workspace.syntax)
    var place = workspace.code?.cursor ?? subject.registers.rip
    for round in 0..<2000 {
      let lines = reading.lines(from: place, count: 64)
      for line in lines.dropFirst(round == 0 ? 1 : 0) {
        // The disassembler sets operands in a column.
        let squeezed = Array(line.text.split(separator: " ").joined(separator: " ").utf8)
        guard Bytes.find(wanted, in: squeezed, from: 0) != nil else { continue }
        workspace.code?.look(at: line.address)
        workspace.focus(on: .code)
        return Answer("\(subject.place(line.address)): \(line.text)")
      }
      guard let last = lines.last else { break }
      place = last.address &+ UInt64(last.bytes.count)
    }
    throw CommandError("not found")
  }

  // MARK: Help

  private static let keys = [
    "s n f c      step, next, finish, continue      u   run to the cursor",
    "S N F C U    the same backwards, in a recording; the wheel over the code steps both ways",
    "space Ctrl-C stop the running program          b   breakpoint at the cursor",
    "g /  :       go to, search, command line       ?   this help",
    "             g @N: an instant; / finds text, bytes, code, symbols",
    "Tab 1…9 0    choose a panel (shows hidden ones)  x hide  z zoom  r as at first",
    "t            type into the program's terminal; Ctrl-] leaves it",
    "arrows Enter move in a panel; follow a jump, a pointer, a frame",
    "v            how memory and vector registers are shown    a  Intel or AT&T",
    "h            colours of memory: how long ago, how often, none;  + -  bytes a cell (Ctrl-wheel)",
    "l            the source; there s n S N are steps by its lines",
    "< >          other thread                      q   quit",
    "m            in memory: choose bytes; watch, accesses … are of them",
    "w            in a recording's memory: who wrote what is chosen",
    "mouse        click on an address: breakpoint; on a register: follow;",
    "             twice on memory, a line: follow; drag in memory: choose;",
    "             wheel: scroll; on the time line of a recording: go there",
    "",
  ]

  private func help(_ text: Substring) throws(CommandError) -> Answer {
    if !text.isEmpty {
      guard let command = command(named: String(text)) else { throw CommandError("no command \(text)") }
      let others = command.names.dropFirst().joined(separator: ", ")
      return Answer(
        [command.usage, "    " + command.summary] + (others.isEmpty ? [] : ["    short: \(others)"]))
    }
    let width = (table.map { $0.usage.count }.max() ?? 0) + 2
    return Answer(
      Console.keys + table.map { Format.padded($0.usage, width) + $0.summary } + [
        "",
        "PLACE and CONDITION are expressions: numbers (10, 0x10), registers (rax, eax, al), symbols,",
        "functions (also inlined ones, 'space::name<int>'), lines (file.c:12),",
        "[rsp + 8] and byte[rdi], word, dword, qword; + - * / % & | ^ << >> == != < <= > >= && || ! ~",
      ])
  }

  // MARK: Scripts and tests

  static var tests: [Command] {
    [
      Command(
        names: ["expect"], usage: "expect EXPRESSION", summary: "fail where the expression is 0",
        words: .place
      ) { (console, text) throws(CommandError) in
        if try console.address(text) != 0 { return Answer() }
        throw CommandError("not so: \(text)")
      },
      Command(
        names: ["expect-stop"], usage: "expect-stop TEXT",
        summary: "fail unless the reason of the stop contains TEXT",
        words: .none
      ) { (console, text) throws(CommandError) in
        let reason = console.subject.isRunning ? "running" : console.conditionAnswer().lines.first ?? ""
        if Bytes.find(Array(text.utf8), in: Array(reason.utf8), from: 0) != nil { return Answer() }
        throw CommandError("the reason is: \(reason)")
      },
      Command(
        names: ["expect-terminal"], usage: "expect-terminal TEXT",
        summary: "fail unless the program's terminal shows TEXT, now or soon", words: .none
      ) { (console, text) throws(CommandError) in
        let wanted = Array(text.utf8)
        func isShown() -> Bool {
          let lines = console.workspace.terminal?.emulator.lines ?? []
          return lines.contains { Bytes.find(wanted, in: Array($0.utf8), from: 0) != nil }
        }
        console.wait(5000, isShown)
        if isShown() { return Answer() }
        throw CommandError("the terminal does not show: \(text)")
      },
      Command(
        names: ["run-for"], usage: "run-for MILLISECONDS", summary: "run, and stop after so long",
        words: .none
      ) { (console, text) throws(CommandError) in
        let time = try console.count(text, 100, most: 1_000_000)
        if let problem = console.subject.begin(.go) { throw CommandError(problem) }
        console.wait(Int64(time)) { !console.subject.isRunning }
        console.subject.interrupt()
        console.settle()
        return console.subject.isRunning ? Answer() : console.conditionAnswer()
      },
      Command(
        names: ["type"], usage: "type TEXT",
        summary: "type into the program's terminal (\\n, \\t, \\e, \\x03 …)", words: .none
      ) { (console, text) throws(CommandError) in
        if let refusal = console.subject.refusal { throw CommandError(refusal) }
        console.workspace.terminal?.type(Bytes.unescape(Array(text.utf8)))
        return Answer()
      },
      Command(
        names: ["key"], usage: "key KEY…",
        summary: "press keys of the debugger itself: s, tab, up, enter, f1, ctrl-c",
        words: .none
      ) { (console, text) throws(CommandError) in
        for word in text.split(separator: " ") {
          guard let key = Console.key(word) else { throw CommandError("no key \(word)") }
          console.workspace.take(.key(key))
          console.settle()
        }
        return Answer()
      },
      Command(
        names: ["screen"], usage: "screen [WIDTHxHEIGHT]",
        summary: "print what the debugger's screen would show (80x24)",
        words: .none
      ) { (console, text) throws(CommandError) in
        let buffer = try console.drawn(text)
        return Answer((0..<buffer.height).map { buffer.text(row: $0) })
      },
      Command(
        names: ["picture"], usage: "picture FILE [WIDTHxHEIGHT]",
        summary: "write the debugger's screen as SVG",
        words: .none
      ) { (console, text) throws(CommandError) in
        let (file, size) = Console.split(text)
        if file.isEmpty { throw CommandError("a file is wanted") }
        let svg = Picture.svg(try console.drawn(size), title: "vitrine debug \(console.subject.program)")
        if !System.write(svg, toFile: String(file)) { throw CommandError("cannot write \(file)") }
        return Answer("wrote \(file)")
      },
      Command(
        names: ["source"], usage: "source FILE", summary: "execute the commands of a file", words: .none
      ) {
        (console, text) throws(CommandError) in
        guard let bytes = System.contents(String(text)) else { throw CommandError("cannot read \(text)") }
        console.sources += 1
        defer { console.sources -= 1 }
        if console.sources > 16 { throw CommandError("scripts are nested too deeply") }
        var answer = Answer()
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") where !console.quits {
          answer.lines += try console.execute(String(line)).get().lines
        }
        return answer
      },
    ]
  }

  /// `120x40`; the given numbers when there is nothing.
  static func size(
    _ text: Substring, _ width: Int, _ height: Int
  ) throws(CommandError) -> (width: Int, height: Int) {
    let numbers = text.isEmpty ? [width, height] : text.split(separator: "x").map { Int($0) ?? 0 }
    guard numbers.count == 2, (2...1000).contains(numbers[0]), (2...1000).contains(numbers[1]) else {
      throw CommandError("a size like 120x40 is wanted")
    }
    return (numbers[0], numbers[1])
  }

  private func drawn(_ size: Substring) throws(CommandError) -> CellBuffer {
    let (width, height) = try Console.size(size, 80, 24)
    let buffer = CellBuffer(width: width, height: height)
    workspace.draw(buffer)
    if workspace.wantsActivity, !subject.isRunning, subject.updateActivity({ false }) {
      workspace.draw(buffer)
    }
    return buffer
  }

  private static func key(_ word: Substring) -> Key? {
    let names: [String: Key] = [
      "up": .up, "down": .down, "left": .left, "right": .right, "home": .home, "end": .end, "pageup": .pageUp,
      "pagedown": .pageDown, "enter": .enter, "tab": .tab, "backtab": .backTab, "backspace": .backspace,
      "escape": .escape, "delete": .delete, "space": .character(" "),
    ]
    if let key = names[String(word)] { return key }
    let scalars = Array(word.unicodeScalars)
    if scalars.count == 1 { return .character(scalars[0]) }
    if word.hasPrefix("ctrl-"), scalars.count == 6 { return .control(scalars[5]) }
    return word.hasPrefix("f") ? Int(word.dropFirst()).map { .function($0) } : nil
  }
}
