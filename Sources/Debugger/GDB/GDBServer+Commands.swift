// What a debugger asks of a machine that runs: resuming, leaving, running anew, what to stop for.

import Engine
import LinuxABI
import VirtualMachine

extension GDBServer {
  /// The reply to a packet that is this server's own; nil: it comes later, or there is none.
  func reply(to data: [UInt8], _ control: MachineControl) -> [UInt8]? {
    switch data.first {
    case UInt8(ascii: "c"), UInt8(ascii: "s"), UInt8(ascii: "C"), UInt8(ascii: "S"):
      return resumeOldStyle(data, control)
    case UInt8(ascii: "D"): return detach(data.dropFirst(), control)
    case UInt8(ascii: "k"):
      kill()
      return nil
    case UInt8(ascii: "R"):
      if session.isExtended { runAnew(nil, nil, replies: false, control) }
      return nil
    case UInt8(ascii: "v"): return replyToVerbose(data, control)
    default: return []
    }
  }

  private func replyToVerbose(_ data: [UInt8], _ control: MachineControl) -> [UInt8]? {
    if let text = tail(data, "vCont;") { return continueThreads(text, control) }
    if tail(data, "vKill;") != nil {
      if !session.isExtended { send(GDBServer.success) }
      kill()
      return GDBServer.success
    }
    if let text = tail(data, "vRun;") { return runProgram(text, control) }
    return []
  }

  // MARK: Leaving

  private func detach(_ text: ArraySlice<UInt8>, _ control: MachineControl) -> [UInt8]? {
    let named = text.split(separator: UInt8(ascii: ";")).first.flatMap { Hex.number($0) }
    if let child = named, control.holds(child: child) {
      control.decide(about: child, isTakenOver: false)
      return GDBServer.success
    }
    if let named, named != control.process?.processNumber { return GDBServer.failure }
    send(GDBServer.success)
    // With a child at hand, leaving the parent means going over.
    if named != nil, let child = control.heldChildren.keys.first {
      control.decide(about: child, isTakenOver: true)
    }
    leave(control)
    return nil
  }

  /// The end; in extended mode the debugger stays, and may ask for another run.
  private func kill() {
    let end = Termination.killed(signal: Signal.kill)
    if session.isLLDB { send(endReply(end)) }
    if !session.isExtended { exitProcess() }
    session.isKilled = true
    ending = end
  }
}
