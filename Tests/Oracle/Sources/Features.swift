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

  static func has(_ feature: String) -> Bool {
    guard let bit = bits[feature] else { return true }
    return native_has(bit.leaf, 0, bit.register, bit.bit) != 0
  }
}
