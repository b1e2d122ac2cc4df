// What panels look at and commands act on: a program at one instant. It is a machine that lives (LiveMachine) or one that has lived
// (RecordedMachine), which can be moved back in time as well; panels and most commands need not know which. Everything is called by
// the debugger's thread.

import Debugger
import GuestMemory
import Record
import Trace
import VirtualMachine

/// What the program is doing.
enum Condition: Equatable {
  /// Stands still; why.
  case stopped(Stop)
  case running
  /// Has ended; what is left can be looked at.
  case ended(Termination)
}

/// Why a program stands still.
struct Stop: Equatable {
  enum Kind: String {
    case start, breakpoint, step, watchpoint, signal, systemCall = "system call", execute, fork, interrupt
  }
  var kind: Kind
  /// One line for people.
  var text: String
}

/// A way to go on.
indirect enum Movement: Equatable {
  /// So many instructions of the current thread.
  case step(Int)
  /// The same, but calls and repeated string operations are one.
  case next(Int)
  /// So many source lines of the current thread: to the beginning of another one.
  case stepLine(Int)
  /// The same, but calls are part of their line.
  case nextLine(Int)
  /// Until the current function has returned.
  case finish
  /// Until somewhere execution gets to one of these places.
  case until([CodePlace])
  /// Until this begins to hold for the current thread; backwards: to where it last held, or began to.
  case when(Expression)
  /// Until a system call like this one has returned.
  case call(CallPattern)
  case go
  /// The same way backwards: `finish` to the call of the current function.
  case back(Movement)
  /// To an instant of a recording; nil: to its end.
  case seek(Int64?)
  /// Back to what changed these bytes last.
  case lastChange(Range<UInt64>)

  /// It needs a past.
  var isThroughTime: Bool {
    switch self {
    case .back, .seek, .lastChange: true
    default: false
    }
  }
}

/// Where a program stands in the time of its recording. Instants are instructions that all threads have executed.
struct TimeLine {
  var present: Int64
  /// Of the whole recording.
  var length: Int64
  var checkpoints: [Int64]
  var checkpointBytes: UInt64
  /// Recorded events in front of the present.
  var eventCount: UInt64
  var overview: RecordingOverview
  /// The timeline that is shown; 0: what was recorded.
  var timeline = 0
  /// Where it departs from what was recorded, by a change.
  var branch: Int64?
}

/// Registers of one thread at one instant.
struct Registers {
  /// rax … r15 by name, rip, rflags, fs_base, gs_base, orig_rax, mxcsr.
  var values: [String: UInt64] = [:]
  /// xmm0 … zmm31, st0 … st7: bytes, least significant first.
  var vectors: [String: [UInt8]] = [:]

  var rip: UInt64 { values["rip"] ?? 0 }
  var rsp: UInt64 { values["rsp"] ?? 0 }
  var flags: UInt64 { values["rflags"] ?? 0 }

  static let generalNames = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
  ]
  static let flagNames: [(bit: UInt64, name: String)] = [
    (0, "CF"), (2, "PF"), (4, "AF"), (6, "ZF"), (7, "SF"), (8, "TF"), (10, "DF"), (11, "OF"), (18, "AC"),
    (21, "ID"),
  ]
}

extension Registers {
  /// All that `file` has, as `read` gives them.
  init(_ file: RegisterFile, _ read: (RegisterDescription) -> [UInt8]) {
    for register in file.registers {
      let bytes = read(register)
      if bytes.count <= 8 {
        values[register.name] = bytes.littleEndianNumber
      } else {
        vectors[register.name] = bytes
      }
    }
    values["rflags"] = values["eflags"]
    // gdb's parts of a vector register together.
    for number in 0..<32 {
      guard let low = vectors["xmm\(number)"], let high = vectors["ymm\(number)h"] else { continue }
      vectors["ymm\(number)"] = low + high
      if let top = vectors["zmm\(number)h"] { vectors["zmm\(number)"] = low + high + top }
    }
  }
}

/// A thread in a list.
struct ThreadSummary {
  var number: UInt64
  var rip: UInt64
  var isWaiting: Bool
}

/// System calls that somebody looks for.
struct CallPattern: Equatable {
  /// Empty: all.
  var numbers: Set<UInt64> = []
  /// Part of its line in the trace of calls.
  var text: String?
  /// Of the registers behind it: its arguments, and its result.
  var condition: Expression?
}

/// A place where to stop.
struct Breakpoint: Equatable {
  enum Kind: Equatable {
    case code
    /// All instructions of a range.
    case range(size: UInt64)
    case data(size: UInt64, AccessKinds)

    /// Bytes.
    var size: UInt64 {
      switch self {
      case .code: 1
      case .range(let size), .data(let size, _): size
      }
    }
    var isData: Bool {
      if case .data = self { return true }
      return false
    }
  }
  var number: Int
  var kind: Kind
  var address: UInt64
  /// What the person typed.
  var place: String
  /// The inlined call that begins there, where the place is its function; and what that is in.
  var call: Int?
  var around = ""
  /// Stop only where this is not zero.
  var condition: Expression?
  var isEnabled = true
  var hits = 0

