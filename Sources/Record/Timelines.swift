// Changes of the past. Something changed at an instant makes a new timeline, which branches off there: its parent, the place, and the
// changes are all that it is, so that it can be gone through again at any time, and the parent stays what it was. Each timeline has
// checkpoints of its own; in front of its branching point it has its parent's. How a changed program goes on is in Departure.swift.
//
//     0 ───●───────●───────────┬───●───────────●──────────▲
//                              │ changed
//     1                        └─●──────────●───┬───▲
//     2                                         └──────●──▲
import CHost
import Engine
import GuestMemory

/// Something that is changed.
enum Edit {
  /// Bytes of a thread's registers, at offsets in its state.
  case registers(thread: Int, pieces: [(offset: Int, bytes: [UInt8])])
  case memory(address: UInt64, bytes: [UInt8])
}

/// A change at its place. To come behind it counts as an event.
struct PlacedEdit {
  var position: TimeTravel.Position
  var edit: Edit
  /// For people: `rax = 0x5`.
  var text: String
}

/// One course of events.
struct Timeline {
  var parent = 0
  var branch = TimeTravel.Position(instant: 0)
  /// What was changed here, without what was changed in its parents.
  var edits: [PlacedEdit] = []
  var hasChildren = false
  /// How far it has been followed.
  var reached = TimeTravel.Position(instant: 0)
  /// How it ends, once that is known.
  var end: (end: ReplayEnd, instant: InstructionCount)?
  /// While it is not the present one.
  var checkpoints: [TimeTravel.Checkpoint] = []
  var spacing = TimeTravel.firstSpacing
}

/// A timeline for people.
public struct TimelineSummary: Sendable {
  public var number: Int
  public var parent: Int
  /// Where it branches off.
  public var instant: InstructionCount
  public var edits: [String]
  public var end: ReplayEnd?
  /// When it ends, or how far it has been followed.
  public var reached: InstructionCount

  /// Where it comes from, in words.
  public var origin: String {
    number == 0
      ? "what was recorded" : "from \(parent) at instant \(instant): " + edits.joined(separator: ", ")
  }
}

/// What a change has led to.
public enum EditResult: Equatable, Sendable {
  /// A new timeline of this number branches off here.
  case branched(Int)
  /// It was made in the timeline of this number, which had just branched off here.
  case added(Int)
  /// It is so already.
  case unchanged
  /// There is no such thing to be changed.
  case refused
}

extension TimeTravel {
  /// All timelines, by number.
  public var timelineSummaries: [TimelineSummary] {
    timelines.indices.map {
      let timeline = timelines[$0]
      return TimelineSummary(
        number: $0, parent: timeline.parent, instant: timeline.branch.instant,
        edits: timeline.edits.map(\.text), end: timeline.end?.end,
        reached: timeline.end?.instant ?? timeline.reached.instant)
    }
  }

  /// Where the present timeline departs from what was recorded, and how many events lie in front of that; nil: it is what was recorded.
  public var firstBranch: InstructionCount? { edits.first?.position.instant }
  public var firstBranchEvent: UInt64? { edits.first?.position.event }

  /// The timelines from the first one on that lead to the present one, it included.
  var lineage: [Int] {
    var path = [timeline]
    while let first = path.first, first != 0 { path.insert(timelines[first].parent, at: 0) }
    return path
  }

  // MARK: Changes

  /// Changes a register of a thread: `body` does it, and says whether it could.
  public func change(
    _ text: String, thread index: Int, _ body: (UnsafeMutablePointer<CPUState>) -> Bool
  ) throws(RecordingError) -> EditResult {
    guard let thread = replay.threads[index] else { return .refused }
    // SAFETY: a thread's state is so large, and lives as long as the thread.
    let state = UnsafeMutableRawBufferPointer(start: thread.cpu, count: CPUState.allocationSize)
    let old = Array(state)
    let isDone = body(thread.cpu)
    let pieces = TimeTravel.pieces(old, Array(state))
    state.copyBytes(from: old)
    if !isDone { return .refused }
    if pieces.isEmpty { return .unchanged }
    try prepareEdits()
    return try place(.registers(thread: index, pieces: pieces), text)
  }

  /// Changes memory.
  public func change(
    _ text: String, _ bytes: [UInt8], at address: UInt64
  ) throws(RecordingError) -> EditResult {
    let old = replay.memory.peek(address, count: bytes.count)
    if old.count != bytes.count { return .refused }
    if old == bytes { return .unchanged }
    // It can be written at all, if only with what it has.
    if !replay.memory.poke(old, at: address) { return .refused }
    try prepareEdits()
    return try place(.memory(address: address, bytes: bytes), text)
  }

  /// Runs of bytes that differ.
  private static func pieces(_ old: [UInt8], _ new: [UInt8]) -> [(offset: Int, bytes: [UInt8])] {
    var pieces: [(offset: Int, bytes: [UInt8])] = []
    var last = -1
    for (offset, byte) in new.enumerated() where byte != old[offset] {
      if last == offset - 1, !pieces.isEmpty {
        pieces[pieces.count - 1].bytes.append(byte)
      } else {
        pieces.append((offset, [byte]))
      }
      last = offset
    }
    return pieces
  }

