// How a replay goes on when something of its past has been changed: instructions are executed from the changed state, and the recording
// is asked for what comes from outside. An event of it happens when it fits: a system call with the number and the inputs that the
// recording has next for the thread, a signal or a fault where all registers are what they were. Others are passed over. What the
// recording does not have is answered in OwnAnswers.swift as far as it needs nothing from outside; there the timeline ends otherwise,
// and says why. Everything depends on the changed state and the recording alone, so it is the same each time.
import CHost
import Engine
import GuestMemory
import Linux
import VirtualMachine

/// What a replay keeps besides its state once it has departed from the recording.
struct Departure {
  /// Events of these threads in front of these indices do not happen.
  var passedOver: [Int: UInt64] = [:]
  /// Mappings are no longer those of the recording: it is not asked about memory any more.
  var hasOwnLayout = false
  var hasOwnBreak = false
  /// Where the next own mapping is wished to be.
  var nextMapping: UInt64
  /// Own signal actions and masks.
  var actions: [UInt64: [UInt8]] = [:]
  var masks: [Int: UInt64] = [:]
  var randomNumbers: UInt64 = 0
  /// Nanoseconds that were slept.
  var slept: UInt64 = 0
  /// The last instant that is executed: a program that was made to run in circles has to end some day.
  var last: InstructionCount

  /// So many instructions more than the recording has in all.
  private static let mostInstructions: InstructionCount = 1_000_000_000

  init(_ memory: AddressSpace, length: InstructionCount) {
    // Far from what the recording maps, which it may still want to map.
    nextMapping = Page.down(memory.limit / 4)
    last = length &+ Departure.mostInstructions
  }
}

extension Replay {
  /// Calls of a thread that are looked through for one that fits.
  private static let mostPassedOver = 64

  /// What `proceed` is in the recording: up to and with the next event or answer, or less.
  func proceedDeparted(
    to limit: InstructionCount, leavesStop: Bool
  ) throws(RecordingError) -> Pause? {
    var leaves = leavesStop
    while true {
      if let event = due, let departure, isPassedOver(event, departure) { due = nil }
      let event = try upcoming()
      if let event, event.kind == .threadBegins {
        let thread = try self.thread(of: event)
        running = event.thread
        return try happen(event, thread)
      }
      let next = event.flatMap { threads[$0.thread] } ?? threads[running]
      guard let thread = next ?? threads.values.min(by: { $0.index < $1.index }) else {
        return .end(.unfinished)
      }
      running = thread.index
      if let event, isDue(event, thread) {
        if instant >= limit { return .instant }
        if isFitting(event, thread) {
          if let holds, holds(event, thread) { return .event }
          return try happen(event, thread)
        }
        due = nil
        continue
      }
      if instant >= limit { return .instant }
      if thread.isAtCall {
        if let holds, holds(nil, thread) { return .event }
        return try answer(thread, event)
      }
      if let departure, instant >= departure.last {
        return .end(
          .departed("here the program has run far beyond the recording: it is not followed any further"))
      }
      if let pause = try execute(thread, event, limit, leaves) { return pause.pause }
      leaves = false
    }
  }

  /// The event, which has just been read, does not happen.
  func isPassedOver(_ event: Event, _ departure: Departure) -> Bool {
    if let first = departure.passedOver[event.thread], readCount &- 1 < first { return true }
    return event.kind != .threadBegins && threads[event.thread] == nil
  }

  /// The index of the event that comes next.
  var nextIndex: UInt64 { due == nil ? readCount : readCount &- 1 }

  /// The thread has come to where the event was, as far as instructions say, or to a call, where others may go on in its place.
  private func isDue(_ event: Event, _ thread: Thread) -> Bool {
    guard event.thread == thread.index else { return false }
    switch event.kind {
    case .pause, .othersWrites: return thread.isAtCall || thread.count >= event.count
    case .interruption, .threadEnds: return thread.count >= event.count
    case .end(_, let signal, _): return signal != 0 && !Replay.isFault(signal) && thread.count >= event.count
    case .systemCall, .fault, .chance, .threadBegins: return false
    }
  }

  /// The event can happen here as it did.
  private func isFitting(_ event: Event, _ thread: Thread) -> Bool {
    switch event.kind {
    case .pause, .threadEnds, .othersWrites: return true
    default:
      guard thread.count == event.count, let note = inputs?.note(of: readCount &- 1) else { return false }
      return note.call == nil && note.digest == RecordedInputs.digest(thread.cpu)
    }
  }

  /// Execution finds these signals out by itself.
  private static func isFault(_ signal: Int32) -> Bool {
    signal > 0 && LinuxProcess.synchronousSignals >> UInt64(signal - 1) & 1 != 0
  }

  // MARK: Execution

  /// A pause that may be none: the event has happened.
  private struct Outcome { var pause: Pause? }

