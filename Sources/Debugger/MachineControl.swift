// The control of a machine: which thread runs, which stays, and where they stop. The core beneath every debugger: gdb's remote
// protocol speaks to it, and it knows nothing of packets. It owns breakpoints, watchpoints and the list of threads; all of that
// is protected by the address space's lock, which every guest thread holds outside guest code.
//
//     guest threads     run ─► an event ─► requestStop ─► park ······························· run
//     the front end                            woken ─► all quiet? ─► look, change ─► resume
//
// A thread is quiet when it is parked, or in a host call that waits: then its registers do not change. To stop the others
// their attention words are set, and they are brought out of guest code as if its code had changed (Docs/linux.md, threads).

import CHost
import Engine
import GuestMemory
import Linux
import VirtualMachine

/// Steers one machine.
public final class MachineControl: MachineController {
  public enum State: Equatable, Sendable {
    case running
    /// Some threads are still on their way.
    case stopping
    case stopped
  }

  public private(set) var state = State.stopped
  /// Someone is in control; otherwise threads run as if nobody ever had been.
  public private(set) var isActive = true
  /// The threads that live, by their numbers.
  public private(set) var threads: [ControlledThread] = []
  /// Known from `begin` on.
  public internal(set) var process: LinuxProcess?
  let stops = StopAddresses()
  /// While there is one each instruction is executed by itself, and asked about behind it: true stops its thread.
  public var condition: ((ControlledThread) -> Bool)?
  public internal(set) var watchpoints: [Watchpoint] = []
  /// Decides at a stop address whether to stop; nil: always.
  public var decides: ((_ thread: ControlledThread) -> Bool)?
  /// Told that execve(2) has replaced the program, and that there are no breakpoints any more.
  public var programBegan: (() -> Void)?
  /// System calls to stop around; nil: none, empty: all.
  public var caughtCalls: Set<UInt64>?
  /// Signals (bit n-1) that are delivered without a stop.
  public private(set) var passedSignals = MachineControl.usuallyPassed
  /// Stop at fork(2) and its like, at the end of a vfork, at execve(2).
  public var stopsAtForks = false
  public var stopsAtVforkEnds = false
  public var stopsAtExecutions = false
  /// Pages that a debugger has asked for, and how many bytes.
  var debuggerPages: [UInt64: UInt64] = [:]
  /// The end has been told, and the process may go.
  private var isEndReleased = false
  var accesses: AccessReader?
  /// The watched bytes as they were, in the order of the watchpoints.
  var contents: [[UInt8]] = []
  /// Hears of changes of watched pages.
  var watchObserver: CodeObserver?
  /// A watched page has been opened for a change that has to be looked at.
  var isTouched = false
  /// Changes in quick succession, when the last one was, and how many instructions are to be looked at one by one.
  var touches = 0
  var lastTouch: UInt64 = 0
  var hotCount: InstructionCount = 0
  /// Where the watched bytes are; nil: nothing is watched.
  var filter: WatchFilter?

  /// Changes when threads may have something to do.
  // SAFETY: freed in deinit; the kernel reads it while a thread is parked.
  let word: UnsafeMutablePointer<UInt32>
  /// Wakes the front end; called under the lock.
  private let wake: () -> Void
  private let start: (MachineControl) -> String?
  private let inForkedChild: () -> Void
  /// Children that wait until somebody decides about them, and how to tell them.
  var heldChildren: [UInt64: HeldChild] = [:]
  /// The way to a child that is being made.
  var nextChild: HeldChild?
  /// The child of a vfork was shown; its end is to be.
  var hasBorrowingChild = false
  /// execve(2) has happened, and nobody has been told.
  var isProgramNew = false
  /// A forked child that was taken over: whoever steers it has to be started in its first thread.
  var startsAgain = false

  /// SIGCHLD, SIGURG, SIGWINCH.
  public static let usuallyPassed: UInt64 = 1 << 16 | 1 << 22 | 1 << 27

  /// `start` is called when the program is loaded, and starts whoever steers; what is in the way, or nil. `wake` is called under
  /// the lock when something has happened. `inForkedChild` is called in a child, whose threads nobody controls.
  public init(
    start: @escaping (MachineControl) -> String?, wake: @escaping () -> Void,
    inForkedChild: @escaping () -> Void
  ) {
    self.start = start
    self.wake = wake
    self.inForkedChild = inForkedChild
    word = .allocate(capacity: 1)
    word.initialize(to: 0)
  }

  deinit { word.deallocate() }

  public var memory: AddressSpace? { process?.memory }

  // MARK: The machine's side

  public func begin(_ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>) -> String? {
    self.process = process
    accesses = AccessReader(memory: process.memory)
    process.beginThreads(cpu)
    attach(process)
    return start(self)
  }

  func attach(_ process: LinuxProcess) {
    process.observeReturns { [unowned self] in returned() }
    process.observeForks({ [unowned self] in forkBegins() }, { [unowned self] in forkEnds($0, isVfork: $1) })
    observe()
  }

