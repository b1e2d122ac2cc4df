// Prints system calls and signals in strace's format (strace(1)), driven by the declarations. A line begins when the call
// begins, with its input, and ends when it has returned; calls that wait show their beginning at once. Owns the line in
// progress; threads share a sink, which cuts lines when another thread writes, as strace -f does.
import GuestMemory
import LinuxABI

/// Where the traces of a process's threads go.
final class TraceSink {
  private let receive: (String) -> Void
  /// Whose line is incomplete.
  private var open: Tracer?
  /// Lines say whose they are.
  var isThreaded = false

  init(descriptor: Int32, host: Host) {
    receive = { host.writeAll(Array($0.utf8), to: descriptor) }
  }

  /// Hands everything to `receive`, which is called by the thread concerned under the address space's lock.
  init(receive: @escaping (String) -> Void) { self.receive = receive }

  /// Writes the next part of `tracer`'s line; the first part when `begins`.
  func write(_ text: String, of tracer: Tracer, begins: Bool, ends: Bool) {
    var whole = ""
    if let other = open, other !== tracer || begins { whole += " <unfinished ...>\n" }
    if begins || open !== tracer {
      if isThreaded {
        let number = String(tracer.number)
        whole += "[pid " + String(repeating: " ", count: max(0, 5 - number.utf8.count)) + number + "] "
      }
      if !begins { whole += "<... \(tracer.name) resumed>" }
    }
    open = ends ? nil : tracer
    receive(whole + text)
  }
}

/// The trace of one thread.
final class Tracer {
  private let sink: TraceSink
  /// The thread's number, and the name of the call that it makes.
  var number: Int32 = 0
  private(set) var name = ""
  private var line = ""
  /// The first argument that has not been printed.
  private var next = 0
  /// What the call's *socklen> argument held when it began.
  private var oldLength: UInt32?
  /// Where sendfile was to begin.
  private var oldOffset: Int64?
  /// Characters of `line` that the sink already has.
  private var flushed = 0
  private var hasEnded = false

  /// Column of "= result", strace's default.
  private static let resultColumn = 40

  init(_ sink: TraceSink) { self.sink = sink }

  /// For another thread of the same process.
  init(_ other: Tracer) { sink = other.sink }

  // MARK: Calls

  func enter(_ call: SystemCall, _ signature: Signature, _ arguments: Arguments, _ memory: AddressSpace) {
    name = "\(call.name)"
    line = name + "("
    flushed = 0
    next = 0
    let printer = TraceArguments(call: call, arguments: arguments, memory: memory, result: nil)
    let lengthIndex = signature.arguments.firstIndex { $0.name.elementsEqual("socklen".utf8) }
    oldLength = lengthIndex.flatMap { memory.load(UInt32.self, at: arguments[$0]) }
    if call.number == 47 {
      oldLength = memory.load(UInt32.self, at: arguments.b &+ UInt64(MessageHeader.nameLength))
    }
    oldOffset = call.number == 40 ? memory.load(Int64.self, at: arguments.c) : nil
    // clone's arguments are printed in another order, when the call has returned.
    if call.number == 56 { return }
    let count = printer.count(signature)
    while next < count, !printer.isOutput(signature.arguments[next], next) {
      append(printer.text(signature.arguments[next], next))
    }
    if call.traits.contains(.waits), call.number != 1 { flush() }
  }

  func leave(
    _ call: SystemCall, _ signature: Signature, _ arguments: Arguments, _ result: Int64,
    _ memory: AddressSpace
  ) {
    finishArguments(call, signature, arguments, result, memory)
    line += TraceResults.text(call, signature, arguments, result, memory)
    endLine()
  }

  func interrupted(
    _ call: SystemCall, _ signature: Signature, _ arguments: Arguments, _ memory: AddressSpace, restarts: Bool
  ) {
    finishArguments(call, signature, arguments, -Errno.EINTR, memory)
    let getEvents = 208
    if call.number == getEvents {
      line += TraceResults.number(-Errno.EINTR)
    } else if call.traits.contains(.restarts) {
      line += "? ERESTARTSYS (To be restarted if SA_RESTART is set)"
    } else if call.number == 35 || call.number == 230 || call.number == 7 {
      line += "? ERESTART_RESTARTBLOCK (Interrupted by signal)"
    } else {
      line += "? ERESTARTNOHAND (To be restarted if no handler)"
    }
    endLine()
  }

