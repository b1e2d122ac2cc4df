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
  case avx512_bf16 = 10
  case avx512_bitalg = 11
  case avx512_ifma = 12
  case avx512_vbmi = 13
  case avx512_vbmi2 = 14
  case avx512_vnni = 15
  case avx512_vpopcntdq = 16
  case base = 17
  case bmi1 = 18
  case bmi2 = 19
  case cet_ss = 20
  case clflushopt = 21
  case clfsh = 22
  case clwb = 23
  case clzero = 24
  case cmov = 25
  case cx16 = 26
  case cx8 = 27
  case f16c = 28
  case fma = 29
  case fpu = 30
  case fsgsbase = 31
  case fxsr = 32
  case gfni = 33
  case invpcid = 34
  case lahf = 35
  case lzcnt = 36
  case mmx = 37
  case monitor = 38
  case monitorx = 39
  case movbe = 40
  case movdiri = 41
  case ospke = 42
  case padlock = 43
  case pclmulqdq = 44
  case popcnt = 45
  case prefetchw = 46
  case rdpid = 47
  case rdrand = 48
  case rdseed = 49
  case rdtscp = 50
  case rtm = 51
  case serialize = 52
  case sha = 53
  case smap = 54
  case sse = 55
  case sse2 = 56
  case sse3 = 57
  case sse41 = 58
  case sse42 = 59
  case ssse3 = 60
  case svm = 61
  case tsc = 62
  case vaes = 63
  case vmx = 64
  case vpclmulqdq = 65
  case waitpkg = 66
  case wbnoinvd = 67
  case xop = 68
  case xsave = 69
  case xsavec = 70
  case xsaveopt = 71
  case xsaves = 72

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
    case .avx512_bf16: "AVX512_BF16"
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
