// Commands that show something, and those that change registers and memory.

import VirtualMachine

extension Console {
  static var looks: [Command] {
    [
      Command(
        names: ["status"], usage: "status", summary: "why the program stands where it stands", words: .none
      ) {
        (console, _) throws(CommandError) in
        console.subject.isRunning ? Answer("running") : console.conditionAnswer()
      },
      Command(
        names: ["registers", "regs"], usage: "registers [NAME…]", summary: "show registers (all, or some)",
        words: .place
      ) { (console, text) throws(CommandError) in try console.showRegisters(text) },
      Command(
        names: ["print", "p"], usage: "print EXPRESSION", summary: "work an expression out", words: .place
      ) {
        (console, text) throws(CommandError) in
        let value = try console.address(text)
        var answer = Answer(Console.describe(value, console.subject))
        answer.add("value", value)
        return answer
      },
      Command(
        names: ["memory", "x"], usage: "memory PLACE [COUNT]", summary: "show COUNT bytes (64)", words: .place
      ) {
        (console, text) throws(CommandError) in try console.showMemory(console.wordsForBytes(text))
      },
      Command(
        names: ["string"], usage: "string PLACE", summary: "show the characters up to a zero", words: .place
      ) {
        (console, text) throws(CommandError) in
        let bytes = console.subject.bytes(at: try console.address(text), count: 4096)
        if bytes.isEmpty { throw CommandError("no memory there") }
        let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        var answer = Answer(Format.json(text))
        answer.add("string", text: text)
        return answer
      },
      Command(
        names: ["disassemble", "code"], usage: "disassemble [PLACE] [COUNT]",
        summary: "show instructions (10)",
        words: .place
      ) { (console, text) throws(CommandError) in try console.showCode(text) },
      Command(names: ["stack"], usage: "stack [COUNT]", summary: "show words of the stack (16)", words: .none)
      {
        (console, text) throws(CommandError) in
        let count = try console.count(text, 16, most: 256)
        let lines = StackPanel().lines(console.workspace, width: 100).prefix(count)
        return Answer(lines.map { line in line.prefix.map(\.0).joined() + line.text })
      },
      Command(
        names: ["frames", "bt"], usage: "frames", summary: "show the calls that led here", words: .none
      ) {
        (console, _) throws(CommandError) in
        var answer = Answer(FramePanel.lines(console.subject).map { $0.prefix.map(\.0).joined() + $0.text })
        answer.add("depth", number: console.subject.frames.count)
        answer.add("frames", json: console.framesAsJSON)
        return answer
      },
      Command(names: ["maps"], usage: "maps", summary: "show what is mapped", words: .none) {
        (console, _) throws(CommandError) in
        Answer(MapPanel.lines(console.subject).map { $0.prefix.dropFirst().map(\.0).joined() + $0.text })
      },
      Command(
        names: ["calls"], usage: "calls [COUNT]", summary: "show the last system calls (20)", words: .none
      ) {
        (console, text) throws(CommandError) in
        Answer(
          Array(console.subject.calls.suffix(try console.count(text, 20)).map { CallPanel.squeezed($0) }))
      },
      Command(
        names: ["symbols"], usage: "symbols TEXT", summary: "list symbols whose names contain TEXT",
        words: .place
      ) {
        (console, text) throws(CommandError) in try console.showSymbols(String(text))
      },
      Command(
        names: ["terminal"], usage: "terminal", summary: "show the screen of the program's terminal",
        words: .none
      ) {
        (console, _) throws(CommandError) in
        var lines = console.workspace.terminal?.emulator.lines ?? []
        while lines.last?.isEmpty == true { lines.removeLast() }
        return Answer(lines)
      },
    ]
  }

  /// A value in hexadecimal and decimal, and what it may point to.
  static func describe(_ value: UInt64, _ subject: any Subject) -> String {
    let note = PointerText.note(value, subject)
    let signed = Int64(bitPattern: value)
    return "0x\(Format.hex(value)) = \(signed)" + (note.isEmpty ? "" : "  \(note)")
  }

