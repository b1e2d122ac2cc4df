// The program headers: what goes where in memory. Reads all of them, checks those that matter for running and
// works out the extent of the image. After this file no arithmetic on a segment can overflow and no segment
// leaves the window.
import GuestMemory

/// One checked PT_LOAD segment. Addresses are relative to the load bias for a position-independent file.
public struct LoadSegment: Equatable, Sendable {
  /// Its number among the program headers.
  public let index: Int
  public let address: UInt64
  public let memorySize: UInt64
  public let fileOffset: UInt64
  public let fileSize: UInt64
  public let permissions: Permissions

  public var end: UInt64 { address &+ memorySize }
}

/// Everything that loading needs from the program headers.
public struct ProgramHeaders: Equatable, Sendable {
  /// PT_LOAD segments with memory, in the order of the file.
  public private(set) var segments: [LoadSegment] = []
  /// Number of the program header, file offset and size of the interpreter's path (PT_INTERP).
  public private(set) var interpreter: (index: Int, offset: UInt64, size: UInt64)?
  /// PT_GNU_STACK asks for an executable stack.
  public private(set) var wantsExecutableStack = false
  /// PT_GNU_EH_FRAME: where `.eh_frame_hdr` is, for reports; unchecked.
  public private(set) var exceptionHeader: (offset: UInt64, address: UInt64)?
  /// Largest alignment that a segment asks for, at least a page; for choosing the bias.
  public private(set) var alignment = Page.size
  /// First and one past the last byte of the image.
  public private(set) var lowest: UInt64 = .max
  public private(set) var highest: UInt64 = 0

  public static func == (left: ProgramHeaders, right: ProgramHeaders) -> Bool {
    left.segments == right.segments
  }

  /// For a program without headers, which is one segment. Its stack is executable: nothing says otherwise.
  init(flat segment: LoadSegment) {
    segments = [segment]
    lowest = segment.address
    highest = segment.end
    wantsExecutableStack = true
  }

  /// Reads and checks the program headers of `file`. `limit` is the size of the guest's window in bytes.
  public init(of header: ELFHeader, in file: ExecutableFile, limit: UInt64) throws(LoadError) {
    let path = file.identity.path
    let size = header.programHeaderCount &* ELFHeader.programHeaderSize
    let table = file.read(at: header.programHeaderOffset, count: size)
    guard table.count == size else {
      throw .truncated(
        path: path, what: "the program headers",
        needed: header.programHeaderOffset &+ UInt64(truncatingIfNeeded: size), size: file.size)
    }
    for index in 0..<header.programHeaderCount {
      let raw = RawProgramHeader(table, index: index)
      switch raw.type {
      case 1: try addSegment(raw, header: header, file: file, limit: limit)
      case 3: try addInterpreter(raw, file: file)
      case 7: try checkThreadStorage(raw, path: path)
      case 0x6474_e550: exceptionHeader = (raw.offset, raw.address)
      case 0x6474_e551: wantsExecutableStack = raw.flags & 1 != 0
      default: break  // PT_NOTE, PT_PHDR, PT_GNU_PROPERTY, PT_GNU_RELRO, … concern the program itself
      }
    }
    if segments.isEmpty {
      throw .field(
        path: path, name: "e_phnum", segment: nil,
        value: UInt64(truncatingIfNeeded: header.programHeaderCount),
        problem: "no PT_LOAD segment with any memory among the program headers")
    }
    try checkOverlaps(path)
    try checkEntry(header, path)
  }

  private mutating func addSegment(
    _ raw: RawProgramHeader, header: ELFHeader, file: ExecutableFile, limit: UInt64
  ) throws(LoadError) {
    let path = file.identity.path
    try raw.require(raw.fileSize <= raw.memorySize, path, "p_filesz", raw.fileSize, "larger than p_memsz")
    if raw.alignment > 1 {
      try raw.require(
        raw.alignment & (raw.alignment &- 1) == 0, path, "p_align", raw.alignment, "not a power of two")
      if raw.alignment > alignment { alignment = raw.alignment }
    }
    try raw.require(alignment <= limit >> 1, path, "p_align", raw.alignment, "larger than the address space")
    if raw.memorySize == 0 { return }
    let (end, overflow) = raw.address.addingReportingOverflow(raw.memorySize)
    try raw.require(!overflow, path, "p_memsz", raw.memorySize, "the segment wraps round 2^64")
    try raw.require(
      end <= limit &- Page.size, path, "p_vaddr", raw.address, "the segment ends outside the guest's memory")
    if !header.isPositionIndependent {
      try raw.require(
        raw.address >= AddressSpace.lowestAddress, path, "p_vaddr", raw.address,
        "below 64 KiB, which stays unmapped (vm.mmap_min_addr)")
    }
    if raw.fileSize != 0 { try checkFilePart(raw, file) }
    let segment = LoadSegment(
      index: raw.index, address: raw.address, memorySize: raw.memorySize, fileOffset: raw.offset,
      fileSize: raw.fileSize, permissions: raw.permissions)
    segments.append(segment)
    lowest = min(lowest, segment.address)
    highest = max(highest, segment.end)
  }

