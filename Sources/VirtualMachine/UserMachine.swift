// One user program in a machine of its own: the composition of address space, Linux personality and engine, and the run
// loop between them. The only place that knows all three.

import CHost
import Engine
import GuestMemory
import Linux
import Translator

/// What to run and how.
public struct UserMachineConfiguration: Sendable {
  /// Where the trace of system calls goes.
  public enum Trace: Sendable {
    case none, standardError, file([UInt8])
    /// Parts of lines, handed over by the thread concerned under the address space's lock.
    case receiver(@Sendable (String) -> Void)
  }

  public var program: [UInt8] = []
  /// The program as a descriptor, when the kernel has opened it (`LoadRequest.descriptor`).
  public var programDescriptor: Int32?
  public var arguments: [[UInt8]] = []
  public var environment: [[UInt8]] = []
  /// What executes the guest: the translator where the host has what it needs, else the interpreter.
  public enum Engine: String, Sendable {
    case automatic = "auto"
    case translator, interpreter

    /// An engine of this kind; nil when the host lacks what it needs.
    public func make(_ memory: AddressSpace, _ options: TranslatorOptions) -> (any GuestEngine)? {
      let translator = self == .interpreter ? nil : TranslatorEngine(memory: memory, options: options)
      if let translator { return translator }
      return self == .translator ? nil : InterpreterEngine(memory: memory)
    }
  }

  public var engine = Engine.automatic
  public var translator = TranslatorOptions()
  public var cpuLevel = "max"
  public var trace = Trace.none
  public var wantsStatistics = false
  /// What is wanted about translated code.
  public var translation = TranslationOutput()
  /// Where translated code is kept for the next run; nil: nowhere.
  public var storeFolder: [UInt8]?
  /// Instructions to execute at most; nil: no limit.
  public var budget: Int64?
  public var randomizeAddresses = false
  /// The file system that the guest is to see.
  public var root = RootRequest()
  /// Where a program without a slash in its name is looked for, when the guest has a root of its own.
  public var searchPath: [UInt8] = []
  /// The guest finds the kernel's vdso and reads clocks without system calls.
  public var hasVDSO = true
  /// Show vector registers in a fault report.
  public var reportVectors = false
  /// Standard error is a terminal that wants colour.
  public var useColour = false
  /// Where the guest's memory goes; nil: anywhere, not isolated from the host's addresses.
  public var window: IsolatedWindow?
  /// Ends the host process as a termination demands: called when that comes on another thread than the one that called `run`.
  public var ending: (@Sendable (Termination) -> Never)?
  /// Steers the threads, for instance a debugger.
  public var makeController: (@Sendable () -> any MachineController)?

  public init() {}
}

/// How a guest ended.
public enum Termination: Equatable, Sendable {
  /// exit_group(2) with this code.
  case exited(Int32)
  /// Killed by a signal; a report has been written if it was a fault.
  case killed(signal: Int32)
  /// The budget of instructions is spent.
  case budgetSpent
  /// Vitrine could not start or continue; one line for people.
  case failed(String)
}

/// Runs one program.
public final class UserMachine {
  let configuration: UserMachineConfiguration
  // SAFETY: allocated in init, freed in deinit, reached only by this object's run loop.
  let cpu: UnsafeMutablePointer<CPUState>
  let controller: (any MachineController)?
  /// Engines of threads that have ended, with what they have translated, for threads to come.
  var idleEngines: [any GuestEngine] = []
  /// Engines of the threads that run, the first one's included.
  // PERF: a dictionary's first use takes ten microseconds of every start.
  var engines: [RunningEngine] = []
  /// What engines have counted that are no more.
  var pastStatistics = StatisticsText.Sum()
  var watch: TranslationWatch?
  var kept: KeptTranslations?

  public init(_ configuration: UserMachineConfiguration) {
    self.configuration = configuration
    controller = configuration.makeController?()
    cpu = UserMachine.allocateCPU()
    CPUState.initialize(cpu)
  }

  deinit { cpu.deallocate() }

