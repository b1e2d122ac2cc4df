// Replays a timeline: an address space, the CPUs of its threads and one engine, driven by the recorded events. There is no process here
// and no operating system: what they did is in the events. Between two events the guest's own instructions do again what they
// did then; that they come to the same places, with the same counts and calls, is checked at every event.
import CHost
import Engine
import GuestMemory
import Linux
import Translator
import VirtualMachine

/// What a replay runs on.
public struct ReplayOptions: Sendable {
  public var engine = UserMachineConfiguration.Engine.automatic
  public var window: IsolatedWindow?

  public init() {}
}

/// How a timeline ends.
public enum ReplayEnd: Equatable, Sendable {
  case exited(code: Int32)
  case killed(signal: Int32)
  /// The recording stops here: the recorder was killed, or the child goes on elsewhere.
  case unfinished
  /// Something was changed in the past, and the program now wants what the recording cannot tell: why it ends here.
  case departed(String)
}

public final class Replay {
  /// A guest thread.
  public final class Thread {
    /// In the order of their beginnings; 0 is the first.
    public let index: Int
    // SAFETY: allocated with the thread, freed in deinit.
    public let cpu: UnsafeMutablePointer<CPUState>
    /// Instructions since its last event.
    var count: InstructionCount = 0
    /// It has come to a system call whose answer is still to come.
    public internal(set) var isAtCall = false
    /// gettid(2) at the time of recording; 0 when that is not known.
    public internal(set) var number: UInt64 = 0
    /// Of the call that it is at.
    public var callNumber: UInt64 { LinuxProcess.callNumber(cpu) }

    init(_ index: Int) {
      self.index = index
      cpu = UserMachine.allocateCPU()
      CPUState.initialize(cpu)
      cpu.pointee.traps_chance = 1
    }

    deinit { cpu.deallocate() }
  }

  public let memory: AddressSpace
  let engine: any GuestEngine
  var events: EventSource
  let files: ReplayedFiles
  /// Mapped files with their symbols, from the recording. To be refreshed when the replay has gone elsewhere.
  public private(set) lazy var objects = LoadedObjects(
    memory, open: { [files] in files.open($0) }, openPath: { [unowned self] in openFile($0) })
  public internal(set) var threads: [Int: Thread] = [:]
  /// Instructions executed by all threads.
  public internal(set) var instant: InstructionCount = 0
  public internal(set) var eventCount: UInt64 = 0
  /// The event that comes next, once it has been read.
  var due: Event?
  /// Events that have been read, the one that is due included.
  var readCount: UInt64 = 0
  /// What the last event was.
  var lastKind: Event.Kind?
  /// The system call that it was.
  var lastCall: UInt64? {
    if case .systemCall(let number, _) = lastKind { return number }
    return nil
  }
  /// The last event was the beginning of another program.
  var lastResets = false
  /// Takes the engine's place while there are many stores beside watched bytes.
  var watcher: InterpreterEngine?
  /// Asked in front of an event, or of a call that the recording does not have (nil), whether to rest there.
  var holds: ((_ event: Event?, _ thread: Thread) -> Bool)?
  /// What is noted of events for timelines in which something is changed, once there is one.
  var inputs: RecordedInputs?
  /// Registers or memory have been changed: how it goes on (Departure.swift).
  var departure: Departure?
  let callReader = CallReader()
  let callText = RecordedCallText()
  private(set) lazy var chance = ChanceReader(memory: memory)
  /// The thread that runs, or has run last.
  public internal(set) var running = 0
  private(set) var start = TimelineStart()
  /// RSP when the program that runs began: there lie its arguments and its auxiliary vector.
  var initialStack: UInt64 = 0
  /// Told of every instruction and event (ReplayVisitor.swift), and whether it wants no more.
  var visitor: (any ReplayVisitor)?
  var isVisitorAtRest = false
  /// The numbers of threads that have been made, by the FS bases that they begin with.
  var threadNumbers: [UInt64: UInt64] = [:]
  private var hasStarted = false
  /// Told of what the program writes to standard output or error.
  public var output: ((_ descriptor: UInt8, _ order: UInt64, _ bytes: [UInt8]) -> Void)?
  /// Told of each system call in front of its answer, and behind it.
  public var observer: ((_ cpu: UnsafeMutablePointer<CPUState>, _ isAnswered: Bool) -> Void)?
  /// Told that a child's timeline begins here: the replay of this one goes on when it returns.
  var forks: ((_ eventCount: UInt64) -> Void)?

