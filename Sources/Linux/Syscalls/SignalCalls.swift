// Signal calls: actions, masks, waiting for and sending signals, the alternate stack.
import CHost
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineSignals() {
    define(13, "rt_sigaction", "signal *sigaction< *sigaction> ulong", [], LinuxProcess.signalAction)
    define(14, "rt_sigprocmask", "$how *sigset< *sigset> ulong", [], LinuxProcess.signalMask)
    define(15, "rt_sigreturn", "", [], LinuxProcess.signalReturn)
    define(219, "restart_syscall", "", [], LinuxProcess.restartNothing)
    define(34, "pause", "", .waits)
    define(62, "kill", "pid signal", [], LinuxProcess.kill)
    define(127, "rt_sigpending", "*sigset> ulong", [], LinuxProcess.signalPending)
    define(128, "rt_sigtimedwait", "*sigset< *siginfo> *timespec< ulong", .waits, LinuxProcess.signalWait)
    define(129, "rt_sigqueueinfo", "pid signal *siginfo<", [], LinuxProcess.signalQueue)
    define(130, "rt_sigsuspend", "*sigset< ulong", .waits, LinuxProcess.signalSuspend)
    define(131, "sigaltstack", "*stack< *stack>", [], LinuxProcess.signalStack)
    define(200, "tkill", "pid signal", [], LinuxProcess.threadKill)
    define(234, "tgkill", "pid pid signal", [], LinuxProcess.groupThreadKill)
    define(297, "rt_tgsigqueueinfo", "pid pid signal *siginfo<", [], LinuxProcess.signalQueue)
    define(424, "pidfd_send_signal", "fd signal *siginfo< uint")
    define(434, "pidfd_open", "pid uint")
    define(438, "pidfd_getfd", "fd fd uint")
  }
}

