// Records a process as it runs: steers its threads, one at a time, and writes down what crosses into them. Each system call, each
// delivered signal and each switch between threads becomes an event; what the process does between them follows from the state
// before, so nothing else is kept. Forked children go on recording timelines of their own into the same file.
//
// Everything here happens under the address space's lock, on the guest thread concerned.
import CHost
import Engine
import GuestMemory
import Linux
import VirtualMachine

/// What is asked of a recorder.
public struct RecordingOptions: Sendable {
  public var path: [UInt8]
  /// Another number gives another schedule of threads.
  public var seed: UInt64 = 0
  /// Switch between threads as often and as unevenly as possible.
  public var isChaotic = false
  /// Keep a digest of the registers with every event, and a hash of memory at the end: a replay that differs is found out
  /// at once.
  public var isStrict = false

  public init(path: [UInt8]) { self.path = path }
}

public final class Recorder: MachineController {
  /// A guest thread as the recorder knows it.
  final class Thread {
    let index: Int
    let guest: GuestThread
    /// Notes of its present system call.
    let journal: MemoryJournal
    /// Instructions since the registers were last compared.
    var sinceDigest: InstructionCount = 0
    /// The number of the program that it has last been seen in.
    var program: Int

    init(index: Int, guest: GuestThread, journal: MemoryJournal, program: Int) {
      (self.index, self.guest, self.journal, self.program) = (index, guest, journal, program)
    }
  }

  /// A digest of the registers after so many instructions: it costs four bytes.
  private static let digestInterval: InstructionCount = 8192
  /// What has been written is on its way to the disk after so many cycles of the time-stamp counter, about 0.1 s.
  private static let flushInterval: UInt64 = 300_000_000
  /// Bytes that other processes have written are divided into events of this size.
  private static let largestPart: UInt64 = 4 << 20
  /// Instructions of a thread alone between two looks at the clock.
  private static let longestRun: InstructionCount = 100_000_000
  /// Instructions that a call counts as, of a thread's slice.
  private static let callTime: InstructionCount = 2000

  let options: RecordingOptions
  private let family: RecordingFamily
  private var shared: SharedMemory?
  private(set) var process: LinuxProcess? {
    didSet { running = process.map { Unmanaged.passUnretained($0) } }
  }
  var memory: AddressSpace?
  var writer: TimelineWriter
  var files: RecordedFiles
  var schedule: ThreadSchedule
  /// Instructions until others may have the lock, while there are several threads.
  private var sliceLeft: InstructionCount = 0
  /// The journal until there is a thread.
  private var firstJournal: MemoryJournal?
  /// What a timeline begins with; children's differ in a few points.
  private var start = TimelineStart()
  private var threads: [Thread] = []
  private var threadCount = 0
  /// Whose events come at present.
  private var current: Thread? {
    didSet {
      currentOne = current.map { Unmanaged.passUnretained($0) }
      currentCPU = current?.guest.cpu
    }
  }
  /// Instructions that `current` has executed since its last event. The others have none: their last one was that they paused.
  private var executed: InstructionCount = 0
  // PERF: `process` and `current` once more, for each call's way: counting and discounting owners took a third of its time. And the
  // CPU that `current` runs on, to know it by.
  // SAFETY: set with what they stand for, which is kept there; a thread's object also in `threads` until its last call is over.
  private var running: Unmanaged<LinuxProcess>?
  private var currentOne: Unmanaged<Thread>?
  private var currentCPU: UnsafeMutablePointer<CPUState>?
  private(set) var eventCount: UInt64 = 0
  private var stackLimit: UInt64 = 0
  /// Devices and inodes of standard output and error at the beginning; 0: closed.
  private var outputs: [[UInt64]] = []
  private var written = WrittenFiles()
  /// Calls that have been made since translated code was entered.
  private let calls: CallLog
  /// What the next event does to memory, and ranges whose contents are yet to be added to that.
  var effects = WrittenEffects()
  var ranges: [Range<UInt64>] = []
  private var lastFlush = vt_host_time_stamp()
  private lazy var chance = memory.map { ChanceReader(memory: $0) }

