// What of a process's state belongs to one of its threads, and which thread is being served. Handlers name the state through
// the process (`process.cpu`, `process.thread.mask`): that is the current thread's. The address space's lock decides who is
// current; whoever gives it up and takes it again makes himself current again (`ThreadSwitch.wait`).
import CHost
import GuestMemory
import LinuxABI

/// One guest thread. Reached only under the address space's lock.
public final class GuestThread {
  /// Its CPU; the first thread's is known from its first call on.
  public internal(set) var cpu: UnsafeMutablePointer<vt_cpu_state>?
  /// gettid(2). 0 until a second thread begins.
  public internal(set) var number: Int32 = 0
  /// Tells the observers that belong to the thread's engine from others, for a fork.
  public var observes: ((CodeObserver) -> Bool)?
  /// The thread is to end at the next opportunity: another one executes a program.
  public internal(set) var mustEnd = false
  /// It is in a host call that may wait, and its registers stay as they are until that returns.
  public internal(set) var isWaiting = false

  /// What its last system call returned, whatever signal handlers have made of the registers since.
  public internal(set) var result: Int64 = 0

  /// The blocked signals, and the mask to go back to after a call that replaced it (sigsuspend, ppoll …).
  var mask: UInt64 = 0
  var savedMask: UInt64?
  var stack = SignalStack()
  /// The last fault, and the address of the last page fault (CR2): what signal frames report.
  var lastFault: FaultSignal?
  var lastPageFault: UInt64 = 0

  /// Set by handlers that end the thread or the process.
  var outcome: Outcome?
  /// Set by handlers that have written the registers themselves (rt_sigreturn, execve).
  var registersReplaced = false
  /// `clear_child_tid` (set_tid_address(2)), and the head of the robust futex list (set_robust_list(2)).
  var clearChildThread: UInt64 = 0
  var robustList: UInt64 = 0
  /// What it has registered by rseq(2).
  var restartable: RestartableArea?
  /// The filters of its calls; and it is to get no_new_privs from the thread that it has them from.
  var seccomp = SeccompState()
  var takesNoNewPrivileges = false
  var pathBuffers = PathBuffers()
  /// An eventfd(2) of its own that the host signals when an asynchronous request is done; hidden.
  var requestsDone: Int32?
  var tracer: Tracer?

  init() {}
}

/// The thread that is being served.
final class ThreadSwitch {
  let memory: AddressSpace
  var current = GuestThread()
  /// Called when the current thread has the lock again.
  var returned: (() -> Void)?

  init(_ memory: AddressSpace) { self.memory = memory }

  /// Runs `body` without the lock: for what may wait.
  // PERF: one comparison as long as there is one thread.
  @inline(__always)
  func wait<Result>(_ body: () -> Result) -> Result {
    if !memory.isThreaded { return body() }
    let thread = current
    thread.isWaiting = true
    memory.release()
    let result = body()
    memory.acquire()
    thread.isWaiting = false
    current = thread
    returned?()
    return result
  }
}

extension LinuxProcess {
  /// The thread that is being served.
  public internal(set) var thread: GuestThread {
    get { threads.current }
    set { threads.current = newValue }
  }

  /// The CPU of the call or fault being handled.
  var cpu: UnsafeMutablePointer<vt_cpu_state>? { thread.cpu }

  var outcome: Outcome? {
    get { thread.outcome }
    set { thread.outcome = newValue }
  }

  var registersReplaced: Bool {
    get { thread.registersReplaced }
    set { thread.registersReplaced = newValue }
  }

  var clearChildThread: UInt64 {
    get { thread.clearChildThread }
    set { thread.clearChildThread = newValue }
  }

  var robustList: UInt64 {
    get { thread.robustList }
    set { thread.robustList = newValue }
  }

  var pathBuffers: PathBuffers {
    get { thread.pathBuffers }
    _modify { yield &thread.pathBuffers }
  }

  var tracer: Tracer? {
    get { thread.tracer }
    set { thread.tracer = newValue }
  }
}