extension LinuxProcess {
  /// restart_syscall(2): calls begin again by themselves here, so there is never one to go on with.
  static func restartNothing(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 { -Errno.EINTR }

  static func signalAction(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let signal = int(arguments.a)
    if arguments.d != 8 || signal < 1 || signal > 64 { return -Errno.EINVAL }
    let old = process.action(signal)
    if arguments.b != 0 {
      guard var action = process.memory.load(KernelSignalAction.self, at: arguments.b) else {
        return -Errno.EFAULT
      }
      if SignalState.unblockable >> UInt64(signal - 1) & 1 != 0 { return -Errno.EINVAL }
      action.mask &= ~SignalState.unblockable
      process.signals.actions[Int(signal)] = action
      process.mirrorAction(signal)
      if process.ignores(signal) { process.discard(signal) }
    }
    if arguments.c != 0, !process.memory.store(old, at: arguments.c) { return -Errno.EFAULT }
    return 0
  }

  private func ignores(_ signal: Int32) -> Bool {
    let handler = action(signal).handler
    if handler == KernelSignalAction.ignoreHandler { return true }
    return handler == KernelSignalAction.defaultHandler && Signal.defaultAction(signal) == .ignore
  }

  /// Drops waiting instances of a signal that is ignored from now on.
  private func discard(_ signal: Int32) {
    var information = SignalInformation()
    while information.words.withUnsafeMutableBytes({
      vt_signal_take(~(1 << UInt64(signal - 1)), $0.baseAddress)
    }) != 0 {}
    updateAttention()
  }

  static func signalMask(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.d != 8 { return -Errno.EINVAL }
    let old = process.thread.mask
    if arguments.b != 0 {
      guard let set = process.memory.load(UInt64.self, at: arguments.b) else { return -Errno.EFAULT }
      switch int(arguments.a) {
      case 0: process.setMask(old | set)
      case 1: process.setMask(old & ~set)
      case 2: process.setMask(set)
      default: return -Errno.EINVAL
      }
    }
    if arguments.c != 0, !process.memory.store(old, at: arguments.c) { return -Errno.EFAULT }
    return 0
  }

  static func signalPending(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.b > 8 { return -Errno.EINVAL }
    let pending = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { place -> UInt64 in
      place[0] = 0
      _ = process.host.call(127, process.address(of: place.baseAddress), 8)
      return place[0]
    }
    let all = (pending | vt_signal_waiting()) & process.thread.mask
    let bytes = withUnsafeBytes(of: all) { Array($0.prefix(Int(arguments.b))) }
    return process.memory.copyOut(bytes, to: GuestAddress(arguments.a)) ? 0 : -Errno.EFAULT
  }

  static func signalSuspend(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.b != 8 { return -Errno.EINVAL }
    guard let mask = process.memory.load(UInt64.self, at: arguments.a) else { return -Errno.EFAULT }
    process.thread.savedMask = process.thread.mask
    process.thread.mask = mask & ~SignalState.unblockable
    process.updateAttention()
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { place -> Int64 in
      place[0] = process.thread.mask & ~SignalState.synchronous
      return process.host.callWaiting(130, process.address(of: place.baseAddress), 8)
    }
  }

  static func signalWait(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.d != 8 { return -Errno.EINVAL }
    let memory = process.memory
    guard let set = memory.load(UInt64.self, at: arguments.a) else { return -Errno.EFAULT }
    var information = SignalInformation()
    let taken = information.words.withUnsafeMutableBytes { vt_signal_take(~set, $0.baseAddress) }
    process.updateAttention()
    if taken != 0 {
      if arguments.b != 0 {
        let stored = information.words.withUnsafeBytes { memory.copyOut($0, to: GuestAddress(arguments.b)) }
        if !stored { return -Errno.EFAULT }
      }
      return Int64(taken)
    }
    memory.prepareHostWrite(arguments.b, size: 128)
    return process.host.callWaiting(
      128, memory.hostArgument(arguments.a), memory.hostArgument(arguments.b),
      memory.hostArgument(arguments.c), 8)
  }

  static func signalStack(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    guard let cpu = process.cpu else { return -Errno.EFAULT }
    let pointer = GuestRegisters(cpu)[.rsp]
    var old = process.thread.stack
    old.flags = process.stackFlags(pointer)
    if arguments.a != 0 {
      guard let new = process.memory.load(SignalStack.self, at: arguments.a) else { return -Errno.EFAULT }
      let result = process.setSignalStack(new, pointer: pointer)
      if result < 0 { return result }
    }
    if arguments.b != 0, !process.memory.store(old, at: arguments.b) { return -Errno.EFAULT }
    return 0
  }

  /// sigaltstack(2)'s rules; `pointer` is the stack pointer in use.
  func setSignalStack(_ new: SignalStack, pointer: UInt64) -> Int64 {
    if isOnSignalStack(pointer) { return new == thread.stack ? 0 : -Errno.EPERM }
    // Nothing changes: nothing is checked.
    let present = thread.stack.size == 0 ? 0 : thread.stack.flags
    if new.address == thread.stack.address, new.size == thread.stack.size, new.flags == present { return 0 }
    let mode = new.flags & ~SignalStack.autoDisarm
    if mode & ~(SignalStack.onStack | SignalStack.disabled) != 0 || mode == 3 { return -Errno.EINVAL }
    if mode == SignalStack.disabled {
      thread.stack = SignalStack()
      return 0
    }
    if new.size < SignalStack.minimumSize { return -Errno.ENOMEM }
    thread.stack = new
    thread.stack.flags = new.flags & SignalStack.autoDisarm
    return 0
  }

  // MARK: Sending

  static func kill(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let (target, signal) = (int(arguments.a), int(arguments.b))
    let isSelf = Int64(target) == process.host.call(39)
    if isSelf, let done = process.sendSelf(signal, code: 0) { return done }
    func call() -> Int64 { process.host.call(62, arguments.a, arguments.b) }
    return isSelf || target <= 0 ? process.sendSelf(signal, call) : call()
  }

  static func threadKill(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let signal = int(arguments.b)
    let isSelf = Int64(int(arguments.a)) == process.host.call(186)
    if isSelf, let done = process.sendSelf(signal, code: -6) { return done }
    func call() -> Int64 { process.host.call(200, arguments.a, arguments.b) }
    return isSelf ? process.sendSelf(signal, call) : call()
  }

  static func groupThreadKill(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let signal = int(arguments.c)
    let isSelf =
      Int64(int(arguments.a)) == process.host.call(39) && Int64(int(arguments.b)) == process.host.call(186)
    if isSelf, let done = process.sendSelf(signal, code: -6) { return done }
    func call() -> Int64 { process.host.call(234, arguments.a, arguments.b, arguments.c) }
    return isSelf ? process.sendSelf(signal, call) : call()
  }

  /// Has the host send the process itself a signal. One that stops it is sent without the lock, and without a turn: who has to continue it
  /// may be waiting for that.
  private func sendSelf(_ signal: Int32, _ call: () -> Int64) -> Int64 {
    guard signal >= 1, signal <= 64, case .stop = Signal.defaultAction(signal) else { return call() }
    return threads.wait(call)
  }

  /// A signal to the process itself that does not go through the host: one that Vitrine uses, or one whose default action
  /// ends the guest. Nil: let the host carry it.
  private func sendSelf(_ signal: Int32, code: Int32) -> Int64? {
    if signal < 1 || signal > 64 { return nil }
    let bit: UInt64 = 1 << UInt64(signal - 1)
    if signal == Signal.kill { return nil }
    let handled = action(signal).handler > KernelSignalAction.ignoreHandler
    let blocked = thread.mask & bit != 0
    if SignalState.synchronous & bit != 0 {
      return ignores(signal) && !blocked ? 0 : raise(signal, code: code)
    }
    if isFatal(signal), !blocked, !handled { return raise(signal, code: code) }
    return nil
  }

  /// rt_sigqueueinfo(2) and rt_tgsigqueueinfo(2).
  static func signalQueue(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    var host = arguments
    let isThread = process.callNumber == 297
    if isThread {
      host.d = process.memory.hostArgument(arguments.d)
    } else {
      host.c = process.memory.hostArgument(arguments.c)
    }
    return process.host.call(isThread ? 297 : 129, host.a, host.b, host.c, host.d)
  }
}
