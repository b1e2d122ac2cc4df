// How a live machine moves: what a command asks for becomes what the control can do (run, one instruction), with a landing place
// where a call or a function ends; and when the machine has stopped, whether that was it.

import Debugger
import Engine
import Linux
import LinuxABI
import VirtualMachine
import X86

extension LiveMachine {
  func begin(_ movement: Movement) -> String? {
    if movement.isThroughTime {
      return "a program that runs has no past; record it (vitrine record) and debug the recording"
    }
    switch condition {
    case .running: return "the program is running"
    case .ended: return "the program has ended"
    case .stopped: break
    }
    guard let thread else { return "there is no thread" }
    let entered = enteredCalls
    enteredCalls = 0
    remember()
    isInterrupted = false
    landing = nil
    goal = Goal(movement: movement, remaining: 1)
    applyCalls()
    switch movement {
    case .step(let count), .next(let count):
      if count < 1 { return "a count is at least 1" }
      goal?.remaining = count
      // Who goes by instructions is where the instruction is.
      enteredCalls = .max
      advance(thread)
    case .stepLine(let count), .nextLine(let count):
      if count < 1 { return "a count is at least 1" }
      enteredCalls = entered
      goal?.remaining = count
      if presentLine == nil { return LineWalk.problem }
      beginLine(thread, over: movement == .nextLine(count))
    case .finish:
      enteredCalls = entered
      let walk = LineWalk(self, leavingCallAt: thread.visible.pointee.rip)
      enteredCalls = 0
      if let walk {
        goal?.walk = walk
        advance(thread)
        return nil
      }
      guard frames.count > 1 else { return "there is no caller" }
      land(at: [frames[1].address], thread, above: frames[1].stackPointer)
      resume(thread, .run)
    case .until(let places):
      land(at: Set(places.map(\.address)), nil, above: 0)
      resume(thread, .run)
    case .when(let expression):
      guard let predicate = Predicate(expression, self) else { return "no such register or symbol" }
      let number = thread.number
      var wasTrue = predicate.holds(thread.visible)
      control.condition = {
        if $0.number != number { return false }
        let isTrue = predicate.holds($0.cpu)
        defer { wasTrue = isTrue }
        return isTrue && !wasTrue
      }
      resume(thread, .run)
    case .go, .call: resume(thread, .run)
    case .back, .seek, .lastChange: break
    }
    return nil
  }

  /// The next line step; where inlined calls begin some are no more than going into them.
  private func beginLine(_ thread: ControlledThread, over: Bool) {
    let rip = thread.visible.pointee.rip
    var left = goal?.remaining ?? 0
    if !over { enterCalls(at: rip, &left) }
    goal?.remaining = left
    if left > 0, let walk = LineWalk(self, at: rip, over: over) {
      enteredCalls = 0
      goal?.walk = walk
      return advance(thread)
    }
    finish(Stop(kind: .step, text: "stepped to \(ripText)"))
  }

  /// The next step of a movement by steps.
  private func advance(_ thread: ControlledThread) {
    let rip = thread.visible.pointee.rip
    noteWrite(thread)
    if let code = goal?.walk == nil ? nil : CodeReading(self).instruction(at: rip) {
      if let end = goal?.walk?.begin(code) {
        land(at: [end], thread, above: thread.visible.pointee.general.4)
        recorder?.sample(thread.visible)
        return resume(thread, .run)
      }
      recorder?.begin(thread.visible)
      return resume(thread, .step)
    }
    if case .next = goal?.movement, let end = callEnd(rip) {
      recorder?.sample(thread.visible)
      land(at: [end], thread, above: thread.visible.pointee.general.4)
      resume(thread, .run)
    } else {
      recorder?.begin(thread.visible)
      resume(thread, .step)
    }
  }

  /// Remembers what the next instruction writes.
  func noteWrite(_ thread: ControlledThread) {
    if let address = control.nextWrite(of: thread) { lastWrite = address }
  }

  /// Where a call, or a repeated string operation, at `address` is over.
  private func callEnd(_ address: UInt64) -> UInt64? {
    guard let line = CodeReading(self).instruction(at: address) else { return nil }
    return line.isCall ? address &+ UInt64(line.bytes.count) : nil
  }

  private func isSystemCall(_ address: UInt64) -> Bool {
    bytes(at: address, count: 2) == [0x0f, 0x05]
  }

  private func land(at addresses: Set<UInt64>, _ thread: ControlledThread?, above: UInt64) {
    landing = Landing(addresses: addresses, thread: thread?.number, least: above)
    for address in addresses { control.setBreakpoint(address, true) }
  }

