// How a recorded program moves: what a command asks for becomes journeys of TimeTravel, forwards and backwards, with places of its own to
// stop at where a call or a function ends or was made. A journey is made at once, by whoever calls `travelOn`; while it lasts, TimeTravel
// asks whether to go on, and then the session takes keys and draws.

import Debugger
import Engine
import GuestMemory
import LinuxABI
import Record
import VirtualMachine

/// A place that ends a movement, for one thread, with the stack so high: at least, or exactly.
struct RecordedLanding {
  var addresses: Set<UInt64>
  var thread: UInt64?
  var stack: ClosedRange<UInt64>
  /// What somebody has asked for there.
  var places: [CodePlace] = []
}

extension RecordedLanding {
  /// Any of these places, whoever comes there.
  fileprivate init(_ places: [CodePlace]) {
    self.init(addresses: Set(places.map(\.address)), thread: nil, stack: 0...(.max), places: places)
  }
}

extension RecordedMachine {
  func begin(_ movement: Movement) -> String? {
    if isRunning { return "the program is running" }
    if case .ended = condition, !movement.isThroughTime { return "here the recording ends; go back" }
    switch movement {
    case .stepLine(let count), .nextLine(let count), .back(.stepLine(let count)), .back(.nextLine(let count)):
      if count < 1 { return "a count is at least 1" }
      if presentLine == nil { return LineWalk.problem }
    case .step(let count), .next(let count), .back(.step(let count)), .back(.next(let count)):
      if count < 1 { return "a count is at least 1" }
    case .finish, .back(.finish):
      if frames.count < 2, presentFrames.first?.isInlined != true { return "there is no caller" }
    case .back(.until), .back(.go), .back(.when), .back(.call), .seek, .lastChange, .until, .go, .when, .call:
      break
    case .back: return "that way does not lead back"
    }
    remember()
    switch movement {
    // They go out of inlined calls.
    case .stepLine, .nextLine, .back(.stepLine), .back(.nextLine), .finish, .back(.finish): break
    // Who goes by instructions is where the instruction is.
    case .step, .next, .back(.step), .back(.next): enteredCalls = .max
    default: enteredCalls = 0
    }
    let pattern = RecordedMachine.pattern(movement)
    past.beginJourney(wantsAll: pattern?.text != nil)
    (goal, isInterrupted, failure) = (movement, false, nil)
    condition = .running
    return nil
  }

  /// Makes the journey that was begun, to its end.
  func travelOn() {
    guard let movement = goal else { return }
    var reached: Condition
    do throws(RecordingError) {
      // Where somebody looks at another thread, it is that one's stack that counts for its functions; time is everybody's.
      reached = try go(movement)
      if let end = RecordedMachine.condition(at: travel.end) { reached = end }
    } catch {
      var text = error.message
      if error == .interrupted {
        try? travel.completeCall()
        text = "stopped"
      } else {
        failure = text
      }
      reached = .stopped(Stop(kind: error == .interrupted ? .interrupt : .signal, text: told(text, "at")))
    }
    (goal, isInterrupted) = (nil, false)
    condition = reached
    refresh()
  }

  private func go(_ movement: Movement) throws(RecordingError) -> Condition {
    switch movement {
    case .step(let count): return .stopped(try steps(count, over: false))
    case .next(let count): return .stopped(try steps(count, over: true))
    case .stepLine(let count): return .stopped(try lineSteps(count, over: false))
    case .nextLine(let count): return .stopped(try lineSteps(count, over: true))
    case .finish:
      if let stop = try leaveCall() { return .stopped(stop) }
      guard frames.count > 1 else { break }
      enteredCalls = 0
      let landing = RecordedLanding(
        addresses: [frames[1].address], thread: currentThread, stack: frames[1].stackPointer...(.max))
      return .stopped(try run(landing, returns: true))
    case .until(let places): return .stopped(try run(RecordedLanding(places)))
    case .when(let expression): return .stopped(try search(expression, isBackwards: false))
    case .go, .call: return .stopped(try run(nil))
    case .seek(let target):
      guard let target else { return .stopped(try goToEnd()) }
      let end = try travel.seek(target)
      try travel.completeCall()
      return .stopped(Stop(kind: .step, text: told(end == .beginning ? "the beginning," : "", "at")))
    case .lastChange(let bytes):
      return .stopped(try goBack { () throws(RecordingError) in try travel.lastChange(of: bytes) })
    case .back(let way): return .stopped(try back(way))
    }
    return .stopped(Stop(kind: .step, text: told("", "at")))
  }

