// Visits any instant of a recording. An instant is the number of instructions that all threads of the process have executed; the replay
// is brought there from the nearest checkpoint in front of it. Checkpoints are taken on the way: far apart over the whole run, and
// closer together just in front of where somebody looks, so that a step backwards is as quick as one forwards.
//
//     0 ──────●────────────────●────────────────●───────────────●──────────●───●──▲
//             checkpoints, `spacing` instructions apart                    near    the present
import CHost
import Engine
import GuestMemory

/// What can stop a journey.
public struct TravelStops: Sendable {
  /// Instructions in front of which to stop.
  public var addresses: Set<UInt64> = []
  /// The same for all instructions that begin in these ranges.
  public var ranges: [Range<UInt64>] = []
  /// Bytes whose change stops, behind the instruction or system call that made it.
  public var watched: [Range<UInt64>] = []
  /// System calls behind which to stop, by number; empty: all. Nil: none.
  public var calls: Set<UInt64>?
  /// Both sides of those calls: with the arguments, and with the answer; each is a place of its own.
  public var showsBothSides = false
  /// Signals (bit n-1) in front of whose handlers to stop.
  public var signals: UInt64 = 0
  /// Stop at children that are made, and at programs that are executed.
  public var showsFamily = false
  /// Ask `TimeTravel.accessed` about each instruction that may access these bytes.
  public var accessed: [Range<UInt64>] = []

  public init() {}
}

/// Where a journey has ended.
public enum TravelEnd: Equatable, Sendable {
  /// Where it was to end.
  case arrived
  case breakpoint(UInt64)
  /// These bytes were changed by the instruction, or system call, that was last.
  case changed(Range<UInt64>)
  /// The last event was this system call.
  case systemCall(UInt64)
  /// In front of the answer to this one.
  case systemCallEntry(UInt64)
  /// In front of this signal's handler.
  case signal(Int32)
  /// The last instruction accessed these bytes.
  case accessed(Range<UInt64>)
  /// The last event made a process, or was execve(2).
  case forked(child: UInt64, isVfork: Bool)
  case executed
  /// The beginning or the end of the recording.
  case beginning
  case end(ReplayEnd)
}

public final class TimeTravel {
  struct Checkpoint {
    var position: Position
    var snapshot: Snapshot
    fileprivate var state: ReplayState
    /// Only for the time being.
    var isNear: Bool
  }

  public let replay: Replay
  let store: SnapshotStore
  /// Those of the timeline where the present is.
  var checkpoints: [Checkpoint] = []
  /// Instructions between two checkpoints that stay; doubled when there are too many.
  var spacing = TimeTravel.firstSpacing
  static let firstSpacing: InstructionCount = 4_000_000
  private static let mostCheckpoints = 64
  /// How far in front of the present the near ones are, and how many there are.
  private static let nearDistances: [InstructionCount] = [2_000_000, 100_000]
  private static let mostNear = 8
  /// Bytes of memory that checkpoints may hold.
  public var memoryLimit: UInt64
  /// Timelines by number; 0 is what was recorded (Timelines.swift).
  var timelines = [Timeline()]
  /// The one where the present is, and what was changed on the way there, in order.
  public internal(set) var timeline = 0
  var edits: [PlacedEdit] = []
  /// The replay is not where the timeline leads.
  var isElsewhere = false
  private var watch: Watch?
  /// Those of the present journey.
  private(set) var stops = TravelStops()
  /// In front of what made the last change that was noticed.
  var beforeChange = Position(instant: 0)
  var ending: ReplayEnd?
  /// Many steps follow each other: their stops stay between them.
  public var keepsStops = false {
    didSet { if !keepsStops { prepare(TravelStops()) } }
  }
  /// Asked on long journeys; true ends them with an error, wherever they are.
  public var isInterrupted: (() -> Bool)?
  /// The event that comes here has stopped somebody already, and happens when he goes on.
  var toldEvent: (position: Position, end: TravelEnd)?
  var accessVisitor: AccessVisitor?
  /// The bytes by which the instruction that is next stops.
  public var accessed: ((_ cpu: UnsafeMutablePointer<CPUState>) -> Range<UInt64>?)?
  /// Decides about stops that are met; nil: all count.
  public var accepts: ((TravelEnd) -> Bool)?
  /// So many instructions are executed before somebody is asked.
  private static let longestStretch: InstructionCount = 1_000_000

