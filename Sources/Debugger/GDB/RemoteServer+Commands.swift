// Which packet asks for what, as far as machines of all kinds answer it. A packet that is not known is answered by an empty one, as the
// protocol demands.

import Engine
import LinuxABI

/// A thread as a packet names it.
enum ThreadName: Equatable {
  case all, any
  case one(UInt64)
}

/// What `vCont` says of one thread, or of all.
struct ThreadOrder {
  var action: ThreadAction
  var signal: Int32?
  var name: ThreadName

  func fits(_ number: UInt64) -> Bool { name == .all || name == .any || name == .one(number) }
}

extension RemoteServer {
  /// The reply to a packet; nil: it comes later, or there is none.
  func reply(to data: [UInt8], _ target: any RemoteTarget) -> [UInt8]? {
    guard let first = data.first else { return [] }
    let rest = data.dropFirst()
    if let reply = replyToLLDB(data, target) { return reply }
    switch first {
    case UInt8(ascii: "?"): return currentStop()
    case UInt8(ascii: "!"):
      session.isExtended = true
      return RemoteServer.success
    case UInt8(ascii: "g"):
      _ = takeThread(rest)
      return readAllRegisters(target)
    case UInt8(ascii: "G"): return writeAllRegisters(takeThread(rest), target)
    case UInt8(ascii: "p"): return readRegister(takeThread(rest), target)
    case UInt8(ascii: "P"): return writeRegister(takeThread(rest), target)
    case UInt8(ascii: "m"): return readMemory(rest, target, isBinary: false)
    case UInt8(ascii: "x"): return readMemory(rest, target, isBinary: true)
    case UInt8(ascii: "M"): return writeMemory(rest, target, isBinary: false)
    case UInt8(ascii: "X"): return writeMemory(rest, target, isBinary: true)
    case UInt8(ascii: "Z"), UInt8(ascii: "z"): return changeBreakpoint(data, target)
    case UInt8(ascii: "H"): return chooseThread(rest, target)
    case UInt8(ascii: "T"): return isAlive(rest, target)
    case UInt8(ascii: "q"): return replyToQuery(data, target)
    default: break
    }
    if data.elementsEqual("vCont?".utf8) { return Array("vCont;c;C;s;S;t;r".utf8) }
    if let text = tail(data, "vFile:") { return files.reply(Array(text), target) }
    if data.elementsEqual("QStartNoAckMode".utf8) {
      session.acknowledges = false
      return RemoteServer.success
    }
    if first == UInt8(ascii: "Q"), let reply = replyToSetting(data) { return reply }
    return ownReply(to: data)
  }

  // MARK: Settings

  private func replyToSetting(_ data: [UInt8]) -> [UInt8]? {
    if let text = tail(data, "QPassSignals:") {
      guard let set = signalSet(text) else { return RemoteServer.failure }
      passSignals(set)
      return RemoteServer.success
    }
    // Signals that the program may get: none is withheld unless somebody stops for it.
    if let text = tail(data, "QProgramSignals:") {
      return signalSet(text) == nil ? RemoteServer.failure : RemoteServer.success
    }
    if let text = tail(data, "QCatchSyscalls:") { return catchCalls(text) }
    return nil
  }

  /// Signals in the debugger's numbers, separated by semicolons; as bits n-1 of Linux's.
  private func signalSet(_ text: ArraySlice<UInt8>) -> UInt64? {
    var result: UInt64 = 0
    for word in text.split(separator: UInt8(ascii: ";")) {
      guard let number = Hex.number(word) else { return nil }
      guard let signal = signal(of: number), signal > 0 else { continue }
      result |= 1 << UInt64(signal - 1)
    }
    return result
  }

  private func catchCalls(_ text: ArraySlice<UInt8>) -> [UInt8] {
    if text.elementsEqual("0".utf8) {
      catchSystemCalls(nil)
      return RemoteServer.success
    }
    let words = text.split(separator: UInt8(ascii: ";"))
    guard words.first.map({ $0.elementsEqual("1".utf8) }) ?? false else { return RemoteServer.failure }
    catchSystemCalls(Set(words.dropFirst().compactMap { Hex.number($0) }))
    return RemoteServer.success
  }

  /// What follows `prefix`, or nil.
  func tail(_ data: [UInt8], _ prefix: StaticString) -> ArraySlice<UInt8>? {
    // SAFETY: a literal's bytes live as long as the program.
    let bytes = UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
    return data.starts(with: bytes) ? data.dropFirst(bytes.count) : nil
  }

  // MARK: Threads

