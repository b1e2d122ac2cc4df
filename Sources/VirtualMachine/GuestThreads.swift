// Guest threads on the machine's side: each has a host thread, a CPU and an engine of its own; translations are shared. They
// meet at the address space's lock (Docs/linux.md). The first thread runs on the caller's; any of them can be the one that ends
// the process.

import CHost
import Engine
import GuestMemory
import Linux
import LinuxABI
import Translator

extension UserMachine {
  /// Bytes of a further thread's stack on the host; touched as far as it is used.
  private static let stackSize = 1 << 20
  /// Engines kept for threads to come.
  static let mostIdleEngines = 16

  /// Lets the guest have threads, unless instructions are counted: their sum would depend on chance.
  func allowThreads(_ engine: any GuestEngine, _ process: LinuxProcess) {
    process.thread.observes = { engine.observes($0) }
    engines.append(RunningEngine(process.thread, engine))
    process.forked = { [unowned self, unowned process] in
      let current = ObjectIdentifier(process.thread)
      engines.removeAll { $0.thread != current }
      idleEngines = []
      pastStatistics = StatisticsText.Sum()
      kept?.forked()
      controller?.forked()
    }
    let counts = configuration.budget != nil || configuration.translator.countsInstructions
    if counts, !isRepeatable { return }
    process.startThread = { [unowned self, unowned process] thread, cpu, prepare in
      startThread(thread, cpu, process, prepare)
    }
  }

  private func startThread(
    _ thread: GuestThread, _ parent: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess,
    _ prepare: (UnsafeMutablePointer<CPUState>) -> Void
  ) -> Int64 {
    guard let engine = idleEngines.popLast() ?? makeFurtherEngine(process) else { return -Errno.EAGAIN }
    let cpu = UserMachine.allocateCPU()
    UnsafeMutableRawPointer(cpu).copyMemory(from: parent, byteCount: CPUState.allocationSize)
    prepare(cpu)
    thread.observes = { engine.observes($0) }
    let start = ThreadStart(self, process, thread, engine, cpu)
    let context = Unmanaged.passRetained(start)
    let result = vt_thread_start(ThreadStart.enter, context.toOpaque(), UserMachine.stackSize, &start.handle)
    if result < 0 {
      context.release()
      return -Errno.EAGAIN
    }
    engines.append(RunningEngine(thread, engine))
    return result
  }

  private func makeFurtherEngine(_ process: LinuxProcess) -> (any GuestEngine)? {
    let current = ObjectIdentifier(process.thread)
    if let own = engines.first(where: { $0.thread == current })?.engine as? TranslatorEngine {
      return TranslatorEngine(besides: own)
    }
    return makeEngine(process.memory)
  }

  /// The thread has ended; its engine waits for another one, or is given up.
  func giveBack(_ engine: any GuestEngine, of thread: GuestThread) {
    let ended = ObjectIdentifier(thread)
    engines.removeAll { $0.thread == ended }
    if idleEngines.count < UserMachine.mostIdleEngines {
      idleEngines.append(engine)
    } else if configuration.wantsStatistics {
      pastStatistics.add(engine)
    }
  }

  /// The process has ended: writes what was asked for about all its threads.
  func tellEnd(_ process: LinuxProcess, _ termination: Termination) {
    watch?.end()
    if let kept, case .exited = termination {
      // A signal that comes now finds no guest any more.
      vt_signal_block_sent()
      kept.end()
    }
    guard configuration.wantsStatistics else { return }
    var sum = pastStatistics
    for running in engines { sum.add(running.engine) }
    for engine in idleEngines { sum.add(engine) }
    process.writeDiagnostic(sum.text)
  }

  /// Room for a CPU's state, not initialised.
  public static func allocateCPU() -> UnsafeMutablePointer<CPUState> {
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment)
    return raw.bindMemory(to: CPUState.self, capacity: 1)
  }

  /// The process ends on a thread that is not the machine's caller.
  func end(_ termination: Termination, _ process: LinuxProcess) -> Never {
    tellEnd(process, termination)
    if let ending = configuration.ending { ending(termination) }
    var code: Int32 = 125
    if case .exited(let exitCode) = termination { code = exitCode }
    if case .killed(let signal) = termination { code = 128 + signal }
    // exit_group(2)
    while true { _ = vt_syscall6(231, Int64(code), 0, 0, 0, 0, 0) }
  }

  /// Runs the first thread to the end of the process. When it ends before others its host thread stays, because the process is
  /// its; it lives on when another thread executes a program.
  func runFirst(_ engine: any GuestEngine, _ process: LinuxProcess) -> Termination {
    while true {
      if let termination = loop(engine, process, cpu) { return termination }
      process.waitForRevival()
    }
  }
}

/// The engine of a thread that runs.
struct RunningEngine {
  let thread: ObjectIdentifier
  let engine: any GuestEngine

  init(_ thread: GuestThread, _ engine: any GuestEngine) {
    (self.thread, self.engine) = (ObjectIdentifier(thread), engine)
  }
}

/// What a host thread begins with.
private final class ThreadStart {
  private let machine: UserMachine
  private let process: LinuxProcess
  private let thread: GuestThread
  private let engine: any GuestEngine
  // SAFETY: given up by the machine; freed when the thread ends.
  private let cpu: UnsafeMutablePointer<CPUState>
  var handle: UInt64 = 0

  init(
    _ machine: UserMachine, _ process: LinuxProcess, _ thread: GuestThread, _ engine: any GuestEngine,
    _ cpu: UnsafeMutablePointer<CPUState>
  ) {
    self.machine = machine
    self.process = process
    self.thread = thread
    self.engine = engine
    self.cpu = cpu
  }

  deinit { cpu.deallocate() }

  /// The host thread's function. Everything that it allocates and frees it does under the lock: a fork must not find the
  /// allocator at work.
  static let enter: @convention(c) (UnsafeMutableRawPointer?) -> Void = { context in
    guard let context else { return }
    _ = vt_thread_prepare()
    let memory = ThreadStart.run(context)
    vt_thread_finish()
    memory.release()
  }

  @inline(never) private static func run(_ context: UnsafeMutableRawPointer) -> AddressSpace {
    let memory = Unmanaged<ThreadStart>.fromOpaque(context).takeUnretainedValue().process.memory
    memory.acquire()
    Unmanaged<ThreadStart>.fromOpaque(context).takeRetainedValue().run()
    return memory
  }

  private func run() {
    process.begin(thread)
    if let termination = machine.loop(engine, process, cpu) { machine.end(termination, process) }
    machine.giveBack(engine, of: thread)
    process.threadEnds(handle)
  }
}
