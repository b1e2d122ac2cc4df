// What went into the recorded system calls. A recording has their answers only; which call an answer belongs to is found out by a replay
// that notes the inputs of each. With them a timeline in which something was changed can tell whether a call is one that the recording
// knows. Also notes what the kernel kept of earlier calls: signal actions, the program break, clocks.
import CHost
import Engine
import GuestMemory
import Linux

/// Notes about the events of a recording, in order.
final class RecordedInputs {
  /// One event that depends on more than its place.
  struct Note {
    /// The event's index in the recording.
    var event: UInt64
    var thread: Int
    /// The call; nil: the digest is of the registers.
    var call: UInt64?
    var digest: UInt64
    var instructionPointer: UInt64
    /// The first argument.
    var first: UInt64
    var outputs: [LinuxProcess.GuestBytes]
  }

  /// `struct sigaction` of a signal from an event on.
  struct Action {
    var event: UInt64
    var signal: UInt64
    var bytes: [UInt8]
  }

  /// What a clock said.
  struct ClockReading {
    var event: UInt64
    var clock: UInt64
    var nanoseconds: UInt64
    var instant: InstructionCount
  }

  private(set) var notes: [Note] = []
  private(set) var actions: [Action] = []
  private(set) var clocks: [ClockReading] = []
  private var breaks: [(event: UInt64, value: UInt64)] = []
  /// So many are kept; calls beyond are not known.
  private static let mostNotes = 2_000_000
  /// All events have been seen.
  var isComplete = false
  private let reader = CallReader()

  /// The event is about to happen to its thread.
  func note(
    _ event: Event, _ index: UInt64, _ cpu: UnsafeMutablePointer<CPUState>, _ memory: AddressSpace,
    _ instant: InstructionCount
  ) {
    if let last = notes.last, last.event >= index { return }
    if notes.count >= RecordedInputs.mostNotes { return }
    var note = Note(
      event: index, thread: event.thread, call: nil, digest: 0, instructionPointer: cpu.pointee.rip, first: 0,
      outputs: [])
    switch event.kind {
    case .systemCall(let number, _):
      let inputs = reader.read(cpu, memory)
      (note.call, note.digest, note.outputs) = (number, inputs.digest, inputs.outputs)
      note.first = inputs.arguments[0]
      keep(event, index, inputs, memory, instant)
    case .interruption, .fault, .end: note.digest = RecordedInputs.digest(cpu)
    default: return
    }
    notes.append(note)
  }

  /// A mixture of all registers but the flags.
  static func digest(_ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    var digest = CallDigest()
    let words = RegisterWords(cpu)
    for index in 0..<RegisterWords.flags { digest.add(words[index]) }
    digest.add(ExtendedRegisters.bytes(cpu))
    return digest.value
  }

  /// What the kernel remembers of a call.
  private func keep(
    _ event: Event, _ index: UInt64, _ inputs: CallInputs, _ memory: AddressSpace, _ instant: InstructionCount
  ) {
    let result =
      event.effect.mask & 1 != 0
      ? Int64(bitPattern: event.effect.registers[0]) : Int64(bitPattern: inputs.number)
    let arguments = inputs.arguments
    switch inputs.number {
    case CallNumber.brk: breaks.append((index, UInt64(bitPattern: result)))
    case CallNumber.signalAction where result == 0 && arguments[1] != 0:
      actions.append(Action(event: index, signal: arguments[0], bytes: memory.peek(arguments[1], count: 32)))
    case CallNumber.clockTime where result == 0:
      guard let time = RecordedInputs.time(event.effect, at: arguments[1], unit: 1) else { return }
      clocks.append(ClockReading(event: index, clock: arguments[0], nanoseconds: time, instant: instant))
    case CallNumber.timeOfDay where result == 0:
      guard let time = RecordedInputs.time(event.effect, at: arguments[0], unit: 1000) else { return }
      clocks.append(ClockReading(event: index, clock: 0, nanoseconds: time, instant: instant))
    case CallNumber.execute where result == 0, CallNumber.executeAt where result == 0:
      actions.append(Action(event: index, signal: 0, bytes: []))
    default: return
    }
  }

  /// Seconds and a fraction that the effect has written.
  private static func time(_ effect: StateEffect, at address: UInt64, unit: UInt64) -> UInt64? {
    for change in effect.memory {
      guard case .write(let start, let bytes) = change, start == address, bytes.count >= 16 else { continue }
      return bytes.littleEndian(UInt64.self, at: 0).flatMap { seconds in
        bytes.littleEndian(UInt64.self, at: 8).map { seconds &* 1_000_000_000 &+ $0 &* unit }
      }
    }
    return nil
  }

