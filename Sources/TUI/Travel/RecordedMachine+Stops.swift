// What stops a journey through a recording, and whether somebody has asked for it: numbered breakpoints and watchpoints, system calls,
// signals, processes, and the landing of the movement itself; and searches for an instant at which something holds.

import Debugger
import Engine
import Record

extension RecordedMachine {
  /// A journey with the stops that there are.
  func travelling(
    _ landing: RecordedLanding?, _ journey: (TravelStops) throws(RecordingError) -> TravelEnd
  ) throws(RecordingError) -> TravelEnd {
    var stops = TravelStops()
    stops.addresses = Set(breakpoints.filter { $0.isEnabled && $0.kind == .code }.map(\.address))
    stops.ranges = breakpoints.filter { $0.isEnabled && !$0.kind.isData && $0.kind != .code }.map(\.bytes)
    stops.watched = watched
    stops.accessed = breakpoints.filter { !$0.accessKinds.isEmpty }.map(\.bytes)
    stops.calls = caughtCalls
    stops.signals = ~passedSignals
    stops.showsFamily = stopsAtExecutions || stopsAtForks
    if let landing { stops.addresses.formUnion(landing.addresses) }
    if let pattern = RecordedMachine.pattern(goal) {
      let isAll = pattern.numbers.isEmpty || caughtCalls?.isEmpty ?? false
      stops.calls = isAll ? [] : pattern.numbers.union(caughtCalls ?? [])
    }
    travel.accepts = { [unowned self] in isWanted($0, landing) }
    defer { travel.accepts = nil }
    return try journey(stops)
  }

  /// A stop on the way, where the replay is now, is one that somebody has asked for.
  private func isWanted(_ end: TravelEnd, _ landing: RecordedLanding?) -> Bool {
    switch end {
    case .breakpoint(let address):
      if let landing, isLanding(landing) { return true }
      return met(address) != nil
    case .systemCall(let number): return isWanted(call: number)
    case .forked: return stopsAtForks
    case .executed: return stopsAtExecutions
    default: return true
    }
  }

  private func isWanted(call number: UInt64) -> Bool {
    if let caughtCalls, caughtCalls.isEmpty || caughtCalls.contains(number) { return true }
    guard let pattern = RecordedMachine.pattern(goal) else { return false }
    guard pattern.numbers.isEmpty || pattern.numbers.contains(number) else { return false }
    // Its event is the last one.
    if let text = pattern.text, past.text(event: replay.eventCount &- 1)?.contains(text) != true {
      return false
    }
    return holds(pattern.condition)
  }

  /// The calls that a movement looks for.
  static func pattern(_ movement: Movement?) -> CallPattern? {
    switch movement {
    case .call(let pattern), .back(.call(let pattern)): pattern
    default: nil
    }
  }

  /// Goes to where a condition begins to hold, or last held.
  func search(_ expression: Expression, isBackwards: Bool) throws(RecordingError) -> Stop {
    let still = Stop(kind: .interrupt, text: told("stays", "at"))
    guard let predicate = Predicate(expression, self) else {
      failure = "no such register or symbol"
      return still
    }
    let thread = Int(truncatingIfNeeded: currentThread)
    if !isBackwards {
      let isFound = try travel.goOn(toWhere: predicate.holds, thread: thread)
      try travel.completeCall()
      if isFound { return Stop(kind: .step, text: told("the condition begins to hold", "at")) }
      failure = "the condition does not begin to hold any more"
      return still
    }
    let found = try travel.goBack(toWhere: predicate.holds, thread: thread)
    try travel.completeCall()
    switch found {
    case .began: return Stop(kind: .step, text: told("the condition began to hold", "at"))
    case .held: return Stop(kind: .step, text: told("the condition held last", "at"))
    case nil:
      failure = "the condition never held before"
      return still
    }
  }

  func isLanding(_ landing: RecordedLanding) -> Bool {
    guard let address = replay.instructionPointer, landing.addresses.contains(address) else { return false }
    if let thread = landing.thread, thread != running { return false }
    return register("rsp").map { landing.stack.contains($0) } ?? false
  }

  var watched: [Range<UInt64>] {
    breakpoints.compactMap { breakpoint in
      guard breakpoint.isEnabled, case .data(_, let kinds) = breakpoint.kind, kinds.contains(.change) else {
        return nil
      }
      return breakpoint.bytes
    }
  }

  /// The breakpoint at an address, to which the replay has come, whose condition holds.
  func met(_ address: UInt64) -> Int? {
    breakpoints.indices.first { breakpoints[$0].isMet(at: address) && holds(breakpoints[$0].condition) }
  }

  /// The watched bytes that the operands of the instruction at RIP access.
  func accessedBytes(_ cpu: UnsafeMutablePointer<CPUState>) -> Range<UInt64>? {
    var result: Range<UInt64>?
    accesses.forEach(cpu) { access in
      if result != nil { return }
      result =
        breakpoints.first {
          !$0.accessKinds.isDisjoint(with: access.kinds)
            && $0.bytes.overlaps(access.address..<max(access.address, access.address &+ access.size))
        }?.bytes
    }
    return result
  }

  /// A condition that cannot be worked out stops.
  private func holds(_ condition: Expression?) -> Bool {
    guard let condition else { return true }
    let scope = Expression.Scope(
      name: { [unowned self] name in
        register(name) ?? (name == "instant" ? UInt64(bitPattern: travel.instant) : nil)
          ?? objects?.address(named: name)
      },
      memory: { [unowned self] address, size in
        let bytes = bytes(at: address, count: size)
        return bytes.count == size ? bytes.littleEndianNumber : nil
      })
    return (try? condition.evaluate(scope)).map { $0 != 0 } ?? true
  }
}

extension Breakpoint {
  /// What of the operands of instructions stops.
  var accessKinds: AccessKinds {
    guard isEnabled, case .data(_, let kinds) = kind else { return [] }
    return kinds.intersection([.read, .write])
  }
}
