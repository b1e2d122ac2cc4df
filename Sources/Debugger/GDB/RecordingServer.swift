// The protocol's server for a recording: its debugger goes forwards and backwards (`bs`, `bc`). There is one host thread; a packet that
// moves is answered when the journey is over, and on the way the connection is looked at for Ctrl-C.

import CHost
import Engine
import LinuxABI
import Record

/// Serves one recording.
public final class RecordingServer: RemoteServer {
  let machine: RecordingTarget
  private var travel: TimeTravel { machine.travel }
  private var isDone = false
  /// The program was killed by a signal at the end of the recording, and the debugger knows.
  private var signalTold: Int?
  /// The thread of the last stop reply.
  private var lastStopped: UInt64 = 0
  /// Cycles of the time-stamp counter between two looks at the connection.
  private static let patience: UInt64 = 10_000_000
  private var lastLook: UInt64 = 0
  /// The events behind the output that was shown, by timeline.
  private var told: [Int: UInt64] = [:]
  /// What the debugger wants to be told of besides.
  private var wantsForks = false
  private var wantsExecutions = false
  /// A vfork was shown, and its end is to be.
  private var vforkEnds = false
  /// The program that the debugger knows.
  private var program: [UInt8] = []

  public init(
    address: DebuggerAddress, travel: TimeTravel, say: @escaping @Sendable (String) -> Void
  ) {
    machine = RecordingTarget(travel)
    super.init(address: address, say: say)
    registers =
      machine.currentThread.map { RegisterFile(components: $0.thread.cpu.pointee.xcr0) } ?? registers
    travel.isInterrupted = { [unowned self] in isAskedToStop() }
    travel.replay.output = { [unowned self] _, _, bytes in tell(bytes) }
    travel.accepts = { [unowned self] end in
      guard case .breakpoint = end else { return true }
      return machine.currentThread.map { stops($0, machine.memory) } ?? true
    }
  }

  override var target: (any RemoteTarget)? { machine }

  /// Serves until a debugger ends it; what is in the way, or nil.
  public func serve() -> String? {
    if address == .standardStreams {
      (input, output, connections) = (0, 1, 1)
    } else {
      listener = Connection.listen(address)
      if listener < 0 { return "cannot listen for a debugger (errno \(-listener))" }
      announce()
    }
    while !isDone {
      if input >= 0 { receive() } else { accept() }
    }
    return nil
  }

  private func accept() {
    let result = Connection.accept(listener, address)
    guard result >= 0 else { return }
    (input, output) = (result, result)
    session = Session()
    reader = PacketReader(limit: RemoteServer.packetSize)
    connections += 1
  }

  /// Another debugger may come, and finds the recording where this one left it.
  override func disconnect() {
    if listener < 0 { isDone = true }
    files.closeAll(machine)
    if input >= 0, listener >= 0 { _ = Connection.call(Connection.Call.close, input) }
    (input, output) = (-1, -1)
    breakpoints = [:]
    machine.clearStops()
    machine.shownChild = nil
    (wantsForks, wantsExecutions, vforkEnds) = (false, false, false)
  }

  // MARK: What is asked

  override func ownFeatures(_ asks: (String) -> Bool) -> [String] {
    wantsForks = asks("fork-events") && session.isMultiprocess
    wantsExecutions = asks("exec-events")
    if wantsForks || wantsExecutions { machine.stopAtFamily() }
    passSignals(MachineControl.usuallyPassed)
    program = machine.executablePath
    return [
      "ReverseStep+", "ReverseContinue+", "qXfer:memory-map:read+", "qXfer:siginfo:read+", "QPassSignals+",
      "QProgramSignals+", "QCatchSyscalls+", "fork-events+", "vfork-events+", "exec-events+",
    ]
  }

  override func passSignals(_ signals: UInt64) { machine.stop(atSignals: ~signals) }
  override func catchSystemCalls(_ calls: Set<UInt64>?) { machine.stop(atCalls: calls) }

  override func metLLDB() {
    wantsExecutions = true
    machine.stopAtFamily()
  }

  override func ownObject(_ name: String) -> [UInt8]? {
    if name == "siginfo" { return information }
    guard name == "memory-map" else { return nil }
    // Mappings come and go in time, but the debugger asks once.
    return Array(
      """
      <?xml version="1.0"?>
      <!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" \
      "http://sourceware.org/gdb/gdb-memory-map.dtd">
      <memory-map><memory type="ram" start="0x0" length="0xffffffffffffffff"/></memory-map>

      """.utf8)
  }

