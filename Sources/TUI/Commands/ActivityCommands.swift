// Commands about what the last instructions did: accesses to memory, functions, and how far back that goes.

import Trace

extension Console {
  static var activities: [Command] {
    [
      Command(
        names: ["accesses"], usage: "accesses PLACE [SIZE [CELL]]",
        summary: "how often each CELL (1) of SIZE bytes (64) was read, written, executed in the last stretch",
        words: .place
      ) { (console, text) throws(CommandError) in try console.showAccesses(console.wordsForBytes(text)) },
      Command(
        names: ["profile"], usage: "profile [FROM TO]",
        summary: "functions by instructions in the last stretch, or between two instants of a recording",
        words: .none
      ) { (console, text) throws(CommandError) in try console.showProfile(text) },
      Command(
        names: ["space"], usage: "space [WIDTHxHEIGHT]",
        summary: "the address space along a Hilbert curve, as letters (64x16); capitals: touched lately",
        words: .none
      ) { (console, text) throws(CommandError) in try console.showSpace(text) },
      Command(
        names: ["stretch"], usage: "stretch [N]",
        summary: "how many instructions colours and the profile of a recording look back", words: .none
      ) { (console, text) throws(CommandError) in
        guard var length = console.subject.stretch else { throw CommandError("this is no recording") }
        if !text.isEmpty {
          let most = Int(RecordedMachine.longestStretch)
          length = Int64(try console.count(text, 1, most: most))
          console.subject.stretch = length
        }
        var answer = Answer("the last \(Format.grouped(length)) instructions")
        answer.add("stretch", number: Int(length))
        return answer
      },
    ]
  }

  /// What the last instructions did, at the present.
  private func presentActivity() throws(CommandError) -> AccessRecord {
    try requireStopped()
    _ = subject.updateActivity { false }
    guard let record = subject.activity else {
      throw CommandError("what the last instructions did could not be found out, or a key has stopped it")
    }
    return record
  }

  /// What a record is of.
  static func extent(_ record: AccessRecord, isRecording: Bool) -> String {
    if isRecording {
      return "instants \(Format.grouped(record.from)) to \(Format.grouped(record.to))"
    }
    return "\(Format.grouped(record.steps)) steps, \(Format.grouped(record.samples)) samples"
  }

  private func showAccesses(_ text: Substring) throws(CommandError) -> Answer {
    var place = text
    var numbers: [UInt64] = []
    while numbers.count < 2, let blank = place.lastIndex(of: " "),
      let number = UInt64(place[place.index(after: blank)...])
    {
      numbers.insert(number, at: 0)
      place = place[..<blank]
    }
    let size = numbers.first ?? 64
    let cell = numbers.count > 1 ? numbers[1] : 1
    guard (1...1 << 16).contains(cell), cell & (cell - 1) == 0 else {
      throw CommandError("a cell has 1, 2, 4 … 65536 bytes")
    }
    let start = try address(place) & ~(cell - 1)
    let most: UInt64 = 1 << 16
    let count = min(size / cell + (size % cell == 0 ? 0 : 1), most)
    if count == 0 { throw CommandError("a size is wanted") }
    let record = try presentActivity()
    let isRecording = subject.stretch != nil
    var answer = Answer("in \(Console.extent(record, isRecording: isRecording)):")
    var objects: [String] = []
    let cells = record.cells(from: start, shift: UInt64(cell.trailingZeroBitCount), count: Int(count))
    for (number, found) in cells.enumerated() where found.isTouched {
      let address = start &+ UInt64(number) &* cell
      let ages = [found.readAge, found.writeAge, found.executionAge]
      answer.lines.append(
        "\(Format.hex(address, digits: 12)) read \(found.reads) written \(found.writes) executed "
          + "\(found.executions), \(ages.min() ?? 0) instructions ago")
      objects.append(
        "{\"address\":\"0x\(Format.hex(address))\",\"reads\":\(found.reads),\"writes\":\(found.writes),"
          + "\"executions\":\(found.executions)}")
    }
    answer.add("from", number: Int(record.from))
    answer.add("to", number: Int(record.to))
    answer.add("cells", json: "[" + objects.joined(separator: ",") + "]")
    return answer
  }

