// A recorded program at one instant, as panels and commands see it: a Subject on top of TimeTravel. Keeps what the present looks like,
// numbered breakpoints, and what has been seen on the way: output and system calls. Where it goes is in RecordedMachine+Movement.
// Registers and memory that are changed make another timeline.

import Debugger
import Engine
import GuestMemory
import Linux
import Record
import VirtualMachine

final class RecordedMachine: Subject {
  let travel: TimeTravel
  var replay: Replay { travel.replay }
  private let overview: RecordingOverview
  let file: RegisterFile
  let accesses: AccessReader
  /// What the person has been shown last, and what it was before.
  private(set) var registers = Registers()
  private(set) var earlierRegisters = Registers()
  private(set) var frames: [StackFrame] = []
  var enteredCalls = 0
  var condition = Condition.stopped(Stop(kind: .start, text: "the beginning of the recording"))
  private(set) var currentThread: UInt64 = 0
  var lastWrite: UInt64?
  var lastRead: UInt64?
  /// What the last stretch has done (RecordedMachine+Activity.swift).
  var watching = Watching()
  var breakpoints: [Breakpoint] = []
  private var nextNumber = 1
  var caughtCalls: Set<UInt64>?
  var stopsAtExecutions = false
  var stopsAtForks = false
  var passedSignals = UInt64.max
  /// Where it is to go, until it has.
  var goal: Movement?
  /// The recording is damaged, or the replay differs from it.
  var failure: String?
  /// Somebody wants the journey to end.
  var isInterrupted = false
  let terminal = GuestTerminal()
  let past: RecordedPast

  init(_ travel: TimeTravel, _ overview: RecordingOverview) {
    self.travel = travel
    self.overview = overview
    past = RecordedPast(travel.replay)
    let first = travel.replay.threads[travel.replay.running]
    file = RegisterFile(components: first?.cpu.pointee.xcr0 ?? 7)
    accesses = AccessReader(memory: travel.replay.memory)
    travel.accessed = { [unowned self] in accessedBytes($0) }
    refresh()
    remember()
  }

  var program: String { LoadError.name(replay.executablePath) }
  var objects: LoadedObjects? { replay.objects }
  var refusal: String? { "a recording is of the past, where nobody can tell the program anything" }
  private(set) var changeText = ""
  private(set) var changeProblem: String?
  var memoryHash: UInt64? { replay.memory.contentHash() }

  var timeLine: TimeLine? {
    var line = TimeLine(
      present: travel.instant, length: max(overview.length, travel.instant),
      checkpoints: travel.checkpointInstants, checkpointBytes: travel.checkpointBytes,
      eventCount: replay.eventCount, overview: overview)
    if travel.timeline != 0 {
      let summary = travel.timelineSummaries[travel.timeline]
      (line.timeline, line.branch) = (travel.timeline, travel.firstBranch)
      line.length = max(summary.end == nil ? line.length : summary.reached, travel.instant)
    }
    return line
  }

  // MARK: Threads and registers

  /// The thread that executes the next instruction.
  var running: UInt64 { UInt64(replay.running) }

  var threads: [ThreadSummary] {
    replay.threads.values.sorted { $0.index < $1.index }.map {
      ThreadSummary(number: UInt64($0.index), rip: $0.cpu.pointee.rip, isWaiting: $0.isAtCall)
    }
  }

  func chooseThread(_ number: UInt64) -> Bool {
    guard let index = Int(exactly: number), replay.threads[index] != nil else { return false }
    currentThread = number
    look()
    earlierRegisters = registers
    return true
  }

  /// Looks at everything again, and at the thread that runs.
  func refresh() {
    currentThread = running
    look()
  }

  private func look() {
    replay.objects.refresh()
    guard let thread = replay.threads[Int(truncatingIfNeeded: currentThread)] else { return }
    registers = read(thread)
    frames = replay.objects.frames(UnsafePointer(thread.cpu))
    past.show(on: terminal)
  }

  /// From now on changes are changes against what there is now.
  func remember() { earlierRegisters = registers }

  private func read(_ thread: Replay.Thread) -> Registers {
    let access = RegisterAccess(recorded: thread.cpu, isAtCall: false)
    return Registers(file) { access.read($0) }
  }

  /// A register of the thread that runs by its name, or its part; nil: there is none.
  func register(_ name: String) -> UInt64? {
    guard let thread = replay.threads[replay.running] else { return nil }
    let known = Expression.registerName(name)
    let wanted = known.name == "rflags" ? "eflags" : known.name
    guard let number = file.number(of: wanted), file.registers[number].size <= 8 else { return nil }
    let whole = RegisterAccess(recorded: thread.cpu, isAtCall: false).read(file.registers[number])
    return whole.littleEndianNumber &>> known.shift & known.mask
  }

  func setRegister(_ name: String, _ value: UInt64) -> Bool {
    let known = name == "rflags" ? "eflags" : name
    guard let number = file.number(of: known), file.registers[number].size <= 8 else { return false }
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
    let register = file.registers[number]
    let thread = Int(truncatingIfNeeded: currentThread)
    return change { [unowned self] () throws(RecordingError) in
      try travel.change("\(name) = 0x\(Format.hex(value))", thread: thread) {
        RegisterAccess(recorded: $0, isAtCall: false, isChangeable: true).write(register, bytes)
      }
    }
  }

