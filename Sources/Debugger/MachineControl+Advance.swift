// How a thread goes on: freely on its engine, which stops at breakpoints by itself, or instruction by instruction while it steps or
// while something is watched; and what is looked at around system calls.

import CHost
import Engine
import GuestMemory
import Linux
import VirtualMachine

extension MachineControl {
  private static let unlimited = InstructionCount.max / 2

  /// Executes guest code for a thread that may run; what the machine has to see to, or nil to look again.
  func advance(
    _ thread: ControlledThread, _ engine: any GuestEngine, _ process: LinuxProcess
  ) -> Exit? {
    if thread.replacement != nil { takeReplacement(thread, process) }
    if thread.originalRAX != .max { thread.restartCall() }
    if finishStep(thread) { return nil }
    if isTouched, let changed = takeTouch(process) {
      stop(thread, .watchpoint(changed))
      return nil
    }
    if thread.action == .run, !looksClosely, thread.stepsOver != thread.cpu.pointee.rip {
      return runFreely(thread, engine)
    }
    return step(thread, engine, process)
  }

  private func runFreely(_ thread: ControlledThread, _ engine: any GuestEngine) -> Exit? {
    thread.stepsOver = nil
    let exit = engine.run(thread.cpu, budget: MachineControl.unlimited)
    switch exit {
    case .stop:
      meetBreakpoint(thread)
      return nil
    case .budget: return nil
    // Asked to stop rather than to look for a signal: the loop parks, and the word is still set afterwards.
    case .attention: return state == .running && !isTouched ? exit : nil
    default: return exit
    }
  }

  /// A step that ended outside guest code: behind a system call, or at a signal handler's first instruction.
  private func finishStep(_ thread: ControlledThread) -> Bool {
    let before = thread.signalled
    thread.signalled = nil
    guard thread.action != .run else { return false }
    let handlerBegins = before.map { $0 != thread.cpu.pointee.rip } ?? false
    guard thread.isStepDone || handlerBegins else { return false }
    thread.isStepDone = false
    if !handlerBegins, isInRange(thread) { return false }
    stop(thread, .step)
    return true
  }

  private func isInRange(_ thread: ControlledThread) -> Bool {
    if case .stepRange(let range) = thread.action { return range.contains(thread.cpu.pointee.rip) }
    return false
  }

  private func meetBreakpoint(_ thread: ControlledThread) {
    if decides?(thread) ?? true {
      stop(thread, .breakpoint)
    } else {
      thread.stepsOver = thread.cpu.pointee.rip
    }
  }

  /// One instruction after the other, until there is something to do besides.
  private func step(_ thread: ControlledThread, _ engine: any GuestEngine, _ process: LinuxProcess) -> Exit? {
    let cpu = thread.cpu
    // A single step executes the instruction under a breakpoint; whoever continues meets it.
    var meetsStops = thread.action == .run
    if meetsStops, !watchpoints.isEmpty, let changed = changedWatchpoint() {
      // By a host call.
      beginWatching()
      stop(thread, .watchpoint(changed))
      return nil
    }
    while true {
      if let exit = runToAccess(thread, process) {
        guard exit == .budget else {
          return exit == .attention && (state != .running || isTouched) ? nil : exit
        }
        process.memory.yieldLock()
        if state != .running || !looksClosely { return nil }
        continue
      }
      let rip = cpu.pointee.rip
      if meetsStops, stops.contains(rip), thread.stepsOver != rip {
        meetBreakpoint(thread)
        if thread.pending != nil { return nil }
      }
      meetsStops = true
      let accessed = watchpoints.isEmpty ? nil : accessedWatchpoint(cpu)
      let exit = engine.step(cpu)
      guard exit == .budget else {
        if exit == .attention { return state == .running && !isTouched ? exit : nil }
        thread.stepsOver = nil
        // Faults leave the instruction undone.
        if exit == .systemCall, thread.action != .run { thread.isStepDone = true }
        return exit == .stop ? nil : exit
      }
      thread.stepsOver = nil
      if !watchpoints.isEmpty, let hit = endWatching(accessed, process) {
        stop(thread, .watchpoint(hit))
        return nil
      }
      if let condition, condition(thread) {
        stop(thread, .condition)
        return nil
      }
      switch thread.action {
      case .run: if !looksClosely { return nil }
      case .stepRange where isInRange(thread): break
      default:
        stop(thread, .step)
        return nil
      }
      process.memory.yieldLock()
      if state != .running || thread.action == .hold { return nil }
    }
  }