  private func showRegisters(_ text: Substring) throws(CommandError) -> Answer {
    let now = subject.registers
    var answer = Answer()
    if text.isEmpty {
      for name in Registers.generalNames + ["rip"] {
        let value = now.values[name] ?? 0
        let note = PointerText.note(value, subject)
        answer.lines.append(
          Format.padded(name, 4) + Format.hex(value, digits: 16) + (note.isEmpty ? "" : "  " + note))
        answer.add(name, value)
      }
      let set = Registers.flagNames.filter { now.flags >> $0.bit & 1 != 0 }.map(\.name).joined(separator: " ")
      answer.lines.append("rflags \(Format.hex(now.flags)) [\(set)]")
      answer.add("rflags", now.flags)
      return answer
    }
    for name in text.split(separator: " ").map(String.init) {
      if let bytes = now.vectors[name] {
        let text = bytes.reversed().map { Format.hex(UInt64($0), digits: 2) }.joined()
        answer.lines.append("\(name) \(text)")
        answer.add(name, text: text)
        continue
      }
      let known = Expression.registerName(name)
      guard let whole = now.values[known.name] else { throw CommandError("no register \(name)") }
      let value = whole &>> known.shift & known.mask
      answer.lines.append("\(name) \(Console.describe(value, subject))")
      answer.add(name, value)
    }
    return answer
  }

  /// An expression and a count behind it.
  private func placeAndCount(
    _ text: Substring, _ standard: Int, most: Int
  ) throws(CommandError) -> (place: Substring, count: Int) {
    if let blank = text.lastIndex(of: " "), let number = Int(text[text.index(after: blank)...]), number > 0 {
      return (text[..<blank], min(number, most))
    }
    return (text, standard)
  }

  private func showMemory(_ text: Substring) throws(CommandError) -> Answer {
    let (place, count) = try placeAndCount(text, 64, most: 1 << 20)
    let start = try address(place)
    let bytes = subject.bytes(at: start, count: count)
    if bytes.isEmpty { throw CommandError("no memory at 0x\(Format.hex(start))") }
    var answer = Answer()
    for offset in stride(from: 0, to: bytes.count, by: 16) {
      let row = bytes[offset..<min(offset + 16, bytes.count)]
      let digits = row.map { Format.hex(UInt64($0), digits: 2) }.joined(separator: " ")
      let glyphs = String(String.UnicodeScalarView(row.map { Format.ascii($0) }))
      answer.lines.append(
        "\(Format.hex(start &+ UInt64(offset), digits: 12)) \(Format.padded(digits, 47)) \(glyphs)")
    }
    answer.add("address", start)
    answer.add("bytes", text: bytes.map { Format.hex(UInt64($0), digits: 2) }.joined())
    workspace.memory?.look(at: start)
    return answer
  }

  private func showCode(_ text: Substring) throws(CommandError) -> Answer {
    let (place, count) = try placeAndCount(text, 10, most: 10_000)
    let start = place.isEmpty ? subject.registers.rip : try address(place)
    let rip = subject.registers.rip
    var answer = Answer()
    for line in CodeReading(subject, syntax: workspace.syntax).lines(from: start, count: count) {
      if let symbol = subject.objects?.symbol(at: line.address), symbol.address == line.address,
        let name = subject.describe(line.address)
      {
        answer.lines.append("\(name):")
      }
      answer.lines.append(
        "\(line.address == rip ? "=>" : "  ") \(Format.hex(line.address, digits: 8)) \(line.text)")
    }
    if answer.lines.isEmpty { throw CommandError("no memory at 0x\(Format.hex(start))") }
    return answer
  }

  private func showSymbols(_ text: String) throws(CommandError) -> Answer {
    if text.isEmpty { throw CommandError("a part of a name is wanted") }
    let wanted = Array(text.utf8)
    var lines: [String] = []
    for object in subject.objects?.all ?? [] {
      for symbol in object.symbols.all where Bytes.find(wanted, in: symbol.name, from: 0) != nil {
        lines.append(
          "\(Format.hex(symbol.address, digits: 12)) \(symbol.isFunction ? "function" : "data    ") \(object.name) "
        )
        lines[lines.count - 1] += LoadedObjects.readable(symbol)
        if lines.count == 200 { return Answer(lines + ["… and more"]) }
      }
    }
    if lines.isEmpty { throw CommandError("no symbol contains \(text)") }
    return Answer(lines)
  }

  // MARK: Changes

