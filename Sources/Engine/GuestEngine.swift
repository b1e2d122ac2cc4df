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
  /// Executes the one instruction at RIP, wherever stop addresses are: `.budget` when that is done.
  func step(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit
  /// Many steps will follow: the engine may keep what it needs for them.
  func prepareForSteps()
  /// Where `run` is to stop; nil: nowhere. The code at an address that joins or leaves the set has to be forgotten by the
  /// engine (`AddressSpace.forgetCode`).
  var stops: StopAddresses? { get set }
  /// Forgets everything derived from guest code; for whoever changes guest memory behind the address space's back.
  func flush()
  /// Whether `observer` is the engine's own.
  func observes(_ observer: CodeObserver) -> Bool
}

extension GuestEngine {
  public var executesVectors512: Bool { false }

  public func step(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit { run(cpu, budget: 1) }

  public func prepareForSteps() {}

  /// An engine that does not stop.
  public var stops: StopAddresses? {
    get { nil }
    set {}
  }
}

/// Guest addresses in front of which engines return `Exit.stop`. Shared by the engines of one address space, and changed under
/// its lock. No block begins at such an address or runs across it, so guest memory stays as it is, and code elsewhere costs
/// nothing.
public final class StopAddresses {
  public private(set) var addresses: Set<UInt64> = []
  /// All of their addresses stop.
  public private(set) var ranges: [Range<UInt64>] = []

  public init() {}

  public func contains(_ address: UInt64) -> Bool {
    addresses.contains(address) || !ranges.isEmpty && ranges.contains { $0.contains(address) }
  }

  public func insert(_ address: UInt64) { addresses.insert(address) }

  public func remove(_ address: UInt64) { addresses.remove(address) }

  public func insert(_ range: Range<UInt64>) { ranges.append(range) }

  public func remove(_ range: Range<UInt64>) {
    if let place = ranges.firstIndex(of: range) { ranges.remove(at: place) }
  }

  public func removeAll() { (addresses, ranges) = ([], []) }
}