  override func ownReply(to data: [UInt8]) -> [UInt8]? {
    if let text = tail(data, "vCont;") { return continueThreads(text) }
    if tail(data, "vKill;") != nil {
      isDone = true
      return RemoteServer.success
    }
    if data.starts(with: "D;".utf8), let reply = leave(data.dropFirst(2)) { return reply }
    switch data.first {
    case UInt8(ascii: "c"), UInt8(ascii: "C"): return forward(nil)
    case UInt8(ascii: "s"), UInt8(ascii: "S"): return forward(resumedThread)
    case UInt8(ascii: "b"): return backward(data)
    case UInt8(ascii: "D"):
      send(RemoteServer.success)
      disconnect()
      return nil
    case UInt8(ascii: "k"):
      isDone = true
      return session.isLLDB ? Array("X09".utf8) : nil
    default: return []
    }
  }

  /// `D;PROCESS`: nil when the debugger leaves altogether.
  private func leave(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    guard let child = machine.shownChild else { return nil }
    if Hex.number(text) == child {
      machine.shownChild = nil
      return RemoteServer.success
    }
    say("a recorded child is a timeline of its own: vitrine debug --timeline N, and vitrine replay --list")
    return RemoteServer.failure
  }

  override func currentStop() -> [UInt8] {
    if session.lastStop.isEmpty {
      session.lastStop = stopped(machine.currentThread, session.isLLDB ? .signal(Signal.stop) : .step)
    }
    return session.lastStop
  }

  // MARK: Moving

  /// The thread of `Hc`. When that is any, which gdb says unless its scheduler is locked: the one that stopped last.
  private var resumedThread: RecordedThread? {
    let number = session.resumed == 0 ? lastStopped : session.resumed
    return machine.remoteThreads.first { $0.number == number } as? RecordedThread ?? machine.currentThread
  }

  private func continueThreads(_ text: ArraySlice<UInt8>) -> [UInt8] {
    guard let orders = actions(text) else { return RemoteServer.failure }
    // Who runs and who waits was decided at the time of recording: what counts is who makes a step.
    for thread in machine.remoteThreads {
      guard let order = orders.first(where: { $0.fits(thread.number) }) else { continue }
      switch order.action {
      case .step: return forward(thread as? RecordedThread)
      case .stepRange(let range): return forward(thread as? RecordedThread, while: range)
      case .run, .hold: continue
      }
    }
    return forward(nil)
  }

  /// A step of one thread, or steps as long as it stays in a range; nil: up to the next stop.
  private func forward(_ thread: RecordedThread?, while range: Range<UInt64>? = nil) -> [UInt8] {
    move { () throws(RecordingError) in
      guard let thread else { return try travel.goOn(machine.stops) }
      travel.keepsStops = range != nil
      defer { travel.keepsStops = false }
      while true {
        let end = try travel.step(thread.thread.index, machine.stops)
        guard end == .arrived, let range else { return end }
        let place = travel.replay.threads[thread.thread.index]?.cpu.pointee.rip
        guard let place, range.contains(place) else { return end }
        if machine.stops.addresses.contains(place) { return .breakpoint(place) }
      }
    }
  }

  /// `bs` and `bc`.
  private func backward(_ data: [UInt8]) -> [UInt8] {
    signalTold = nil
    if data.elementsEqual("bc".utf8) {
      return move { () throws(RecordingError) in try travel.goBack(machine.stops) }
    }
    guard data.elementsEqual("bs".utf8), let thread = resumedThread else { return [] }
    return move { () throws(RecordingError) in
      let before = machine.watchedBytes
      let end = try travel.stepBack(thread.thread.index)
      for (index, bytes) in machine.watchedBytes.enumerated() where bytes != before[index] {
        let point = machine.watchpoints[index]
        return .changed(point.bytes)
      }
      // What was undone is the instruction that is next now.
      let cpu = end == .arrived ? machine.currentThread?.thread.cpu : nil
      return cpu.flatMap { machine.accessedBytes($0) }.map { .accessed($0) } ?? end
    } stepped: {
      thread.number
    }
  }

