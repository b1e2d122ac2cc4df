// What is to be traced, and in which forms it is to be written. Plain values, made by the command line.
import Engine
import Record

/// A form of trace. Docs/trace.md describes each.
public enum TraceFormat: String, CaseIterable, Sendable {
  case instructions, accesses, calls, callgrind, chrome, collapsed, coverage, lcov, map

  /// One line, for help and messages.
  public static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}

/// Code that is to be traced.
public enum TraceSelection: Sendable {
  /// The function, or object, of this name.
  case symbol([UInt8])
  /// Addresses of the guest.
  case range(Range<UInt64>)
}

public struct TraceRequest: Sendable {
  public struct Output: Sendable {
    public var format: TraceFormat
    /// Nil: standard output.
    public var path: [UInt8]?

    public init(_ format: TraceFormat, path: [UInt8]?) { (self.format, self.path) = (format, path) }
  }

  public var outputs: [Output] = []
  /// Only instructions there; empty: all.
  public var selections: [TraceSelection] = []
  /// The first instant, and the one that ends the trace.
  public var from: InstructionCount = 0
  public var to = InstructionCount.max
  /// Instructions at most.
  public var limit = InstructionCount.max
  public var timeline: UInt64 = 0
  /// Calls with the six registers that arguments are passed in.
  public var showsArguments = false
  /// Accesses with what was read or written.
  public var showsValues = false
  /// Cells of a map: over time, and over addresses.
  public var columns = 240
  public var rows = 160
  public var replay = ReplayOptions()

  public init() {}
}

/// Why there is no trace.
public struct TraceProblem: Error, Sendable {
  public let message: String
  public init(_ message: String) { self.message = message }
}
