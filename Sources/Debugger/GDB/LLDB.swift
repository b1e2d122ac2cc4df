// What lldb says in place of gdb's packets, or asks besides (docs/resources/lldbgdbremote.md in LLVM's sources): threads named behind a
// packet, Linux's own signal numbers, why each thread has stopped as JSON, memory for the code of expressions, the main program among
// the shared objects. A debugger is taken for lldb from its first packet that only lldb sends; what is not listed here is answered by
// an empty reply, and lldb does without.

import Engine
import GuestMemory
import LinuxABI

extension RemoteServer {
  /// The reply to a packet of lldb's; nil: it is none.
  func replyToLLDB(_ data: [UInt8], _ target: any RemoteTarget) -> [UInt8]? {
    if data.elementsEqual("QThreadSuffixSupported".utf8) {
      session.isLLDB = true
      metLLDB()
      return RemoteServer.success
    }
    guard session.isLLDB else { return nil }
    if data.elementsEqual("QListThreadsInStopReply".utf8) { return RemoteServer.success }
    if data.elementsEqual("jThreadsInfo".utf8) { return Array(threadsAsJSON(target).utf8) }
    if data.elementsEqual("qShlibInfoAddr".utf8) { return libraryListPlace(target) }
    if let text = tail(data, "qThreadStopInfo") { return stopInformation(text, target) }
    if let text = tail(data, "qFileLoadAddress:") { return loadAddress(text, target) }
    if let text = tail(data, "_M") { return allocate(text, target) }
    if let text = tail(data, "_m") {
      guard let address = Hex.number(text) else { return RemoteServer.failure }
      return target.deallocate(address) ? RemoteServer.success : RemoteServer.failure
    }
    return nil
  }

  /// Takes `;thread:NUMBER;` off the end of a packet about registers; the thread is chosen by it.
  func takeThread(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    guard session.isLLDB, let end = text.firstIndex(of: UInt8(ascii: ";")) else { return text }
    let words = text[end...].split(separator: UInt8(ascii: ";"))
    for word in words where word.starts(with: "thread:".utf8) {
      if case .one(let number)? = threadName(word.dropFirst(7)) { session.general = number }
    }
    return text[..<end]
  }

  // MARK: Signals

  /// A Linux signal as this debugger numbers it.
  func number(of signal: Int32) -> Int32 { session.isLLDB ? signal : GDBSignals.number(of: signal) }

  /// The Linux signal of this debugger's number; nil when there is none.
  func signal(of number: UInt64) -> Int32? {
    guard number < 256 else { return nil }
    let number = Int32(number)
    return session.isLLDB ? (number <= 64 ? number : nil) : GDBSignals.signal(of: number)
  }

  // MARK: Stops

  /// Words of a stop reply that lldb has besides: all threads and where they are, the thread's name, the reason.
  func wordsForLLDB(_ thread: any RemoteThread, _ reason: StopReason) -> String {
    var text = "hexname:\(Hex.text(target?.title(of: thread) ?? []));"
    if let all = target?.remoteThreads, !all.isEmpty {
      text += "threads:" + all.map { String($0.number, radix: 16) }.joined(separator: ",")
      text += ";thread-pcs:" + all.map { String($0.instructionPointer, radix: 16) }.joined(separator: ",")
      text += ";"
    }
    if let note = session.stopNote {
      text += "reason:exception;description:\(Hex.text(note.utf8));"
    } else if let word = RemoteServer.reasonForLLDB(reason) {
      text += "reason:\(word);"
    }
    if case .execute = reason { session.program = .unknown }
    if session.program != .unknown { return text }
    session.program = .announced
    return text + "library:1;"
  }

  /// The program is in the list of what is loaded that lldb reads because of `library:` in the first stop reply: so it gets to know
  /// it. In later lists it would forget where everything lies when it finds the program again.
  func listedProgram(_ target: any RemoteTarget, isBeginning: Bool) -> [UInt8]? {
    guard session.isLLDB, session.program != .unknown else { return nil }
    if isBeginning, session.program == .listed { session.program = .told }
    if session.program == .told { return nil }
    session.program = .listed
    return target.executablePath
  }