  /// Executes up to the next thing that is not an instruction; nil: nothing of importance has happened yet.
  private func execute(
    _ thread: Thread, _ event: Event?, _ limit: InstructionCount, _ leaves: Bool
  ) throws(RecordingError) -> Outcome? {
    var room = limit &- instant
    if let departure { room = min(room, departure.last &- instant) }
    if let event, event.thread == thread.index, waits(event) { room = min(room, event.count &- thread.count) }
    switch execute(thread, max(room, 1), leavesStop: leaves) {
    case .systemCall:
      thread.isAtCall = true
      return nil
    case .budget: return isVisitorAtRest ? Outcome(pause: .instant) : nil
    case .attention:
      CPUState.attention(thread.cpu).pointee = 0
      return Outcome(pause: .attention)
    case .stop: return Outcome(pause: .stop)
    case .interrupt(let vector):
      let signal: Int32 = vector == 3 || vector == 1 ? 5 : 11
      return Outcome(pause: try raise(signal, "interrupt \(vector)", thread, event))
    case .fault(let fault):
      if isHandled(fault) { return nil }
      if fault.trap == .generalProtection, chance.isChance(thread.cpu) {
        return try takeChance(thread, event)
      }
      let place = fault.trap == .pageFault ? "an access to \(fault.address.hexadecimal)" : "\(fault.trap)"
      let signal = GuestFault(fault, thread.cpu).signal
      return Outcome(pause: try raise(signal, place, thread, event))
    }
  }

  /// The event counts instructions.
  private func waits(_ event: Event) -> Bool {
    switch event.kind {
    case .pause, .interruption, .threadEnds, .othersWrites: return true
    case .end(_, let signal, _): return signal != 0 && !Replay.isFault(signal)
    case .systemCall, .fault, .chance, .threadBegins: return false
    }
  }

  /// An instruction raises a signal: as in the recording, or the program ends.
  private func raise(
    _ signal: Int32, _ what: String, _ thread: Thread, _ event: Event?
  ) throws(RecordingError) -> Pause? {
    if let event, event.kind == .fault, event.thread == thread.index, isFitting(event, thread) {
      return try happen(event, thread)
    }
    if hasHandler(UInt64(signal)) {
      return .end(
        .departed("here the program raises signal \(signal) (\(what)), and its handler is not followed"))
    }
    return .end(.killed(signal: signal))
  }

  /// Neither SIG_DFL nor SIG_IGN.
  func hasHandler(_ signal: UInt64) -> Bool {
    (action(of: signal).littleEndian(UInt64.self, at: 0) ?? 0) > 1
  }

  /// `struct sigaction`, or nothing.
  func action(of signal: UInt64) -> [UInt8] {
    departure?.actions[signal] ?? inputs?.action(of: signal, before: readCount) ?? []
  }

  /// The instruction at RIP has a result that is chance: the recording's next one for an instruction at the same place.
  private func takeChance(_ thread: Thread, _ event: Event?) throws(RecordingError) -> Outcome? {
    func isHere(_ event: Event) -> Bool {
      let instructionPointer = 18
      let longest: UInt64 = 15
      return event.kind == .chance && event.thread == thread.index && event.effect.mask >> 18 & 1 != 0
        && event.effect.registers[instructionPointer] &- thread.cpu.pointee.rip &- 1 < longest
    }
    if let event, isHere(event) { return Outcome(pause: try happen(event, thread)) }
    let most: UInt64 = 4096
    var source = events
    var index = readCount
    while index < readCount &+ most, let record = try source.next() {
      guard case .event(let later) = record else { continue }
      if later.thread == thread.index, case .systemCall = later.kind { break }
      if isHere(later) {
        departure?.passedOver[thread.index] = index
        return nil
      }
      index &+= 1
    }
    return Outcome(
      pause: .end(
        .departed("here the program executes an instruction whose result is chance, and not in the recording")
      ))
  }

  // MARK: Calls

  /// Answers the call that the thread stands at.
  private func answer(_ thread: Thread, _ event: Event?) throws(RecordingError) -> Pause? {
    let call = callReader.read(thread.cpu, memory)
    if let event, event.thread == thread.index, let note = inputs?.note(of: nextIndex),
      isSame(call, note, event, thread), call.number != CallNumber.exitGroup
    {
      let isOwn =
        (departure?.hasOwnLayout ?? false) && CallNumber.isOfMemory(call.number)
        && !event.effect.mapsFile
      if !isOwn { return try happen(event, call, note, thread) }
      due = nil
    }
    if let answer = ownAnswer(call, thread) { return finish(answer, call, thread) }
    let fitting = inputs?.call(of: thread.index, from: nextIndex, among: Replay.mostPassedOver) {
      $0.call == call.number && $0.digest == call.digest
    }
    if let fitting, fitting.event > nextIndex {
      // When it is due, it is the one that fits.
      departure?.passedOver[thread.index] = fitting.event
      departure?.hasOwnLayout = true
      return nil
    }
    if CallNumber.onlyTells(call.number), let later = try laterAnswer(to: call) {
      for case .write(let start, let bytes) in later.effect where !memory.poke(bytes, at: start) { break }
      return finish(.result(Int64(bitPattern: later.result)), call, thread)
    }
    if let answer = lastAnswer(call) { return finish(answer, call, thread) }
    var text = callText.begin(thread.cpu, memory).unanswered()
    if text.hasSuffix(" = ?") { text.removeLast(4) }
    return .end(.departed("here the program asks for something that the recording does not know: \(text)"))
  }

