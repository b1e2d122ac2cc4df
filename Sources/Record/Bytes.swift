// The alphabet of recordings: numbers of variable length (LEB128: seven bits a byte, the lowest first) and runs of bytes.
// Reading checks everything; a recording is input like any other.

/// Collects what is to be written.
// PERF: memory of its own; an array asks at each byte whether it is shared and has room, which took a third of an event's time.
struct ByteWriter: ~Copyable {
  // SAFETY: allocated here and freed here; the first `count` of `capacity` bytes have been written.
  private var start: UnsafeMutablePointer<UInt8>
  private var capacity: Int
  private(set) var count = 0

  init(capacity: Int = 256) {
    self.capacity = max(capacity, 1)
    start = .allocate(capacity: self.capacity)
  }

  deinit { start.deallocate() }

  /// What has been written; until more is.
  var contents: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

  mutating func removeAll() { count = 0 }

  /// Forgets what lies behind the first `count` bytes.
  mutating func truncate(to count: Int) { self.count = min(max(count, 0), self.count) }

  /// Makes room for `more` bytes.
  @inline(__always)
  private mutating func reserve(_ more: Int) {
    if capacity &- count < more { grow(more) }
  }

  @inline(never)
  private mutating func grow(_ more: Int) {
    capacity = max(capacity * 2, count + more)
    let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    larger.update(from: start, count: count)
    start.deallocate()
    start = larger
  }

  mutating func byte(_ value: UInt8) {
    reserve(1)
    start[count] = value
    count &+= 1
  }

  mutating func number(_ value: UInt64) {
    let mostBytes = 10
    reserve(mostBytes)
    var rest = value
    while rest >= 0x80 {
      start[count] = UInt8(truncatingIfNeeded: rest) | 0x80
      count &+= 1
      rest &>>= 7
    }
    start[count] = UInt8(truncatingIfNeeded: rest)
    count &+= 1
  }

  /// A number that is near zero on either side: its sign becomes the lowest bit.
  mutating func signed(_ value: UInt64) {
    number(value &<< 1 ^ UInt64(bitPattern: Int64(bitPattern: value) &>> 63))
  }

  /// Bytes with their count in front.
  mutating func run(_ content: [UInt8]) { content.withUnsafeBytes { run($0) } }

  mutating func run(_ content: UnsafeRawBufferPointer) {
    number(UInt64(content.count))
    raw(content)
  }

  /// A run of `size` bytes, which `fill` stores; or of fewer, when it says that there were not that many. How many there were.
  mutating func run(of size: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    let begin = count
    number(UInt64(truncatingIfNeeded: size))
    let place = count
    let filled = space(of: size, fill)
    if filled < size {
      // The number in front may have become shorter.
      truncate(to: begin)
      number(UInt64(truncatingIfNeeded: filled))
      (start + count).update(from: start + place, count: filled)
      count &+= filled
    }
    return filled
  }

  mutating func runs(_ list: [[UInt8]]) {
    number(UInt64(list.count))
    for content in list { run(content) }
  }

  /// Bytes without their count.
  mutating func raw(_ content: UnsafeRawBufferPointer) {
    _ = space(of: content.count) {
      $0.copyMemory(from: content)
      return content.count
    }
  }

  /// Room for `size` bytes, which `fill` stores. How many of them, that count, it says.
  mutating func space(of size: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    reserve(size)
    let filled = min(max(fill(UnsafeMutableRawBufferPointer(start: start + count, count: size)), 0), size)
    count &+= filled
    return filled
  }

  /// Replaces what was written `place` bytes behind the beginning.
  mutating func replace(at place: Int, _ content: UnsafeRawBufferPointer) {
    guard place >= 0, content.count <= count - place else { return }
    UnsafeMutableRawBufferPointer(start: start + place, count: content.count).copyMemory(from: content)
  }
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
