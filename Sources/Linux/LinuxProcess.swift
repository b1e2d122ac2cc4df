// One Linux process: the personality's state and its two entrances, a system call and a fault. The run loop calls them
// with the guest CPU and acts on the `Outcome`; it never learns what a file is. Only this file writes the guest's result
// register.
import CHost
import GuestMemory
import LinuxABI

/// What the run loop is to do next.
public enum Outcome: Equatable, Sendable {
  /// Go on at `cpu.rip`.
  case resume
  /// The guest has ended; `code` is its exit status, 0…255.
  case exited(code: Int32)
  /// A signal has ended the guest; the fault, when one was the reason. See `LinuxProcess.isForkedChild`.
  case killed(signal: Int32, fault: GuestFault?)
  /// The calling thread has ended; others go on.
  case threadEnded
}

/// The extended state's way into and out of signal frames; the engine owns the layout (XSAVE).
public struct ExtendedStateAccess {
  /// Writes the state at `destination` (64-byte aligned, `LinuxProcess.extendedStateLimit` bytes of room) and returns its
  /// size in bytes: 512 without an XSAVE header, else header included.
  public var save: (_ cpu: UnsafeMutablePointer<vt_cpu_state>, _ destination: UnsafeMutableRawPointer) -> Int
  /// Reads the state back; false when it is malformed.
  public var restore:
    (_ cpu: UnsafeMutablePointer<vt_cpu_state>, _ source: UnsafeRawPointer, _ size: Int) -> Bool

  public init(
    save: @escaping (UnsafeMutablePointer<vt_cpu_state>, UnsafeMutableRawPointer) -> Int,
    restore: @escaping (UnsafeMutablePointer<vt_cpu_state>, UnsafeRawPointer, Int) -> Bool
  ) {
    self.save = save
    self.restore = restore
  }
}

/// How a process begins.
public struct ProcessOptions {
  /// Absolute path of the guest program: what `/proc/self/exe` names. `LinuxProcess.start` sets it.
  public internal(set) var executable: [UInt8] = []
  /// The guest's argv and environment.
  public internal(set) var arguments: [[UInt8]] = []
  public internal(set) var environment: [[UInt8]] = []
  /// A host descriptor for the trace of system calls in strace's format; nil: no trace.
  public var traceDescriptor: Int32?
  /// Gets the trace in the descriptor's stead, in parts of lines.
  public var traceReceiver: ((String) -> Void)?
  /// AT_HWCAP and AT_HWCAP2 of the guest's CPU (see `LoadRequest`).
  public var hardwareCapabilities: UInt32 = 0
  public var hardwareCapabilities2: UInt32 = 0
  /// What /proc/cpuinfo says of the guest's processor: lines that replace the host's of the same name. Asked when needed.
  public var describeProcessor: (() -> [(name: String, value: String)])?
  /// Give programs the kernel's vdso, whose clocks are read without system calls.
  public var mapsVDSO = false
  /// Place programs, their stacks and their mappings differently each time.
  public var randomizesAddresses = false

  public init() {}
}

/// A Linux process inside Vitrine. Whoever calls it holds the address space's lock (`AddressSpace.acquire`).
public final class LinuxProcess {
  /// Room for the extended state in bytes.
  public static let extendedStateLimit = 4096

  public let memory: AddressSpace
  public let host: Host
  public internal(set) var options: ProcessOptions
  /// The program in memory, by `start` or the last execve(2); nil before the first `start`. For reports.
  public internal(set) var program: LoadedProgram?
  /// Programs that have been started: grows with each execve(2).
  public internal(set) var programCount = 0
  /// The engine's XSAVE; without it signal frames carry no extended state.
  public var extendedState: ExtendedStateAccess?
  /// True in a child of fork(2): a fatal signal must then end the host process by that signal (`endBySignal`), because
  /// the parent, a guest too, waits for it.
  public internal(set) var isForkedChild = false

  /// Translated code may make calls by itself: nobody wants to see each of them.
  public var allowsDirectCalls = false
  /// A thread has filters that want to see each of its calls, or had some: of those that are left others may have them.
  var hasFilters = false
  /// Only such calls as a recorder can tell from a log.
  public var logsDirectCalls = false
  /// The host's process lives on for a while when the guest's has ended: a debugger looks at what is left.
  public var hostRemains = false

