// What the guest's CPUID instruction says: one virtual processor in five levels. It claims to be an Intel processor of
// family 6, because C libraries then read cache sizes from leaf 4 and features from the architectural bits alone (with
// AMD as vendor they ask for leaves of particular families). A feature is claimed only when all its rows have semantics:
// isagen derives `Feature.isImplemented` from ISA/; of AVX-512, which only copied instructions execute, what the host has
// and rows describe. Sources: SDM volume 2, CPUID; APM volume 3, appendix E.

import X86

/// The virtual processor's identification.
public enum CPUID {
  /// Sets of features: those of the x86-64 psABI, and `extended`, which is `version3` with everything else that
  /// Vitrine executes on any host. `version4` is `extended` with what the host has of AVX-512.
  public enum Level: UInt32, Sendable, CaseIterable {
    case version1 = 1
    case version2 = 2
    case version3 = 3
    case extended = 4
    case version4 = 5

    /// The highest level of an engine; `vectors512`: it executes AVX-512 (`GuestEngine.executesVectors512`).
    public static func maximum(vectors512: Bool) -> Level { vectors512 ? .version4 : .extended }

    /// The word of `--cpu`; what `max` means is the engine's matter, as in `maximum`.
    public init?(name: String, vectors512: Bool) {
      switch name {
      case "v1": self = .version1
      case "v2": self = .version2
      case "v3": self = .version3
      case "v4": self = .version4
      case "max": self = .maximum(vectors512: vectors512)
      default: return nil
      }
    }

    /// Whether only engines with `executesVectors512` can run it.
    public var needsVectors512: Bool { self == .version4 }

    /// XCR0: state components that exist.
    public var stateComponents: UInt64 {
      rawValue < 3 ? 3 : needsVectors512 ? 7 | ExtendedState.avx512 : 7
    }
  }

  /// The four result registers.
  public struct Registers: Equatable, Sendable {
    public var eax: UInt32
    public var ebx: UInt32
    public var ecx: UInt32
    public var edx: UInt32

    public init(eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0) {
      self.eax = eax
      self.ebx = ebx
      self.ecx = ecx
      self.edx = edx
    }
  }

  public static let highestBasicLeaf: UInt32 = 0xd
  public static let highestExtendedLeaf: UInt32 = 0x8000_0008

  /// What CPUID returns; leaves that do not exist return zeros.
  public static func registers(level: Level, leaf: UInt32, subleaf: UInt32) -> Registers {
    switch leaf {
    case 0:
      // "Genu" "ntel" "ineI"
      return Registers(eax: highestBasicLeaf, ebx: 0x756e_6547, ecx: 0x6c65_746e, edx: 0x4965_6e69)
    case 1:
      let (ecx, edx) = features1(level)
      // Family 6, model 0x5e, stepping 3; cache lines of 64 bytes for CLFLUSH, one logical processor.
      return Registers(eax: 0x0005_06e3, ebx: 0x0001_0800, ecx: ecx, edx: edx)
    case 2: return Registers(eax: 0x00fe_ff01)
    case 4: return cache(subleaf)
    case 7: return features7(level, subleaf)
    case 0xd: return extendedState(level, subleaf)
    case 0x8000_0000: return Registers(eax: highestExtendedLeaf)
    case 0x8000_0001: return extendedFeatures(level)
    case 0x8000_0002...0x8000_0004: return brand(leaf &- 0x8000_0002)
    case 0x8000_0006: return Registers(ecx: 0x0200_6040)
    case 0x8000_0007: return Registers(edx: 1 &<< 8)
    // 48 bits of linear address, 46 of physical.
    case 0x8000_0008: return Registers(eax: 0x302e)
    default: return Registers()
    }
  }

  // MARK: Features

  /// Collects the bits of one result register: those of features that the level has and the rows implement.
  private struct FeatureWord {
    let level: Level
    var bits: UInt32 = 0

    init(_ level: Level) { self.level = level }

    mutating func add(_ feature: Feature, _ bit: UInt32, from lowest: Level = .version1) {
      if level.rawValue >= lowest.rawValue && feature.isImplemented { bits |= 1 &<< bit }
    }

