// Watches a replay for the sinks: finds out what each instruction is, what it accesses and whose it is, and tells them. Owns the
// threads' stacks.
import CHost
import Engine
import GuestMemory
import Linux
import Record

final class TraceVisitor: ReplayVisitor, FrameObserver {
  private let context: TraceContext
  private let code: CodeTable
  private let sinks: [TraceSink]
  private let needsAccesses: Bool
  private let needsFrames: Bool
  private let needsCalls: Bool
  private let limit: Int64
  private let selections: [TraceSelection]
  private var wanted: [Range<UInt64>] = []
  private(set) var missing: Set<[UInt8]> = []
  private var reader = AccessReader()
  private var threads: [Int: ThreadStacks] = [:]
  private var lastThread: ThreadStacks?
  private var stackCount = 0
  /// The instruction that is being executed.
  private var entry: Int?
  private var moment = TraceMoment(instant: 0, thread: 0)
  /// Calls of what is traced that have begun, by thread.
  private var calls: [Int: RecordedCall] = [:]
  private let texts = RecordedCallText()
  private var rip: UInt64 = 0

  init(_ context: TraceContext, _ sinks: [TraceSink], _ request: TraceRequest) {
    self.context = context
    self.sinks = sinks
    code = context.code
    needsAccesses = sinks.contains { $0.needsAccesses }
    needsFrames = sinks.contains { $0.needsFrames }
    needsCalls = sinks.contains { $0.needsCalls }
    limit = request.limit
    selections = request.selections
    for case .symbol(let name) in selections { missing.insert(name) }
    findSelections()
    if !selections.isEmpty {
      code.isWanted = { [unowned self] address in wanted.contains { $0.contains(address) } }
    }
  }

  /// Where the selected code is now; its names may be those of a library that is mapped later.
  private func findSelections() {
    if selections.isEmpty { return }
    var ranges: [Range<UInt64>] = []
    for selection in selections {
      switch selection {
      case .range(let range): ranges.append(range)
      case .symbol(let name):
        let found = context.functions.ranges(named: name)
        if !found.isEmpty { missing.remove(name) }
        ranges += found
      }
    }
    if ranges == wanted { return }
    wanted = ranges
    code.forgetAll()
  }

  private func stacks(of thread: Int) -> ThreadStacks {
    if let lastThread, lastThread.thread == thread { return lastThread }
    let found =
      threads[thread]
      ?? ThreadStacks(
        thread, context.replay.memory, context.functions, self,
        nextNumber: { [unowned self] in
          stackCount += 1
          return stackCount - 1
        })
    threads[thread] = found
    lastThread = found
    return found
  }

  // MARK: Instructions

  func willExecute(_ thread: VisitedThread) -> Bool {
    if context.counted >= limit { return false }
    let cpu = thread.cpu
    rip = cpu.pointee.rip
    moment = TraceMoment(instant: thread.instant, thread: thread.index)
    entry = code.entry(at: rip)
    if needsFrames { stacks(of: thread.index).prepare(rsp: cpu.pointee.general.4, rip: rip) }
    guard let entry, (code.entries + entry).pointee.isWanted else { return true }
    if needsAccesses { reader.begin(code.entries + entry, cpu) }
    for sink in sinks { sink.begins(entry, moment) }
    return true
  }

  func didExecute(_ thread: VisitedThread, isComplete: Bool) {
    guard let entry else { return }
    let place = code.entries + entry
    let isWanted = place.pointee.isWanted
    let flow = place.pointee.flow
    if isWanted {
      if needsAccesses, isComplete || place.pointee.accesses.repeats { tellAccesses(entry, thread) }
      if isComplete { count(entry, thread.index) }
    }
    if !isComplete { return }
    if flow == .systemCall, needsCalls, isWanted {
      calls[thread.index] = texts.begin(thread.cpu, context.replay.memory)
    }
    if needsFrames, flow != .next, flow != .systemCall { transfer(entry, flow, thread) }
  }

  private func tellAccesses(_ entry: Int, _ thread: VisitedThread) {
    reader.finish(code.entries + entry, thread.cpu)
    for access in reader.accesses {
      for sink in sinks { sink.accessed(access, by: entry, moment) }
    }
  }