  // MARK: System calls

  public func systemCall(_ cpu: UnsafeMutablePointer<CPUState>) -> Outcome {
    guard let process else { return .resume }
    guard isActive else { return process.systemCall(cpu) }
    let thread = thread(of: cpu, process)
    var number = LinuxProcess.callNumber(cpu)
    let isCaught = catches(number)
    thread.originalRAX = number
    if isCaught {
      // What the kernel shows at a call's entry: -ENOSYS, and the number apart.
      cpu.pointee.general.0 = ControlledThread.noSuchCall
      pause(thread, .systemCallEntry(number), process)
      number = thread.originalRAX
      cpu.pointee.general.0 = number
    }
    let programs = process.programCount
    let outcome = process.systemCall(cpu)
    if thread.endChanging() {
      process.refreshAttention()
      return outcome
    }
    if isActive, process.programCount != programs {
      thread.originalRAX = .max
      programBegins(process)
      // Threads that are not the first end with execve(2), and the first one goes on.
      isProgramNew = true
    }
    guard isActive, outcome == .resume else { return outcome }
    if isProgramNew {
      showProgram(thread, process)
    } else if hasBorrowingChild {
      hasBorrowingChild = false
      if stopsAtVforkEnds { pause(thread, .vforkDone, process) }
    }
    // Asked again: somebody may have changed his mind at the entry.
    if isCaught, catches(number) {
      pause(thread, .systemCallReturn(number), process)
    }
    thread.originalRAX = .max
    return outcome
  }

  private func catches(_ number: UInt64) -> Bool {
    caughtCalls.map { $0.isEmpty || $0.contains(number) } ?? false
  }

  private func programBegins(_ process: LinuxProcess) {
    // The old program's breakpoints have no meaning in the new one.
    clearStops()
    programBegan?()
  }

  /// Stops at the new program's first instruction.
  func showProgram(_ thread: ControlledThread, _ process: LinuxProcess) {
    isProgramNew = false
    guard stopsAtExecutions else { return }
    pause(thread, .execute(path: process.program?.executablePath ?? []), process)
  }

  /// Stops here, outside guest code, until the thread may go on.
  func pause(_ thread: ControlledThread, _ reason: StopReason, _ process: LinuxProcess) {
    stop(thread, reason)
    waitToGoOn(thread, process)
  }

  // MARK: Breakpoints and watchpoints

  /// Stops in front of the instruction at `address`, from now on or no more.
  public func setBreakpoint(_ address: UInt64, _ isSet: Bool) {
    if stops.contains(address) == isSet { return }
    if isSet { stops.insert(address) } else { stops.remove(address) }
    memory?.forgetCode(at: address)
  }

  /// The same for all instructions that begin in a range.
  public func setBreakpoints(in range: Range<UInt64>, _ isSet: Bool) {
    if isSet { stops.insert(range) } else { stops.remove(range) }
    memory?.forgetCode(in: range)
  }

  func clearStops() {
    let (old, ranges) = (stops.addresses, stops.ranges)
    stops.removeAll()
    for address in old { memory?.forgetCode(at: address) }
    for range in ranges { memory?.forgetCode(in: range) }
    condition = nil
    watchpoints = []
    applyFilter()
    isTouched = false
  }
}