  /// The first line: the program that was started, as an execve.
  func started(path: [UInt8], arguments: [[UInt8]], environment: UInt64, environmentCount: Int) {
    line = "execve(" + TraceText.quoted(path, limit: 4096) + ", ["
    flushed = 0
    line += arguments.map { TraceText.quoted($0) }.joined(separator: ", ")
    line += "], \(TraceText.address(environment)) /* \(environmentCount) vars */"
    closeArguments()
    line += "0"
    endLine()
  }

  /// rt_sigreturn: the mask that is in force again, and the interrupted code's RAX.
  func returned(mask: UInt64, result: Int64) {
    line = "rt_sigreturn({mask=" + TraceText.signalSet(mask) + "}"
    flushed = 0
    closeArguments()
    line += TraceResults.number(result)
    endLine()
  }

  /// The end of a process inside a call.
  func end(_ call: SystemCall, _ outcome: Outcome) {
    if case .exited(let code) = outcome {
      closeArguments()
      line += "?"
      endLine()
      write("+++ exited with \(code) +++\n")
    }
  }

  /// The end of a thread that is not the last one.
  func endThread(_ code: Int32) {
    closeArguments()
    line += "?"
    endLine()
    write("+++ exited with \(code) +++\n")
  }

  /// The end of a call that neither returns nor ends its thread by itself.
  func endUnanswered() {
    closeArguments()
    line += "?"
    endLine()
  }

  /// A call without a name; `result` nil: it does not return.
  func unknown(_ number: UInt64, _ arguments: Arguments, _ result: Int64? = -Errno.ENOSYS) {
    line =
      "syscall_\(TraceText.hex(number))("
      + (0..<6).map { TraceText.hex(arguments[$0]) }.joined(separator: ", ")
    flushed = 0
    closeArguments()
    let isNumber = result.map { $0 > 0 } ?? false
    line += result.map { isNumber ? TraceText.hex(UInt64($0)) : TraceResults.number($0) } ?? "?"
    endLine()
  }

  private func finishArguments(
    _ call: SystemCall, _ signature: Signature, _ arguments: Arguments, _ result: Int64,
    _ memory: AddressSpace
  ) {
    var printer = TraceArguments(call: call, arguments: arguments, memory: memory, result: result)
    printer.oldLength = oldLength
    printer.oldOffset = oldOffset
    if call.number == 56 {
      line += TraceResults.cloneArguments(arguments)
    } else {
      let count = printer.count(signature)
      while next < count { append(printer.text(signature.arguments[next], next)) }
    }
    closeArguments()
  }

  private func append(_ text: String) {
    if next > 0 { line += ", " }
    line += text
    next += 1
  }

  private func closeArguments() {
    line += ")"
    let width = line.unicodeScalars.count
    line += width < Tracer.resultColumn ? String(repeating: " ", count: Tracer.resultColumn - width) : " "
    line += "= "
  }

  // MARK: Signals and the end

  func signal(_ information: [UInt64]) {
    let signal = Int32(truncatingIfNeeded: information.first ?? 0)
    write("--- \(Signal.name(signal)) \(TraceStructures.information(information)) ---\n")
  }

  /// The SIGSYS of a filter that has refused `call`.
  func refusal(_ information: [UInt64], _ call: SystemCall?) {
    write("--- SIGSYS \(TraceStructures.refusedCall(information, name: call.map { "\($0.name)" })) ---\n")
  }

  func killed(_ signal: Int32) {
    if hasEnded { return }
    hasEnded = true
    write("+++ killed by \(Signal.name(signal)) +++\n")
  }

  func badFrame() {
    line += "= ? (bad signal frame)"
    endLine()
  }

  // MARK: The sink

  private func endLine() {
    line += "\n"
    flush()
    line = ""
    flushed = 0
  }

  private func flush() {
    let bytes = Array(line.utf8)
    if flushed >= bytes.count { return }
    let part = String(decoding: bytes[flushed...], as: UTF8.self)
    sink.write(part, of: self, begins: flushed == 0, ends: bytes.last == 10)
    flushed = bytes.count
  }

  /// A line of its own.
  private func write(_ text: String) { sink.write(text, of: self, begins: true, ends: true) }
}