  private func resume(_ chosen: ControlledThread, _ action: ThreadAction) {
    for (number, signal) in heldSignals {
      if let thread = control.threads.first(where: { $0.number == number }) {
        control.setSignal(signal, for: thread)
      }
    }
    heldSignals = [:]
    condition = .running
    // Where a stop was shown it has been seen; others meet their breakpoints again.
    for thread in control.threads
    where thread === chosen || shownAt[thread.number] == thread.visible.pointee.rip {
      control.passBreakpoint(thread)
    }
    // A call may wait for what others do.
    let alone = action == .step && !isSystemCall(chosen.visible.pointee.rip)
    if control.resume({ $0 === chosen ? action : alone ? .hold : .run }) { notice() }
  }

  func interrupt() {
    guard condition == .running else { return }
    isInterrupted = true
    control.requestStop()
  }

  func setSignal(_ signal: Int32) { heldSignals[currentThread] = signal }

  // MARK: Stopping

  /// Something may have happened: looks whether the machine stands still, and whether that is the end of the movement.
  func notice() {
    guard condition == .running, control.settle() else { return }
    if let (thread, reason) = control.takeStop() {
      choose(stopped: thread, reason)
    } else if isInterrupted {
      finish(Stop(kind: .interrupt, text: "stopped at \(ripText)"))
    } else if control.threads.allSatisfy({ $0.action == .hold }) {
      finish(Stop(kind: .interrupt, text: "the thread has ended, at \(ripText)"))
    } else {
      // A thread has ended while everything stood still.
      _ = control.resume { $0.action }
    }
  }

  private var ripText: String {
    refresh()
    return presentPlace(registers.rip)
  }

  private func choose(stopped thread: ControlledThread, _ reason: StopReason) {
    if case .end(let termination) = reason {
      refresh()
      clearLanding()
      goal = nil
      condition = .ended(termination)
      return
    }
    if case .signal(let signal) = reason, !isInterrupted, passedSignals >> UInt64(signal - 1) & 1 != 0 {
      heldSignals[thread.number] = signal
      return resume(thread, isByStep && landing == nil ? .step : .run)
    }
    if !isInterrupted {
      switch reason {
      case .systemCallEntry(let number) where !stops(atCall: number, isReturn: false, thread),
        .systemCallReturn(let number) where !stops(atCall: number, isReturn: true, thread):
        return resume(thread, isByStep && landing == nil ? .step : .run)
      default: break
      }
    }
    let isLanding = reason == .breakpoint && hasLanded(thread)
    if reason == .step || isLanding {
      clearLanding()
      if !isLanding || isByStep { return finishStep(thread) }
    }
    clearLanding()
    finish(thread, reason, isLanding)
  }

  /// The movement ends where `thread` has stopped.
  private func finish(_ thread: ControlledThread, _ reason: StopReason, _ isLanding: Bool) {
    shownAt[thread.number] = thread.visible.pointee.rip
    currentThread = thread.number
    refresh()
    if reason == .breakpoint, !isLanding { enteredCalls = callsEntered(at: registers.rip) }
    if isLanding, case .until(let places) = goal?.movement {
      enteredCalls = callsEntered(at: registers.rip, for: places)
    }
    finish(stop(thread, reason, isLanding))
  }

  private var isByStep: Bool {
    switch goal?.movement {
    case .step, .next, .stepLine, .nextLine: return true
    // Out of an inlined call.
    case .finish: return goal?.walk != nil
    default: return false
    }
  }

  /// Behind a step of a movement by lines, or a call in one: whether another line begins.
  private func finishLineStep(_ thread: ControlledThread) {
    let (rip, stack) = (thread.visible.pointee.rip, thread.visible.pointee.general.4)
    refreshObjects()
    let verdict = goal?.walk?.verdict(self, rip, stack) ?? .over
    if verdict == .over {
      let left = (goal?.remaining ?? 1) - 1
      goal?.remaining = left
      enteredCalls = goal?.walk?.entered ?? 0
      if hasCallBreakpoint(at: rip), stops(thread) { return finish(thread, .breakpoint, false) }
      if left > 0, !isInterrupted, objects?.line(at: rip) != nil, let over = goal?.walk?.over {
        if stops(thread) { return finish(thread, .breakpoint, false) }
        return beginLine(thread, over: over)
      }
      let what = goal?.movement == .finish ? "reached" : "stepped to"
      return finish(Stop(kind: isInterrupted ? .interrupt : .step, text: "\(what) \(ripText)"))
    }
    if isInterrupted { return finish(Stop(kind: .interrupt, text: "stopped at \(ripText)")) }
    if stops(thread) { return finish(thread, .breakpoint, false) }
    guard case .land(let address, let least) = verdict else { return advance(thread) }
    land(at: [address], thread, above: least)
    resume(thread, .run)
  }