  // MARK: Looking up

  /// Where the notes from `event` on begin.
  private func place(of event: UInt64) -> Int { notes.partitionPoint { $0.event < event } }

  func note(of event: UInt64) -> Note? {
    let place = place(of: event)
    return place < notes.count && notes[place].event == event ? notes[place] : nil
  }

  /// The first call of `thread` from `event` on that `fits`, among so many of its calls, up to one of those that are never left out.
  func call(
    of thread: Int?, from event: UInt64, among most: Int, _ fits: (Note) -> Bool
  ) -> Note? {
    var left = most
    for note in notes[place(of: event)...] where note.call != nil {
      if let thread, note.thread != thread { continue }
      if fits(note) { return note }
      left -= 1
      if left == 0 || thread != nil && CallNumber.isLasting(note.call ?? 0) { return nil }
    }
    return nil
  }

  /// The program break in front of `event`, if it has ever been asked for.
  func programBreak(before event: UInt64) -> UInt64? { breaks.last { $0.event < event }?.value }

  /// The action of `signal` in front of `event`; empty: it was never set.
  func action(of signal: UInt64, before event: UInt64) -> [UInt8] {
    for action in actions.reversed() where action.event < event {
      // A new program begins without handlers.
      if action.signal == 0 { return [] }
      if action.signal == signal { return action.bytes }
    }
    return []
  }

  /// What the clock said last in front of `event`, else the first that it says behind.
  func reading(of clock: UInt64, before event: UInt64) -> ClockReading? {
    clocks.last { $0.event < event && $0.clock == clock } ?? clocks.first { $0.clock == clock }
  }
}

/// Calls that are looked at by number.
enum CallNumber {
  static let write: UInt64 = 1
  static let close: UInt64 = 3
  static let status: UInt64 = 5
  static let seek: UInt64 = 8
  static let control: UInt64 = 16
  static let writeVector: UInt64 = 20
  static let brk: UInt64 = 12
  static let map: UInt64 = 9
  static let protect: UInt64 = 10
  static let unmap: UInt64 = 11
  static let remap: UInt64 = 25
  static let advise: UInt64 = 28
  static let signalAction: UInt64 = 13
  static let signalMask: UInt64 = 14
  static let timeOfDay: UInt64 = 96
  static let clockTime: UInt64 = 228
  static let clone: UInt64 = 56
  static let fork: UInt64 = 57
  static let vfork: UInt64 = 58
  static let clone3: UInt64 = 435
  static let exit: UInt64 = 60
  static let exitGroup: UInt64 = 231
  static let execute: UInt64 = 59
  static let executeAt: UInt64 = 322
  static let yield: UInt64 = 24
  static let nanosleep: UInt64 = 35
  static let processNumber: UInt64 = 39
  static let kill: UInt64 = 62
  static let lock: UInt64 = 149
  static let unlock: UInt64 = 150
  static let threadNumber: UInt64 = 186
  static let threadKill: UInt64 = 200
  static let time: UInt64 = 201
  static let futex: UInt64 = 202
  static let setThreadAddress: UInt64 = 218
  static let clockNanosleep: UInt64 = 230
  static let groupThreadKill: UInt64 = 234
  static let statusAt: UInt64 = 262
  static let setRobustList: UInt64 = 273
  static let random: UInt64 = 318

  /// Calls after which another thread, process or program is there, or this one is not: none is passed over.
  static func isLasting(_ number: UInt64) -> Bool {
    switch number {
    case clone, fork, vfork, clone3, execute, executeAt, exit, exitGroup: true
    default: false
    }
  }

  /// Calls that change what is mapped.
  static func isOfMemory(_ number: UInt64) -> Bool {
    switch number {
    case map, protect, unmap, brk, remap, advise: true
    default: false
    }
  }

  /// Calls that tell something and change nothing: the answer to an equal one later is as good.
  static func onlyTells(_ number: UInt64) -> Bool {
    switch number {
    case 4, 5, 6, 16, 21, 63, 79, 89, 97, 98, 99, 102, 104, 107, 108, 110, 111, 118, 120: true
    case 204, 262, 267, 269, 302, 332, 439: true
    default: false
    }
  }
}
