// execve(2): reads the request, has the loader check the program and load it in place. Until the loader has accepted the
// file nothing of the old program changes, so that every error can still be returned.
import CHost
import GuestMemory
import LinuxABI

extension LinuxProcess {
  static func execute(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.execute(
      directory: -100, path: arguments.a, arguments: arguments.b, environment: arguments.c, flags: 0)
  }

  static func executeAt(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.execute(
      directory: int(arguments.a), path: arguments.b, arguments: arguments.c, environment: arguments.d,
      flags: arguments.e)
  }

  private func execute(
    directory: Int32, path: UInt64, arguments: UInt64, environment: UInt64, flags: UInt64
  ) -> Int64 {
    do {
      let name = try memory.cString(at: GuestAddress(path), limit: 4096)
      let place = try resolved(name, directory, flags)
      let location = root == nil ? executableReference(path) : nil
      try checkOpens(location ?? place)
      var request = loadRequest(
        path: place, arguments: try strings(at: arguments), environment: try strings(at: environment))
      request.location = location
      return replaceProgram(request)
    } catch {
      return -Int64(error.number)
    }
  }

  /// The path by which the host finds what execveat(2)'s directory, name and flags say.
  private func resolved(_ name: [UInt8], _ directory: Int32, _ flags: UInt64) throws(MemoryError) -> [UInt8] {
    let emptyPath: UInt64 = 0x1000
    if flags & ~0x1100 != 0 { throw .invalid }
    if name.isEmpty, flags & emptyPath == 0 || directory < 0 { throw MemoryError(2) }
    if name.first == 47 || directory == -100 { return name }
    if descriptors.contains(directory) || fileBehind(UInt64(UInt32(bitPattern: directory))) == nil {
      throw MemoryError(9)
    }
    let base = Array("/proc/self/fd/\(directory)".utf8)
    return name.isEmpty ? base : base + [47] + name
  }

  /// The kernel opens the program before it looks at the arguments: throws what opening gives.
  private func checkOpens(_ path: [UInt8]) throws(MemoryError) {
    let walks = ProgramWalks()
    defer { walks.finish() }
    do {
      _ = try ExecutableFile(path: path, at: try programLocator(walks)?(path))
    } catch {
      switch error {
      case .host(let number): throw MemoryError(number)
      case .notRegular: throw MemoryError(13)
      }
    }
  }

  /// Checks the program, then replaces the present one. Everything is as it was when an error is returned, unless memory
  /// runs out half-way: then the process ends by SIGKILL, as in the kernel.
  private func replaceProgram(_ request: LoadRequest) -> Int64 {
    guard let cpu else { return -Errno.ENOSYS }
    let executable: Executable
    do {
      executable = try self.executable(request)
    } catch {
      return -Int64(error.errno)
    }
    giveBack()
    endOtherThreads()
    releaseFutexes()
    programEnds?()
    do {
      _ = try start(executable, cpu)
      programBegins?()
    } catch {
      outcome = killed(Signal.kill, nil)
      return 0
    }
    resetHandlers()
    thread.restartable = nil
    registersReplaced = true
    closeOnExecute(except: [executable.file.descriptor, executable.interpreter?.file.descriptor ?? -1])
    handOver()
    return 0
  }

