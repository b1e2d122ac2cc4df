// A recording as the remote protocol shows it: threads, memory and files of the instant where its replay stands. What is
// changed makes another timeline. Breakpoints and watchpoints are kept for the next journey.

import CHost
import Engine
import GuestMemory
import Linux
import Record

/// A thread of a recording.
final class RecordedThread: RemoteThread {
  let thread: Replay.Thread
  let number: UInt64
  private let replay: Replay

  init(_ thread: Replay.Thread, number: UInt64, _ replay: Replay) {
    (self.thread, self.number, self.replay) = (thread, number, replay)
  }

  var access: RegisterAccess {
    RegisterAccess(
      recorded: thread.cpu, isAtCall: thread.isAtCall, isWaiting: thread.index != replay.running,
      answered: replay.answeredCall(of: thread))
  }
  var instructionPointer: UInt64 { thread.cpu.pointee.rip }
  var isInHostCall: Bool { thread.isAtCall }
  var originalRAX: UInt64 { thread.isAtCall ? thread.callNumber : .max }
}

final class RecordingTarget: RemoteTarget {
  let travel: TimeTravel
  private(set) var stops = TravelStops()
  /// What the debugger's user is to be told when there is an opportunity.
  var news: [String] = []
  private(set) var watchpoints: [Watchpoint] = []
  private var replay: Replay { travel.replay }
  /// It stands for the process all the time: the debugger would take another number for another process, and what leads to a child's
  /// timeline is its parent's.
  let processNumber: UInt64
  /// The child that was just made, of which the debugger thinks that it is there.
  var shownChild: UInt64?
  private lazy var accesses = AccessReader(memory: replay.memory)

  init(_ travel: TimeTravel) {
    self.travel = travel
    processNumber = travel.replay.processNumber
    travel.accessed = { [unowned self] in accessedBytes($0) }
  }

  var memory: AddressSpace? { replay.memory }

  /// What is not known is counted from the process's number on.
  private func number(_ thread: Replay.Thread) -> UInt64 {
    thread.number != 0 ? thread.number : processNumber &+ UInt64(thread.index)
  }

  var remoteThreads: [any RemoteThread] {
    replay.threads.values.sorted { $0.index < $1.index }
      .map { RecordedThread($0, number: number($0), replay) }
  }

  /// The thread that runs, or has run last.
  var currentThread: RecordedThread? {
    (replay.threads[replay.running] ?? replay.threads.values.min { $0.index < $1.index })
      .map { RecordedThread($0, number: number($0), replay) }
  }

  func auxiliaryBytes() -> [UInt8] { replay.auxiliaryVector }
  var executablePath: [UInt8] { replay.executablePath }

  func mapsText() -> [UInt8] {
    replay.memory.regions().reduce(into: []) { $0 += LinuxProcess.mapsLine($1, replay.memory) }
  }

  func title(of thread: any RemoteThread) -> [UInt8] {
    let mostBytes = 15
    return Array((executablePath.split(separator: 47).last ?? []).prefix(mostBytes))
  }

  // MARK: Changes

  func write(_ values: [RegisterValue], to thread: any RemoteThread) -> [UInt8]? {
    guard let recorded = thread as? RecordedThread else { return RemoteServer.failure }
    let values = values.filter { thread.access.read($0.register) != $0.bytes }
    let text =
      values.count == 1 ? "\(values[0].register.name) = \(hexadecimal(values[0].bytes))" : "registers"
    return change { () throws(RecordingError) in
      try travel.change(text, thread: recorded.thread.index) { cpu in
        RegisterAccess(recorded: cpu, isAtCall: false, isChangeable: true).write(values)
      }
    }
  }

  func write(_ bytes: [UInt8], at address: UInt64) -> [UInt8]? {
    let text = "\(bytes.count) bytes at \(address.hexadecimal)"
    return change { () throws(RecordingError) in try travel.change(text, bytes, at: address) }
  }

