// Save areas: what goes in comes out, in both formats and with every set of components; each register at the place that
// the manual gives it; nothing written beyond; components in their initial state left out as processors do it.

import CHost
import Engine
import Testing

@Suite struct ExtendedStateTests {
  private static let avx512: UInt64 = 0xe7

  /// A CPU and an area, both filled with noise.
  private final class Machine {
    let cpu: UnsafeMutablePointer<CPUState>
    let area: UnsafeMutableRawPointer
    static let areaSize = 4096
    private var noise: UInt64 = 88_172_645_463_325_252

    init(components: UInt64) {
      cpu = UnsafeMutableRawPointer.allocate(
        byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment
      ).bindMemory(to: CPUState.self, capacity: 1)
      area = .allocate(byteCount: Machine.areaSize, alignment: 64)
      CPUState.initialize(cpu)
      cpu.pointee.xcr0 = components
      for offset in stride(from: 0, to: Machine.areaSize, by: 8) {
        area.storeBytes(of: 0x5a5a_5a5a_5a5a_5a5a as UInt64, toByteOffset: offset, as: UInt64.self)
      }
      clearHeader()
      fill()
    }

    deinit {
      cpu.deallocate()
      area.deallocate()
    }

    /// Vector registers and, behind them, the opmask registers.
    var registers: UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(
        start: UnsafeMutableRawPointer(cpu) + Int(VT_OFFSET_VECTOR), count: 33 * 64)
    }

    func fill() {
      for index in registers.indices {
        noise = noise &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        registers[index] = UInt8(truncatingIfNeeded: noise >> 56) | 1
      }
    }

    func clearRegisters() { registers.initializeMemory(as: UInt8.self, repeating: 0) }

    func clearHeader() { (area + 512).initializeMemory(as: UInt8.self, repeating: 0, count: 64) }

    func save(_ requested: UInt64 = ~0, compacted: Bool = false) {
      ExtendedState.save(cpu, to: area, requested: requested, wide: true, compacted: compacted)
    }

    func restore(_ requested: UInt64 = ~0) -> Bool {
      ExtendedState.restore(cpu, from: area, requested: requested, wide: true)
    }

    func word(_ offset: Int) -> UInt64 { area.load(fromByteOffset: offset, as: UInt64.self) }

    func setWord(_ value: UInt64, _ offset: Int) {
      area.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
    }

    /// Eight bytes of a vector register; number 32 stands for the opmask registers.
    func register(_ number: Int, _ part: Int) -> UInt64 {
      registers.load(fromByteOffset: number * 64 + part * 8, as: UInt64.self)
    }

