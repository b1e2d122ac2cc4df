// Which signals the guest handles, blocks and awaits. Dispositions and the mask are mirrored to the host, so that
// inheritance, job control and sleeping calls behave; only signals with a guest handler are caught, and they wait in
// CHost's queue until the run loop delivers them.
import CHost
import LinuxABI

/// The signal part of a process; masks and stacks are its threads' (GuestThread.swift). Bit n-1 of a mask stands for signal n.
struct SignalState {
  /// By signal number; index 0 is unused.
  var actions = [KernelSignalAction](repeating: KernelSignalAction(), count: 65)
  /// Signals whose action the guest has neither set nor asked for: it is what Vitrine inherited.
  var inherited: UInt64 = ~0

  /// SIGKILL and SIGSTOP.
  static let unblockable: UInt64 = 1 << 8 | 1 << 18
  /// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: never blocked on the host, where Vitrine itself needs them.
  static let synchronous: UInt64 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10
}

extension LinuxProcess {
  /// Takes over the mask from whoever started Vitrine.
  func inheritSignals() {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { mask in
      mask[0] = 0
      _ = host.call(14, 0, 0, address(of: mask.baseAddress), 8)
      thread.mask = mask[0] & ~SignalState.unblockable
    }
  }

  /// The guest's action for `signal`, 1…64. The host is asked at the first use whether it was inherited as ignored.
  func action(_ signal: Int32) -> KernelSignalAction {
    let bit: UInt64 = 1 << UInt64(signal - 1)
    if signals.inherited & bit != 0 {
      signals.inherited &= ~bit
      if vt_signal_inherited(signal) == Int32(VT_SIGNAL_IGNORE) {
        signals.actions[Int(signal)].handler = KernelSignalAction.ignoreHandler
      }
    }
    return signals.actions[Int(signal)]
  }

  /// Sets the guest's mask and mirrors it.
  func setMask(_ mask: UInt64) {
    thread.mask = mask & ~SignalState.unblockable
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { place in
      place[0] = thread.mask & ~SignalState.synchronous
      _ = host.call(14, 2, address(of: place.baseAddress), 0, 8)
    }
    // What has arrived for the process, but is blocked now, another thread may take.
    if memory.isThreaded, vt_signal_waiting() & thread.mask & ~SignalState.synchronous != 0 {
      vt_signal_pass_on(thread.mask & ~SignalState.synchronous)
    }
    updateAttention()
  }

  /// Raises or lowers the CPU's attention word as waiting signals demand.
  func updateAttention() {
    guard let cpu else { return }
    cpu.pointee.attention = thread.mustEnd ? 1 : 0
    if vt_signal_waiting() & ~thread.mask != 0 { cpu.pointee.attention = 1 }
  }

  /// The signal that `deliverPendingSignals` will bring to a handler first, if any.
  func nextCaughtSignal() -> Int32? {
    let ready = vt_signal_waiting() & ~thread.mask
    for signal in 1...64 where ready >> UInt64(signal - 1) & 1 != 0 && signals.actions[signal].handler > 1 {
      return Int32(signal)
    }
    return nil
  }

  /// Makes the host treat `signal` as the guest's action says.
  func mirrorAction(_ signal: Int32) {
    let action = signals.actions[Int(signal)]
    var disposition: Int32
    switch action.handler {
    case KernelSignalAction.defaultHandler: disposition = Int32(VT_SIGNAL_DEFAULT)
    case KernelSignalAction.ignoreHandler: disposition = Int32(VT_SIGNAL_IGNORE)
    default: disposition = Int32(VT_SIGNAL_CATCH)
    }
    if isCaughtForObserver(signal) { disposition = Int32(VT_SIGNAL_CATCH) }
    _ = vt_signal_set(signal, disposition, action.flags)
  }

  /// Resets caught signals to their defaults, for execve(2) and CLONE_CLEAR_SIGHAND. Flags go even from those that are not caught.
  func resetHandlers(keepsStack: Bool = false) {
    for signal in 1...64 {
      var action = KernelSignalAction()
      if signals.actions[signal].handler == KernelSignalAction.ignoreHandler {
        action.handler = KernelSignalAction.ignoreHandler
      }
      if action == signals.actions[signal] { continue }
      signals.actions[signal] = action
      mirrorAction(Int32(signal))
    }
    if !keepsStack { thread.stack = SignalStack() }
    thread.savedMask = nil
  }

  /// True when nothing but the default action awaits `signal`, and that ends the process.
  func isFatal(_ signal: Int32) -> Bool {
    guard action(signal).handler == KernelSignalAction.defaultHandler else { return false }
    switch Signal.defaultAction(signal) {
    case .terminate, .core: return true
    default: return false
    }
  }

  /// Ends the host process by `signal`, so that its parent sees that death. For forked children after
  /// `Outcome.killed`; returns only if the host refuses.
  public func endBySignal(_ signal: Int32) {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { place in
      // No core file of Vitrine itself.
      place[0] = 0
      place[1] = 0
      _ = host.call(160, 4, address(of: place.baseAddress))
    }
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 4) { action in
      // SIG_DFL, past the fault handlers, which `vt_signal_set` leaves alone.
      for index in 0..<4 { action[index] = 0 }
      _ = host.call(13, UInt64(UInt32(bitPattern: signal)), address(of: action.baseAddress), 0, 8)
      _ = host.call(14, 2, address(of: action.baseAddress), 0, 8)
    }
    // tgkill(2): another thread would take a signal for the process later, and this one go on to exit_group(2) meanwhile.
    _ = host.call(
      234, UInt64(bitPattern: host.call(39)), UInt64(bitPattern: host.call(186)),
      UInt64(UInt32(bitPattern: signal)))
  }
}
