// What an engine returns when it cannot go on alone. Engines know nothing of files or signals, personalities nothing of
// engines; this value is all that passes between them (DESIGN.md section 4).

/// How many guest instructions may be, or were, executed.
public typealias InstructionCount = Int64

/// Why `run` returned. `vt_cpu_state.rip` is where the guest goes on, or the faulting instruction for `fault`.
public enum Exit: Equatable, Sendable {
  /// SYSCALL was executed; RIP is behind it.
  case systemCall
  /// The instruction at RIP cannot complete; the state is as before it.
  case fault(Fault)
  /// INT n, INT3 (3), INT1 (1) was executed; RIP is behind it.
  case interrupt(UInt8)
  /// The budget is spent exactly.
  case budget
  /// `vt_cpu_state.attention` was set by somebody.
  case attention
  /// RIP is one of the engine's stop addresses; the instruction there has not been executed.
  case stop
}

/// A precise guest fault.
public struct Fault: Equatable, Sendable {
  public var trap: Trap
  /// The guest address of a page fault; otherwise 0.
  public var address: UInt64
  /// The page-fault error code: bit 0 page present, bit 1 write, bit 2 user, bit 4 instruction fetch. Of a general protection fault the
  /// selector that it is about, or 0.
  public var errorCode: UInt64
  /// The access was beyond the end of a mapped file (SIGBUS).
  public var isBusError: Bool

  public init(trap: Trap, address: UInt64 = 0, errorCode: UInt64 = 0, isBusError: Bool = false) {
    self.trap = trap
    self.address = address
    self.errorCode = errorCode
    self.isBusError = isBusError
  }
}
