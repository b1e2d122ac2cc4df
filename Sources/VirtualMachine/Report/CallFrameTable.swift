// The `.eh_frame` section: which code has which unwinding instructions (LSB core, chapter 10.6; DWARF 5
// section 6.4). Entries are indexed once by the code that they cover; the search table of `.eh_frame_hdr` is
// used only to find the section when the section headers are gone, because a wrong table must not send a
// report astray.
import GuestMemory
import Linux

/// A common information entry: what several functions share.
struct CommonInformation {
  var codeAlignment: UInt64 = 1
  var dataAlignment: UInt64 = 1
  /// The column that stands for the return address; 16 on x86-64.
  var returnAddressColumn: UInt64 = 16
  var pointerEncoding: UInt8 = 0
  var hasAugmentationData = false
  /// The code was entered by a signal: its return address is not behind a call.
  var isSignalFrame = false
  var instructions = DwarfCursor([], base: 0)
}

/// A frame description entry: one run of code.
struct FrameDescription {
  let start: UInt64
  let size: UInt64
  let common: CommonInformation
  let instructions: DwarfCursor
}

struct CallFrameTable {
  /// Larger tables are indexed only so far.
  private static let entryLimit = 1 << 20

  private let cursor: DwarfCursor
  /// (first code address, size, index of the entry), ordered by address.
  private var index: [(start: UInt64, size: UInt64, entry: Int)] = []

  /// `bytes` are the section's, `address` is where it goes in memory before the bias.
  init(_ bytes: [UInt8], address: UInt64) {
    cursor = DwarfCursor(bytes, base: address)
    var position = 0
    var commons: [Int: CommonInformation] = [:]
    while let entry = entry(at: position), index.count < CallFrameTable.entryLimit {
      defer { position = entry.next }
      guard let commonPosition = entry.common else { continue }
      if commons[commonPosition] == nil { commons[commonPosition] = commonInformation(at: commonPosition) }
      guard let common = commons[commonPosition] else { continue }
      var body = entry.body
      if let start = try? body.pointer(encoding: common.pointerEncoding),
        let size = try? body.pointer(encoding: common.pointerEncoding & 0x0f), size != 0
      {
        index.append((start, size, position))
      }
    }
    index.sort { $0.start < $1.start }
  }

  var count: Int { index.count }

  /// The table of a file: `.eh_frame` by its section header, else behind PT_GNU_EH_FRAME.
  init(_ sections: ELFSections, header: ELFHeader) {
    if let section = sections.section(named: ".eh_frame") {
      self.init(sections.bytes(of: section), address: section.address)
      return
    }
    let (bytes, address) = CallFrameTable.throughProgramHeader(header, sections.file)
    self.init(bytes, address: address)
  }

  /// The description of the code at `address`.
  func description(for address: UInt64) -> FrameDescription? {
    let next = index.partitionPoint { $0.start <= address }
    guard next > 0, address &- index[next &- 1].start < index[next &- 1].size else { return nil }
    guard let entry = entry(at: index[next &- 1].entry), let place = entry.common,
      let common = commonInformation(at: place)
    else { return nil }
    var body = entry.body
    do {
      let start = try body.pointer(encoding: common.pointerEncoding)
      let size = try body.pointer(encoding: common.pointerEncoding & 0x0f)
      if common.hasAugmentationData { try body.skip(try body.unsigned()) }
      return FrameDescription(start: start, size: size, common: common, instructions: body)
    } catch { return nil }
  }

  /// The entry at a position: its body, where the next one starts, and for a description the position of its
  /// CIE. Nil at the terminator, at the end, or when the lengths make no sense.
  private func entry(at position: Int) -> (body: DwarfCursor, next: Int, common: Int?)? {
    var reader = cursor
    reader.position = position
    do {
      let length = try reader.initialLength().length
      if length == 0 { return nil }
      var body = try reader.block(length)
      let identifierPlace = body.position
      let identifier = Int(try body.read(UInt32.self))
      return (body, reader.position, identifier == 0 ? nil : identifierPlace &- identifier)
    } catch { return nil }
  }

  private func commonInformation(at position: Int) -> CommonInformation? {
    guard position >= 0, let entry = entry(at: position), entry.common == nil else { return nil }
    var body = entry.body
    var result = CommonInformation()
    do {
      let version = try body.byte()
      guard version == 1 || version == 3 || version == 4 else { return nil }
      let augmentation = try body.cString()
      if version == 4 { try body.skip(2) }
      result.codeAlignment = try body.unsigned()
      result.dataAlignment = try body.signed()
      result.returnAddressColumn = version == 1 ? UInt64(try body.byte()) : try body.unsigned()
      if augmentation.first == UInt8(ascii: "z") {
        result.hasAugmentationData = true
        var data = try body.block(try body.unsigned())
        try CallFrameTable.readAugmentation(augmentation.dropFirst(), &data, &result)
      } else if !augmentation.isEmpty {
        return nil
      }
      result.instructions = body
      return result
    } catch { return nil }
  }

  private static func readAugmentation(
    _ letters: ArraySlice<UInt8>, _ data: inout DwarfCursor, _ result: inout CommonInformation
  ) throws(DwarfError) {
    for letter in letters {
      switch letter {
      case UInt8(ascii: "R"): result.pointerEncoding = try data.byte()
      case UInt8(ascii: "P"): _ = try data.pointer(encoding: try data.byte() & 0x0f)
      case UInt8(ascii: "L"): _ = try data.byte()
      case UInt8(ascii: "S"): result.isSignalFrame = true
      case UInt8(ascii: "B"): break
      default: return  // unknown letters end what can be read; the data's length is known
      }
    }
  }

  /// `.eh_frame_hdr`: version 1, three encodings, then the pointer to `.eh_frame`, which ends somewhere in
  /// its segment.
  private static func throughProgramHeader(_ header: ELFHeader, _ file: ExecutableFile) -> ([UInt8], UInt64) {
    guard let headers = try? ProgramHeaders(of: header, in: file, limit: 1 << 47),
      let found = headers.exceptionHeader
    else { return ([], 0) }
    var reader = DwarfCursor(file.read(at: found.offset, count: 16), base: found.address)
    guard (try? reader.byte()) == 1, let encoding = try? reader.byte(), (try? reader.skip(2)) != nil,
      let target = try? reader.pointer(encoding: encoding)
    else { return ([], 0) }
    for segment in headers.segments where target >= segment.address {
      let inside = target &- segment.address
      if inside >= segment.fileSize { continue }
      let size = min(segment.fileSize &- inside, ELFSections.sizeLimit)
      return (file.read(at: segment.fileOffset &+ inside, count: Int(truncatingIfNeeded: size)), target)
    }
    return ([], 0)
  }
}
