// Threads: clone(2) with CLONE_THREAD, the end of one thread or of all, robust futexes. A guest thread is a host thread, so that
// its number, its blocked signals, its place in the scheduler and the futexes it waits for are the host kernel's own. How it is
// started is the run loop's business (`LinuxProcess.startThread`).
import CHost
import GuestMemory
import LinuxABI

extension LinuxProcess {
  /// CLONE_VM, CLONE_SIGHAND, CLONE_THREAD, and what else may be said of a thread.
  private static let threadFlags: UInt64 =
    CloneFlags.vm | CloneFlags.signalHandlers | CloneFlags.thread | CloneFlags.setTLS
    | CloneFlags.parentSetThread | CloneFlags.childClearThread | CloneFlags.childSetThread
    | CloneFlags.detached | CloneFlags.parent | CloneFlags.sharedFiles | CloneFlags.sharedSystem

  /// The number of threads that run.
  public var threadCount: Int { allThreads.count }

  func makeThread(_ request: CloneRequest) -> Int64 {
    let needed = CloneFlags.vm | CloneFlags.signalHandlers
    if request.flags & needed != needed { return -Errno.EINVAL }
    // Nobody's threads are in other namespaces of users or processes than they.
    let ownNamespaces: UInt64 = 0x3000_0000
    if request.flags & ownNamespaces != 0 { return -Errno.EINVAL }
    if request.flags & ~LinuxProcess.threadFlags != 0 {
      reportOnce(1 << 33, "clone: threads with flags \(LinuxProcess.hex(request.flags, width: 1)) (EINVAL)")
      return -Errno.EINVAL
    }
    guard let startThread, let cpu else {
      reportOnce(1 << 34, "threads cannot be counted: no threads with --budget and --count (EAGAIN)")
      return -Errno.EAGAIN
    }
    beginThreads(cpu)
    joinEnded()
    let new = GuestThread()
    new.mask = thread.mask
    new.savedMask = nil
    new.seccomp = thread.seccomp
    new.tracer = tracer.map { Tracer($0) }
    if request.has(CloneFlags.childClearThread) { new.clearChildThread = request.childThread }
    let number = startThread(new, cpu) { child in
      self.prepare(child, of: new, request)
    }
    if number < 0 { return number }
    new.number = Int32(truncatingIfNeeded: number)
    new.tracer?.number = new.number
    tracer?.number = thread.number
    traceSink?.isThreaded = true
    allThreads[new.number] = new
    if allThreads.count == 1 { allThreads[thread.number] = thread }
    let word = UInt32(truncatingIfNeeded: number)
    if request.has(CloneFlags.parentSetThread) { _ = memory.store(word, at: request.parentThread) }
    if request.has(CloneFlags.childSetThread) { _ = memory.store(word, at: request.childThread) }
    return number
  }

  /// From now on the address space's lock counts; the caller, who runs the only thread on `cpu`, holds it.
  public func beginThreads(_ cpu: UnsafeMutablePointer<vt_cpu_state>) {
    if memory.isThreaded { return }
    attach(cpu)
    thread.number = vt_thread_number()
    cpu.pointee.owner = Unmanaged.passUnretained(thread).toOpaque()
    memory.beginThreads()
  }

  /// The new CPU: a copy of its maker's, behind a call that has returned 0.
  private func prepare(
    _ child: UnsafeMutablePointer<vt_cpu_state>, of thread: GuestThread, _ request: CloneRequest
  ) {
    thread.cpu = child
    child.pointee.owner = Unmanaged.passUnretained(thread).toOpaque()
    child.pointee.attention = 0
    let registers = GuestRegisters(child)
    registers[.rax] = 0
    if request.stackPointer != 0 { registers[.rsp] = request.stackPointer }
    if request.has(CloneFlags.setTLS) { child.pointee.fs_base = request.tls }
    if request.flags & CloneFlags.sharedFiles != CloneFlags.sharedFiles {
      unsharedByThread[ObjectIdentifier(thread)] = request.flags
    }
  }

  /// First thing that a new thread does; the caller holds the lock.
  public func begin(_ new: GuestThread) {
    thread = new
    guard let cpu = new.cpu else { return }
    vt_signal_attach(LinuxProcess.attention(cpu))
    // A thread may keep its own descriptors or directories.
    if let flags = unsharedByThread.removeValue(forKey: ObjectIdentifier(new)) {
      _ = host.call(272, CloneFlags.sharedFiles & ~flags)
    }
    setMask(new.mask)
  }

