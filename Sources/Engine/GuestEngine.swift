// What every engine offers to the run loop (DESIGN.md section 4): the shape of a hypervisor's virtual CPU. The
// interpreter and the translator conform; whoever runs guests or tests engines names no other type.

import GuestMemory

/// Executes guest instructions of one address space.
public protocol GuestEngine: AnyObject {
  /// Instructions executed since creation; only as exact as the engine was asked to count.
  var instructionCount: InstructionCount { get }
  /// Whether guests may use AVX-512: the engine executes it, and the host has what x86-64-v4 asks for.
  var executesVectors512: Bool { get }
  /// Runs `cpu` until it needs the outside world, at most `budget` instructions.
  func run(_ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount) -> Exit
  /// Forgets everything derived from guest code; for whoever changes guest memory behind the address space's back.
  func flush()
  /// Whether `observer` is the engine's own.
  func observes(_ observer: CodeObserver) -> Bool
}

extension GuestEngine {
  public var executesVectors512: Bool { false }
}
