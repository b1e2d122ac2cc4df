// The virtual processor's identification: levels contain each other, sizes agree with the state images, names are right.

import Engine
import Testing

@Suite struct CPUIDTests {
  private func leaf(_ level: CPUID.Level, _ leaf: UInt32, _ subleaf: UInt32 = 0) -> CPUID.Registers {
    CPUID.registers(level: level, leaf: leaf, subleaf: subleaf)
  }

  @Test func levelsContainEachOther() {
    let levels = CPUID.Level.allCases
    for (lower, upper) in zip(levels, levels.dropFirst()) {
      for number: UInt32 in [1, 7, 0x8000_0001] {
        let small = leaf(lower, number)
        let large = leaf(upper, number)
        #expect(small.ecx & ~large.ecx == 0)
        #expect(small.edx & ~large.edx == 0)
        if number == 7 { #expect(small.ebx & ~large.ebx == 0) }
      }
    }
  }

  /// x86-64 psABI, table of micro-architecture levels.
  @Test func levelsHaveTheirFeatures() {
    // FPU CX8 CMOV MMX FXSR SSE SSE2
    #expect(leaf(.version1, 1).edx & 0x0780_8101 == 0x0780_8101)
    #expect(leaf(.version1, 1).ecx == 0)
    // SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT, LAHF
    #expect(leaf(.version2, 1).ecx == 0x0098_2201)
    #expect(leaf(.version2, 0x8000_0001).ecx == 1)
    // FMA MOVBE XSAVE OSXSAVE AVX F16C; BMI1 AVX2 BMI2; LZCNT
    #expect(leaf(.version3, 1).ecx & 0x3c40_1000 == 0x3c40_1000)
    // Bit 13: FCS and FDS are not kept.
    #expect(leaf(.version3, 7).ebx == 0x2128)
    #expect(leaf(.version3, 0x8000_0001).ecx == 0x21)
    // AES PCLMULQDQ RDRAND; FSGSBASE RDSEED ADX SHA
    #expect(leaf(.maximum, 1).ecx & 0x4200_0002 == 0x4200_0002)
    #expect(leaf(.maximum, 7).ebx & 0x200c_0001 == 0x200c_0001)
  }

  @Test func extendedStateSizes() {
    #expect(leaf(.version2, 0xd) == CPUID.Registers())
    let area = leaf(.version3, 0xd)
    #expect(area.eax == 7)
    #expect(area.ebx == UInt32(ExtendedState.size))
    let component = leaf(.maximum, 0xd, 2)
    #expect(component.ebx + component.eax == UInt32(ExtendedState.size))
  }

  @Test func names() {
    func text(_ words: [UInt32]) -> String {
      let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
      return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    let vendor = leaf(.maximum, 0)
    #expect(text([vendor.ebx, vendor.edx, vendor.ecx]) == "GenuineIntel")
    let parts = (0x8000_0002...0x8000_0004 as ClosedRange<UInt32>).map { leaf(.version1, $0) }
    #expect(text(parts.flatMap { [$0.eax, $0.ebx, $0.ecx, $0.edx] }) == "Vitrine virtual CPU")
  }

  @Test func unknownLeavesAreZero() {
    for number: UInt32 in [0xb, 0x14, 0x4000_0000, 0x8000_0009, 0xffff_ffff] {
      #expect(leaf(.maximum, number) == CPUID.Registers())
    }
  }
}