  let calls = SystemCallTable()
  var signals = SignalState()
  var descriptors = PrivateDescriptors()
  /// The guest's own root, with `--root` or `--bind`; nil: its paths are the host's.
  var root: GuestRoot?
  var traceSink: TraceSink?
  var reported: Set<UInt64> = []
  /// personality(2); nil: nobody has asked.
  var knownPersonality: UInt64?
  /// What descriptor 2 was at the start, where Vitrine's own words go.
  private var standardError: [UInt64]?

  /// Starts a host thread for a guest thread, whose CPU is a copy of the given one that `prepare` changes. The thread's number, or
  /// -errno. It comes to life in `begin`. Nil: the guest gets no threads.
  public var startThread:
    (
      (
        _ thread: GuestThread, _ cpu: UnsafeMutablePointer<vt_cpu_state>,
        _ prepare: (UnsafeMutablePointer<vt_cpu_state>) -> Void
      ) -> Int64
    )?
  /// What a debugger wants to hear (Processes/Observation.swift).
  var observation = Observation()
  /// Called in a forked child.
  public var forked: (() -> Void)?
  /// Called when execve(2) is about to replace the program, and when the next one has been loaded.
  public var programEnds: (() -> Void)?
  public var programBegins: (() -> Void)?
  /// The file of the present program, open as long as it runs.
  public var programDescriptor: Int32? { heldProgram }
  let threads: ThreadSwitch
  /// The threads by number; empty as long as there has been only one.
  var allThreads: [Int32: GuestThread] = [:]
  /// The first thread, whose exit code is the process's, and that code.
  var leader: GuestThread
  var leaderCode: Int32?
  /// Host threads that have ended, or are about to.
  var endedThreads: [UInt64] = []
  /// Counts threads that have ended, for those who wait for it.
  // SAFETY: allocated with the process, freed in deinit; the host kernel reads it while somebody waits.
  let endings: UnsafeMutablePointer<UInt32>
  /// The first thread has ended, and is to live on.
  var revives = false
  /// Flags of threads that do not share all, until they begin.
  var unsharedByThread: [ObjectIdentifier: UInt64] = [:]
  var memoryLimits = MemoryLimits()
  /// The descriptor whose lock says that the program runs (Files/BusyPrograms.swift).
  var heldProgram: Int32?
  /// The host shows the guest's arguments, environment and auxiliary vector under /proc/PID.
  var toldKernel = false
  /// The contexts of io_setup(2), by guest address.
  var requestContexts: [UInt64: RequestContext] = [:]
  /// The parent's memory, while a child of vfork(2) works in it.
  var borrowed: MemoryLoan?
  /// What threads of this process have lent to children of theirs.
  var loans: [MemoryLoan] = []

  public init(memory: AddressSpace, host: Host = Host(), options: ProcessOptions) {
    self.memory = memory
    self.host = host
    self.options = options
    threads = ThreadSwitch(memory)
    endings = .allocate(capacity: 1)
    endings.initialize(to: 0)
    leader = threads.current
    host.threads = threads
    inheritSignals()
    if let descriptor = options.traceDescriptor {
      beginTrace(TraceSink(descriptor: hide(descriptor), host: host))
    } else if let receiver = options.traceReceiver {
      beginTrace(TraceSink(receive: receiver))
    }
    standardError = fileBehind(2)
    memory.stackLimit = hostLimit(MemoryLimits.stack).soft
  }

  private func beginTrace(_ sink: TraceSink) {
    traceSink = sink
    tracer = Tracer(sink)
  }

  deinit {
    // The host would keep the threads, and with them the memory, as long as a trace keeps the host.
    host.threads = nil
    endings.deallocate()
  }

  // MARK: System calls