  public init(_ replay: Replay, memoryLimit: UInt64 = 1 << 30) throws(RecordingError) {
    self.replay = replay
    self.memoryLimit = memoryLimit
    let files = replay.files
    store = SnapshotStore(memory: replay.memory) { files.file(for: $0) }
    // The first instant: the program is loaded, and nothing has been executed.
    while replay.threads.isEmpty {
      if case .end(let end) = try replay.proceed(to: 0) { ending = end; break }
    }
    checkpoints = [checkpoint(isNear: false)]
  }

  public var instant: InstructionCount { replay.instant }

  /// Bytes that checkpoints occupy.
  public var checkpointBytes: UInt64 { store.bytes }
  public var checkpointCount: Int { checkpoints.count }
  public var checkpointInstants: [InstructionCount] { checkpoints.map(\.position.instant) }

  // MARK: Going

  /// A moment of the replay: several events can happen at one instant.
  struct Position: Comparable {
    var instant: InstructionCount
    var event: UInt64 = 0

    static func < (left: Position, right: Position) -> Bool {
      left.instant != right.instant ? left.instant < right.instant : left.event < right.event
    }
  }

  var position: Position { Position(instant: replay.instant, event: replay.eventCount) }

  /// Goes to an instant, in front of the events that happen there, or to the end when that comes first.
  public func seek(_ target: InstructionCount) throws(RecordingError) -> TravelEnd {
    try seek(Position(instant: max(target, 0)))
  }

  func seek(_ target: Position) throws(RecordingError) -> TravelEnd {
    prepare(TravelStops())
    toldEvent = nil
    restore(before: target)
    for distance in TimeTravel.nearDistances where target.instant &- distance > instant &+ distance {
      if let end = try forward(to: Position(instant: target.instant &- distance)) { return end }
      addNear()
    }
    if let end = try forward(to: target) { return end }
    // What is changed at an instant is changed when somebody comes there.
    if position != target { try applyEdits() }
    return target.instant == 0 ? .beginning : .arrived
  }

  /// Goes on until one of `stops`, or to the end.
  public func goOn(_ stops: TravelStops) throws(RecordingError) -> TravelEnd {
    prepare(stops)
    defer { prepare(TravelStops()) }
    while true {
      let end = try forward(to: Position(instant: .max), leavesStop: true) ?? .arrived
      if isAccepted(end) { return end }
    }
  }

  /// Goes back to the last of `stops` before the present, or to the beginning. The replay is then in front of a breakpoint's instruction,
  /// or of the instruction or system call that changed what is watched.
  public func goBack(_ stops: TravelStops) throws(RecordingError) -> TravelEnd {
    var reached = position
    let last: (position: Position, end: TravelEnd)?
    do { last = try lastStop(stops, &reached) } catch {
      guard error == .interrupted else { throw error }
      // Behind this place nothing was found.
      let isInterrupted = self.isInterrupted
      self.isInterrupted = nil
      defer { self.isInterrupted = isInterrupted }
      _ = try seek(reached)
      throw error
    }
    _ = try seek(last?.position ?? Position(instant: 0))
    if let last, last.end.isInFront { toldEvent = last }
    return last?.end ?? .beginning
  }

  private func isAccepted(_ end: TravelEnd) -> Bool {
    if case .end = end { return true }
    return accepts?(end) ?? true
  }

  /// The last stop before the present: from checkpoint to checkpoint back, until there is one on the way from there.
  private func lastStop(
    _ stops: TravelStops, _ limit: inout Position
  ) throws(RecordingError) -> (position: Position, end: TravelEnd)? {
    prepare(stops)
    defer { prepare(TravelStops()) }
    while limit.instant > 0 {
      restore(before: Position(instant: limit.instant &- 1, event: limit.event))
      toldEvent = nil
      let start = position
      var last: (position: Position, end: TravelEnd)?
      var isAtStop = false
      while position < limit, let end = try forward(to: limit, leavesStop: isAtStop) {
        if case .end = end { break }
        isAtStop = end.isInFront
        let isHere = isAtStop || stops.showsBothSides && end.isCall
        let place = isHere ? position : beforeChange
        if place < limit, isAccepted(end) { last = (place, end) }
      }
      if let last { return last }
      limit = start
    }
    return nil
  }

