// What a debugger needs of a process: to see every signal before it is delivered, to hold threads when they come back from
// host calls, to list threads. The process decides nothing here; without an observer all of this costs a comparison.
import CHost
import LinuxABI

/// Whoever watches a process. Closures are called by the thread concerned, under the address space's lock.
struct Observation {
  /// A signal is about to be delivered to `thread`; it may become another one, or 0: none. `information` is its siginfo_t.
  var signal: ((_ thread: GuestThread, _ signal: inout Int32, _ information: inout [UInt64]) -> Void)?
  /// Signals that are to be seen even where the guest leaves them to their default action or ignores them; bit n-1 = signal n.
  var signals: UInt64 = 0
  /// A child process is about to be made, and has been made: its number or -errno. A child of vfork(2) has not executed yet. In the
  /// child `LinuxProcess.forked` is called instead.
  var forkBegins: (() -> Void)?
  var forkEnds: ((_ result: Int64, _ isVfork: Bool) -> Void)?
}

extension LinuxProcess {
  /// Begins or changes the observation of signals; nil ends it. `signals` are those that are to be seen even where the guest does
  /// not handle them.
  public func observeSignals(
    _ signals: UInt64,
    _ body: ((_ thread: GuestThread, _ signal: inout Int32, _ information: inout [UInt64]) -> Void)?
  ) {
    observation.signal = body
    observation.signals = body == nil ? 0 : signals & ~SignalState.unblockable
    for signal in Int32(1)...64 {
      // Asks the host for an inherited disposition before that is changed.
      _ = action(signal)
      mirrorAction(signal)
    }
  }

  /// Calls `body` whenever a thread returns from a host call that may have waited, before it goes on.
  public func observeReturns(_ body: (() -> Void)?) { threads.returned = body }

  /// Calls `begins` and `ends` around each fork, in the parent; nil ends that.
  public func observeForks(_ begins: (() -> Void)?, _ ends: ((_ result: Int64, _ isVfork: Bool) -> Void)?) {
    observation.forkBegins = begins
    observation.forkEnds = ends
  }

  /// Whether the host has to hand over `signal` because somebody wants to see it.
  func isCaughtForObserver(_ signal: Int32) -> Bool {
    // Children of a parent that ignores SIGCHLD leave no zombies: that has to stay.
    let isIgnored = signals.actions[Int(signal)].handler == KernelSignalAction.ignoreHandler
    if signal == Signal.child, isIgnored { return false }
    return observation.signals >> UInt64(signal - 1) & 1 != 0
  }

  /// The default action of a signal that the host would have stopped the process by, had it not been caught.
  func stopForObserver() { _ = host.call(62, processNumber, UInt64(Signal.stop)) }

  /// Sets the current CPU's attention word as waiting signals demand; whoever has set it for another reason undoes that.
  public func refreshAttention() { updateAttention() }

  /// The guest's paths are not the host's.
  public var hasOwnRoot: Bool { root != nil }

  /// Opens what `path`, absolute, names for the guest: a host descriptor or -errno. In a root of the guest's own for reading only.
  public func openForObserver(_ path: [UInt8], flags: UInt64, mode: UInt64) -> Int64 {
    let walks = ProgramWalks()
    defer { walks.finish() }
    var place = path
    if let locate = programLocator(walks) {
      if flags & 3 != 0 { return -Errno.EROFS }
      do { place = try locate(path) } catch { return -Errno.ENOENT }
    }
    return (place + [0]).withUnsafeBytes { host.call(2, address(of: $0.baseAddress), flags, mode) }
  }

  /// The guest's path of a file, by the host's.
  public func shownPath(_ path: [UInt8]) -> [UInt8] { root?.shownPath(path) ?? path }

  /// getpid(2).
  public var processNumber: UInt64 { UInt64(bitPattern: host.call(39)) }

  /// A system call's name by its number, as the manual pages have it; nil when there is none.
  public func callName(_ number: UInt64) -> String? { calls[number].map { "\($0.name)" } }

  /// The number of the system call of this name.
  public func callNumber(named name: String) -> UInt64? {
    (0..<UInt64(SystemCallTable.size)).first { callName($0) == name }
  }

  /// All threads that live.
  public var threadList: [GuestThread] { allThreads.isEmpty ? [leader] : Array(allThreads.values) }

  /// The thread on whose behalf the caller holds the lock.
  public var currentThread: GuestThread { thread }

  /// The thread that runs on `cpu`. The caller is its host thread and may come from guest code: it becomes the current one.
  public func currentThread(on cpu: UnsafeMutablePointer<vt_cpu_state>) -> GuestThread {
    attach(cpu)
    return thread
  }

  /// Sends the current thread a signal as if by kill(2), past the host.
  public func raiseSignal(_ signal: Int32) { _ = raise(signal, code: 0) }

  /// Sleeps without the lock while `*word` is `value`, or until a signal comes.
  public func sleep(_ word: UnsafeMutablePointer<UInt32>, while value: UInt32) {
    let thread = thread
    memory.release()
    vt_wait(word, value)
    memory.acquire()
    self.thread = thread
  }
}