  /// Answers the SYSCALL instruction that `cpu` has just executed: `cpu.rip` lies behind it, RAX holds the number.
  public func systemCall(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> Outcome {
    attach(cpu)
    // Another thread executes a program: this one makes no more calls, least of all execve(2) or exit_group(2).
    if thread.mustEnd { return endForOthers() }
    let registers = GuestRegisters(cpu)
    let number = LinuxProcess.callNumber(cpu)
    registers[.rcx] = cpu.pointee.rip
    registers[.r11] = registers.flags
    let arguments = Arguments(registers)
    // What translated code has made was made before there were filters.
    if hasFilters, cpu.pointee.translated.call_is_made == 0,
      let outcome = filter(cpu, number, arguments)
    {
      return outcome
    }
    guard let call = calls[number] else {
      reportUnknown(number, arguments)
      registers[.rax] = UInt64(bitPattern: -Errno.ENOSYS)
      return .resume
    }
    if !call.isSettled { settle(call) }
    tracer?.enter(call, call.parsed, arguments, memory)
    if memory.runsSharedFiles { forgetCode(call, arguments) }
    var result = directResult(cpu, call, arguments) ?? answer(call, arguments)
    // The kernel grows the stack when a call is the first to touch it.
    if result == -Errno.EFAULT, outcome == nil, memory.growStack(to: registers[.rsp]) {
      result = answer(call, arguments)
    }
    return finish(call, arguments, result)
  }

  /// Lets translated code make the call by itself from now on, if it can.
  private func settle(_ call: SystemCall) {
    call.isSettled = true
    guard allowsDirectCalls, !hasFilters, tracer == nil, root == nil || !concernsRoot(call.number),
      let kind = logsDirectCalls ? call.loggedKind : call.directKind
    else { return }
    memory.allowDirectCall(call.number, kind)
  }

  /// What the host has said already: translated code has made the call, and a signal came.
  private func directResult(
    _ cpu: UnsafeMutablePointer<vt_cpu_state>, _ call: SystemCall, _ arguments: Arguments
  ) -> Int64? {
    if cpu.pointee.translated.call_is_made == 0 { return nil }
    cpu.pointee.translated.call_is_made = 0
    // The call's pointer is the second argument (`SystemCall.loggedKind`), and the journal has not heard of it.
    if let journal = memory.journal, call.parsed.arguments.count > 1 {
      let type = call.parsed.arguments[1]
      if type.access == .write { journal.noteWrite(arguments.b, outputSize(type, arguments)) }
    }
    return cpu.pointee.translated.call_result
  }

  @inline(__always)  // PERF: two places, on every call's way.
  private func answer(_ call: SystemCall, _ arguments: Arguments) -> Int64 {
    if let root { return rootedCall(call, arguments, root) }
    return call.handler?(self, arguments) ?? passThrough(call, arguments)
  }

  /// A file that is mapped may hold code that has been decoded; the call is about to change it.
  private func forgetCode(_ call: SystemCall, _ arguments: Arguments) {
    guard let file = changedFile(call, arguments).flatMap({ file(behind: $0) }) else { return }
    memory.fileWillChange(device: file[0], inode: file[1])
  }

  private func finish(_ call: SystemCall, _ arguments: Arguments, _ result: Int64) -> Outcome {
    thread.result = result
    if let ending = outcome {
      tracer?.end(call, ending)
      return ending
    }
    guard let cpu else { return .resume }
    if registersReplaced {
      registersReplaced = false
      if call.number == 15 {
        tracer?.returned(mask: thread.mask, result: Int64(bitPattern: GuestRegisters(cpu)[.rax]))
      } else {
        tracer?.leave(call, call.parsed, arguments, 0, memory)
      }
      return cpu.pointee.attention == 0 ? .resume : deliverPendingSignals(cpu)
    }
    if thread.mustEnd { return endForOthers() }
    let registers = GuestRegisters(cpu)
    let notStarted = result == Int64(VT_NOT_STARTED)
    let interrupted = notStarted || (result == -Errno.EINTR && call.traits.contains(.waits))
    if !interrupted {
      tracer?.leave(call, call.parsed, arguments, result, memory)
      registers[.rax] = UInt64(bitPattern: result)
    } else if restarts(call, notStarted: notStarted) {
      tracer?.interrupted(call, call.parsed, arguments, memory, restarts: true)
      cpu.pointee.rip = cpu.pointee.rip &- 2
      registers[.rax] = UInt64(call.number)
    } else {
      tracer?.interrupted(call, call.parsed, arguments, memory, restarts: false)
      registers[.rax] = UInt64(bitPattern: -Errno.EINTR)
    }
    if cpu.pointee.attention != 0 || thread.savedMask != nil { return deliverPendingSignals(cpu) }
    return .resume
  }

  /// Whether an interrupted call begins again after the signal has been dealt with.
  private func restarts(_ call: SystemCall, notStarted: Bool) -> Bool {
    if thread.savedMask != nil { return nextCaughtSignal() == nil }
    if notStarted { return true }
    guard let signal = nextCaughtSignal() else { return true }
    return call.traits.contains(.restarts)
      && signals.actions[Int(signal)].flags & SignalActionFlags.restart != 0
  }

  /// Makes `cpu` the one that signals call for attention.
  func attach(_ cpu: UnsafeMutablePointer<vt_cpu_state>) {
    if self.cpu == cpu { return }
    if memory.isThreaded, let owner = cpu.pointee.owner {
      // SAFETY: a thread outlives its CPU (`prepare`); the first one belongs to the process.
      thread = Unmanaged<GuestThread>.fromOpaque(owner).takeUnretainedValue()
      return
    }
    thread.cpu = cpu
    vt_signal_attach(LinuxProcess.attention(cpu))
  }

  private func reportUnknown(_ number: UInt64, _ arguments: Arguments) {
    tracer?.unknown(number, arguments)
    guard reported.insert(number).inserted else { return }
    writeDiagnostic("vitrine: system call \(number) is not implemented (ENOSYS)\n")
  }

  /// Says once that something is missing.
  func reportOnce(_ key: UInt64, _ message: String) {
    guard reported.insert(key).inserted else { return }
    writeDiagnostic("vitrine: " + message + "\n")
  }

  /// Writes Vitrine's own words to standard error, unless the guest has made descriptor 2 something else by now.
  public func writeDiagnostic(_ text: String) {
    if let now = fileBehind(2), let before = standardError, now == before {
      host.writeAll(Array(text.utf8), to: 2)
    }
  }

  /// The number of the call that `cpu` makes: the kernel looks at EAX alone.
  public static func callNumber(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> UInt64 {
    GuestRegisters(cpu)[.rax] & 0xffff_ffff
  }

  /// The number of the call that is being handled; for handlers that serve several.
  var callNumber: Int64 {
    guard let cpu else { return -1 }
    return Int64(LinuxProcess.callNumber(cpu))
  }

  /// Device and inode of an open descriptor.
  func fileBehind(_ descriptor: UInt64) -> [UInt64]? {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 18) { status -> [UInt64]? in
      host.call(5, descriptor, address(of: status.baseAddress)) < 0 ? nil : [status[0], status[1]]
    }
  }

  // MARK: Calls for the host

  /// Hands a call to the host with pointers translated as its signature says.
  func passThrough(_ call: SystemCall, _ arguments: Arguments) -> Int64 {
    var translated = arguments
    var (rest, index) = (call.handing.word, 0)
    while rest != 0 {
      let value = arguments[index]
      switch HandingPlan.Step(rawValue: rest & 15) ?? .vector {
      case .asItIs: break
      case .descriptor:
        if descriptors.contains(int(value)) { return -Errno.EBADF }
      case .hostAddress: translated[index] = memory.hostArgument(value)
      case .writtenBuffer:
        memory.prepareHostWrite(value, size: arguments[Int(rest >> 4 & 7)])
        translated[index] = memory.hostArgument(value)
      case .path: translated[index] = hostPath(value, buffer: index)
      case .structure:
        translated[index] = hostValue(value, call.parsed.arguments[index], arguments)
      case .vector: return -Errno.ENOSYS
      }
      rest >>= 8
      index &+= 1
    }
    return callHost(call, translated)
  }

  /// What the host gets for a value that is neither a descriptor nor a path: for pointers the host's address.
  func hostValue(_ value: UInt64, _ type: ArgumentType, _ arguments: Arguments) -> UInt64 {
    switch type.kind {
    case .string, .pointer: return memory.hostArgument(value)
    case .buffer, .structure:
      if type.access == .write || type.access == .readWrite {
        memory.prepareHostWrite(value, size: outputSize(type, arguments))
      }
      return memory.hostArgument(value)
    default: return value
    }
  }

  /// Calls the host under the call's own number, waiting or not as it is declared.
  func callHost(_ call: SystemCall, _ arguments: Arguments) -> Int64 {
    let number = Int64(call.number)
    if call.traits.contains(.waits) {
      return host.callWaiting(
        number, arguments.a, arguments.b, arguments.c, arguments.d, arguments.e, arguments.f)
    }
    return host.call(number, arguments.a, arguments.b, arguments.c, arguments.d, arguments.e, arguments.f)
  }

  func outputSize(_ type: ArgumentType, _ arguments: Arguments) -> UInt64 {
    let count = type.count.map { arguments[$0] } ?? 1
    if type.kind == .buffer { return count }
    let (size, overflow) = Structures.size(type.name).multipliedReportingOverflow(by: count)
    return overflow ? .max : size
  }

  /// The integer value of a host pointer.
  func address(of pointer: UnsafeRawPointer?) -> UInt64 { UInt64(UInt(bitPattern: pointer)) }
}