  /// Its bytes; they do not wrap around.
  var bytes: Range<UInt64> { address..<max(address, address &+ kind.size) }

  /// Whoever executes the instruction at `address` meets it.
  func isMet(at address: UInt64) -> Bool { isEnabled && !kind.isData && bytes.contains(address) }
}

/// A program that can be looked at and moved.
protocol Subject: AnyObject {
  var condition: Condition { get }
  /// The path of what runs.
  var program: String { get }
  var threads: [ThreadSummary] { get }
  /// The thread that registers, stack and frames are of.
  var currentThread: UInt64 { get }
  func chooseThread(_ number: UInt64) -> Bool

  var registers: Registers { get }
  /// The registers when the program last stood still before.
  var earlierRegisters: Registers { get }
  func setRegister(_ name: String, _ value: UInt64) -> Bool

  /// As many bytes as are mapped, at most `count`.
  func bytes(at address: UInt64, count: Int) -> [UInt8]
  func setBytes(_ bytes: [UInt8], at address: UInt64) -> Bool
  var regions: [Region] { get }
  func region(at address: UInt64) -> Region?
  func name(of region: Region) -> String

  /// Mapped files with their symbols.
  var objects: LoadedObjects? { get }
  var frames: [StackFrame] { get }
  /// Of the inlined calls whose code begins where the program stands, how many have been stepped into.
  var enteredCalls: Int { get set }
  /// Where the program last wrote memory, as far as that is known.
  var lastWrite: UInt64? { get }
  /// Where it last read memory.
  var lastRead: UInt64? { get }
  /// What the program has done up to now: the last stretch of a recording, once `updateActivity` has looked; what was seen of a
  /// program that lives.
  var activity: AccessRecord? { get }
  /// Looks at the last stretch, if that has not been done. False: it could not be, or `isInterrupted` has ended it.
  func updateActivity(_ isInterrupted: @escaping () -> Bool) -> Bool
  /// How many instructions such a stretch has; nil: there are no stretches.
  var stretch: Int64? { get set }
  /// Counts the instructions of a stretch; nil: what has begun there, and how often, is not known.
  func executions(_ instants: Range<Int64>) throws(CommandError) -> AccessRecord?

  var breakpoints: [Breakpoint] { get }
  /// Sets a breakpoint whose number is chosen here; nil where there is no memory.
  func add(_ breakpoint: Breakpoint) -> Breakpoint?
  func change(_ breakpoint: Breakpoint)
  func removeBreakpoint(_ number: Int) -> Bool
  /// System calls to stop at; nil: none, empty: all.
  var caughtCalls: Set<UInt64>? { get set }
  /// Stop at the first instruction of a program that execve(2) begins.
  var stopsAtExecutions: Bool { get set }
  /// Stop where fork(2) and its relatives have made a process.
  var stopsAtForks: Bool { get set }
  /// Signals (bit n-1) that do not stop.
  var passedSignals: UInt64 { get set }

  func callName(_ number: UInt64) -> String?
  func callNumber(named name: String) -> UInt64?

  /// Lines of the trace of system calls, the oldest first.
  var calls: [String] { get }

  /// Begins to move; what is in the way, or nil. `condition` tells when it is over.
  func begin(_ movement: Movement) -> String?
  /// Stops as soon as possible.
  func interrupt()
  /// Replaces the signal that the program has stopped for; 0: none.
  func setSignal(_ signal: Int32)
  /// Looks at a program that is on its way, in a moment in which it stands still. False when there was none.
  func sample(_ look: () -> Void) -> Bool

  /// Nil for a program that lives.
  var timeLine: TimeLine? { get }
  /// Why what the program is told cannot be changed; nil: it can.
  var refusal: String? { get }
  /// What the last change has led to, or why there was none; empty: it is just made.
  var changeText: String { get }
  var changeProblem: String? { get }
  /// The courses of events that there are; empty for a program that lives.
  var timelines: [TimelineSummary] { get }
  /// Goes over to another one; what is in the way, or nil.
  func choose(timeline number: Int) -> String?
  /// Why such a breakpoint is not possible; nil: it is.
  func problem(with breakpoint: Breakpoint) -> String?
  /// Why the last movement has failed; nil: it has not.
  var failure: String? { get }
  /// A hash of all memory; nil where nobody keeps it still.
  var memoryHash: UInt64? { get }
}

extension Subject {
  func updateActivity(_ isInterrupted: @escaping () -> Bool) -> Bool { activity != nil }
  func executions(_ instants: Range<Int64>) throws(CommandError) -> AccessRecord? { nil }
  var stretch: Int64? {
    get { nil }
    set {}
  }
  var timeLine: TimeLine? { nil }
  var refusal: String? { nil }
  var changeText: String { "" }
  var changeProblem: String? { nil }
  var timelines: [TimelineSummary] { [] }
  func choose(timeline number: Int) -> String? { "this is no recording" }
  func problem(with breakpoint: Breakpoint) -> String? { nil }
  var failure: String? { nil }
  var memoryHash: UInt64? { nil }
}