  public init(_ recording: Recording, timeline: UInt64, _ options: ReplayOptions) throws(RecordingError) {
    events = try EventSource(recording, timeline)
    do { memory = try AddressSpace(options.window) } catch {
      throw .cannotOpen("cannot reserve the guest's address space (errno \(error.number))")
    }
    var translation = TranslatorOptions()
    translation.isRepeatable = true
    guard let engine = options.engine.make(memory, translation) else {
      throw .cannotOpen("cannot start the engine")
    }
    self.engine = engine
    files = ReplayedFiles()
  }

  deinit { files.close() }

  /// Instructions that a thread may execute beyond a call or fault that does not come, before that is noticed.
  private static let slack: InstructionCount = 4096

  // MARK: Running

  /// Replays to the end.
  public func run() throws(RecordingError) -> ReplayEnd {
    while true {
      // In a child's process the timeline is another one afterwards.
      if due == nil { forks?(eventCount) }
      if let pause = try proceed(to: .max) {
        if case .end(let end) = pause { return end }
      }
    }
  }

  /// Why a replay has come to rest.
  enum Pause: Equatable {
    /// This is the instant that was asked for.
    case instant
    /// A stop address of the engine is next.
    case stop
    /// Somebody has set the running CPU's attention word.
    case attention
    /// The thread that runs has come to an event that is held.
    case event
    case end(ReplayEnd)
  }

  /// Replays up to and with the next event, or less; nil: the event has happened. At the instant of several events they have not
  /// happened yet; `limit` counts as `instant` does. `leavesStop`: the instruction at RIP is executed even if it is a stop address.
  func proceed(
    to limit: InstructionCount, leavesStop: Bool = false
  ) throws(RecordingError) -> Pause? {
    if departure != nil { return try proceedDeparted(to: limit, leavesStop: leavesStop) }
    guard let event = try upcoming() else { return .end(.unfinished) }
    let thread = try self.thread(of: event)
    running = event.thread
    if let pause = try advance(thread, to: event, limit, leavesStop) { return pause }
    if instant >= limit, event.kind != .threadBegins { return .instant }
    if isVisitorAtRest { return .instant }
    if let holds, holds(event, thread) { return .event }
    if let inputs, !inputs.isComplete, event.kind != .threadBegins {
      inputs.note(event, readCount &- 1, thread.cpu, memory, instant)
    }
    return try happen(event, thread)
  }

  /// The event that was due happens to its thread; how the timeline ends, if it does.
  func happen(_ event: Event, _ thread: Thread) throws(RecordingError) -> Pause? {
    let seen = visitor.map { _ in visited(event) }
    if let seen { visitor?.willHappen(seen, place(of: thread)) }
    if let end = try apply(event, thread) { return .end(end) }
    if let seen {
      visitor?.didHappen(
        seen, place(of: thread), changesMappings: event.effect.changesMappings, resets: event.effect.resets)
    }
    due = nil
    eventCount += 1
    (lastKind, lastResets) = (event.kind, event.effect.resets)
    return nil
  }

  /// A thread where it is now, for the visitor.
  func place(of thread: Thread) -> VisitedThread {
    VisitedThread(index: thread.index, cpu: thread.cpu, instant: instant)
  }

