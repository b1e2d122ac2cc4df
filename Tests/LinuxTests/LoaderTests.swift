// The ELF loader: which files are refused and with which words, where segments go, what the initial stack
// holds.
import GuestMemory
import LinuxABI
import Testing

@testable import Linux

private let window: UInt64 = 1 << 46

private func prepare(
  _ bytes: [UInt8], arguments: [String] = ["prog"], environment: [String] = []
) throws -> Executable {
  let file = TemporaryFile(bytes)
  let request = LoadRequest(
    path: file.path, arguments: arguments.map { Array($0.utf8) },
    environment: environment.map { Array($0.utf8) })
  return try Executable(request, limit: window)
}

/// The name of the field that the loader complains of, or the whole message for other errors.
private func complaint(_ bytes: [UInt8]) -> String {
  do {
    _ = try prepare(bytes)
    return "accepted"
  } catch let error as LoadError {
    if case .field(_, let name, _, _, _) = error { return name.description }
    if case .foreign = error { return "foreign" }
    if case .truncated = error { return "truncated" }
    if case .unknownFormat = error { return "format" }
    if case .overlap = error { return "overlap" }
    return error.description
  } catch {
    return "\(error)"
  }
}

private func little(_ value: UInt64, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}

private struct HeaderCase: Sendable, CustomStringConvertible {
  let offset: Int
  let value: UInt64
  let size: Int
  let expected: String
  var description: String { "\(expected) @\(offset) = \(value)" }
  init(_ offset: Int, _ value: UInt64, _ size: Int, _ expected: String) {
    self.offset = offset
    self.value = value
    self.size = size
    self.expected = expected
  }
}

private let headerCases: [HeaderCase] = [
  HeaderCase(0, 0x7e, 1, "format"), HeaderCase(3, 0, 1, "format"),
  HeaderCase(4, 0, 1, "EI_CLASS"), HeaderCase(4, 1, 1, "foreign"), HeaderCase(4, 3, 1, "EI_CLASS"),
  HeaderCase(5, 0, 1, "EI_DATA"), HeaderCase(5, 2, 1, "foreign"), HeaderCase(6, 0, 1, "EI_VERSION"),
  HeaderCase(7, 3, 1, "accepted"), HeaderCase(7, 2, 1, "foreign"), HeaderCase(7, 77, 1, "EI_OSABI"),
  HeaderCase(8, 0xff, 1, "accepted"),
  HeaderCase(16, 0, 2, "e_type"), HeaderCase(16, 1, 2, "e_type"), HeaderCase(16, 4, 2, "e_type"),
  HeaderCase(18, 183, 2, "foreign"), HeaderCase(18, 3, 2, "foreign"), HeaderCase(18, 999, 2, "e_machine"),
  HeaderCase(20, 2, 4, "e_version"),
  HeaderCase(24, 0, 8, "e_entry"), HeaderCase(24, 0x40_1000, 8, "e_entry"),
  HeaderCase(24, .max, 8, "e_entry"),
  HeaderCase(32, .max, 8, "e_phoff"), HeaderCase(32, 0x200, 8, "e_phoff"),
  HeaderCase(32, 0x1f0, 8, "truncated"),
  HeaderCase(40, .max, 8, "accepted"), HeaderCase(48, .max, 4, "accepted"),
  HeaderCase(52, 63, 2, "e_ehsize"), HeaderCase(54, 32, 2, "e_phentsize"),
  HeaderCase(54, 0, 2, "e_phentsize"),
  HeaderCase(56, 0, 2, "e_phnum"), HeaderCase(56, 0xffff, 2, "e_phnum"), HeaderCase(56, 1171, 2, "e_phnum"),
  HeaderCase(56, 100, 2, "truncated"),
  // The only program header.
  HeaderCase(64, 0, 4, "e_phnum"), HeaderCase(68, 4, 4, "e_entry"),
  HeaderCase(72, 1, 8, "p_offset"), HeaderCase(72, 0x1000, 8, "p_offset"),
  HeaderCase(72, .max &- 0xfff, 8, "p_offset"),
  HeaderCase(80, 0x1000, 8, "p_vaddr"), HeaderCase(80, 1 << 46, 8, "p_vaddr"),
  HeaderCase(80, .max &- 0xfff, 8, "p_vaddr"),
  HeaderCase(96, 0x201, 8, "p_filesz"), HeaderCase(96, .max, 8, "p_filesz"),
  HeaderCase(104, 0x1ff, 8, "p_filesz"), HeaderCase(104, .max, 8, "p_memsz"),
  HeaderCase(104, 1 << 46, 8, "p_vaddr"),
  HeaderCase(112, 3, 8, "p_align"), HeaderCase(112, 0, 8, "accepted"), HeaderCase(112, 1, 8, "accepted"),
  HeaderCase(112, 1 << 63, 8, "p_align"),
]

