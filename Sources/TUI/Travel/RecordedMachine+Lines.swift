// Steps by source lines in a recording, forwards, and the way out of inlined calls.

import Record
import VirtualMachine

extension RecordedMachine {
  func present(_ thread: Int) -> (address: UInt64, stack: UInt64)? {
    replay.threads[thread].map { ($0.cpu.pointee.rip, $0.cpu.pointee.general.4) }
  }

  func checkInterruption() throws(RecordingError) {
    if travel.isInterrupted?() ?? false { throw .interrupted }
  }

  // MARK: Forwards

  func lineSteps(_ count: Int, over: Bool) throws(RecordingError) -> Stop {
    let thread = replay.running
    var left = count
    while left > 0, travel.end == nil {
      // Where inlined calls begin some steps are no more than going into them.
      if !over, let here = present(thread) { enterCalls(at: here.address, &left) }
      if left == 0 { break }
      if let stop = try lineStep(thread, over) { return stop }
      left -= 1
    }
    return Stop(kind: .step, text: told("stepped", "to"))
  }

  /// To the beginning of another line; what else has stopped it, or nil.
  private func lineStep(_ thread: Int, _ over: Bool) throws(RecordingError) -> Stop? {
    guard let start = present(thread), let walk = LineWalk(self, at: start.address, over: over) else {
      return nil
    }
    return try follow(walk, thread)
  }

  /// Out of the inlined call in which the program stands; nil where it stands in none.
  func leaveCall() throws(RecordingError) -> Stop? {
    let thread = Int(truncatingIfNeeded: currentThread)
    guard let start = present(thread), let walk = LineWalk(self, leavingCallAt: start.address) else {
      return nil
    }
    return try follow(walk, thread) ?? Stop(kind: .step, text: told("reached", ""))
  }

  /// To where the walk is over; what else has stopped it, or nil.
  private func follow(_ walk: LineWalk, _ thread: Int) throws(RecordingError) -> Stop? {
    var walk = walk
    enteredCalls = 0
    while travel.end == nil, let here = present(thread) {
      try checkInterruption()
      noteWrite()
      guard let code = CodeReading(self).instruction(at: here.address) else { return nil }
      if let end = walk.begin(code) {
        if let stop = try land(end, thread, here.stack) { return stop }
      } else {
        var stops = TravelStops()
        stops.watched = watched
        let end = try travel.step(thread, stops)
        if case .changed = end { return stop(end, isBackwards: false) }
      }
      replay.objects.refresh()
      guard travel.end == nil, let now = present(thread) else { return nil }
      var verdict = walk.verdict(self, now.address, now.stack)
      while case .land(let address, let least) = verdict {
        if let stop = try land(address, thread, least) { return stop }
        replay.objects.refresh()
        guard travel.end == nil, let now = present(thread) else { return nil }
        verdict = walk.verdict(self, now.address, now.stack)
      }
      if verdict == .over {
        enteredCalls = walk.entered
        guard let address = present(thread)?.address, hasCallBreakpoint(at: address) else { return nil }
        return breakpointStop(address)
      }
      if let address = present(thread)?.address, let stop = breakpointStop(address) { return stop }
    }
    return nil
  }

  /// On to `address`, with the stack at least so high; what else has stopped it, or nil.
  private func land(_ address: UInt64, _ thread: Int, _ least: UInt64) throws(RecordingError) -> Stop? {
    let landing = RecordedLanding(addresses: [address], thread: UInt64(thread), stack: least...(.max))
    let stop = try run(landing)
    return stop.kind == .step ? nil : stop
  }
}