  /// Loads the program and runs it to its end.
  public func run() -> Termination {
    let memory: AddressSpace
    do {
      memory = try AddressSpace(configuration.window)
    } catch {
      return .failed("cannot reserve the guest's address space (errno \(error.number))")
    }
    controller?.prepare(memory)
    memory.findsSections = controller == nil
    guard let engine = makeEngine(memory) else {
      return .failed("cannot start the engine: the host lacks BMI2, memory, or refuses signal handlers")
    }
    let name = configuration.cpuLevel
    guard let level = CPUID.Level(name: name, vectors512: engine.executesVectors512) else {
      return .failed("unknown CPU level: \(name)")
    }
    if level.needsVectors512, !engine.executesVectors512 {
      let reason = CPUID.hostHasVectors512 ? "this engine cannot execute" : "this host lacks"
      return .failed("the CPU level \(name) needs AVX-512, which \(reason)")
    }
    cpu.pointee.cpu_level = level.rawValue
    cpu.pointee.xcr0 = level.stateComponents
    cpu.pointee.traps_chance = isRepeatable ? 1 : 0
    switch prepareProcess(memory, level) {
    case .failure(let problem): return .failed(problem.message)
    case .success(let process):
      if configuration.translation.isWanted {
        guard let translator = engine as? TranslatorEngine else {
          return .failed("there is nothing to say about translated code: this run has no translator")
        }
        let watching = TranslationWatch(configuration.translation, translator, process)
        if let problem = watching.begin() { return .failed(problem) }
        watch = watching
      }
      keepTranslations(engine, process)
      allowThreads(engine, process)
      process.hostRemains = controller != nil
      process.logsDirectCalls = controller?.logsCalls ?? false
      process.allowsDirectCalls = controller == nil || process.logsDirectCalls
      if let problem = controller?.begin(process, cpu) { return .failed(problem) }
      let termination = runFirst(engine, process)
      tellEnd(process, termination)
      // Here, because the host's kernel takes the guest's memory back faster than AddressSpace and engine can.
      configuration.ending?(termination)
      return termination
    }
  }

  func makeEngine(_ memory: AddressSpace) -> (any GuestEngine)? {
    var options = configuration.translator
    if configuration.budget != nil { options.countsInstructions = true }
    if isRepeatable { options.isRepeatable = true }
    options.logsCalls = controller?.logsCalls ?? false
    options.measures = configuration.wantsStatistics
    return configuration.engine.make(memory, options)
  }

  /// Begins to take translations from the store, if there is one and nothing else is wanted of the translator.
  private func keepTranslations(_ engine: any GuestEngine, _ process: LinuxProcess) {
    let options = configuration.translator
    guard let folder = configuration.storeFolder, let engine = engine as? TranslatorEngine, controller == nil,
      !engine.countsInstructions, options.linksBlocks, options.flushInterval == nil,
      !configuration.translation.isWanted, !configuration.randomizeAddresses,
      let kept = KeptTranslations(folder, process, engine, isGuarded: options.isGuarded)
    else { return }
    self.kept = kept
    process.programEnds = { kept.end() }
    process.programBegins = { kept.begin() }
    kept.begin()
  }

  var isRepeatable: Bool { controller?.isRepeatable ?? false }

  private struct Problem: Error {
    var message: String
  }

  private func prepareProcess(_ memory: AddressSpace, _ level: CPUID.Level) -> Result<LinuxProcess, Problem> {
    let host = Host()
    var options = ProcessOptions()
    switch configuration.trace {
    case .none: break
    case .standardError: options.traceDescriptor = 2
    case .receiver(let receive): options.traceReceiver = receive
    case .file(let path):
      guard let descriptor = openTrace(path, host) else {
        return .failure(
          Problem(message: "cannot write the trace to \(String(decoding: path, as: UTF8.self))"))
      }
      options.traceDescriptor = descriptor
    }
    options.hardwareCapabilities = CPUID.registers(level: level, leaf: 1, subleaf: 0).edx
    let extended = CPUID.registers(level: level, leaf: 7, subleaf: 0)
    // AT_HWCAP2 bit 1: user space may use RDFSBASE and its like.
    options.hardwareCapabilities2 = extended.ebx & 1 != 0 ? 2 : 0
    options.describeProcessor = { ProcessorText.lines(level) }
    options.randomizesAddresses = configuration.randomizeAddresses
    options.mapsVDSO = configuration.hasVDSO && !isRepeatable
    let process = LinuxProcess(memory: memory, host: host, options: options)
    process.extendedState = FrameState.access
    do { try process.enterRoot(configuration.root) } catch {
      return .failure(Problem(message: error.description))
    }
    let program = process.findProgram(configuration.program, searchPath: configuration.searchPath)
    var request = process.loadRequest(
      path: program, arguments: configuration.arguments, environment: configuration.environment)
    request.descriptor = configuration.programDescriptor
    do {
      let executable = try process.executable(request)
      _ = try process.start(executable, cpu)
      return .success(process)
    } catch {
      return .failure(Problem(message: error.description))
    }
  }

  private func openTrace(_ path: [UInt8], _ host: Host) -> Int32? {
    let result = (path + [0]).withUnsafeBytes { bytes -> Int64 in
      // openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
      host.callUninterrupted(
        257, UInt64(bitPattern: -100), UInt64(UInt(bitPattern: bytes.baseAddress)), 0o2001101, 0o666)
    }
    return result < 0 ? nil : Int32(truncatingIfNeeded: result)
  }

  // MARK: The run loop