  func setBytes(_ bytes: [UInt8], at address: UInt64) -> Bool {
    let shown = bytes.prefix(16).map { Format.hex(UInt64($0), digits: 2) }.joined(separator: " ")
    let text = "0x\(Format.hex(address)): \(shown)\(bytes.count > 16 ? " …" : "")"
    return change { [unowned self] () throws(RecordingError) in try travel.change(text, bytes, at: address) }
  }

  /// Makes a change of the past; false when it cannot be made.
  private func change(_ body: () throws(RecordingError) -> EditResult) -> Bool {
    (changeText, changeProblem) = ("", nil)
    let (thread, event) = (currentThread, replay.eventCount)
    defer {
      refresh()
      _ = chooseThread(thread)
    }
    do throws(RecordingError) {
      switch try body() {
      case .refused: return false
      case .unchanged:
        changeText = "it is so already"
        return true
      case .added(let number): changeText = "timeline \(number), instant \(travel.instant)"
      case .branched(let number):
        let parent = travel.timelineSummaries[number].parent
        past.branch(number, from: parent, before: event)
        past.choose(number, terminal)
        changeText = "new timeline \(number) branches off at instant \(travel.instant)"
      }
      condition = .stopped(Stop(kind: .step, text: changeText))
      forgetActivity()
      return true
    } catch {
      changeProblem = error == .interrupted ? "stopped: nothing was changed" : error.message
      return false
    }
  }

  var timelines: [TimelineSummary] { travel.timelineSummaries }

  func choose(timeline number: Int) -> String? {
    do throws(RecordingError) {
      // On the way things are told: they belong to the other timeline.
      past.choose(number, terminal)
      guard try travel.choose(number) else { return "there is no timeline \(number)" }
      try travel.completeCall()
    } catch { return error.message }
    condition =
      RecordedMachine.condition(at: travel.end) ?? .stopped(Stop(kind: .step, text: "timeline \(number)"))
    forgetActivity()
    refresh()
    remember()
    return nil
  }

  func setSignal(_ signal: Int32) {}

  /// Remembers what the next instruction writes.
  func noteWrite() {
    guard let thread = replay.threads[replay.running] else { return }
    var found: UInt64?
    accesses.forEach(thread.cpu) { if found == nil, $0.kinds.contains(.write) { found = $0.address } }
    if let found { lastWrite = found }
  }

  // MARK: Memory

  func bytes(at address: UInt64, count: Int) -> [UInt8] { replay.memory.peek(address, count: count) }
  var regions: [Region] { replay.memory.regions() }
  func region(at address: UInt64) -> Region? { replay.memory.query(address) }
  func name(of region: Region) -> String { replay.memory.name(of: region) }

  // MARK: System calls

  func callName(_ number: UInt64) -> String? { past.name(number) }

  func callNumber(named name: String) -> UInt64? { (0..<512).first { past.name($0) == name } }

  /// The last calls up to the present, and the one that comes next.
  var calls: [String] {
    let all = overview.calls
    if travel.timeline != 0, let branch = travel.firstBranchEvent, replay.eventCount > branch {
      let own = past.calls(from: branch, before: replay.eventCount, most: 500)
      let recorded = all[..<all.partitionPoint { $0.event < branch }]
      return recorded.suffix(500 - own.count).map { past.text($0) } + own
    }
    let end = all.partitionPoint { $0.event < replay.eventCount }
    let most = 500
    var lines = all[max(0, end - most)..<end].map { past.text($0) }
    if end < all.count {
      let next = all[end]
      let name = callName(next.number) ?? String(next.number)
      lines.append("→ \(name), in \(max(0, next.instant &- travel.instant)) instructions")
    }
    return lines
  }

  // MARK: Breakpoints

  func problem(with breakpoint: Breakpoint) -> String? {
    breakpoint.address.addingReportingOverflow(breakpoint.kind.size).overflow
      ? "that is beyond the end of memory" : nil
  }

  func add(_ breakpoint: Breakpoint) -> Breakpoint? {
    // What is mapped at this instant says nothing about others: libraries come later.
    guard breakpoint.address < replay.memory.limit else { return nil }
    var new = breakpoint
    new.number = nextNumber
    nextNumber += 1
    breakpoints.append(new)
    return new
  }

  func change(_ breakpoint: Breakpoint) {
    guard let place = breakpoints.firstIndex(where: { $0.number == breakpoint.number }) else { return }
    breakpoints[place] = breakpoint
  }

  func removeBreakpoint(_ number: Int) -> Bool {
    guard let place = breakpoints.firstIndex(where: { $0.number == number }) else { return false }
    breakpoints.remove(at: place)
    return true
  }

  // MARK: On the way

  func interrupt() { if isRunning { isInterrupted = true } }

  func sample(_ look: () -> Void) -> Bool {
    refresh()
    look()
    return true
  }
}
