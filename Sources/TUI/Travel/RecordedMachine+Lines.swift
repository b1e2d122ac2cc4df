// Steps by source lines in a recording, forwards and backwards.

import Record
import VirtualMachine

extension RecordedMachine {
  private func present(_ thread: Int) -> (address: UInt64, stack: UInt64)? {
    replay.threads[thread].map { ($0.cpu.pointee.rip, $0.cpu.pointee.general.4) }
  }

  private func checkInterruption() throws(RecordingError) {
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
    guard let start = present(thread), var walk = LineWalk(self, at: start.address, over: over) else {
      return nil
    }
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
        return nil
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

  // MARK: Backwards

  func linesBack(_ count: Int, over: Bool) throws(RecordingError) -> Stop {
    let thread = replay.running
    for _ in 0..<count {
      if let stop = try lineBack(thread, over) { return stop }
    }
    noteWrite()
    return Stop(kind: .step, text: told("stepped back", "to"))
  }

  private func returnTo(_ instant: Int64) throws(RecordingError) {
    _ = try travel.seek(instant)
    try travel.completeCall()
  }

  /// In front of the body of its function.
  private func isSettingUp(_ address: UInt64) -> Bool {
    guard let function = objects?.symbol(at: address)?.address else { return false }
    return address < LineWalk.body(self, function)
  }

  /// To the beginning of the line, or where that is, of the one before; what else has stopped it, or nil.
  private func lineBack(_ thread: Int, _ over: Bool) throws(RecordingError) -> Stop? {
    guard var here = present(thread), let start = objects?.line(at: here.address) else { return nil }
    let isBeginning = start.isStatement && start.range.lowerBound == here.address
    var wanted = isBeginning ? nil : start
    let origin = travel.instant
    while true {
      try checkInterruption()
      let instant = travel.instant
      let end = try travel.stepBack(thread)
      if end == .beginning { return stop(end, isBackwards: true) }
      replay.objects.refresh()
      guard var now = present(thread), let code = CodeReading(self).instruction(at: now.address) else {
        return nil
      }
      if code.isReturn {
        // Out of here a call has come back.
        if !over, let line = objects?.line(at: now.address) {
          // Where it has come back to, a statement begins.
          if instant != origin, let known = objects?.line(at: here.address), known.isStatement,
            known.range.lowerBound == here.address
          {
            try returnTo(instant)
            return nil
          }
          wanted = line
          here = now
          continue
        }
        if let stop = try goToCall(here.address, here.stack, thread: UInt64(thread)), stop.kind != .step {
          return stop
        }
        guard let call = present(thread) else { return nil }
        now = call
      }
      let line = objects?.line(at: now.address)
      // In front of the function there is one without lines.
      if line == nil, code.isCall { return nil }
      if let known = wanted, let line, !line.isSameLine(known) {
        if instant != origin {
          try returnTo(instant)
          return nil
        }
        // The line began there, where no statement does.
        wanted = nil
      }
      if wanted == nil, !isSettingUp(now.address) { wanted = line }
      here = now
    }
  }
}
