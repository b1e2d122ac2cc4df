// One debugging session: the thread that holds a machine's control, waits for whatever happens (the machine, the guest's terminal, the
// person's keys), and lets commands and the screen work. It holds the address space's lock except while it waits, as the remote
// protocol's server does, so everything it looks at stands still.

import CHost
import Debugger
import GuestMemory
import Linux
import VirtualMachine

/// What a session is to do.
public struct DebugOptions: Sendable {
  /// Commands to execute before, or instead of, listening to a person.
  public var commands: [String] = []
  /// Nobody listens: the end of the commands is the end.
  public var isBatch = false
  /// Answers as JSON, one object a command.
  public var json = false
  /// Code in AT&T's syntax.
  public var usesATT = false
  public var depth = ColourDepth.none
  /// The person's terminal; -1 in batch.
  public var screen: Int32 = -1
  /// What the keeper writes to: a byte for each change of the terminal's size.
  public var notices: Int32 = -1
  /// Where answers go in batch.
  public var output: Int32 = -1
  public var errors: Int32 = -1

  public init() {}
}

public final class DebugSession {
  private var options: DebugOptions
  private let terminal: GuestTerminal?
  private let trace: CallTrace
  private var live: LiveMachine?
  private var event: Int32 = -1
  private var handle: UInt64 = 0
  private var console: Console?
  private var workspace: Workspace?
  private var face: ScreenFace?
  /// The session has begun: from now on it is the one to end the process.
  public private(set) var hasBegun = false

  public init(_ options: DebugOptions, terminal: GuestTerminal?, trace: CallTrace) {
    self.options = options
    self.terminal = terminal
    self.trace = trace
  }

  /// What steers the machine for this session.
  public func makeController() -> any MachineController {
    let control = MachineControl(
      start: { [unowned self] in start($0) }, wake: { [unowned self] in signalEvent() },
      inForkedChild: { [unowned self] in forget() })
    live = LiveMachine(control: control, trace: trace)
    return control
  }

  // MARK: Beginning

  private func start(_ control: MachineControl) -> String? {
    guard let process = control.process, let live else { return "there is no process to debug" }
    let made = System.call(290, 0, 0x80800)
    guard made >= 0 else { return "cannot make an event descriptor" }
    event = process.hide(Int32(truncatingIfNeeded: made))
    var moved: [Int32: Int32] = [:]
    func hide(_ descriptor: Int32) -> Int32 {
      if descriptor < 0 { return descriptor }
      let place = moved[descriptor] ?? process.hide(descriptor)
      moved[descriptor] = place
      return place
    }
    terminal?.move { hide($0) }
    (options.screen, options.notices) = (hide(options.screen), hide(options.notices))
    (options.output, options.errors) = (hide(options.output), hide(options.errors))
    live.begin(process)
    prepare(live)
    hasBegun = true
    let context = Unmanaged.passUnretained(self).toOpaque()
    let result = vt_thread_start(
      { context in
        guard let context else { return }
        Unmanaged<DebugSession>.fromOpaque(context).takeUnretainedValue().serve()
      }, context, 4 << 20, &handle)
    return result < 0 ? "cannot start the debugger's thread" : nil
  }

  private func prepare(_ live: LiveMachine) {
    let workspace = Workspace(subject: live, terminal: terminal)
    workspace.syntax = options.usesATT ? .att : .intel
    let console = Console(
      subject: live, workspace: workspace, settle: { [unowned self] in settle() },
      wait: { [unowned self] time, isDone in pass(time, until: isDone) })
    workspace.perform = { [unowned self] in perform($0) }
    workspace.complete = { [unowned console] in console.completions($0) }
    (self.workspace, self.console) = (workspace, console)
  }

