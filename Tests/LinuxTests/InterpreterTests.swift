// The dynamic loader that a program names (PT_INTERP): where it goes, what the auxiliary vector says of it, and with which words
// and errno a missing or malformed one is refused.
import GuestMemory
import Testing

@testable import Linux

@Suite struct InterpreterTests {
  /// A position-independent program that names `path`; the bytes of the name as they are in the file.
  private func program(naming path: [UInt8], type: UInt16 = 3) -> [UInt8] {
    let start: UInt64 = type == 3 ? 0 : 0x40_0000
    var image = TestImage(type: type, entry: start + 0x100, size: 0x800)
    image.segments = [TestSegment(address: start, fileSize: 0x800, memorySize: 0x1800)]
    let size = UInt64(path.count)
    image.segments.append(TestSegment(type: 3, offset: 0x400, fileSize: size, memorySize: size, alignment: 1))
    return image.bytes([(0x400, path)])
  }

  private func interpreter(type: UInt16 = 3, start: UInt64 = 0) -> TestImage {
    var image = TestImage(type: type, entry: start + 0x180)
    image.segments = [TestSegment(address: start, fileSize: 0x200, memorySize: 0x2000)]
    return image
  }

  private func load(_ program: [UInt8], _ space: AddressSpace, slide: UInt64 = 0) throws -> LoadedProgram {
    let file = TemporaryFile(program)
    var request = LoadRequest(path: file.path, arguments: [], environment: [])
    request.slide.mappings = slide
    return try Executable(request, limit: space.limit).load(into: space)
  }

  /// What the auxiliary vector says of `key`.
  private func auxiliary(_ key: UInt64, _ program: LoadedProgram, _ space: AddressSpace) -> UInt64? {
    for address in stride(
      from: program.auxiliaryVector.lowerBound, to: program.auxiliaryVector.upperBound, by: 16)
    where space.load(UInt64.self, at: address) == key {
      return space.load(UInt64.self, at: address + 8)
    }
    return nil
  }

  @Test func startsTheInterpreter() throws {
    let loader = TemporaryFile(interpreter().bytes())
    let space = try AddressSpace()
    let loaded = try load(program(naming: loader.path + [0]), space)
    let base = try #require(auxiliary(7, loaded, space))
    #expect(loaded.entry == base + 0x180)
    #expect(auxiliary(9, loaded, space) == loaded.loadBias + 0x100)
    #expect(auxiliary(3, loaded, space) == loaded.loadBias + 64)
    #expect(auxiliary(5, loaded, space) == 2)
    #expect(loaded.image == loaded.loadBias..<loaded.loadBias + 0x1800)
    // The topmost mapping below the stack; the break follows the program.
    #expect(base + 0x2000 == space.searchTop)
    #expect(space.query(base)?.permissions == [.read, .execute])
    #expect(space.breakStart == loaded.loadBias + 0x2000)
    // Randomised placement moves it down.
    let other = try AddressSpace()
    let moved = try load(program(naming: loader.path + [0]), other, slide: 16)
    #expect(other.searchTop == other.limit - (1 << 30) - 0x10000)
    #expect(auxiliary(7, moved, other) == other.searchTop - 0x2000)
  }

  @Test func keepsFixedAddresses() throws {
    let loader = TemporaryFile(interpreter(type: 2, start: 0x60_0000).bytes())
    let space = try AddressSpace()
    let loaded = try load(program(naming: loader.path + [0], type: 2), space)
    #expect(loaded.entry == 0x60_0180)
    #expect(auxiliary(7, loaded, space) == 0)
    #expect(auxiliary(9, loaded, space) == 0x40_0100)
  }

  private func refusal(_ program: [UInt8]) throws -> (message: String, errno: Int32) {
    do {
      _ = try load(program, try AddressSpace())
      return ("accepted", 0)
    } catch let error as LoadError {
      return (error.description, error.errno)
    }
  }

  @Test func refusesBrokenInterpreters() throws {
    let missing = try refusal(program(naming: Array("/nonexistent/ld.so\0".utf8)))
    #expect(missing.errno == 2)
    #expect(
      missing.message.hasSuffix("its interpreter (PT_INTERP) /nonexistent/ld.so: no such file or directory"))
    #expect(try refusal(program(naming: Array("/tmp\0".utf8))).errno == 13)
    #expect(try refusal(program(naming: Array("/bin/sh".utf8))).errno == 8)
    let forbidden = TemporaryFile(interpreter().bytes(), mode: 0o644)
    #expect(try refusal(program(naming: forbidden.path + [0])).errno == 13)
    let text = TemporaryFile(Array(String(repeating: "text ", count: 100).utf8))
    #expect(try refusal(program(naming: text.path + [0])).errno == 80)
    let short = TemporaryFile(Array(interpreter().bytes().prefix(63)))
    #expect(try refusal(program(naming: short.path + [0])).errno == 5)
    let foreign = TemporaryFile(interpreter().bytes([(18, [183, 0])]))
    #expect(try refusal(program(naming: foreign.path + [0])).errno == 80)
    let torn = TemporaryFile(interpreter().bytes([(96, [0xff, 0xff, 0, 0])]))
    let said = try refusal(program(naming: torn.path + [0]))
    #expect(said.errno == 80)
    #expect(said.message.contains("p_filesz"))
    let sameplace = TemporaryFile(interpreter(type: 2, start: 0x40_0000).bytes())
    #expect(try refusal(program(naming: sameplace.path + [0], type: 2)).message.contains("p_vaddr"))
  }
}
