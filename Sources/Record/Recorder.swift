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
    /// Instructions since its last event, and since the registers were last compared.
    var count: InstructionCount = 0
    var sinceDigest: InstructionCount = 0
    /// The number of the program that it has last been seen in.
    var program: Int

    init(index: Int, guest: GuestThread, journal: MemoryJournal, program: Int) {
      (self.index, self.guest, self.journal, self.program) = (index, guest, journal, program)
    }
  }

  /// A file that the program writes to.
  private struct WrittenFile {
    var file: HostFile.Place
    /// 1 or 2 for standard output and error.
    var output: UInt8?
  }

  /// Words of the page that all processes of a recording share.
  private enum Shared { static let timelines = 0, outputs = 1 }
  /// A digest of the registers after so many instructions: it costs four bytes.
  private static let digestInterval: InstructionCount = 8192
  /// What has been written is on its way to the disk after so many cycles of the time-stamp counter, about 0.1 s.
  private static let flushInterval: UInt64 = 300_000_000
  /// Instructions of a thread alone between two looks at the clock.
  private static let longestRun: InstructionCount = 100_000_000

  let options: RecordingOptions
  private let shared: UnsafeMutablePointer<UInt64>
  private(set) var process: LinuxProcess?
  var memory: AddressSpace?
  var writer: TimelineWriter
  var files = RecordedFiles()
  var schedule: ThreadSchedule
  /// The journal until there is a thread.
  private var firstJournal: MemoryJournal?
  /// What a timeline begins with; children's differ in a few points.
  private var start = TimelineStart()
  private var threads: [Thread] = []
  private var threadCount = 0
  /// Whose events come at present.
  private var current: Thread?
  private(set) var eventCount: UInt64 = 0
  private var stackLimit: UInt64 = 0
  /// Devices and inodes of standard output and error at the beginning; 0: closed.
  private var outputs: [[UInt64]] = []
  /// What is behind descriptors that have been written to, as long as no call can have changed that.
  private var written: [UInt64: WrittenFile] = [:]
  private var lastFlush = vt_host_time_stamp()
  private lazy var chance = memory.map { ChanceReader(memory: $0) }

  /// Creates the file. Throws when that is not possible.
  public init(_ options: RecordingOptions) throws(RecordingError) {
    self.options = options
    let descriptor = HostFile.create(options.path)
    let name = String(decoding: options.path, as: UTF8.self)
    guard descriptor >= 0, HostFile.write(RecordingFile.header, to: Int32(truncatingIfNeeded: descriptor)),
      let page = HostFile.sharedPage()
    else { throw .cannotOpen("cannot write \(name) (errno \(-descriptor))") }
    shared = page
    writer = TimelineWriter(descriptor: Int32(truncatingIfNeeded: descriptor), timeline: 0)
    schedule = ThreadSchedule(seed: options.seed, isChaotic: options.isChaotic)
    _ = HostFile.fetchAdd(shared + Shared.timelines)
  }

  public var isRepeatable: Bool { true }

  public func prepare(_ memory: AddressSpace) {
    self.memory = memory
    memory.keepsLock = true
    firstJournal = makeJournal()
    memory.journal = firstJournal
  }

  private func makeJournal() -> MemoryJournal {
    MemoryJournal { [unowned self] request, size in
      guard let file = request.file else { return 0 }
      return files.number(of: file.descriptor, file.identity, file.offset, size, memory, &writer)
    }
  }

  public func begin(_ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>) -> String? {
    self.process = process
    writer.descriptor = process.hide(writer.descriptor, movesStandard: true)
    outputs = [1, 2].map { process.file(behind: $0) ?? [] }
    process.observeReturns { [unowned self] in memory?.journal = known(process.currentThread)?.journal }
    process.observeForks({ [unowned self] in writer.flush() }, nil)
    process.observeSignals(LinuxProcess.endingSignals) { _, _, _ in }
    start.level = cpu.pointee.cpu_level
    beginTimeline(process)
    let thread = add(process.currentThread(on: cpu))
    var effect = StateEffect(whole: cpu)
    if let firstJournal { effect.memory = effects(firstJournal.entries, []) }
    process.memory.journal = nil
    current = thread
    log(.threadBegins, thread, effect)
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
    guard let process else { return engine.run(cpu, budget: budget) }
    var thread = enter(cpu, process)
    while true {
      let slice = process.memory.isThreaded ? schedule.next() : Recorder.longestRun
      let before = engine.instructionCount
      let exit = engine.run(cpu, budget: slice)
      thread.count &+= engine.instructionCount &- before
      switch exit {
      case .budget:
        flushIfDue()
        process.memory.yieldLock()
        thread = enter(cpu, process)
      case .fault(let fault) where fault.trap == .generalProtection && chance?.isChance(cpu) == true:
        takeChance(thread, engine, cpu)
      default: return exit
      }
    }
  }

  /// The thread of `cpu` has the lock and goes on.
  private func enter(_ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess) -> Thread {
    let guest = process.currentThread(on: cpu)
    let old = known(guest)
    let thread = old ?? add(guest)
    become(thread)
    if old == nil || thread.program != process.programCount {
      // New, or the first thread, which lives on after another one has executed a program.
      thread.program = process.programCount
      log(old == nil ? .threadBegins : .interruption, thread, StateEffect(whole: cpu))
    }
    return thread
  }

  /// Events are `thread`'s from now on.
  private func become(_ thread: Thread) {
    if current === thread { return }
    if let old = current, threads.contains(where: { $0 === old }) { log(.pause, old, StateEffect()) }
    current = thread
  }

  /// Executes the instruction whose result is chance.
  private func takeChance(
    _ thread: Thread, _ engine: any GuestEngine, _ cpu: UnsafeMutablePointer<CPUState>
  ) {
    let before = RegisterWords(cpu)
    cpu.pointee.traps_chance = 0
    _ = engine.step(cpu)
    cpu.pointee.traps_chance = 1
    log(.chance, thread, difference(before, cpu), before)
  }

  // MARK: What the personality does

  public func systemCall(_ cpu: UnsafeMutablePointer<CPUState>) -> Outcome {
    guard let process else { return .resume }
    let thread = enter(cpu, process)
    let number = LinuxProcess.callNumber(cpu)
    let before = RegisterWords(cpu)
    if refuses(number, cpu, process) {
      log(.systemCall(number: number, output: nil), thread, difference(before, cpu), before)
      return .resume
    }
    let filled = process.filledBuffers(cpu)
    let written = LinuxProcess.writtenBuffers(cpu, process.memory)
    let changed = changedFile(cpu, process)
    let timelineBefore = writer.timeline
    thread.journal.removeAll()
    process.memory.journal = thread.journal
    let outcome = process.systemCall(cpu)
    process.memory.journal = nil
    // A forked child's file is the same as its parent's; its thread as well.
    become(thread)
    let result = thread.guest.result
    var sizes: [MemoryEffect] = []
    if let changed, result >= 0 {
      noteChange(of: changed, arguments: before, count: UInt64(result), thread.journal, &sizes)
    }
    if !LinuxProcess.keepsDescriptors(number) { self.written.removeAll(keepingCapacity: true) }
    let isNewProgram = thread.program != process.programCount
    thread.program = process.programCount
    let signalReturn: UInt64 = 15
    var effect =
      number == signalReturn || isNewProgram ? StateEffect(whole: cpu) : difference(before, cpu)
    effect.memory = sizes + effects(thread.journal.entries, clip(filled, result))
    if process.memory.stackLimit != stackLimit {
      stackLimit = process.memory.stackLimit
      effect.memory.append(.stackLimit(stackLimit))
    }
    var output: Event.Output?
    if let written, result > 0, writer.timeline == timelineBefore {
      output = self.output(written.descriptor, UInt64(result), process)
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
    written.removeAll(keepingCapacity: true)
    guard outputNumber(descriptor, process) != nil else { return false }
    cpu.pointee.general.0 = UInt64(bitPattern: -22)  // EINVAL
    return true
  }

  private func outputNumber(_ descriptor: UInt64, _ process: LinuxProcess) -> UInt8? {
    writtenFile(descriptor, process)?.output
  }

  /// The descriptor of a mapped file whose contents the call is about to change.
  private func changedFile(_ cpu: UnsafeMutablePointer<CPUState>, _ process: LinuxProcess) -> UInt64? {
    guard let descriptor = process.changedFile(cpu), let file = writtenFile(descriptor, process) else {
      return nil
    }
    return files.contain(file.file) ? descriptor : nil
  }

  private func writtenFile(_ descriptor: UInt64, _ process: LinuxProcess) -> WrittenFile? {
    if let known = written[descriptor] { return known }
    guard let file = process.file(behind: descriptor) else { return nil }
    var result = WrittenFile(file: HostFile.Place(device: file[0], inode: file[1]))
    if let index = outputs.firstIndex(of: file) {
      // The same terminal is behind both more often than not.
      result.output = descriptor == 2 && outputs[1] == file ? 2 : UInt8(index + 1)
    }
    written[descriptor] = result
    return result
  }

  private func output(_ descriptor: UInt64, _ size: UInt64, _ process: LinuxProcess) -> Event.Output? {
    guard let number = outputNumber(descriptor, process) else { return nil }
    return Event.Output(descriptor: number, size: size, order: HostFile.fetchAdd(shared + Shared.outputs))
  }

  public func deliver(
    _ exit: Exit, _ cpu: UnsafeMutablePointer<CPUState>, _ body: () -> Outcome
  ) -> Outcome {
    guard let process else { return body() }
    let thread = enter(cpu, process)
    let before = RegisterWords(cpu)
    thread.journal.removeAll()
    process.memory.journal = thread.journal
    let outcome = body()
    process.memory.journal = nil
    become(thread)
    var effect = difference(before, cpu)
    // Nothing that the replay does not find out by itself: a page of code, a growing stack, a look for signals in vain.
    // A death lets go of futexes, in memory that others may have.
    if effect.mask == 0, !outcome.isDeath || thread.journal.entries.isEmpty { return outcome }
    effect.memory = effects(thread.journal.entries, [])
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
    let thread = enter(cpu, process)
    var (code, signal): (Int32, Int32) = (0, 0)
    if case .exited(let value) = termination { code = value }
    if case .killed(let value) = termination { signal = value }
    let hash = options.isStrict ? process.memory.contentHash() : nil
    log(.end(code: code, signal: signal, hash: hash), thread, StateEffect(), RegisterWords(cpu))
    writer.flush()
  }

  public func forked() {
    guard let process else { return }
    start.parent = ForkPoint(timeline: writer.timeline, events: eventCount)
    writer.begin(timeline: HostFile.fetchAdd(shared + Shared.timelines))
    beginTimeline(process)
    eventCount = 0
    let guest = process.currentThread
    threads.removeAll { $0.guest !== guest }
    current = threads.first
  }

  // MARK: Writing

  private func log(
    _ kind: Event.Kind, _ thread: Thread, _ effect: StateEffect, _ before: RegisterWords? = nil
  ) {
    var event = Event(kind: kind, thread: thread.index, count: thread.count, effect: effect)
    thread.sinceDigest &+= thread.count
    thread.count = 0
    if let before, thread.sinceDigest >= Recorder.digestInterval || options.isStrict || isEnd(kind) {
      event.digest = before.digest
      thread.sinceDigest = 0
    }
    writer.append(.event(event))
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