  private func goToEnd() throws(RecordingError) -> Stop {
    // The checkpoints close by make the first steps back short.
    _ = try travel.seek(travel.timeline == 0 ? timeLine?.length ?? 0 : travel.instant)
    while travel.end == nil { _ = try travel.goOn(TravelStops()) }
    return Stop(kind: .step, text: told("the end,", "at"))
  }

  /// Nil where the timeline goes on.
  static func condition(at end: ReplayEnd?) -> Condition? { end.map { .ended(termination($0)) } }

  /// How a timeline ends, for people.
  static func text(_ end: ReplayEnd) -> String { Workspace.text(termination(end)) }

  private static func termination(_ end: ReplayEnd) -> Termination {
    switch end {
    case .departed(let text): .failed(text)
    case .exited(let code): .exited(code)
    case .killed(let signal): .killed(signal: signal)
    case .unfinished: .failed("the recording ends here; the program did not")
    }
  }

  /// A reason, and where that is.
  func told(_ reason: String, _ word: String) -> String {
    replay.objects.refresh()
    let here = replay.instructionPointer.map { ", " + presentPlace($0) } ?? ""
    return [reason, word, "instant \(travel.instant)\(here)"].filter { !$0.isEmpty }.joined(separator: " ")
  }

  // MARK: Forwards

  private func steps(_ count: Int, over: Bool) throws(RecordingError) -> Stop {
    travel.keepsStops = count > 1
    defer { travel.keepsStops = false }
    for left in (0..<count).reversed() {
      noteWrite()
      let stop = over ? try callStep() : try singleStep()
      if let stop { return stop }
      if travel.end != nil { break }
      if left & 255 == 0, travel.isInterrupted?() ?? false { throw .interrupted }
      if left > 0, let address = replay.instructionPointer, let stop = breakpointStop(address) { return stop }
    }
    return Stop(kind: .step, text: told("stepped", "to"))
  }

  /// One instruction; what else has stopped it, or nil.
  private func singleStep() throws(RecordingError) -> Stop? {
    var stops = TravelStops()
    stops.watched = watched
    stops.accessed = breakpoints.filter { !$0.accessKinds.isEmpty }.map(\.bytes)
    let end = try travel.step(replay.running, stops)
    switch end {
    case .changed, .accessed: return stop(end, isBackwards: false)
    default: return nil
    }
  }

  /// One instruction, or a whole call.
  private func callStep() throws(RecordingError) -> Stop? {
    guard let address = replay.instructionPointer, let stack = register("rsp"),
      let line = CodeReading(self).instruction(at: address), line.isCall
    else { return try singleStep() }
    let landing = RecordedLanding(
      addresses: [address &+ UInt64(line.bytes.count)], thread: running, stack: stack...(.max))
    let stop = try run(landing)
    return stop.kind == .step ? nil : stop
  }

  /// Goes on to a breakpoint, or to the landing.
  func run(_ landing: RecordedLanding?, returns: Bool = false) throws(RecordingError) -> Stop {
    let end = try travelling(landing) { (stops) throws(RecordingError) in try travel.goOn(stops) }
    if !end.isSignal { try travel.completeCall() }
    if case .breakpoint = end, let landing, isLanding(landing) {
      enteredCalls = callsEntered(at: replay.instructionPointer ?? 0, for: landing.places)
      let value = returns ? ", rax = 0x" + Format.hex(register("rax") ?? 0) : ""
      return Stop(kind: .step, text: told("reached", "") + value)
    }
    return stop(end, isBackwards: false)
  }

