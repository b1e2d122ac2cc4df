// What the last stretch of instructions in front of the present did to memory. It is worked out by replaying that stretch once more when
// somebody wants to see it and the present is another one; a key breaks it off, and then it begins anew when nothing else is to be done.

import Record
import Trace

/// What is known of the last stretch.
struct Watching {
  var record: AccessRecord?
  /// The event that was next.
  var event: UInt64 = 0
  var tables: AccessTables?
  /// Instructions.
  var stretch: Int64 = 200_000
  /// Where it took too long, or could not be done.
  var failedAt: Int64?
  /// Somebody has pressed a key: what takes long is to end.
  var hasKeys: () -> Bool = { false }
  /// Milliseconds that it took the last time.
  var cost: Int64 = .max
}

extension RecordedMachine {
  /// Milliseconds: what takes longer is given up.
  private static let patience: Int64 = 3000
  /// As many may pass before a frame is drawn.
  private static let quick: Int64 = 25
  /// Instructions between two presents that are close to each other.
  private static let close: Int64 = 10_000
  /// Longest stretch whose accesses are remembered.
  static let longestStretch: Int64 = 2_000_000

  var activity: AccessRecord? {
    guard let record = watching.record, record.to == travel.instant, watching.event == replay.eventCount
    else { return nil }
    return record
  }

  var stretch: Int64? {
    get { watching.stretch }
    set {
      watching.stretch = max(1, min(newValue ?? 1, RecordedMachine.longestStretch))
      forgetActivity()
    }
  }

  /// On another timeline other things have happened.
  func forgetActivity() { (watching.record, watching.failedAt) = (nil, nil) }

  /// The present's stretch is still to be looked at.
  var isActivityStale: Bool { activity == nil && watching.failedAt != travel.instant }

  /// It takes no longer than a person notices: the present is close to where somebody looked before.
  var activityIsQuick: Bool {
    guard let record = watching.record else { return false }
    return watching.cost <= RecordedMachine.quick && abs(record.to - travel.instant) < RecordedMachine.close
  }

  func updateActivity(_ isInterrupted: @escaping () -> Bool) -> Bool {
    if activity != nil { return true }
    let begin = System.now
    let to = travel.instant
    var isTooLong = false
    func ends() -> Bool {
      if System.now - begin > RecordedMachine.patience { isTooLong = true }
      return isTooLong || isInterrupted() || watching.hasKeys()
    }
    var found: AccessRecord?
    var hasFailed = false
    do throws(RecordingError) {
      found = try look(max(0, to - watching.stretch)..<to, keepsAccesses: true, ends)
    } catch { hasFailed = true }
    watching.cost = System.now - begin
    guard let record = found else {
      if isTooLong || hasFailed { watching.failedAt = to }
      return false
    }
    (watching.record, watching.event) = (record, replay.eventCount)
    let last = record.lastAccesses
    if let read = last.read { lastRead = read }
    if let write = last.write { lastWrite = write }
    return true
  }

  func executions(_ instants: Range<Int64>) throws(CommandError) -> AccessRecord? {
    var found: AccessRecord?
    do throws(RecordingError) { found = try look(instants, keepsAccesses: false, watching.hasKeys) } catch {
      throw CommandError(error.message)
    }
    guard let found else { throw CommandError("a key has stopped it") }
    return found
  }

  /// Nil: `isInterrupted` has ended it.
  private func look(
    _ instants: Range<Int64>, keepsAccesses: Bool, _ isInterrupted: @escaping () -> Bool
  ) throws(RecordingError) -> AccessRecord? {
    let tables =
      watching.tables.flatMap { $0.isFull ? nil : $0 } ?? AccessTables(replay.memory, replay.objects)
    watching.tables = tables
    // The replay goes to where other things may be mapped, and comes back.
    tables.mappingsChanged()
    defer { tables.mappingsChanged() }
    let recorder = AccessRecorder(tables, keepsAccesses: keepsAccesses, isInterrupted: isInterrupted)
    recorder.setStretch(instants.lowerBound, instants.upperBound)
    defer { replay.objects.refresh() }
    let isDone = try travel.show(
      recorder, from: instants.lowerBound, to: instants.upperBound, isInterrupted: isInterrupted)
    if !isDone { return nil }
    tables.mappingsChanged()
    return recorder.record
  }
}