  /// The call is the one of this event.
  private func isSame(
    _ call: CallInputs, _ note: RecordedInputs.Note, _ event: Event, _ thread: Thread
  ) -> Bool {
    guard note.call == call.number, note.digest == call.digest, case .systemCall = event.kind else {
      return false
    }
    // RAX, the bases of FS and GS; others go where the call is.
    let own: UInt32 = 1 | 3 << 16
    let isElsewhere = note.instructionPointer != thread.cpu.pointee.rip
    return !isElsewhere || event.effect.mask & ~own == 0 || event.effect.resets
  }

  /// The recorded answer, with what it writes where this call wants it.
  private func happen(
    _ event: Event, _ call: CallInputs, _ note: RecordedInputs.Note, _ thread: Thread
  ) throws(RecordingError) -> Pause? {
    var moved = event
    moved.effect.memory = relocated(event.effect.memory, call, note)
    if let departure, departure.hasOwnLayout, let taken = firstTaken(moved.effect.memory, call) {
      return .end(
        .departed("here the recording maps memory at \(taken.hexadecimal), where there is something else now")
      )
    }
    if event.effect.resets {
      departure?.hasOwnBreak = false
      departure?.hasOwnLayout = false
    }
    return try happen(moved, thread)
  }

  /// Where a new mapping of the recording's would hide one of this timeline.
  private func firstTaken(_ changes: [MemoryEffect], _ call: CallInputs) -> UInt64? {
    let fixed: UInt64 = 0x10
    guard call.number == CallNumber.map, call.arguments[3] & fixed == 0 else { return nil }
    for change in changes {
      guard case .change(.map(let region, _)) = change else { continue }
      if !memory.regions(from: region.start, to: region.end).isEmpty { return region.start }
    }
    return nil
  }

  private func relocated(
    _ changes: [MemoryEffect], _ call: CallInputs, _ note: RecordedInputs.Note
  ) -> [MemoryEffect] {
    if note.outputs == call.outputs { return changes }
    return changes.map { change in
      guard case .write(let start, let bytes) = change else { return change }
      for (old, new) in zip(note.outputs, call.outputs)
      where start >= old.address && start &- old.address < max(old.size, 1) {
        return .write(start: new.address &+ (start &- old.address), bytes: bytes)
      }
      return change
    }
  }

  /// What the recording answers later to an equal call that only tells something.
  private func laterAnswer(
    to call: CallInputs
  ) throws(RecordingError) -> (result: UInt64, effect: [MemoryEffect])? {
    let most = 4096
    let found = inputs?.call(of: nil, from: nextIndex, among: most) {
      $0.call == call.number && $0.digest == call.digest
    }
    guard let found else { return nil }
    var event = due
    var source = events
    var next = readCount
    while next <= found.event {
      guard let record = try source.next() else { return nil }
      guard case .event(let later) = record else { continue }
      next &+= 1
      event = later
    }
    guard let event else { return nil }
    let result = event.effect.mask & 1 != 0 ? event.effect.registers[0] : call.number
    return (result, relocated(event.effect.memory, call, found))
  }

  /// The call has been answered without an event.
  private func finish(_ answer: OwnAnswer, _ call: CallInputs, _ thread: Thread) -> Pause? {
    observer?(thread.cpu, false)
    visitor?.willHappen(.systemCall(call.number), place(of: thread))
    if case .ends(let end) = answer {
      observer?(thread.cpu, true)
      return .end(end)
    }
    if case .result(let result) = answer { thread.cpu.pointee.general.0 = UInt64(bitPattern: result) }
    thread.isAtCall = false
    observer?(thread.cpu, true)
    visitor?.didHappen(
      .systemCall(call.number), place(of: thread), changesMappings: CallNumber.isOfMemory(call.number),
      resets: false)
    eventCount += 1
    (lastKind, lastResets) = (.systemCall(number: call.number, output: nil), false)
    return nil
  }
}

extension StateEffect {
  /// A file is mapped.
  var mapsFile: Bool {
    memory.contains {
      if case .change(.map(_, let file)) = $0 { return file != 0 }
      return false
    }
  }
}
