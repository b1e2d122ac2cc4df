// Budgets are exact: after N instructions the translator is where the interpreter is after N, for every N, whatever the
// instructions are, and also when blocks are not linked or forgotten all the time. Unguarded, because the test runner's
// own memory is where it likes.

import CHost
import Engine
import GuestMemory
import Testing

@testable import Translator

@Suite(.serialized) struct CountingTests {
  private static let start: UInt64 = 0x40_0000
  private static let data: UInt64 = 0x50_0000
  private static let stack: UInt64 = 0x60_0000

  /// Branches, a call, the stack, a string instruction, one that has no host form, and a fault at the end.
  private static let program: [UInt8] =
    [0xb9, 15, 0, 0, 0]  // mov ecx, 15
    + [0xbf, 0x00, 0x08, 0x50, 0x00]  // mov edi, 0x500800
    // 10:
    + [0x48, 0x89, 0xc8]  // mov rax, rcx
    + [0xe8, 0x2e, 0, 0, 0]  // call 64
    + [0x50, 0x5a]  // push rax; pop rdx
    + [0x48, 0x83, 0xc2, 0x03]  // add rdx, 3
    + [0xf6, 0xc1, 0x01, 0x74, 0x03]  // test cl, 1; jz +3
    + [0x49, 0xff, 0xc2]  // inc r10
    + [0x49, 0x89, 0xc9]  // mov r9, rcx
    + [0xb9, 16, 0, 0, 0]  // mov ecx, 16
    + [0xf3, 0xaa]  // rep stosb
    + [0x31, 0xc0, 0x0f, 0xa2]  // xor eax, eax; cpuid
    + [0x4c, 0x89, 0xc9]  // mov rcx, r9
    + [0x83, 0xef, 0x10]  // sub edi, 16
    + [0xff, 0xc9, 0x75, 0xd2]  // dec ecx; jnz 10
    + [0x48, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0]  // mov rax, [0x10]
    // 64:
    + [0x31, 0xd2, 0x48, 0x8d, 0x44, 0x40, 0x01, 0xc3]  // xor edx, edx; lea rax, [rax + rax * 2 + 1]; ret

  struct Snapshot: Equatable {
    var exit: Exit
    var count: Int64
    var registers: [UInt64]
    var memory: [UInt8]
  }

  /// The states after 0, 1, 2 … instructions, each from the beginning.
  private func snapshots(
    _ counts: Range<Int64>, _ makeEngine: (AddressSpace) -> (any GuestEngine)?
  ) throws -> [Snapshot] {
    let memory = try AddressSpace()
    try memory.mapAnonymous(at: CountingTests.start, size: 4096, permissions: [.read, .write, .execute])
    try memory.mapAnonymous(at: CountingTests.data, size: 4096, permissions: [.read, .write])
    try memory.mapAnonymous(at: CountingTests.stack, size: 4096, permissions: [.read, .write])
    try #require(memory.copyOut(CountingTests.program, to: GuestAddress(CountingTests.start)))
    let engine = try #require(makeEngine(memory))
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment)
    defer { raw.deallocate() }
    let cpu = raw.bindMemory(to: CPUState.self, capacity: 1)
    return try counts.map { count in
      CPUState.initialize(cpu)
      cpu.pointee.rip = CountingTests.start
      cpu.pointee.general.4 = CountingTests.stack + 0x800
      for page in [CountingTests.data, CountingTests.stack] {
        try #require(memory.copyOut([UInt8](repeating: 0x11, count: 4096), to: GuestAddress(page)))
      }
      let before = engine.instructionCount
      let exit = engine.run(cpu, budget: count)
      return try snapshot(exit, engine.instructionCount - before, cpu, memory)
    }
  }

  private func snapshot(
    _ exit: Exit, _ count: Int64, _ cpu: UnsafeMutablePointer<CPUState>, _ memory: AddressSpace
  ) throws -> Snapshot {
    let g = cpu.pointee.general
    let registers = [
      g.0, g.1, g.2, g.3, g.4, g.5, g.6, g.7, g.8, g.9, g.10, g.11, g.12, g.13, g.14, g.15, cpu.pointee.rip,
      cpu.pointee.lazyFlags.rflags,
    ]
    let pages = try [CountingTests.data, CountingTests.stack].flatMap {
      try #require(memory.bytes(at: GuestAddress($0), count: 4096))
    }
    return Snapshot(exit: exit, count: count, registers: registers, memory: pages)
  }

  private static var options: TranslatorOptions {
    var options = TranslatorOptions()
    options.isGuarded = false
    options.countsInstructions = true
    options.cacheSize = 256 << 10
    return options
  }

  private static func variant(_ number: Int) -> TranslatorOptions {
    var options = CountingTests.options
    switch number {
    case 1: options.linksBlocks = false
    case 2: options.flushInterval = 3
    case 3: options.longestBlock = 4
    default: break
    }
    return options
  }

  @Test func everyCountIsExact() throws {
    // The whole program executes a little less than 300 instructions before its fault.
    let counts: Range<Int64> = 0..<320
    let expected = try snapshots(counts) { InterpreterEngine(memory: $0) }
    let ends = try #require(expected.last)
    #expect(ends.exit != .budget && ends.count > 250 && ends.count < 320)
    for (count, snapshot) in zip(counts, expected) where snapshot.exit == .budget {
      #expect(snapshot.count == count)
    }
    for number in 0..<4 {
      let options = CountingTests.variant(number)
      let found = try snapshots(counts) { TranslatorEngine(memory: $0, options: options) }
      for (count, (left, right)) in zip(counts, zip(expected, found)) where left != right {
        Issue.record(
          "variant \(number), \(count) instructions: \(left.exit) \(left.count), \(right.exit) \(right.count)"
        )
      }
    }
  }

  @Test func translationsAreShown() throws {
    let memory = try AddressSpace()
    try memory.mapAnonymous(at: CountingTests.start, size: 4096, permissions: [.read, .write, .execute])
    try #require(memory.copyOut(CountingTests.program, to: GuestAddress(CountingTests.start)))
    var options = TranslatorOptions()
    options.isGuarded = false
    let engine = try #require(TranslatorEngine(memory: memory, options: options))
    #expect(engine.translations(covering: CountingTests.start).isEmpty)
    let block = try #require(engine.translation(of: CountingTests.start))
    // Blocks may go on behind the call at 13; up to there they have to be what the program is.
    #expect(block.guest == CountingTests.start && block.guestSize >= 18 && block.isAlive)
    #expect(Set(block.entries.map(\.guest)).isSuperset(of: [0, 5, 10, 13]))
    #expect(block.entries.map(\.host) == block.entries.map(\.host).sorted())
    #expect(!block.exits.isEmpty)
    #expect(block.exits.allSatisfy { !$0.isLinked && block.stubs <= $0.stub && $0.stub < block.host.count })
    #expect(engine.translation(of: CountingTests.start)?.number == block.number)
    #expect(engine.translations(covering: CountingTests.start + 11).map(\.number) == [block.number])
    #expect(engine.guestAddress(ofBlockAt: block.hostAddress) == CountingTests.start)
    #expect(engine.guestAddress(ofBlockAt: block.hostAddress + 1) == nil)
    #expect(engine.translation(of: 0x1000) == nil)
    #expect(engine.statistics.blocks == 1 && engine.statistics.instructions >= 4)
  }
}
