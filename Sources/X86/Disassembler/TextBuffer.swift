// Text into memory that the caller owns: what the disassembler and register names are written with, without allocation.
// What does not fit is dropped; nothing is ever written beyond the end.

/// A cursor over a caller's bytes. ASCII only.
public struct TextBuffer {
  // SAFETY: valid for the caller's scope, which outlives this value; every store is compared with its count.
  private let bytes: UnsafeMutableBufferPointer<UInt8>
  /// Bytes written so far.
  public private(set) var count = 0

  public init(_ bytes: UnsafeMutableBufferPointer<UInt8>) {
    self.bytes = bytes
  }

  public mutating func append(byte: UInt8) {
    guard count < bytes.count else { return }
    bytes[count] = byte
    count &+= 1
  }

  public mutating func append(_ text: StaticString) {
    // SAFETY: below the static string's own length.
    for index in 0..<text.utf8CodeUnitCount { append(byte: text.utf8Start[index]) }
  }

  public mutating func append(_ text: TextSlice) {
    for index in 0..<text.count { append(byte: text[index]) }
  }

  /// Appends `0x` and the digits without leading zeros.
  public mutating func append(hex value: UInt64) {
    append("0x")
    append(hexDigits: value)
  }

  public mutating func append(hexDigits value: UInt64) {
    var shift = 60
    while shift > 0, value &>> UInt64(shift) == 0 { shift &-= 4 }
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: value &>> UInt64(shift) & 15)
      append(byte: digit < 10 ? 48 &+ digit : 87 &+ digit)
      shift &-= 4
    }
  }

  /// A signed number as objdump writes displacements: `-0x8`.
  public mutating func append(signedHex value: Int64) {
    if value < 0 { append(byte: 45) }
    append(hex: value.magnitude)
  }

  public mutating func append(decimal value: UInt64) {
    if value >= 10 { append(decimal: value / 10) }
    append(byte: 48 &+ UInt8(truncatingIfNeeded: value % 10))
  }

  /// Appends blanks up to `column`.
  public mutating func pad(to column: Int) {
    while count < column, count < bytes.count { append(byte: 32) }
  }

  public mutating func append(string: String) {
    for byte in string.utf8 { append(byte: byte) }
  }

  /// The last byte written; 0 when there is none.
  var last: UInt8 {
    // SAFETY: count is at most the buffer's size.
    count > 0 ? bytes[count &- 1] : 0
  }
}

extension String {
  /// A string of at most `capacity` bytes, written by `write`.
  public init(text capacity: Int, _ write: (inout TextBuffer) -> Void) {
    self = String(unsafeUninitializedCapacity: capacity) { bytes in
      var buffer = TextBuffer(bytes)
      write(&buffer)
      return buffer.count
    }
  }
}
