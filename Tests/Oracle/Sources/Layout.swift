// Where the oracle's guest lives. The same addresses are mapped natively in this process and in the guest's window, so that
// pointers, RIP-relative operands and pushed return addresses are equal on both sides.

enum Layout {
  /// Code, filled with INT3; instructions are placed in slots.
  static let code: UInt64 = 0x2000_0000
  static let codeSize: UInt64 = 0x10000
  static let slotSize: UInt64 = 0x800
  static var slots: Int { Int(codeSize / slotSize) - 2 }
  /// Two pages of data; around them nothing is mapped, so that operands near the ends fault.
  static let data: UInt64 = 0x1000_0000
  static let dataSize: UInt64 = 0x2000
  static var dataMiddle: UInt64 { data &+ dataSize / 2 }

  static func contains(_ address: UInt64) -> Bool {
    (code..<code + codeSize).contains(address) || (data..<data + dataSize).contains(address)
  }
}
