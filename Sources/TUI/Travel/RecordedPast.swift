// What a replay has told on its way: what the program wrote to its terminal, and its system calls as strace(1) prints them. A replay that
// goes back comes by the same things again; each is kept once. Both are bounded.

import Engine
import GuestMemory
import Linux
import Record

final class RecordedPast {
  private let replay: Replay
  private let names = RecordedCallText()

  /// What has been told on one timeline, what its parents told in front of it included.
  private struct Kept {
    /// Output by the number of its event, in order.
    var outputs: [(event: UInt64, bytes: [UInt8])] = []
    var outputBytes = 0
    var texts: [UInt64: String] = [:]
    /// Events that were system calls behind the place where it branches off, in order.
    var calls: [UInt64] = []
  }

  private var kept = [Kept()]
  private var timeline = 0
  /// How much of it the terminal shows.
  private var shown = 0
  private static let mostOutput = 16 << 20
  /// A screen that has to be made anew is made of the last so many bytes.
  private static let mostRepeated = 1 << 18

  private var call: RecordedCall?
  private static let mostTexts = 100_000
  /// exit(2) and exit_group(2), which have no result.
  private static let endings: Set<UInt64> = [60, 231]
  /// How many calls of this journey may still be printed: that takes longer than to replay them.
  private var allowance = RecordedPast.mostInJourney
  private static let mostInJourney = 20_000

  init(_ replay: Replay) {
    self.replay = replay
    replay.output = { [unowned self] _, _, bytes in note(bytes) }
    replay.observer = { [unowned self] cpu, isAnswered in note(cpu, isAnswered) }
  }

  /// A new timeline of this number branches off in front of `event`. It is to be chosen next.
  func branch(_ number: Int, from parent: Int, before event: UInt64) {
    guard kept.indices.contains(parent) else { return }
    var new = Kept()
    new.outputs = kept[parent].outputs.filter { $0.event < event }
    new.outputBytes = new.outputs.reduce(0) { $0 + $1.bytes.count }
    new.texts = kept[parent].texts.filter { $0.key < event }
    new.calls = kept[parent].calls.filter { $0 < event }
    while kept.count <= number { kept.append(Kept()) }
    kept[number] = new
  }

  /// What is told from now on belongs to this timeline.
  func choose(_ number: Int, _ terminal: GuestTerminal) {
    guard number != timeline, kept.indices.contains(number) else { return }
    timeline = number
    terminal.clear()
    shown = 0
  }

  /// A journey begins: so much of what is met may be written down.
  func beginJourney(wantsAll: Bool) { allowance = wantsAll ? .max : RecordedPast.mostInJourney }

  /// The line of a call that has been met.
  func text(event: UInt64) -> String? { kept[timeline].texts[event] }

  // MARK: Output

  private func note(_ bytes: [UInt8]) {
    let event = replay.eventCount
    if let last = kept[timeline].outputs.last, last.event >= event { return }
    // What is beyond the limit is not shown.
    if kept[timeline].outputBytes + bytes.count > RecordedPast.mostOutput { return }
    kept[timeline].outputBytes += bytes.count
    kept[timeline].outputs.append((event, bytes))
  }

  /// What has been written up to the present.
  func show(on terminal: GuestTerminal) {
    let outputs = kept[timeline].outputs
    let end = outputs.partitionPoint { $0.event < replay.eventCount }
    if end == shown { return }
    if end < shown {
      terminal.clear()
      shown = end
      var size = 0
      while shown > 0, size < RecordedPast.mostRepeated {
        shown -= 1
        size += outputs[shown].bytes.count
      }
    }
    for output in outputs[shown..<end] {
      // The line discipline of a terminal puts a carriage return in front of a line feed.
      terminal.show(output.bytes.flatMap { $0 == 10 ? [13, 10] : [$0] })
    }
    shown = end
  }

  // MARK: System calls

  func name(_ number: UInt64) -> String? {
    let name = names.name(number)
    return name.hasPrefix("syscall_") ? nil : name
  }

  private func note(_ cpu: UnsafeMutablePointer<CPUState>, _ isAnswered: Bool) {
    if !isAnswered {
      call = nil
      let event = replay.eventCount
      if timeline != 0, event > kept[timeline].calls.last ?? 0 { kept[timeline].calls.append(event) }
      if allowance == 0 || kept[timeline].texts[event] != nil { return }
      allowance -= 1
      call = names.begin(cpu, replay.memory)
    } else if let begun = call {
      if kept[timeline].texts.count >= RecordedPast.mostTexts { kept[timeline].texts = [:] }
      let isEnd = RecordedPast.endings.contains(begun.number)
      kept[timeline].texts[replay.eventCount] = isEnd ? begun.unanswered() : begun.text(cpu, replay.memory)
      call = nil
    }
  }

  /// A call of the recording: with its arguments, when they have been seen.
  func text(_ call: RecordingOverview.Call) -> String {
    if let known = kept[timeline].texts[call.event] { return known }
    if RecordedPast.endings.contains(call.number) { return "\(names.name(call.number))(…) = ?" }
    let result = call.result.map { Int64(bitPattern: $0) } ?? Int64(bitPattern: call.number)
    return "\(names.name(call.number))(…) = \(result)"
  }

  /// The last calls of this timeline between two events, where they are not the recording's any more.
  func calls(from first: UInt64, before end: UInt64, most: Int) -> [String] {
    kept[timeline].calls.filter { $0 >= first && $0 < end }.suffix(most)
      .map { kept[timeline].texts[$0] ?? "a system call" }
  }
}
