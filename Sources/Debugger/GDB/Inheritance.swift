// Running a program anew (`R`, `vRun`): Vitrine executes itself, because a process has one place for a guest's memory, and the new
// run goes on with the old one's connection. What has been agreed on with the debugger is handed over in the value of `--gdb`.

import VirtualMachine

/// Descriptors and agreements that a new run takes over.
public struct Inheritance: Equatable, Sendable {
  public var input: Int64
  public var output: Int64
  /// -1: there is none.
  public var listener: Int64
  /// Bits: acknowledges, multiprocess, swbreak, hwbreak, forks, vforks, executions; 128: a stop reply is due.
  var agreements: UInt64
  var passedSignals: UInt64

  init(input: Int64, output: Int64, listener: Int64, agreements: UInt64, passedSignals: UInt64) {
    (self.input, self.output, self.listener) = (input, output, listener)
    (self.agreements, self.passedSignals) = (agreements, passedSignals)
  }

  /// Five numbers in hexadecimal; a listener of 0 is none.
  init?(_ text: some Collection<UInt8>) {
    let words = text.split(separator: UInt8(ascii: ",")).compactMap { Hex.number($0) }
    guard words.count == 5, words[0..<3].allSatisfy({ $0 < 1 << 31 }) else { return nil }
    input = Int64(words[0])
    output = Int64(words[1])
    listener = words[2] == 0 ? -1 : Int64(words[2])
    (agreements, passedSignals) = (words[3], words[4])
  }

  /// The word that stands for it in a command line.
  public var text: String {
    let numbers = [UInt64(input), UInt64(output), UInt64(max(listener, 0)), agreements, passedSignals]
    return "inherited:" + numbers.map { String($0, radix: 16) }.joined(separator: ",")
  }

  static let stopIsDue: UInt64 = 128
}

extension GDBServer {
  /// Replaces this process by a new run, if the command line offered that. Returns only when it did not work.
  func runAnew(_ program: [UInt8]?, _ arguments: [[UInt8]]?, replies: Bool, _ control: MachineControl) {
    guard let relaunch else { return }
    var agreements: UInt64 = replies ? Inheritance.stopIsDue : 0
    let flags = [
      session.acknowledges, session.isMultiprocess, session.knowsSoftwareBreakpoints,
      session.knowsHardwareBreakpoints, control.stopsAtForks, control.stopsAtVforkEnds,
      control.stopsAtExecutions,
    ]
    for (index, flag) in flags.enumerated() where flag { agreements |= 1 << UInt64(index) }
    let inheritance = Inheritance(
      input: input, output: output, listener: listener, agreements: agreements,
      passedSignals: control.passedSignals)
    files.closeAll(control)
    // The new run is to have them: no close-on-exec.
    for descriptor in [input, output, listener] where descriptor >= 0 {
      _ = Connection.call(72, descriptor, 2, 0)
    }
    relaunch(inheritance.text, program, arguments)
    for descriptor in [input, output, listener] where descriptor >= 0 {
      _ = Connection.call(72, descriptor, 2, 1)
    }
  }

  /// `vRun;PROGRAM;ARGUMENT…`; an empty program is the one of before.
  func runProgram(_ text: ArraySlice<UInt8>, _ control: MachineControl) -> [UInt8] {
    let words = text.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map {
      Hex.decoded($0)
    }
    guard session.isExtended, !words.contains(nil) else { return GDBServer.failure }
    let known = words.compactMap { $0 }
    let program = known.first.flatMap { $0.isEmpty ? nil : $0 }
    runAnew(
      program, known.count > 1 || program != nil ? Array(known.dropFirst()) : nil, replies: true, control)
    return GDBServer.failure
  }

  /// In the new run: goes on where the old one was.
  func inherit(_ inheritance: Inheritance, _ control: MachineControl) {
    func has(_ bit: UInt64) -> Bool { inheritance.agreements >> bit & 1 != 0 }
    session.isExtended = true
    session.acknowledges = has(0)
    session.isMultiprocess = has(1)
    session.knowsSoftwareBreakpoints = has(2)
    session.knowsHardwareBreakpoints = has(3)
    (control.stopsAtForks, control.stopsAtVforkEnds, control.stopsAtExecutions) = (has(4), has(5), has(6))
    control.pass(inheritance.passedSignals)
  }
}
