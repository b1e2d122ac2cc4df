// Who steers the threads of a machine: a debugger, or a recorder. The run loop asks it to run guest code and to answer system
// calls in its stead, so that it can stop threads at exact instructions and look at everything in between. Without one
// the run loop goes its usual way at the price of a comparison for each exit of the engine.

import CHost
import Engine
import GuestMemory
import Linux

/// Every call comes from the guest thread concerned, which holds the address space's lock; the callee may give it up to wait.
public protocol MachineController: AnyObject {
  /// The address space exists, and nothing has been mapped.
  func prepare(_ memory: AddressSpace)
  /// Runs are to be repeatable: instructions are counted, in each thread, chance is trapped, and clocks are read by system calls.
  var isRepeatable: Bool { get }
  /// Translated code may make calls by itself, and log them.
  var logsCalls: Bool { get }
  /// The program is loaded, and its first thread is about to run on `cpu`. What is in the way, or nil.
  func begin(_ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>) -> String?
  /// Runs guest code as the engine does.
  func run(
    _ engine: any GuestEngine, _ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount
  ) -> Exit
  /// Has the process answer a system call.
  func systemCall(_ cpu: UnsafeMutablePointer<CPUState>) -> Outcome
  /// Has the process deal with an exit that is no system call: a fault, an interrupt, a call for attention.
  func deliver(_ exit: Exit, _ cpu: UnsafeMutablePointer<CPUState>, _ body: () -> Outcome) -> Outcome
  /// The thread of `cpu` is no more.
  func threadEnds(_ cpu: UnsafeMutablePointer<CPUState>)
  /// The process is about to end.
  func ends(_ termination: Termination, _ cpu: UnsafeMutablePointer<CPUState>)
  /// This is a forked child, whose only thread is the caller.
  func forked()
}

extension MachineController {
  public func prepare(_ memory: AddressSpace) {}

  public var isRepeatable: Bool { false }
  public var logsCalls: Bool { false }

  public func deliver(
    _ exit: Exit, _ cpu: UnsafeMutablePointer<CPUState>, _ body: () -> Outcome
  ) -> Outcome { body() }
}
