// Threaded dispatch. A handler does its work and then calls the next operation's handler in tail position; compiled with
// optimisation that call is a jump, so that a block runs as one chain of jumps without ever growing the stack. Rules
// (Docs/engine.md): at most six integer arguments, `-O` in every configuration, nothing to clean up after the call.

import CHost
import GuestMemory
import X86

/// The interpreter's handler signature: operation, CPU, memory window, instructions that may still run.
public typealias Handler =
  @convention(c) (
    UnsafePointer<Operation>, UnsafeMutablePointer<CPUState>, UnsafeMutableRawPointer, Int64
  ) -> Void

/// Why the chain of handlers returned to the run loop (`vt_cpu_state.exit_reason`).
enum ExitReason {
  /// `rip` has to be looked up, and the branch at `exit_value` (0: none) may be linked to it.
  static let resolve: UInt32 = 0
  static let systemCall: UInt32 = 1
  /// INT n, INT3, INT1; the vector is in `exit_value`.
  static let interrupt: UInt32 = 2
  /// The instruction counter went below zero, or `attention` is set; `rip` is where to go on.
  static let budget: UInt32 = 3
  /// A trap raised by an operation of its own (`exit_value`: the vector).
  static let trap: UInt32 = 4
  /// The single instruction of a stepping block was executed.
  static let stepped: UInt32 = 5
  /// In front of an instruction that may access watched bytes; `operation` is the one that has found out.
  static let watched: UInt32 = 6
}

// PERF: both are the tail of every handler.
/// Continues with the operation after `o`.
@inline(__always) func next(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  go(o + 1, c, w, n)
}

/// Continues with operation `o`.
@inline(__always) func go(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  unsafeBitCast(o.pointee.handler, to: Handler.self)(o, c, w, n)
}

extension UnsafePointer where Pointee == Operation {
  /// Instructions from the head of the block to this branch, itself included: the bytes `c` and `d` of its operation.
  @inline(__always) var count: Int64 {
    Int64(pointee.c) | Int64(pointee.d) &<< 8
  }

  /// The operation that a branch is linked to: `displacement` counts operations.
  @inline(__always) var target: UnsafePointer<Operation> {
    self + Int(pointee.displacement)
  }
}

/// Takes a branch to operation `target`: accounts for the instructions executed and checks whether the run loop is wanted.
@inline(__always) func transfer(
  _ target: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer,
  _ n: Int64
) {
  c.pointee.remaining = n
  if n < 0 || c.pointee.attention != 0 { return leaveAt(target, c, w, n) }
  go(target, c, w, n)
}

/// Leaves before `o` because the budget is spent or somebody asked for attention.
@inline(never) func leaveAt(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  c.pointee.rip = o.pointee.rip
  c.pointee.exit_reason = ExitReason.budget
}

/// Leaves the chain with an exit reason; `rip` is where the guest goes on.
@inline(__always) func leave(
  _ c: UnsafeMutablePointer<CPUState>, _ n: Int64, rip: UInt64, _ reason: UInt32, _ value: UInt64
) {
  c.pointee.remaining = n
  c.pointee.rip = rip
  c.pointee.exit_reason = reason
  c.pointee.exit_value = value
}
