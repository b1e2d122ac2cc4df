// The instruction budget is exact: after N instructions the state is that after N instructions, however blocks are cut, and
// going on from there ends where one long run ends.

import CHost
import Engine
import GuestMemory
import Testing

@Suite(.serialized) struct BudgetTests {
  private static let start: UInt64 = 0x40_0000

  /// mov ecx, 1000; l: inc rax; dec rcx; jnz l; int3
  private static let loop: [UInt8] = [
    0xb9, 0xe8, 0x03, 0x00, 0x00, 0x48, 0xff, 0xc0, 0x48, 0xff, 0xc9, 0x75, 0xf8, 0xcc,
  ]

  private func withMachine(
    _ body: (InterpreterEngine, UnsafeMutablePointer<CPUState>) throws -> Void
  ) throws {
    let memory = try AddressSpace()
    try memory.mapAnonymous(at: BudgetTests.start, size: 4096, permissions: [.read, .write, .execute])
    try #require(memory.copyOut(BudgetTests.loop, to: GuestAddress(BudgetTests.start)))
    let engine = try #require(InterpreterEngine(memory: memory))
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment)
    defer { raw.deallocate() }
    let cpu = raw.bindMemory(to: CPUState.self, capacity: 1)
    CPUState.initialize(cpu)
    cpu.pointee.rip = BudgetTests.start
    try body(engine, cpu)
  }

  @Test(arguments: [0, 1, 2, 3, 4, 5, 63, 64, 65, 66, 127, 128, 129, 130, 191, 192, 193, 1000, 2999, 3000])
  func stopsAfterExactly(_ count: Int64) throws {
    try withMachine { engine, cpu in
      #expect(engine.run(cpu, budget: count) == .budget)
      #expect(engine.instructionCount == count)
      let inLoop = max(count - 1, 0)
      #expect(cpu.pointee.general.0 == UInt64((inLoop + 2) / 3))
      let offsets: [UInt64] = [5, 8, 11]
      #expect(cpu.pointee.rip == BudgetTests.start + (count == 0 ? 0 : offsets[Int(inLoop % 3)]))
      // 3,001 instructions of the program, and the INT3.
      #expect(engine.run(cpu, budget: 10_000) == .interrupt(3))
      #expect(engine.instructionCount == 3002)
      #expect(cpu.pointee.general.0 == 1000)
    }
  }

  @Test func anyPartitionGivesTheSameRun() throws {
    try withMachine { engine, cpu in
      var part: Int64 = 1
      var exit = Exit.budget
      while exit == .budget {
        exit = engine.run(cpu, budget: part)
        part = part * 7 % 211 + 1
      }
      #expect(exit == .interrupt(3))
      #expect(engine.instructionCount == 3002)
      #expect(cpu.pointee.general.0 == 1000)
    }
  }
}