  /// In a forked child nobody serves.
  private func forget() {
    let all = [
      event, options.screen, options.notices, options.output, options.errors, terminal?.descriptor ?? -1,
    ]
    for descriptor in all where descriptor >= 0 { live?.process?.closeHidden(descriptor) }
    terminal?.closeOurSide()
    (event, options.screen, options.notices, options.output, options.errors) = (-1, -1, -1, -1, -1)
  }

  private func signalEvent() {
    _ = System.write([1, 0, 0, 0, 0, 0, 0, 0], to: event)
  }

  // MARK: The loop

  private func serve() {
    _ = vt_thread_prepare()
    // SIGILL, SIGTRAP, SIGBUS, SIGFPE and SIGSEGV have to arrive: looking at guest memory may fault.
    let mask: [UInt64] = [~(1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10)]
    _ = mask.withUnsafeBytes { System.call(14, 2, System.pointer($0), 0, 8) }
    guard let live, let memory = live.memory, let workspace, let console else { return }
    memory.acquire()
    // The thread that has started this one still has to park.
    while !live.control.settle() { turn(milliseconds: 1) }
    live.refresh()
    live.remember()
    workspace.programMoved()
    if options.isBatch {
      let code = Batch(console, options).run()
      drainTerminal()
      System.exit(code)
    }
    let face = ScreenFace(workspace, options)
    self.face = face
    face.begin()
    for command in options.commands { perform(command, waits: true) }
    while !console.quits {
      face.draw(terminal)
      turn(milliseconds: face.patience)
    }
    face.end()
    var code: Int32 = 0
    if case .ended(.exited(let own)) = live.condition { code = own & 0xff }
    if case .ended(.killed(let signal)) = live.condition { code = 128 + signal }
    System.exit(code)
  }

  /// Waits for something to happen, and takes it.
  private func turn(milliseconds: Int64) {
    guard let live, let memory = live.memory else { return }
    // A thread on its way may begin to wait in a host call, which nobody announces.
    let isStopping = live.control.state == .stopping
    let guest = terminal?.descriptor ?? -1
    memory.release()
    let limit = terminal?.isHeldUp == true || isStopping ? 5 : milliseconds
    let ready = System.wait(
      [event, guest, options.screen, options.notices],
      milliseconds: milliseconds < 0 ? (limit > 0 ? limit : -1) : min(limit, milliseconds))
    memory.acquire()
    if ready[0] { _ = System.read(event) }
    if ready[0] || isStopping {
      let wasRunning = live.isRunning
      live.notice()
      if wasRunning, !live.isRunning { workspace?.programMoved() }
    }
    if ready[1], terminal?.receive() == false { terminal?.closeOurSide() }
    terminal?.flush()
    face?.take(keys: ready[2], notices: ready[3])
  }

  /// Until the program stands still: only where nobody watches.
  private func settle() {
    guard options.isBatch || isWaiting else { return }
    while live?.isRunning == true { turn(milliseconds: -1) }
    drainTerminal()
  }

  /// Commands of the command line are executed one after the other.
  private var isWaiting = false

  private func pass(_ time: Int64, until isDone: () -> Bool) {
    let end = System.now + time
    let interval: Int64 = 20
    var nextSample = System.now + interval
    while !isDone() {
      let left = end - System.now
      if left <= 0 { return }
      turn(milliseconds: min(left, interval))
      // What runs is to be seen in the profile. A sample ends the next turn at once, so turns do not say how much time has passed.
      guard options.isBatch, System.now >= nextSample else { continue }
      _ = live?.sample {}
      nextSample = System.now + interval
    }
  }

  /// Takes what the guest has written up to now.
  private func drainTerminal() {
    guard let terminal, terminal.descriptor >= 0 else { return }
    while System.wait([terminal.descriptor], milliseconds: 0)[0], terminal.receive() {}
  }

  /// Executes a command that a person has typed.
  private func perform(_ text: String, waits: Bool = false) {
    guard let console, let workspace else { return }
    isWaiting = waits
    defer { isWaiting = false }
    workspace.show(console.execute(text))
  }
}
