// Written by Tools/isagen from ISA/*.isa (`make gen`); do not edit.
// The CPUID features that rows name.

/// A CPUID feature, by the name its rows use.
public enum Feature: UInt8, CaseIterable, Sendable {
  case adx = 1
  case aes = 2
  case avx = 3
  case avx2 = 4
  case avx512bw = 5
  case avx512cd = 6
  case avx512dq = 7
  case avx512f = 8
  case avx512vl = 9
  case avx512_bitalg = 10
  case avx512_ifma = 11
  case avx512_vbmi = 12
  case avx512_vbmi2 = 13
  case avx512_vnni = 14
  case avx512_vpopcntdq = 15
  case base = 16
  case bmi1 = 17
  case bmi2 = 18
  case cet_ss = 19
  case clflushopt = 20
  case clfsh = 21
  case clwb = 22
  case clzero = 23
  case cmov = 24
  case cx16 = 25
  case cx8 = 26
  case f16c = 27
  case fma = 28
  case fpu = 29
  case fsgsbase = 30
  case fxsr = 31
  case gfni = 32
  case invpcid = 33
  case lahf = 34
  case lzcnt = 35
  case mmx = 36
  case monitor = 37
  case monitorx = 38
  case movbe = 39
  case movdiri = 40
  case ospke = 41
  case padlock = 42
  case pclmulqdq = 43
  case popcnt = 44
  case prefetchw = 45
  case rdpid = 46
  case rdrand = 47
  case rdseed = 48
  case rdtscp = 49
  case rtm = 50
  case serialize = 51
  case sha = 52
  case smap = 53
  case sse = 54
  case sse2 = 55
  case sse3 = 56
  case sse41 = 57
  case sse42 = 58
  case ssse3 = 59
  case svm = 60
  case tsc = 61
  case vaes = 62
  case vmx = 63
  case vpclmulqdq = 64
  case waitpkg = 65
  case wbnoinvd = 66
  case xop = 67
  case xsave = 68
  case xsavec = 69
  case xsaveopt = 70
  case xsaves = 71

  /// As rows write it.
  public var name: StaticString {
    switch self {
    case .adx: "ADX"
    case .aes: "AES"
    case .avx: "AVX"
    case .avx2: "AVX2"
    case .avx512bw: "AVX512BW"
    case .avx512cd: "AVX512CD"
    case .avx512dq: "AVX512DQ"
    case .avx512f: "AVX512F"
    case .avx512vl: "AVX512VL"
    case .avx512_bitalg: "AVX512_BITALG"
    case .avx512_ifma: "AVX512_IFMA"
    case .avx512_vbmi: "AVX512_VBMI"
    case .avx512_vbmi2: "AVX512_VBMI2"
    case .avx512_vnni: "AVX512_VNNI"
    case .avx512_vpopcntdq: "AVX512_VPOPCNTDQ"
    case .base: "BASE"
    case .bmi1: "BMI1"
    case .bmi2: "BMI2"
    case .cet_ss: "CET_SS"
    case .clflushopt: "CLFLUSHOPT"
    case .clfsh: "CLFSH"
    case .clwb: "CLWB"
    case .clzero: "CLZERO"
    case .cmov: "CMOV"
    case .cx16: "CX16"
    case .cx8: "CX8"
    case .f16c: "F16C"
    case .fma: "FMA"
    case .fpu: "FPU"
    case .fsgsbase: "FSGSBASE"
    case .fxsr: "FXSR"
    case .gfni: "GFNI"
    case .invpcid: "INVPCID"
    case .lahf: "LAHF"
    case .lzcnt: "LZCNT"
    case .mmx: "MMX"
    case .monitor: "MONITOR"
    case .monitorx: "MONITORX"
    case .movbe: "MOVBE"
    case .movdiri: "MOVDIRI"
    case .ospke: "OSPKE"
    case .padlock: "PADLOCK"
    case .pclmulqdq: "PCLMULQDQ"
    case .popcnt: "POPCNT"
    case .prefetchw: "PREFETCHW"
    case .rdpid: "RDPID"
    case .rdrand: "RDRAND"
    case .rdseed: "RDSEED"
    case .rdtscp: "RDTSCP"
    case .rtm: "RTM"
    case .serialize: "SERIALIZE"
    case .sha: "SHA"
    case .smap: "SMAP"
    case .sse: "SSE"
    case .sse2: "SSE2"
    case .sse3: "SSE3"
    case .sse41: "SSE41"
    case .sse42: "SSE42"
    case .ssse3: "SSSE3"
    case .svm: "SVM"
    case .tsc: "TSC"
    case .vaes: "VAES"
    case .vmx: "VMX"
    case .vpclmulqdq: "VPCLMULQDQ"
    case .waitpkg: "WAITPKG"
    case .wbnoinvd: "WBNOINVD"
    case .xop: "XOP"
    case .xsave: "XSAVE"
    case .xsavec: "XSAVEC"
    case .xsaveopt: "XSAVEOPT"
    case .xsaves: "XSAVES"
    }
  }
}
