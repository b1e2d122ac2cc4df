// Stand-in for the machine that runs a user program, until UserMachine.swift lands: the shape that the command line is
// written against. To be deleted then.

/// What to run and how.
public struct UserMachineConfiguration: Sendable {
  /// Where the trace of system calls goes.
  public enum Trace: Sendable { case none, standardError, file([UInt8]) }

  public var program: [UInt8] = []
  public var arguments: [[UInt8]] = []
  public var environment: [[UInt8]] = []
  public var engine = "interpreter"
  public var cpuLevel = "max"
  public var trace = Trace.none
  public var wantsStatistics = false
  /// Instructions to execute at most; nil: no limit.
  public var budget: Int64?
  public var randomizeAddresses = false
  /// Show vector registers in a fault report.
  public var reportVectors = false
  /// Standard error is a terminal that wants colour.
  public var useColour = false

  public init() {}
}

/// How a guest ended.
public enum Termination: Equatable, Sendable {
  /// exit_group(2) with this code.
  case exited(Int32)
  /// Killed by a signal; a report has been written if it was a fault.
  case killed(signal: Int32)
  /// Vitrine could not start or continue; one line for people.
  case failed(String)
}

/// Runs one program.
public struct UserMachine {
  private let configuration: UserMachineConfiguration
  public init(_ configuration: UserMachineConfiguration) { self.configuration = configuration }
  public func run() -> Termination { .failed("no engine in this build") }
}