  /// Creates the file. Throws when that is not possible.
  public init(_ options: RecordingOptions) throws(RecordingError) {
    self.options = options
    let descriptor = HostFile.create(options.path)
    let name = String(decoding: options.path, as: UTF8.self)
    guard descriptor >= 0, HostFile.write(RecordingFile.header, to: Int32(truncatingIfNeeded: descriptor)),
      let family = RecordingFamily()
    else { throw .cannotOpen("cannot write \(name) (errno \(-descriptor))") }
    self.family = family
    files = RecordedFiles(family.pieces)
    calls = CallLog(order: family.outputs)
    writer = TimelineWriter(descriptor: Int32(truncatingIfNeeded: descriptor), timeline: 0)
    schedule = ThreadSchedule(seed: options.seed, isChaotic: options.isChaotic)
    _ = family.nextTimeline()
  }

  public var isRepeatable: Bool { true }

  /// Strict recordings have the registers in front of each call.
  public var logsCalls: Bool { !options.isStrict }

  public func prepare(_ memory: AddressSpace) {
    self.memory = memory
    memory.keepsLock = true
    shared = SharedMemory(family, memory)
    firstJournal = makeJournal()
    memory.journal = firstJournal
    memory.logDirectCalls(calls.log)
  }

  private func makeJournal() -> MemoryJournal {
    MemoryJournal(
      numberOfFile: { [unowned self] request, size in numberOfFile(request, size) },
      numberOfSegment: { [unowned self] identity, size in
        guard let memory else { return 0 }
        shared?.willShare(identity)
        return files.number(ofSegment: identity, size, memory, &writer)
      })
  }

  private func numberOfFile(_ request: MapRequest, _ size: UInt64) -> UInt32 {
    guard let memory, let file = request.file else { return 0 }
    written.removeAll()
    // From now on nobody else writes it.
    let isShared = shared?.willMap(request) ?? false
    guard let identity = HostFile.identity(file.descriptor) else { return 0 }
    if isShared, let known = files.numberWhileMapped(identity.file, memory) {
      for effect in files.resized(identity) { effects.append(effect) }
      shared?.mapsKnown(known)
      return known
    }
    return files.number(
      of: file.descriptor, identity, file.identity, file.offset, size, memory, isOther: isShared, &writer)
  }

  public func begin(_ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>) -> String? {
    self.process = process
    writer.descriptor = process.hide(writer.descriptor, movesStandard: true)
    outputs = [1, 2].map { process.file(behind: $0) ?? [] }
    process.observeReturns { [unowned self] in memory?.journal = known(process.currentThread)?.journal }
    process.observeForks(
      { [unowned self] in
        shared?.willFork()
        writer.flush()
      }, nil)
    process.observeSignals(LinuxProcess.endingSignals) { _, _, _ in }
    start.level = cpu.pointee.cpu_level
    beginTimeline(process)
    let thread = add(process.currentThread(on: cpu))
    if let firstJournal { addEffects(firstJournal, process.memory) }
    process.memory.journal = nil
    current = thread
    log(.threadBegins, thread, StateEffect(whole: cpu))
    return nil
  }

  private func beginTimeline(_ process: LinuxProcess) {
    stackLimit = process.memory.stackLimit
    start.process = process.processNumber
    start.stackLimit = stackLimit
    start.arguments = process.options.arguments
    start.executable = process.options.executable
    writer.append(.start(start))
  }

  private func add(_ guest: GuestThread) -> Thread {
    let thread = Thread(
      index: threadCount, guest: guest, journal: makeJournal(), program: process?.programCount ?? 0)
    threadCount += 1
    threads.append(thread)
    return thread
  }

  private func known(_ guest: GuestThread) -> Thread? { threads.first { $0.guest === guest } }

  // MARK: Running

  public func run(
    _ engine: any GuestEngine, _ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount
  ) -> Exit {
    guard let running else { return engine.run(cpu, budget: budget) }
    return running._withUnsafeGuaranteedRef { run(engine, cpu, $0) }
  }

