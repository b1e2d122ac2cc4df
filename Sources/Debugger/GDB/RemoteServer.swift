// The remote side of gdb's serial protocol (gdb manual, appendix E), as far as it is the same for a machine that runs and for one that
// is replayed: takes packets, answers questions about registers, memory, threads and files, keeps breakpoints. What moves the machine
// is a matter of `GDBServer` and `RecordingServer`. The protocol's all-stop mode: between a command that resumes and its
// stop reply nothing but Ctrl-C is expected.

import CHost
import Engine
import GuestMemory
import LinuxABI
import VirtualMachine

/// A server of the protocol.
public class RemoteServer {
  /// Bytes of a packet's data at most, in both directions.
  static let packetSize = 0x10000

  let address: DebuggerAddress
  /// Says something to people on standard error.
  let say: @Sendable (String) -> Void
  var listener: Int64 = -1
  /// -1: nobody is connected. With standard streams: where to read and where to write.
  var input: Int64 = -1
  var output: Int64 = -1
  var reader = PacketReader(limit: RemoteServer.packetSize)
  private var last: [UInt8] = []

  var session = Session()
  var registers = RegisterFile(components: 7)
  var breakpoints: [UInt64: Breakpoint] = [:]
  var files = RemoteFiles()
  /// Connections so far.
  var connections = 0

  /// What is agreed on with one debugger.
  struct Session {
    var acknowledges = true
    var isExtended = false
    /// The debugger is lldb (LLDB.swift).
    var isLLDB = false
    var isMultiprocess = false
    var knowsSoftwareBreakpoints = false
    var knowsHardwareBreakpoints = false
    /// A command has resumed the machine, and its reply is due.
    var isRunning = false
    var isInterrupted = false
    /// The program was killed, and another run may be asked for.
    var isKilled = false
    /// The threads of `Hg` and `Hc`; 0: any.
    var general: UInt64 = 0
    var resumed: UInt64 = 0
    /// Threads that are still to be listed.
    var unlisted: [UInt64] = []
    var lastStop: [UInt8] = []
    /// The thread of the last stop reply, and why it stopped.
    var stopped: UInt64 = 0
    var stopReason: StopReason?
    /// In place of a reason: what there is to say.
    var stopNote: String?
    /// lldb has to be told of the program: nobody has, it is going to ask, it reads the list with it.
    var program = ProgramNews.unknown
  }

  enum ProgramNews { case unknown, announced, listed, told }

  /// A breakpoint as the debugger asked for it.
  struct Breakpoint {
    var isSoftware = false
    var isHardware = false
    /// Stop if one of them is true; empty: always.
    var conditions: [AgentExpression] = []
  }

  init(address: DebuggerAddress, say: @escaping @Sendable (String) -> Void) {
    self.address = address
    self.say = say
  }

  // MARK: What the kinds of servers do in their own ways

  /// What the answers are about.
  var target: (any RemoteTarget)? { nil }

  /// The reply to packets that resume, stop, detach and end; nil: it comes later, or there is none.
  func ownReply(to data: [UInt8]) -> [UInt8]? { [] }

  /// `?`: why everything stands still.
  func currentStop() -> [UInt8] { RemoteServer.failure }

  /// Words of `qSupported`. `asks` tells whether the debugger has named one.
  func ownFeatures(_ asks: (String) -> Bool) -> [String] { [] }

  /// An object of `qXfer`; nil: there is none of this name.
  func ownObject(_ name: String) -> [UInt8]? { nil }

  /// `OFFSET:DATA` for an object that can be written.
  func writeOwnObject(_ name: String, _ text: ArraySlice<UInt8>) -> [UInt8] { [] }

  /// A `monitor` command, and what `monitor help` says of those.
  func execute(_ words: [String]) -> String? { nil }
  var ownHelp: String { "" }

  /// Signals (bit n-1) that are not to stop the program.
  func passSignals(_ signals: UInt64) {}

  /// System calls to stop around: nil is none, empty all.
  func catchSystemCalls(_ calls: Set<UInt64>?) {}

  /// The debugger turns out to be lldb, which does not say what it wants to be told of.
  func metLLDB() {}

  /// Ctrl-C.
  func interrupt() {}

  /// The debugger is gone.
  func disconnect() {}

  // MARK: The connection

  /// Tells people where to connect.
  func announce() {
    switch address {
    case .standardStreams, .inherited: break
    case .unix(let path):
      say("waiting for a debugger: target remote \(String(decoding: path, as: UTF8.self))")
    case .tcp(let host, _):
      let name = host.count == 4 ? host.map { String($0) }.joined(separator: ".") : "[::1]"
      say("waiting for a debugger: target remote \(name):\(Connection.port(listener))")
    }
  }

  /// Takes what has arrived.
  func receive() {
    let bytes = Connection.receive(input)
    if bytes.isEmpty { return disconnect() }
    for byte in bytes {
      guard let event = reader.take(byte) else { continue }
      switch event {
      case .acknowledged: break
      case .refused: transmit(last)
      case .damaged: if session.acknowledges { transmit([UInt8(ascii: "-")]) }
      case .interrupt: interrupt()
      case .packet(let data):
        if session.acknowledges { transmit([UInt8(ascii: "+")]) }
        if let target, let answer = reply(to: data, target) { send(answer) }
        reader.checksChecksum = session.acknowledges
      }
      if input < 0 { return }
    }
  }

  func send(_ data: [UInt8]) {
    last = Packet.framed(data)
    transmit(last)
  }

  func transmit(_ bytes: [UInt8]) {
    if output >= 0 { _ = Connection.send(bytes, to: output) }
  }
}
