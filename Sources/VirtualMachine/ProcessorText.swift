// What /proc/cpuinfo says of the guest's processor: the same as its CPUID, in the kernel's words (arch/x86/kernel/cpu/proc.c,
// the names of X86_FEATURE_* in lower case).
import Engine

enum ProcessorText {
  /// Names of the bits of one register from bit 0 on; `-` has none. The order of the words is the kernel's.
  private struct Word {
    let leaf: UInt32
    let subleaf: UInt32
    let register: Register
    let names: StaticString
  }

  private enum Register { case eax, ebx, ecx, edx }

  private static func words() -> [Word] {
    [
      Word(
        leaf: 1, subleaf: 0, register: .edx,
        names: """
          fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr \
          sse sse2 ss ht tm ia64 pbe
          """),
      Word(
        leaf: 0x8000_0001, subleaf: 0, register: .edx,
        names: """
          - - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow
          """),
      Word(
        leaf: 1, subleaf: 0, register: .ecx,
        names: """
          pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 \
          sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor
          """),
      Word(
        leaf: 0x8000_0001, subleaf: 0, register: .ecx,
        names: """
          lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp \
          fma4 tce - nodeid_msr - tbm topoext
          """),
      Word(
        leaf: 7, subleaf: 0, register: .ebx,
        names: """
          fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq rdseed \
          adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl
          """),
      Word(
        leaf: 0xd, subleaf: 1, register: .eax, names: "xsaveopt xsavec xgetbv1 xsaves"),
      Word(
        leaf: 7, subleaf: 1, register: .eax, names: "- - - - avx_vnni avx512_bf16"),
      Word(
        leaf: 7, subleaf: 0, register: .ecx,
        names: """
          - avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme \
          avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b
          """),
      Word(
        leaf: 7, subleaf: 0, register: .edx,
        names: "- - - - fsrm - - - avx512_vp2intersect - md_clear - - - serialize"),
    ]
  }

  /// Words of the kernel's own that hold for every guest.
  private static let always = ["constant_tsc", "rep_good", "nopl", "nonstop_tsc", "cpuid"]

  /// Lines that stand in place of the host's.
  static func lines(_ level: CPUID.Level) -> [(name: String, value: String)] {
    let signature = CPUID.registers(level: level, leaf: 1, subleaf: 0)
    let family = signature.eax >> 8 & 15
    let model = signature.eax >> 4 & 15 | signature.eax >> 12 & 0xf0
    let sizes = CPUID.registers(level: level, leaf: 0x8000_0008, subleaf: 0).eax
    return [
      ("vendor_id", "GenuineIntel"), ("cpu family", "\(family)"), ("model", "\(model)"),
      ("model name", brand(level)), ("stepping", "\(signature.eax & 15)"),
      ("cpuid level", "\(CPUID.highestBasicLeaf)"), ("flags", flags(level)), ("bugs", ""),
      ("cache size", "16384 KB"), ("clflush size", "64"), ("cache_alignment", "64"),
      ("address sizes", "\(sizes & 255) bits physical, \(sizes >> 8 & 255) bits virtual"),
    ]
  }

  private static func flags(_ level: CPUID.Level) -> String {
    var found: [String] = []
    for (index, word) in words().enumerated() {
      if index == 2 { found += always }
      let registers = CPUID.registers(level: level, leaf: word.leaf, subleaf: word.subleaf)
      let bits: UInt32
      switch word.register {
      case .eax: bits = registers.eax
      case .ebx: bits = registers.ebx
      case .ecx: bits = registers.ecx
      case .edx: bits = registers.edx
      }
      for (bit, name) in word.names.description.split(separator: " ").enumerated()
      where bits >> UInt32(bit) & 1 != 0 && name != "-" {
        found.append(String(name))
      }
    }
    return found.joined(separator: " ")
  }

  private static func brand(_ level: CPUID.Level) -> String {
    var bytes: [UInt8] = []
    for leaf in UInt32(0x8000_0002)...0x8000_0004 {
      let registers = CPUID.registers(level: level, leaf: leaf, subleaf: 0)
      for word in [registers.eax, registers.ebx, registers.ecx, registers.edx] {
        for shift in [UInt32(0), 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
      }
    }
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}