  /// Makes a journey; the stop reply.
  private func move(
    _ journey: () throws(RecordingError) -> TravelEnd, stepped: () -> UInt64? = { nil }
  ) -> [UInt8] {
    tellNews()
    machine.shownChild = nil
    if vforkEnds {
      vforkEnds = false
      return stopped(machine.currentThread, .vforkDone)
    }
    session.isRunning = true
    session.isInterrupted = false
    lastLook = vt_host_time_stamp()
    defer { session.isRunning = false }
    do throws(RecordingError) {
      let end = try journey()
      let thread = stepped().flatMap { machine.thread($0) }
      session.lastStop = reply(to: end, thread as? RecordedThread ?? machine.currentThread)
    } catch {
      if error != .interrupted { say(error.message) }
      let signal = error == .interrupted ? Signal.interrupt : Signal.abort
      session.lastStop = stopped(machine.currentThread, .signal(signal))
    }
    return session.lastStop
  }

  /// What there is to tell goes to the debugger's console, which is possible while the machine is taken for running only.
  private func tellNews() {
    for text in machine.news { send([UInt8(ascii: "O")] + Hex.bytes(Array(text.utf8))) }
    machine.news = []
  }

  /// A program that has departed from the recording prints other things: they are shown when they come first.
  private func tell(_ bytes: [UInt8]) {
    let number = travel.timeline
    guard number != 0, session.isRunning, travel.replay.eventCount >= told[number] ?? 0 else { return }
    told[number] = travel.replay.eventCount &+ 1
    let piece = RemoteServer.packetSize / 4
    var rest = bytes[...]
    while !rest.isEmpty {
      send([UInt8(ascii: "O")] + Hex.bytes(Array(rest.prefix(piece))))
      rest = rest.dropFirst(piece)
    }
  }

  private func reply(to end: TravelEnd, _ thread: RecordedThread?) -> [UInt8] {
    switch end {
    case .arrived: return arrived(thread)
    case .breakpoint: return stopped(thread, .breakpoint)
    case .changed(let range):
      return stopped(thread, machine.watchpoint(range, reads: false).map { .watchpoint($0) } ?? .step)
    case .accessed(let range):
      return stopped(thread, machine.watchpoint(range, reads: true).map { .watchpoint($0) } ?? .step)
    case .systemCallEntry(let number): return stopped(thread, .systemCallEntry(number))
    case .systemCall(let number): return stopped(thread, .systemCallReturn(number))
    case .signal(let signal): return stopped(thread, .signal(signal))
    case .forked(let child, let isVfork):
      if !wantsForks { return stopped(thread, .step) }
      machine.shownChild = child
      vforkEnds = isVfork
      return stopped(thread, .fork(child: child, isVfork: isVfork))
    case .executed: return wantsExecutions ? executed(thread) : stopped(thread, .step)
    case .beginning: return stopped(thread, .step, "replaylog:begin;", note: "the beginning of the recording")
    case .end(.killed(let signal)) where signalTold != travel.timeline:
      signalTold = travel.timeline
      return stopped(thread, .signal(signal))
    case .end(let end):
      if travel.timeline != 0 {
        switch end {
        case .exited(let code): machine.news.append("the program ends here with code \(code)\n")
        case .departed(let text): machine.news.append(text + "\n")
        case .killed, .unfinished: break
        }
        tellNews()
      }
      return stopped(thread, .step, "replaylog:end;", note: "the end of the recording")
    }
  }

  /// A step is done. One back may have led in front of execve(2).
  private func arrived(_ thread: RecordedThread?) -> [UInt8] {
    if wantsExecutions, machine.executablePath != program { return executed(thread) }
    return stopped(thread, .step)
  }

  /// Another program runs here: behind execve(2), or, on the way back, in front of it.
  private func executed(_ thread: RecordedThread?) -> [UInt8] {
    program = machine.executablePath
    breakpoints = [:]
    machine.clearPlaces()
    return stopped(thread, .execute(path: program))
  }

  /// The siginfo_t of the last stop.
  private var information: [UInt8] {
    var words = ControlledThread.trap(0, 0)
    switch session.stopReason {
    // SI_KERNEL, TRAP_TRACE, TRAP_HWBKPT: what ptrace(2) shows.
    case .breakpoint: words[1] = 128
    case .watchpoint(let point): (words[1], words[2]) = (4, point.address)
    case .signal(let number):
      if let signal = travel.nextSignal, signal.number == number { return signal.information }
      words = deadlyInformation(number)
    default: (words[1], words[2]) = (2, travel.replay.instructionPointer ?? 0)
    }
    return words.withUnsafeBytes { Array($0) }
  }

