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
    #expect(leaf(.extended, 1).ecx & 0x4200_0002 == 0x4200_0002)
    #expect(leaf(.extended, 7).ebx & 0x200c_0001 == 0x200c_0001)
  }

  @Test func extendedStateSizes() {
    #expect(leaf(.version2, 0xd) == CPUID.Registers())
    let area = leaf(.version3, 0xd)
    #expect(area == CPUID.Registers(eax: 7, ebx: 832, ecx: 832))
    #expect(leaf(.extended, 0xd, 1).ebx == 832)
    #expect(leaf(.extended, 0xd, 2) == CPUID.Registers(eax: 256, ebx: 576))
    for number: UInt32 in 3..<64 { #expect(leaf(.extended, 0xd, number) == CPUID.Registers()) }
  }

  /// The numbers that Intel's processors with AVX-512 report.
  @Test func extendedStateSizesWithVectors512() {
    #expect(leaf(.version4, 0xd) == CPUID.Registers(eax: 0xe7, ebx: 2688, ecx: 2688))
    #expect(leaf(.version4, 0xd, 1) == CPUID.Registers(eax: 7, ebx: 2432))
    let places: [UInt32: (size: UInt32, offset: UInt32)] = [
      2: (256, 576), 5: (64, 1088), 6: (512, 1152), 7: (1024, 1664),
    ]
    for number: UInt32 in 2..<64 {
      let (size, offset) = places[number] ?? (0, 0)
      #expect(leaf(.version4, 0xd, number) == CPUID.Registers(eax: size, ebx: offset))
    }
  }

  @Test func maximumIsTheEngines() {
    #expect(CPUID.Level(name: "max", vectors512: false) == .extended)
    #expect(CPUID.Level(name: "max", vectors512: true) == .version4)
    #expect(CPUID.Level(name: "v5", vectors512: true) == nil)
    for level in CPUID.Level.allCases where level != .version4 {
      #expect(!level.needsVectors512)
      // AVX-512 F DQ IFMA CD BW VL
      #expect(leaf(level, 7).ebx & 0xd023_0000 == 0)
      #expect(leaf(level, 7).eax == 0)
      #expect(leaf(level, 7, 1) == CPUID.Registers())
    }
  }

  @Test(.enabled(if: CPUID.hostHasVectors512)) func version4HasItsFeatures() {
    // F DQ CD BW VL
    #expect(leaf(.version4, 7).ebx & 0xd003_0000 == 0xd003_0000)
    #expect(leaf(.version4, 7).eax == 1)
    // Nothing beyond BF16 (bit 5), whatever the host has.
    #expect(leaf(.version4, 7, 1).eax & ~0x20 == 0)
    #expect(leaf(.version4, 7, 2) == CPUID.Registers())
  }

  @Test func names() {
    func text(_ words: [UInt32]) -> String {
      let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
      return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    let vendor = leaf(.extended, 0)
    #expect(text([vendor.ebx, vendor.edx, vendor.ecx]) == "GenuineIntel")
    let parts = (0x8000_0002...0x8000_0004 as ClosedRange<UInt32>).map { leaf(.version1, $0) }
    #expect(text(parts.flatMap { [$0.eax, $0.ebx, $0.ecx, $0.edx] }) == "Vitrine virtual CPU")
  }

  @Test func unknownLeavesAreZero() {
    for number: UInt32 in [0xb, 0x14, 0x4000_0000, 0x8000_0009, 0xffff_ffff] {
      #expect(leaf(.extended, number) == CPUID.Registers())
    }
  }
}
