// The form of records in the file: one function to write each kind of value and one to read it, side by side. What a number may be
// is checked here; whether it makes sense for the machine is checked by whoever applies it.
import Engine
import GuestMemory

extension Record {
  private enum Tag { static let start: UInt8 = 1, file: UInt8 = 2, data: UInt8 = 3, event: UInt8 = 4 }

  func write(to writer: inout ByteWriter) {
    switch self {
    case .start(let start):
      writer.byte(Tag.start)
      start.write(to: &writer)
    case .file(let file):
      writer.byte(Tag.file)
      for number in [UInt64(file.number), file.device, file.inode, file.size] { writer.number(number) }
      writer.run(file.path)
    case .data(let file, let offset, let piece):
      writer.byte(Tag.data)
      for number in [UInt64(file), offset, UInt64(piece)] { writer.number(number) }
    case .event(let event):
      var memory = WrittenEffects()
      for effect in event.effect.memory { memory.append(effect) }
      Record.write(event, memory, to: &writer)
    }
  }

  /// An event, whose changes of memory have been written already.
  static func write(_ event: borrowing Event, _ memory: borrowing WrittenEffects, to writer: inout ByteWriter)
  {
    writer.byte(Tag.event)
    event.write(memory, to: &writer)
  }

  init(_ reader: inout ByteReader) throws(RecordingError) {
    switch try reader.byte() {
    case Tag.start: self = .start(try TimelineStart(&reader))
    case Tag.file:
      self = .file(
        RecordedFile(
          number: try reader.word(), device: try reader.number(), inode: try reader.number(),
          size: try reader.number(), path: try reader.run()))
    case Tag.data:
      self = .data(file: try reader.word(), offset: try reader.number(), piece: try reader.word())
    case Tag.event: self = .event(try Event(&reader))
    case let tag: throw .damaged("there is no record of kind \(tag)")
    }
  }
}

extension ByteReader {
  /// A number of at most 32 bits.
  mutating func word() throws(RecordingError) -> UInt32 {
    guard let word = UInt32(exactly: try number()) else { throw .damaged("a number is too large") }
    return word
  }
}

extension TimelineStart {
  func write(to writer: inout ByteWriter) {
    writer.byte(parent == nil ? 0 : 1)
    if let parent {
      writer.number(parent.timeline)
      writer.number(parent.events)
    }
    for number in [process, UInt64(level), stackLimit] { writer.number(number) }
    writer.runs(arguments)
    writer.run(executable)
  }

  init(_ reader: inout ByteReader) throws(RecordingError) {
    if try reader.byte() != 0 {
      parent = ForkPoint(timeline: try reader.number(), events: try reader.number())
    }
    process = try reader.number()
    level = try reader.word()
    stackLimit = try reader.number()
    arguments = try reader.runs()
    executable = try reader.run()
  }
}

extension Event {
  private enum Bits { static let digest: UInt8 = 0x80, extended: UInt8 = 0x40, memory: UInt8 = 0x20 }
  private static let kindMask: UInt8 = 0x1f

  fileprivate borrowing func write(_ memory: borrowing WrittenEffects, to writer: inout ByteWriter) {
    var first = code
    if digest != nil { first |= Bits.digest }
    if !effect.extended.isEmpty { first |= Bits.extended }
    if memory.count > 0 { first |= Bits.memory }
    writer.byte(first)
    writer.number(UInt64(thread))
    writer.number(UInt64(bitPattern: count))
    switch kind {
    case .systemCall(let number, let output):
      writer.number(number << 2 | UInt64(output?.descriptor ?? 0))
      if let output {
        writer.number(output.size)
        writer.number(output.order)
      }
    case .end(let code, let signal, let hash):
      for value in [
        UInt64(UInt32(bitPattern: code)), UInt64(UInt32(bitPattern: signal)), hash == nil ? 0 : 1,
      ] {
        writer.number(value)
      }
      if let hash { writer.number(hash) }
    default: break
    }
    if let digest { withUnsafeBytes(of: digest.littleEndian) { writer.raw($0) } }
    effect.writeRegisters(to: &writer)
    memory.write(to: &writer)
  }

  private var code: UInt8 {
    switch kind {
    case .pause: 0
    case .systemCall: 1
    case .interruption: 2
    case .fault: 3
    case .chance: 4
    case .threadBegins: 5
    case .threadEnds: 6
    case .end: 7
    case .othersWrites: 8
    }
  }

  init(_ reader: inout ByteReader) throws(RecordingError) {
    let first = try reader.byte()
    guard let thread = Int(exactly: try reader.word()) else {
      throw .damaged("a thread's number is too large")
    }
    let count = InstructionCount(bitPattern: try reader.number())
    guard count >= 0 else { throw .damaged("a count is too large") }
    let kind = try Event.kind(first & Event.kindMask, &reader)
    self.init(kind: kind, thread: thread, count: count)
    if first & Bits.digest != 0 {
      let bytes = try reader.raw(4)
      digest = bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    effect = try StateEffect(
      &reader, hasExtended: first & Bits.extended != 0, hasMemory: first & Bits.memory != 0)
  }

  private static func kind(_ code: UInt8, _ reader: inout ByteReader) throws(RecordingError) -> Kind {
    switch code {
    case 0: return .pause
    case 1:
      let number = try reader.number()
      guard number & 3 != 0 else { return .systemCall(number: number >> 2, output: nil) }
      guard number & 3 != 3 else { throw .damaged("there is no such output") }
      let output = Output(
        descriptor: UInt8(number & 3), size: try reader.number(), order: try reader.number())
      return .systemCall(number: number >> 2, output: output)
    case 2: return .interruption
    case 3: return .fault
    case 4: return .chance
    case 5: return .threadBegins
    case 6: return .threadEnds
    case 7:
      let code = Int32(bitPattern: try reader.word())
      let signal = Int32(bitPattern: try reader.word())
      let hash = try reader.number() == 0 ? nil : try reader.number()
      return .end(code: code, signal: signal, hash: hash)
    case 8: return .othersWrites
    default: throw .damaged("there is no event of kind \(code)")
    }
  }
}

extension StateEffect {
  fileprivate borrowing func writeRegisters(to writer: inout ByteWriter) {
    writer.number(UInt64(mask))
    registers.forEach(in: mask) { writer.signed($0) }
    if !extended.isEmpty { writer.run(extended) }
  }

