// What of a recording's events, and of accesses to memory, can stop a journey: both sides of system calls, signals in front of their
// delivery, children that are made, programs that are executed, instructions that read. A stop in front of an event is a place of
// its own: whoever goes on from there lets the event happen.
import Engine
import GuestMemory

extension TravelStops {
  /// Events are looked at before they happen.
  var holdsEvents: Bool { signals != 0 || calls != nil && showsBothSides }
}

extension TravelEnd {
  var isCall: Bool {
    if case .systemCall = self { return true }
    return false
  }

  /// The replay is in front of what stopped it: going on from there leaves it.
  var isInFront: Bool {
    switch self {
    case .breakpoint, .systemCallEntry, .signal: true
    default: false
    }
  }
}

extension TimeTravel {
  /// What other processes have written to shared memory became visible just before the present, or, `ahead`, does so next.
  public func isBesideOthersWrites(ahead: Bool) -> Bool {
    guard let thread = replay.threads[replay.running] else { return false }
    if !ahead { return replay.lastKind == .othersWrites && thread.count == 0 }
    guard let due = try? replay.upcoming() else { return false }
    return due.kind == .othersWrites && due.thread == replay.running && due.count == thread.count
  }

  /// Whether to stop in front of an event that is about to happen to `thread`; nil: a call that the recording does not have.
  func isHeld(_ event: Event?, _ thread: Replay.Thread) -> Bool { held(event, thread) != nil }

  private func held(_ event: Event?, _ thread: Replay.Thread) -> TravelEnd? {
    let told = position == toldEvent?.position ? toldEvent?.end : nil
    let call: UInt64? =
      if let event { if case .systemCall(let number, _) = event.kind { number } else { nil } } else {
        thread.callNumber
      }
    if told == nil, stops.showsBothSides, let call, catches(call) { return .systemCallEntry(call) }
    // A signal that comes with a call's answer is seen in front of both.
    if let signal = event?.signal(thread, replay.memory)?.number, told != .signal(signal),
      stops.signals >> UInt64(signal - 1) & 1 != 0
    {
      return .signal(signal)
    }
    return nil
  }

  func catches(_ number: UInt64) -> Bool {
    stops.calls.map { $0.isEmpty || $0.contains(number) } ?? false
  }

  /// The replay rests in front of an event that is held.
  func takeHeld() -> TravelEnd {
    guard let thread = replay.threads[replay.running] else { return .arrived }
    // A thread that has departed stands at its call before the event is known to be the same.
    let event = replay.due.flatMap { $0.thread == replay.running ? $0 : nil }
    let end = held(event, thread) ?? .systemCallEntry(thread.callNumber)
    toldEvent = (position, end)
    return end
  }

  /// The signal that is delivered next, if that is what happens next to the thread that runs.
  public var nextSignal: RecordedSignal? {
    guard let event = replay.due, event.thread == replay.running, let thread = replay.threads[event.thread],
      var signal = event.signal(thread, replay.memory)
    else { return nil }
    if !signal.isComplete { complete(&signal, thread) }
    return signal
  }

  /// A handler without SA_SIGINFO has not been told more than the number. Sent by the thread itself, its sender is known.
  private func complete(_ signal: inout RecordedSignal, _ thread: Replay.Thread) {
    let standing = thread.isAtCall ? thread.callNumber : nil
    guard let call = standing ?? replay.answeredCall(of: thread) else { return }
    guard [CallNumber.kill, CallNumber.threadKill, CallNumber.groupThreadKill].contains(call) else { return }
    // SI_USER, SI_TKILL.
    let code = UInt32(bitPattern: call == CallNumber.kill ? 0 : -6)
    for index in 0..<4 {
      signal.information[8 + index] = UInt8(truncatingIfNeeded: code >> UInt32(index * 8))
      signal.information[16 + index] = UInt8(truncatingIfNeeded: replay.processNumber >> UInt64(index * 8))
    }
  }

  /// The last event as a stop: a call that is caught, a child, a program.
  func takeEvent(since events: UInt64) -> TravelEnd? {
    guard replay.eventCount != events, let number = replay.lastCall else { return nil }
    beforeChange = Position(instant: instant, event: replay.eventCount &- 1)
    if stops.showsFamily {
      if replay.lastResets { return .executed }
      if let child = newChild(number) { return child }
    }
    // These do not return.
    if stops.showsBothSides, number == CallNumber.exit || number == CallNumber.exitGroup { return nil }
    return catches(number) ? .systemCall(number) : nil
  }

  /// The process that fork(2) or one of its relatives has just made.
  private func newChild(_ number: UInt64) -> TravelEnd? {
    // CLONE_THREAD, CLONE_VFORK.
    let (thread, vfork): (UInt64, UInt64) = (0x10000, 0x4000)
    guard let cpu = replay.threads[replay.running]?.cpu, cpu.pointee.general.0 &- 1 < 1 << 31 else {
      return nil
    }
    let flags: UInt64
    switch number {
    case CallNumber.clone: flags = cpu.pointee.general.7
    case CallNumber.fork: flags = 0
    case CallNumber.vfork: flags = vfork
    case CallNumber.clone3: flags = replay.memory.load(UInt64.self, at: cpu.pointee.general.7) ?? thread
    default: return nil
    }
    if flags & thread != 0 { return nil }
    return .forked(child: cpu.pointee.general.0, isVfork: flags & vfork != 0)
  }

