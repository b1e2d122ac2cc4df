// Steps of one thread of a recording, forwards and backwards. What a step is, is what it is for a machine that runs: an instruction, or a
// system call with its answer, or the beginning of a signal handler. Other threads do meanwhile what they did.
import Engine

extension TimeTravel {
  /// A step of `thread`, unless one of `stops` or the end comes first. A breakpoint where threads stand now is not met.
  public func step(_ thread: Int, _ stops: TravelStops) throws(RecordingError) -> TravelEnd {
    prepare(stops)
    defer { if !keepsStops { prepare(TravelStops()) } }
    var leaves = true
    while true {
      if let ending { return .end(ending) }
      guard try nextThread() == thread else {
        if let end = try passOther(leavesStop: leaves) { return end }
        leaves = false
        continue
      }
      let (events, start) = (replay.eventCount, position)
      let access = nextAccess()
      switch try advance() {
      case .end(let end): return .end(end)
      case .held: return takeHeld()
      case .done:
        if let changed = takeChange(since: events) ?? takeEvent(since: events) { return changed }
        if let access, instant != start.instant {
          beforeChange = start
          return .accessed(access)
        }
        try applyEdits()
        return .arrived
      case .underWay: if let changed = takeChange(since: events) { return changed }
      }
    }
  }

  /// The thread that goes on; nil at the end of what was recorded.
  private func nextThread() throws(RecordingError) -> Int? {
    if let due = try replay.upcoming() { return due.thread }
    return replay.departure == nil ? nil : replay.running
  }

  /// Another thread goes on, up to its next event; what it was stopped by. Not beyond `limit`.
  private func passOther(
    leavesStop: Bool, before limit: Position = Position(instant: .max)
  ) throws(RecordingError) -> TravelEnd? {
    let due = try replay.upcoming()
    let rest = due.map { $0.count &- (replay.threads[$0.thread]?.count ?? $0.count) } ?? .max &- instant
    if replay.departure == nil {
      let place = Position(instant: instant &+ max(rest, 0), event: replay.eventCount &+ 1)
      return try forward(to: min(place, limit), leavesStop: leavesStop)
    }
    // A thread that has departed may come to its call sooner, and then it may be the other one's turn.
    let events = replay.eventCount
    let target = min(instant &+ max(rest, 1), limit.instant)
    let pause = try proceed(to: max(target, instant &+ 1), leavesStop: leavesStop)
    if let changed = takeChange(since: events) { return changed }
    if isInterrupted?() ?? false { throw .interrupted }
    switch pause {
    case .stop: return .breakpoint(replay.instructionPointer ?? 0)
    case .end(let end):
      ending = end
      return .end(end)
    case .event: return takeHeld()
    case .instant, .attention, nil: return nil
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
      try nextThread() == thread, let state = replay.threads[thread]
    else { return false }
    // Otherwise what is due at this instant is not an instruction.
    let isInFront = replay.departure != nil || state.count < replay.due?.count ?? 0
    return !state.isAtCall && isInFront
  }

  /// Where the last step of `thread` in front of `present` began, looking from here on.
  private func lastStep(of thread: Int, before present: Position) throws(RecordingError) -> Position? {
    var last: Position?
    while position < present {
      try applyEdits()
      if position >= present { break }
      guard try nextThread() == thread else {
        if try passOther(leavesStop: false, before: present) != nil { break }
        continue
      }
      let place = position
      let isAtCall = replay.threads[thread]?.isAtCall ?? false
      let events = replay.eventCount
      let isStep = replay.due?.kind.isStep ?? false
      let progress = try advance()
      if case .end = progress { break }
      // A call that is under way has begun in front of the instruction.
      let changes =
        place.instant != position.instant
        || replay.eventCount != events && (isStep || replay.lastCall != nil)
      if changes, !isAtCall { last = place }
    }
    return last
  }

  private enum Progress {
    case done, underWay
    /// An event is held.
    case held
    case end(ReplayEnd)
  }

  /// One instruction, or one event, of the thread that is next.
  private func advance() throws(RecordingError) -> Progress {
    let (before, events) = (instant, replay.eventCount)
    let isStep = try replay.upcoming()?.kind.isStep ?? false
    switch try proceed(to: instant &+ 1, leavesStop: true) {
    case .end(let end):
      ending = end
      return .end(end)
    case .event: return .held
    default: break
    }
    if replay.eventCount != events { return isStep || replay.lastCall != nil ? .done : .underWay }
    let isAtCall = replay.threads[replay.running]?.isAtCall ?? false
    return instant != before && !isAtCall ? .done : .underWay
  }
}

extension Event.Kind {
  /// Its thread stands elsewhere afterwards.
  fileprivate var isStep: Bool {
    switch self {
    case .systemCall, .interruption, .fault, .chance, .threadEnds, .end: true
    case .pause, .threadBegins, .othersWrites: false
    }
  }
}
