// A recording as the remote protocol shows it: threads, memory and files of the instant where its replay stands. Nothing of it can be
// changed. Breakpoints and watchpoints are kept for the next journey.

import CHost
import Engine
import GuestMemory
import Record

/// A thread of a recording.
final class RecordedThread: RemoteThread {
  let thread: Replay.Thread
  let number: UInt64

  init(_ thread: Replay.Thread, number: UInt64) { (self.thread, self.number) = (thread, number) }

  var access: RegisterAccess { RegisterAccess(recorded: thread.cpu, isAtCall: thread.isAtCall) }
  var instructionPointer: UInt64 { thread.cpu.pointee.rip }
  var isInHostCall: Bool { thread.isAtCall }
  var originalRAX: UInt64 { thread.isAtCall ? thread.cpu.pointee.general.0 : .max }
}

final class RecordedMachine: RemoteTarget {
  let travel: TimeTravel
  private(set) var stops = TravelStops()
  private(set) var watchpoints: [Watchpoint] = []
  private var replay: Replay { travel.replay }

  init(_ travel: TimeTravel) { self.travel = travel }

  var memory: AddressSpace? { replay.memory }

  /// What is not known is counted from the process's number on.
  private func number(_ thread: Replay.Thread) -> UInt64 {
    thread.number != 0 ? thread.number : replay.processNumber &+ UInt64(thread.index)
  }

  var remoteThreads: [any RemoteThread] {
    replay.threads.values.sorted { $0.index < $1.index }
      .map { RecordedThread($0, number: number($0)) }
  }

  /// The thread that runs, or has run last.
  var currentThread: RecordedThread? {
    (replay.threads[replay.running] ?? replay.threads.values.min { $0.index < $1.index })
      .map { RecordedThread($0, number: number($0)) }
  }

  var processNumber: UInt64 { replay.processNumber }
  func auxiliaryBytes() -> [UInt8] { replay.auxiliaryVector }
  var executablePath: [UInt8] { replay.executablePath }

  func mapsText() -> [UInt8] {
    var text = ""
    for region in replay.memory.regions() {
      func hex(_ number: UInt64) -> String { String(number, radix: 16) }
      let name = replay.memory.backing(region.backing)?.path ?? []
      text += "\(hex(region.start))-\(hex(region.end)) \(region.letters) \(hex(region.offset)) "
      text += String(decoding: name, as: UTF8.self) + "\n"
    }
    return Array(text.utf8)
  }

  func title(of thread: any RemoteThread) -> [UInt8] {
    let mostBytes = 15
    return Array((executablePath.split(separator: 47).last ?? []).prefix(mostBytes))
  }

  var refusal: [UInt8]? { Array("E.a recording cannot be changed".utf8) }
  func memoryChanged() {}
  func holds(child: UInt64) -> Bool { false }

  // MARK: Stops

  func setBreakpoint(_ address: UInt64, _ isSet: Bool) {
    if isSet { stops.addresses.insert(address) } else { stops.addresses.remove(address) }
  }

  /// Changes are noticed, reads are not.
  func setRemoteWatchpoint(_ watchpoint: Watchpoint, _ isSet: Bool) -> Bool {
    let (end, overflow) = watchpoint.address.addingReportingOverflow(watchpoint.size)
    if watchpoint.kinds != .write || overflow || watchpoint.size > 1 << 20 { return false }
    watchpoints.removeAll { $0 == watchpoint }
    if isSet { watchpoints.append(watchpoint) }
    stops.watched.removeAll { $0 == watchpoint.address..<end }
    if isSet { stops.watched.append(watchpoint.address..<end) }
    return true
  }

  func watchpoint(_ range: Range<UInt64>) -> Watchpoint? {
    watchpoints.first { $0.address == range.lowerBound && $0.size == UInt64(range.count) }
  }

  /// The bytes that are watched.
  var watchedBytes: [[UInt8]] {
    watchpoints.map { replay.memory.peek($0.address, count: Int($0.size)) }
  }

  func clearStops() { (stops, watchpoints) = (TravelStops(), []) }

  // MARK: Files

  func openFile(_ path: [UInt8], flags: UInt64, mode: UInt64) -> Int64 {
    let readOnlyFileSystem: Int64 = -30
    let writeAppendCreateTruncate: UInt64 = 0o3103
    return flags & writeAppendCreateTruncate == 0 ? replay.openFile(path) : readOnlyFileSystem
  }

  func closeFile(_ descriptor: Int32) { _ = Connection.call(Connection.Call.close, Int64(descriptor)) }
  var hasOwnFiles: Bool { true }
}