  public func run(
    _ engine: any GuestEngine, _ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount
  ) -> Exit {
    guard isActive, let process else { return engine.run(cpu, budget: budget) }
    let thread = thread(of: cpu, process)
    engine.stops = stops
    if startsAgain { beginAgain(process, cpu) }
    if isProgramNew { showProgram(thread, process) }
    while true {
      if mustPark(thread) {
        if thread.guest.mustEnd { return .attention }
        park(thread, process)
      } else if !isActive {
        return engine.run(cpu, budget: budget)
      } else if let exit = advance(thread, engine, process) {
        return exit
      }
    }
  }

  public func threadEnds(_ cpu: UnsafeMutablePointer<CPUState>) {
    threads.removeAll { $0.cpu == cpu }
    guard isActive else { return }
    if state == .stopping { wake() }
    // Nobody is left who was told to run.
    if state == .running, !threads.isEmpty, threads.allSatisfy({ $0.action == .hold }) { requestStop() }
  }

  public func ends(_ termination: Termination, _ cpu: UnsafeMutablePointer<CPUState>) {
    guard isActive, let process else { return }
    let thread = thread(of: cpu, process)
    stop(thread, .end(termination))
    isEndReleased = false
    while isActive, !isEndReleased { park(thread, process) }
  }

  public func forked() {
    let wasActive = isActive
    isActive = false
    clearStops()
    (threads, watchObserver) = ([], nil)
    // A child that is taken over keeps the debugger's connection.
    if wasActive, let process, let child = nextChild, child.waitForDecision(process) {
      isActive = true
      state = .stopped
      startsAgain = true
      (nextChild, heldChildren, hasBorrowingChild) = (nil, [:], false)
      return
    }
    process?.observeReturns(nil)
    process?.observeSignals(0, nil)
    process?.observeForks(nil, nil)
    inForkedChild()
  }

  /// In a child that was taken over, when its only thread is about to run.
  private func beginAgain(_ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>) {
    startsAgain = false
    process.beginThreads(cpu)
    attach(process)
    _ = start(self)
  }

  /// The record of the thread that runs on `cpu`; made when it appears.
  func thread(of cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess) -> ControlledThread {
    let guest = process.currentThread(on: cpu)
    if let known = threads.first(where: { $0.cpu == cpu && $0.guest === guest }) { return known }
    threads.removeAll { $0.cpu == cpu }
    let isFirst = threads.isEmpty
    let new = add(guest, cpu, process)
    new.action = isFirst && state == .stopped ? .hold : .run
    return new
  }

  private func add(
    _ guest: GuestThread, _ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess
  ) -> ControlledThread {
    let number = guest.number != 0 ? UInt64(UInt32(bitPattern: guest.number)) : process.processNumber
    let new = ControlledThread(number, cpu, guest)
    threads.append(new)
    threads.sort { $0.number < $1.number }
    return new
  }

  // MARK: Stopping

  private func mustPark(_ thread: ControlledThread) -> Bool {
    isActive && (state != .running || thread.action == .hold)
  }

  /// Waits until the thread may do something. The lock is given up meanwhile.
  private func park(_ thread: ControlledThread, _ process: LinuxProcess) {
    // The lock changes hands in guest code, and with it the process's idea of who is current.
    _ = process.currentThread(on: thread.cpu)
    thread.isParked = true
    if state == .stopping, isQuiet { wake() }
    process.sleep(word, while: word.pointee)
    thread.isParked = false
    // What was set in order to stop the thread would make its next host call return at once.
    process.refreshAttention()
  }

  /// A host call has returned: its result has to wait until the thread may go on.
  private func returned() {
    guard isActive, let process else { return }
    let guest = process.currentThread
    guard let thread = threads.first(where: { $0.guest === guest }) else { return }
    waitToGoOn(thread, process)
  }

  /// Waits outside guest code until the thread may go on.
  func waitToGoOn(_ thread: ControlledThread, _ process: LinuxProcess) {
    while mustPark(thread), !thread.guest.mustEnd { park(thread, process) }
  }

  /// All threads stand still.
  var isQuiet: Bool { threads.allSatisfy { $0.isQuiet } }

  /// `thread` stops for `reason`, and with it all others.
  func stop(_ thread: ControlledThread, _ reason: StopReason) {
    thread.pending = reason
    switch reason {
    // SI_KERNEL, TRAP_TRACE, TRAP_HWBKPT.
    case .breakpoint: thread.information = ControlledThread.trap(128, 0)
    case .step: thread.information = ControlledThread.trap(2, thread.cpu.pointee.rip)
    case .watchpoint(let point): thread.information = ControlledThread.trap(4, point.address)
    default: break
    }
    requestStop()
  }

  /// Stops all threads as soon as they can; `wake` is called now and when they have. The caller holds the lock.
  public func requestStop() {
    if state == .running { state = .stopping }
    for thread in threads where !thread.isQuiet { CPUState.attention(thread.cpu).pointee = 1 }
    memory?.evictAll()
    // In any case: a thread that becomes quiet because it begins to wait in a host call announces nothing, so whoever steers has
    // to look from now on.
    wake()
  }

