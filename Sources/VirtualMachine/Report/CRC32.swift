// The checksum of zlib, PNG and `.gnu_debuglink` (ISO 3309).

public struct CRC32 {
  private static let table = (0..<256).map { index -> UInt32 in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 != 0 ? 0xedb8_8320 ^ value &>> 1 : value &>> 1 }
  }
  private var state = UInt32.max

  public init() {}

  /// Of all that has been added.
  public var value: UInt32 { ~state }

  public mutating func add(_ bytes: [UInt8]) {
    let table = CRC32.table
    for byte in bytes { state = table[Int((state ^ UInt32(byte)) & 0xff)] ^ state &>> 8 }
  }
}
