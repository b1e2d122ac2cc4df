// System calls of a recording as strace(1) prints them: there is no process, only the registers and memory from before and
// after each call. Owns nothing but the table of calls.
import CHost
import GuestMemory

/// Prints the calls of one replayed process.
public final class RecordedCallText {
  private var calls = SystemCallTable()

  public init() {}

  /// The name of call `number`, `syscall_0x…` where there is none.
  public func name(_ number: UInt64) -> String {
    calls[number].map { "\($0.name)" } ?? "syscall_\(TraceText.hex(number))"
  }

  /// The call that begins with what `cpu` holds behind its SYSCALL; ask it for its text when it has been answered.
  public func begin(_ cpu: UnsafeMutablePointer<vt_cpu_state>, _ memory: AddressSpace) -> RecordedCall {
    RecordedCall(calls, cpu, memory)
  }
}

/// A call that has begun.
public final class RecordedCall {
  public let number: UInt64
  private let call: SystemCall?
  private let address: UInt64
  private let arguments: Arguments
  private var line = ""
  private lazy var tracer = Tracer(TraceSink { [unowned self] in line += $0 })

  init(_ calls: SystemCallTable, _ cpu: UnsafeMutablePointer<vt_cpu_state>, _ memory: AddressSpace) {
    let registers = GuestRegisters(cpu)
    number = LinuxProcess.callNumber(cpu)
    address = cpu.pointee.rip
    arguments = Arguments(registers)
    call = calls[number]
    if let call {
      tracer.enter(call, call.parsed, arguments, memory)
    } else {
      tracer.unknown(number, arguments)
    }
  }

  /// The call's line with its result, without the line's end, when it has been answered.
  public func text(_ cpu: UnsafeMutablePointer<vt_cpu_state>, _ memory: AddressSpace) -> String {
    if let call {
      let registers = GuestRegisters(cpu)
      let result = Int64(bitPattern: registers[.rax])
      if call.traits.contains(.noReturn) { return unanswered() }
      if call.number == 15 {
        // The mask that is in force again is not part of the recording.
        line = "rt_sigreturn()"
      } else if cpu.pointee.rip == address &- 2, result == Int64(bitPattern: number) {
        tracer.interrupted(call, call.parsed, arguments, memory, restarts: true)
      } else if cpu.pointee.rip != address, !isExecution {
        // A signal's handler begins: the result lies in its frame.
        return unanswered()
      } else {
        // Behind execve(2) nothing is left of the old program's memory; what was read before stays.
        tracer.leave(call, call.parsed, arguments, isExecution && result >= 0 ? 0 : result, memory)
      }
    }
    while line.utf8.last == 10 { line.removeLast() }
    return line
  }

  /// The line of a call that does not return: the thread, or the process, ends in it.
  public func unanswered() -> String {
    if call != nil { tracer.endThread(0) }
    return line.split(separator: "\n").first.map(String.init) ?? name
  }

  private var name: String { call.map { "\($0.name)" } ?? "" }
  private var isExecution: Bool { number == 59 || number == 322 }
}