  private func count(_ entry: Int, _ thread: Int) {
    context.counted &+= 1
    var stack: ShadowStack?
    if needsFrames {
      let stacks = stacks(of: thread)
      stacks.counted &+= 1
      stack = stacks.current
    }
    for sink in sinks { sink.executed(entry, moment, stack) }
  }

  private func transfer(_ entry: Int, _ flow: Flow, _ thread: VisitedThread) {
    let stacks = stacks(of: thread.index)
    let (target, rsp) = (thread.cpu.pointee.rip, thread.cpu.pointee.general.4)
    moment.instant = thread.instant
    switch flow {
    case .call:
      let next = rip &+ UInt64((code.entries + entry).pointee.instruction.length)
      stacks.called(rip: target, next: next, rsp: rsp, site: entry)
    case .ret:
      stacks.prepare(rsp: rsp, rip: target)
      stacks.returned(rsp: rsp)
    case .jump: stacks.jumped(rip: target, rsp: rsp, site: entry)
    case .branch:
      let next = rip &+ UInt64((code.entries + entry).pointee.instruction.length)
      if target != next { stacks.jumped(rip: target, rsp: rsp, site: entry) }
    case .next, .systemCall: break
    }
  }

  // MARK: Events

  func willHappen(_ event: VisitedEvent, _ thread: VisitedThread) {
    moment = TraceMoment(instant: thread.instant, thread: thread.index)
    rip = thread.cpu.pointee.rip
    guard event == .threadEnds else { return }
    if let call = calls.removeValue(forKey: thread.index) {
      tell(call.unanswered(), texts.name(call.number), thread.index)
    }
    threads[thread.index]?.end()
    threads[thread.index] = nil
    lastThread = nil
  }

  func didHappen(_ event: VisitedEvent, _ thread: VisitedThread, changesMappings: Bool, resets: Bool) {
    if resets {
      for thread in threads.values.sorted(by: { $0.thread < $1.thread }) { thread.end() }
      threads = [:]
      lastThread = nil
    }
    if changesMappings {
      context.functions.mappingsChanged()
      findSelections()
    }
    switch event {
    case .systemCall(let number):
      if let call = calls.removeValue(forKey: thread.index) {
        tell(call.text(thread.cpu, context.replay.memory), texts.name(number), thread.index)
      }
      // A signal's handler may begin behind the call, unless it begins once more.
      let returnsFromSignal = number == 15
      if thread.cpu.pointee.rip != rip, thread.cpu.pointee.rip != rip &- 2, !resets {
        exchanged(thread, isSignal: !returnsFromSignal)
      }
    case .signal: exchanged(thread, isSignal: thread.cpu.pointee.rip != rip)
    default: break
    }
  }

  private func exchanged(_ thread: VisitedThread, isSignal: Bool) {
    guard needsFrames, threads[thread.index] != nil else { return }
    stacks(of: thread.index).exchanged(
      rip: thread.cpu.pointee.rip, rsp: thread.cpu.pointee.general.4, isSignal: isSignal)
  }

  private func tell(_ text: String, _ name: String, _ thread: Int) {
    let stack = needsFrames ? threads[thread]?.current : nil
    for sink in sinks { sink.called(text, name: name, moment, stack) }
  }

  // MARK: Frames

  func entered(_ frame: inout TraceFrame, _ how: Transition, _ stack: ShadowStack, caller: TraceFrame?) {
    if !selections.isEmpty {
      frame.isWanted = code.isWanted(context.functions.functions[frame.function].address)
    }
    for sink in sinks { sink.entered(&frame, how, stack, caller: caller, moment) }
  }

  func left(_ frame: TraceFrame, _ how: Transition, _ stack: ShadowStack) {
    let counted = threads[stack.thread]?.counted ?? frame.start
    for sink in sinks { sink.left(frame, how, stack, counted: counted &- frame.start, moment) }
  }

  /// The trace ends here.
  func finish() {
    moment.instant = context.replay.instant
    for thread in threads.values.sorted(by: { $0.thread < $1.thread }) {
      moment.thread = thread.thread
      thread.end()
    }
    threads = [:]
    lastThread = nil
  }
}
