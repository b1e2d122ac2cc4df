// The form of numbers, runs and records in the file: what is written is read again as the same values, to the last byte, and whatever is
// cut off or absurd is an error, never a trap.
import Engine
import GuestMemory
import Testing

@testable import Record

extension ByteWriter {
  var bytes: [UInt8] { Array(contents) }
}

@Suite struct BytesTests {
  static let edges: [UInt64] = (0..<64).flatMap {
    [1 << $0, (1 << $0) - 1, ~(1 << $0), 0 &- (1 << $0)] as [UInt64]
  }

  @Test func numbers() throws {
    var writer = ByteWriter()
    for value in BytesTests.edges {
      writer.number(value)
      writer.signed(value)
    }
    var reader = ByteReader(writer.bytes)
    for value in BytesTests.edges {
      #expect(try reader.number() == value)
      #expect(try reader.signed() == value)
    }
    #expect(reader.isAtEnd)
  }

  @Test func sizesOfNumbers() {
    for (value, unsigned, signed) in [
      (0, 1, 1), (63, 1, 1), (64, 1, 2), (127, 1, 2), (128, 2, 2), (.max, 10, 1), (0 &- 64, 10, 1),
      (1 << 63, 10, 10),
    ] as [(UInt64, Int, Int)] {
      var writer = ByteWriter()
      writer.number(value)
      #expect(writer.bytes.count == unsigned)
      writer.removeAll()
      writer.signed(value)
      #expect(writer.bytes.count == signed)
    }
  }

  @Test func runs() throws {
    let lists: [[[UInt8]]] = [[], [[]], [[1, 2], [], [UInt8](repeating: 3, count: 300)]]
    var writer = ByteWriter()
    for list in lists { writer.runs(list) }
    writer.run([4, 5])
    var reader = ByteReader(writer.bytes)
    for list in lists { #expect(try reader.runs() == list) }
    #expect(try reader.run() == [4, 5])
    #expect(reader.isAtEnd)
  }

  /// A run whose bytes are stored in place, all of them or fewer than announced: then its number may be shorter.
  @Test func runsInPlace() throws {
    for (size, filled) in [(0, 0), (1, 1), (5, 0), (127, 127), (128, 127), (20_000, 20_000), (20_000, 100)] {
      var writer = ByteWriter(capacity: 1)
      writer.byte(7)
      let said = writer.run(of: size) { target in
        for index in 0..<filled { target[index] = UInt8(truncatingIfNeeded: index) }
        return filled
      }
      writer.byte(8)
      #expect(said == filled)
      var reader = ByteReader(writer.bytes)
      #expect(try reader.byte() == 7)
      #expect(try reader.run() == (0..<filled).map { UInt8(truncatingIfNeeded: $0) })
      #expect(try reader.byte() == 8)
      #expect(reader.isAtEnd)
    }
  }

  @Test func replacing() {
    var writer = ByteWriter(capacity: 1)
    writer.number(1 << 40)
    let end = writer.count
    writer.run([1, 2, 3, 4])
    let bytes: [UInt8] = [8, 9]
    bytes.withUnsafeBytes { writer.replace(at: end + 2, $0) }
    #expect(writer.bytes[end...] == [4, 1, 8, 9, 4])
    // Nothing is written behind the end.
    bytes.withUnsafeBytes { writer.replace(at: end + 4, $0) }
    #expect(writer.bytes[end...] == [4, 1, 8, 9, 4])
    writer.truncate(to: end + 2)
    #expect(writer.bytes[end...] == [4, 1])
  }

  @Test func malformed() {
    func fails(_ bytes: [UInt8], _ read: (inout ByteReader) throws(RecordingError) -> Void) -> Bool {
      var reader = ByteReader(bytes)
      do throws(RecordingError) { try read(&reader) } catch {
        if case .damaged = error { return true }
      }
      return false
    }
    #expect(fails([]) { reader throws(RecordingError) in _ = try reader.byte() })
    #expect(fails([0x80]) { reader throws(RecordingError) in _ = try reader.number() })
    #expect(
      fails([UInt8](repeating: 0xff, count: 11)) { reader throws(RecordingError) in _ = try reader.number() })
    #expect(fails([0xff, 0xff, 0xff, 0xff, 0x10]) { reader throws(RecordingError) in _ = try reader.word() })
    #expect(fails([3, 1, 2]) { reader throws(RecordingError) in _ = try reader.run() })
    #expect(
      fails([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]) { reader throws(RecordingError) in
        _ = try reader.run()
      })
    #expect(fails([200, 1, 0, 0]) { reader throws(RecordingError) in _ = try reader.runs() })
  }
}