  private func finishStep(_ thread: ControlledThread) {
    recorder?.end(thread.visible, isComplete: true)
    if goal?.walk != nil { return finishLineStep(thread) }
    let left = (goal?.remaining ?? 1) - 1
    goal?.remaining = left
    let meets = left > 0 && breakpoints.contains { $0.isMet(at: thread.visible.pointee.rip) }
    if left > 0, !isInterrupted, !meets { return advance(thread) }
    finish(Stop(kind: isInterrupted ? .interrupt : .step, text: "stepped to \(ripText)"))
  }

  private func finish(_ stop: Stop) {
    clearLanding()
    goal = nil
    control.condition = nil
    applyCalls()
    isInterrupted = false
    refresh()
    condition = .stopped(stop)
  }

  func clearLanding() {
    guard let landing else { return }
    self.landing = nil
    let kept = Set(breakpoints.filter { $0.kind == .code && $0.isEnabled }.map(\.address))
    for address in landing.addresses.subtracting(kept) { control.setBreakpoint(address, false) }
  }

  func hasLanded(_ thread: ControlledThread) -> Bool {
    guard let landing, landing.addresses.contains(thread.visible.pointee.rip) else { return false }
    if let number = landing.thread, number != thread.number { return false }
    return thread.visible.pointee.general.4 >= landing.least
  }

  private func stop(_ thread: ControlledThread, _ reason: StopReason, _ isLanding: Bool) -> Stop {
    let here = presentPlace(registers.rip)
    switch reason {
    case .breakpoint:
      if isLanding {
        let value = goal?.movement == .finish ? ", rax = 0x" + Format.hex(registers.values["rax"] ?? 0) : ""
        return Stop(kind: .step, text: "reached \(here)\(value)")
      }
      let number = breakpoints.first { $0.isMet(at: registers.rip) }?.number
      return Stop(kind: .breakpoint, text: "breakpoint\(number.map { " \($0)" } ?? "") at \(here)")
    case .step: return Stop(kind: .step, text: "stepped to \(here)")
    case .condition: return Stop(kind: .step, text: "the condition begins to hold at \(here)")
    case .watchpoint(let watchpoint): return watchStop(watchpoint, here)
    case .signal(let signal):
      heldSignals[thread.number] = signal
      let code = thread.information.count > 1 ? Int32(truncatingIfNeeded: thread.information[1]) : 0
      let name = Signal.codeName(signal, code).map { " (\($0))" } ?? ""
      return Stop(kind: .signal, text: "signal \(Signal.name(signal))\(name) at \(here)")
    case .systemCallEntry(let number):
      return Stop(kind: .systemCall, text: "system call \(callName(number)) begins")
    case .systemCallReturn(let number):
      let result = Int64(bitPattern: registers.values["rax"] ?? 0)
      return Stop(kind: .systemCall, text: "system call \(callName(number)) returned \(result)")
    case .fork(let child, let isVfork):
      return Stop(kind: .fork, text: "\(isVfork ? "vfork" : "fork") of process \(child)")
    case .vforkDone: return Stop(kind: .fork, text: "the child of a vfork has gone its own way")
    case .execute(let path): return Stop(kind: .execute, text: "executes \(LoadError.name(path))")
    case .end: return Stop(kind: .interrupt, text: "ends")
    }
  }

  private func callName(_ number: UInt64) -> String { process?.callName(number) ?? String(number) }

  private func watchStop(_ watchpoint: Watchpoint, _ here: String) -> Stop {
    let kind = Breakpoint.Kind.data(size: watchpoint.size, watchpoint.kinds)
    let found = breakpoints.firstIndex { $0.address == watchpoint.address && $0.kind == kind }
    var text = "watchpoint"
    if let found {
      breakpoints[found].hits += 1
      text += " \(breakpoints[found].number) (\(breakpoints[found].place))"
    }
    if watchpoint.kinds.contains(.change) { lastWrite = watchpoint.address }
    let now = bytes(at: watchpoint.address, count: Int(min(8, watchpoint.size)))
    let value = now.reversed().reduce(UInt64(0)) { $0 &<< 8 | UInt64($1) }
    return Stop(kind: .watchpoint, text: "\(text): now 0x\(Format.hex(value)), at \(here)")
  }
}