  /// Goes back to where the bytes were changed last.
  public func lastChange(of bytes: Range<UInt64>) throws(RecordingError) -> TravelEnd {
    var stops = TravelStops()
    stops.watched = [bytes]
    return try goBack(stops)
  }

  /// Replays forwards; what it was stopped by, nil for `target`. `leavesStop`: a breakpoint at the present is not met again.
  func forward(
    to target: Position, leavesStop: Bool = false
  ) throws(RecordingError) -> TravelEnd? {
    var leaves = leavesStop && isAtStopAddress
    while position < target {
      if let ending { return .end(ending) }
      if isInterrupted?() ?? false { throw .interrupted }
      // Events at the instant that is wanted happen when there is room for an instruction behind them.
      let next = target.instant == instant ? instant &+ 1 : target.instant
      let events = replay.eventCount
      let stretch = isInterrupted == nil ? next : min(next, instant &+ TimeTravel.longestStretch)
      let limit = leaves ? instant &+ 1 : min(stretch, max(nextCheckpoint, instant &+ 1))
      let begin = instant
      if leaves { accessVisitor?.leavesStop = instant }
      var pause = try proceed(to: limit, leavesStop: leaves)
      if instant != begin { leaves = false }
      if let visitor = accessVisitor, replay.isVisitorAtRest {
        replay.isVisitorAtRest = false
        switch visitor.finding {
        case .breakpoint: pause = .stop
        case .access(let access):
          if let found = try passAccess(access) { return found }
          continue
        }
      }
      if let found = takeChange(since: events) ?? takeEvent(since: events) { return found }
      switch pause {
      case .instant: if instant >= nextCheckpoint { addCheckpoint() }
      case .stop:
        // What is changed here comes first, and may be where to go on.
        try applyEdits()
        if let found = takeChange(since: events) { return found }
        if isAtStopAddress { return .breakpoint(replay.instructionPointer ?? 0) }
      case .end(let end):
        ending = end
        return .end(end)
      case .event: return takeHeld()
      case .attention, nil: continue
      }
    }
    return nil
  }

  private var isAtStopAddress: Bool {
    guard let stops = replay.engine.stops, let address = replay.instructionPointer else { return false }
    return stops.contains(address)
  }

  func takeChange(since events: UInt64) -> TravelEnd? {
    let isByEvent = replay.eventCount != events
    guard let changed = watch?.takeChange(looks: isByEvent) else { return nil }
    beforeChange = Position(
      instant: isByEvent ? instant : instant &- 1,
      event: isByEvent ? replay.eventCount &- 1 : replay.eventCount)
    return .changed(changed)
  }

  func prepare(_ stops: TravelStops) {
    let old = replay.engine.stops ?? StopAddresses()
    if old.addresses != stops.addresses || old.ranges != stops.ranges {
      let addresses = StopAddresses()
      for address in stops.addresses { addresses.insert(address) }
      for range in stops.ranges { addresses.insert(range) }
      replay.engine.stops = stops.addresses.isEmpty && stops.ranges.isEmpty ? nil : addresses
      replay.watcher?.stops = replay.engine.stops
      for address in old.addresses.symmetricDifference(stops.addresses) {
        replay.memory.forgetCode(at: address)
      }
      for range in old.ranges + stops.ranges { replay.memory.forgetCode(in: range) }
    }
    if let watch, watch.watched == stops.watched {
      watch.begin()
    } else {
      watch = stops.watched.isEmpty ? nil : Watch(replay, stops.watched)
    }
    self.stops = stops
    replay.holds = stops.holdsEvents ? { [unowned self] in isHeld($0, $1) } : nil
    accessVisitor =
      !stops.accessed.isEmpty && accessed != nil ? AccessVisitor(self, replay.engine.stops) : nil
    replay.visitor = accessVisitor
    replay.isVisitorAtRest = false
    if accessVisitor != nil { replay.engine.prepareForSteps() }
  }

  // MARK: Checkpoints