  /// Goes through the whole recording once, to learn what belongs to which answer. The present stays what it is.
  private func prepareEdits() throws(RecordingError) {
    if case .exited = ending { throw .unchangeable("nothing can be changed here: the program has ended") }
    if replay.inputs?.isComplete ?? false { return }
    let (place, end) = (position, ending)
    let inputs = replay.inputs ?? RecordedInputs()
    replay.inputs = inputs
    prepare(TravelStops())
    var problem: RecordingError?
    // Events that were replayed without notes have to be replayed again.
    if let first = checkpoints.first { restore(first) }
    do {
      while ending == nil { _ = try forward(to: Position(instant: .max)) }
      inputs.isComplete = true
    } catch { problem = error }
    let isInterrupted = self.isInterrupted
    self.isInterrupted = nil
    defer { self.isInterrupted = isInterrupted }
    _ = try seek(place)
    ending = end
    if let problem { throw problem }
  }

  private func place(_ edit: Edit, _ text: String) throws(RecordingError) -> EditResult {
    var branch = timelines[timeline]
    let placed = PlacedEdit(position: position, edit: edit, text: text)
    // What has been followed further, or branched off from, stays what it is.
    let isFresh = timeline != 0 && !branch.hasChildren && branch.reached <= position
    let isHere = branch.edits.last.map {
      $0.position.instant == position.instant && $0.position.event &+ 1 == position.event
    }
    if isFresh, isHere ?? false {
      timelines[timeline].edits.append(placed)
      timelines[timeline].end = nil
      edits.append(placed)
      ending = nil
      try applyEdits()
      return .added(timeline)
    }
    var parent = timeline
    while parent != 0, position <= timelines[parent].branch { parent = timelines[parent].parent }
    timelines[parent].hasChildren = true
    branch = Timeline(parent: parent, branch: position, edits: [placed], reached: position)
    timelines.append(branch)
    enter(timelines.count - 1)
    ending = nil
    try applyEdits()
    insert(checkpoint(isNear: false))
    return .branched(timeline)
  }

  // MARK: Going there

  /// The present is in this timeline now, at the same instant, or its end. False when there is none.
  public func choose(_ number: Int) throws(RecordingError) -> Bool {
    guard timelines.indices.contains(number) else { return false }
    if number == timeline { return true }
    let target = instant
    enter(number)
    isElsewhere = true
    _ = try seek(target)
    return true
  }

  private func enter(_ number: Int) {
    (timelines[timeline].checkpoints, timelines[timeline].spacing) = (checkpoints, spacing)
    timeline = number
    (checkpoints, spacing) = (timelines[number].checkpoints, timelines[number].spacing)
    timelines[number].checkpoints = []
    let path = lineage
    edits = path.indices.flatMap { place -> [PlacedEdit] in
      let all = timelines[path[place]].edits
      if place + 1 == path.count { return all }
      return all.filter { $0.position < timelines[path[place + 1]].branch }
    }
  }

  /// The last checkpoint that leads to `target` on this timeline.
  func checkpoint(before target: Position) -> Checkpoint? {
    if let own = checkpoints.last(where: { $0.position <= target }) { return own }
    var limit = target
    var number = timeline
    while number != 0 {
      limit = min(limit, timelines[number].branch)
      number = timelines[number].parent
      let found = timelines[number].checkpoints.last { $0.position <= limit }
      if let found { return found }
    }
    return timeline == 0 ? checkpoints.first : timelines[0].checkpoints.first
  }

  /// There is no memory for the checkpoints of timelines that do not lead here.
  func forgetOtherTimelines() {
    let needed = Set(lineage)
    for number in timelines.indices where !needed.contains(number) {
      for checkpoint in timelines[number].checkpoints { store.drop(checkpoint.snapshot) }
      timelines[number].checkpoints = []
    }
  }

  /// As the replay's, but the changes of this timeline happen on the way.
  func proceed(
    to limit: InstructionCount, leavesStop: Bool = false
  ) throws(RecordingError) -> Replay.Pause? {
    guard timeline != 0 else {
      let pause = try replay.proceed(to: limit, leavesStop: leavesStop)
      if case .end(let end) = pause { timelines[0].end = (end, instant) }
      return pause
    }
    let next = edits.first { $0.position >= position }
    if let next, next.position == position {
      try apply(next)
      return nil
    }
    var nearest = limit
    if let next, next.position.instant > instant { nearest = min(nearest, next.position.instant) }
    let pause = try replay.proceed(to: nearest, leavesStop: leavesStop)
    if edits.last.map({ $0.position < position }) ?? true {
      timelines[timeline].reached = max(timelines[timeline].reached, position)
      if case .end(let end) = pause { timelines[timeline].end = (end, instant) }
    }
    if pause == .instant, nearest < limit { return nil }
    return pause
  }

  /// Makes the changes that are due at the present.
  func applyEdits() throws(RecordingError) {
    while timeline != 0, let next = edits.first(where: { $0.position == position }) { try apply(next) }
  }

  private func apply(_ next: PlacedEdit) throws(RecordingError) {
    if replay.departure == nil { replay.departure = Departure(replay.memory, length: recordedLength) }
    switch next.edit {
    case .memory(let address, let bytes):
      if !replay.memory.poke(bytes, at: address) { throw .unchangeable("this memory cannot be changed") }
    case .registers(let index, let pieces):
      guard let thread = replay.threads[index] else { throw .unchangeable("the thread is not there") }
      // SAFETY: a thread's state is so large; places beyond it are left out.
      let state = UnsafeMutableRawBufferPointer(start: thread.cpu, count: CPUState.allocationSize)
      for piece in pieces {
        for (place, byte) in piece.bytes.enumerated() where piece.offset + place < state.count {
          state[piece.offset + place] = byte
        }
      }
    }
    replay.eventCount += 1
    replay.lastKind = nil
    timelines[timeline].reached = max(timelines[timeline].reached, position)
  }

  /// Instructions of the whole recording.
  private var recordedLength: InstructionCount { timelines[0].end?.instant ?? instant }
}
