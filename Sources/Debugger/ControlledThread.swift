// One guest thread under the machine's control: what it was told to do, where it stands, why it stopped. Changed only under the
// address space's lock.

import CHost
import Engine
import Linux

/// A guest thread as a debugger sees it.
public final class ControlledThread {
  /// gettid(2).
  public let number: UInt64
  public let cpu: UnsafeMutablePointer<CPUState>
  /// Registers that were changed while the thread is in a host call that waits: a copy of all of them, which counts when the call
  /// has been given up.
  // SAFETY: allocated by `beginChanging`, freed by `endChanging` or with the thread; reached under the lock.
  private(set) var changed: UnsafeMutablePointer<CPUState>?
  let guest: GuestThread
  /// What it does while the machine runs.
  public internal(set) var action = ThreadAction.hold
  /// Why it stopped, until somebody has been told.
  var pending: StopReason?
  /// It waits for the machine to run.
  var isParked = false
  /// Executes the instruction here even though it is a stop address, once.
  var stepsOver: UInt64?
  /// The step ended in a system call: what is left is to tell.
  var isStepDone = false
  /// Executes what does not access watched bytes.
  var watcher: InterpreterEngine?
  /// RIP when a signal was handed over during a step: elsewhere the handler has begun, and the step is done.
  var signalled: UInt64?
  /// Number of the system call whose entry or return is being shown, -1 otherwise: the kernel's `orig_rax`.
  public internal(set) var originalRAX: UInt64 = .max
  /// The siginfo_t of the signal that is about to be delivered, or was last.
  public var information = ControlledThread.trap(0, 0)
  /// The signal that it goes on with in place of the one it stopped for; nil: none.
  var replacement: Int32?
  /// A signal that passes without a stop: the debugger itself sent it.
  var unseen: Int32 = 0

  init(_ number: UInt64, _ cpu: UnsafeMutablePointer<CPUState>, _ guest: GuestThread) {
    (self.number, self.cpu, self.guest) = (number, cpu, guest)
  }

  deinit { changed.map { UnsafeMutableRawPointer($0).deallocate() } }

  /// The registers as a debugger sees them.
  public var visible: UnsafeMutablePointer<CPUState> { changed ?? cpu }

  /// Registers are about to be changed.
  func beginChanging() {
    guard guest.isWaiting, changed == nil else { return }
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment)
    raw.copyMemory(from: cpu, byteCount: CPUState.allocationSize)
    let copy = raw.bindMemory(to: CPUState.self, capacity: 1)
    copy.pointee.general.0 = ControlledThread.interruptedCall
    changed = copy
  }

  /// The host call is over: the changed registers count. False when nothing was changed.
  func endChanging() -> Bool {
    guard let copy = changed else { return false }
    changed = nil
    UnsafeMutableRawPointer(cpu).copyMemory(from: copy, byteCount: CPUState.allocationSize)
    UnsafeMutableRawPointer(copy).deallocate()
    return true
  }

  /// -ERESTARTSYS: what the kernel shows as the result of a call that has been interrupted and will begin again.
  static let interruptedCall = UInt64(bitPattern: -512)

  /// -ENOSYS: what it shows where a call begins.
  static let noSuchCall = UInt64(bitPattern: -38)

  /// What the kernel does when such a thread goes on: the call begins again, unless a debugger has cleared `orig_rax`.
  func restartCall() {
    defer { originalRAX = .max }
    let isInterrupted = cpu.pointee.general.0 &+ 516 < 5 && cpu.pointee.general.0 != .max &- 514
    guard originalRAX < 1 << 32, isInterrupted else { return }
    cpu.pointee.rip &-= 2
    cpu.pointee.general.0 = originalRAX
  }

  /// A siginfo_t of SIGTRAP with this code (TRAP_TRACE …) and address, as ptrace(2) shows it.
  static func trap(_ code: UInt64, _ address: UInt64) -> [UInt64] {
    var result = [UInt64](repeating: 0, count: 16)
    (result[0], result[1], result[2]) = (5, code, address)
    return result
  }

  /// Its registers stay as they are until the machine runs again.
  var isQuiet: Bool { isParked || guest.isWaiting }

  /// It is in a host call that waits, at a system call that has not returned.
  public var isInHostCall: Bool { guest.isWaiting }
}
