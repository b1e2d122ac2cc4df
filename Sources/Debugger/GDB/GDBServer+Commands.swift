// Which packet asks for what. A packet that is not known is answered by an empty one, as the protocol demands.

import Engine
import LinuxABI
import VirtualMachine

extension GDBServer {
  /// The reply to a packet; nil: it comes later, or there is none.
  func reply(to data: [UInt8], _ control: MachineControl) -> [UInt8]? {
    guard let first = data.first else { return [] }
    let rest = data.dropFirst()
    switch first {
    case UInt8(ascii: "?"): return currentStop(control)
    case UInt8(ascii: "!"):
      session.isExtended = true
      return GDBServer.success
    case UInt8(ascii: "g"): return readAllRegisters(control)
    case UInt8(ascii: "G"): return writeAllRegisters(rest, control)
    case UInt8(ascii: "p"): return readRegister(rest, control)
    case UInt8(ascii: "P"): return writeRegister(rest, control)
    case UInt8(ascii: "m"): return readMemory(rest, control, isBinary: false)
    case UInt8(ascii: "x"): return readMemory(rest, control, isBinary: true)
    case UInt8(ascii: "M"): return writeMemory(rest, control, isBinary: false)
    case UInt8(ascii: "X"): return writeMemory(rest, control, isBinary: true)
    case UInt8(ascii: "Z"), UInt8(ascii: "z"): return changeBreakpoint(data, control)
    case UInt8(ascii: "c"), UInt8(ascii: "s"), UInt8(ascii: "C"), UInt8(ascii: "S"):
      return resumeOldStyle(data, control)
    case UInt8(ascii: "H"): return chooseThread(rest)
    case UInt8(ascii: "T"): return isAlive(rest, control)
    case UInt8(ascii: "D"): return detach(rest, control)
    case UInt8(ascii: "k"):
      kill()
      return nil
    case UInt8(ascii: "R"):
      if session.isExtended { runAnew(nil, nil, replies: false, control) }
      return nil
    case UInt8(ascii: "v"): return replyToVerbose(data, control)
    case UInt8(ascii: "q"): return replyToQuery(data, control)
    case UInt8(ascii: "Q"): return replyToSetting(data, control)
    default: return []
    }
  }

  /// What follows `prefix`, or nil.
  func tail(_ data: [UInt8], _ prefix: StaticString) -> ArraySlice<UInt8>? {
    // SAFETY: a literal's bytes live as long as the program.
    let bytes = UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
    return data.starts(with: bytes) ? data.dropFirst(bytes.count) : nil
  }

  private func replyToVerbose(_ data: [UInt8], _ control: MachineControl) -> [UInt8]? {
    if data.elementsEqual("vCont?".utf8) { return Array("vCont;c;C;s;S;t;r".utf8) }
    if let text = tail(data, "vCont;") { return continueThreads(text, control) }
    if let text = tail(data, "vFile:") { return files.reply(Array(text), control.process) }
    if tail(data, "vKill;") != nil {
      if !session.isExtended { send(GDBServer.success) }
      kill()
      return GDBServer.success
    }
    if let text = tail(data, "vRun;") { return runProgram(text, control) }
    return []
  }

  // MARK: Threads

  /// `Hg` and `Hc`.
  private func chooseThread(_ text: ArraySlice<UInt8>) -> [UInt8] {
    guard let kind = text.first, let name = threadName(text.dropFirst()) else { return GDBServer.failure }
    var number: UInt64 = 0
    if case .one(let own) = name {
      number = own
      if control?.holds(child: own) ?? false {
        session.general = own
        return GDBServer.success
      }
      if control.flatMap({ thread(own, $0) }) == nil { return GDBServer.failure }
    }
    switch kind {
    case UInt8(ascii: "g"): session.general = number
    case UInt8(ascii: "c"): session.resumed = number
    default: return GDBServer.failure
    }
    return GDBServer.success
  }

  private func isAlive(_ text: ArraySlice<UInt8>, _ control: MachineControl) -> [UInt8] {
    guard case .one(let number)? = threadName(text),
      thread(number, control) != nil || control.holds(child: number)
    else {
      return GDBServer.failure
    }
    return GDBServer.success
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
    if !session.isExtended { exitProcess() }
    session.isKilled = true
    ending = .killed(signal: 9)
  }

  // MARK: Settings

  private func replyToSetting(_ data: [UInt8], _ control: MachineControl) -> [UInt8] {
    if data.elementsEqual("QStartNoAckMode".utf8) {
      session.acknowledges = false
      return GDBServer.success
    }
    if let text = tail(data, "QPassSignals:") {
      guard let set = GDBServer.signalSet(text) else { return GDBServer.failure }
      control.pass(set)
      return GDBServer.success
    }
    // Signals that the program may get: none is withheld unless somebody stops for it.
    if let text = tail(data, "QProgramSignals:") {
      return GDBServer.signalSet(text) == nil ? GDBServer.failure : GDBServer.success
    }
    if let text = tail(data, "QCatchSyscalls:") { return catchCalls(text, control) }
    return []
  }

  /// Signals in gdb's numbers, separated by semicolons; as bits n-1 of Linux's.
  private static func signalSet(_ text: ArraySlice<UInt8>) -> UInt64? {
    var result: UInt64 = 0
    for word in text.split(separator: UInt8(ascii: ";")) {
      guard let number = Hex.number(word) else { return nil }
      guard let signal = GDBSignals.signal(of: Int32(truncatingIfNeeded: number)), signal > 0 else {
        continue
      }
      result |= 1 << UInt64(signal - 1)
    }
    return result
  }

  private func catchCalls(_ text: ArraySlice<UInt8>, _ control: MachineControl) -> [UInt8] {
    if text.elementsEqual("0".utf8) {
      control.caughtCalls = nil
      return GDBServer.success
    }
    let words = text.split(separator: UInt8(ascii: ";"))
    guard words.first.map({ $0.elementsEqual("1".utf8) }) ?? false else { return GDBServer.failure }
    control.caughtCalls = Set(words.dropFirst().compactMap { Hex.number($0) })
    return GDBServer.success
  }
}
