// rseq(2): a thread registers an area in which the kernel keeps the number of the processor that the thread runs on, and finds the
// descriptor of the critical section that it is in. Whoever is preempted in a section goes on at its abort handler.
//
// Here sections are not disturbed: engines execute them under the address space's lock (GuestMemory/CriticalSections.swift), so
// what happens to a section happens to no other thread's at the same time, whatever processor it is on. Aborted are those that a
// signal, a system call or another reason brings to the run loop.
import CHost
import GuestMemory
import LinuxABI

/// What a thread has registered.
struct RestartableArea {
  /// `struct rseq`, and as many bytes of it as the program knows.
  var address: UInt64
  var size: UInt32
  /// What stands in front of abort handlers.
  var signature: UInt32
  /// What the area says; nil: nothing yet.
  var processor: UInt32?

  /// Members of `struct rseq`.
  static let processorAtStart: UInt64 = 0
  static let processor: UInt64 = 4
  static let section: UInt64 = 8
  static let flags: UInt64 = 16
  static let node: UInt64 = 20
  static let concurrency: UInt64 = 24
  /// Bytes that the kernel uses (AT_RSEQ_FEATURE_SIZE), and that the first kernels asked for, which is the alignment, too
  /// (AT_RSEQ_ALIGN).
  static let featureSize: UInt64 = 28
  static let firstSize: UInt64 = 32

  static let unregister: UInt32 = 1
  /// RSEQ_CPU_ID_UNINITIALIZED.
  static let uninitialized = UInt32.max
}

extension LinuxProcess {
  /// rseq(2), in the kernel's order. A recorder, a debugger or another controller decides about preemption itself: `ENOSYS`.
  static func registerArea(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if !process.memory.findsSections { return -Errno.ENOSYS }
    let flags = UInt32(truncatingIfNeeded: arguments.c)
    let area = RestartableArea(
      address: arguments.a, size: UInt32(truncatingIfNeeded: arguments.b),
      signature: UInt32(truncatingIfNeeded: arguments.d))
    if flags & RestartableArea.unregister != 0 {
      return flags == RestartableArea.unregister ? process.unregister(area) : -Errno.EINVAL
    }
    if flags != 0 { return -Errno.EINVAL }
    if process.thread.restartable != nil {
      let failure = process.mismatch(area)
      return failure == 0 ? -Errno.EBUSY : failure
    }
    let size = UInt64(area.size)
    if size < RestartableArea.firstSize || area.address % RestartableArea.firstSize != 0 {
      return -Errno.EINVAL
    }
    guard area.address < process.memory.limit, process.memory.limit &- area.address >= size,
      let section = process.memory.load(UInt64.self, at: area.address &+ RestartableArea.section),
      section == 0 || process.memory.store(UInt64(0), at: area.address &+ RestartableArea.section)
    else { return -Errno.EFAULT }
    process.thread.restartable = area
    return 0
  }

  private func unregister(_ area: RestartableArea) -> Int64 {
    let failure = thread.restartable == nil ? -Errno.EINVAL : mismatch(area)
    if failure != 0 { return failure }
    guard show(RestartableArea.uninitialized, startingWith: 0, node: 0, concurrency: 0, in: area) else {
      return -Errno.EFAULT
    }
    thread.restartable = nil
    return 0
  }

  /// How `area` differs from the one that is registered, as an error.
  private func mismatch(_ area: RestartableArea) -> Int64 {
    let known = thread.restartable
    if area.address != known?.address || area.size != known?.size { return -Errno.EINVAL }
    return area.signature == known?.signature ? 0 : -Errno.EPERM
  }

  private func show(
    _ processor: UInt32, startingWith: UInt32, node: UInt32, concurrency: UInt32, in area: RestartableArea
  ) -> Bool {
    memory.store(startingWith, at: area.address &+ RestartableArea.processorAtStart)
      && memory.store(processor, at: area.address &+ RestartableArea.processor)
      && memory.store(node, at: area.address &+ RestartableArea.node)
      && memory.store(concurrency, at: area.address &+ RestartableArea.concurrency)
  }

  // MARK: On the way back to guest code

  /// What the kernel does for a thread that has been disturbed (`rseq_handle_notify_resume`): aborts the section that it is in,
  /// and tells it the processor that it goes on with. What the program got wrong ends it, or is for its handler of SIGSEGV.
  // PERF: one comparison for those who have registered nothing.
  @inline(__always)
  public func settleSections(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> Outcome {
    thread.restartable == nil ? .resume : settleArea(cpu)
  }

  private func settleArea(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> Outcome {
    if abortSection(cpu), showProcessor() { return .resume }
    thread.restartable = nil
    let kernel: Int32 = 0x80
    let information = SignalInformation(signal: Signal.segmentation, code: kernel, address: 0)
    tracer?.signal(information.words)
    return force(Signal.segmentation, information, nil, cpu)
  }

  /// Leaves the section that `cpu` is in for its abort handler (`rseq_ip_fixup`). False when the section is not as it should be.
  func abortSection(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> Bool {
    guard let area = thread.restartable else { return true }
    let place = area.address &+ RestartableArea.section
    guard let address = memory.load(UInt64.self, at: place) else { return false }
    if address == 0 { return true }
    guard let section = memory.load(SectionDescriptor.self, at: address),
      section.isValid(below: memory.limit),
      memory.load(UInt32.self, at: section.abort &- 4) == area.signature
    else { return false }
    learn(section)
    if !section.contains(cpu.pointee.rip) { return memory.store(UInt64(0), at: place) }
    guard section.flags == 0, memory.load(UInt32.self, at: area.address &+ RestartableArea.flags) == 0,
      memory.store(UInt64(0), at: place)
    else { return false }
    cpu.pointee.rip = section.abort
    return true
  }

  /// A section that no engine has come across: its descriptor was made at run time, or has another signature than usual.
  private func learn(_ section: SectionDescriptor) {
    if let range = section.range, memory.addSection(range) { memory.forgetCode(in: range) }
  }

  /// Tells the thread which processor it is on.
  private func showProcessor() -> Bool {
    let place = vt_processor()
    let (processor, node) = (place & 0xfff, place >> 12)
    guard let area = thread.restartable, area.processor != processor else { return true }
    thread.restartable?.processor = processor
    // A number below that of the threads, as mm_cid has to be.
    let concurrency = memory.isThreaded ? processor : 0
    return show(processor, startingWith: processor, node: node, concurrency: concurrency, in: area)
  }

  /// sched_setaffinity(2): who has been moved learns of it also if it calls for nothing.
  static func setAffinity(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let result = process.host.call(
      203, arguments.a, arguments.b, process.memory.hostArgument(arguments.c))
    let number = int(arguments.a)
    if result == 0, let other = process.allThreads[number], other !== process.thread,
      other.restartable != nil, let cpu = other.cpu
    {
      LinuxProcess.attention(cpu).pointee = 1
      vt_thread_interrupt(number)
    }
    return result
  }
}