@Suite struct LoaderTests {
  @Test func acceptsTheUnbrokenImage() { #expect(complaint(TestImage().bytes()) == "accepted") }

  @Test(arguments: headerCases.indices) func namesTheBrokenField(_ index: Int) {
    let broken = headerCases[index]
    let bytes = TestImage().bytes([(broken.offset, little(broken.value, broken.size))])
    #expect(complaint(bytes) == broken.expected, "\(broken)")
  }

  /// A portable executable that has unpacked itself is marked as FreeBSD's and has fixed addresses; FreeBSD's own programs are
  /// position-independent.
  @Test func tellsUnpackedPortableExecutablesFromFreeBSD() {
    #expect(complaint(TestImage().bytes([(7, [9])])) == "accepted")
    #expect(complaint(TestImage().bytes([(7, [9]), (16, [3, 0])])) == "foreign")
  }

  @Test func refusesEveryTruncationOfTheHeaders() {
    let whole = TestImage().bytes()
    for count in 0..<120 {
      let said = complaint(Array(whole.prefix(count)))
      // At 64 bytes the program headers' offset is the end of the file.
      let expected = count < 4 ? "format" : count == 64 ? "e_phoff" : "truncated"
      #expect(said == expected, "\(count) bytes")
    }
  }

  @Test func refusesOverlaps() {
    var image = TestImage()
    image.segments.append(TestSegment(flags: 6, address: 0x40_01ff, fileSize: 0, memorySize: 16))
    #expect(complaint(image.bytes()) == "overlap")
    image.segments[1].address = 0x40_0200
    #expect(complaint(image.bytes()) == "accepted")
  }

  @Test func loadsSegmentsAndClearsBss() throws {
    var image = TestImage(size: 0x1400)
    image.segments.append(
      TestSegment(
        flags: 6, offset: 0x1200, address: 0x40_3200, fileSize: 0x100, memorySize: 0x2000, alignment: 0x1000))
    let space = try AddressSpace()
    let program = try prepare(image.bytes()).load(into: space)
    #expect(program.entry == 0x40_0100)
    #expect(program.loadBias == 0)
    #expect(space.query(0x40_0000)?.permissions == [.read, .execute])
    #expect(space.query(0x40_3000)?.permissions == [.read, .write])
    #expect(space.query(0x40_5000)?.permissions == [.read, .write])
    #expect(space.bytes(at: GuestAddress(0x40_3200), count: 2) == [0x90, 0x90])
    #expect(space.bytes(at: GuestAddress(0x40_32ff), count: 3) == [0x90, 0, 0])
    #expect(space.breakStart == 0x40_6000)
  }

  @Test func placesPositionIndependentImages() throws {
    var image = TestImage(type: 3, entry: 0x100)
    image.segments[0].address = 0
    image.segments[0].alignment = 0x20_0000
    let space = try AddressSpace()
    let program = try prepare(image.bytes()).load(into: space)
    #expect(program.loadBias & 0x1f_ffff == 0)
    #expect(program.entry == program.loadBias + 0x100)
    #expect(program.loadBias > space.limit / 2)
  }

  @Test func buildsTheInitialStack() throws {
    let space = try AddressSpace()
    var image = TestImage()
    image.segments.append(TestSegment(type: 0x6474_e551, flags: 7))
    let arguments = ["prog", "", "three"]
    let executable = try prepare(image.bytes(), arguments: arguments, environment: ["A=1", "B="])
    let program = try executable.load(into: space)
    #expect(program.stackPointer & 15 == 0)
    #expect(space.query(program.stackPointer)?.permissions == [.read, .write, .execute])
    var place = program.stackPointer
    func pop() -> UInt64 {
      defer { place += 8 }
      return space.load(UInt64.self, at: place) ?? 0xdead
    }
    func string(_ address: UInt64) -> String {
      String(decoding: (try? space.cString(at: GuestAddress(address), limit: 4096)) ?? [], as: UTF8.self)
    }
    #expect(pop() == 3)
    for argument in arguments { #expect(string(pop()) == argument) }
    #expect(pop() == 0)
    #expect(string(pop()) == "A=1")
    #expect(string(pop()) == "B=")
    #expect(pop() == 0)
    #expect(place == program.auxiliaryVector.lowerBound)
    var vector: [UInt64: UInt64] = [:]
    while true {
      let key = pop()
      vector[key] = pop()
      if key == 0 { break }
    }
    #expect(place == program.auxiliaryVector.upperBound)
    #expect(vector[3] == 0x40_0040)
    #expect(vector[4] == 56)
    #expect(vector[5] == 2)
    #expect(vector[6] == 4096)
    #expect(vector[9] == 0x40_0100)
    #expect(vector[25].map { $0 & 15 } == 0)
    #expect(string(vector[15] ?? 0) == "x86_64")
    #expect(string(vector[31] ?? 0) == String(decoding: executable.request.path, as: UTF8.self))
  }

  @Test func limitsArguments() {
    let long = String(repeating: "x", count: 131_072)
    #expect(throws: LoadError.argumentsTooLarge(size: 131_073, limit: 131_072)) {
      try prepare(TestImage().bytes(), arguments: [long])
    }
    let many = [String](repeating: String(repeating: "y", count: 100_000), count: 21)
    #expect(throws: LoadError.self) { try prepare(TestImage().bytes(), arguments: many) }
  }
}

@Suite struct ScriptTests {
  private func parse(_ text: String) -> [String]? {
    guard let line = ScriptLine(Array(text.utf8)) else { return nil }
    return ([line.interpreter] + (line.argument.map { [$0] } ?? [])).map {
      String(decoding: $0, as: UTF8.self)
    }
  }

