// Questions about the target: what the server can do, which threads there are, and the objects that are read in pieces (`qXfer`).

import Engine
import GuestMemory
import Linux
import LinuxABI

extension RemoteServer {
  func replyToQuery(_ data: [UInt8], _ target: any RemoteTarget) -> [UInt8]? {
    if let text = tail(data, "qSupported") { return features(text) }
    if let text = tail(data, "qXfer:") { return transfer(text, target) }
    if let text = tail(data, "qRcmd,") { return monitor(text, target) }
    if let text = tail(data, "qThreadExtraInfo,") { return extraInformation(text, target) }
    if let text = tail(data, "qMemoryRegionInfo:") { return memoryRegion(text, target) }
    if tail(data, "qAttached") != nil { return Array((connections > 1 ? "1" : "0").utf8) }
    if tail(data, "qSymbol:") != nil { return RemoteServer.success }
    switch String(decoding: data, as: UTF8.self) {
    case "qC": return generalThread(target).map { Array(("QC" + name(of: $0)).utf8) } ?? []
    case "qfThreadInfo":
      session.unlisted = target.remoteThreads.map { $0.number }
      return nextThreads(target)
    case "qsThreadInfo": return nextThreads(target)
    case "qHostInfo":
      return Array("triple:\(Hex.text("x86_64-unknown-linux-gnu".utf8));ptrsize:8;endian:little;".utf8)
    case "qProcessInfo":
      let triple = Hex.text("x86_64-unknown-linux-gnu".utf8)
      return Array("pid:\(processName);triple:\(triple);ostype:linux;endian:little;ptrsize:8;".utf8)
    default: return []
    }
  }

  private func features(_ text: ArraySlice<UInt8>) -> [UInt8] {
    let asked = text.drop { $0 == UInt8(ascii: ":") }.split(separator: UInt8(ascii: ";"))
    func asks(_ name: String) -> Bool { asked.contains { $0.elementsEqual("\(name)+".utf8) } }
    session.isMultiprocess = asks("multiprocess")
    session.knowsSoftwareBreakpoints = asks("swbreak")
    session.knowsHardwareBreakpoints = asks("hwbreak")
    var words = ["PacketSize=\(String(RemoteServer.packetSize, radix: 16))"]
    words += [
      "QStartNoAckMode+", "multiprocess+", "swbreak+", "hwbreak+", "vContSupported+", "binary-upload+",
      "ConditionalBreakpoints+",
    ]
    words += ["features", "auxv", "exec-file", "libraries-svr4", "threads"].map { "qXfer:\($0):read+" }
    return Array((words + ownFeatures(asks)).joined(separator: ";").utf8)
  }

  // MARK: Threads

  private func nextThreads(_ target: any RemoteTarget) -> [UInt8] {
    let part = session.unlisted.prefix(512)
    session.unlisted.removeFirst(part.count)
    let names = part.compactMap { target.thread($0) }.map { name(of: $0) }
    return Array((names.isEmpty ? "l" : "m" + names.joined(separator: ",")).utf8)
  }

  private func extraInformation(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    guard case .one(let number)? = threadName(text), let thread = target.thread(number) else {
      return RemoteServer.failure
    }
    return Hex.bytes((thread.isInHostCall ? "in a system call" : "stopped").utf8)
  }

  private func threadList(_ target: any RemoteTarget) -> String {
    var text = "<?xml version=\"1.0\"?>\n<threads>\n"
    for thread in target.remoteThreads {
      let title = RemoteServer.escaped(target.title(of: thread))
      text += "<thread id=\"\(name(of: thread))\" core=\"0\" name=\"\(title)\"/>\n"
    }
    return text + "</threads>\n"
  }

