// The alphabet of recordings: numbers of variable length (LEB128: seven bits a byte, the lowest first) and runs of bytes.
// Reading checks everything; a recording is input like any other.

/// Collects what is to be written.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  mutating func byte(_ value: UInt8) { bytes.append(value) }

  mutating func number(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest &>>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  /// A number that is near zero on either side: its sign becomes the lowest bit.
  mutating func signed(_ value: UInt64) {
    number(value &<< 1 ^ UInt64(bitPattern: Int64(bitPattern: value) &>> 63))
  }

  /// Bytes with their count in front.
  mutating func run(_ content: [UInt8]) {
    number(UInt64(content.count))
    bytes += content
  }

  mutating func runs(_ list: [[UInt8]]) {
    number(UInt64(list.count))
    for content in list { run(content) }
  }

  /// Bytes without their count.
  mutating func raw(_ content: UnsafeRawBufferPointer) { bytes.append(contentsOf: content) }
}

/// Takes written things apart again. Whatever is missing or absurd is `RecordingError.damaged`.
struct ByteReader {
  private let bytes: [UInt8]
  private(set) var offset = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { offset >= bytes.count }

  mutating func byte() throws(RecordingError) -> UInt8 {
    guard offset < bytes.count else { throw .damaged("it ends in the middle of a record") }
    defer { offset &+= 1 }
    return bytes[offset]
  }

  mutating func number() throws(RecordingError) -> UInt64 {
    var result: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      let next = try byte()
      result |= UInt64(next & 0x7f) &<< shift
      if next < 0x80 { return result }
    }
    throw .damaged("a number is too long")
  }

  mutating func signed() throws(RecordingError) -> UInt64 {
    let value = try number()
    return value &>> 1 ^ (0 &- (value & 1))
  }

  mutating func raw(_ count: UInt64) throws(RecordingError) -> [UInt8] {
    guard count <= UInt64(bytes.count &- offset) else { throw .damaged("it ends in the middle of a record") }
    defer { offset &+= Int(count) }
    return Array(bytes[offset..<(offset &+ Int(count))])
  }

  mutating func run() throws(RecordingError) -> [UInt8] {
    let count = try number()
    return try raw(count)
  }

  mutating func runs() throws(RecordingError) -> [[UInt8]] {
    let count = try number()
    guard count <= UInt64(bytes.count) else { throw .damaged("a list is too long") }
    var result: [[UInt8]] = []
    for _ in 0..<count { result.append(try run()) }
    return result
  }
}

/// What is wrong with a recording, or with making one; one line for people.
public enum RecordingError: Error, Equatable, Sendable {
  case cannotOpen(String)
  case damaged(String)
  case unsupported(String)
  /// The replay does something else than the program did.
  case diverged(String)
  /// A journey was broken off by whoever watches over it.
  case interrupted
  /// Here nothing can be changed: why.
  case unchangeable(String)

  public var message: String {
    switch self {
    case .cannotOpen(let text): text
    case .damaged(let text): "the recording is damaged: \(text)"
    case .unsupported(let text), .unchangeable(let text): text
    case .interrupted: "interrupted"
    case .diverged(let text): "the replay differs from the recording: \(text)"
    }
  }
}
