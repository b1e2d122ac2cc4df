// What 128-bit and 256-bit instructions do to the registers of AVX-512 when the interpreter executes them, as it does for
// the translator's guests: legacy SSE keeps the bits above, VEX zeroes them, and ZMM16–31 stay.

import CHost
import Engine
import GuestMemory
import Testing

@Suite(.serialized) struct VectorWidthTests {
  private static let start: UInt64 = 0x40_0000

  /// Executes `code` and INT3 with all vector registers full; returns how many bytes of each of them still are.
  private func fullBytes(_ code: [UInt8]) throws -> [Int] {
    let memory = try AddressSpace()
    try memory.mapAnonymous(at: VectorWidthTests.start, size: 4096, permissions: [.read, .write, .execute])
    try #require(memory.copyOut(code + [0xcc], to: GuestAddress(VectorWidthTests.start)))
    let engine = try #require(InterpreterEngine(memory: memory))
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment)
    defer { raw.deallocate() }
    let cpu = raw.bindMemory(to: CPUState.self, capacity: 1)
    CPUState.initialize(cpu)
    cpu.pointee.xcr0 = CPUID.Level.version4.stateComponents
    cpu.pointee.rip = VectorWidthTests.start
    cpu.pointee.general.0 = VectorWidthTests.start
    let registers = UnsafeMutableRawBufferPointer(start: raw + Int(VT_OFFSET_VECTOR), count: 32 * 64)
    registers.initializeMemory(as: UInt8.self, repeating: 0xff)
    #expect(engine.run(cpu, budget: 100) == .interrupt(3))
    return (0..<32).map { number in (0..<64).filter { registers[number * 64 + $0] == 0xff }.count }
  }

  private func expected(_ changed: [Int: Int]) -> [Int] { (0..<32).map { changed[$0] ?? 64 } }

  @Test func legacyInstructionsKeepTheRest() throws {
    // movaps xmm1, xmm2; pxor xmm3, xmm3
    #expect(try fullBytes([0x0f, 0x28, 0xca, 0x66, 0x0f, 0xef, 0xdb]) == expected([3: 48]))
  }

  @Test func vectorInstructionsZeroTheRest() throws {
    // vmovaps xmm1, xmm2; vmovaps ymm3, ymm4; vpxor xmm5, xmm5, xmm5; vpxor ymm6, ymm6, ymm6
    let code: [UInt8] = [
      0xc5, 0xf8, 0x28, 0xca, 0xc5, 0xfc, 0x28, 0xdc, 0xc5, 0xd1, 0xef, 0xed, 0xc5, 0xcd, 0xef, 0xf6,
    ]
    #expect(try fullBytes(code) == expected([1: 16, 3: 32, 5: 0, 6: 0]))
  }

  @Test func gathersZeroMaskAndRest() throws {
    // vpxor xmm2, xmm2, xmm2; vpgatherdd xmm1, [rax+xmm2], xmm3: the code's first bytes (C5 E9 EF D2), four times
    let code: [UInt8] = [0xc5, 0xe9, 0xef, 0xd2, 0xc4, 0xe2, 0x61, 0x90, 0x0c, 0x10]
    #expect(try fullBytes(code) == expected([1: 0, 2: 0, 3: 0]))
  }

  @Test func zeroingAll() throws {
    #expect(try fullBytes([0xc5, 0xf8, 0x77]) == (0..<32).map { $0 < 16 ? 16 : 64 })
    #expect(try fullBytes([0xc5, 0xfc, 0x77]) == (0..<32).map { $0 < 16 ? 0 : 64 })
  }
}