  private func run(
    _ engine: any GuestEngine, _ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess
  ) -> Exit {
    enter(cpu, process)
    while true {
      if process.memory.isThreaded { giveOthersTime(cpu, process) }
      takeOthersWrites(process)
      let slice = process.memory.isThreaded ? sliceLeft : Recorder.longestRun
      let before = engine.instructionCount
      prepareCalls(process.memory, slice)
      let exit = engine.run(cpu, budget: slice)
      let count = engine.instructionCount &- before
      executed &+= count
      sliceLeft &-= exit == .budget ? slice : count &+ Recorder.callTime
      if !calls.isEmpty { takeCalls(slice, count) }
      switch exit {
      case .budget:
        flushIfDue()
      case .fault(let fault) where fault.trap == .generalProtection && chance?.isChance(cpu) == true:
        takeChance(engine, cpu)
      default: return exit
      }
    }
  }

  /// When the thread's slice is over. It goes on over calls: of threads that do nothing but call, others would never have the lock.
  private func giveOthersTime(_ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess) {
    if sliceLeft > 0 { return }
    sliceLeft = schedule.next()
    process.memory.yieldLock()
    // Others may have run, and made the process theirs.
    change(to: process.currentThread(on: cpu), cpu, process)
  }

  /// Translated code may make calls by itself until the registers are to be compared or what has been recorded is to be written.
  @inline(__always)
  private func prepareCalls(_ memory: AddressSpace, _ slice: InstructionCount) {
    guard memory.turn == nil, let since = currentOne?._withUnsafeGuaranteedRef({ $0.sinceDigest }) else {
      return calls.prepare(least: .max >> 8, deadline: 0, unmapped: (0, 0, 0))
    }
    let most = Recorder.digestInterval &- since &- executed
    calls.prepare(
      least: slice &- most, deadline: lastFlush &+ Recorder.flushInterval, unmapped: written.unmapped)
  }

  /// Translated code has executed so many of `slice` instructions, and made calls: they become events.
  private func takeCalls(_ slice: InstructionCount, _ count: InstructionCount) {
    currentOne?._withUnsafeGuaranteedRef { thread in
      var event = Event(kind: .pause, thread: thread.index, count: 0, effect: StateEffect(mask: 1))
      // Up to the call before.
      var last = count &- executed
      calls.takeAll { call in
        event.kind = .systemCall(number: call.number, output: call.output)
        event.count = slice &- call.remaining &- last
        event.effect.registers[0] = call.result
        last &+= event.count
        if !call.filled.isEmpty { effects.append(call.filled, at: call.address) }
        writer.append(event, effects)
        effects.removeAll()
        thread.sinceDigest &+= event.count
        eventCount += 1
      }
      executed = count &- last
    }
    flushIfDue()
  }

  /// The thread of `cpu` has the lock and goes on: it is `current`.
  // PERF: twice for each call; nobody else has run in between, usually.
  @inline(__always)
  private func enter(_ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess) {
    let program = currentOne?._withUnsafeGuaranteedRef { $0.program }
    if cpu == currentCPU, program == process.programCount { return }
    change(to: process.currentThread(on: cpu), cpu, process)
  }

  @inline(never)
  private func change(to guest: GuestThread, _ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess) {
    let old = known(guest)
    let thread = old ?? add(guest)
    become(thread)
    if old == nil || thread.program != process.programCount {
      // New, or the first thread, which lives on after another one has executed a program.
      thread.program = process.programCount
      log(old == nil ? .threadBegins : .interruption, thread, StateEffect(whole: cpu))
    }
  }

  /// Events are `thread`'s from now on.
  private func become(_ thread: Thread) {
    if current === thread { return }
    if let old = current, threads.contains(where: { $0 === old }) { log(.pause, old, StateEffect()) }
    current = thread
    executed = 0
  }

  /// What other processes have written to shared memory, since it was this one's turn, arrives.
  @inline(__always)
  private func takeOthersWrites(_ process: LinuxProcess) {
    if process.memory.turn != nil, let shared, shared.isBehind { takeOthersWrites(shared, process) }
  }

  @inline(never)
  private func takeOthersWrites(_ shared: SharedMemory, _ process: LinuxProcess) {
    var size: UInt64 = 0
    for range in shared.catchUp() {
      if size >= Recorder.largestPart {
        logOthersWrites(process)
        size = 0
      }
      ranges.append(range)
      size &+= range.upperBound &- range.lowerBound
    }
    if size > 0 { logOthersWrites(process) }
  }