  /// The event that comes next; nil at the end of what was recorded.
  func upcoming() throws(RecordingError) -> Event? {
    while due == nil, let next = try nextEvent() {
      due = next
      if let departure, isPassedOver(next, departure) { due = nil }
    }
    return due
  }

  /// The next event; what comes in front of it has been taken note of.
  private func nextEvent() throws(RecordingError) -> Event? {
    while let record = try events.next() {
      switch record {
      case .start(let begin): try take(begin)
      case .file(let file): try files.add(file)
      case .data(let file, let offset, let piece): try files.put(events.piece(piece), file, offset)
      case .event(let event):
        guard hasStarted else { throw .damaged("it does not say where it begins") }
        readCount &+= 1
        return event
      }
    }
    return nil
  }

  private func take(_ begin: TimelineStart) throws(RecordingError) {
    if !hasStarted {
      guard let level = CPUID.Level(rawValue: begin.level) else {
        throw .damaged("there is no such CPU level")
      }
      if level.needsVectors512, !engine.executesVectors512 {
        throw .unsupported("the program was recorded on a CPU with AVX-512, which this host or engine lacks")
      }
    }
    start = begin
    hasStarted = true
    memory.stackLimit = begin.stackLimit
  }

  func thread(of event: Event) throws(RecordingError) -> Thread {
    if let known = threads[event.thread] {
      if event.kind == .threadBegins { throw .damaged("a thread begins twice") }
      return known
    }
    guard event.kind == .threadBegins, threads.count < 1 << 16 else {
      throw .damaged("there is no thread \(event.thread)")
    }
    return Thread(event.thread)
  }

  /// Lets the event happen to its thread, which has come to it. How the timeline ends, if it does.
  private func apply(_ event: Event, _ thread: Thread) throws(RecordingError) -> ReplayEnd? {
    if event.kind == .threadBegins { threads[event.thread] = thread }
    if departure == nil, let digest = event.digest, RegisterWords(thread.cpu).digest != digest {
      throw diverged(event, "registers differ")
    }
    thread.count = 0
    switch event.kind {
    case .pause:
      return nil
    case .systemCall(let number, let output):
      thread.isAtCall = false
      if thread.callNumber != number {
        throw diverged(event, "it makes call \(thread.callNumber) instead of \(number)")
      }
      if let output { tell(output, thread) }
      observer?(thread.cpu, false)
    case .threadEnds: if thread.index != 0 { threads[thread.index] = nil }
    case .end(let code, let signal, let hash):
      if let hash, hash != memory.contentHash() { throw diverged(event, "memory differs at the end") }
      return signal == 0 ? .exited(code: code) : .killed(signal: signal)
    default: break
    }
    let newBase = newThreadBase(event, thread)
    try apply(event.effect, thread, event)
    if let newBase, thread.cpu.pointee.general.0 < 1 << 32 {
      threadNumbers[newBase] = thread.cpu.pointee.general.0
    }
    if event.kind == .threadBegins, event.thread != 0 {
      thread.number = threadNumbers[thread.cpu.pointee.fs_base] ?? 0
    }
    if let observer, case .systemCall = event.kind { observer(thread.cpu, true) }
    return nil
  }