  /// Of a signal that ended the program nothing but the number was recorded: what the instruction tells.
  private func deadlyInformation(_ signal: Int32) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: 16)
    words[0] = UInt64(UInt32(bitPattern: signal))
    guard let cpu = machine.currentThread?.thread.cpu else { return words }
    switch signal {
    case Signal.segmentation:
      let (notMapped, notAllowed, kernel): (UInt64, UInt64, UInt64) = (1, 2, 128)
      let access = machine.forbiddenAccess(cpu)
      words[1] = access.map { $0.isMapped ? notAllowed : notMapped } ?? kernel
      words[2] = access?.address ?? 0
    // ILL_ILLOPN, FPE_INTDIV: at this instruction.
    case Signal.illegal: (words[1], words[2]) = (2, cpu.pointee.rip)
    case Signal.floatingPoint: (words[1], words[2]) = (1, cpu.pointee.rip)
    default: break
    }
    return words
  }

  private func stopped(
    _ thread: RecordedThread?, _ reason: StopReason, _ words: String = "", note: String? = nil
  ) -> [UInt8] {
    guard let thread else { return RemoteServer.failure }
    (session.general, session.resumed, lastStopped) = (thread.number, thread.number, thread.number)
    return stopReply(thread, reason, words, note: note)
  }

  // MARK: Ctrl-C

  override func interrupt() { session.isInterrupted = true }

  /// Looks whether Ctrl-C has come meanwhile; not each time.
  private func isAskedToStop() -> Bool {
    if session.isInterrupted || isDone { return true }
    let now = vt_host_time_stamp()
    if now &- lastLook < RecordingServer.patience || !session.isRunning { return false }
    lastLook = now
    // Ctrl-C is all that comes while the machine runs; the end of the connection shows as readable, too.
    while !session.isInterrupted, !isDone, input >= 0, Connection.isReadable(input) { receive() }
    return session.isInterrupted || isDone || input < 0
  }

  // MARK: Commands of our own

  override var ownHelp: String {
    """
    monitor where        the instant: instructions executed so far, and the thread and place
    monitor seek N       go to an instant; also: seek start, seek end
    monitor last-change ADDRESS [SIZE]
                         go back to what changed these bytes last (8 if not said)
    monitor timelines    what changes have led to; monitor timeline N: go over to one
      After all but the first, gdb has to forget what it knows:
      maintenance flush register-cache, maintenance flush dcache

    """
  }

  override func execute(_ words: [String]) -> String? {
    do throws(RecordingError) {
      switch words.first {
      case "where": return here
      case "seek":
        guard words.count == 2, let answer = try seek(words[1]) else { return "monitor seek N|start|end\n" }
        return answer
      case "timelines": return travel.timelineSummaries.map { line($0) }.joined()
      case "timeline":
        guard words.count == 2, let number = Int(words[1]), try travel.choose(number) else {
          return "monitor timeline N: there is none of this number\n"
        }
        (signalTold, machine.news) = (nil, [])
        session.lastStop = stopped(machine.currentThread, .step)
        return here
      case "last-change":
        let size = words.count > 2 ? RecordingServer.number(words[2]) : 8
        guard words.count > 1, let address = RecordingServer.number(words[1]), let size, size > 0,
          size <= 1 << 20, !address.addingReportingOverflow(size).overflow
        else { return "monitor last-change ADDRESS [SIZE]\n" }
        let end = try travel.lastChange(of: address..<address &+ size)
        return (end == .beginning ? "not changed since the beginning:\n" : "") + here
      default: return nil
      }
    } catch {
      return error.message + "\n"
    }
  }

  private func seek(_ text: String) throws(RecordingError) -> String? {
    signalTold = nil
    switch text {
    case "start": _ = try travel.seek(0)
    case "end": _ = try travel.goOn(TravelStops())
    default:
      guard let target = Int64(text), target >= 0 else { return nil }
      _ = try travel.seek(target)
    }
    session.lastStop = stopped(machine.currentThread, .step)
    return here
  }

  private func line(_ timeline: TimelineSummary) -> String {
    "\(timeline.number == travel.timeline ? "*" : " ") \(timeline.number)  \(timeline.origin)\n"
  }

  private var here: String {
    let replay = travel.replay
    replay.objects.refresh()
    let place = replay.instructionPointer ?? 0
    let name = replay.objects.describe(place).map { " <\($0)>" } ?? ""
    return
      "instant \(travel.instant), thread \(machine.currentThread?.number ?? 0), \(place.hexadecimal)\(name)\n"
  }

  /// Decimal, or hexadecimal behind 0x.
  private static func number(_ text: String) -> UInt64? {
    text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }
}
