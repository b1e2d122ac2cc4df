// The remote side of gdb's serial protocol (gdb manual, appendix E): takes packets, asks the machine's control, answers. It has a
// host thread of its own, which holds the address space's lock except while it waits; so a guest that forks finds it at rest, and
// everything it looks at stands still. The protocol's all-stop mode: between a command that resumes and its stop reply nothing but
// Ctrl-C is expected.

import CHost
import Engine
import GuestMemory
import Linux
import LinuxABI
import VirtualMachine

/// A server for one machine.
public final class GDBServer {
  /// Bytes of a packet's data at most, in both directions.
  static let packetSize = 0x10000

  let address: DebuggerAddress
  /// Says something to people on standard error.
  let say: @Sendable (String) -> Void
  private(set) var control: MachineControl?
  private(set) var listener: Int64 = -1
  /// -1: nobody is connected. With standard streams: where to read and where to write.
  private(set) var input: Int64 = -1
  private(set) var output: Int64 = -1
  private var event: Int64 = -1
  private var reader = PacketReader(limit: GDBServer.packetSize)
  private var last: [UInt8] = []

  var session = Session()
  var registers = RegisterFile(components: 7)
  var breakpoints: [UInt64: Breakpoint] = [:]
  var files = RemoteFiles()
  /// The process has ended, and this was the reply.
  var ending: Termination?
  /// Connections so far.
  private(set) var connections = 0
  /// Executes Vitrine anew with this value of `--gdb`, and another program or other arguments where they are not nil.
  let relaunch: (@Sendable (_ gdb: String, _ program: [UInt8]?, _ arguments: [[UInt8]]?) -> Void)?
  private var handle: UInt64 = 0

  /// What is agreed on with one debugger.
  struct Session {
    var acknowledges = true
    var isExtended = false
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
  }

  /// A breakpoint as the debugger asked for it.
  struct Breakpoint {
    var isSoftware = false
    var isHardware = false
    /// Stop if one of them is true; empty: always.
    var conditions: [AgentExpression] = []
  }

  public init(
    address: DebuggerAddress, say: @escaping @Sendable (String) -> Void,
    relaunch: (@Sendable (_ gdb: String, _ program: [UInt8]?, _ arguments: [[UInt8]]?) -> Void)? = nil
  ) {
    self.address = address
    self.say = say
    self.relaunch = relaunch
  }

  /// What steers a machine for this server.
  public func makeController() -> any MachineController {
    let control = MachineControl(
      start: { [unowned self] in start($0) }, wake: { [unowned self] in signalEvent() },
      inForkedChild: { [unowned self] in forget() })
    control.decides = { [unowned self] in stops($0) }
    control.programBegan = { [unowned self] in breakpoints = [:] }
    self.control = control
    return control
  }

  // MARK: Beginning

  private func start(_ control: MachineControl) -> String? {
    guard let process = control.process else { return "there is no process to debug" }
    let isTakenOver = input >= 0
    if isTakenOver { beginInChild(process) }
    event = Connection.call(Connection.Call.event, 0, 0x80800)
    guard event >= 0 else { return "cannot make an event descriptor" }
    event = Int64(process.hide(Int32(truncatingIfNeeded: event)))
    if !isTakenOver, let problem = open(process) { return problem }
    if let cpu = control.process?.currentThread.cpu { registers = RegisterFile(components: cpu.pointee.xcr0) }
    let context = Unmanaged.passUnretained(self).toOpaque()
    let result = vt_thread_start(
      { context in
        guard let context else { return }
        Unmanaged<GDBServer>.fromOpaque(context).takeUnretainedValue().serve()
      }, context, 1 << 20, &handle)
    return result < 0 ? "cannot start the debugger's thread" : nil
  }

  /// In a forked child that was taken over: the connection goes on; the parent's breakpoints, listener and event do not.
  private func beginInChild(_ process: LinuxProcess) {
    breakpoints = [:]
    session.isRunning = false
    session.lastStop = []
    (session.general, session.resumed) = (0, 0)
    close([\.listener, \.event], process)
  }

  private func open(_ process: LinuxProcess) -> String? {
    if address == .standardStreams {
      input = Int64(process.hide(0, movesStandard: true))
      output = Int64(process.hide(1, movesStandard: true))
      // The guest reads nothing, and writes to standard error.
      let null = Array("/dev/null".utf8) + [0]
      _ = null.withUnsafeBytes { Connection.call(Connection.Call.open, Connection.pointer($0), 0) }
      _ = Connection.call(Connection.Call.duplicate, 2, 1)
      connections = 1
      return nil
    }
    if case .inherited(let inheritance) = address {
      input = Int64(process.hide(Int32(truncatingIfNeeded: inheritance.input)))
      let isOne = inheritance.output == inheritance.input
      output = isOne ? input : Int64(process.hide(Int32(truncatingIfNeeded: inheritance.output)))
      if inheritance.listener >= 0 {
        listener = Int64(process.hide(Int32(truncatingIfNeeded: inheritance.listener)))
      }
      connections = 1
      return nil
    }
    let result = Connection.listen(address)
    if result < 0 { return "cannot listen for a debugger (errno \(-result))" }
    listener = Int64(process.hide(Int32(truncatingIfNeeded: result)))
    announce()
    return nil
  }

  private func announce() {
    switch address {
    case .standardStreams, .inherited: break
    case .unix(let path):
      say("waiting for a debugger: target remote \(String(decoding: path, as: UTF8.self))")
    case .tcp(let host, _):
      let name = host.count == 4 ? host.map { String($0) }.joined(separator: ".") : "[::1]"
      say("waiting for a debugger: target remote \(name):\(Connection.port(listener))")
    }
  }