    /// A feature of AVX-512 that the host has; `Feature` has a case only when rows need it.
    mutating func add(_ feature: Feature, _ bit: UInt32, of host: UInt32) { bits |= host & 1 &<< bit }

    /// Takes a feature away that has instructions of 512 bits too, when the host lacks it.
    mutating func limit(_ feature: Feature, _ bit: UInt32, to host: UInt32) { bits &= host | ~(1 &<< bit) }
  }

  /// Leaf 1.
  private static func features1(_ level: Level) -> (ecx: UInt32, edx: UInt32) {
    var edx = FeatureWord(level)
    // FPU; one row of it, FRSTPM, existed in the 287 only.
    edx.add(.base, 0)
    edx.add(.tsc, 4)
    edx.add(.cx8, 8)
    edx.add(.cmov, 15)
    edx.add(.clfsh, 19)
    edx.add(.mmx, 23)
    edx.add(.fxsr, 24)
    edx.add(.sse, 25)
    edx.add(.sse2, 26)
    var ecx = FeatureWord(level)
    ecx.add(.sse3, 0, from: .version2)
    ecx.add(.pclmulqdq, 1, from: .extended)
    ecx.add(.ssse3, 9, from: .version2)
    ecx.add(.fma, 12, from: .version3)
    ecx.add(.cx16, 13, from: .version2)
    ecx.add(.sse41, 19, from: .version2)
    ecx.add(.sse42, 20, from: .version2)
    ecx.add(.movbe, 22, from: .version3)
    ecx.add(.popcnt, 23, from: .version2)
    ecx.add(.aes, 25, from: .extended)
    ecx.add(.xsave, 26, from: .version3)
    // OSXSAVE
    ecx.add(.xsave, 27, from: .version3)
    ecx.add(.avx, 28, from: .version3)
    ecx.add(.f16c, 29, from: .version3)
    ecx.add(.rdrand, 30, from: .extended)
    return (ecx.bits, edx.bits)
  }

  /// Leaf 7.
  private static func features7(_ level: Level, _ subleaf: UInt32) -> Registers {
    let host = level.needsVectors512 ? HostVectors512() : nil
    switch subleaf {
    case 0: return features7(level, host)
    case 1:
      var eax = FeatureWord(level)
      eax.add(.avx512_bf16, 5, of: host?.eax1 ?? 0)
      return Registers(eax: eax.bits)
    default: return Registers()
    }
  }

  private static func features7(_ level: Level, _ host: HostVectors512?) -> Registers {
    var ebx = FeatureWord(level)
    ebx.add(.fsgsbase, 0, from: .extended)
    ebx.add(.bmi1, 3, from: .version3)
    ebx.add(.avx2, 5, from: .version3)
    ebx.add(.bmi2, 8, from: .version3)
    // ERMS
    ebx.add(.base, 9, from: .extended)
    // The x87 unit stores the selectors FCS and FDS as 0.
    ebx.add(.base, 13)
    ebx.add(.rdseed, 18, from: .extended)
    ebx.add(.adx, 19, from: .extended)
    ebx.add(.clflushopt, 23, from: .extended)
    ebx.add(.clwb, 24, from: .extended)
    ebx.add(.sha, 29, from: .extended)
    var ecx = FeatureWord(level)
    ecx.add(.gfni, 8, from: .extended)
    ecx.add(.vaes, 9, from: .extended)
    ecx.add(.vpclmulqdq, 10, from: .extended)
    ecx.add(.rdpid, 22, from: .extended)
    var edx = FeatureWord(level)
    // FSRM: REP MOVSB is the fastest way to copy here, also for few bytes.
    edx.add(.base, 4, from: .extended)
    guard let host else { return Registers(ebx: ebx.bits, ecx: ecx.bits, edx: edx.bits) }
    ebx.add(.avx512f, 16, of: host.ebx)
    ebx.add(.avx512dq, 17, of: host.ebx)
    ebx.add(.avx512_ifma, 21, of: host.ebx)
    ebx.add(.avx512cd, 28, of: host.ebx)
    ebx.add(.avx512bw, 30, of: host.ebx)
    ebx.add(.avx512vl, 31, of: host.ebx)
    ecx.add(.avx512_vbmi, 1, of: host.ecx)
    ecx.add(.avx512_vbmi2, 6, of: host.ecx)
    ecx.limit(.gfni, 8, to: host.ecx)
    ecx.limit(.vaes, 9, to: host.ecx)
    ecx.limit(.vpclmulqdq, 10, to: host.ecx)
    ecx.add(.avx512_vnni, 11, of: host.ecx)
    ecx.add(.avx512_bitalg, 12, of: host.ecx)
    ecx.add(.avx512_vpopcntdq, 14, of: host.ecx)
    // EAX: subleaf 1 exists.
    return Registers(eax: 1, ebx: ebx.bits, ecx: ecx.bits, edx: edx.bits)
  }

