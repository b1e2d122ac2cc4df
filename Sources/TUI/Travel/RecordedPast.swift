// What a replay has told on its way: what the program wrote to its terminal, and its system calls as strace(1) prints them. A replay that
// goes back comes by the same things again; each is kept once. Both are bounded.

import Engine
import Linux
import Record

final class RecordedPast {
  private let replay: Replay
  private let names = RecordedCallText()
  /// Output by the number of its event, in order.
  private var outputs: [(event: UInt64, bytes: [UInt8])] = []
  private var outputBytes = 0
  /// How much of it the terminal shows.
  private var shown = 0
  private static let mostOutput = 16 << 20
  /// A screen that has to be made anew is made of the last so many bytes.
  private static let mostRepeated = 1 << 18

  private var texts: [UInt64: String] = [:]
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

  func beginJourney() { allowance = RecordedPast.mostInJourney }

  // MARK: Output

  private func note(_ bytes: [UInt8]) {
    let event = replay.eventCount
    if let last = outputs.last, last.event >= event { return }
    // What is beyond the limit is not shown.
    if outputBytes + bytes.count > RecordedPast.mostOutput { return }
    outputBytes += bytes.count
    outputs.append((event, bytes))
  }

  /// What has been written up to the present.
  func show(on terminal: GuestTerminal) {
    var (low, high) = (0, outputs.count)
    while low < high {
      let middle = (low + high) / 2
      if outputs[middle].event < replay.eventCount { low = middle + 1 } else { high = middle }
    }
    if low == shown { return }
    if low < shown {
      terminal.clear()
      shown = low
      var size = 0
      while shown > 0, size < RecordedPast.mostRepeated {
        shown -= 1
        size += outputs[shown].bytes.count
      }
    }
    for output in outputs[shown..<low] {
      // The line discipline of a terminal puts a carriage return in front of a line feed.
      terminal.show(output.bytes.flatMap { $0 == 10 ? [13, 10] : [$0] })
    }
    shown = low
  }

  // MARK: System calls

  func name(_ number: UInt64) -> String? {
    let name = names.name(number)
    return name.hasPrefix("syscall_") ? nil : name
  }

  private func note(_ cpu: UnsafeMutablePointer<CPUState>, _ isAnswered: Bool) {
    if !isAnswered {
      call = nil
      if allowance == 0 || texts[replay.eventCount] != nil { return }
      allowance -= 1
      call = names.begin(cpu, replay.memory)
    } else if let begun = call {
      if texts.count >= RecordedPast.mostTexts { texts = [:] }
      let isEnd = RecordedPast.endings.contains(begun.number)
      texts[replay.eventCount] = isEnd ? begun.unanswered() : begun.text(cpu, replay.memory)
      call = nil
    }
  }

  /// A call of the recording: with its arguments, when they have been seen.
  func text(_ call: RecordingOverview.Call) -> String {
    if let known = texts[call.event] { return known }
    if RecordedPast.endings.contains(call.number) { return "\(names.name(call.number))(…) = ?" }
    let result = call.result.map { Int64(bitPattern: $0) } ?? Int64(bitPattern: call.number)
    return "\(names.name(call.number))(…) = \(result)"
  }
}