  private func showSpace(_ text: Substring) throws(CommandError) -> Answer {
    let (width, height) = try Console.size(text, 64, 16)
    guard let panel = workspace.panel(.space) as? SpacePanel else { return Answer() }
    _ = try presentActivity()
    var answer = Answer(panel.text(width, height, subject))
    let (lines, objects) = panel.description
    answer.lines += lines
    answer.add("bands", json: "[" + objects.joined(separator: ",") + "]")
    return answer
  }

  private func showProfile(_ text: Substring) throws(CommandError) -> Answer {
    let record: AccessRecord
    if text.isEmpty {
      record = try presentActivity()
    } else {
      try requireStopped()
      let words = text.split(separator: " ")
      guard words.count == 2 else { throw CommandError("profile FROM TO: two instants are wanted") }
      let (from, to) = (try address(words[0]), try address(words[1]))
      guard from < to, to < 1 << 62 else { throw CommandError("profile FROM TO: FROM lies in front of TO") }
      guard let found = try subject.executions(Int64(from)..<Int64(to)) else {
        throw CommandError("a program that runs has no past; record it (vitrine record)")
      }
      record = found
    }
    let total = record.steps + record.samples
    var answer = Answer("\(Console.extent(record, isRecording: subject.stretch != nil)):")
    var objects: [String] = []
    for function in record.profile {
      answer.lines.append(ProfileText.line(function, total))
      objects.append(
        "{\"function\":\(Format.json(function.name)),\"address\":\"0x\(Format.hex(function.address))\","
          + "\"count\":\(function.count)}")
    }
    answer.add("total", number: Int(total))
    answer.add("samples", number: Int(record.samples))
    answer.add("functions", json: "[" + objects.joined(separator: ",") + "]")
    return answer
  }

  /// `view` and its words.
  func view(_ text: Substring) throws(CommandError) -> Answer {
    let (first, rest) = Console.split(text)
    let panels = [PanelKind.memory, .written, .read].compactMap { workspace.panel($0) as? MemoryPanel }
    switch first {
    case "heat":
      if rest == "other" {
        let all = Heat.allCases
        workspace.heat = all[((all.firstIndex(of: workspace.heat) ?? 0) + 1) % all.count]
        return Answer("heat: \(workspace.heat.rawValue)")
      }
      guard let heat = Heat(rawValue: String(rest)) else {
        throw CommandError("recency, frequency or off is wanted")
      }
      workspace.heat = heat
    case "cell":
      guard let level = MemoryPanel.zooms.firstIndex(where: { String(1 << $0) == rest }) else {
        throw CommandError("1, 16, 256, 4096 or 65536 bytes are wanted")
      }
      for panel in panels { panel.setZoom(level) }
    default:
      guard let view = MemoryPanel.View(rawValue: String(text)) else {
        throw CommandError("hex, glyphs or ascii is wanted; or cell BYTES, or heat recency|frequency|off")
      }
      for panel in panels { panel.view = view }
    }
    return Answer()
  }
}

/// Lines of a profile.
enum ProfileText {
  /// `12,345 56.7 % name`
  static func line(_ function: ProfiledFunction, _ total: Int64) -> String {
    Format.right(Format.grouped(function.count), 9) + " \(share(function, total)) \(function.name)"
  }

  /// `56.7%`
  static func share(_ function: ProfiledFunction, _ total: Int64) -> String {
    let tenths = total > 0 ? Int64(Double(function.count) / Double(total) * 1000 + 0.5) : 0
    return Format.right("\(tenths / 10).\(tenths % 10)", 5) + "%"
  }
}
