// Resuming and stopping: `vCont` and its older relatives, and the replies that say why the machine stands still.

import Engine
import Linux
import LinuxABI
import VirtualMachine

extension GDBServer {
  // MARK: Resuming

  /// `vCont;ACTION[:THREAD];…`: the leftmost action that fits a thread counts.
  func continueThreads(_ text: ArraySlice<UInt8>, _ control: MachineControl) -> [UInt8]? {
    guard let actions = actions(text) else { return GDBServer.failure }
    func match(_ thread: ControlledThread) -> ThreadOrder? { actions.first { $0.fits(thread.number) } }
    for thread in control.threads {
      if let signal = match(thread)?.signal { control.setSignal(signal, for: thread) }
    }
    return resume(control) { match($0)?.action ?? .hold }
  }

  /// `c`, `s`, `C`, `S`: the thread of `Hc` does it, the others run.
  func resumeOldStyle(_ data: [UInt8], _ control: MachineControl) -> [UInt8]? {
    var parts = data.dropFirst().split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    let isStep = data[0] == UInt8(ascii: "s") || data[0] == UInt8(ascii: "S")
    let chosen = control.threads.first { $0.number == session.resumed } ?? control.threads.first
    if data[0] == UInt8(ascii: "C") || data[0] == UInt8(ascii: "S") {
      guard let first = parts.first, let number = Hex.number(first),
        let signal = signal(of: number)
      else { return GDBServer.failure }
      parts.removeFirst()
      if let chosen { control.setSignal(signal, for: chosen) }
    }
    if let place = parts.first, let address = Hex.number(place) { chosen?.visible.pointee.rip = address }
    return resume(control) { $0 === chosen && isStep ? .step : .run }
  }

  private func resume(_ control: MachineControl, _ action: (ControlledThread) -> ThreadAction) -> [UInt8]? {
    if let ending { return endReply(ending) }
    session.isRunning = true
    session.isInterrupted = false
    if control.resume(action) { reportStop(control) }
    return nil
  }

  // MARK: Stopping

  /// Sends the reply that the last resumption is waiting for.
  func reportStop(_ control: MachineControl) {
    if let (thread, reason) = control.takeStop() {
      session.isRunning = false
      session.general = thread.number
      session.resumed = thread.number
      if case .end(let termination) = reason {
        ending = termination
        send(endReply(termination))
        if !session.isExtended { control.releaseEnd() }
        return
      }
      session.lastStop = stopReply(thread, reason)
      send(session.lastStop)
    } else if session.isInterrupted, let thread = control.threads.first {
      session.isRunning = false
      (session.general, session.resumed) = (thread.number, thread.number)
      session.lastStop = stopReply(thread, .signal(Signal.interrupt))
      send(session.lastStop)
    } else if control.threads.allSatisfy({ $0.action == .hold }) {
      session.isRunning = false
      send([UInt8(ascii: "N")])
    } else {
      // A thread has ended at the moment when everything stood still: nobody has to know.
      _ = control.resume { $0.action }
    }
  }

  /// `?`: why everything stands still.
  func currentStop(_ control: MachineControl) -> [UInt8] {
    if let ending { return endReply(ending) }
    if let (thread, reason) = control.takeStop() {
      if case .end(let termination) = reason {
        ending = termination
        return endReply(termination)
      }
      (session.general, session.resumed) = (thread.number, thread.number)
      session.lastStop = stopReply(thread, reason)
    }
    if !session.lastStop.isEmpty { return session.lastStop }
    guard let thread = control.threads.first else { return GDBServer.failure }
    (session.general, session.resumed) = (thread.number, thread.number)
    // Nothing has happened yet.
    return stopReply(thread, session.isLLDB ? .signal(Signal.stop) : .step)
  }

  /// `W` or `X`.
  func endReply(_ termination: Termination) -> [UInt8] {
    let process = session.isMultiprocess ? ";process:\(processName)" : ""
    switch termination {
    case .killed(let signal):
      return Array(
        ("X" + Hex.text([UInt8(truncatingIfNeeded: number(of: signal))]) + process).utf8)
    case .exited(let code): return Array(("W" + Hex.text([UInt8(truncatingIfNeeded: code)]) + process).utf8)
    case .budgetSpent, .failed: return Array(("W" + Hex.text([125]) + process).utf8)
    }
  }
}
