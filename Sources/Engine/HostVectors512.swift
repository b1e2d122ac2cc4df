// What the host's own processor has: CPUID and XCR0 as it reports them. Of the guest's CPUID only AVX-512 depends on it, because
// only copied instructions execute that (no interpreter does). Owns nothing.

import CHost

/// The host's AVX-512 feature bits, in the words of CPUID leaf 7.
struct HostVectors512 {
  /// Subleaf 0: EBX, ECX; subleaf 1: EAX.
  let ebx: UInt32
  let ecx: UInt32
  let eax1: UInt32

  /// Nil unless the host has all that x86-64-v4 asks for: AVX-512 F, DQ, CD, BW, VL and the state components.
  init?() {
    let needed: UInt32 = 1 &<< 16 | 1 &<< 17 | 1 &<< 28 | 1 &<< 30 | 1 &<< 31
    let first = CPUID.host(leaf: 7)
    let components = ExtendedState.avx512 | 7
    guard first.ebx & needed == needed, vt_host_components() & components == components else { return nil }
    ebx = first.ebx
    ecx = first.ecx
    // EAX of subleaf 0 is the highest subleaf.
    eax1 = first.eax >= 1 ? CPUID.host(leaf: 7, subleaf: 1).eax : 0
  }
}

extension CPUID {
  /// What the host's own CPUID says.
  static func host(leaf: UInt32, subleaf: UInt32 = 0) -> Registers {
    var words: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) { bytes in
      // SAFETY: sixteen bytes, aligned as UInt32.
      if let start = bytes.baseAddress {
        vt_host_identify(leaf, subleaf, start.assumingMemoryBound(to: UInt32.self))
      }
    }
    return Registers(eax: words.0, ebx: words.1, ecx: words.2, edx: words.3)
  }

  /// Whether the host has AVX-512 as x86-64-v4 asks for it; what an engine that copies instructions answers to
  /// `executesVectors512`.
  public static var hostHasVectors512: Bool { HostVectors512() != nil }
}
