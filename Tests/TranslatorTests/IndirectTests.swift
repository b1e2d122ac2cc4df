// Indirect branches whose targets have the same low 16 bits share a place of the table, and do not leave translated code for that.

import CHost
import Engine
import GuestMemory
import Testing

@testable import Translator

@Suite(.serialized) struct IndirectTests {
  private static let start: UInt64 = 0x40_0000
  private static let stack: UInt64 = 0x30_0000
  private static let calls = 2000

  /// Calls function ECX mod `count`, for ECX from `calls` to 1, each 64 KiB behind the one before; faults at the end.
  private static func program(_ count: Int) -> [UInt8] {
    [0xb9] + bytes(of: calls)  // mov ecx, calls
      + [0x31, 0xdb]  // xor ebx, ebx
      // 7:
      + [0x89, 0xc8, 0x83, 0xe0, UInt8(count - 1)]  // mov eax, ecx; and eax, count - 1
      + [0xc1, 0xe0, 0x10]  // shl eax, 16
      + [0x05] + bytes(of: Int(start) + 0x1_0080)  // add eax, the first function
      + [0xff, 0xd0]  // call rax
      + [0xff, 0xc9, 0x75, 0xed]  // dec ecx; jnz 7
      + [0x48, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0]  // mov rax, [0x10]
  }

  private static func bytes(of value: Int) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value &>> ($0 &* 8)) }
  }

  /// Function k: add rbx, k + 1; ret.
  private static func function(_ number: Int) -> [UInt8] { [0x48, 0x83, 0xc3, UInt8(number + 1), 0xc3] }

  private func makeMemory(_ count: Int) throws -> AddressSpace {
    let memory = try AddressSpace()
    try memory.mapAnonymous(
      at: IndirectTests.start, size: UInt64(count + 1) << 16, permissions: [.read, .write, .execute])
    try memory.mapAnonymous(at: IndirectTests.stack, size: 4096, permissions: [.read, .write])
    try #require(memory.copyOut(IndirectTests.program(count), to: GuestAddress(IndirectTests.start)))
    for number in 0..<count {
      let place = IndirectTests.start + UInt64(number + 1) << 16 + 0x80
      try #require(memory.copyOut(IndirectTests.function(number), to: GuestAddress(place)))
    }
    return memory
  }

  /// RBX at the end, from the beginning of the program.
  private func result(_ engine: TranslatorEngine) -> UInt64 {
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment)
    defer { raw.deallocate() }
    let cpu = raw.bindMemory(to: CPUState.self, capacity: 1)
    CPUState.initialize(cpu)
    cpu.pointee.rip = IndirectTests.start
    cpu.pointee.general.4 = IndirectTests.stack + 0x800
    var exit = Exit.budget
    while exit == .budget { exit = engine.run(cpu, budget: .max) }
    return cpu.pointee.general.3
  }

  @Test(arguments: [2, 16, 32]) func targetsThatShareAPlace(_ count: Int) throws {
    var options = TranslatorOptions()
    options.isGuarded = false
    let engine = try #require(TranslatorEngine(memory: makeMemory(count), options: options))
    let expected = UInt64((1...IndirectTests.calls).reduce(0) { $0 + $1 % count + 1 })
    #expect(result(engine) == expected)
    let misses = engine.cache.statistics.indirectMisses
    let isOneChain = count <= Int(CommonCode.mostLinks)
    if isOneChain {
      #expect(misses <= count + 1)
    } else {
      // A chain that is full is given up, and nothing grows.
      #expect(misses > IndirectTests.calls / 2)
      let used = engine.cache.used
      #expect(result(engine) == expected)
      #expect(engine.cache.used == used)
    }
    // What dies is found again, whatever chain it was in.
    for number in 0..<count {
      let page = IndirectTests.start >> 12 + UInt64(number + 1) << 4
      engine.cache.invalidate(pages: page..<page + 1)
      let before = engine.cache.statistics.indirectMisses
      #expect(result(engine) == expected)
      #expect(!isOneChain || engine.cache.statistics.indirectMisses - before <= count + 1)
    }
    engine.flush()
    #expect(result(engine) == expected)
  }
}
