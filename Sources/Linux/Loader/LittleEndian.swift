// Reading little-endian integers out of byte arrays that come from files: every access is checked, none can
// trap. Shared by the ELF loader and the reports, which read symbols and unwind tables of the same files.

extension Array where Element == UInt8 {
  /// The little-endian integer at `offset`, or nil when it does not lie in the array entirely.
  public func littleEndian<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type, at offset: Int) -> T? {
    let size = T.bitWidth / 8
    guard offset >= 0, size <= count, offset <= count &- size else { return nil }
    var result: T = 0
    for index in 0..<size {
      result |= T(truncatingIfNeeded: self[offset &+ index]) &<< T(truncatingIfNeeded: 8 &* index)
    }
    return result
  }

  /// The little-endian number in the first eight bytes, or in as many as there are.
  public var littleEndianNumber: UInt64 {
    prefix(8).reversed().reduce(0) { $0 &<< 8 | UInt64($1) }
  }
}

extension UInt64 {
  /// The number as the messages of this product print addresses and masks: `0x` and lower-case digits.
  public var hexadecimal: String { "0x" + String(self, radix: 16) }
}