  // MARK: Accesses

  /// The instruction in front of which the visitor of accesses has come to rest is executed; what has stopped there.
  func passAccess(_ access: Range<UInt64>) throws(RecordingError) -> TravelEnd? {
    let place = position
    accessVisitor?.passes = instant
    let pause = try proceed(to: instant &+ 1, leavesStop: true)
    switch pause {
    case .end(let end):
      ending = end
      return .end(end)
    case .event: return takeHeld()
    default: break
    }
    // It has faulted, and has accessed nothing.
    if instant == place.instant { return nil }
    let changed = takeChange(since: place.event)
    beforeChange = place
    return changed.flatMap { $0 == .changed(access) ? nil : $0 } ?? .accessed(access)
  }

  /// The access that stops behind the next instruction of the thread that runs.
  func nextAccess() -> Range<UInt64>? {
    guard accessVisitor != nil, let thread = replay.threads[replay.running], !thread.isAtCall else {
      return nil
    }
    accessVisitor?.passes = instant
    return accessed?(thread.cpu)
  }
}

/// Comes to rest in front of instructions that access what is watched, and at stop addresses, which an engine that executes single
/// instructions does not look for.
final class AccessVisitor: ReplayVisitor {
  enum Finding { case breakpoint, access(Range<UInt64>) }

  private unowned let travel: TimeTravel
  private let addresses: StopAddresses?
  /// Executes what is of no interest.
  let watcher: InterpreterEngine?
  /// The instructions at these instants are executed in any case, and in spite of a stop address.
  var passes: InstructionCount = -1
  var leavesStop: InstructionCount = -1
  private(set) var finding = Finding.breakpoint

  init(_ travel: TimeTravel, _ addresses: StopAddresses?) {
    (self.travel, self.addresses) = (travel, addresses)
    watcher = InterpreterEngine(memory: travel.replay.memory)
    watcher?.filter = WatchFilter(travel.stops.accessed, seesReads: true)
    watcher?.stops = addresses
  }

  func willExecute(_ thread: VisitedThread) -> Bool {
    if thread.instant == passes { return true }
    if thread.instant != leavesStop, addresses?.contains(thread.cpu.pointee.rip) ?? false {
      finding = .breakpoint
      return false
    }
    guard let access = travel.accessed?(thread.cpu) else { return true }
    finding = .access(access)
    return false
  }

  func didExecute(_ thread: VisitedThread, isComplete: Bool) {}
  func willHappen(_ event: VisitedEvent, _ thread: VisitedThread) {}
  func didHappen(_ event: VisitedEvent, _ thread: VisitedThread, changesMappings: Bool, resets: Bool) {}
}

// MARK: - Signals

/// A signal that a handler gets.
public struct RecordedSignal: Sendable {
  public var number: Int32
  /// Its siginfo_t, as the handler sees it; only the number when it does not (`isComplete`).
  public var information: [UInt8]
  var isComplete: Bool
}

extension Event {
  private static let informationSize = 128

  /// The signal whose handler begins with this event. The handler's arguments tell: its number in RDI, and the frame on its stack.
  fileprivate func signal(_ thread: Replay.Thread, _ memory: AddressSpace) -> RecordedSignal? {
    let rip = 18
    switch kind {
    case .interruption, .fault, .systemCall: if effect.mask >> UInt32(rip) & 1 == 0 { return nil }
    default: return nil
    }
    let old = RegisterWords(thread.cpu)
    func after(_ index: Int) -> UInt64 {
      effect.mask >> UInt32(index) & 1 != 0 ? effect.registers[index] : old[index]
    }
    let (rdx, rsp, rsi, rdi) = (2, 4, 6, 7)
    let number = after(rdi)
    // struct rt_sigframe: the return address, and behind it the ucontext.
    guard 1...64 ~= number, after(rdx) == after(rsp) &+ 8, !effect.memory.isEmpty else { return nil }
    let place = after(rsi)
    var information = [UInt8](repeating: 0, count: Event.informationSize)
    for case .write(let start, let bytes) in effect.memory {
      for (index, byte) in bytes.enumerated() {
        let offset = start &+ UInt64(index) &- place
        if offset < UInt64(information.count) { information[Int(offset)] = byte }
      }
    }
    let isComplete = information[0] == UInt8(number) && information[1...3].allSatisfy { $0 == 0 }
    if !isComplete {
      information = [UInt8](repeating: 0, count: Event.informationSize)
      information[0] = UInt8(number)
    }
    return RecordedSignal(number: Int32(number), information: information, isComplete: isComplete)
  }
}
