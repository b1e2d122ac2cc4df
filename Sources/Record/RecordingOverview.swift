// A recording seen from afar, without a replay: how long it is, and when its events happen. For time lines.
import Engine

/// The events of a timeline by their instants.
public struct RecordingOverview: Sendable {
  /// A system call.
  public struct Call: Sendable {
    /// How many instructions all threads have executed when it is answered.
    public var instant: InstructionCount
    /// The event's number, from 0 on.
    public var event: UInt64
    public var number: UInt64
    /// RAX when it is answered; nil where that is what it was.
    public var result: UInt64?
  }

  public private(set) var calls: [Call] = []
  /// When signals came and faults were raised.
  public private(set) var signals: [InstructionCount] = []
  /// When another thread went on.
  public private(set) var switches: [InstructionCount] = []
  /// Instructions in all, as far as events tell.
  public private(set) var length: InstructionCount = 0

  /// Reads all events. Those that are damaged, and what follows them, are missing.
  public init(_ recording: Recording, timeline: UInt64) {
    if let source = try? EventSource(recording, timeline) { read(source) }
  }

  /// Of the events that are still to come from `source`.
  init(_ source: EventSource) { read(source) }

  private mutating func read(_ events: EventSource) {
    var source = events
    var event: UInt64 = 0
    while let record = try? source.next() {
      guard case .event(let next) = record, next.count >= 0 else { continue }
      length &+= next.count
      switch next.kind {
      case .systemCall(let number, _):
        let result = next.effect.mask & 1 != 0 ? next.effect.registers[0] : nil
        calls.append(Call(instant: length, event: event, number: number, result: result))
      case .interruption, .fault: signals.append(length)
      case .pause: switches.append(length)
      default: break
      }
      event += 1
    }
  }
}