  /// Runs the guest on `cpu` to the end of the process, or of the thread: then nil.
  func loop(
    _ engine: any GuestEngine, _ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>
  ) -> Termination? {
    var remaining: InstructionCount = configuration.budget ?? InstructionCount.max / 2
    while true {
      let before = engine.instructionCount
      let exit =
        controller?.run(engine, cpu, budget: remaining) ?? engine.run(cpu, budget: remaining)
      if configuration.budget != nil { remaining &-= engine.instructionCount &- before }
      var outcome: Outcome
      switch exit {
      case .systemCall: outcome = controller?.systemCall(cpu) ?? process.systemCall(cpu)
      case .attention, .fault, .interrupt:
        outcome =
          controller?.deliver(exit, cpu) { deliver(exit, process, cpu) } ?? deliver(exit, process, cpu)
      case .budget:
        if configuration.budget != nil { return .budgetSpent }
        continue
      case .stop: continue
      }
      if case .resume = outcome { outcome = process.settleSections(cpu) }
      switch outcome {
      case .resume: continue
      case .exited(let code):
        controller?.ends(.exited(code), cpu)
        return .exited(code)
      case .threadEnded:
        controller?.threadEnds(cpu)
        return nil
      case .killed(let signal, let fault):
        controller?.ends(.killed(signal: signal), cpu)
        if process.isForkedChild { process.endBySignal(signal) }
        report(signal, fault, process, cpu)
        return .killed(signal: signal)
      }
    }
  }

  private func deliver(
    _ exit: Exit, _ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>
  ) -> Outcome {
    switch exit {
    case .fault(let fault): process.deliver(fault: GuestFault(fault, cpu), cpu)
    case .interrupt(let vector): deliverInterrupt(vector, process, cpu)
    default: process.deliverPendingSignals(cpu)
    }
  }

  /// INT3 and INT1 are traps with signals of their own; other vectors are not open to user code: #GP at the instruction.
  private func deliverInterrupt(
    _ vector: UInt8, _ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>
  ) -> Outcome {
    switch vector {
    case 3: return process.deliver(fault: GuestFault(.breakpoint), cpu)
    case 1: return process.deliver(fault: GuestFault(.debug), cpu)
    case 4: return process.deliver(fault: GuestFault(.overflow), cpu)
    default:
      if vector == 0x80 { process.reportOldSystemCall() }
      cpu.pointee.rip &-= 2
      return process.deliver(fault: GuestFault(.generalProtection, errorCode: UInt64(vector) &* 8 &+ 2), cpu)
    }
  }

  private func report(
    _ signal: Int32, _ fault: GuestFault?, _ process: LinuxProcess, _ cpu: UnsafeMutablePointer<CPUState>
  ) {
    guard let program = process.program, FaultReport.isWanted(signal: signal) else { return }
    var report = FaultReport(
      signal: signal, fault: fault, cpu: cpu, space: process.memory, program: program,
      path: process.shownPath(program.executablePath), libraries: LoadedObjects(process)
    ) { LoadedObjects.file($0, process) }
    report.useColour = configuration.useColour
    report.showVectors = configuration.reportVectors
    process.writeDiagnostic(report.text())
  }
}

extension GuestFault {
  /// The personality's view of an engine's fault.
  public init(_ fault: Fault, _ cpu: UnsafeMutablePointer<CPUState>) {
    let isWrite = fault.errorCode & 2 != 0
    let isFetch = fault.errorCode & 16 != 0
    let kind: Kind
    switch fault.trap {
    case .divideError: kind = .divideError
    case .debug: kind = .debug
    case .breakpoint: kind = .breakpoint
    case .overflow: kind = .overflow
    case .boundRange: kind = .bound
    case .invalidOpcode, .deviceNotAvailable: kind = .invalidOpcode
    case .stackFault: kind = .stackFault
    case .generalProtection: kind = .generalProtection
    case .pageFault: kind = fault.isBusError ? .busError : .pageFault
    case .x87FloatingPoint: kind = .x87Exception
    case .alignmentCheck: kind = .alignmentCheck
    case .simdFloatingPoint: kind = .vectorException
    }
    self.init(
      kind, address: fault.address, write: isWrite, fetch: isFetch,
      code: GuestFault.floatingPointCode(fault.trap, cpu),
      errorCode: fault.trap == .generalProtection ? fault.errorCode : 0)
  }

  /// FPE_ code by the exception flags and masks, in the kernel's order (fpu__exception_code).
  private static func floatingPointCode(_ trap: Trap, _ cpu: UnsafeMutablePointer<CPUState>) -> Int32 {
    let raised: UInt32
    switch trap {
    case .divideError: return 1
    case .x87FloatingPoint: raised = UInt32(cpu.pointee.x87_status & ~cpu.pointee.x87_control)
    case .simdFloatingPoint: raised = cpu.pointee.mxcsr & ~(cpu.pointee.mxcsr &>> 7)
    default: return 0
    }
    if raised & 1 != 0 { return 7 }
    if raised & 4 != 0 { return 3 }
    if raised & 0x12 != 0 { return 5 }
    if raised & 8 != 0 { return 4 }
    return raised & 0x20 != 0 ? 6 : 0
  }
}