  static func escaped(_ bytes: [UInt8]) -> String {
    var text = ""
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      switch scalar {
      case "<": text += "&lt;"
      case ">": text += "&gt;"
      case "&": text += "&amp;"
      case "\"": text += "&quot;"
      case "'": text += "&apos;"
      default: text += scalar.value < 32 ? "?" : String(scalar)
      }
    }
    return text
  }

  // MARK: Objects in pieces

  /// `OBJECT:read:ANNEX:OFFSET,LENGTH` and `OBJECT:write:ANNEX:OFFSET:DATA`.
  private func transfer(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    let parts = text.split(separator: UInt8(ascii: ":"), maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count == 4 else { return RemoteServer.failure }
    let object = String(decoding: parts[0], as: UTF8.self)
    let annex = String(decoding: parts[2], as: UTF8.self)
    guard parts[1].elementsEqual("read".utf8) else { return writeOwnObject(object, parts[3]) }
    let ends = parts[3].split(separator: UInt8(ascii: ","))
    guard ends.count == 2, let offset = Hex.number(ends[0]), let length = Hex.number(ends[1]) else {
      return RemoteServer.failure
    }
    let content: [UInt8]
    switch object {
    case "features":
      guard let text = TargetDescription(registers: registers).document(annex) else {
        return Array("E00".utf8)
      }
      content = Array(text.utf8)
    case "auxv": content = target.auxiliaryBytes()
    case "exec-file": content = target.executablePath
    case "libraries-svr4": content = target.memory.map { libraries($0, target, offset == 0) } ?? []
    case "threads": content = Array(threadList(target).utf8)
    default:
      guard let own = ownObject(object) else { return [] }
      content = own
    }
    return RemoteServer.piece(of: content, offset, length)
  }

  /// `m` and a piece, or `l` and the last one. Half of the packet's size is kept for escapes.
  static func piece(of content: [UInt8], _ offset: UInt64, _ length: UInt64) -> [UInt8] {
    guard offset <= UInt64(content.count) else { return RemoteServer.failure }
    let start = Int(offset)
    let count = Int(min(length, UInt64(content.count - start), UInt64(packetSize / 2)))
    let isLast = start + count == content.count
    return [isLast ? UInt8(ascii: "l") : UInt8(ascii: "m")] + content[start..<(start + count)]
  }

  /// lldb's question: the region at an address, or the gap up to the next one.
  private func memoryRegion(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    guard let address = Hex.number(text), let memory = target.memory else { return RemoteServer.failure }
    func hex(_ number: UInt64) -> String { String(number, radix: 16) }
    guard let region = memory.region(atOrAbove: address), region.contains(address) else {
      let next = memory.region(atOrAbove: address)?.start ?? .max
      return Array("start:\(hex(address));size:\(hex(next &- address));".utf8)
    }
    var rights = ""
    if region.permissions.contains(.read) { rights += "r" }
    if region.permissions.contains(.write) { rights += "w" }
    if region.permissions.contains(.execute) { rights += "x" }
    var text = "start:\(hex(region.start));size:\(hex(region.size));permissions:\(rights);"
    if let path = memory.backing(region.backing)?.path, !path.isEmpty { text += "name:\(Hex.text(path));" }
    return Array(text.utf8)
  }

  // MARK: Commands of our own

  private func monitor(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8]? {
    let command = Hex.decoded(text).map { String(decoding: $0, as: UTF8.self) } ?? ""
    let words = command.split(separator: " ").map(String.init)
    let answer: String
    switch words.first {
    case "maps": answer = String(decoding: target.mapsText(), as: UTF8.self)
    case "threads":
      answer = target.remoteThreads.map { thread in
        let state = thread.isInHostCall ? "in system call \(thread.originalRAX)" : "stopped"
        return "\(thread.number) at \(thread.instructionPointer.hexadecimal), \(state)\n"
      }.joined()
    case "breakpoints":
      let points = breakpoints.keys.sorted().map { "breakpoint at \($0.hexadecimal)\n" }
      let watched = target.watchpoints.map { "watching \($0.size) bytes at \($0.address.hexadecimal)\n" }
      answer = (points + watched).joined()
    case nil, "help":
      answer =
        ownHelp + """
          monitor maps         the program's memory map, as /proc/PID/maps shows it
          monitor threads      threads, where they are, and what they wait for
          monitor breakpoints  what stops the program
          monitor help         this text

          """
    default: answer = execute(words) ?? "vitrine: no such command (try: monitor help)\n"
    }
    return answer.isEmpty ? RemoteServer.success : Hex.bytes(answer.utf8)
  }

  private func libraries(
    _ memory: AddressSpace, _ target: any RemoteTarget, _ isBeginning: Bool
  ) -> [UInt8] {
    let libraries = SharedLibraries(memory: memory, auxiliary: target.auxiliaryBytes())
    return Array(libraries.document(program: listedProgram(target, isBeginning: isBeginning)).utf8)
  }
}
