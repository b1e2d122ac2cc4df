// Commands by which a recording is looked at, for scripts: each has an answer of some lines, and can fail. The words are those of
// debuggers; what is new is that all of them go backwards, too.
import Engine
import GuestMemory
import Linux
import Record
import VirtualMachine
import X86

/// A command's answer.
public struct TravelAnswer: Equatable, Sendable {
  public var lines: [String]
  /// It could not be done, or what was expected does not hold.
  public var isFailure = false

  init(_ lines: String..., isFailure: Bool = false) {
    self.lines = lines
    self.isFailure = isFailure
  }

  /// What is printed for `command`.
  public func text(_ command: String) -> String {
    lines.map { (isFailure ? "\(command): " : "") + $0 + "\n" }.joined()
  }

  /// The same as an object of JSON, a line.
  public func json(_ command: String) -> String {
    let quoted = lines.map { Format.json($0) }.joined(separator: ", ")
    return "{\"command\": \(Format.json(command)), \"failed\": \(isFailure), \"lines\": [\(quoted)]}\n"
  }
}

public final class TravelSession {
  private let travel: TimeTravel
  private var stops = TravelStops()
  private var replay: Replay { travel.replay }

  /// Mapped files, as they are at this instant.
  private var objects: LoadedObjects {
    replay.objects.refresh()
    return replay.objects
  }

  public init(_ travel: TimeTravel) {
    self.travel = travel
  }

  /// What `help` says: command, what it does.
  private static let help = [
    ("where", "instant, event, thread and place"),
    ("seek N | start | end", "go to an instant: after N instructions"),
    ("step [N], back [N]", "N instructions forwards, backwards"),
    ("continue, reverse", "to the next, the last stop"),
    ("break ADDRESS", "stop in front of the instruction there"),
    ("watch ADDRESS [SIZE]", "stop where these bytes are changed"),
    ("calls [NUMBER]", "stop behind system calls, or those of one number"),
    ("delete", "no stops any more"),
    ("last-change ADDRESS [SIZE]", "go back to what changed these bytes last"),
    ("registers", "of the thread that runs"),
    ("memory ADDRESS [COUNT]", "bytes"),
    ("disassemble [ADDRESS] [COUNT]", "instructions"),
    ("maps", "what is mapped"),
    ("hash", "a number for all of memory"),
    ("checkpoints", "how many there are, and their size"),
    ("expect A == B", "fails when two values differ"),
  ]

  /// Executes a command line.
  public func execute(_ line: String) -> TravelAnswer {
    let words = line.split(separator: " ").map(String.init)
    guard let command = words.first else { return TravelAnswer() }
    let arguments = Array(words.dropFirst())
    do throws(RecordingError) {
      return try journey(command, arguments) ?? look(command, arguments)
        ?? TravelAnswer("unknown command: \(command)", isFailure: true)
    } catch {
      return TravelAnswer(error.message, isFailure: true)
    }
  }

  // MARK: Commands that go somewhere

  private func journey(_ command: String, _ arguments: [String]) throws(RecordingError) -> TravelAnswer? {
    let count = arguments.first.map { value($0) } ?? 1
    switch command {
    case "seek":
      switch arguments.first {
      case "start": return arrived(try travel.seek(0))
      case "end": return arrived(try travel.goOn(TravelStops()))
      default:
        guard let target = count, !arguments.isEmpty, target < 1 << 62 else { return missing("an instant") }
        return arrived(try travel.seek(InstructionCount(target)))
      }
    case "step", "back":
      guard let count, count < 1 << 62 else { return missing("a number of instructions") }
      let distance = InstructionCount(count)
      return arrived(try travel.seek(travel.instant &+ (command == "step" ? distance : 0 &- distance)))
    case "continue": return arrived(try travel.goOn(stops))
    case "reverse": return arrived(try travel.goBack(stops))
    case "last-change":
      guard let bytes = range(arguments) else { return missing("an address and a size") }
      return arrived(try travel.lastChange(of: bytes))
    case "break":
      guard let address = count, !arguments.isEmpty else { return missing("an address") }
      stops.addresses.insert(address)
      return TravelAnswer("breakpoint at \(place(address))")
    case "watch":
      guard let bytes = range(arguments) else { return missing("an address and a size") }
      stops.watched.append(bytes)
      return TravelAnswer("watching \(bytes.count) bytes at \(place(bytes.lowerBound))")
    case "calls":
      if arguments.isEmpty {
        stops.calls = []
      } else {
        guard let number = count else { return missing("a number") }
        stops.calls = (stops.calls ?? []).union([number])
      }
      return TravelAnswer("stopping behind system calls")
    case "delete":
      stops = TravelStops()
      return TravelAnswer("no stops")
    default: return nil
    }
  }

  private func missing(_ what: String) -> TravelAnswer { TravelAnswer("it needs \(what)", isFailure: true) }

  private func arrived(_ end: TravelEnd) -> TravelAnswer {
    var why: String
    switch end {
    case .arrived: why = "at"
    case .breakpoint: why = "breakpoint at"
    case .changed(let bytes):
      why = "\(bytes.count) bytes at \(bytes.lowerBound.hexadecimal) change at"
    case .systemCall(let number): why = "system call \(number) at"
    case .beginning: why = "the beginning:"
    case .end(.exited(let code)): why = "the program has ended with exit code \(code), at"
    case .end(.killed(let signal)): why = "the program was killed by signal \(signal), at"
    case .end(.unfinished): why = "the recording ends, at"
    }
    why += " " + here
    return TravelAnswer(why, instruction(at: replay.instructionPointer ?? 0).text)
  }

  private var here: String {
    "instant \(travel.instant), event \(replay.eventCount), thread \(replay.running), "
      + place(replay.instructionPointer ?? 0)
  }