  /// Executes `thread` until what the event speaks of is due; a pause when something else comes first.
  private func advance(
    _ thread: Thread, to event: Event, _ limit: InstructionCount, _ leavesStop: Bool
  ) throws(RecordingError) -> Pause? {
    let target = event.count
    let wait = Wait(event.kind)
    var leaves = leavesStop
    while true {
      if thread.isAtCall {
        guard thread.count == target, wait == .call || wait == .nothing else {
          throw diverged(
            event, "call \(thread.callNumber) comes after \(thread.count) instructions, not \(target)")
        }
        return nil
      }
      let rest = target &- thread.count
      if rest == 0, wait == .nothing { return nil }
      if rest < 0 { throw diverged(event, "too many instructions") }
      // A fault comes in front of an instruction, at the limit as well.
      if instant >= limit, wait != .stop || rest > 0 { return .instant }
      // What stops the engine by itself needs no exact budget, whose end costs single steps.
      let budget = wait == .nothing ? rest : rest &+ Replay.slack
      let before = thread.count
      var exit = execute(thread, min(budget, max(limit &- instant, 1)), leavesStop: leaves)
      var isCalled = false
      if case .attention = exit, thread.count == before {
        // A store that somebody wants to be told of has only opened its page: it comes first.
        isCalled = true
        CPUState.attention(thread.cpu).pointee = 0
        exit = execute(thread, 1, leavesStop: leaves)
      }
      switch exit {
      case .systemCall: thread.isAtCall = true
      case .budget:
        leaves = false
        if isVisitorAtRest { return .instant }
        if thread.count > target {
          throw diverged(event, "it goes on where there was \(wait == .call ? "a system call" : "a fault")")
        }
        if isCalled { return .attention }
      case .fault(let fault):
        if isHandled(fault) {
          leaves = leaves && thread.count == before
          continue
        }
        if wait == .stop, thread.count == target { return nil }
        throw diverged(event, "a fault (\(fault.trap)) at \(fault.address.hexadecimal)")
      case .interrupt:
        // One that ends the program has been executed, and counts.
        if wait == .stop || wait == .nothing && thread.count == target { return nil }
        throw diverged(event, "an interrupt")
      case .attention:
        CPUState.attention(thread.cpu).pointee = 0
        return .attention
      case .stop: return .stop
      }
    }
  }

  /// Executes at most `budget` instructions, at least one, and counts them. `leavesStop`: one, even at a stop address.
  func execute(_ thread: Thread, _ budget: InstructionCount, leavesStop: Bool) -> Exit {
    if let watcher, visitor == nil, !leavesStop { return execute(thread, watcher, budget) }
    let passing = visitor?.watcher
    let before = engine.instructionCount &+ (passing?.instructionCount ?? 0)
    let exit: Exit =
      if let visitor { step(thread, visitor, budget: budget) } else {
        leavesStop ? engine.step(thread.cpu) : engine.run(thread.cpu, budget: budget)
      }
    let done = engine.instructionCount &+ (passing?.instructionCount ?? 0) &- before
    thread.count &+= done
    instant &+= done
    return exit
  }

  /// The same with an engine that stops in front of instructions that may access watched bytes: such a one is executed by itself, and
  /// then whoever watches has to look (`.attention`).
  private func execute(_ thread: Thread, _ watcher: InterpreterEngine, _ budget: InstructionCount) -> Exit {
    let before = watcher.instructionCount
    var exit = watcher.run(thread.cpu, budget: budget)
    var done = watcher.instructionCount &- before
    if case .stop = exit, engine.stops?.contains(thread.cpu.pointee.rip) != true {
      let single = engine.instructionCount
      exit = done < budget ? engine.step(thread.cpu) : .budget
      done &+= engine.instructionCount &- single
      if case .budget = exit { exit = .attention }
    }
    thread.count &+= done
    instant &+= done
    return exit
  }

  /// The fault is the address space's matter: the instruction is to be executed again.
  func isHandled(_ fault: Fault) -> Bool {
    fault.trap == .pageFault && fault.errorCode & 16 == 0
      && memory.handleFault(at: fault.address, write: fault.errorCode & 2 != 0)
  }

  /// What the engine has to stop for when an event is due.
  private enum Wait {
    case call, stop, nothing

    init(_ kind: Event.Kind) {
      switch kind {
      case .systemCall: self = .call
      case .fault, .chance: self = .stop
      default: self = .nothing
      }
    }
  }

  private func diverged(_ event: Event, _ what: String) -> RecordingError {
    let rip = threads[event.thread]?.cpu.pointee.rip ?? 0
    return .diverged(
      "process \(start.process), event \(eventCount), thread \(event.thread), instruction \(instant) at \(rip.hexadecimal): \(what)"
    )
  }