extension Subject {
  func word(at address: UInt64) -> UInt64? {
    let bytes = bytes(at: address, count: 8)
    return bytes.count == 8 ? bytes.littleEndianNumber : nil
  }

  func describe(_ address: UInt64, lookup: UInt64? = nil) -> String? {
    objects?.describe(address, lookup: lookup)
  }

  /// By its symbol, else by its file: `python3.11+0x117e8d`.
  func describeRoughly(_ address: UInt64, lookup: UInt64? = nil) -> String? {
    if let name = describe(address, lookup: lookup) { return name }
    guard let object = objects?.object(at: lookup ?? address) else { return nil }
    return "\(object.name)+0x\(Format.hex(address &- object.loadBias))"
  }

  /// `0x401136 <main+4> at file.c:12`.
  func place(_ address: UInt64) -> String { place(address, nil) }

  /// `0x401136 <main+4> in leaf at file.c:12`, for a program that stands there.
  func presentPlace(_ address: UInt64) -> String { place(address, framesStanding(at: address).first) }

  private func place(_ address: UInt64, _ frame: SourceFrame?) -> String {
    let name = describeRoughly(address).map { " <\($0)>" } ?? ""
    let inlined = frame.flatMap { $0.isInlined ? " in \($0.name)" : nil } ?? ""
    let line = frame?.line ?? objects?.line(at: address)
    return "0x" + Format.hex(address) + name + inlined + (line.map { " at \($0.text)" } ?? "")
  }

  /// The source's frames at `address`, innermost first, for a program that stands there: inlined calls whose code begins there are only
  /// about to be made, but for `enteredCalls` of them.
  func framesStanding(at address: UInt64) -> [SourceFrame] {
    Self.standing(objects?.sourceFrames(at: address) ?? [], entered: enteredCalls).frames
  }

  /// Those of `frames` that have been entered, and how many have not.
  static func standing(_ frames: [SourceFrame], entered: Int) -> (frames: [SourceFrame], ahead: Int) {
    let ahead = max(0, frames.beginningCount - entered)
    return (Array(frames.dropFirst(ahead)), ahead)
  }

  /// Steps into as many of the inlined calls that begin at `address` as there are, without any instruction; each is one of `steps`.
  func enterCalls(at address: UInt64, _ steps: inout Int) {
    let ahead = Self.standing(objects?.sourceFrames(at: address) ?? [], entered: enteredCalls).ahead
    let entered = min(ahead, steps)
    if entered > 0 { enteredCalls += entered }
    steps -= entered
  }

  /// The source's frames of the frame with this number on the stack; where the program stands in it, without inlined calls that have not
  /// been entered.
  func sourceFrames(of frame: StackFrame, number: Int) -> [SourceFrame] {
    let isPresent = number == 0 && frame.lookup == registers.rip
    return isPresent ? presentFrames : objects?.sourceFrames(at: frame.lookup) ?? []
  }

  var presentFrames: [SourceFrame] { framesStanding(at: registers.rip) }

  /// The source line where the program stands.
  var presentLine: SourceLine? { presentFrames.first?.line ?? objects?.line(at: registers.rip) }

  /// How many of the inlined calls that begin at `address` a stop at a breakpoint has entered.
  func callsEntered(at address: UInt64) -> Int {
    callsEntered(
      at: address,
      for: breakpoints.filter { $0.isEnabled && $0.kind == .code }.map {
        CodePlace(address: $0.address, line: LoadedObjects.fileAndLine($0.place)?.line, call: $0.call)
      })
  }

  /// How many of the inlined calls that begin at `address` a stop at one of `places` has entered: as many as lead to its line, or to the
  /// function's own call.
  func callsEntered(at address: UInt64, for places: [CodePlace]) -> Int {
    let frames = objects?.sourceFrames(at: address) ?? []
    let begun = frames.beginningCount
    let here = places.filter { $0.address == address }
    let calls = here.compactMap(\.call)
    if let call = frames.prefix(begun).firstIndex(where: { calls.contains($0.identity) }) {
      return begun - call
    }
    let lines = here.compactMap(\.line)
    for entered in 0..<begun where frames[begun - entered].line.map({ lines.contains($0.line) }) ?? false {
      return entered
    }
    return begun > 0 && frames[0].line.map { lines.contains($0.line) } ?? false ? begun : 0
  }

  /// A breakpoint is for an inlined call that begins at `address`: who comes there stops in the call, not in front of it.
  func hasCallBreakpoint(at address: UInt64) -> Bool {
    breakpoints.contains { $0.isEnabled && $0.call != nil && $0.address == address }
  }

  var isRunning: Bool { condition == .running }
}
