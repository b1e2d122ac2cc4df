// The ELF header of a 64-bit little-endian x86-64 file, read and checked field by field (System V gABI,
// chapter 4; the x86-64 psABI; elf(5)). A value of this type is one that the loader can rely on. Which checks
// are stricter than the Linux kernel's, and why, is listed in Docs/loader.md.

/// The checked ELF header.
public struct ELFHeader: Equatable, Sendable {
  /// Bytes of the header in the file.
  public static let size = 64
  /// Bytes of one program header.
  static let programHeaderSize = 56
  /// Linux reads at most 64 KiB of program headers; larger numbers, also PN_XNUM (0xffff), are refused.
  static let maximumProgramHeaders = 65536 / programHeaderSize

  /// ET_DYN: can be loaded anywhere; otherwise ET_EXEC.
  public let isPositionIndependent: Bool
  /// Entry point; relative to the load bias for a position-independent file.
  public let entry: UInt64
  /// File offset of the program headers.
  public let programHeaderOffset: UInt64
  /// Number of program headers.
  public let programHeaderCount: Int
  /// File offset of the section headers and their number; not needed for running, not checked here.
  public let sectionHeaderOffset: UInt64
  public let sectionHeaderCount: Int
  /// Number of the section that holds the sections' names; unchecked.
  public let sectionNamesIndex: Int

  /// True for a file that starts with the ELF magic number.
  public static func hasMagic(_ bytes: [UInt8]) -> Bool {
    bytes.count >= 4 && bytes[0] == 0x7f && bytes[1] == 0x45 && bytes[2] == 0x4c && bytes[3] == 0x46
  }

  /// The checked header of a file: at its start, or embedded in a portable executable.
  public init(of file: ExecutableFile) throws(LoadError) {
    try self.init(of: file, head: file.read(at: 0, count: ELFHeader.size))
  }

  /// `head`: what the file begins with.
  init(of file: ExecutableFile, head: [UInt8]) throws(LoadError) {
    let path = file.identity.path
    if PortableExecutable.hasMagic(head) {
      self = try PortableExecutable.header(
        in: file.read(at: 0, count: PortableExecutable.window), path: path, fileSize: file.size)
    } else {
      self = try ELFHeader(head, path: path, fileSize: file.size)
    }
  }

  /// For a program without a header, which starts at `entry`.
  init(flatEntry entry: UInt64) {
    self.entry = entry
    isPositionIndependent = false
    programHeaderOffset = 0
    programHeaderCount = 0
    sectionHeaderOffset = 0
    sectionHeaderCount = 0
    sectionNamesIndex = 0
  }

  /// Checks the first bytes of a file of `fileSize` bytes. `isPortable`: these bytes come from a portable executable, which
  /// names the one system whose kernel looks (EI_OSABI 9, FreeBSD), whatever it runs on.
  init(_ bytes: [UInt8], path: [UInt8], fileSize: UInt64, isPortable: Bool = false) throws(LoadError) {
    guard ELFHeader.hasMagic(bytes) else { throw .unknownFormat(path: path) }
    guard bytes.count >= ELFHeader.size else {
      throw .truncated(path: path, what: "the ELF header", needed: UInt64(ELFHeader.size), size: fileSize)
    }
    let fields = Fields(bytes: bytes, path: path)
    try fields.checkIdentification(isPortable)
    try fields.checkMachine()
    let type = fields.half(16)
    isPositionIndependent = type == 3
    try fields.require(type == 2 || type == 3, "e_type", type, fields.typeProblem(type))
    try fields.require(fields.word(20) == 1, "e_version", fields.word(20), "must be 1 (EV_CURRENT)")
    entry = fields.long(24)
    programHeaderOffset = fields.long(32)
    sectionHeaderOffset = fields.long(40)
    try fields.require(fields.half(52) == 64, "e_ehsize", fields.half(52), "must be 64")
    try fields.require(fields.half(54) == 56, "e_phentsize", fields.half(54), "must be 56")
    let count = fields.half(56)
    try fields.require(count != 0, "e_phnum", count, "no program headers: nothing to load")
    try fields.require(count != 0xffff, "e_phnum", count, "PN_XNUM: more program headers than Linux loads")
    try fields.require(
      count <= UInt64(ELFHeader.maximumProgramHeaders), "e_phnum", count,
      "more than the 1170 that Linux loads")
    programHeaderCount = Int(truncatingIfNeeded: count)
    sectionHeaderCount = Int(truncatingIfNeeded: fields.half(60))
    sectionNamesIndex = Int(truncatingIfNeeded: fields.half(62))
    let tableSize = count &* UInt64(ELFHeader.programHeaderSize)
    let (tableEnd, overflow) = programHeaderOffset.addingReportingOverflow(tableSize)
    try fields.require(!overflow, "e_phoff", programHeaderOffset, "the program headers wrap round 2^64")
    try fields.require(
      programHeaderOffset < fileSize, "e_phoff", programHeaderOffset, "beyond the end of the file")
    if tableEnd > fileSize {
      throw .truncated(
        path: path, what: "the program headers (e_phoff, e_phnum)", needed: tableEnd, size: fileSize)
    }
  }

