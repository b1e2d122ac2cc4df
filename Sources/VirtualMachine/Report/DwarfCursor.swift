// Reads the building blocks of DWARF call frame information out of a byte array (DWARF 5 section 7.6; LSB
// core, chapter 10.5 for pointer encodings). Bounds are checked at every step; nothing a file holds can make
// it trap or run on.
import Linux

/// The table is malformed or uses something that does not occur on x86-64.
struct DwarfError: Error, Equatable {}

/// A position in a byte array that stands for memory from `base` on.
struct DwarfCursor {
  let bytes: [UInt8]
  /// The address of `bytes[0]` before the load bias is added.
  let base: UInt64
  var position: Int
  /// Reading stops before this index.
  var end: Int

  init(_ bytes: [UInt8], base: UInt64, position: Int = 0, end: Int? = nil) {
    self.bytes = bytes
    self.base = base
    self.position = position
    self.end = min(end ?? bytes.count, bytes.count)
  }

  var isAtEnd: Bool { position >= end }
  var address: UInt64 { base &+ UInt64(truncatingIfNeeded: position) }

  mutating func read<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type) throws(DwarfError) -> T {
    let size = T.bitWidth / 8
    guard position >= 0, position <= end &- size else { throw DwarfError() }
    var value: UInt64 = 0
    for offset in 0..<size { value |= UInt64(bytes[position &+ offset]) &<< UInt64(offset &* 8) }
    position &+= size
    return T(truncatingIfNeeded: value)
  }

  mutating func byte() throws(DwarfError) -> UInt8 {
    guard position >= 0, position < end else { throw DwarfError() }
    defer { position &+= 1 }
    return bytes[position]
  }

  /// Unsigned LEB128; bits beyond 64 are dropped, as a reader of addresses needs.
  mutating func unsigned() throws(DwarfError) -> UInt64 {
    var result: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let next = try byte()
      if shift < 64 { result |= UInt64(next & 0x7f) &<< shift }
      shift &+= 7
      if next & 0x80 == 0 { return result }
    }
  }

  /// Signed LEB128, as its two's complement.
  mutating func signed() throws(DwarfError) -> UInt64 {
    var result: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let next = try byte()
      if shift < 64 { result |= UInt64(next & 0x7f) &<< shift }
      shift &+= 7
      if next & 0x80 == 0 {
        if next & 0x40 != 0, shift < 64 { result |= ~0 &<< shift }
        return result
      }
    }
  }

  /// The length in front of a unit or an entry, and whether what follows is in the 64-bit format (DWARF 5 section 7.4).
  mutating func initialLength() throws(DwarfError) -> (length: UInt64, isWide: Bool) {
    let length = UInt64(try read(UInt32.self))
    return length == 0xffff_ffff ? (try read(UInt64.self), true) : (length, false)
  }

  /// A length or an offset into a section, whose size the format decides.
  mutating func offset(isWide: Bool) throws(DwarfError) -> UInt64 {
    isWide ? try read(UInt64.self) : UInt64(try read(UInt32.self))
  }

  mutating func skip(_ count: UInt64) throws(DwarfError) {
    guard position <= end, count <= UInt64(truncatingIfNeeded: end &- position) else { throw DwarfError() }
    position &+= Int(truncatingIfNeeded: count)
  }

  mutating func cString() throws(DwarfError) -> [UInt8] {
    guard position >= 0, position < end, let zero = bytes[position..<end].firstIndex(of: 0) else {
      throw DwarfError()
    }
    defer { position = zero &+ 1 }
    return Array(bytes[position..<zero])
  }

  /// A cursor over the next `count` bytes, which are skipped here.
  mutating func block(_ count: UInt64) throws(DwarfError) -> DwarfCursor {
    let start = position
    try skip(count)
    return DwarfCursor(bytes, base: base, position: start, end: position)
  }

  /// A pointer by its DW_EH_PE_* encoding: low four bits the format, next three what it is relative to.
  mutating func pointer(encoding: UInt8) throws(DwarfError) -> UInt64 {
    let place = address
    let value: UInt64
    switch encoding & 0x0f {
    case 0x00, 0x04, 0x0c: value = try read(UInt64.self)
    case 0x01: value = try unsigned()
    case 0x02: value = UInt64(try read(UInt16.self))
    case 0x03: value = UInt64(try read(UInt32.self))
    case 0x09: value = try signed()
    case 0x0a: value = UInt64(bitPattern: Int64(Int16(bitPattern: try read(UInt16.self))))
    case 0x0b: value = UInt64(bitPattern: Int64(Int32(bitPattern: try read(UInt32.self))))
    default: throw DwarfError()
    }
    switch encoding & 0x70 {
    case 0x00: return value
    case 0x10: return value == 0 ? 0 : place &+ value
    default: throw DwarfError()
    }
  }
}