  // MARK: Commands that look

  private func look(_ command: String, _ arguments: [String]) -> TravelAnswer? {
    switch command {
    case "where": return TravelAnswer(here, instruction(at: replay.instructionPointer ?? 0).text)
    case "registers": return registers()
    case "memory": return memory(arguments)
    case "disassemble": return disassemble(arguments)
    case "maps": return maps()
    case "hash": return TravelAnswer(replay.memory.contentHash().hexadecimal)
    case "checkpoints":
      return TravelAnswer("\(travel.checkpointCount) checkpoints, \(travel.checkpointBytes) bytes")
    case "expect": return expect(arguments)
    case "help":
      var answer = TravelAnswer()
      answer.lines = TravelSession.help.map { name, text in
        Format.padded(name, 32) + text
      }
      return answer
    default: return nil
    }
  }

  private func registers() -> TravelAnswer {
    var answer = TravelAnswer()
    answer.lines = replay.registers.map { Format.padded($0.name, 8) + $0.value.hexadecimal }
    return answer
  }

  private func memory(_ arguments: [String]) -> TravelAnswer {
    guard let bytes = range(arguments, size: 64), bytes.count <= 1 << 20 else { return missing("an address") }
    let content = replay.memory.peek(bytes.lowerBound, count: bytes.count)
    if content.isEmpty {
      return TravelAnswer("nothing is mapped at \(bytes.lowerBound.hexadecimal)", isFailure: true)
    }
    var answer = TravelAnswer()
    for start in stride(from: 0, to: content.count, by: 16) {
      let part = content[start..<min(start + 16, content.count)]
      let digits = part.map { Format.hex(UInt64($0), digits: 2) }.joined(separator: " ")
      let text = String(String.UnicodeScalarView(part.map { Format.ascii($0) }))
      answer.lines.append(
        "\((bytes.lowerBound &+ UInt64(start)).hexadecimal)  \(Format.padded(digits, 50))\(text)")
    }
    return answer
  }

  private func disassemble(_ arguments: [String]) -> TravelAnswer {
    let start = arguments.first.map { value($0) } ?? replay.instructionPointer
    let count = arguments.dropFirst().first.map { value($0) } ?? 10
    guard var address = start, let count, count <= 1 << 16 else { return missing("an address and a number") }
    var answer = TravelAnswer()
    for _ in 0..<count {
      let (text, length) = instruction(at: address)
      answer.lines.append(text)
      if length == 0 { break }
      address &+= length
    }
    return answer
  }

  private func instruction(at address: UInt64) -> (text: String, length: UInt64) {
    let bytes = replay.memory.peek(address, count: 15)
    return bytes.withUnsafeBytes { buffer in
      guard let instruction = Decoder.decode(buffer, mode: .bits64), instruction.length > 0 else {
        return ("\(address.hexadecimal)  ?", 0)
      }
      let text = Disassembler().text(instruction, bytes: buffer, address: address)
      return ("\(address.hexadecimal)  \(text)", UInt64(instruction.length))
    }
  }

  private func maps() -> TravelAnswer {
    var answer = TravelAnswer()
    for region in replay.memory.regions() {
      let range = "\(region.start.hexadecimal)-\(region.end.hexadecimal)"
      answer.lines.append("\(range) \(region.letters) \(replay.memory.name(of: region))")
    }
    return answer
  }

  /// An address, and where that is: by its symbol, else in its file.
  private func place(_ address: UInt64) -> String {
    if let name = objects.describe(address) { return "\(address.hexadecimal) <\(name)>" }
    guard let region = replay.memory.query(address), let file = replay.memory.backing(region.backing) else {
      return address.hexadecimal
    }
    let name = file.path.split(separator: 47).last.map { String(decoding: $0, as: UTF8.self) } ?? ""
    return "\(address.hexadecimal) (\(name)+\((address &- region.start &+ region.offset).hexadecimal))"
  }

  // MARK: Values

  /// `expect A == B`, and != < <= > >=.
  private func expect(_ words: [String]) -> TravelAnswer {
    let text = words.joined(separator: " ")
    let comparisons = ["==", "!=", "<", "<=", ">", ">="]
    guard let expression = try? Expression(text),
      case .binary(let operation, let left, let right) = expression,
      comparisons.contains(operation), let holds = value(expression)
    else { return missing("two values and a comparison, such as rax == 0x10") }
    if holds != 0 { return TravelAnswer() }
    let (first, second) = (value(left) ?? 0, value(right) ?? 0)
    return TravelAnswer(
      "expected \(text), but they are \(first.hexadecimal) and \(second.hexadecimal)", isFailure: true)
  }

  private func value(_ expression: Expression) -> UInt64? {
    let registers = replay.registers
    let memory = replay.memory
    let scope = Expression.Scope(
      name: { [self] name in
        if name == "instant" { return UInt64(bitPattern: travel.instant) }
        let known = Expression.registerName(name)
        let whole = registers.first { $0.name == (known.name == "rflags" ? "eflags" : known.name) }
        if let whole { return whole.value &>> known.shift & known.mask }
        return objects.symbol(named: name)?.address
      },
      memory: { address, size in
        let bytes = memory.peek(address, count: size)
        return bytes.count == size ? bytes.littleEndianNumber : nil
      })
    return try? expression.evaluate(scope)
  }

  private func value(_ text: String) -> UInt64? { (try? Expression(text)).flatMap { value($0) } }

  private func range(_ words: [String], size usual: UInt64 = 8) -> Range<UInt64>? {
    guard let first = words.first, let start = value(first) else { return nil }
    guard let size = words.count > 1 ? value(words[1]) : usual, size > 0, size <= 1 << 30,
      start <= .max - size
    else { return nil }
    return start..<start &+ size
  }
}
