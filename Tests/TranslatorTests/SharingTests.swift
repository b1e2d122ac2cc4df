// Engines that share translations, as those of several threads do: what one of them translates, needs or forgets, the others
// have, load and forget. Everything on one host thread; that they run at the same time is the business of the programs in
// Tests/Programs and Tests/stress.

import CHost
import Engine
import GuestMemory
import Testing

@testable import Translator

@Suite(.serialized) struct SharingTests {
  private static let start: UInt64 = 0x40_0000
  private static let data: UInt64 = 0x50_0000
  private static let stack: UInt64 = 0x60_0000

  private static let program: [UInt8] =
    // 0: mov eax, 7; syscall
    [0xb8, 7, 0, 0, 0, 0x0f, 0x05] + [UInt8](repeating: 0x90, count: 9)
    // 16: fld1; syscall
    + [0xd9, 0xe8, 0x0f, 0x05] + [UInt8](repeating: 0x90, count: 12)
    // 32: fadd st0, st0; fist dword [0x500000]; syscall
    + [0xd8, 0xc0, 0xdb, 0x14, 0x25, 0, 0, 0x50, 0, 0x0f, 0x05] + [UInt8](repeating: 0x90, count: 5)
    // 48: call 64; mov ebx, 9; syscall
    + [0xe8, 11, 0, 0, 0, 0xbb, 9, 0, 0, 0, 0x0f, 0x05] + [UInt8](repeating: 0x90, count: 4)
    // 64: syscall; ret
    + [0x0f, 0x05, 0xc3]

  /// An engine and its thread's CPU.
  private final class Runner {
    let engine: TranslatorEngine
    // SAFETY: allocated in init, freed in deinit.
    let cpu: UnsafeMutablePointer<CPUState>

    init(_ engine: TranslatorEngine) {
      self.engine = engine
      cpu = UnsafeMutableRawPointer.allocate(
        byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment
      ).bindMemory(to: CPUState.self, capacity: 1)
      CPUState.initialize(cpu)
      cpu.pointee.general.4 = SharingTests.stack + 0x800
    }

    deinit { cpu.deallocate() }

    func run(at offset: UInt64) -> Exit {
      cpu.pointee.rip = SharingTests.start + offset
      return goOn()
    }

    func goOn() -> Exit { engine.run(cpu, budget: 1000) }
  }

  private func makeRunners(_ count: Int, flushInterval: Int? = nil) throws -> (AddressSpace, [Runner]) {
    let memory = try AddressSpace()
    try memory.mapAnonymous(at: SharingTests.start, size: 4096, permissions: [.read, .write, .execute])
    try memory.mapAnonymous(at: SharingTests.data, size: 4096, permissions: [.read, .write])
    try memory.mapAnonymous(at: SharingTests.stack, size: 4096, permissions: [.read, .write])
    try #require(memory.copyOut(SharingTests.program, to: GuestAddress(SharingTests.start)))
    var options = TranslatorOptions()
    options.isGuarded = false
    options.cacheSize = 256 << 10
    options.flushInterval = flushInterval
    let first = try #require(TranslatorEngine(memory: memory, options: options))
    var runners = [Runner(first)]
    while runners.count < count { runners.append(Runner(try #require(TranslatorEngine(besides: first)))) }
    return (memory, runners)
  }

  @Test func codeIsTranslatedOnce() throws {
    let (memory, runners) = try makeRunners(3)
    for runner in runners {
      #expect(runner.run(at: 0) == .systemCall && runner.cpu.pointee.general.0 == 7)
      #expect(runner.engine.statistics.blocks == 1)
    }
    // Code that changes is forgotten for all.
    try #require(memory.copyOut([8], to: GuestAddress(SharingTests.start + 1)))
    for runner in runners {
      #expect(runner.run(at: 0) == .systemCall && runner.cpu.pointee.general.0 == 8)
      #expect(runner.engine.statistics.blocks == 2 && runner.engine.statistics.invalidations == 1)
    }
  }

  @Test func everybodyLoadsWhatOneBlockNeeds() throws {
    let (memory, runners) = try makeRunners(2)
    func value() throws -> UInt32 { try #require(memory.load(UInt32.self, at: SharingTests.data)) }
    // The second engine has entered code before anybody needed the x87.
    for runner in runners { #expect(runner.run(at: 0) == .systemCall) }
    #expect(runners[0].run(at: 16) == .systemCall)
    #expect(runners[1].run(at: 16) == .systemCall)
    for expected in [2, 4, 8] as [UInt32] {
      #expect(runners[0].run(at: 32) == .systemCall)
      #expect(try value() == expected)
    }
    // Its registers are its own.
    #expect(runners[1].run(at: 32) == .systemCall)
    #expect(try value() == 2)
  }

  @Test func returnsOutliveWhatOthersForget() throws {
    let (_, runners) = try makeRunners(2)
    for runner in runners { #expect(runner.run(at: 48) == .systemCall) }
    let blocks = runners[0].engine.statistics.blocks
    runners[0].engine.flush()
    for runner in runners {
      #expect(runner.goOn() == .systemCall && runner.cpu.pointee.general.3 == 9)
      #expect(runner.cpu.pointee.general.4 == SharingTests.stack + 0x800)
    }
    #expect(runners[1].engine.statistics.flushes == 1 && runners[1].engine.statistics.blocks > blocks)
  }

  @Test func oneThatForgetsAllTheTimeDisturbsNobody() throws {
    let (_, runners) = try makeRunners(3, flushInterval: 1)
    for _ in 0..<20 {
      for runner in runners { #expect(runner.run(at: 48) == .systemCall) }
      for runner in runners { #expect(runner.goOn() == .systemCall && runner.cpu.pointee.general.3 == 9) }
    }
    #expect(runners[0].engine.statistics.flushes > 20)
  }
}
