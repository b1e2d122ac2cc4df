// seccomp(2) and its part of prctl(2): setting filters, with the kernel's checks in the kernel's order.
import CHost
import GuestMemory
import LinuxABI

/// Of seccomp(2): operations, and flags of SECCOMP_SET_MODE_FILTER.
private enum SeccompOperation {
  static let setStrict: UInt32 = 0
  static let setFilter: UInt32 = 1
  static let actionAvailable: UInt32 = 2

  static let synchronizes: UInt32 = 1
  static let logs: UInt32 = 2
  static let allowsSpeculation: UInt32 = 4
  static let saysNoSuchThread: UInt32 = 16
  /// SECCOMP_FILTER_FLAG_NEW_LISTENER and WAIT_KILLABLE_RECV are not among them: a kernel without user notification says EINVAL as well.
  static let knownFlags = synchronizes | logs | allowsSpeculation | saysNoSuchThread
}

/// Numbers of prctl(2).
enum ProcessControl {
  static let getSeccomp: UInt64 = 21
  static let setNoNewPrivileges: UInt64 = 38
  static let getNoNewPrivileges: UInt64 = 39
}

extension LinuxProcess {
  /// seccomp(2).
  static func secureComputing(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let flags = UInt32(truncatingIfNeeded: arguments.b)
    switch UInt32(truncatingIfNeeded: arguments.a) {
    case SeccompOperation.setStrict:
      return flags == 0 && arguments.c == 0 ? process.setStrictMode() : -Errno.EINVAL
    case SeccompOperation.setFilter: return process.addFilter(flags, at: arguments.c)
    case SeccompOperation.actionAvailable:
      return flags == 0 ? process.actionAvailable(at: arguments.c) : -Errno.EINVAL
    default: return -Errno.EINVAL
    }
  }

  /// prctl(PR_SET_SECCOMP).
  func setSeccomp(_ arguments: Arguments) -> Int64 {
    let (strict, filter): (UInt64, UInt64) = (1, 2)
    switch arguments.b {
    case strict: return setStrictMode()
    case filter: return addFilter(0, at: arguments.c)
    default: return -Errno.EINVAL
    }
  }

  /// prctl(PR_GET_SECCOMP): the guest's mode, or that in which Vitrine itself has been started.
  func seccompMode() -> Int64 {
    let own = thread.seccomp.mode
    return own == .disabled ? host.call(157, ProcessControl.getSeccomp) : own.rawValue
  }

  private func setStrictMode() -> Int64 {
    if seccompMode() == SeccompState.Mode.filter.rawValue { return -Errno.EINVAL }
    thread.seccomp.mode = .strict
    beginFilters()
    return 0
  }

  /// SECCOMP_GET_ACTION_AVAIL: SECCOMP_RET_USER_NOTIF is not, because nobody can listen.
  private func actionAvailable(at address: UInt64) -> Int64 {
    guard let action = memory.load(Int32.self, at: address) else { return -Errno.EFAULT }
    switch action {
    case SeccompVerdict.killProcess, SeccompVerdict.killThread, SeccompVerdict.trap, SeccompVerdict.fail,
      SeccompVerdict.trace, SeccompVerdict.log, SeccompVerdict.allowed:
      return 0
    default: return -Errno.EOPNOTSUPP
    }
  }

  private func addFilter(_ flags: UInt32, at address: UInt64) -> Int64 {
    if flags & ~SeccompOperation.knownFlags != 0 { return -Errno.EINVAL }
    // `struct sock_fprog`: the number of instructions, and where they are.
    guard let count = memory.load(UInt16.self, at: address),
      let place = memory.load(UInt64.self, at: address &+ 8)
    else { return -Errno.EFAULT }
    if count == 0 || Int(count) > SeccompFilter.mostInstructions { return -Errno.EINVAL }
    if !mayFilter() { return -Errno.EACCES }
    if place == 0 { return -Errno.EINVAL }
    guard let instructions = filterInstructions(at: place, count: Int(count)) else { return -Errno.EFAULT }
    guard let filter = SeccompFilter(instructions), thread.seccomp.mode != .strict else {
      return -Errno.EINVAL
    }
    if thread.seccomp.kernelLength &+ filter.kernelLength > SeccompFilter.mostInstructionsOfAll {
      return -Errno.ENOMEM
    }
    let synchronizes = flags & SeccompOperation.synchronizes != 0
    if synchronizes, let other = threadWithOtherFilters() {
      return flags & SeccompOperation.saysNoSuchThread != 0 ? -Errno.ESRCH : Int64(other.number)
    }
    thread.seccomp.mode = .filter
    thread.seccomp.filters.append(filter)
    if synchronizes { shareFilters() }
    beginFilters()
    return 0
  }

  /// Who cannot gain privileges may have a filter, and who has CAP_SYS_ADMIN.
  private func mayFilter() -> Bool {
    if host.call(157, ProcessControl.getNoNewPrivileges) == 1 { return true }
    let administration: UInt32 = 21
    return hasCapability(administration)
  }

  /// capabilities(7): whether the calling thread has one of the first 32 in effect.
  func hasCapability(_ number: UInt32) -> Bool {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 8) { words -> Bool in
      words.initialize(repeating: 0)
      // The header, of version 3 and about the calling thread; then effective, permitted and inheritable capabilities, twice.
      words[0] = 0x2008_0522
      let header = address(of: words.baseAddress)
      return host.call(125, header, header &+ 8) == 0 && words[2] >> number & 1 != 0
    }
  }

  private func filterInstructions(at address: UInt64, count: Int) -> [FilterInstruction]? {
    guard let bytes = memory.bytes(at: GuestAddress(address), count: count * FilterInstruction.size) else {
      return nil
    }
    return (0..<count).map { index in
      let start = index * FilterInstruction.size
      return FilterInstruction(
        code: bytes.littleEndian(UInt16.self, at: start) ?? 0, ifTrue: bytes[start + 2],
        ifFalse: bytes[start + 3], k: bytes.littleEndian(UInt32.self, at: start + 4) ?? 0)
    }
  }

  // MARK: Other threads (SECCOMP_FILTER_FLAG_TSYNC)

  /// The first of the threads whose filters this one's have not grown from.
  private func threadWithOtherFilters() -> GuestThread? {
    let others = allThreads.values.filter { $0 !== thread && !$0.seccomp.isContained(in: thread.seccomp) }
    return others.min { $0 === leader || ($1 !== leader && $0.number < $1.number) }
  }

  private func shareFilters() {
    let cannotGain = host.call(157, ProcessControl.getNoNewPrivileges) == 1
    for other in allThreads.values where other !== thread {
      other.seccomp = thread.seccomp
      other.takesNoNewPrivileges = cannotGain
    }
  }
}