  // MARK: Backwards

  private func back(_ way: Movement) throws(RecordingError) -> Stop {
    switch way {
    case .step(let count): return try stepsBack(count)
    case .next(let count): return try callsBack(count)
    case .stepLine(let count): return try linesBack(count, over: false)
    case .nextLine(let count): return try linesBack(count, over: true)
    case .finish:
      if let stop = try callBack() { return stop }
      guard frames.count > 1 else { break }
      enteredCalls = 0
      let stop = try goToCall(frames[1].address, frames[1].stackPointer, thread: currentThread)
      return stop ?? Stop(kind: .interrupt, text: told("no call instruction has led here: stays", "at"))
    case .until(let places): return try runBack(RecordedLanding(places))
    case .when(let expression): return try search(expression, isBackwards: true)
    default: return try runBack(nil)
    }
    return Stop(kind: .step, text: told("", "at"))
  }

  private func runBack(_ landing: RecordedLanding?) throws(RecordingError) -> Stop {
    let stop = try goBack { () throws(RecordingError) in
      try travelling(landing) { (stops) throws(RecordingError) in try travel.goBack(stops) }
    }
    guard stop.kind == .breakpoint, let landing, isLanding(landing) else { return stop }
    enteredCalls = callsEntered(at: replay.instructionPointer ?? 0, for: landing.places)
    return Stop(kind: .step, text: told("back", "at"))
  }

  /// A journey backwards. What a system call did is in front of its instruction.
  private func goBack(_ journey: () throws(RecordingError) -> TravelEnd) throws(RecordingError) -> Stop {
    let end = try journey()
    if case .systemCall(let number) = end, travel.turnToWaiting() {
      let name = callName(number) ?? String(number)
      return Stop(kind: .systemCall, text: told("system call \(name) has waited, and returns next,", "at"))
    }
    if travel.isAtCall, travel.instant > 0, !end.isSignal {
      _ = try travel.seek(travel.instant &- 1)
      try travel.completeCall()
    }
    return stop(end, isBackwards: true)
  }

  private func stepsBack(_ count: Int) throws(RecordingError) -> Stop {
    let many = 64
    var end = TravelEnd.arrived
    if count > many, replay.threads.count == 1 {
      end = try travel.seek(travel.instant &- Int64(count))
      try travel.completeCall()
    } else {
      for _ in 0..<count {
        end = try travel.stepBack(replay.running)
        if end == .beginning { break }
      }
    }
    if end == .beginning { return stop(end, isBackwards: true) }
    noteWrite()
    return Stop(kind: .step, text: told("stepped back", "to"))
  }

  /// Steps back; a call that has returned here is one step.
  private func callsBack(_ count: Int) throws(RecordingError) -> Stop {
    for _ in 0..<count {
      guard let address = replay.instructionPointer, let stack = register("rsp") else { break }
      let thread = running
      let stop = try stepsBack(1)
      if stop.kind == .start { return stop }
      let line = replay.instructionPointer.flatMap { CodeReading(self).instruction(at: $0) }
      guard let line, line.isReturn, running == thread else { continue }
      if let stop = try goToCall(address, stack, thread: thread), stop.kind != .step { return stop }
    }
    noteWrite()
    return Stop(kind: .step, text: told("stepped back", "to"))
  }

  /// Goes back to the call whose return leads to `address` with RSP as given; stays, and nil, when there was none.
  func goToCall(_ address: UInt64, _ stack: UInt64, thread: UInt64) throws(RecordingError) -> Stop? {
    let reading = CodeReading(self)
    var calls: Set<UInt64> = []
    for length in UInt64(2)...15 {
      guard let line = reading.instruction(at: address &- length), line.bytes.count == Int(length),
        line.isCall
      else { continue }
      calls.insert(line.address)
    }
    if calls.isEmpty { return nil }
    let present = travel.instant
    let stop = try runBack(RecordedLanding(addresses: calls, thread: thread, stack: stack...stack))
    if stop.kind != .start { return stop }
    _ = try travel.seek(present)
    try travel.completeCall()
    return nil
  }

