// Looks for the instants at which something holds: what lies between is executed once more, instruction by instruction.
import CHost
import Engine

extension TimeTravel {
  /// Where a search backwards has ended.
  public enum ConditionFound: Sendable {
    /// Where it began to hold, and holds since.
    case began
    /// The last instant at which it held.
    case held
  }

  /// How far back is looked at first, and by what further looks are longer. What they repeat costs a seventh.
  private static let firstLook: InstructionCount = 1 << 16
  private static let growth: InstructionCount = 8

  /// Goes to where `holds` is next true in front of an instruction of `thread` behind one where it is not. False: there is no such
  /// instant, and the present is what it was.
  public func goOn(
    toWhere holds: @escaping (UnsafeMutablePointer<CPUState>) -> Bool, thread: Int
  ) throws(RecordingError) -> Bool {
    let visitor = ConditionVisitor(replay, thread, holds)
    visitor.rests = true
    let isComplete = try show(visitor, from: instant, to: .max, isInterrupted: isInterrupted ?? { false })
    guard visitor.isAtRest, let place = visitor.beginning else {
      if isComplete { return false }
      throw .interrupted
    }
    _ = try seek(place)
    return true
  }

  /// Goes back to the last instant before the present at which `holds` is true for `thread`; where it is true at the present, to where
  /// it became so. Nil: there is no such instant.
  public func goBack(
    toWhere holds: @escaping (UnsafeMutablePointer<CPUState>) -> Bool, thread: Int
  ) throws(RecordingError) -> ConditionFound? {
    let end = instant
    let isPresent = replay.threads[thread].map { holds($0.cpu) } ?? false
    var length = TimeTravel.firstLook
    while true {
      let start = max(end &- length, 0)
      let visitor = ConditionVisitor(replay, thread, holds)
      visitor.isAtBeginning = start == 0
      guard try show(visitor, from: start, to: end, isInterrupted: isInterrupted ?? { false }) else {
        throw .interrupted
      }
      let goesOn = isPresent && visitor.isHolding ?? false
      if let place = goesOn ? visitor.beginning : visitor.last {
        _ = try seek(place)
        return goesOn ? .began : .held
      }
      if start == 0 { return nil }
      length &*= TimeTravel.growth
    }
  }
}

/// Asks about each instruction of one thread, in front of it.
private final class ConditionVisitor: ReplayVisitor {
  private let replay: Replay
  private let thread: Int
  private let holds: (UnsafeMutablePointer<CPUState>) -> Bool
  /// The answer in front of the instruction that was last; nil: there was none.
  private(set) var isHolding: Bool?
  /// The last place where it held, and the last one that began a stretch in which it does.
  private(set) var last: TimeTravel.Position?
  private(set) var beginning: TimeTravel.Position?
  /// The first instruction is the thread's first one: where it holds it begins to.
  var isAtBeginning = false
  /// Comes to rest at the first beginning.
  var rests = false
  private(set) var isAtRest = false

  init(_ replay: Replay, _ thread: Int, _ holds: @escaping (UnsafeMutablePointer<CPUState>) -> Bool) {
    (self.replay, self.thread, self.holds) = (replay, thread, holds)
  }

  func willExecute(_ visited: VisitedThread) -> Bool {
    if visited.index != thread { return true }
    let isTrue = holds(visited.cpu)
    if isTrue {
      let place = TimeTravel.Position(instant: visited.instant, event: replay.eventCount)
      last = place
      if !(isHolding ?? !isAtBeginning) {
        beginning = place
        isAtRest = rests
      }
    }
    isHolding = isTrue
    return !isAtRest
  }

  func didExecute(_ thread: VisitedThread, isComplete: Bool) {}
  func willHappen(_ event: VisitedEvent, _ thread: VisitedThread) {}
  func didHappen(_ event: VisitedEvent, _ thread: VisitedThread, changesMappings: Bool, resets: Bool) {}
}