  /// In a forked child nobody serves.
  private func forget() {
    files.closeAll(control?.process)
    close([\.listener, \.input, \.output, \.event], control?.process)
  }

  /// Closes descriptors of this side. Input and output may be one.
  private func close(_ ends: [ReferenceWritableKeyPath<GDBServer, Int64>], _ process: LinuxProcess?) {
    for descriptor in Set(ends.map { self[keyPath: $0] }) where descriptor >= 0 {
      process?.closeHidden(Int32(truncatingIfNeeded: descriptor))
    }
    for end in ends { self[keyPath: end] = -1 }
  }

  private func signalEvent() {
    let one: [UInt64] = [1]
    _ = one.withUnsafeBytes { Connection.call(Connection.Call.write, event, Connection.pointer($0), 8) }
  }

  // MARK: The loop

  /// The server's thread.
  private func serve() {
    _ = vt_thread_prepare()
    // SIGILL, SIGTRAP, SIGBUS, SIGFPE and SIGSEGV have to arrive: looking at guest memory may fault.
    let mask: [UInt64] = [~(1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10)]
    _ = mask.withUnsafeBytes { Connection.call(14, 2, Connection.pointer($0), 0, 8) }
    guard let control, let memory = control.memory else { return }
    memory.acquire()
    if case .inherited(let inheritance) = address, connections == 1 {
      inherit(inheritance, control)
      reader.checksChecksum = session.acknowledges
      waitUntilStopped(control)
      if inheritance.agreements & Inheritance.stopIsDue != 0 { send(currentStop(control)) }
    }
    while true {
      let ready = wait(memory)
      if ready.event { eventHappened(control) }
      if ready.input {
        if input < 0 { accept(control) } else { receive(control) }
      }
    }
  }

  private func wait(_ memory: AddressSpace) -> (event: Bool, input: Bool) {
    let awaited = input >= 0 ? input : listener
    let isStopping = control?.state == .stopping
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { polled in
      func entry(_ descriptor: Int64) -> UInt64 { UInt64(UInt32(truncatingIfNeeded: descriptor)) | 1 << 32 }
      polled[0] = entry(event)
      polled[1] = entry(awaited)
      let place = Connection.pointer(UnsafeRawBufferPointer(polled))
      memory.release()
      // A thread on its way may begin to wait in a host call, which nobody announces.
      let milliseconds: Int64 = isStopping ? 5 : -1
      _ = Connection.call(Connection.Call.poll, place, 2, milliseconds)
      memory.acquire()
      return (polled[0] >> 48 != 0 || isStopping, polled[1] >> 48 != 0)
    }
  }

  private func eventHappened(_ control: MachineControl) {
    var count: [UInt64] = [0]
    _ = count.withUnsafeMutableBytes {
      Connection.call(Connection.Call.read, event, Connection.pointer(UnsafeRawBufferPointer($0)), 8)
    }
    if session.isRunning || ending == nil, control.settle(), session.isRunning { reportStop(control) }
  }

  private func accept(_ control: MachineControl) {
    let result = Connection.accept(listener, address)
    guard result >= 0, let process = control.process else { return }
    input = Int64(process.hide(Int32(truncatingIfNeeded: result)))
    output = input
    session = Session()
    reader = PacketReader(limit: GDBServer.packetSize)
    connections += 1
    if !control.isActive { control.takeControl() }
    waitUntilStopped(control)
  }

  /// Until all threads stand still; they need the lock for that.
  func waitUntilStopped(_ control: MachineControl) {
    guard let memory = control.memory else { return }
    control.requestStop()
    while !control.settle() {
      memory.release()
      var nap: [UInt64] = [0, 200_000]
      _ = nap.withUnsafeMutableBytes {
        Connection.call(35, Connection.pointer(UnsafeRawBufferPointer($0)), 0)
      }
      memory.acquire()
    }
  }

  private func receive(_ control: MachineControl) {
    let bytes = Connection.receive(input)
    if bytes.isEmpty { return disconnect(control) }
    for byte in bytes {
      guard let event = reader.take(byte) else { continue }
      switch event {
      case .acknowledged: break
      case .refused: transmit(last)
      case .damaged: if session.acknowledges { transmit([UInt8(ascii: "-")]) }
      case .interrupt:
        guard session.isRunning else { continue }
        session.isInterrupted = true
        control.requestStop()
      case .packet(let data):
        if session.acknowledges { transmit([UInt8(ascii: "+")]) }
        if let answer = reply(to: data, control) { send(answer) }
        reader.checksChecksum = session.acknowledges
      }
      if input < 0 { return }
    }
  }

  /// The debugger is gone; the program stays where it is until the next one comes.
  func disconnect(_ control: MachineControl) {
    if listener < 0 || session.isKilled { exitProcess() }
    close([\.input, \.output], control.process)
    files.closeAll(control.process)
    if ending != nil { return control.releaseEnd() }
    if control.isActive { waitUntilStopped(control) }
    session = Session()
  }

  /// The program runs on without a debugger; another one may come.
  func leave(_ control: MachineControl) {
    breakpoints = [:]
    files.closeAll(control.process)
    control.release()
    session = Session()
    close([\.input, \.output], control.process)
  }

  func send(_ data: [UInt8]) {
    last = Packet.framed(data)
    transmit(last)
  }

  private func transmit(_ bytes: [UInt8]) {
    if output >= 0 { _ = Connection.send(bytes, to: output) }
  }

  /// Ends the process at once, as SIGKILL would.
  func exitProcess() -> Never {
    while true { _ = Connection.call(231, 128 + Int64(Signal.kill)) }
  }
}