  // MARK: Stops

  func breakpointStop(_ address: UInt64) -> Stop? {
    guard let place = met(address) else { return nil }
    breakpoints[place].hits += 1
    enteredCalls = callsEntered(at: address)
    return Stop(kind: .breakpoint, text: told("breakpoint \(breakpoints[place].number)", "at"))
  }

  func stop(_ end: TravelEnd, isBackwards: Bool) -> Stop {
    switch end {
    // What was not asked for does not stop.
    case .arrived, .systemCallEntry: return Stop(kind: .step, text: told("", "at"))
    case .signal(let signal):
      return Stop(kind: .signal, text: told("signal \(SignalText.name(signal)) comes,", "at"))
    case .accessed(let bytes): return accessStop(bytes, isBackwards)
    case .forked(let child, let isVfork):
      let name = isVfork ? "vfork" : "fork"
      let text = isBackwards ? "is about to \(name) process \(child)," : "\(name) of process \(child),"
      return Stop(kind: .fork, text: told(text, "at"))
    case .executed:
      let text = isBackwards ? "is about to execute a program," : "executes \(program),"
      return Stop(kind: .execute, text: told(text, "at"))
    case .beginning: return Stop(kind: .start, text: told("the beginning,", "at"))
    case .end: return Stop(kind: .step, text: told("the end,", "at"))
    case .breakpoint(let address):
      return breakpointStop(address) ?? Stop(kind: .breakpoint, text: told("back", "at"))
    case .changed(let bytes): return changeStop(bytes, isBackwards)
    case .systemCall(let number):
      let name = callName(number) ?? String(number)
      if isBackwards {
        return Stop(kind: .systemCall, text: told("system call \(name) begins,", "at"))
      }
      let result = Int64(bitPattern: register("rax") ?? 0)
      return Stop(kind: .systemCall, text: told("system call \(name) returned \(result),", "at"))
    }
  }

  /// The watchpoint of these bytes has been met: its name.
  private func metWatchpoint(_ range: Range<UInt64>, _ isWanted: (Breakpoint) -> Bool) -> String {
    let found = breakpoints.firstIndex { $0.isEnabled && $0.kind.isData && $0.bytes == range && isWanted($0) }
    guard let found else { return "0x" + Format.hex(range.lowerBound) }
    breakpoints[found].hits += 1
    return "watchpoint \(breakpoints[found].number) (\(breakpoints[found].place))"
  }

  private func accessStop(_ range: Range<UInt64>, _ isBackwards: Bool) -> Stop {
    let text = metWatchpoint(range) { !$0.accessKinds.isEmpty }
    let value = bytes(at: range.lowerBound, count: min(8, range.count)).littleEndianNumber
    let what = isBackwards ? "is about to be accessed, with" : "now"
    return Stop(kind: .watchpoint, text: told("\(text): \(what) 0x\(Format.hex(value)),", "at"))
  }

  private func changeStop(_ range: Range<UInt64>, _ isBackwards: Bool) -> Stop {
    let text = metWatchpoint(range) { _ in true }
    lastWrite = range.lowerBound
    let value = bytes(at: range.lowerBound, count: min(8, range.count)).littleEndianNumber
    var what = isBackwards ? "is about to change from" : "now"
    if travel.isBesideOthersWrites(ahead: isBackwards) {
      what = isBackwards ? "another process is about to change it from" : "another process has made it"
    }
    return Stop(kind: .watchpoint, text: told("\(text): \(what) 0x\(Format.hex(value)),", "at"))
  }
}

extension TravelEnd {
  /// In front of a signal's handler; the call that it interrupts is not over.
  fileprivate var isSignal: Bool {
    if case .signal = self { return true }
    return false
  }
}
