// Which CPUID features this host has: rows of others cannot be executed natively.

import CNative

enum HostFeatures {
  private static let bits: [String: (leaf: UInt32, register: Int32, bit: Int32)] = [
    "SSE3": (1, 2, 0), "PCLMULQDQ": (1, 2, 1), "SSSE3": (1, 2, 9), "FMA": (1, 2, 12), "CX16": (1, 2, 13),
    "SSE41": (1, 2, 19), "SSE42": (1, 2, 20), "MOVBE": (1, 2, 22), "POPCNT": (1, 2, 23), "AES": (1, 2, 25),
    "XSAVE": (1, 2, 26), "AVX": (1, 2, 28), "F16C": (1, 2, 29), "RDRAND": (1, 2, 30),
    "FSGSBASE": (7, 1, 0), "BMI1": (7, 1, 3), "AVX2": (7, 1, 5), "BMI2": (7, 1, 8), "RDSEED": (7, 1, 18),
    "ADX": (7, 1, 19), "SHA": (7, 1, 29), "GFNI": (7, 2, 8), "VAES": (7, 2, 9), "VPCLMULQDQ": (7, 2, 10),
    "RDPID": (7, 2, 22), "LZCNT": (0x8000_0001, 2, 5),
  ]

  private static let vectors512: [String: (subleaf: UInt32, register: Int32, bit: Int32)] = [
    "AVX512F": (0, 1, 16), "AVX512DQ": (0, 1, 17), "AVX512_IFMA": (0, 1, 21), "AVX512CD": (0, 1, 28),
    "AVX512BW": (0, 1, 30), "AVX512VL": (0, 1, 31), "AVX512_VBMI": (0, 2, 1), "AVX512_VBMI2": (0, 2, 6),
    "AVX512_VNNI": (0, 2, 11), "AVX512_BITALG": (0, 2, 12), "AVX512_VPOPCNTDQ": (0, 2, 14),
    "AVX512_BF16": (1, 0, 5),
  ]

  static func has(_ feature: String) -> Bool {
    if let bit = vectors512[feature] { return native_has(7, bit.subleaf, bit.register, bit.bit) != 0 }
    guard let bit = bits[feature] else { return true }
    return native_has(bit.leaf, 0, bit.register, bit.bit) != 0
  }
}