  /// The replay goes on with a child's timeline: it has come to the fork.
  func follow(_ recording: Recording, _ timeline: UInt64) throws(RecordingError) {
    events = try EventSource(recording, fromFork: timeline)
    eventCount = 0
    do { try files.separate(memory) } catch {
      throw .cannotOpen("there is no room for the recorded files (errno \(error.number))")
    }
  }

  /// The registers of the thread that runs, or has run last, by name; none before there is one.
  public var registers: [(name: String, value: UInt64)] {
    guard let thread = threads[running] else { return [] }
    let words = RegisterWords(thread.cpu)
    return RegisterWords.names.indices.map { (RegisterWords.names[$0], words[$0]) }
  }

  /// RIP of the thread that runs, or has run last.
  public var instructionPointer: UInt64? { threads[running]?.cpu.pointee.rip }

  // MARK: Effects

  private func tell(_ output: Event.Output, _ thread: Thread) {
    guard let tell = self.output else { return }
    var rest = output.size
    var bytes: [UInt8] = []
    for buffer in LinuxProcess.writtenBuffers(thread.cpu, memory) {
      let part = min(buffer.size, rest)
      bytes += memory.peek(buffer.address, count: Int(truncatingIfNeeded: part))
      rest &-= part
    }
    tell(output.descriptor, output.order, bytes)
  }

  private func apply(_ effect: StateEffect, _ thread: Thread, _ event: Event) throws(RecordingError) {
    for change in effect.memory {
      do { try apply(change) } catch {
        throw diverged(event, "a change of memory fails (errno \(error.number))")
      }
    }
    effect.registers.store(effect.mask, to: thread.cpu)
    if !effect.extended.isEmpty, !ExtendedRegisters.store(effect.extended, to: thread.cpu) {
      throw .damaged("registers of another size")
    }
    if initialStack == 0 { initialStack = thread.cpu.pointee.general.4 }
    if event.kind == .threadBegins {
      thread.cpu.pointee.cpu_level = start.level
      thread.cpu.pointee.xcr0 = CPUID.Level(rawValue: start.level)?.stateComponents ?? 7
    }
  }

  private func apply(_ change: MemoryEffect) throws(MemoryError) {
    switch change {
    case .write(let address, let bytes):
      if memory.poke(bytes, at: address) { return }
      // Another process may have made a file longer that this one has mapped.
      guard let region = memory.query(address), let backing = memory.backing(region.backing) else {
        throw .badAddress
      }
      let end = region.offset &+ (address &- region.start) &+ UInt64(bytes.count)
      guard files.lengthen(backing, to: end), memory.poke(bytes, at: address) else { throw .badAddress }
    case .stackLimit(let limit): memory.stackLimit = limit
    case .fileSize(let file, let size): if !files.resize(file, size) { throw .badAddress }
    case .change(let change):
      switch change {
      case .map(let region, let file): try map(region, file)
      case .unmap(let address, let size): try memory.unmap(address, size: size)
      case .protect(let address, let size, let permissions):
        try memory.protect(address, size: size, permissions: permissions)
      case .remap(let address, let size, let newSize, let flags, let target):
        let forced: RemapFlags = target == address ? flags : flags.union([.fixed, .mayMove])
        let result = try memory.remap(
          address, size: size, newSize: newSize, flags: forced, newAddress: target)
        if result != target { throw .noMemory }
      case .advise(let address, let size, let advice):
        try memory.advise(address, size: size, advice: advice)
      case .reset:
        memory.reset()
        initialStack = 0
      }
    }
  }

  private func map(_ region: Region, _ file: UInt32) throws(MemoryError) {
    var request = MapRequest(address: region.start, size: region.size, permissions: region.permissions)
    request.placement = .fixed
    request.flags = region.flags
    if file != 0 {
      guard let known = files[file] else { throw .badAddress }
      request.file = (known.descriptor, region.offset, known.backing)
    }
    _ = try memory.map(request)
  }
}
