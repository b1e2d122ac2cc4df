// Replays a program with the children that it forked. Each child's replay begins as a copy of its parent's at the fork, in a host
// process of its own, as the child itself did. What they write comes out in the order in which it was written.
import CHost
import GuestMemory

/// What of a recording is to be replayed.
public struct ReplayRequest: Sendable {
  public var options = ReplayOptions()
  /// Only this timeline; nil: the first program and all children.
  public var timeline: UInt64?
  public var isQuiet = false
  public var onlyLists = false

  public init() {}
}

public final class FamilyReplay {
  private let recording: Recording
  private let request: ReplayRequest
  private var children: [ForkPoint: [UInt64]] = [:]
  private var timeline: UInt64 = 0
  /// The number of the next output, for all processes.
  private let turn: UnsafeMutablePointer<UInt64>?
  /// Host processes that replay children.
  private var processes: [Int64] = []
  /// A child may have written what comes first; so long it is waited for, in milliseconds, when the recording has a gap.
  private static let patience = 2000

  public init(_ recording: Recording, _ request: ReplayRequest) {
    self.recording = recording
    self.request = request
    turn = HostFile.sharedWords(8)
  }

  /// Replays, and waits for the children. `complain` gets what is wrong with one of them.
  public func run(_ complain: (String) -> Void) throws(RecordingError) -> ReplayEnd {
    timeline = request.timeline ?? 0
    let replay = try Replay(recording, timeline: timeline, request.options)
    if request.timeline == nil {
      for child in recording.timelines where child != 0 {
        guard let parent = try EventSource.parent(recording, child) else { continue }
        children[parent, default: []].append(child)
      }
      replay.forks = { [unowned self, unowned replay] in begin(at: $0, replay) }
    }
    if !request.isQuiet {
      replay.output = { [unowned self, unowned replay] descriptor, order, bytes in
        // What led to a timeline is replayed in silence.
        if request.timeline == nil || replay.events.timeline == timeline { write(descriptor, order, bytes) }
      }
    }
    var end: ReplayEnd?
    var problem: RecordingError?
    do { end = try replay.run() } catch { problem = error }
    let isChild = timeline != (request.timeline ?? 0)
    let areChildrenWell = waitForChildren()
    if isChild {
      if let problem { complain(problem.message) }
      exit(with: problem == nil && areChildrenWell ? 0 : 1)
    }
    if let problem { throw problem }
    if !areChildrenWell { throw .diverged("a child process, see above") }
    return end ?? .unfinished
  }

  /// Starts the replays of the children that fork here. In a child's process the replay goes on with its timeline.
  private func begin(at event: UInt64, _ replay: Replay) {
    guard let forks = children[ForkPoint(timeline: timeline, events: event)] else { return }
    for child in forks {
      let copied = HostFile.pipe()
      let result = HostFile.call(57)
      if result > 0 { processes.append(result) }
      if result != 0 {
        // Shared memory may not change before the child has copied it: its end of the pipe is closed then.
        if let copied { HostFile.waitForEnd(of: copied) }
        continue
      }
      timeline = child
      processes = []
      do { try replay.follow(recording, child) } catch { exit(with: 1) }
      if let copied {
        HostFile.close(copied.reading)
        HostFile.close(copied.writing)
      }
      return
    }
  }

  private func waitForChildren() -> Bool {
    var areWell = true
    for process in processes {
      var status: Int32 = 0
      _ = withUnsafeMutablePointer(to: &status) {
        HostFile.call(61, process, Int64(Int(bitPattern: $0)), 0, 0)
      }
      if status != 0 { areWell = false }
    }
    return areWell
  }

  private func exit(with code: Int64) -> Never {
    while true { _ = HostFile.call(231, code) }
  }

  /// Writes what the program wrote, when it is its turn.
  private func write(_ descriptor: UInt8, _ order: UInt64, _ bytes: [UInt8]) {
    if let turn, request.timeline == nil {
      var (waited, seen) = (0, turn.pointee)
      while turn.pointee < order, waited < FamilyReplay.patience {
        if turn.pointee != seen { (waited, seen) = (0, turn.pointee) }
        HostFile.sleepMillisecond()
        waited += 1
      }
      turn.pointee = max(turn.pointee, order)
    }
    _ = HostFile.write(bytes, to: Int32(descriptor))
    if let turn { turn.pointee = max(turn.pointee, order &+ 1) }
  }

  /// A line for each timeline.
  public func list() throws(RecordingError) -> String {
    var text = ""
    for timeline in recording.timelines {
      var reader = TimelineReader(recording, timeline)
      var start: TimelineStart?
      var events = 0
      var ending = "unfinished"
      var instructions: Int64 = 0
      while let record = try reader.next() {
        if case .start(let begin) = record { start = begin }
        guard case .event(let event) = record else { continue }
        events += 1
        instructions &+= event.count
        if case .end(let code, let signal, _) = event.kind {
          ending = signal == 0 ? "exit code \(code)" : "signal \(signal)"
        }
      }
      let origin = start?.parent.map { "from \($0.timeline) at event \($0.events)" } ?? "the first program"
      let words = (start?.arguments ?? []).map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
      text += "\(timeline)\tprocess \(start?.process ?? 0)\t\(origin)\t\(events) events\t"
      text += "\(instructions) instructions\t\(ending)\t\(words)\n"
    }
    return text
  }
}
