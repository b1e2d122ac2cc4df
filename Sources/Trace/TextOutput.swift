// A file that text is written to, without an allocation for each number. What the host does not take is noticed, and said at the end.
import CHost

/// Collects text and writes it in large pieces.
final class TextOutput {
  private let descriptor: Int32
  private let isOwned: Bool
  private var bytes: [UInt8] = []
  private static let piece = 1 << 16
  /// The number of the error that ended it (errno(3)); 0: none.
  private(set) var failure: Int64 = 0

  /// Standard output, or a new file.
  init(_ path: [UInt8]?) throws(TraceProblem) {
    guard let path else {
      (descriptor, isOwned) = (1, false)
      return
    }
    let writeCreateTruncateClose: Int64 = 0o2001101
    let result = (path + [0]).withUnsafeBytes {
      vt_syscall6(257, -100, Int64(Int(bitPattern: $0.baseAddress)), writeCreateTruncateClose, 0o666, 0, 0)
    }
    guard result >= 0 else {
      throw TraceProblem("cannot create \(String(decoding: path, as: UTF8.self)) (errno \(-result))")
    }
    (descriptor, isOwned) = (Int32(truncatingIfNeeded: result), true)
    bytes.reserveCapacity(TextOutput.piece + 4096)
  }

  /// Writes what is left, and closes.
  func finish() {
    flush()
    if isOwned, vt_syscall6(3, Int64(descriptor), 0, 0, 0, 0, 0) < 0, failure == 0 { failure = 5 }
  }

  private func flush() {
    bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count, failure == 0 {
        let place = buffer.baseAddress.map { $0 + done }
        let result = vt_syscall6(
          1, Int64(descriptor), Int64(Int(bitPattern: place)), Int64(buffer.count - done), 0, 0, 0)
        if result == -4 { continue }
        if result <= 0 { failure = max(1, -result) } else { done += Int(result) }
      }
    }
    bytes.removeAll(keepingCapacity: true)
  }

  private func check() { if bytes.count >= TextOutput.piece { flush() } }

  func byte(_ value: UInt8) { bytes.append(value) }

  func tab() { bytes.append(9) }

  func endLine() {
    bytes.append(10)
    check()
  }

  func text(_ text: String) {
    bytes.append(contentsOf: text.utf8)
    check()
  }

  func text(_ text: [UInt8]) {
    bytes.append(contentsOf: text)
    check()
  }

  func number(_ value: Int) {
    if value < 0 { bytes.append(45) }
    number(UInt64(value.magnitude))
  }

  func number(_ value: Int64) { number(Int(value)) }

  func number(_ value: UInt64) {
    // Digits from the last one on, then turned round in place.
    let start = bytes.count
    var rest = value
    repeat {
      bytes.append(48 &+ UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    } while rest > 0
    bytes[start...].reverse()
  }

  /// A non-negative number with leading zeros.
  func number(_ value: UInt64, digits: Int) {
    var scale: UInt64 = 1
    for _ in 1..<max(digits, 1) { scale &*= 10 }
    while scale > 0 {
      bytes.append(48 &+ UInt8(truncatingIfNeeded: value / scale % 10))
      scale /= 10
    }
  }

  /// `0x` and the digits without leading zeros.
  func hexadecimal(_ value: UInt64) {
    bytes.append(48)
    bytes.append(120)
    var shift: UInt64 = 60
    while shift > 0, value &>> shift == 0 { shift &-= 4 }
    while true {
      digit(UInt8(truncatingIfNeeded: value &>> shift & 15))
      if shift == 0 { return }
      shift &-= 4
    }
  }

  /// Two digits.
  func hexadecimal(byte: UInt8) {
    digit(byte &>> 4)
    digit(byte & 15)
  }

  private func digit(_ value: UInt8) { bytes.append(value < 10 ? 48 &+ value : 87 &+ value) }

  /// A string of JSON with its quotes.
  func json(_ text: String) {
    bytes.append(34)
    for byte in text.utf8 {
      switch byte {
      case 34, 92:
        bytes.append(92)
        bytes.append(byte)
      case 0..<32, 127:
        bytes.append(contentsOf: "\\u00".utf8)
        hexadecimal(byte: byte)
      default: bytes.append(byte)
      }
    }
    bytes.append(34)
    check()
  }

  /// Text inside an XML element or attribute.
  func xml(_ text: String) {
    for scalar in text.unicodeScalars {
      switch scalar {
      case "<": bytes.append(contentsOf: "&lt;".utf8)
      case "&": bytes.append(contentsOf: "&amp;".utf8)
      case "\"": bytes.append(contentsOf: "&quot;".utf8)
      default:
        let isShown = scalar.value >= 32 && scalar.value != 127 && scalar.value < 0xfffe
        bytes.append(contentsOf: isShown ? Array(String(scalar).utf8) : [63])
      }
    }
  }
}
