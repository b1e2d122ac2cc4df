// Resuming and stopping: `vCont` and its older relatives, and the replies that say why the machine stands still.

import Engine
import Linux
import LinuxABI
import VirtualMachine

/// A thread as a packet names it.
enum ThreadName: Equatable {
  case all, any
  case one(UInt64)
}

extension GDBServer {
  /// `p1.2`, `2`, `-1`, `0`, `p1`; nil when it is none of these. A process of its own cannot be named.
  func threadName(_ text: some Collection<UInt8>) -> ThreadName? {
    var rest = Array(text)
    if rest.first == UInt8(ascii: "p") {
      guard let dot = rest.firstIndex(of: UInt8(ascii: ".")) else { return .all }
      rest = Array(rest[(dot + 1)...])
    }
    if rest.elementsEqual("-1".utf8) { return .all }
    guard let number = Hex.number(rest) else { return nil }
    return number == 0 ? .any : .one(number)
  }

  func name(of thread: ControlledThread) -> String {
    let own = String(thread.number, radix: 16)
    return session.isMultiprocess ? "p\(processName).\(own)" : own
  }

  var processName: String { String(control?.process?.processNumber ?? 1, radix: 16) }

  func thread(_ number: UInt64, _ control: MachineControl) -> ControlledThread? {
    number == 0 ? control.threads.first : control.threads.first { $0.number == number }
  }

  /// The thread of `Hg`.
  func generalThread(_ control: MachineControl) -> ControlledThread? {
    // A child that waits is a copy of the thread that made it.
    thread(control.holds(child: session.general) ? session.resumed : session.general, control)
  }

  // MARK: Resuming

  /// `vCont;ACTION[:THREAD];…`: the leftmost action that fits a thread counts.
  func continueThreads(_ text: ArraySlice<UInt8>, _ control: MachineControl) -> [UInt8]? {
    var actions: [(action: ThreadAction, signal: Int32?, name: ThreadName)] = []
    for word in text.split(separator: UInt8(ascii: ";")) {
      let parts = word.split(separator: UInt8(ascii: ":"), maxSplits: 1)
      guard let command = parts.first, let name = parts.count > 1 ? threadName(parts[1]) : .all,
        let (action, signal) = action(command)
      else { return GDBServer.failure }
      actions.append((action, signal, name))
    }
    func match(_ thread: ControlledThread) -> (action: ThreadAction, signal: Int32?, name: ThreadName)? {
      actions.first { $0.name == .all || $0.name == .any || $0.name == .one(thread.number) }
    }
    for thread in control.threads {
      if let signal = match(thread)?.signal { control.setSignal(signal, for: thread) }
    }
    return resume(control) { match($0)?.action ?? .hold }
  }

  private func action(_ command: ArraySlice<UInt8>) -> (ThreadAction, Int32?)? {
    guard let first = command.first else { return nil }
    let rest = command.dropFirst()
    switch first {
    case UInt8(ascii: "c"): return (.run, nil)
    case UInt8(ascii: "s"): return (.step, nil)
    case UInt8(ascii: "t"): return (.hold, nil)
    case UInt8(ascii: "C"), UInt8(ascii: "S"):
      guard let number = Hex.number(rest),
        let signal = GDBSignals.signal(of: Int32(truncatingIfNeeded: number))
      else { return nil }
      return (first == UInt8(ascii: "C") ? .run : .step, signal)
    case UInt8(ascii: "r"):
      let ends = rest.split(separator: UInt8(ascii: ",")).compactMap { Hex.number($0) }
      guard ends.count == 2, ends[0] <= ends[1] else { return nil }
      return (.stepRange(ends[0]..<ends[1]), nil)
    default: return nil
    }
  }

  /// `c`, `s`, `C`, `S`: the thread of `Hc` does it, the others run.
  func resumeOldStyle(_ data: [UInt8], _ control: MachineControl) -> [UInt8]? {
    var parts = data.dropFirst().split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    let isStep = data[0] == UInt8(ascii: "s") || data[0] == UInt8(ascii: "S")
    let chosen = thread(session.resumed, control) ?? control.threads.first
    if data[0] == UInt8(ascii: "C") || data[0] == UInt8(ascii: "S") {
      guard let first = parts.first, let number = Hex.number(first),
        let signal = GDBSignals.signal(of: Int32(truncatingIfNeeded: number))
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

  /// `W` or `X`.
  func endReply(_ termination: Termination) -> [UInt8] {
    let process = session.isMultiprocess ? ";process:\(processName)" : ""
    switch termination {
    case .killed(let signal):
      return Array(
        ("X" + Hex.text([UInt8(truncatingIfNeeded: GDBSignals.number(of: signal))]) + process).utf8)
    case .exited(let code): return Array(("W" + Hex.text([UInt8(truncatingIfNeeded: code)]) + process).utf8)
    case .budgetSpent, .failed: return Array(("W" + Hex.text([125]) + process).utf8)
    }
  }

  /// `T` with the reason, the thread and the registers that are asked for first.
  func stopReply(_ thread: ControlledThread, _ reason: StopReason) -> [UInt8] {
    var signal = Signal.trap
    var words = ""
    switch reason {
    case .breakpoint:
      let kind = breakpoints[thread.cpu.pointee.rip]
      if kind?.isSoftware == true, session.knowsSoftwareBreakpoints {
        words = "swbreak:;"
      } else if kind?.isHardware == true, session.knowsHardwareBreakpoints {
        words = "hwbreak:;"
      }
    case .step: break
    case .watchpoint(let point):
      let names: [AccessKinds: String] = [.write: "watch", .read: "rwatch", [.read, .write]: "awatch"]
      words = "\(names[point.kinds] ?? "awatch"):\(String(point.address, radix: 16));"
    case .signal(let number): signal = number
    case .systemCallEntry(let number): words = "syscall_entry:\(String(number, radix: 16));"
    case .systemCallReturn(let number): words = "syscall_return:\(String(number, radix: 16));"
    case .fork(let child, let isVfork):
      let name = String(child, radix: 16)
      words = "\(isVfork ? "vfork" : "fork"):p\(name).\(name);"
    case .vforkDone: words = "vforkdone:;"
    case .execute(let path): words = "exec:\(Hex.text(path));"
    case .end: break
    }
    let number = UInt8(truncatingIfNeeded: GDBSignals.number(of: signal))
    return Array(
      ("T" + Hex.text([number]) + words + "thread:\(name(of: thread));core:0;" + first(thread)).utf8)
  }

  /// RBP, RSP and RIP by number and value.
  private func first(_ thread: ControlledThread) -> String {
    var text = ""
    for name in ["rbp", "rsp", "rip"] {
      guard let number = registers.number(of: name) else { continue }
      let value = RegisterAccess(thread).read(registers.registers[number])
      text += Hex.text([UInt8(truncatingIfNeeded: number)]) + ":" + Hex.text(value) + ";"
    }
    return text
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
    return stopReply(thread, .step)
  }
}
