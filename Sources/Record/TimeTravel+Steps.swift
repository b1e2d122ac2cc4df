// Steps of one thread of a recording, forwards and backwards. What a step is, is what it is for a machine that runs: an instruction, or a
// system call with its answer, or the beginning of a signal handler. Other threads do meanwhile what they did.
import Engine

extension TimeTravel {
  /// A step of `thread`, unless one of `stops` or the end comes first. A breakpoint where threads stand now is not met.
  public func step(_ thread: Int, _ stops: TravelStops) throws(RecordingError) -> TravelEnd {
    prepare(stops)
    defer { prepare(TravelStops()) }
    var leaves = true
    while true {
      if let ending { return .end(ending) }
      guard let due = try replay.upcoming(), due.thread == thread else {
        let next = try behindNextEvent()
        if let end = try forward(to: next, leavesStop: leaves) { return end }
        leaves = false
        continue
      }
      let events = replay.eventCount
      switch try advance(due) {
      case .end(let end): return .end(end)
      case .done:
        if let changed = takeChange(since: events) { return changed }
        return .arrived
      case .underWay: if let changed = takeChange(since: events) { return changed }
      }
    }
  }

  /// Back to where the last step of `thread` began, or to the beginning.
  public func stepBack(_ thread: Int) throws(RecordingError) -> TravelEnd {
    let present = position
    var distance: InstructionCount = 1
    while true {
      let start = max(present.instant &- distance, 0)
      _ = try seek(Position(instant: start))
      if distance == 1, try isOneStep(thread, to: present) { return .arrived }
      if let place = try lastStep(of: thread, before: present) {
        _ = try seek(place)
        return .arrived
      }
      if start == 0 {
        _ = try seek(Position(instant: 0))
        return .beginning
      }
      distance &*= 16
    }
  }

  /// Between the replay's place and `present` there is one instruction of `thread`, and nothing else.
  private func isOneStep(_ thread: Int, to present: Position) throws(RecordingError) -> Bool {
    guard position == Position(instant: present.instant &- 1, event: present.event),
      let due = try replay.upcoming(), due.thread == thread, let state = replay.threads[thread]
    else { return false }
    // Otherwise what is due at this instant is not an instruction.
    return !state.isAtCall && state.count < due.count
  }

  /// Where the last step of `thread` in front of `present` began, looking from here on.
  private func lastStep(of thread: Int, before present: Position) throws(RecordingError) -> Position? {
    var last: Position?
    while position < present {
      guard let due = try replay.upcoming(), due.thread == thread else {
        if try forward(to: min(try behindNextEvent(), present)) != nil { break }
        continue
      }
      let place = position
      let isAtCall = replay.threads[thread]?.isAtCall ?? false
      let events = replay.eventCount
      let progress = try advance(due)
      if case .end = progress { break }
      // A call that is under way has begun in front of the instruction.
      let changes = place.instant != position.instant || replay.eventCount != events && due.kind.isStep
      if changes, !isAtCall { last = place }
    }
    return last
  }

  private func behindNextEvent() throws(RecordingError) -> Position {
    guard let due = try replay.upcoming() else { return Position(instant: .max) }
    let rest = due.count &- (replay.threads[due.thread]?.count ?? due.count)
    return Position(instant: instant &+ max(rest, 0), event: replay.eventCount &+ 1)
  }

  private enum Progress {
    case done, underWay
    case end(ReplayEnd)
  }

  /// One instruction, or one event, of the thread whose event is `due`.
  private func advance(_ due: Event) throws(RecordingError) -> Progress {
    let (before, events) = (instant, replay.eventCount)
    if case .end(let end) = try replay.proceed(to: instant &+ 1, leavesStop: true) {
      ending = end
      return .end(end)
    }
    if replay.eventCount != events { return due.kind.isStep ? .done : .underWay }
    let isAtCall = replay.threads[due.thread]?.isAtCall ?? false
    return instant != before && !isAtCall ? .done : .underWay
  }
}

extension Event.Kind {
  /// Its thread stands elsewhere afterwards.
  fileprivate var isStep: Bool {
    switch self {
    case .systemCall, .interruption, .fault, .chance, .threadEnds, .end: true
    case .pause, .threadBegins: false
    }
  }
}
