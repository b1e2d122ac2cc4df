// Why a thread has stopped, and what it is to do next: the words between the machine's control and whoever shows it to people.
// Plain values.

import VirtualMachine

/// Kinds of access that a watchpoint waits for.
public struct AccessKinds: OptionSet, Sendable, Hashable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  public static var read: AccessKinds { AccessKinds(rawValue: 1) }
  public static var write: AccessKinds { AccessKinds(rawValue: 2) }
  /// A write, by whatever instruction or call, that leaves other bytes than there were.
  public static var change: AccessKinds { AccessKinds(rawValue: 4) }
}

/// A range of guest memory whose accesses stop the thread that makes them, behind the instruction.
public struct Watchpoint: Equatable, Hashable, Sendable {
  /// First byte and number of bytes.
  public var address: UInt64
  public var size: UInt64
  public var kinds: AccessKinds

  public init(address: UInt64, size: UInt64, kinds: AccessKinds) {
    (self.address, self.size, self.kinds) = (address, size, kinds)
  }

  /// What it is about; it does not wrap around.
  var bytes: Range<UInt64> { address..<max(address, address &+ size) }

  func overlaps(_ start: UInt64, _ count: UInt64) -> Bool {
    // Both differences wrap around for what lies below.
    start &- address < size || address &- start < count
  }
}

/// Why a thread has stopped.
public enum StopReason: Equatable, Sendable {
  /// In front of the instruction at a breakpoint.
  case breakpoint
  /// The step, or the steps through a range, are done.
  case step
  /// Behind an instruction that accessed what is watched.
  case watchpoint(Watchpoint)
  /// Behind an instruction with which `MachineControl.condition` has begun to hold.
  case condition
  /// In front of the delivery of a signal.
  case signal(Int32)
  /// Around a system call, by its number.
  case systemCallEntry(UInt64)
  case systemCallReturn(UInt64)
  /// A child process has been made; it waits.
  case fork(child: UInt64, isVfork: Bool)
  /// The child of a vfork has executed or ended.
  case vforkDone
  /// Another program has begun, at its first instruction.
  case execute(path: [UInt8])
  /// The process is about to end.
  case end(Termination)
}

/// What a thread is to do when the machine goes on.
public enum ThreadAction: Equatable, Sendable {
  case run
  /// One instruction.
  case step
  /// Instructions as long as RIP is in this range.
  case stepRange(Range<UInt64>)
  /// Stay where it is.
  case hold
}
