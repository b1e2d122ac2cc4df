// The system calls that translated code makes by itself while a program is recorded (CHost/include/direct.h): it logs them, and when it is
// left they become events. Only calls are made there whose whole effect is in their result and in the memory that they fill, by a thread that
// is the only one, in a process that shares no memory with others.
import CHost
import Engine
import Translator

struct CallLog: ~Copyable {
  /// What one call did.
  struct Call {
    /// Instructions that remained behind it.
    var remaining: InstructionCount
    var number: UInt64
    var result: UInt64
    var address: UInt64
    /// What it has put there.
    var filled: UnsafeRawBufferPointer
    var output: Event.Output?
  }

  private static let capacity = 1 << 14

  // SAFETY: both allocated here and freed here; translated code appends to the area as far as the log says that there is room.
  private let area: UnsafeMutablePointer<UInt8>
  let log: UnsafeMutablePointer<vt_call_log>

  /// `order`: counts what all processes write to standard output and error.
  init(order: UnsafeMutablePointer<UInt64>) {
    area = .allocate(capacity: CallLog.capacity)
    log = .allocate(capacity: 1)
    log.initialize(to: vt_call_log())
    (log.pointee.next, log.pointee.end) = (area, area + CallLog.capacity)
    log.pointee.order = order
  }

  deinit {
    log.deallocate()
    area.deallocate()
  }

  var isEmpty: Bool { log.pointee.next == area }

  /// Calls are made from now on until no more than `least` instructions remain, or until the time stamp `deadline`. `unmapped`: as in
  /// `WrittenFiles`.
  func prepare(least: InstructionCount, deadline: UInt64, unmapped: (UInt64, UInt64, UInt64)) {
    log.pointee.least = InstructionBudget.register(least)
    (log.pointee.deadline, log.pointee.descriptors) = (deadline, unmapped)
  }

  /// Takes all calls, in order.
  func takeAll(_ body: (Call) -> Void) {
    guard let end = log.pointee.next.map({ UnsafeRawPointer($0) }) else { return }
    var place = UnsafeRawPointer(area)
    while place < end {
      let call = place.load(as: vt_logged_call.self)
      let filled = UnsafeRawBufferPointer(
        start: place + MemoryLayout<vt_logged_call>.size, count: Int(truncatingIfNeeded: call.size))
      let output =
        call.output == 0
        ? nil
        : Event.Output(
          descriptor: UInt8(truncatingIfNeeded: call.output), size: UInt64(bitPattern: call.result),
          order: call.order)
      body(
        Call(
          remaining: InstructionBudget.instructions(call.remaining), number: call.number,
          result: UInt64(bitPattern: call.result), address: call.address, filled: filled, output: output))
      place += MemoryLayout<vt_logged_call>.size + (filled.count + 7) & ~7
    }
    log.pointee.next = area
  }
}