  private var nextCheckpoint: InstructionCount {
    (checkpoints.last { !$0.isNear }?.position ?? timelines[timeline].branch).instant &+ spacing
  }

  func checkpoint(isNear: Bool) -> Checkpoint {
    Checkpoint(position: position, snapshot: store.take(), state: ReplayState(replay), isNear: isNear)
  }

  private func addCheckpoint() {
    insert(checkpoint(isNear: false))
    if store.bytes > memoryLimit { forgetOtherTimelines() }
    while checkpoints.count(where: { !$0.isNear }) > TimeTravel.mostCheckpoints || store.bytes > memoryLimit {
      if checkpoints.count < 3 { return }
      thinOut()
    }
  }

  /// Drops every other checkpoint, but for the first one.
  private func thinOut() {
    spacing &*= 2
    var kept: [Checkpoint] = []
    var reached: InstructionCount = 0
    for checkpoint in checkpoints {
      if kept.isEmpty || !checkpoint.isNear && checkpoint.position.instant >= reached &+ spacing {
        kept.append(checkpoint)
        reached = checkpoint.position.instant
      } else {
        store.drop(checkpoint.snapshot)
      }
    }
    checkpoints = kept
  }

  /// A checkpoint at the present, for steps backwards from a little later on.
  func addNear() {
    if checkpoints.contains(where: { $0.position == position }) || store.bytes > memoryLimit { return }
    insert(checkpoint(isNear: true))
    guard checkpoints.count(where: { $0.isNear }) > TimeTravel.mostNear else { return }
    let distance = { (checkpoint: Checkpoint) in abs(checkpoint.position.instant &- self.instant) }
    let farthest = checkpoints.indices.filter { checkpoints[$0].isNear }
      .max { distance(checkpoints[$0]) < distance(checkpoints[$1]) }
    if let farthest { store.drop(checkpoints.remove(at: farthest).snapshot) }
  }

  func insert(_ checkpoint: Checkpoint) {
    // There was no memory for it.
    if !checkpoint.snapshot.isComplete { return store.drop(checkpoint.snapshot) }
    let index = checkpoints.firstIndex { $0.position > checkpoint.position } ?? checkpoints.count
    checkpoints.insert(checkpoint, at: index)
  }

  /// Lets `body` take the replay elsewhere. Afterwards it is where it was before, whatever has happened.
  func excursion(_ body: () throws(RecordingError) -> Void) throws(RecordingError) {
    let here = checkpoint(isNear: true)
    defer { store.drop(here.snapshot) }
    guard here.snapshot.isComplete else { throw .cannotOpen("there is no memory to remember the present") }
    let ended = ending
    defer {
      store.restore(here.snapshot)
      here.state.put(into: replay)
      ending = ended
      watch?.begin()
    }
    try body()
  }

  /// Goes back to the last checkpoint that is not behind `target`, unless the present is nearer.
  private func restore(before target: Position) {
    guard let best = checkpoint(before: target) else { return }
    if !isElsewhere, position <= target, position >= best.position { return }
    restore(best)
  }

  func restore(_ checkpoint: Checkpoint) {
    store.restore(checkpoint.snapshot)
    checkpoint.state.put(into: replay)
    (ending, isElsewhere) = (nil, false)
    watch?.begin()
  }
}