  private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.count <= 8 ? RegisterAccess.value(bytes).hexadecimal : "\(bytes.count) bytes"
  }

  /// Makes a change of the past; a failure's reply, or nil.
  private func change(_ body: () throws(RecordingError) -> EditResult) -> [UInt8]? {
    do throws(RecordingError) {
      switch try body() {
      case .refused: return RemoteServer.badAddress
      case .branched(let number):
        news.append("new timeline \(number) branches off at instant \(travel.instant)\n")
      case .added, .unchanged: break
      }
      return nil
    } catch { return Array("E.\(error.message)".utf8) }
  }

  func holds(child: UInt64) -> Bool { child != 0 && child == shownChild }

  /// The past has no room for what was not there.
  func allocate(_ size: UInt64, _ permissions: Permissions) -> UInt64? { nil }
  func deallocate(_ address: UInt64) -> Bool { false }

  // MARK: Stops

  func setBreakpoint(_ address: UInt64, _ isSet: Bool) {
    if isSet { stops.addresses.insert(address) } else { stops.addresses.remove(address) }
  }

  /// For writes alone changes are noticed; for reads the operands of each instruction are looked at.
  func setRemoteWatchpoint(_ watchpoint: Watchpoint, _ isSet: Bool) -> Bool {
    let overflows = watchpoint.address.addingReportingOverflow(watchpoint.size).overflow
    if overflows || watchpoint.size > 1 << 20 { return false }
    watchpoints.removeAll { $0 == watchpoint }
    if isSet { watchpoints.append(watchpoint) }
    stops.watched = watchpoints.filter { $0.kinds.contains(.change) }.map(\.bytes)
    stops.accessed = watchpoints.filter { $0.kinds.contains(.read) }.map(\.bytes)
    return true
  }

  /// The bytes whose watchpoint the next instruction meets by its operands. Writes alone are not meant: a store of the same value is
  /// no change.
  func accessedBytes(_ cpu: UnsafeMutablePointer<CPUState>) -> Range<UInt64>? {
    var result: Range<UInt64>?
    accesses.forEach(cpu) { access in
      if result != nil { return }
      result =
        watchpoints.first {
          $0.kinds.contains(.read) && !$0.kinds.isDisjoint(with: access.kinds)
            && $0.overlaps(access.address, access.size)
        }?.bytes
    }
    return result
  }

  /// Which operand of the instruction at RIP cannot be accessed, if one cannot.
  func forbiddenAccess(_ cpu: UnsafeMutablePointer<CPUState>) -> (address: UInt64, isMapped: Bool)? {
    var result: (UInt64, Bool)?
    accesses.forEach(cpu) { access in
      if result != nil { return }
      let region = replay.memory.query(access.address)
      let needed: Permissions = access.kinds.contains(.write) ? .write : .read
      if region.map({ $0.permissions.contains(needed) }) ?? false { return }
      result = (access.address, region != nil)
    }
    return result
  }

  func stop(atCalls calls: Set<UInt64>?) { (stops.calls, stops.showsBothSides) = (calls, calls != nil) }
  func stop(atSignals signals: UInt64) { stops.signals = signals }
  func stopAtFamily() { stops.showsFamily = true }

  /// The watchpoint of these bytes that is for reads as well, or is not.
  func watchpoint(_ range: Range<UInt64>, reads: Bool) -> Watchpoint? {
    let own = watchpoints.filter { $0.bytes == range }
    return own.first { $0.kinds.contains(.read) == reads } ?? own.first
  }

  /// The bytes that are watched.
  var watchedBytes: [[UInt8]] {
    watchpoints.map { replay.memory.peek($0.address, count: Int($0.size)) }
  }

  func clearStops() { (stops, watchpoints) = (TravelStops(), []) }

  /// Another program: what was said of the old one's memory has no meaning.
  func clearPlaces() {
    watchpoints = []
    (stops.addresses, stops.watched, stops.accessed) = ([], [], [])
  }

  // MARK: Files

  func openFile(_ path: [UInt8], flags: UInt64, mode: UInt64) -> Int64 {
    let readOnlyFileSystem: Int64 = -30
    let writeAppendCreateTruncate: UInt64 = 0o3103
    return flags & writeAppendCreateTruncate == 0 ? replay.openFile(path) : readOnlyFileSystem
  }

  func closeFile(_ descriptor: Int32) { _ = Connection.call(Connection.Call.close, Int64(descriptor)) }
  var hasOwnFiles: Bool { true }
}