  init(_ reader: inout ByteReader, hasExtended: Bool, hasMemory: Bool) throws(RecordingError) {
    mask = try reader.word()
    for index in 0..<RegisterWords.count where mask >> UInt32(index) & 1 != 0 {
      registers[index] = try reader.signed()
    }
    if hasExtended { extended = try reader.run() }
    guard hasMemory else { return }
    for _ in 0..<(try reader.word()) { memory.append(try MemoryEffect(&reader)) }
  }
}

/// The changes of memory that belong to an event, in the form that they have in it. Contents of memory come here without being
/// an array on the way.
struct WrittenEffects: ~Copyable {
  private(set) var count = 0
  private var writer = ByteWriter()

  mutating func removeAll() {
    count = 0
    writer.removeAll()
  }

  mutating func append(_ effect: MemoryEffect) {
    effect.write(to: &writer)
    count &+= 1
  }

  mutating func append(_ bytes: UnsafeRawBufferPointer, at start: UInt64) {
    MemoryEffect.writeHead(ofWrite: start, to: &writer)
    writer.run(bytes)
    count &+= 1
  }

  /// What `memory` holds from `start` to `end` in `region`; nothing when the host cannot read it.
  mutating func append(_ memory: AddressSpace, from start: UInt64, to end: UInt64, of region: Region) {
    let place = writer.count
    MemoryEffect.writeHead(ofWrite: start, to: &writer)
    let most: UInt64 = 1 << 30
    let size = Int(truncatingIfNeeded: min(end &- start, most))
    let filled = writer.run(of: size) { memory.peek(start, of: region, into: $0) }
    if filled > 0 { count &+= 1 } else { writer.truncate(to: place) }
  }

  fileprivate func write(to writer: inout ByteWriter) {
    if count == 0 { return }
    writer.number(UInt64(truncatingIfNeeded: count))
    writer.raw(self.writer.contents)
  }
}

extension MemoryEffect {
  /// What stands in front of the bytes of `.write`.
  fileprivate static func writeHead(ofWrite start: UInt64, to writer: inout ByteWriter) {
    writer.byte(0)
    writer.number(start)
  }

  fileprivate func write(to writer: inout ByteWriter) {
    func put(_ code: UInt8, _ numbers: UInt64...) {
      writer.byte(code)
      for number in numbers { writer.number(number) }
    }
    switch self {
    case .write(let start, let bytes):
      MemoryEffect.writeHead(ofWrite: start, to: &writer)
      writer.run(bytes)
    case .stackLimit(let limit): put(1, limit)
    case .fileSize(let file, let size): put(8, UInt64(file), size)
    case .change(let change):
      switch change {
      case .map(let region, let file):
        let properties = UInt64(region.permissions.rawValue) | UInt64(region.flags.rawValue) << 8
        put(2, region.start, region.size, properties, UInt64(file), region.offset)
      case .unmap(let start, let size): put(3, start, size)
      case .protect(let start, let size, let permissions): put(4, start, size, UInt64(permissions.rawValue))
      case .remap(let start, let size, let newSize, let flags, let target):
        put(5, start, size, newSize, UInt64(flags.rawValue), target)
      case .advise(let start, let size, let advice): put(6, start, size, UInt64(UInt32(bitPattern: advice)))
      case .reset: put(7)
      }
    }
  }

  init(_ reader: inout ByteReader) throws(RecordingError) {
    switch try reader.byte() {
    case 0: self = .write(start: try reader.number(), bytes: try reader.run())
    case 1: self = .stackLimit(try reader.number())
    case 2:
      let (start, size, properties) = (try reader.number(), try reader.number(), try reader.number())
      let file = try reader.word()
      let region = Region(
        start: start, end: start &+ size, permissions: Permissions(rawValue: UInt8(properties & 7)),
        flags: RegionFlags(rawValue: UInt8(properties >> 8 & 0xff)), offset: try reader.number())
      guard start &+ size >= start else { throw .damaged("a region has no end") }
      self = .change(.map(region, file: file))
    case 3: self = .change(.unmap(start: try reader.number(), size: try reader.number()))
    case 4:
      let (start, size) = (try reader.number(), try reader.number())
      let permissions = Permissions(rawValue: UInt8(try reader.number() & 7))
      self = .change(.protect(start: start, size: size, permissions: permissions))
    case 5:
      let (start, size, newSize) = (try reader.number(), try reader.number(), try reader.number())
      let flags = RemapFlags(rawValue: try reader.word())
      self = .change(
        .remap(start: start, size: size, newSize: newSize, flags: flags, target: try reader.number()))
    case 6:
      let (start, size) = (try reader.number(), try reader.number())
      self = .change(.advise(start: start, size: size, advice: Int32(bitPattern: try reader.word())))
    case 7: self = .change(.reset)
    case 8: self = .fileSize(file: try reader.word(), size: try reader.number())
    case let code: throw .damaged("there is no change of memory of kind \(code)")
    }
  }
}