  static var changes: [Command] {
    [
      Command(
        names: ["set"], usage: "set REGISTER = EXPRESSION", summary: "change a register", words: .place
      ) { (console, text) throws(CommandError) in try console.setRegister(text) },
      Command(
        names: ["poke"], usage: "poke PLACE BYTE…|\"TEXT\"",
        summary: "change memory: hexadecimal bytes, or text",
        words: .place
      ) { (console, text) throws(CommandError) in
        try console.requireStopped()
        let (place, rest) = Console.split(text)
        guard let bytes = Bytes.parse(rest), !bytes.isEmpty else {
          throw CommandError("bytes are wanted: 90 90, or \"text\"")
        }
        let address = try console.address(place)
        guard console.subject.setBytes(bytes, at: address) else {
          throw CommandError(console.subject.changeProblem ?? "no memory at 0x\(Format.hex(address))")
        }
        return console.changeAnswer()
      },
    ]
  }

  private func setRegister(_ text: Substring) throws(CommandError) -> Answer {
    try requireStopped()
    guard let equals = text.firstIndex(of: "=") else { throw CommandError("set REGISTER = EXPRESSION") }
    let name = text[..<equals].filter { $0 != " " && $0 != "$" && $0 != "%" }
    let value = try address(text[text.index(after: equals)...])
    let known = Expression.registerName(String(name))
    guard let old = subject.registers.values[known.name] else { throw CommandError("no register \(name)") }
    // The low half of a register as instructions write it: the other half becomes zero.
    let isHalf = known.mask == 0xffff_ffff
    let whole =
      isHalf ? value & known.mask : old & ~(known.mask &<< known.shift) | (value & known.mask) &<< known.shift
    guard subject.setRegister(known.name, whole) else {
      throw CommandError(subject.changeProblem ?? "\(name) cannot be changed")
    }
    return changeAnswer()
  }

  /// What a change has led to, in a recording.
  private func changeAnswer() -> Answer {
    guard let timeLine = subject.timeLine else { return Answer() }
    var answer = Answer(subject.changeText)
    answer.add("timeline", number: timeLine.timeline)
    answer.add("instant", number: Int(timeLine.present))
    workspace.programMoved()
    return answer
  }
}

/// Bytes that people type and look for.
enum Bytes {
  /// `"text"` with \n, \t, \0, \\, \" and \xNN; or pairs of hexadecimal digits. Nil when it is neither.
  static func parse(_ text: some StringProtocol) -> [UInt8]? {
    if text.hasPrefix("\"") {
      guard text.count > 1, text.hasSuffix("\"") else { return nil }
      return unescape(Array(text.dropFirst().dropLast().utf8))
    }
    let digits = Array(text.utf8.filter { $0 != 32 })
    if digits.isEmpty || digits.count % 2 != 0 { return nil }
    var result: [UInt8] = []
    for place in stride(from: 0, to: digits.count, by: 2) {
      guard let value = UInt8(String(decoding: digits[place...(place + 1)], as: UTF8.self), radix: 16) else {
        return nil
      }
      result.append(value)
    }
    return result
  }

  static func unescape(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var place = 0
    let known: [UInt8: UInt8] = [
      UInt8(ascii: "n"): 10, UInt8(ascii: "t"): 9, UInt8(ascii: "r"): 13, UInt8(ascii: "0"): 0,
      UInt8(ascii: "e"): 27,
    ]
    while place < text.count {
      let byte = text[place]
      place += 1
      guard byte == 92, place < text.count else {
        result.append(byte)
        continue
      }
      let letter = text[place]
      place += 1
      if letter == UInt8(ascii: "x"), place + 2 <= text.count,
        let value = UInt8(String(decoding: text[place..<(place + 2)], as: UTF8.self), radix: 16)
      {
        result.append(value)
        place += 2
      } else {
        result.append(known[letter] ?? letter)
      }
    }
    return result
  }

  /// The first place of `wanted` in `bytes` from `start` on.
  static func find(_ wanted: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
    guard let first = wanted.first, bytes.count >= wanted.count, start >= 0 else { return nil }
    return bytes.withUnsafeBufferPointer { all in
      var place = start
      while place <= all.count - wanted.count {
        if all[place] == first, all[place..<(place + wanted.count)].elementsEqual(wanted) { return place }
        place += 1
      }
      return nil
    }
  }
}
