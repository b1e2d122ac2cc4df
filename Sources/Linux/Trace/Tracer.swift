// Prints system calls and signals in strace's format (strace(1)), driven by the declarations. One line a call, written
// when the call returns, as strace does for one process.
import GuestMemory
import LinuxABI

/// The sink and the state of a trace.
final class Tracer {
  let descriptor: Int32
  let host: Host
  /// The beginning of the line of the call in progress.
  var line = TraceText()

  init(descriptor: Int32, host: Host) {
    self.descriptor = descriptor
    self.host = host
  }

  func enter(_ call: SystemCall, _ signature: Signature, _ arguments: Arguments, _ memory: AddressSpace) {}
  func leave(
    _ call: SystemCall, _ signature: Signature, _ arguments: Arguments, _ result: Int64,
    _ memory: AddressSpace
  ) {}
  func interrupted(
    _ call: SystemCall, _ signature: Signature, _ arguments: Arguments, _ memory: AddressSpace, restarts: Bool
  ) {}
  func end(_ call: SystemCall, _ outcome: Outcome) {}
  func unknown(_ number: UInt64, _ arguments: Arguments) {}
  func signal(_ information: [UInt64]) {}
  func killed(_ signal: Int32) {}
  func badFrame() {}
}

struct TraceText {}
