// A recording as a file. Each recorded process appends chunks of its timeline, each by one write(2): so several processes can share
// the file, and what has been written stays valid when one of them is killed.
//
//     header   "Vitrine recording\n", version (4 bytes)
//     chunk    magic (4), timeline (4), index in the timeline (4), bytes unpacked (4), bytes packed (4), reserved (4),
//              checksum of all that and of the contents (8); then the contents: records, in the LZ4 block format
//
// Contents of mapped files are chunks of their own, pieces, without records: their timeline is `RecordingFile.pieces`, their index is the
// number by which the records of all timelines name them. Integers are little-endian.
import Linux

enum RecordingFile {
  static let signature = Array("Vitrine recording\n".utf8)
  static let version: UInt32 = 4
  static let headerSize = signature.count + 4
  static let chunkMagic: UInt32 = 0x4b4e_4843  // "CHNK"
  static let chunkHeaderSize = 32
  /// Where the checksum stands: at the end of the header.
  static let checksumPlace = chunkHeaderSize - 8
  /// A chunk's contents are not larger than this but for a single record.
  static let chunkSize = 1 << 18
  /// The timeline of pieces.
  static let pieces = UInt64(UInt32.max)
  /// No chunk is larger.
  static let largestChunk = 1 << 30

  static var header: [UInt8] { signature + littleEndian(version) }

  static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  /// The checksum of a chunk: of its header up to where the checksum stands, and of its contents.
  static func checksum(ofChunk chunk: UnsafeRawBufferPointer) -> UInt64 {
    let place = min(checksumPlace, chunk.count)
    let sum = checksum(0xcbf2_9ce4_8422_2325, UnsafeRawBufferPointer(rebasing: chunk[..<place]))
    let contents = chunk[min(chunkHeaderSize, chunk.count)...]
    return checksum(sum, UnsafeRawBufferPointer(rebasing: contents))
  }

  // PERF: four sums side by side, because each step waits for the one before it.
  private static func checksum(_ start: UInt64, _ bytes: UnsafeRawBufferPointer) -> UInt64 {
    func word(_ place: Int) -> UInt64 {
      bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self).littleEndian
    }
    var (first, second, third, fourth) = (start, start &+ 1, start &+ 2, start &+ 3)
    var place = 0
    while place &+ 32 <= bytes.count {
      first = mix(first, word(place))
      second = mix(second, word(place &+ 8))
      third = mix(third, word(place &+ 16))
      fourth = mix(fourth, word(place &+ 24))
      place &+= 32
    }
    var mixed = mix(mix(mix(first, second), third), fourth)
    while place < bytes.count {
      mixed = mix(mixed, UInt64(bytes[place]))
      place &+= 1
    }
    return mixed
  }

  private static func mix(_ mixed: UInt64, _ word: UInt64) -> UInt64 {
    let product = (mixed ^ word) &* 0x9e37_79b9_7f4a_7c15
    return product ^ product &>> 32
  }
}

/// Writes one process's timeline.
struct TimelineWriter: ~Copyable {
  /// Changes when the descriptor is moved.
  var descriptor: Int32
  private(set) var timeline: UInt64
  private var index: UInt32 = 0
  /// What has not been written to the file, and room for it as a chunk.
  private var records = ByteWriter(capacity: RecordingFile.chunkSize)
  private var piece = ByteWriter()
  private var chunk = ByteWriter()
  /// The host took no more: the rest is not recorded.
  private(set) var isBroken = false

  init(descriptor: Int32, timeline: UInt64) {
    self.descriptor = descriptor
    self.timeline = timeline
  }

  /// In a forked child: what has not been written is its parent's.
  mutating func begin(timeline: UInt64) {
    self.timeline = timeline
    index = 0
    records.removeAll()
  }

  mutating func append(_ record: Record) {
    record.write(to: &records)
    flushIfFull()
  }

  /// An event with its changes of memory.
  mutating func append(_ event: borrowing Event, _ memory: borrowing WrittenEffects) {
    Record.write(event, memory, to: &records)
    flushIfFull()
  }

  /// Writes a piece of a mapped file to the recording, `size` bytes or as many as there are; false when there are none,
  /// or the host took none.
  mutating func write(piece number: UInt32, _ size: Int, of descriptor: Int32, at offset: UInt64) -> Bool {
    piece.removeAll()
    let filled = piece.space(of: size) { HostFile.read(descriptor, at: offset, into: $0) }
    if filled > 0 { write(RecordingFile.pieces, number, piece.contents) }
    return filled > 0 && !isBroken
  }

  private mutating func flushIfFull() {
    if records.count >= RecordingFile.chunkSize { flush() }
  }

  mutating func flush() {
    if records.count == 0 { return }
    write(timeline, index, records.contents)
    index &+= 1
    records.removeAll()
  }

  /// Writes a chunk.
  private mutating func write(_ timeline: UInt64, _ index: UInt32, _ contents: UnsafeRawBufferPointer) {
    if isBroken { return }
    chunk.removeAll()
    let header = [UInt8](repeating: 0, count: RecordingFile.chunkHeaderSize)
    header.withUnsafeBytes { chunk.raw($0) }
    BlockCompression.compress(contents, to: &chunk)
    let packed = chunk.count - RecordingFile.chunkHeaderSize
    let words = [
      RecordingFile.chunkMagic, UInt32(truncatingIfNeeded: timeline), index,
      UInt32(truncatingIfNeeded: contents.count), UInt32(truncatingIfNeeded: packed),
    ]
    for (place, word) in words.enumerated() {
      RecordingFile.littleEndian(word).withUnsafeBytes { chunk.replace(at: place * 4, $0) }
    }
    RecordingFile.littleEndian(RecordingFile.checksum(ofChunk: chunk.contents)).withUnsafeBytes {
      chunk.replace(at: RecordingFile.checksumPlace, $0)
    }
    if HostFile.write(chunk.contents, to: descriptor) { return }
    isBroken = true
    let standardError: Int32 = 2
    _ = HostFile.write(
      Array("vitrine: the recording ends here: its file cannot be written any more\n".utf8), to: standardError
    )
  }
}