  @Test func parsesLines() {
    #expect(parse("#!/bin/sh\necho") == ["/bin/sh"])
    #expect(parse("#! /usr/bin/env  a b \t\nx") == ["/usr/bin/env", "a b"])
    #expect(parse("#!/bin/sh") == ["/bin/sh"])
    #expect(parse("#!\n/bin/sh") == nil)
    #expect(parse("#!   ") == nil)
    #expect(parse("#!/" + String(repeating: "a", count: 300)) == nil)
    #expect(parse("#!/a " + String(repeating: "b", count: 300))?[1].count == 251)
  }

  @Test func followsScriptsAndRewritesArguments() throws {
    let program = TemporaryFile(TestImage().bytes())
    let script = TemporaryFile(Array("#!".utf8) + program.path + Array(" -x y\n".utf8))
    let request = LoadRequest(
      path: script.path, arguments: [Array("zero".utf8), Array("one".utf8)], environment: [])
    let executable = try Executable(request, limit: window)
    let expected = [program.path, Array("-x y".utf8), script.path, Array("one".utf8)]
    #expect(executable.request.arguments == expected)
    #expect(executable.file.identity.path == program.path)
    #expect(executable.request.path == script.path)
  }

  @Test func limitsNesting() throws {
    var chain = [TemporaryFile(TestImage().bytes())]
    for _ in 0..<6 {
      chain.append(TemporaryFile(Array("#!".utf8) + (chain.last?.path ?? []) + [10]))
    }
    func open(_ depth: Int) throws -> Executable {
      try Executable(LoadRequest(path: chain[depth].path, arguments: [], environment: []), limit: window)
    }
    #expect(try open(5).request.arguments.count == 6)
    #expect(throws: LoadError.scriptsTooDeep(path: chain[1].path)) { try open(6) }
  }

  @Test func refusesWhatIsNoProgram() {
    func open(_ path: String) -> String {
      do {
        _ = try Executable(LoadRequest(path: Array(path.utf8), arguments: [], environment: []), limit: window)
        return "accepted"
      } catch {
        return error.description
      }
    }
    #expect(open("/tmp") == "/tmp: is a directory")
    #expect(open("/dev/null") == "/dev/null: not a regular file")
    #expect(open("/nonexistent/x") == "/nonexistent/x: no such file or directory")
    #expect(open("") == ": no such file or directory")
    let plain = TemporaryFile(TestImage().bytes(), mode: 0o644)
    #expect(open(String(decoding: plain.path, as: UTF8.self)).contains("no execute permission"))
  }
}