  private func logOthersWrites(_ process: LinuxProcess) {
    addContents(of: process.memory)
    if let current { log(.othersWrites, current, StateEffect()) }
  }

  /// Executes the instruction whose result is chance.
  private func takeChance(_ engine: any GuestEngine, _ cpu: UnsafeMutablePointer<CPUState>) {
    guard let thread = current else { return }
    let before = RegisterWords(cpu)
    cpu.pointee.traps_chance = 0
    _ = engine.step(cpu)
    cpu.pointee.traps_chance = 1
    log(.chance, thread, difference(before, cpu), before)
  }

  // MARK: What the personality does

  public func systemCall(_ cpu: UnsafeMutablePointer<CPUState>) -> Outcome {
    guard let running else { return .resume }
    return running._withUnsafeGuaranteedRef { process in
      enter(cpu, process)
      guard let currentOne else { return .resume }
      return currentOne._withUnsafeGuaranteedRef { systemCall(cpu, process, $0) }
    }
  }

  private func systemCall(
    _ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess, _ thread: Thread
  ) -> Outcome {
    let number = LinuxProcess.callNumber(cpu)
    let before = RegisterWords(cpu)
    if refuses(number, cpu, process) {
      log(.systemCall(number: number, output: nil), thread, difference(before, cpu), before)
      return .resume
    }
    let outline = process.outline(cpu)
    let changed = outline.changed.flatMap { writtenFile($0, process)?.isMapped == true ? $0 : nil }
    let timelineBefore = writer.timeline
    let (memory, journal) = (process.memory, thread.journal)
    journal.removeAll()
    memory.journal = journal
    if memory.turn != nil { shared?.isInCall = true }
    let outcome = process.systemCall(cpu)
    memory.journal = nil
    if memory.turn != nil || journal.changesMappings { shared?.take(journal, process, cpu) }
    // A forked child's file is the same as its parent's; its thread as well.
    become(thread)
    let result = thread.guest.result
    if let changed, result >= 0 {
      noteChange(of: changed, number, arguments: before, count: UInt64(result), journal)
    }
    if !LinuxProcess.keepsDescriptors(number) { written.removeAll() }
    let isNewProgram = thread.program != process.programCount
    thread.program = process.programCount
    let signalReturn: UInt64 = 15
    let effect =
      number == signalReturn || isNewProgram ? StateEffect(whole: cpu) : difference(before, cpu)
    addEffects(journal, memory, outline.filled, result)
    if memory.stackLimit != stackLimit {
      stackLimit = memory.stackLimit
      effects.append(.stackLimit(stackLimit))
    }
    var output: Event.Output?
    if let written = outline.written, result > 0, writer.timeline == timelineBefore {
      output = self.output(written, UInt64(result), process)
    }
    log(.systemCall(number: number, output: output), thread, effect, before)
    return outcome
  }

  /// Calls by which data would reach standard output unseen: programs have another way when they fail.
  private func refuses(
    _ number: UInt64, _ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess
  ) -> Bool {
    let descriptor: UInt64
    switch number {
    case 40: descriptor = cpu.pointee.general.7  // sendfile: RDI
    case 275, 326: descriptor = cpu.pointee.general.2  // splice, copy_file_range: RDX
    default: return false
    }
    written.removeAll()
    guard writtenFile(descriptor, process)?.output != nil else { return false }
    cpu.pointee.general.0 = UInt64(bitPattern: -22)  // EINVAL
    return true
  }

  private func writtenFile(_ descriptor: UInt64, _ process: LinuxProcess) -> WrittenFiles.File? {
    if let known = written[descriptor] { return known }
    guard let file = process.file(behind: descriptor) else { return nil }
    let isMapped = files.contain(HostFile.Place(device: file[0], inode: file[1]))
    var result = WrittenFiles.File(descriptor: descriptor, isMapped: isMapped)
    if let index = outputs.firstIndex(of: file) {
      // The same terminal is behind both more often than not.
      result.output = descriptor == 2 && outputs[1] == file ? 2 : UInt8(index + 1)
    }
    written.keep(result)
    return result
  }