/// A recording that has been opened: where each timeline's chunks are.
public final class Recording {
  struct Chunk {
    var offset: UInt64
    var size: Int
    var packed: Int
  }

  private let descriptor: Int32
  /// Chunks by timeline, in order.
  private(set) var chunks: [UInt64: [Chunk]] = [:]
  private var pieces: [UInt32: Chunk] = [:]
  /// Bytes at the end that are no whole chunk: the recorder was killed while it wrote them.
  public private(set) var lostBytes: UInt64 = 0

  public init(_ path: [UInt8]) throws(RecordingError) {
    let result = HostFile.open(path)
    let name = String(decoding: path, as: UTF8.self)
    guard result >= 0 else { throw .cannotOpen("cannot open \(name) (errno \(-result))") }
    descriptor = Int32(truncatingIfNeeded: result)
    let header = HostFile.read(descriptor, at: 0, count: RecordingFile.headerSize)
    guard header.starts(with: RecordingFile.signature), header.count == RecordingFile.headerSize else {
      throw .unsupported("\(name) is not a recording")
    }
    guard let version = header.littleEndian(UInt32.self, at: RecordingFile.signature.count),
      version == RecordingFile.version
    else { throw .unsupported("\(name) was recorded by another version of Vitrine") }
    try findChunks()
    if chunks.isEmpty { throw .damaged("\(name) holds nothing") }
  }

  deinit { HostFile.close(descriptor) }

  /// Whether a file begins like a recording.
  public static func isRecording(_ path: [UInt8]) -> Bool {
    let descriptor = HostFile.open(path)
    if descriptor < 0 { return false }
    defer { HostFile.close(Int32(truncatingIfNeeded: descriptor)) }
    let signature = RecordingFile.signature
    return HostFile.read(Int32(truncatingIfNeeded: descriptor), at: 0, count: signature.count) == signature
  }

  private func findChunks() throws(RecordingError) {
    let end = HostFile.identity(descriptor)?.size ?? 0
    var offset = UInt64(RecordingFile.headerSize)
    while offset < end {
      let header = HostFile.read(descriptor, at: offset, count: RecordingFile.chunkHeaderSize)
      func word(_ index: Int) -> UInt32 { header.littleEndian(UInt32.self, at: index * 4) ?? 0 }
      let first = offset &+ UInt64(RecordingFile.chunkHeaderSize)
      let packed = UInt64(word(4))
      guard word(0) == RecordingFile.chunkMagic, word(3) <= UInt32(RecordingFile.largestChunk),
        first &+ packed <= end, UInt64(word(3)) <= (packed &+ 1) &* BlockCompression.mostGrowth
      else { break }
      let timeline = UInt64(word(1))
      let chunk = Chunk(offset: first, size: Int(word(3)), packed: Int(packed))
      offset = first &+ packed
      if timeline == RecordingFile.pieces {
        guard pieces.updateValue(chunk, forKey: word(2)) == nil else {
          throw .damaged("a piece of a file is there twice")
        }
        continue
      }
      // Chunks of one timeline are written one after the other: what is missing in between was damaged.
      guard chunks[timeline, default: []].count == Int(word(2)) else {
        throw .damaged("a part of timeline \(timeline) is missing")
      }
      chunks[timeline, default: []].append(chunk)
    }
    lostBytes = end &- min(offset, end)
  }

  /// The timelines by the order in which they began.
  public var timelines: [UInt64] { chunks.keys.sorted() }

  /// The contents of a mapped file that stand under this number.
  func piece(_ number: UInt32) throws(RecordingError) -> [UInt8] {
    guard let chunk = pieces[number] else { throw .damaged("a piece of a file is missing") }
    return try contents(chunk)
  }

  func contents(_ chunk: Chunk) throws(RecordingError) -> [UInt8] {
    let size = RecordingFile.chunkHeaderSize
    let bytes = HostFile.read(descriptor, at: chunk.offset &- UInt64(size), count: size + chunk.packed)
    let sum = bytes.littleEndian(UInt64.self, at: RecordingFile.checksumPlace)
    guard bytes.count == size + chunk.packed,
      sum == bytes.withUnsafeBytes({ RecordingFile.checksum(ofChunk: $0) })
    else { throw .damaged("a checksum is wrong") }
    guard let contents = BlockCompression.decompress(bytes[size...], size: chunk.size) else {
      throw .damaged("a chunk cannot be unpacked")
    }
    return contents
  }
}

/// Reads one timeline's records in order.
struct TimelineReader {
  private let recording: Recording
  let timeline: UInt64
  private var nextChunk = 0
  private var reader = ByteReader([])

  init(_ recording: Recording, _ timeline: UInt64) {
    self.recording = recording
    self.timeline = timeline
  }

  /// The next record; nil at the end of what was recorded.
  mutating func next() throws(RecordingError) -> Record? {
    while reader.isAtEnd {
      guard let chunks = recording.chunks[timeline], nextChunk < chunks.count else { return nil }
      reader = ByteReader(try recording.contents(chunks[nextChunk]))
      nextChunk += 1
    }
    return try Record(&reader)
  }
}