@Suite struct RecordFormTests {
  private var effects: [MemoryEffect] {
    let region = Region(
      start: 0x7000_0000_0000, end: 0x7000_0001_0000, permissions: [.read, .write], flags: [.shared],
      offset: 0x3000)
    return [
      .write(start: 0x1234, bytes: [1, 2, 3]), .write(start: .max, bytes: []), .stackLimit(.max),
      .stackLimit(8 << 20),
      .fileSize(file: 7, size: 1 << 40), .change(.map(region, file: 0)), .change(.map(region, file: .max)),
      .change(.unmap(start: 0x1000, size: 0x2000)),
      .change(.protect(start: 0, size: .max, permissions: [.read])),
      .change(.remap(start: 1, size: 2, newSize: 3, flags: [.mayMove], target: 4)),
      .change(.advise(start: 0x1000, size: 0x1000, advice: 4)),
      .change(.advise(start: 0, size: 0, advice: -1)), .change(.reset),
    ]
  }

  private var kinds: [Event.Kind] {
    [
      .pause, .systemCall(number: 0, output: nil), .systemCall(number: .max >> 2, output: nil),
      .systemCall(number: 1, output: Event.Output(descriptor: 1, size: 5, order: 0)),
      .systemCall(number: 20, output: Event.Output(descriptor: 2, size: .max, order: .max)), .interruption,
      .fault, .chance, .othersWrites,
      .threadBegins, .threadEnds, .end(code: 0, signal: 0, hash: nil), .end(code: -1, signal: 11, hash: 0),
      .end(code: .max, signal: .min, hash: .max),
    ]
  }

  private var records: [Record] {
    var first = TimelineStart()
    first.process = 4_000_000
    first.level = 3
    first.stackLimit = .max
    first.arguments = [Array("program".utf8), [], [0xff, 0]]
    first.executable = Array("/bin/program".utf8)
    var second = first
    second.parent = ForkPoint(timeline: 3, events: .max)
    var result: [Record] = [
      .start(first), .start(second), .start(TimelineStart()),
      .file(RecordedFile(number: 1, device: .max, inode: 2, size: 3, path: Array("/a file".utf8))),
      .data(file: .max, offset: 0x1000, piece: .max),
      .data(file: 0, offset: 0, piece: 0),
    ]
    var numbers = Numbers(5)
    for (index, kind) in kinds.enumerated() {
      for variant in 0..<16 {
        var event = Event(
          kind: kind, thread: index * 1000, count: variant == 3 ? .max : InstructionCount(variant))
        if variant & 1 != 0 { event.digest = UInt32(truncatingIfNeeded: numbers.next()) }
        if variant & 2 != 0 { event.effect.extended = numbers.bytes(100) }
        if variant & 4 != 0 { event.effect.memory = effects }
        if variant & 8 != 0 {
          event.effect.mask = UInt32(truncatingIfNeeded: numbers.next()) & 0xf_ffff
          for word in 0..<RegisterWords.count where event.effect.mask >> UInt32(word) & 1 != 0 {
            event.effect.registers[word] = numbers.next() >> UInt64(numbers.below(64))
          }
        }
        result.append(.event(event))
      }
    }
    return result
  }

  @Test func roundTrips() throws {
    var writer = ByteWriter()
    for record in records { record.write(to: &writer) }
    var reader = ByteReader(writer.bytes)
    for record in records { #expect(try Record(&reader) == record) }
    #expect(reader.isAtEnd)
  }

  @Test func everyTruncationIsAnError() {
    for record in records {
      var writer = ByteWriter()
      record.write(to: &writer)
      let step = max(writer.bytes.count / 200, 1)
      for count in stride(from: 0, to: writer.bytes.count, by: step) {
        var reader = ByteReader(Array(writer.bytes[..<count]))
        #expect(throws: RecordingError.self) { try Record(&reader) }
      }
    }
  }

  @Test func changedBytesAreHarmless() {
    var numbers = Numbers(6)
    var writer = ByteWriter()
    for record in records { record.write(to: &writer) }
    for _ in 0..<3000 {
      let start = numbers.below(writer.bytes.count - 1)
      var bytes = Array(writer.bytes[start..<min(start + 400, writer.bytes.count)])
      for _ in 0..<3 { bytes[numbers.below(bytes.count)] = UInt8(numbers.below(256)) }
      var reader = ByteReader(bytes)
      // However it ends: without a trap, and never behind the end.
      while !reader.isAtEnd { if (try? Record(&reader)) == nil { break } }
      #expect(reader.offset <= bytes.count)
    }
  }
}
