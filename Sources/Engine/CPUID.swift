// What the guest's CPUID instruction says: one virtual processor in four levels. It claims to be an Intel processor of
// family 6, because C libraries then read cache sizes from leaf 4 and features from the architectural bits alone (with
// AMD as vendor they ask for leaves of particular families). A feature may be claimed only when its rows exist in ISA/
// and have semantics; Tests/EngineTests/CPUIDTests.swift compares. Sources: SDM volume 2, CPUID; APM volume 3, appendix E.

/// The virtual processor's identification.
public enum CPUID {
  /// Sets of features by the names of the x86-64 psABI; `maximum` is everything that Vitrine executes.
  public enum Level: UInt32, Sendable, CaseIterable {
    case version1 = 1
    case version2 = 2
    case version3 = 3
    case maximum = 4

    /// The word of `--cpu`.
    public init?(name: String) {
      switch name {
      case "v1": self = .version1
      case "v2": self = .version2
      case "v3": self = .version3
      case "max": self = .maximum
      default: return nil
      }
    }

    /// XCR0: state components that exist.
    public var stateComponents: UInt64 { rawValue >= 3 ? 7 : 3 }
  }

  /// The four result registers.
  public struct Registers: Equatable, Sendable {
    public var eax: UInt32 = 0
    public var ebx: UInt32 = 0
    public var ecx: UInt32 = 0
    public var edx: UInt32 = 0
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
    case 7: return subleaf == 0 ? features7(level) : Registers()
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

  private static func bits(_ positions: UInt32...) -> UInt32 {
    var word: UInt32 = 0
    for position in positions { word |= 1 &<< position }
    return word
  }

  /// Leaf 1.
  private static func features1(_ level: Level) -> (ecx: UInt32, edx: UInt32) {
    // FPU TSC CX8 CMOV CLFSH MMX FXSR SSE SSE2
    let edx = bits(0, 4, 8, 15, 19, 23, 24, 25, 26)
    var ecx: UInt32 = 0
    // SSE3 SSSE3 CX16 SSE41 SSE42 POPCNT
    if level.rawValue >= 2 { ecx |= bits(0, 9, 13, 19, 20, 23) }
    // FMA MOVBE XSAVE OSXSAVE AVX F16C
    if level.rawValue >= 3 { ecx |= bits(12, 22, 26, 27, 28, 29) }
    // PCLMULQDQ AES RDRAND
    if level == .maximum { ecx |= bits(1, 25, 30) }
    return (ecx, edx)
  }

  /// Leaf 7, subleaf 0.
  private static func features7(_ level: Level) -> Registers {
    var registers = Registers()
    // BMI1 AVX2 BMI2
    if level.rawValue >= 3 { registers.ebx |= bits(3, 5, 8) }
    if level == .maximum {
      // FSGSBASE ERMS RDSEED ADX CLFLUSHOPT CLWB SHA
      registers.ebx |= bits(0, 9, 18, 19, 23, 24, 29)
      // GFNI VAES VPCLMULQDQ RDPID
      registers.ecx |= bits(8, 9, 10, 22)
      // FSRM: REP MOVSB is the fastest way to copy here, also for few bytes.
      registers.edx |= bits(4)
    }
    return registers
  }

  /// Leaf 0x80000001.
  private static func extendedFeatures(_ level: Level) -> Registers {
    // SYSCALL NX LM
    var registers = Registers(edx: bits(11, 20, 29))
    // LAHF
    if level.rawValue >= 2 { registers.ecx |= bits(0) }
    // LZCNT
    if level.rawValue >= 3 { registers.ecx |= bits(5) }
    // PREFETCHW; RDTSCP
    if level == .maximum {
      registers.ecx |= bits(8)
      registers.edx |= bits(27)
    }
    return registers
  }

  // MARK: State, caches, name

  /// Leaf 0xD.
  private static func extendedState(_ level: Level, _ subleaf: UInt32) -> Registers {
    guard level.rawValue >= 3 else { return Registers() }
    let size = UInt32(truncatingIfNeeded: ExtendedState.size)
    switch subleaf {
    case 0:
      let components = UInt32(truncatingIfNeeded: level.stateComponents)
      return Registers(eax: components, ebx: size, ecx: size)
    case 1:
      // XSAVEOPT, XSAVEC, XGETBV with ECX = 1
      return level == .maximum ? Registers(eax: 7, ebx: size) : Registers()
    case 2: return Registers(eax: 256, ebx: UInt32(truncatingIfNeeded: ExtendedState.avxOffset))
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
