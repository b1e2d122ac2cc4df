// A machine that lives, as panels and commands see it: on one side the machine's control, on the other the Subject. Keeps the last
// registers, the numbered breakpoints, the trace of system calls, and what the program is on the way to. Called under the address
// space's lock.

import CHost
import Debugger
import Engine
import GuestMemory
import Linux
import LinuxABI
import Trace
import VirtualMachine

final class LiveMachine: Subject {
  let control: MachineControl
  var condition = Condition.stopped(Stop(kind: .start, text: "the program is loaded"))
  private(set) var objects: LoadedObjects?
  private(set) var registers = Registers()
  private(set) var earlierRegisters = Registers()
  private(set) var frames: [StackFrame] = []
  var enteredCalls = 0
  var breakpoints: [Breakpoint] = []
  var nextNumber = 1
  var lastWrite: UInt64?
  /// What steps and samples have shown.
  private(set) var recorder: AccessRecorder?
  /// Accesses that are remembered.
  private static let mostAccesses = 60_000
  var currentThread: UInt64 = 0
  private(set) var registerFile = RegisterFile(components: 7)
  let trace: CallTrace
  /// What the program is on the way to.
  var goal: Goal?
  /// Where the way ends, for one thread, with the stack at least so high.
  var landing: Landing?
  /// Somebody has asked for a stop.
  var isInterrupted = false
  /// The signal that each thread has stopped for, and takes when it goes on.
  var heldSignals: [UInt64: Int32] = [:]

  /// Signals (bit n-1) that are taken without telling the person: what usual programs live with. The control shows them all the same,
  /// because what a program leaves to its default action would end the host process, and the debugger with it.
  var passedSignals = LiveMachine.set([1, 2, 13, 14, 17, 18, 20, 21, 22, 23, 26, 27, 28, 29]) {
    didSet { applySignals() }
  }

  /// CHLD CONT TSTP TTIN TTOU URG WINCH: they end nothing.
  private static let harmless = set([17, 18, 20, 21, 22, 23, 28])

  private static func set(_ signals: [UInt64]) -> UInt64 { signals.reduce(0) { $0 | 1 << ($1 - 1) } }

  /// Where each thread stood when its last stop was shown.
  var shownAt: [UInt64: UInt64] = [:]

  /// A movement that is under way.
  struct Goal {
    var movement: Movement
    /// Steps that are left.
    var remaining: Int
    /// Where a movement by lines is.
    var walk: LineWalk?
  }

  struct Landing {
    var addresses: Set<UInt64>
    var thread: UInt64?
    var least: UInt64
  }

  init(control: MachineControl, trace: CallTrace) {
    self.control = control
    self.trace = trace
    control.decides = { [unowned self] in stops($0) }
    control.programBegan = { [unowned self] in programBegan() }
  }

  /// The program is loaded.
  func begin(_ process: LinuxProcess) {
    objects = LoadedObjects(process)
    if let cpu = process.currentThread.cpu { registerFile = RegisterFile(components: cpu.pointee.xcr0) }
    currentThread = process.processNumber
    control.pass(LiveMachine.harmless)
    beginRecord()
    refresh()
  }

  /// From now on another program is watched.
  func beginRecord() {
    guard let memory, let objects else { return }
    recorder = AccessRecorder(AccessTables(memory, objects), most: LiveMachine.mostAccesses)
  }

  var activity: AccessRecord? { recorder?.record }
  var lastRead: UInt64? { activity?.lastAccesses.read }

  var process: LinuxProcess? { control.process }
  var memory: AddressSpace? { control.memory }
  var calls: [String] { trace.lines }

  func callName(_ number: UInt64) -> String? { process?.callName(number) }
  func callNumber(named name: String) -> UInt64? { process?.callNumber(named: name) }
  var caughtCalls: Set<UInt64>? { didSet { applyCalls() } }
  var stopsAtExecutions: Bool {
    get { control.stopsAtExecutions }
    set { control.stopsAtExecutions = newValue }
  }
  var stopsAtForks: Bool {
    get { control.stopsAtForks }
    set { control.stopsAtForks = newValue }
  }
  var program: String { LoadError.name(process?.program?.executablePath ?? []) }

  /// The control has to show what is not harmless or not passed.
  func applySignals() { control.pass(passedSignals & LiveMachine.harmless) }

  // MARK: Threads and registers

  var threads: [ThreadSummary] {
    control.threads.map {
      ThreadSummary(number: $0.number, rip: $0.visible.pointee.rip, isWaiting: $0.isInHostCall)
    }
  }

  var thread: ControlledThread? {
    control.threads.first { $0.number == currentThread } ?? control.threads.first
  }

  func chooseThread(_ number: UInt64) -> Bool {
    guard control.threads.contains(where: { $0.number == number }) else { return false }
    currentThread = number
    refresh()
    earlierRegisters = registers
    return true
  }

  /// Looks at everything again; all threads stand still.
  func refresh() {
    objects?.refresh()
    if !control.threads.contains(where: { $0.number == currentThread }), let first = control.threads.first {
      currentThread = first.number
    }
    readRegisters()
    frames = thread.flatMap { objects?.frames(UnsafePointer($0.visible)) } ?? []
  }

  /// Mappings may have changed.
  func refreshObjects() { objects?.refresh() }

  /// From now on changes are changes against what there is now.
  func remember() { earlierRegisters = registers }

  private func readRegisters() {
    guard let thread else { return }
    let access = RegisterAccess(thread)
    registers = Registers(registerFile) { access.read($0) }
  }

  func setRegister(_ name: String, _ value: UInt64) -> Bool {
    let known = name == "rflags" ? "eflags" : name
    guard let thread, let number = registerFile.number(of: known), registerFile.registers[number].size <= 8
    else { return false }
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
    let isWritten = RegisterAccess(thread).write(registerFile.registers[number], bytes)
    refresh()
    return isWritten
  }

  // MARK: Memory

  func bytes(at address: UInt64, count: Int) -> [UInt8] { memory?.peek(address, count: count) ?? [] }

  func setBytes(_ bytes: [UInt8], at address: UInt64) -> Bool {
    guard let memory else { return false }
    let isWritten = memory.poke(bytes, at: address)
    // That was not the program.
    control.forgetChanges()
    refresh()
    return isWritten
  }

  var regions: [Region] { memory?.regions() ?? [] }

  func region(at address: UInt64) -> Region? { memory?.query(address) }

  func name(of region: Region) -> String { memory?.name(of: region) ?? "" }

  // MARK: Sampling

  /// Looks at a running machine: stops it for as long as `look` takes. False when it cannot be stopped so quickly, or has stopped for
  /// good.
  func sample(_ look: () -> Void) -> Bool {
    // Threads that step tell when they have; their registers stand still where they wait.
    guard condition == .running, control.state == .running, let memory,
      control.threads.allSatisfy({ $0.action == .run })
    else { return false }
    control.requestStop()
    let latest = System.now + 15
    while !control.settle(), System.now < latest {
      memory.release()
      System.sleep(microseconds: 100)
      memory.acquire()
    }
    guard control.state == .stopped, !control.hasStop else { return false }
    let before = registers
    refresh()
    earlierRegisters = before
    if let thread {
      noteWrite(thread)
      recorder?.sample(thread.visible)
    }
    look()
    _ = control.resume { $0.action }
    return true
  }
}