    /// Offset behind the last byte of the area that is not as `init` left it, from the header's end on.
    var end: Int {
      (576..<Machine.areaSize).last { area.load(fromByteOffset: $0, as: UInt8.self) != 0x5a }.map { $0 + 1 }
        ?? 576
    }
  }

  /// Which component holds byte `index` of the registers; nil for none of `components`.
  private static func isHeld(_ index: Int, by components: UInt64) -> Bool {
    let (number, byte) = (index / 64, index % 64)
    let component = number == 32 ? 5 : number >= 16 ? 7 : byte < 16 ? 1 : byte < 32 ? 2 : 6
    return components >> UInt64(component) & 1 != 0
  }

  @Test(arguments: [3, 7, 0xe7] as [UInt64], [false, true])
  func roundTrip(existing: UInt64, compacted: Bool) {
    for requested in 0..<UInt64(256) {
      let machine = Machine(components: existing)
      let before = [UInt8](machine.registers)
      machine.save(requested, compacted: compacted)
      #expect(machine.end <= ExtendedState.size(requested & existing, compacted: compacted))
      machine.clearRegisters()
      #expect(machine.restore(requested))
      let after = [UInt8](machine.registers)
      let expected = before.indices.map {
        ExtendedStateTests.isHeld($0, by: requested & existing) ? before[$0] : 0
      }
      #expect(after == expected, "components \(requested)")
    }
  }

  @Test func placesOfTheStandardFormat() {
    let machine = Machine(components: ExtendedStateTests.avx512)
    machine.save()
    #expect(machine.word(160 + 15 * 16) == machine.register(15, 0))
    #expect(machine.word(576 + 15 * 16 + 8) == machine.register(15, 3))
    #expect((832..<1088).allSatisfy { machine.area.load(fromByteOffset: $0, as: UInt8.self) == 0x5a })
    #expect(machine.word(1088 + 3 * 8) == machine.cpu.pointee.mask.3)
    #expect(machine.word(1152) == machine.register(0, 4))
    #expect(machine.word(1152 + 15 * 32 + 24) == machine.register(15, 7))
    #expect(machine.word(1664) == machine.register(16, 0))
    #expect(machine.word(2688 - 8) == machine.register(31, 7))
    #expect(machine.end == 2688)
    // The x87 unit is in its initial state.
    #expect(machine.word(512) == 0xe6 && machine.word(520) == 0)
  }

  @Test func placesOfTheCompactedFormat() {
    let machine = Machine(components: ExtendedStateTests.avx512)
    machine.save(compacted: true)
    #expect(machine.word(512) == 0xe6 && machine.word(520) == UInt64(1) << 63 | 0xe7)
    #expect(machine.word(832) == machine.cpu.pointee.mask.0)
    #expect(machine.word(896) == machine.register(0, 4))
    #expect(machine.word(1408) == machine.register(16, 0))
    #expect(machine.end == 2432)
    // Without AVX and ZMM_Hi256 the others move up.
    let other = Machine(components: ExtendedStateTests.avx512)
    other.save(0xa0, compacted: true)
    #expect(other.word(520) == UInt64(1) << 63 | 0xa0)
    #expect(other.word(576) == other.cpu.pointee.mask.0 && other.word(640) == other.register(16, 0))
    #expect(other.end == 1664)
  }

  @Test func withoutVectors512NothingChanges() {
    let machine = Machine(components: 7)
    machine.save()
    #expect(machine.end == 832 && machine.word(512) == 6)
    #expect(ExtendedState.size(7, compacted: false) == 832)
    #expect(ExtendedState.size(3, compacted: false) == 576)
    let before = [UInt8](machine.registers)
    machine.fill()
    let filled = [UInt8](machine.registers)
    #expect(machine.restore())
    let expected = before.indices.map { ExtendedStateTests.isHeld($0, by: 7) ? before[$0] : filled[$0] }
    #expect([UInt8](machine.registers) == expected)
  }

  @Test func componentsInTheirInitialState() {
    for component in [2, 5, 6, 7] {
      let machine = Machine(components: ExtendedStateTests.avx512)
      for index in machine.registers.indices
      where ExtendedStateTests.isHeld(index, by: 1 << UInt64(component)) {
        machine.registers[index] = 0
      }
      let before = [UInt8](machine.registers)
      let present: UInt64 = 0xe6 & ~(1 << UInt64(component))
      machine.save()
      #expect(machine.word(512) == present)
      // XSAVEC lays the component out but does not write it.
      let other = Machine(components: ExtendedStateTests.avx512)
      other.registers.copyBytes(from: before)
      other.save(compacted: true)
      #expect(other.word(512) == present && other.word(520) == UInt64(1) << 63 | 0xe7)
      let places = [2: 576, 5: 832, 6: 896, 7: 1408]
      #expect(other.word(places[component] ?? 0) == 0x5a5a_5a5a_5a5a_5a5a)
      other.fill()
      #expect(other.restore())
      #expect([UInt8](other.registers) == before)
    }
  }

  @Test func malformedHeadersChangeNothing() {
    let headers: [(UInt64, UInt64, UInt64)] = [
      (8, 0, 0), (1 << 9, 0, 0), (0xe7, 1, 0), (0xe7, 0, 1), (0xe7, 1 << 63 | 0x67, 0),
      (0, 1 << 63 | 0x2e7, 0), (0, 1 << 63 | 0xe7, 1),
    ]
    for (present, format, reserved) in headers {
      let machine = Machine(components: ExtendedStateTests.avx512)
      machine.save()
      machine.setWord(present, 512)
      machine.setWord(format, 520)
      machine.setWord(reserved, 528)
      machine.fill()
      let before = [UInt8](machine.registers)
      #expect(!machine.restore())
      #expect([UInt8](machine.registers) == before)
    }
    // AVX-512 in an area of a CPU without it.
    let machine = Machine(components: 7)
    machine.save()
    machine.setWord(0x20, 512)
    #expect(!machine.restore())
  }
}