  /// Leaf 0x80000001.
  private static func extendedFeatures(_ level: Level) -> Registers {
    var ecx = FeatureWord(level)
    ecx.add(.lahf, 0, from: .version2)
    ecx.add(.lzcnt, 5, from: .version3)
    ecx.add(.prefetchw, 8, from: .extended)
    var edx = FeatureWord(level)
    // SYSCALL, NX, long mode
    edx.add(.base, 11)
    edx.add(.base, 20)
    edx.add(.base, 29)
    edx.add(.rdtscp, 27, from: .extended)
    return Registers(ecx: ecx.bits, edx: edx.bits)
  }

  // MARK: State, caches, name

  /// Leaf 0xD.
  private static func extendedState(_ level: Level, _ subleaf: UInt32) -> Registers {
    guard level.rawValue >= 3 else { return Registers() }
    let components = level.stateComponents
    func size(compacted: Bool) -> UInt32 {
      UInt32(truncatingIfNeeded: ExtendedState.size(components, compacted: compacted))
    }
    switch subleaf {
    case 0:
      let standard = size(compacted: false)
      return Registers(eax: UInt32(truncatingIfNeeded: components), ebx: standard, ecx: standard)
    case 1:
      var eax = FeatureWord(level)
      eax.add(.xsaveopt, 0, from: .extended)
      eax.add(.xsavec, 1, from: .extended)
      // XGETBV with ECX = 1
      eax.add(.xsave, 2, from: .extended)
      return Registers(eax: eax.bits, ebx: eax.bits != 0 ? size(compacted: true) : 0)
    case 2...63:
      guard let component = ExtendedState.component(Int(subleaf)), components & component.bit != 0 else {
        return Registers()
      }
      return Registers(
        eax: UInt32(truncatingIfNeeded: component.size), ebx: UInt32(truncatingIfNeeded: component.offset))
    default: return Registers()
    }
  }

  /// Leaf 4: 32 KiB for data, 32 KiB for instructions, 1 MiB second level, 16 MiB third level; lines of 64 bytes.
  private static func cache(_ subleaf: UInt32) -> Registers {
    switch subleaf {
    case 0: return Registers(eax: 0x121, ebx: 7 &<< 22 | 63, ecx: 63)
    case 1: return Registers(eax: 0x122, ebx: 7 &<< 22 | 63, ecx: 63)
    case 2: return Registers(eax: 0x143, ebx: 15 &<< 22 | 63, ecx: 1023)
    case 3: return Registers(eax: 0x163, ebx: 15 &<< 22 | 63, ecx: 16383)
    default: return Registers()
    }
  }

  /// Leaves 0x80000002 to 4: 48 bytes of name, padded with zeros.
  private static func brand(_ part: UInt32) -> Registers {
    let name: StaticString = "Vitrine virtual CPU"
    func word(_ index: UInt32) -> UInt32 {
      var value: UInt32 = 0
      for byte in 0..<UInt32(4) {
        let position = Int(truncatingIfNeeded: part &* 16 &+ index &* 4 &+ byte)
        if position < name.utf8CodeUnitCount { value |= UInt32(name.utf8Start[position]) &<< (byte &* 8) }
      }
      return value
    }
    return Registers(eax: word(0), ebx: word(1), ecx: word(2), edx: word(3))
  }
}