  static func attention(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> UnsafeMutablePointer<UInt32> {
    // SAFETY: an aligned 32-bit member of the state.
    (UnsafeMutableRawPointer(cpu) + Int(VT_OFFSET_ATTENTION)).assumingMemoryBound(to: UInt32.self)
  }

  // MARK: The end

  /// exit(2): the end of the calling thread, and of the process when it is the last one.
  static func exitThread(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let code = int(arguments.a) & 0xff
    if process.thread === process.leader { process.leaderCode = code }
    if process.allThreads.count <= 1 {
      return exit(process, Arguments(UInt64(UInt32(bitPattern: process.leaderCode ?? code))))
    }
    process.releaseFutexes()
    process.outcome = .threadEnded
    process.tracer?.endThread(code)
    process.forgetThread()
    return 0
  }

  /// The end of the calling thread alone, as if by a signal; that of the process when it is the last one.
  func endThread(bySignal signal: Int32) -> Outcome {
    if allThreads.count <= 1 { return killed(signal, nil) }
    releaseFutexes()
    tracer?.killed(signal)
    forgetThread()
    outcome = .threadEnded
    return .threadEnded
  }

  /// The current thread is no more; others may wait for that.
  func forgetThread() {
    closeRequestsDone(thread)
    allThreads[thread.number] = nil
    announceEnding()
  }

  private func announceEnding() {
    endings.pointee = endings.pointee &+ 1
    vt_wake(endings, 0x7fff_ffff)
  }

  /// The current host thread is about to end; `handle` names it. Others join it before they fork, because a fork in the middle of
  /// the C library's work for its end would leave its locks held in the child.
  public func threadEnds(_ handle: UInt64) {
    passOnSignals()
    joinEnded()
    endedThreads.append(handle)
  }

  func joinEnded() {
    for handle in endedThreads { vt_thread_join(handle) }
    endedThreads = []
  }

  /// Ends all threads but the current one, for execve(2). They end on their own when they next look.
  func endOtherThreads() {
    for (number, other) in allThreads where other !== thread {
      other.mustEnd = true
      if let cpu = other.cpu { LinuxProcess.attention(cpu).pointee = 1 }
      vt_thread_interrupt(number)
    }
    while allThreads.count > 1 {
      let seen = endings.pointee
      threads.wait { vt_wait(endings, seen) }
    }
  }

  /// The process's first thread takes over what the current one, which then ends, has become: after execve(2) there is one
  /// thread, and its number is the process's.
  func handOver() {
    let old = thread
    guard memory.isThreaded, old !== leader, let cpu = old.cpu, let leaderCPU = leader.cpu else { return }
    UnsafeMutableRawPointer(leaderCPU).copyMemory(from: cpu, byteCount: MemoryLayout<vt_cpu_state>.size)
    leaderCPU.pointee.owner = Unmanaged.passUnretained(leader).toOpaque()
    leader.mask = old.mask
    leader.savedMask = nil
    (leader.clearChildThread, leader.robustList) = (0, 0)
    leader.stack = SignalStack()
    leader.restartable = nil
    (leader.outcome, leader.registersReplaced, leader.mustEnd) = (nil, false, false)
    leader.number = Int32(truncatingIfNeeded: host.call(39))
    (leader.seccomp, leader.takesNoNewPrivileges) = (old.seccomp, old.takesNoNewPrivileges)
    leaderCode = nil
    allThreads = [leader.number: leader]
    old.registersReplaced = false
    old.outcome = .threadEnded
    revives = true
    announceEnding()
  }

  /// The first thread's host thread waits until the process ends with others, or `handOver` calls it back. Signals are meanwhile
  /// for the threads that run.
  public func waitForRevival() {
    let first = leader
    passOnSignals()
    while !revives {
      let seen = endings.pointee
      threads.wait { vt_wait(endings, seen) }
    }
    revives = false
    begin(first)
  }

  /// The current host thread takes no more signals: gives those that were for the process back to the host, for other threads.
  private func passOnSignals() {
    vt_signal_block_all()
    if memory.isThreaded { vt_signal_pass_on(.max) }
  }

  /// What a thread does that `endOtherThreads` has asked to end.
  func endForOthers() -> Outcome {
    releaseFutexes()
    forgetThread()
    return .threadEnded
  }

  /// In a forked child: the calling thread is the only one.
  func becomeOnlyThread() {
    vt_thread_forget()
    memory.endThreads { thread.observes?($0) ?? true }
    thread.number = 0
    allThreads = [:]
    endedThreads = []
    leader = thread
    leaderCode = nil
    forked?()
  }
}