  /// What the loader needs to know of this process.
  public func loadRequest(path: [UInt8], arguments: [[UInt8]], environment: [[UInt8]]) -> LoadRequest {
    var request = LoadRequest(path: path, arguments: arguments, environment: environment)
    request.hardwareCapabilities = options.hardwareCapabilities
    request.wantsVDSO = options.mapsVDSO
    request.hardwareCapabilities2 = options.hardwareCapabilities2
    request.user = UInt32(truncatingIfNeeded: host.call(102))
    request.group = UInt32(truncatingIfNeeded: host.call(104))
    request.effectiveUser = UInt32(truncatingIfNeeded: host.call(107))
    request.effectiveGroup = UInt32(truncatingIfNeeded: host.call(108))
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 4) { random in
      random.initialize(repeating: 0)
      _ = host.callUninterrupted(318, address(of: random.baseAddress), 32)
      request.random = (random[0], random[1])
      guard options.randomizesAddresses, personality & PersonalityFlags.noRandomization == 0 else { return }
      let word = random[2]
      request.slide = (stack: word & 0xffff, image: word >> 16 & 0xfffff, mappings: random[3] & 0xfff_ffff)
    }
    return request
  }

  /// Empties guest memory, loads a program into it and sets all registers to what a program finds at its entry. For the
  /// first program and for execve(2).
  public func start(
    _ executable: Executable, _ cpu: UnsafeMutablePointer<vt_cpu_state>
  ) throws(LoadError) -> LoadedProgram {
    attach(cpu)
    endRequestContexts()
    memory.reset()
    if let known = knownPersonality { personality = known & ~PersonalityFlags.readImpliesExecute }
    // Its path is absolute: a report reads the file again, wherever the guest has gone by then.
    let program = try executable.load(into: memory)
    holdProgram(executable.file.descriptor)
    options.executable = shownPath(program.executablePath)
    if self.program == nil {
      let variables = program.stackPointer &+ UInt64(executable.request.arguments.count &+ 2) &* 8
      tracer?.started(
        path: executable.request.path, arguments: executable.request.arguments, environment: variables,
        environmentCount: executable.request.environment.count)
    }
    self.program = program
    programCount += 1
    options.arguments = executable.request.arguments
    options.environment = executable.request.environment
    setName(executable.request.path)
    tellKernel(program)
    resetRegisters(cpu, program)
    return program
  }

  /// Lets the host kernel show the guest's arguments, environment and auxiliary vector under /proc/PID.
  private func tellKernel(_ program: LoadedProgram) {
    let arguments = program.argumentStrings
    let environment = program.environmentStrings
    let vector = auxiliaryBytes()
    let base = memory.hostArgument(1) &- 1
    toldKernel =
      vector.withUnsafeBytes {
        vt_kernel_tell_guest(
          base &+ arguments.lowerBound, base &+ arguments.upperBound, base &+ environment.lowerBound,
          base &+ environment.upperBound, $0.baseAddress, UInt32(truncatingIfNeeded: $0.count))
      } == 0
  }

  /// The process's name (PR_GET_NAME, ps): the last component of the path that was asked for.
  private func setName(_ path: [UInt8]) {
    let name = Array(path.suffix(while: { $0 != 47 }).prefix(15)) + [0]
    name.withUnsafeBytes { _ = host.call(157, 15, address(of: $0.baseAddress)) }
  }

  private func resetRegisters(_ cpu: UnsafeMutablePointer<vt_cpu_state>, _ program: LoadedProgram) {
    let registers = GuestRegisters(cpu)
    for number in 0..<16 {
      guard let register = GeneralRegister(rawValue: number) else { continue }
      registers[register] = 0
    }
    registers[.rsp] = program.stackPointer
    registers.flags = 0x202
    cpu.pointee.rip = program.entry
    cpu.pointee.fs_base = 0
    cpu.pointee.gs_base = 0
    cpu.pointee.mxcsr = 0x1f80
    cpu.pointee.x87_control = 0x37f
    cpu.pointee.x87_status = 0
    cpu.pointee.x87_top = 0
    cpu.pointee.x87_tags = 0
    cpu.pointee.x87_opcode = 0
    cpu.pointee.x87_instruction_pointer = 0
    cpu.pointee.x87_data_pointer = 0
    // By offset: naming the members would make the runtime build tuple types of thousands of elements (0.2 ms).
    let state = UnsafeMutableRawPointer(cpu)
    (state + Int(VT_OFFSET_VECTOR)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(VT_SIZE_VECTOR))
    (state + Int(VT_OFFSET_X87)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(VT_SIZE_X87))
  }

  /// A zero-terminated array of strings. Throws EFAULT, E2BIG.
  private func strings(at address: UInt64) throws(MemoryError) -> [[UInt8]] {
    var result: [[UInt8]] = []
    if address == 0 { return result }
    var total = 0
    while true {
      guard let pointer = memory.load(UInt64.self, at: address &+ UInt64(result.count) &* 8) else {
        throw .badAddress
      }
      if pointer == 0 { return result }
      let text = try memory.cString(at: GuestAddress(pointer), limit: 131_072)
      total += text.count + 9
      if total > 2 << 20 { throw MemoryError(7) }
      result.append(text)
    }
  }

  /// Closes the guest's descriptors that have FD_CLOEXEC; Vitrine's own stay.
  private func closeOnExecute(except program: [Int32]) {
    for descriptor in openDescriptors()
    where !program.contains(descriptor) && !descriptors.contains(descriptor) {
      let number = UInt64(UInt32(bitPattern: descriptor))
      let flags = host.call(72, number, 1)
      if flags > 0, flags & 1 != 0 { _ = host.call(3, number) }
    }
  }

  /// The process's open descriptors, from /proc/self/fd; the first 1024 numbers when that cannot be read.
  private func openDescriptors() -> [Int32] {
    let onlyDirectory: UInt64 = 0x10000
    let directory = host.openForReading("/proc/self/fd", flags: onlyDirectory)
    if directory < 0 { return Array(0..<1024) }
    defer { _ = host.call(3, UInt64(bitPattern: directory)) }
    var result: [Int32] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = buffer.withUnsafeMutableBytes {
        host.call(217, UInt64(bitPattern: directory), address(of: $0.baseAddress), 4096)
      }
      if count <= 0 { return result }
      var offset = 0
      while offset + 19 < Int(count) {
        let name = buffer[(offset + 19)...].prefix { $0 != 0 }
        if let number = Int32(String(decoding: name, as: UTF8.self)), Int64(number) != directory {
          result.append(number)
        }
        offset += Int(buffer[offset + 16]) | Int(buffer[offset + 17]) << 8
      }
    }
  }
}

extension Array {
  /// The longest tail whose elements all satisfy `predicate`.
  fileprivate func suffix(while predicate: (Element) -> Bool) -> ArraySlice<Element> {
    var start = endIndex
    while start > startIndex, predicate(self[start - 1]) { start -= 1 }
    return self[start...]
  }
}
