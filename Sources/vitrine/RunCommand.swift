// `vitrine run`: from words to a machine's configuration, and from its termination to an exit code.
import Glibc
import Linux
import VirtualMachine
import X86

enum RunCommand {
  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    withUsage(HelpText.runUsage, topic: "run") { () throws(UsageError) in
      guard let configuration = try parse(words, process) else {
        Terminal.write(HelpText.run, to: 1)
        return 0
      }
      return run(configuration, process)
    }
  }

  /// Runs a program; the exit code.
  static func run(_ configuration: UserMachineConfiguration, _ process: ProcessArguments) -> Int32 {
    var configuration = configuration
    configuration.window = process.window
    let folder = configuration.storeFolder ?? defaultStore(process)
    configuration.storeFolder = folder.flatMap { $0.isEmpty ? nil : absolute($0) }
    configuration.ending = { exitProcess(with: finish($0)) }
    return finish(UserMachine(configuration).run())
  }

  /// `path` without regard to where the guest goes; nil when that is unknown.
  private static func absolute(_ path: [UInt8]) -> [UInt8]? {
    if path.first == UInt8(ascii: "/") { return path }
    guard let directory = getcwd(nil, 0) else { return nil }
    defer { free(directory) }
    return directory.withMemoryRebound(to: UInt8.self, capacity: strlen(directory)) {
      Array(UnsafeBufferPointer(start: $0, count: strlen(directory)))
    } + [UInt8(ascii: "/")] + path
  }

  /// Where translations are kept: `vitrine` in the folder for what can be made again (XDG Base Directory Specification).
  private static func defaultStore(_ process: ProcessArguments) -> [UInt8]? {
    let slash = UInt8(ascii: "/")
    if let folder = process.value(of: "XDG_CACHE_HOME"), folder.first == slash {
      return folder + Array("/vitrine".utf8)
    }
    guard let home = process.value(of: "HOME"), home.first == slash else { return nil }
    return home + Array("/.cache/vitrine".utf8)
  }

  /// Runs what the kernel's binfmt_misc hands over to its interpreter: the program's path, its argument 0 when the format
  /// was registered with the flag P, the other arguments. The kernel tells by AT_FLAGS whether P was given and by AT_EXECFD
  /// which descriptor is the opened program (flag O). Every word is the program's; there are no options.
  static func interpret(_ process: ProcessArguments) -> Int32 {
    guard let program = process.arguments.first else {
      Terminal.complain("\(ProcessArguments.interpreterName) is for binfmt_misc, which names a program")
      return ownFailureCode
    }
    var configuration = UserMachineConfiguration()
    configuration.program = program
    let keepsName = ProcessArguments.auxiliaryValue(8) & 1 != 0  // AT_FLAGS
    configuration.arguments = keepsName ? Array(process.arguments.dropFirst()) : process.arguments
    configuration.environment = process.environment
    configuration.useColour = Terminal.wantsColour(2, process)
    let opened = ProcessArguments.auxiliaryValue(2)  // AT_EXECFD
    if opened > 2, opened <= UInt(Int32.max) { configuration.programDescriptor = Int32(opened) }
    return run(configuration, process)
  }

  /// The configuration that the words ask for; nil when they ask for help. `further` may take options of another command.
  static func parse(
    _ words: [[UInt8]], _ process: ProcessArguments,
    further: (Option, inout WordReader) throws(UsageError) -> Bool = { (_, _) throws(UsageError) in false }
  ) throws(UsageError) -> UserMachineConfiguration? {
    var reader = WordReader(words)
    var configuration = UserMachineConfiguration()
    var environment = process.environment
    var firstArgument: [UInt8]?
    while let option = reader.nextOption() {
      switch option.name {
      case "-h", "--help": return nil
      case "--env": try setVariable(try reader.bytes(of: option), in: &environment)
      case "--unset-env": removeVariable(try reader.bytes(of: option), from: &environment)
      case "--clear-env":
        try reader.requireNoValue(option)
        environment = []
      case "--argv0": firstArgument = try reader.bytes(of: option)
      default:
        if try !further(option, &reader), try !parseTranslationOption(option, &reader, &configuration) {
          try parseMachineOption(option, &reader, &configuration)
        }
      }
    }
    let operands = reader.operands()
    guard let program = operands.first, !program.isEmpty else { throw UsageError("no program to run") }
    try checkEngine(configuration)
    if configuration.root.isWanted {
      configuration.program = program
      configuration.searchPath = searchPath(environment)
    } else {
      configuration.program = locate(program, process)
    }
    configuration.arguments = [firstArgument ?? program] + operands.dropFirst()
    configuration.environment = environment
    configuration.useColour = Terminal.wantsColour(2, process)
    return configuration
  }

  private static func parseMachineOption(
    _ option: Option, _ reader: inout WordReader, _ configuration: inout UserMachineConfiguration
  ) throws(UsageError) {
    switch option.name {
    case "--engine": configuration.engine = try engine(try reader.text(of: option))
    case "--cpu":
      let name = try reader.text(of: option)
      guard ["v1", "v2", "v3", "v4", "max"].contains(name) else {
        throw UsageError("unknown CPU level: \(shown(name)) (there are: v1, v2, v3, v4, max)")
      }
      configuration.cpuLevel = name
    case "--trace":
      configuration.trace = .standardError
      if let file = option.attached {
        guard !file.isEmpty else { throw UsageError("--trace= needs a file name") }
        configuration.trace = .file(file)
      }
    case "--stats":
      try reader.requireNoValue(option)
      configuration.wantsStatistics = true
    case "--budget":
      let text = try reader.text(of: option)
      guard let number = parseNumber(text), number <= UInt64(Int64.max) else {
        throw UsageError("--budget needs a number of instructions, not \(shown(text))")
      }
      configuration.budget = Int64(number)
    case "--root":
      let directory = try reader.bytes(of: option)
      guard !directory.isEmpty else { throw UsageError("--root needs a directory") }
      configuration.root.directory = directory
    case "--bind": configuration.root.binds.append(try bind(try reader.bytes(of: option)))
    case "--randomize":
      try reader.requireNoValue(option)
      configuration.randomizeAddresses = true
    case "--no-vdso":
      try reader.requireNoValue(option)
      configuration.hasVDSO = false
    case "--vectors":
      try reader.requireNoValue(option)
      configuration.reportVectors = true
    default: throw UsageError("unknown option: \(shown(option.name))")
    }
  }

  static func number(
    of option: Option, _ reader: inout WordReader, _ range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64 {
    let text = try reader.text(of: option)
    guard let number = parseNumber(text), range.contains(number) else {
      throw UsageError("\(option.name) needs a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// The engine of this name.
  static func engine(_ name: String) throws(UsageError) -> UserMachineConfiguration.Engine {
    if let engine = UserMachineConfiguration.Engine(rawValue: name) { return engine }
    throw UsageError("unknown engine: \(shown(name)) (there are: auto, translator, interpreter)")
  }

  /// The disassembler's syntax by its name.
  static func syntax(_ name: String) throws(UsageError) -> Disassembler.Syntax {
    switch name {
    case "intel": .intel
    case "att": .att
    default: throw UsageError("unknown syntax: \(shown(name)) (there are: intel, att)")
    }
  }

  private static func setVariable(_ assignment: [UInt8], in environment: inout [[UInt8]]) throws(UsageError) {
    guard let equals = assignment.firstIndex(of: 61), equals > 0 else {
      throw UsageError("--env needs NAME=VALUE")
    }
    let name = assignment[...equals]
    if let place = environment.firstIndex(where: { $0.starts(with: name) }) {
      environment[place] = assignment
    } else {
      environment.append(assignment)
    }
  }

  /// SRC:DST, perhaps with :ro or :rw. A backslash in front of a colon makes it part of a name.
  private static func bind(_ words: [UInt8]) throws(UsageError) -> RootRequest.Bind {
    var parts: [[UInt8]] = [[]]
    var isEscaped = false
    for byte in words {
      if isEscaped || (byte != 58 && byte != 92) {
        parts[parts.count - 1].append(byte)
        isEscaped = false
      } else if byte == 92 {
        isEscaped = true
      } else {
        parts.append([])
      }
    }
    let mode = parts.count == 3 ? String(decoding: parts[2], as: UTF8.self) : "rw"
    guard parts.count == 2 || parts.count == 3, !parts[0].isEmpty, parts[1].first == 47,
      mode == "ro" || mode == "rw"
    else {
      throw UsageError("--bind needs SRC:DST or SRC:DST:ro, where DST begins with a slash")
    }
    return RootRequest.Bind(source: parts[0], target: parts[1], isReadOnly: mode == "ro")
  }

  /// PATH of the program's environment; what Debian's shells have without one.
  private static func searchPath(_ environment: [[UInt8]]) -> [UInt8] {
    let name = Array("PATH=".utf8)
    return environment.first { $0.starts(with: name) }.map { Array($0.dropFirst(name.count)) }
      ?? Array("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".utf8)
  }

  private static func removeVariable(_ name: [UInt8], from environment: inout [[UInt8]]) {
    environment.removeAll { $0.starts(with: name + [61]) }
  }

  /// A name without a slash is looked for in PATH, as execvp(3) does it, and then in the current directory.
  static func locate(_ program: [UInt8], _ process: ProcessArguments) -> [UInt8] {
    if program.contains(47) { return program }
    for folder in (process.value(of: "PATH") ?? []).split(separator: 58, omittingEmptySubsequences: false) {
      let candidate = folder.isEmpty ? program : folder + [47] + program
      if isProgram(Array(candidate)) { return Array(candidate) }
    }
    return program
  }

  /// A regular file that may be executed.
  private static func isProgram(_ path: [UInt8]) -> Bool {
    (path.map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer { buffer in
      var status = stat()
      guard let name = buffer.baseAddress, stat(name, &status) == 0 else { return false }
      return status.st_mode & S_IFMT == S_IFREG && access(name, X_OK) == 0
    }
  }

  /// Says what there is to say and chooses the exit code.
  private static func finish(_ termination: Termination) -> Int32 {
    switch termination {
    case .exited(let code): return code & 0xff
    case .killed(let signal):
      if signal == SIGINT, isatty(0) == 1 || isatty(2) == 1 { dieOfInterrupt() }
      return 128 + signal
    case .budgetSpent:
      Terminal.complain("the budget of instructions is spent")
      return ownFailureCode
    case .failed(let message):
      Terminal.complain(message)
      return ownFailureCode
    }
  }

  /// A shell stops its script only when a command dies of Ctrl-C itself.
  private static func dieOfInterrupt() {
    signal(SIGINT, SIG_DFL)
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGINT)
    sigprocmask(SIG_UNBLOCK, &set, nil)
    kill(getpid(), SIGINT)
  }
}