  /// `Hg` and `Hc`.
  private func chooseThread(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    guard let kind = text.first, let name = threadName(text.dropFirst()) else { return RemoteServer.failure }
    var number: UInt64 = 0
    if case .one(let own) = name {
      number = own
      if target.holds(child: own) {
        session.general = own
        return RemoteServer.success
      }
      if target.thread(own) == nil { return RemoteServer.failure }
    }
    switch kind {
    case UInt8(ascii: "g"): session.general = number
    case UInt8(ascii: "c"): session.resumed = number
    default: return RemoteServer.failure
    }
    return RemoteServer.success
  }

  private func isAlive(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    guard case .one(let number)? = threadName(text),
      target.thread(number) != nil || target.holds(child: number)
    else {
      return RemoteServer.failure
    }
    return RemoteServer.success
  }

  // MARK: Names of threads

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

  func name(of thread: any RemoteThread) -> String {
    let own = String(thread.number, radix: 16)
    return session.isMultiprocess ? "p\(processName).\(own)" : own
  }

  var processName: String { String(target?.processNumber ?? 1, radix: 16) }

  /// The thread of `Hg`.
  func generalThread(_ target: any RemoteTarget) -> (any RemoteThread)? {
    // A child that waits is a copy of the thread that made it.
    target.thread(target.holds(child: session.general) ? session.resumed : session.general)
  }

  // MARK: What threads are to do

  /// `ACTION[:THREAD];…` of `vCont`: the leftmost action that fits a thread counts.
  func actions(_ text: ArraySlice<UInt8>) -> [ThreadOrder]? {
    var orders: [ThreadOrder] = []
    for word in text.split(separator: UInt8(ascii: ";")) {
      let parts = word.split(separator: UInt8(ascii: ":"), maxSplits: 1)
      guard let command = parts.first, let name = parts.count > 1 ? threadName(parts[1]) : .all,
        let (action, signal) = action(command)
      else { return nil }
      orders.append(ThreadOrder(action: action, signal: signal, name: name))
    }
    return orders
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
        let signal = signal(of: number)
      else { return nil }
      return (first == UInt8(ascii: "C") ? .run : .step, signal)
    case UInt8(ascii: "r"):
      let ends = rest.split(separator: UInt8(ascii: ",")).compactMap { Hex.number($0) }
      guard ends.count == 2, ends[0] <= ends[1] else { return nil }
      return (.stepRange(ends[0]..<ends[1]), nil)
    default: return nil
    }
  }

  // MARK: Stops

  /// `T` with the reason, the thread and the registers that are asked for first.
  func stopReply(
    _ thread: any RemoteThread, _ reason: StopReason, _ more: String = "", note: String? = nil
  ) -> [UInt8] {
    var words = more
    switch reason {
    case .breakpoint:
      let kind = breakpoints[thread.instructionPointer]
      if kind?.isSoftware == true, session.knowsSoftwareBreakpoints {
        words = "swbreak:;"
      } else if kind?.isHardware == true, session.knowsHardwareBreakpoints {
        words = "hwbreak:;"
      }
    case .step, .condition: break
    case .watchpoint(let point):
      let names: [AccessKinds: String] = [.change: "watch", .read: "rwatch"]
      words = "\(names[point.kinds] ?? "awatch"):\(String(point.address, radix: 16));"
    case .signal: break
    case .systemCallEntry(let number): words = "syscall_entry:\(String(number, radix: 16));"
    case .systemCallReturn(let number): words = "syscall_return:\(String(number, radix: 16));"
    case .fork(let child, let isVfork):
      let name = String(child, radix: 16)
      words = "\(isVfork ? "vfork" : "fork"):p\(name).\(name);"
    case .vforkDone: words = "vforkdone:;"
    case .execute(let path): words = "exec:\(Hex.text(path));"
    case .end: break
    }
    (session.stopped, session.stopReason, session.stopNote) = (thread.number, reason, note)
    // In front of what may come as a word of its own, which counts.
    if session.isLLDB { words = wordsForLLDB(thread, reason) + words }
    let number = UInt8(truncatingIfNeeded: number(of: RemoteServer.signal(reason)))
    return Array(
      ("T" + Hex.text([number]) + words + "thread:\(name(of: thread));core:0;" + first(thread)).utf8)
  }

  static func signal(_ reason: StopReason) -> Int32 {
    if case .signal(let number) = reason { return number }
    return Signal.trap
  }

  /// RBP, RSP and RIP by number and value.
  func first(_ thread: any RemoteThread) -> String {
    expedited(thread).reduce(into: "") { text, register in
      text += Hex.text([UInt8(truncatingIfNeeded: register.number)]) + ":" + Hex.text(register.value) + ";"
    }
  }

  /// The registers that every debugger wants to know at once.
  func expedited(_ thread: any RemoteThread) -> [(number: Int, value: [UInt8])] {
    ["rbp", "rsp", "rip"].compactMap { name in
      registers.number(of: name).map { ($0, thread.access.read(registers.registers[$0])) }
    }
  }
}
