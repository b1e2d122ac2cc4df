// A program that has passed all checks that need no memory: files opened, scripts followed to their
// interpreter, headers read, arguments counted. execve(2) replaces the old program only after this has
// succeeded; `load(into:)` is the second half. The dynamic loader that a program names (PT_INTERP) is a second
// image, checked and placed by the same code.
import GuestMemory
import LinuxABI

/// One checked file: ELF, a portable executable, or flat code.
public struct ProgramImage {
  public let file: ExecutableFile
  public let header: ELFHeader
  public let programHeaders: ProgramHeaders

  var path: [UInt8] { file.identity.path }

  /// Checks a file whose first bytes are `head`.
  init(_ file: ExecutableFile, head: [UInt8], limit: UInt64) throws(LoadError) {
    self.file = file
    header = try ELFHeader(head, path: file.identity.path, fileSize: file.size)
    programHeaders = try ProgramHeaders(of: header, in: file, limit: limit)
  }

  /// Checks a program, which can have any of the formats; `path` is the name that it was asked for by.
  init(program file: ExecutableFile, head: [UInt8], path: [UInt8], limit: UInt64) throws(LoadError) {
    if PortableExecutable.hasDebugMagic(head) {
      throw .foreign(path: path, what: "a portable executable that asks for a shell (APEDBG)")
    }
    let isPortable = PortableExecutable.hasMagic(head)
    if !isPortable, head.starts(with: [0x4d, 0x5a]) {
      throw .foreign(path: path, what: "a DOS or Windows program (MZ)")
    }
    self.file = file
    if !isPortable, !ELFHeader.hasMagic(head), FlatProgram.hasName(path) {
      let segment = try FlatProgram.segment(size: file.size, limit: limit, path: path)
      header = ELFHeader(flatEntry: segment.address)
      programHeaders = ProgramHeaders(flat: segment)
    } else {
      header = try ELFHeader(of: file, head: head)
      programHeaders = try ProgramHeaders(of: header, in: file, limit: limit)
    }
  }
}

/// Where the host finds the file that a guest's path names.
public typealias ProgramLocator = (_ path: [UInt8]) throws(ExecutableFile.OpenError) -> [UInt8]

/// A checked program, not yet in memory.
public struct Executable {
  /// The request, with `arguments` rewritten by `#!` lines.
  public let request: LoadRequest
  /// The program.
  public let image: ProgramImage
  /// The dynamic loader that it asks for (PT_INTERP), which starts in its stead.
  public let interpreter: ProgramImage?

  public var file: ExecutableFile { image.file }
  public var header: ELFHeader { image.header }
  public var programHeaders: ProgramHeaders { image.programHeaders }

  /// Linux follows a script to a script to a … this many times.
  private static let maximumScriptDepth = 5

  /// Opens and checks what `request` names. `limit` is the size of the guest's window (`AddressSpace.limit`);
  /// `stackLimit` is RLIMIT_STACK in bytes, which bounds the arguments. `locate`: for guests whose paths are not the host's.
  public init(
    _ request: LoadRequest, limit: UInt64, stackLimit: UInt64 = 8 << 20, locate: ProgramLocator? = nil
  ) throws(LoadError) {
    var current = request
    var path = request.location ?? request.path
    if current.arguments.isEmpty { current.arguments = [[]] }
    var depth = 0
    // The kernel may have opened it for us, and checked that it may be executed.
    var given = request.descriptor
    while true {
      let opened: ExecutableFile
      if let descriptor = given {
        opened = ExecutableFile(adopting: descriptor, path: path)
        ProgramLock.take(opened.descriptor)
        given = nil
      } else {
        opened = try Executable.open(path, locate, locks: true)
      }
      let head = opened.read(at: 0, count: ScriptLine.limit)
      if !ScriptLine.hasMagic(head) {
        image = try ProgramImage(program: opened, head: head, path: path, limit: limit)
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
    interpreter = try Executable.interpreter(of: image, limit: limit, locate)
    try InitialStack.checkSize(of: current, stackLimit: stackLimit)
  }

  /// Opens and checks the file that PT_INTERP names. A relative name starts at the working directory, as in Linux.
  private static func interpreter(
    of image: ProgramImage, limit: UInt64, _ locate: ProgramLocator?
  ) throws(LoadError) -> ProgramImage? {
    guard let place = image.programHeaders.interpreter else { return nil }
    let name = image.file.read(at: place.offset, count: Int(truncatingIfNeeded: place.size))
    guard name.last == 0 else {
      throw .field(
        path: image.path, name: "p_filesz", segment: place.index, value: place.size,
        problem: "the interpreter's path does not end with a zero byte (PT_INTERP)")
    }
    do {
      let opened = try Executable.open(Array(name.prefix { $0 != 0 }), locate)
      return try ProgramImage(opened, head: opened.read(at: 0, count: ELFHeader.size), limit: limit)
    } catch {
      throw .interpreter(program: image.path, error)
    }
  }

  /// `locks`: from now on nobody may write it (Files/BusyPrograms.swift); of a dynamic loader only nobody may at this moment.
  private static func open(
    _ path: [UInt8], _ locate: ProgramLocator?, locks: Bool = false
  ) throws(LoadError) -> ExecutableFile {
    let file: ExecutableFile
    var place = path
    do {
      if let locate { place = try locate(path) }
      file = try ExecutableFile(path: path, at: place)
    } catch {
      switch error {
      case .host(let number): throw LoadError.file(path: path, number: number)
      case .notRegular(let isDirectory): throw LoadError.notRegular(path: path, isDirectory: isDirectory)
      }
    }
    if !HostCall.mayExecute(place) { throw .notExecutable(path: path) }
    if locks { ProgramLock.take(file.descriptor) }
    if HostCall.isBeingWritten(place) { throw .file(path: path, number: Int32(Errno.ETXTBSY)) }
    return file
  }

  /// Places the program into the empty `space`, builds its stack and starts the program break. With a dynamic loader,
  /// that is what runs first: AT_BASE tells it where it is, AT_PHDR and AT_ENTRY where the program is.
  public func load(into space: AddressSpace) throws(LoadError) -> LoadedProgram {
    space.moveSearchTop(down: (request.slide.mappings &* Page.size) & (1 << (space.addressBits &- 6) &- 1))
    let placement = ImagePlacement(image: image, slide: request.slide.image)
    let bias = try placement.place(in: space)
    space.startBreak(at: programHeaders.highest &+ bias)
    var entry = header.entry &+ bias
    var base: UInt64 = 0
    if let interpreter {
      do {
        base = try ImagePlacement(image: interpreter, slide: nil).place(in: space)
      } catch {
        throw .interpreter(program: image.path, error)
      }
      entry = interpreter.header.entry &+ base
    }
    // Without one, C libraries make system calls.
    let vdso = request.wantsVDSO ? try? space.mapVDSO().image : nil
    let stack = InitialStack(
      request: request, vdso: vdso ?? 0, entry: header.entry &+ bias,
      programHeaderAddress: placement.programHeaderAddress &+ bias,
      programHeaderCount: header.programHeaderCount, interpreterBase: base,
      isExecutable: programHeaders.wantsExecutableStack)
    var program = LoadedProgram(
      entry: entry, stackPointer: 0, loadBias: bias,
      image: programHeaders.lowest &+ bias..<programHeaders.highest &+ bias,
      executablePath: file.resolvedIdentity.path,
      requestedPath: request.path, argumentStrings: 0..<0, environmentStrings: 0..<0, auxiliaryVector: 0..<0)
    try stack.build(in: space, &program)
    return program
  }
}