  /// The raw fields, and checks that name them.
  private struct Fields {
    let bytes: [UInt8]
    let path: [UInt8]

    func byte(_ offset: Int) -> UInt64 { UInt64(bytes.littleEndian(UInt8.self, at: offset) ?? 0) }
    func half(_ offset: Int) -> UInt64 { UInt64(bytes.littleEndian(UInt16.self, at: offset) ?? 0) }
    func word(_ offset: Int) -> UInt64 { UInt64(bytes.littleEndian(UInt32.self, at: offset) ?? 0) }
    func long(_ offset: Int) -> UInt64 { bytes.littleEndian(UInt64.self, at: offset) ?? 0 }

    func require(_ condition: Bool, _ name: StaticText, _ value: UInt64, _ problem: StaticText)
      throws(LoadError)
    {
      if !condition { throw .field(path: path, name: name, segment: nil, value: value, problem: problem) }
    }

    func checkIdentification(_ isPortable: Bool) throws(LoadError) {
      let fileClass = byte(4)
      let machine = half(18)
      if fileClass == 1, machine == 62 {
        throw .foreign(path: path, what: "an x32 program (EI_CLASS = 32 bit)")
      }
      if fileClass == 1 { throw .foreign(path: path, what: ELFHeader.machineName(machine, is32Bit: true)) }
      try require(fileClass == 2, "EI_CLASS", fileClass, "must be 2 (64 bit)")
      if byte(5) == 2 { throw .foreign(path: path, what: "a big-endian program (EI_DATA = 2)") }
      try require(byte(5) == 1, "EI_DATA", byte(5), "must be 1 (little-endian)")
      try require(byte(6) == 1, "EI_VERSION", byte(6), "must be 1 (EV_CURRENT)")
      switch byte(7) {
      case 0, 3, 255: break  // System V, GNU/Linux, stand-alone
      // What a portable executable has become that has unpacked itself is marked so, too.
      case 9 where isPortable || half(16) == 2: break
      case 2: throw .foreign(path: path, what: "a NetBSD program (EI_OSABI = 2)")
      case 6: throw .foreign(path: path, what: "a Solaris program (EI_OSABI = 6)")
      case 9: throw .foreign(path: path, what: "a FreeBSD program (EI_OSABI = 9)")
      case 12: throw .foreign(path: path, what: "an OpenBSD program (EI_OSABI = 12)")
      default: try require(false, "EI_OSABI", byte(7), "must be 0 (System V) or 3 (GNU/Linux)")
      }
    }

    func checkMachine() throws(LoadError) {
      let machine = half(18)
      if machine == 62 { return }
      if ELFHeader.isKnown(machine) {
        throw .foreign(path: path, what: ELFHeader.machineName(machine, is32Bit: false))
      }
      try require(false, "e_machine", machine, "must be 62 (x86-64)")
    }

    func typeProblem(_ type: UInt64) -> StaticText {
      switch type {
      case 1: return "an object file, not linked (ET_REL)"
      case 4: return "a core dump (ET_CORE)"
      default: return "must be 2 (ET_EXEC) or 3 (ET_DYN)"
      }
    }
  }

  private static func isKnown(_ machine: UInt64) -> Bool {
    switch machine {
    case 3, 8, 20, 21, 22, 40, 43, 183, 243, 247, 258: return true
    default: return false
    }
  }

  private static func machineName(_ machine: UInt64, is32Bit: Bool) -> StaticText {
    switch machine {
    case 3, 6: return "a 32-bit x86 program (e_machine = 3)"
    case 8: return "a MIPS program (e_machine = 8)"
    case 20: return "a PowerPC program (e_machine = 20)"
    case 21: return "a 64-bit PowerPC program (e_machine = 21)"
    case 22: return "an S/390 program (e_machine = 22)"
    case 40: return "a 32-bit Arm program (e_machine = 40)"
    case 43: return "a SPARC program (e_machine = 43)"
    case 183: return "an Arm64 program (e_machine = 183)"
    case 243: return "a RISC-V program (e_machine = 243)"
    case 247: return "a BPF program (e_machine = 247)"
    case 258: return "a LoongArch program (e_machine = 258)"
    default: return is32Bit ? "a 32-bit program (EI_CLASS = 1)" : "a program for another machine"
    }
  }
}