  private static func reasonForLLDB(_ reason: StopReason) -> String? {
    switch reason {
    case .breakpoint: "breakpoint"
    case .step, .condition: "trace"
    case .execute: "exec"
    case .signal: "signal"
    // These have words of their own.
    case .watchpoint, .systemCallEntry, .systemCallReturn, .fork, .vforkDone, .end: nil
    }
  }

  /// `qThreadStopInfo`: why this thread has stopped; those that only stand still have no reason.
  private func stopInformation(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    guard let number = Hex.number(text), let thread = target.thread(number) else {
      return RemoteServer.failure
    }
    if number == session.stopped { return session.lastStop }
    return Array(
      "T00thread:\(name(of: thread));hexname:\(Hex.text(target.title(of: thread)));\(first(thread))".utf8)
  }

  private func threadsAsJSON(_ target: any RemoteTarget) -> String {
    let threads = target.remoteThreads.map { thread in
      var text = "{\"tid\":\(thread.number),\"name\":\(RemoteServer.quoted(target.title(of: thread)))"
      if thread.number == session.stopped, let reason = session.stopReason {
        text += ",\"signal\":\(RemoteServer.signal(reason))"
        if let note = session.stopNote {
          text += ",\"reason\":\"exception\",\"description\":\(RemoteServer.quoted(Array(note.utf8)))"
        } else if case .watchpoint(let point) = reason {
          let place = Array("\(point.address)".utf8)
          text += ",\"reason\":\"watchpoint\",\"description\":\(RemoteServer.quoted(place))"
        } else if let word = RemoteServer.reasonForLLDB(reason) {
          text += ",\"reason\":\"\(word)\""
        }
      }
      text += ",\"registers\":{"
      text += expedited(thread).map { "\"\($0)\":\"\(Hex.text($1))\"" }.joined(separator: ",")
      return text + "}}"
    }
    return "[" + threads.joined(separator: ",") + "]"
  }

  /// A JSON string. What is not printable is left out: the names of threads are bytes.
  private static func quoted(_ bytes: [UInt8]) -> String {
    var text = "\""
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars where scalar.value >= 32 {
      if scalar == "\"" || scalar == "\\" { text += "\\" }
      text.unicodeScalars.append(scalar)
    }
    return text + "\""
  }

  // MARK: Places

  private func libraryListPlace(_ target: any RemoteTarget) -> [UInt8] {
    guard let memory = target.memory,
      let place = SharedLibraries(memory: memory, auxiliary: target.auxiliaryBytes()).debugEntry
    else { return RemoteServer.failure }
    return Array(String(place, radix: 16).utf8)
  }

  /// `qFileLoadAddress:`: where a file's first mapping lies.
  private func loadAddress(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    guard let path = Hex.decoded(text), let memory = target.memory else { return RemoteServer.failure }
    for region in memory.regions() where memory.backing(region.backing)?.path == path {
      return Array(String(region.start &- region.offset, radix: 16).utf8)
    }
    return RemoteServer.failure
  }

  /// `_MSIZE,PERMISSIONS`: pages for lldb's own use.
  private func allocate(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    let parts = text.split(separator: UInt8(ascii: ","), maxSplits: 1)
    guard parts.count == 2, let size = Hex.number(parts[0]), size > 0, size < 1 << 30 else {
      return RemoteServer.failure
    }
    var permissions: Permissions = []
    if parts[1].contains(UInt8(ascii: "r")) { permissions.insert(.read) }
    if parts[1].contains(UInt8(ascii: "w")) { permissions.insert(.write) }
    if parts[1].contains(UInt8(ascii: "x")) { permissions.insert(.execute) }
    // Without an answer lldb calls the program's own mmap(3), which makes a timeline of a recording.
    return target.allocate(size, permissions).map { Array(String($0, radix: 16).utf8) } ?? []
  }
}
