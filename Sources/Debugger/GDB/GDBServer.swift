// The protocol's server for a machine that runs: takes packets, asks the machine's control, answers. It has a host thread of its own,
// which holds the address space's lock except while it waits; so a guest that forks finds it at rest, and everything it
// looks at stands still.

import CHost
import Engine
import GuestMemory
import Linux
import LinuxABI
import VirtualMachine

/// A server for one machine.
public final class GDBServer: RemoteServer {
  private(set) var control: MachineControl?
  private var event: Int64 = -1
  /// The process has ended, and this was the reply.
  var ending: Termination?
  /// Executes Vitrine anew with this value of `--gdb`, and another program or other arguments where they are not nil.
  let relaunch: (@Sendable (_ gdb: String, _ program: [UInt8]?, _ arguments: [[UInt8]]?) -> Void)?
  private var handle: UInt64 = 0

  public init(
    address: DebuggerAddress, say: @escaping @Sendable (String) -> Void,
    relaunch: (@Sendable (_ gdb: String, _ program: [UInt8]?, _ arguments: [[UInt8]]?) -> Void)? = nil
  ) {
    self.relaunch = relaunch
    super.init(address: address, say: say)
  }

  override var target: (any RemoteTarget)? { control }

  /// What steers a machine for this server.
  public func makeController() -> any MachineController {
    let control = MachineControl(
      start: { [unowned self] in start($0) }, wake: { [unowned self] in signalEvent() },
      inForkedChild: { [unowned self] in forget() })
    control.decides = { [unowned self] in stops($0, self.control?.memory) }
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

  /// In a forked child nobody serves.
  private func forget() {
    files.closeAll(control)
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

  // MARK: What is this server's own

  override func ownReply(to data: [UInt8]) -> [UInt8]? {
    control.map { reply(to: data, $0) } ?? GDBServer.failure
  }

  override func currentStop() -> [UInt8] { control.map { currentStop($0) } ?? GDBServer.failure }

  override func ownFeatures(_ asks: (String) -> Bool) -> [String] {
    control?.stopsAtExecutions = asks("exec-events")
    control?.stopsAtForks = asks("fork-events") && session.isMultiprocess
    control?.stopsAtVforkEnds = asks("vfork-events")
    return [
      "fork-events+", "vfork-events+", "exec-events+", "QPassSignals+", "QProgramSignals+", "QCatchSyscalls+",
      "qXfer:siginfo:read+", "qXfer:siginfo:write+",
    ]
  }

  override func passSignals(_ signals: UInt64) { control?.pass(signals) }
  override func catchSystemCalls(_ calls: Set<UInt64>?) { control?.caughtCalls = calls }
  override func metLLDB() { control?.stopsAtExecutions = true }

  override func ownObject(_ name: String) -> [UInt8]? {
    guard name == "siginfo", let thread = signalThread else { return nil }
    return thread.information.withUnsafeBytes { Array($0) }
  }

  /// The thread of `Hg`, whose signal is spoken of.
  private var signalThread: ControlledThread? {
    control.flatMap { generalThread($0) } as? ControlledThread
  }

  override func writeOwnObject(_ name: String, _ text: ArraySlice<UInt8>) -> [UInt8] {
    guard name == "siginfo", let colon = text.firstIndex(of: UInt8(ascii: ":")),
      let offset = Hex.number(text[..<colon]),
      let thread = signalThread
    else { return GDBServer.failure }
    let bytes = text[(colon + 1)...]
    guard offset <= 128, bytes.count <= 128 - Int(offset) else { return GDBServer.failure }
    thread.information.withUnsafeMutableBytes { place in
      for (index, byte) in bytes.enumerated() where Int(offset) + index < place.count {
        place[Int(offset) + index] = byte
      }
    }
    return Array(String(bytes.count, radix: 16).utf8)
  }

  override func interrupt() {
    guard session.isRunning else { return }
    session.isInterrupted = true
    control?.requestStop()
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
      if inheritance.agreements & Inheritance.stopIsDue != 0 { send(currentStop()) }
    }
    while true {
      let ready = wait(memory)
      if ready.event { eventHappened(control) }
      if ready.input {
        if input < 0 { accept(control) } else { receive() }
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

  /// The debugger is gone; the program stays where it is until the next one comes.
  override func disconnect() {
    guard let control else { return }
    if listener < 0 || session.isKilled { exitProcess() }
    close([\.input, \.output], control.process)
    files.closeAll(control)
    if ending != nil { return control.releaseEnd() }
    if control.isActive { waitUntilStopped(control) }
    session = Session()
  }

  /// The program runs on without a debugger; another one may come.
  func leave(_ control: MachineControl) {
    breakpoints = [:]
    files.closeAll(control)
    control.release()
    session = Session()
    close([\.input, \.output], control.process)
  }

  /// Ends the process at once, as SIGKILL would.
  func exitProcess() -> Never {
    while true { _ = Connection.call(231, 128 + Int64(Signal.kill)) }
  }
}
