// seccomp(2) at work: a thread's filters look at each of its calls before it is made. They are the guest's own affair: a filter of
// the host's would bind Vitrine's calls, too. What a filter is, is in SeccompFilter.swift; how it is set, in Syscalls/SeccompCalls.swift.
import CHost
import GuestMemory
import LinuxABI

/// What a thread may call: nothing is ever taken back, and who is made by clone(2) or fork(2) has the same.
struct SeccompState {
  enum Mode: Int64 { case disabled, strict, filter }

  var mode = Mode.disabled
  /// The oldest first.
  var filters: [SeccompFilter] = []

  /// What its filters count against the limit, were there another one.
  var kernelLength: Int {
    filters.reduce(0) { $0 &+ $1.kernelLength &+ SeccompFilter.extraInstructions }
  }

  /// Whether `other` has grown from this one, so that it can take its place.
  func isContained(in other: SeccompState) -> Bool {
    if mode == .disabled { return true }
    return mode == .filter && filters.count <= other.filters.count
      && zip(filters, other.filters).allSatisfy { $0 === $1 }
  }

  /// What all filters together say; of those with the strictest action the newest one's data.
  func verdict(_ data: SeccompData) -> SeccompVerdict {
    var result = SeccompVerdict.allow
    for filter in filters.reversed() {
      let other = SeccompVerdict(rawValue: filter.run(data))
      if other.action < result.action { result = other }
    }
    return result
  }
}

/// What a filter returns: an action (SECCOMP_RET_…) and 16 bits of data.
struct SeccompVerdict: Equatable {
  var rawValue: UInt32

  init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The smaller, the stricter.
  var action: Int32 { Int32(bitPattern: rawValue & 0xffff_0000) }
  var data: UInt32 { rawValue & 0xffff }

  static let killProcess = Int32.min
  static let killThread: Int32 = 0
  static let trap: Int32 = 0x3_0000
  static let fail: Int32 = 0x5_0000
  static let notify: Int32 = 0x7fc0_0000
  static let trace: Int32 = 0x7ff0_0000
  static let log: Int32 = 0x7ffc_0000
  static let allowed: Int32 = 0x7fff_0000

  static var allow: SeccompVerdict { SeccompVerdict(rawValue: UInt32(bitPattern: allowed)) }
}

extension LinuxProcess {
  /// From now on no call escapes the personality. Other threads need not be brought out of calls that translated code makes: those
  /// have begun before, and the next one finds the table empty.
  func beginFilters() {
    hasFilters = true
    memory.forbidDirectCalls()
  }

  /// Looks at a call before it is made. Nil: it may be made; otherwise it has been dealt with.
  func filter(
    _ cpu: UnsafeMutablePointer<vt_cpu_state>, _ number: UInt64, _ arguments: Arguments
  ) -> Outcome? {
    if thread.takesNoNewPrivileges {
      thread.takesNoNewPrivileges = false
      _ = host.call(157, ProcessControl.setNoNewPrivileges, 1)
    }
    switch thread.seccomp.mode {
    case .disabled: return nil
    case .strict:
      // read, write, exit, rt_sigreturn
      if [0, 1, 60, 15].contains(number) { return nil }
      traceRefused(number, arguments, nil)
      thread.result = -Errno.ENOSYS
      return endThread(bySignal: Signal.kill)
    case .filter:
      let data = SeccompData(
        number: UInt32(truncatingIfNeeded: number), instructionPointer: cpu.pointee.rip, arguments: arguments)
      return act(thread.seccomp.verdict(data), cpu, number, arguments)
    }
  }

  private func act(
    _ verdict: SeccompVerdict, _ cpu: UnsafeMutablePointer<vt_cpu_state>, _ number: UInt64,
    _ arguments: Arguments
  ) -> Outcome? {
    let largestError: UInt32 = 4095
    switch verdict.action {
    case SeccompVerdict.allowed, SeccompVerdict.log: return nil
    case SeccompVerdict.fail:
      return refuse(cpu, number, arguments, -Int64(min(verdict.data, largestError)))
    case SeccompVerdict.notify, SeccompVerdict.trace:
      // Nobody listens.
      return refuse(cpu, number, arguments, -Errno.ENOSYS)
    case SeccompVerdict.trap:
      // RAX still holds the number, for a handler that makes the call itself.
      traceRefused(number, arguments, Int64(bitPattern: GuestRegisters(cpu)[.rax]))
      thread.result = -Errno.ENOSYS
      let information = SignalInformation(
        call: number, reason: verdict.data, instructionPointer: cpu.pointee.rip)
      tracer?.refusal(information.words, calls[number])
      return force(Signal.systemCall, information, nil, cpu)
    default:
      let isThreads = verdict.action == SeccompVerdict.killThread && allThreads.count > 1
      traceRefused(number, arguments, isThreads ? nil : Int64(bitPattern: GuestRegisters(cpu)[.rax]))
      thread.result = -Errno.ENOSYS
      return isThreads ? endThread(bySignal: Signal.systemCall) : killed(Signal.systemCall, nil)
    }
  }

  /// The call returns `result` without having been made.
  private func refuse(
    _ cpu: UnsafeMutablePointer<vt_cpu_state>, _ number: UInt64, _ arguments: Arguments, _ result: Int64
  ) -> Outcome {
    traceRefused(number, arguments, result)
    thread.result = result
    GuestRegisters(cpu)[.rax] = UInt64(bitPattern: result)
    return thread.savedMask == nil ? .resume : deliverPendingSignals(cpu)
  }

  /// `result` nil: the call does not return.
  private func traceRefused(_ number: UInt64, _ arguments: Arguments, _ result: Int64?) {
    guard let tracer else { return }
    guard let call = calls[number] else { return tracer.unknown(number, arguments, result) }
    tracer.enter(call, call.parsed, arguments, memory)
    if let result {
      tracer.leave(call, call.parsed, arguments, result, memory)
    } else {
      tracer.endUnanswered()
    }
  }
}

extension SignalInformation {
  /// SIGSYS of a filter: SYS_SECCOMP, with the filter's data as error number.
  init(call: UInt64, reason: UInt32, instructionPointer: UInt64) {
    let seccomp: UInt64 = 1
    words[0] = UInt64(UInt32(bitPattern: Signal.systemCall)) | UInt64(reason) << 32
    words[1] = seccomp
    words[2] = instructionPointer
    words[3] = call & 0xffff_ffff | UInt64(SeccompData.architecture) << 32
  }
}