  /// True from the moment on when all threads stand still; until then `wake` announces changes.
  public func settle() -> Bool {
    if state == .stopping, isQuiet { state = .stopped }
    return state == .stopped
  }

  /// There is a stop that nobody has been told of.
  public var hasStop: Bool { threads.contains { $0.pending != nil } }

  /// The next stop that nobody has been told of.
  public func takeStop() -> (thread: ControlledThread, reason: StopReason)? {
    // What ends the process comes last: until then there may be something to see.
    let waiting = threads.filter { $0.pending != nil }
    let first = waiting.first { if case .end = $0.pending { false } else { true } } ?? waiting.first
    guard let first, let reason = first.pending else { return nil }
    first.pending = nil
    return (first, reason)
  }

  // MARK: Going on

  /// Lets threads do what `action` says. With a stop that nobody has been told of nothing moves: true, and it can be taken.
  public func resume(_ action: (ControlledThread) -> ThreadAction) -> Bool {
    for thread in threads {
      thread.action = action(thread)
      // Who stands at a breakpoint, or has made a step, meets it again or has lost its meaning.
      if thread.pending == .breakpoint || thread.pending == .step { thread.pending = nil }
    }
    if threads.contains(where: { $0.pending != nil && $0.action != .hold }) { return true }
    state = .running
    for thread in threads {
      thread.isStepDone = false
      if thread.changed != nil, thread.action != .hold { interrupt(thread) }
    }
    announce()
    return false
  }

  /// `thread`, which stands still, is going to execute the instruction where it stands even if there is a breakpoint.
  public func passBreakpoint(_ thread: ControlledThread) { thread.stepsOver = thread.visible.pointee.rip }

  /// Makes a thread's host call return, so that its changed registers can count.
  private func interrupt(_ thread: ControlledThread) {
    guard thread.guest.isWaiting else { return }
    CPUState.attention(thread.cpu).pointee = 1
    vt_thread_interrupt(Int32(truncatingIfNeeded: thread.number))
  }

  /// Everybody looks again whether there is something to do.
  func announce() {
    word.pointee &+= 1
    vt_wake(word, 0x7fff_ffff)
  }

  /// Gives up control: the machine runs on as if nobody had ever stopped it.
  public func release() {
    clearStops()
    for child in heldChildren.keys { decide(about: child, isTakenOver: false) }
    caughtCalls = nil
    (stopsAtForks, stopsAtVforkEnds, stopsAtExecutions) = (false, false, false)
    isActive = false
    isEndReleased = true
    state = .running
    for thread in threads {
      thread.action = .run
      thread.pending = nil
    }
    process?.observeSignals(0, nil)
    announce()
  }

  /// Takes control of a machine that runs. `wake` is called when it has stopped.
  public func takeControl() {
    isActive = true
    passedSignals = MachineControl.usuallyPassed
    observe()
    // Threads that have come meanwhile have no records yet: they get them when they come out of guest code.
    if let process {
      for guest in process.threadList where !threads.contains(where: { $0.guest === guest }) {
        if let cpu = guest.cpu { _ = add(guest, cpu, process) }
      }
    }
    for thread in threads { thread.action = .run }
    requestStop()
  }

  /// The process may end.
  public func releaseEnd() {
    isEndReleased = true
    announce()
  }

  // MARK: Signals

  /// Chooses the signals that are delivered without a stop; bit n-1 = signal n.
  public func pass(_ signals: UInt64) {
    passedSignals = signals
    observe()
  }

  private func observe() {
    process?.observeSignals(~passedSignals) { [unowned self] guest, signal, information in
      willDeliver(guest, &signal, &information)
    }
  }

  /// Sends `signal` along when the thread goes on: in place of the one that it stopped for, or a new one. 0: none.
  public func setSignal(_ signal: Int32, for thread: ControlledThread) { thread.replacement = signal }

  private func willDeliver(_ guest: GuestThread, _ signal: inout Int32, _ information: inout [UInt64]) {
    guard isActive, let process, let thread = threads.first(where: { $0.guest === guest }) else { return }
    thread.signalled = thread.cpu.pointee.rip
    thread.information = information
    if thread.unseen == signal {
      thread.unseen = 0
      return
    }
    if passedSignals >> UInt64(truncatingIfNeeded: signal - 1) & 1 != 0 { return }
    thread.replacement = nil
    stop(thread, .signal(signal))
    waitToGoOn(thread, process)
    thread.signalled = thread.cpu.pointee.rip
    if !isActive { return }
    let chosen = thread.replacement ?? 0
    thread.replacement = nil
    information = thread.information
    if chosen != signal {
      signal = chosen
      information = [UInt64](repeating: 0, count: 16)
      information[0] = UInt64(UInt32(bitPattern: chosen))
    }
  }

  /// A signal that the thread was told to take, though it had not stopped for one.
  func takeReplacement(_ thread: ControlledThread, _ process: LinuxProcess) {
    guard let signal = thread.replacement else { return }
    thread.replacement = nil
    if signal == 0 { return }
    thread.unseen = signal
    process.raiseSignal(signal)
  }
}
