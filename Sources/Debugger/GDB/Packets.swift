// Packets of gdb's remote protocol (gdb manual, appendix E.1): `$` data `#` two digits, with `}` in front of bytes that have a
// meaning of their own. Whatever comes in is data to be judged: broken, endless and nested packets are normal input.

/// Takes packets out of a stream of bytes.
struct PacketReader {
  enum Event: Equatable {
    /// A packet whose checksum is right; escapes have been undone.
    case packet([UInt8])
    /// A packet that is to be sent again.
    case damaged
    /// The other side has got, or not got, what was sent last.
    case acknowledged, refused
    /// Ctrl-C.
    case interrupt
  }

  private enum State {
    case outside, data
    case checksum(first: UInt8?)
  }

  /// Bytes of data at most; what is longer is damaged.
  let limit: Int
  private var state = State.outside
  private var data: [UInt8] = []
  private var sum: UInt8 = 0
  private var isTooLong = false
  /// In no-acknowledgement mode checksums are not looked at, as the manual allows.
  var checksChecksum = true

  init(limit: Int) { self.limit = limit }

  /// Looks at one more byte.
  mutating func take(_ byte: UInt8) -> Event? {
    switch state {
    case .outside: return takeOutside(byte)
    case .data:
      if byte == UInt8(ascii: "#") {
        state = .checksum(first: nil)
      } else if byte == UInt8(ascii: "$") {
        // The rest of the packet before was lost.
        begin()
      } else if data.count < limit {
        data.append(byte)
        sum &+= byte
      } else {
        isTooLong = true
      }
      return nil
    case .checksum(nil):
      state = .checksum(first: byte)
      return nil
    case .checksum(let first?):
      state = .outside
      return finish(first, byte)
    }
  }

  private mutating func takeOutside(_ byte: UInt8) -> Event? {
    switch byte {
    case UInt8(ascii: "$"):
      begin()
      return nil
    case UInt8(ascii: "+"): return .acknowledged
    case UInt8(ascii: "-"): return .refused
    case 3: return .interrupt
    default: return nil
    }
  }

  private mutating func begin() {
    state = .data
    data.removeAll(keepingCapacity: true)
    sum = 0
    isTooLong = false
  }

  private func finish(_ first: UInt8, _ second: UInt8) -> Event {
    if isTooLong { return .damaged }
    if checksChecksum {
      guard let high = Hex.digit(first), let low = Hex.digit(second), high << 4 | low == sum else {
        return .damaged
      }
    }
    return PacketReader.unescaped(data).map { .packet($0) } ?? .damaged
  }

  private static func unescaped(_ data: [UInt8]) -> [UInt8]? {
    guard data.contains(UInt8(ascii: "}")) else { return data }
    var result: [UInt8] = []
    var isEscaped = false
    for byte in data {
      if isEscaped {
        result.append(byte ^ 0x20)
        isEscaped = false
      } else if byte == UInt8(ascii: "}") {
        isEscaped = true
      } else {
        result.append(byte)
      }
    }
    return isEscaped ? nil : result
  }
}

enum Packet {
  /// The bytes to send for a packet with `data`.
  static func framed(_ data: [UInt8]) -> [UInt8] {
    var result: [UInt8] = [UInt8(ascii: "$")]
    result.reserveCapacity(data.count + 8)
    var sum: UInt8 = 0
    for byte in data {
      switch byte {
      case UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "}"), UInt8(ascii: "*"):
        result.append(UInt8(ascii: "}"))
        result.append(byte ^ 0x20)
        sum &+= UInt8(ascii: "}") &+ (byte ^ 0x20)
      default:
        result.append(byte)
        sum &+= byte
      }
    }
    return result + [UInt8(ascii: "#")] + Hex.bytes([sum])
  }
}

/// Numbers in hexadecimal, as the protocol writes them.
enum Hex {
  static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 97...102: byte - 87
    case 65...70: byte - 55
    default: nil
    }
  }

  /// Two digits a byte.
  static func bytes(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    var result: [UInt8] = []
    for byte in bytes {
      result.append(digits[Int(byte >> 4)])
      result.append(digits[Int(byte & 15)])
    }
    return result
  }

  static func text(_ bytes: some Sequence<UInt8>) -> String {
    String(decoding: self.bytes(bytes), as: UTF8.self)
  }

  /// Undoes `bytes`; nil when there is something else than pairs of digits.
  static func decoded(_ text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count % 2 == 0 else { return nil }
    var result: [UInt8] = []
    var high: UInt8?
    for byte in text {
      guard let digit = digit(byte) else { return nil }
      if let first = high {
        result.append(first << 4 | digit)
        high = nil
      } else {
        high = digit
      }
    }
    return result
  }

  /// A number of at most sixteen digits.
  static func number(_ text: some Collection<UInt8>) -> UInt64? {
    guard !text.isEmpty, text.count <= 16 else { return nil }
    var result: UInt64 = 0
    for byte in text {
      guard let digit = digit(byte) else { return nil }
      result = result << 4 | UInt64(digit)
    }
    return result
  }
}
