// A program that has passed all checks that need no memory: files opened, scripts followed to their
// interpreter, headers read, arguments counted. execve(2) replaces the old program only after this has
// succeeded; `load(into:)` is the second half. The dynamic loader (PT_INTERP) will be a second image placed
// by the same `ImagePlacement`.
import GuestMemory

/// A checked program, not yet in memory.
public struct Executable {
  /// The request, with `arguments` rewritten by `#!` lines.
  public let request: LoadRequest
  /// The ELF file.
  public let file: ExecutableFile
  public let header: ELFHeader
  public let programHeaders: ProgramHeaders

  /// Linux follows a script to a script to a … this many times.
  private static let maximumScriptDepth = 5

  /// Opens and checks what `request` names. `limit` is the size of the guest's window (`AddressSpace.limit`);
  /// `stackLimit` is RLIMIT_STACK in bytes, which bounds the arguments.
  public init(_ request: LoadRequest, limit: UInt64, stackLimit: UInt64 = 8 << 20) throws(LoadError) {
    var current = request
    var path = request.path
    if current.arguments.isEmpty { current.arguments = [[]] }
    var depth = 0
    while true {
      let opened = try Executable.open(path)
      let head = opened.read(at: 0, count: ScriptLine.limit)
      if !ScriptLine.hasMagic(head) {
        header = try ELFHeader(head, path: path, fileSize: opened.size)
        programHeaders = try ProgramHeaders(of: header, in: opened, limit: limit)
        file = opened
        break
      }
      guard let line = ScriptLine(head) else { throw .badScript(path: path) }
      depth &+= 1
      if depth > Executable.maximumScriptDepth { throw .scriptsTooDeep(path: path) }
      var start = [line.interpreter]
      if let argument = line.argument { start.append(argument) }
      start.append(path)
      current.arguments.replaceSubrange(0..<1, with: start)
      path = line.interpreter
    }
    self.request = current
    if let interpreter = programHeaders.interpreter {
      var name = file.read(at: interpreter.offset, count: Int(truncatingIfNeeded: interpreter.size))
      if let zero = name.firstIndex(of: 0) { name.removeSubrange(zero...) }
      throw .dynamicallyLinked(path: path, interpreter: name)
    }
    try InitialStack.checkSize(of: current, stackLimit: stackLimit)
  }

  private static func open(_ path: [UInt8]) throws(LoadError) -> ExecutableFile {
    let file: ExecutableFile
    do {
      file = try ExecutableFile(path: path)
    } catch {
      switch error {
      case .host(let number): throw LoadError.file(path: path, number: number)
      case .notRegular(let isDirectory): throw LoadError.notRegular(path: path, isDirectory: isDirectory)
      }
    }
    if !HostCall.mayExecute(path) { throw .notExecutable(path: path) }
    return file
  }

  /// Places the program into the empty `space`, builds its stack and starts the program break.
  public func load(into space: AddressSpace) throws(LoadError) -> LoadedProgram {
    let placement = ImagePlacement(executable: self)
    let bias = try placement.place(in: space)
    space.startBreak(at: programHeaders.highest &+ bias)
    let stack = InitialStack(
      request: request, entry: header.entry &+ bias,
      programHeaderAddress: placement.programHeaderAddress &+ bias,
      programHeaderCount: header.programHeaderCount, isExecutable: programHeaders.wantsExecutableStack)
    var program = LoadedProgram(
      entry: header.entry &+ bias, stackPointer: 0, loadBias: bias,
      image: programHeaders.lowest &+ bias..<programHeaders.highest &+ bias,
      executablePath: file.identity.path,
      requestedPath: request.path, argumentStrings: 0..<0, environmentStrings: 0..<0, auxiliaryVector: 0..<0)
    try stack.build(in: space, &program)
    return program
  }
}
