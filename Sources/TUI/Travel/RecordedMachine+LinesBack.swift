// Steps back by source lines in a recording, and back to where an inlined call was made.

import Record
import VirtualMachine

extension RecordedMachine {
  func linesBack(_ count: Int, over: Bool) throws(RecordingError) -> Stop {
    let thread = replay.running
    for _ in 0..<count {
      if let stop = try lineBack(thread, over) { return stop }
    }
    noteWrite()
    return Stop(kind: .step, text: told("stepped back", "to"))
  }

  /// To the beginning of the line, or where that is, of the one before; what else has stopped it, or nil.
  private func lineBack(_ thread: Int, _ over: Bool) throws(RecordingError) -> Stop? {
    guard let start = present(thread), var walk = LineRetreat(self, at: start.address, over: over) else {
      return nil
    }
    return try retreat(thread, entersCalls: !over) { (before, here, crossing) in
      walk.verdict(self, before: before, here: here, crossing)
    }
  }

  /// Back to where the inlined call in which the program stands begins, which is then about to be made; nil where it stands in none.
  func callBack() throws(RecordingError) -> Stop? {
    let thread = Int(truncatingIfNeeded: currentThread)
    guard let start = present(thread) else { return nil }
    let call = framesStanding(at: start.address)
    guard call.first?.isInlined == true else { return nil }
    let chain = call.reversed().map(\.identity)
    let stop = try retreat(thread, entersCalls: false) { (before, here, crossing) in
      let frames = (objects?.sourceFrames(at: before) ?? []).reversed().map(\.identity)
      if crossing == .within, frames.starts(with: chain) { return nil }
      // Compilers mix a call's instructions with those around it: no statement begins there.
      let isAround = crossing == .within && frames.starts(with: chain.dropLast())
      let goesOn = isAround && objects?.line(at: here) != nil && !LineRetreat.isBeginning(self, here)
      return goesOn ? nil : chain.count - 1
    }
    return stop ?? Stop(kind: .step, text: told("back", "at"))
  }

  /// Goes back, instruction by instruction, over calls that have returned, or into those with lines, until `verdict` answers in how many of
  /// the frames at `here` the program is to stand there; it is asked about the instruction at `before`, which came before. What else has
  /// stopped it, or nil.
  private func retreat(
    _ thread: Int, entersCalls: Bool,
    _ verdict: (_ before: UInt64, _ here: UInt64, _ crossing: LineRetreat.Crossing) -> Int?
  ) throws(RecordingError) -> Stop? {
    guard var here = present(thread) else { return nil }
    let entered = enteredCalls
    enteredCalls = 0
    while true {
      try checkInterruption()
      let instant = travel.instant
      if try travel.stepBack(thread) == .beginning {
        // Nothing came before: the program stands where it stood.
        if travel.instant == instant { enteredCalls = entered }
        return stop(.beginning, isBackwards: true)
      }
      replay.objects.refresh()
      guard var now = present(thread), let code = CodeReading(self).instruction(at: now.address) else {
        return nil
      }
      var crossing = LineRetreat.Crossing.within
      if code.isReturn, entersCalls, objects?.line(at: now.address) != nil {
        crossing = .intoFunction
      } else if code.isReturn {
        let stop = try goToCall(here.address, here.stack, thread: UInt64(thread))
        if let stop, stop.kind != .step { return stop }
        guard let call = present(thread) else { return nil }
        now = call
      } else if code.isCall, !code.text.hasPrefix("rep"),
        here.address != code.address &+ UInt64(code.bytes.count)
      {
        crossing = .outOfFunction
      }
      if code.isCall, objects?.line(at: now.address) == nil { return nil }
      if let depth = verdict(now.address, here.address, crossing) {
        _ = try travel.seek(instant)
        try travel.completeCall()
        replay.objects.refresh()
        enteredCalls = callsEntered(at: here.address, standingIn: depth)
        return nil
      }
      here = now
    }
  }
}

extension Subject {
  /// How many of the inlined calls that begin at `address` have been entered where the program stands in so many frames.
  func callsEntered(at address: UInt64, standingIn depth: Int) -> Int {
    let frames = objects?.sourceFrames(at: address) ?? []
    let begun = frames.beginningCount
    return min(max(0, begun - (frames.count - depth)), begun)
  }
}