  private func output(_ descriptor: UInt64, _ size: UInt64, _ process: LinuxProcess) -> Event.Output? {
    guard let number = writtenFile(descriptor, process)?.output else { return nil }
    return Event.Output(descriptor: number, size: size, order: family.nextOutput())
  }

  public func deliver(
    _ exit: Exit, _ cpu: UnsafeMutablePointer<CPUState>, _ body: () -> Outcome
  ) -> Outcome {
    guard let process else { return body() }
    enter(cpu, process)
    guard let thread = current else { return body() }
    let before = RegisterWords(cpu)
    thread.journal.removeAll()
    process.memory.journal = thread.journal
    let outcome = body()
    process.memory.journal = nil
    if process.memory.turn != nil { shared?.takeWrites(thread.journal) }
    become(thread)
    let effect = difference(before, cpu)
    // Nothing that the replay does not find out by itself: a page of code, a growing stack, a look for signals in vain.
    // A death lets go of futexes, in memory that others may have.
    if effect.mask == 0, !outcome.isDeath || thread.journal.entries.isEmpty { return outcome }
    addEffects(thread.journal, process.memory)
    let isFault = exit != .attention
    log(isFault ? .fault : .interruption, thread, effect, before)
    return outcome
  }

  private func difference(_ before: RegisterWords, _ cpu: UnsafeMutablePointer<CPUState>) -> StateEffect {
    let after = RegisterWords(cpu)
    return StateEffect(mask: after.difference(from: before), registers: after)
  }

  // MARK: Ends and beginnings

  public func threadEnds(_ cpu: UnsafeMutablePointer<CPUState>) {
    guard let process, let thread = known(process.currentThread) else { return }
    become(thread)
    log(.threadEnds, thread, StateEffect())
    // The first one may live on.
    if thread.index != 0 {
      threads.removeAll { $0 === thread }
      current = nil
    }
  }

  public func ends(_ termination: Termination, _ cpu: UnsafeMutablePointer<CPUState>) {
    guard let process else { return }
    enter(cpu, process)
    guard let thread = current else { return }
    var (code, signal): (Int32, Int32) = (0, 0)
    if case .exited(let value) = termination { code = value }
    if case .killed(let value) = termination { signal = value }
    takeOthersWrites(process)
    let hash = options.isStrict ? process.memory.contentHash() : nil
    log(.end(code: code, signal: signal, hash: hash), thread, StateEffect(), RegisterWords(cpu))
    writer.flush()
  }

  public func forked() {
    guard let process else { return }
    start.parent = ForkPoint(timeline: writer.timeline, events: eventCount)
    writer.begin(timeline: family.nextTimeline())
    beginTimeline(process)
    eventCount = 0
    let guest = process.currentThread
    threads.removeAll { $0.guest !== guest }
    current = threads.first
    if let cpu = currentCPU { shared?.forked(writer.timeline, process, cpu) }
  }

  // MARK: Writing

  /// Writes an event down, with `effects`.
  private func log(
    _ kind: Event.Kind, _ thread: Thread, _ effect: consuming StateEffect, _ before: RegisterWords? = nil
  ) {
    var event = Event(kind: kind, thread: thread.index, count: executed, effect: effect)
    thread.sinceDigest &+= executed
    executed = 0
    if let before, thread.sinceDigest >= Recorder.digestInterval || options.isStrict || isEnd(kind) {
      event.digest = before.digest
      thread.sinceDigest = 0
    }
    writer.append(event, effects)
    effects.removeAll()
    eventCount += 1
    flushIfDue()
  }

  private func isEnd(_ kind: Event.Kind) -> Bool {
    if case .end = kind { return true }
    return false
  }

  private func flushIfDue() {
    let now = vt_host_time_stamp()
    if now &- lastFlush < Recorder.flushInterval { return }
    lastFlush = now
    writer.flush()
  }
}

extension Outcome {
  /// The process ends by a signal.
  fileprivate var isDeath: Bool {
    if case .killed = self { return true }
    return false
  }
}