/// A replay's state besides memory.
fileprivate struct ReplayState {
  private struct ThreadState {
    var cpu: [UInt8]
    var count: InstructionCount
    var isAtCall: Bool
    var number: UInt64
  }

  private var threads: [Int: ThreadState] = [:]
  private let events: EventSource
  private let due: Event?
  private let running: Int
  private let instant: InstructionCount
  private let eventCount: UInt64
  private let initialStack: UInt64
  private let threadNumbers: [UInt64: UInt64]
  private let readCount: UInt64
  private let departure: Departure?

  init(_ replay: Replay) {
    (events, due, running) = (replay.events, replay.due, replay.running)
    (instant, eventCount, initialStack) = (replay.instant, replay.eventCount, replay.initialStack)
    (threadNumbers, readCount, departure) = (replay.threadNumbers, replay.readCount, replay.departure)
    for (index, thread) in replay.threads {
      let bytes = UnsafeRawBufferPointer(start: thread.cpu, count: CPUState.allocationSize)
      threads[index] = ThreadState(
        cpu: Array(bytes), count: thread.count, isAtCall: thread.isAtCall, number: thread.number)
    }
  }

  func put(into replay: Replay) {
    (replay.events, replay.due, replay.running) = (events, due, running)
    (replay.instant, replay.eventCount, replay.initialStack) = (instant, eventCount, initialStack)
    (replay.threadNumbers, replay.readCount, replay.departure) = (threadNumbers, readCount, departure)
    (replay.lastKind, replay.lastResets) = (nil, false)
    replay.threads = replay.threads.filter { threads[$0.key] != nil }
    for (index, state) in threads {
      let thread = replay.threads[index] ?? Replay.Thread(index)
      replay.threads[index] = thread
      // SAFETY: as many bytes as the state has.
      state.cpu.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(start: thread.cpu, count: CPUState.allocationSize).copyMemory(from: $0)
      }
      (thread.count, thread.isAtCall, thread.number) = (state.count, state.isAtCall, state.number)
    }
  }
}

/// Notices changes of bytes: their pages are closed to stores, and behind each store they are compared. While there are many stores
/// beside them the pages are open, and the replay stops behind each instruction that may access them (`Replay.watcher`).
private final class Watch {
  private let replay: Replay
  let watched: [Range<UInt64>]
  private var contents: [[UInt8]] = []
  private var observer: CodeObserver?
  private var isTouched = false
  /// Touches in quick succession, and when the last one was.
  private var touches = 0
  private var lastTouch: UInt64 = 0
  /// The instant up to which the pages stay open.
  private var openUntil: InstructionCount?
  private static let mostTouches = 64
  /// Quick: cycles of the time-stamp counter between two of them.
  private static let quickly: UInt64 = 200_000
  private static let openFor: InstructionCount = 4_000_000

  init(_ replay: Replay, _ watched: [Range<UInt64>]) {
    self.replay = replay
    self.watched = watched
    let observer = CodeObserver(
      hasCode: { [unowned self] in covers($0) },
      forget: { [unowned self] in if covers($0) { touch() } })
    self.observer = observer
    replay.memory.add(observer)
    begin()
  }

  deinit {
    replay.watcher = nil
    if let observer { replay.memory.remove(observer) }
  }

  /// From now on changes count.
  func begin() {
    contents = watched.map { replay.memory.peek($0.lowerBound, count: $0.count) }
    isTouched = false
    if let openUntil, replay.instant < openUntil, replay.instant > openUntil &- Watch.openFor { return }
    (openUntil, replay.watcher) = (nil, nil)
    for range in watched { replay.memory.markCode(from: range.lowerBound, to: range.upperBound) }
  }

  private func covers(_ pages: Range<UInt64>) -> Bool {
    watched.contains {
      $0.lowerBound >> Page.shift < pages.upperBound && ($0.upperBound &- 1) >> Page.shift >= pages.lowerBound
    }
  }

  /// A page is about to change: the engine comes back behind the store.
  private func touch() {
    isTouched = true
    if let thread = replay.threads[replay.running] { CPUState.attention(thread.cpu).pointee = 1 }
    let now = vt_host_time_stamp()
    touches = now &- lastTouch < Watch.quickly ? touches + 1 : 0
    lastTouch = now
    if touches < Watch.mostTouches || openUntil != nil { return }
    touches = 0
    replay.watcher = InterpreterEngine(memory: replay.memory)
    replay.watcher?.filter = WatchFilter(watched, seesReads: false)
    replay.watcher?.stops = replay.engine.stops
    if replay.watcher != nil { openUntil = replay.instant &+ Watch.openFor }
  }

  /// The bytes that have changed since the last look. `looks`: also when nothing was noticed, because an event may have mapped
  /// something there.
  func takeChange(looks: Bool) -> Range<UInt64>? {
    if !isTouched, !looks, openUntil == nil { return nil }
    if let thread = replay.threads[replay.running] { CPUState.attention(thread.cpu).pointee = 0 }
    let old = contents
    begin()
    // What is mapped now, and was not, has not been written.
    for (index, range) in watched.enumerated()
    where contents[index] != old[index] && contents[index].count == old[index].count { return range }
    return nil
  }
}