  /// The part that comes from the file: inside the file, and congruent so that pages can be mapped. Bytes
  /// after the end of the file but in its last page read as zero, as with mmap(2).
  private func checkFilePart(_ raw: RawProgramHeader, _ file: ExecutableFile) throws(LoadError) {
    let path = file.identity.path
    try raw.require(
      raw.offset & Page.mask == raw.address & Page.mask, path, "p_offset", raw.offset,
      "differs from p_vaddr modulo the page size")
    let (end, overflow) = raw.offset.addingReportingOverflow(raw.fileSize)
    try raw.require(!overflow, path, "p_offset", raw.offset, "p_offset + p_filesz wraps round 2^64")
    let available = Page.up(file.size) ?? .max
    try raw.require(raw.offset < available, path, "p_offset", raw.offset, "beyond the end of the file")
    try raw.require(
      end <= available, path, "p_filesz", raw.fileSize, "the segment goes on beyond the end of the file")
  }

  private mutating func addInterpreter(_ raw: RawProgramHeader, file: ExecutableFile) throws(LoadError) {
    let path = file.identity.path
    if interpreter != nil { return }
    try raw.require(
      raw.fileSize >= 2, path, "p_filesz", raw.fileSize, "too short for the interpreter's path (PT_INTERP)")
    try raw.require(
      raw.fileSize <= 4096, path, "p_filesz", raw.fileSize, "too long for the interpreter's path (PT_INTERP)")
    let (end, overflow) = raw.offset.addingReportingOverflow(raw.fileSize)
    try raw.require(
      !overflow && end <= file.size, path, "p_offset", raw.offset, "PT_INTERP lies beyond the end of the file"
    )
    interpreter = (raw.index, raw.offset, raw.fileSize)
  }

  /// PT_TLS is for the program's own start-up code, which trusts it.
  private func checkThreadStorage(_ raw: RawProgramHeader, path: [UInt8]) throws(LoadError) {
    try raw.require(
      raw.fileSize <= raw.memorySize, path, "p_filesz", raw.fileSize, "larger than p_memsz (PT_TLS)")
    try raw.require(
      raw.alignment <= 1 || raw.alignment & (raw.alignment &- 1) == 0, path, "p_align", raw.alignment,
      "not a power of two (PT_TLS)")
  }

  private func checkOverlaps(_ path: [UInt8]) throws(LoadError) {
    let sorted = segments.sorted { $0.address < $1.address }
    for (before, after) in zip(sorted, sorted.dropFirst()) where before.end > after.address {
      throw .overlap(path: path, first: before.index, second: after.index, address: after.address)
    }
  }

  private func checkEntry(_ header: ELFHeader, _ path: [UInt8]) throws(LoadError) {
    let entry = header.entry
    for segment in segments where entry >= Page.down(segment.address) && entry < Page.up(segment.end) ?? .max
    {
      if segment.permissions.contains(.execute) { return }
    }
    throw .field(
      path: path, name: "e_entry", segment: nil, value: entry,
      problem: "the entry point is not in an executable segment")
  }
}

/// One program header as it stands in the file.
struct RawProgramHeader {
  let index: Int
  let type: UInt32
  let flags: UInt32
  let offset: UInt64
  let address: UInt64
  let fileSize: UInt64
  let memorySize: UInt64
  let alignment: UInt64

  init(_ table: [UInt8], index: Int) {
    let start = index &* ELFHeader.programHeaderSize
    self.index = index
    type = table.littleEndian(UInt32.self, at: start) ?? 0
    flags = table.littleEndian(UInt32.self, at: start &+ 4) ?? 0
    offset = table.littleEndian(UInt64.self, at: start &+ 8) ?? 0
    address = table.littleEndian(UInt64.self, at: start &+ 16) ?? 0
    fileSize = table.littleEndian(UInt64.self, at: start &+ 32) ?? 0
    memorySize = table.littleEndian(UInt64.self, at: start &+ 40) ?? 0
    alignment = table.littleEndian(UInt64.self, at: start &+ 48) ?? 0
  }

  /// PF_X is bit 0, PF_W bit 1, PF_R bit 2: the reverse of PROT_*.
  var permissions: Permissions {
    var result: Permissions = []
    if flags & 4 != 0 { result.insert(.read) }
    if flags & 2 != 0 { result.insert(.write) }
    if flags & 1 != 0 { result.insert(.execute) }
    return result
  }

  func require(
    _ condition: Bool, _ path: [UInt8], _ name: StaticText, _ value: UInt64, _ problem: StaticText
  ) throws(LoadError) {
    if !condition { throw .field(path: path, name: name, segment: index, value: value, problem: problem) }
  }
}
