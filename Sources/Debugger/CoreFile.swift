// An instant of a recording as an ELF core file (core(5), elf(5)), which debuggers open as if the program had died there: registers of
// all threads, what the kernel notes about a process, all memory. The layout is Linux's for x86-64:
//
//     ELF header, program headers: PT_NOTE, PT_LOAD for each mapping
//     notes    of each thread NT_PRSTATUS, NT_FPREGSET, NT_X86_XSTATE; behind the first one NT_PRPSINFO, NT_AUXV, NT_FILE
//     memory   mapping after mapping, from the next page on; pages of zeros are holes

import CHost
import Engine
import GuestMemory
import Record

/// Writes core files.
public struct CoreFile {
  /// Takes bytes for a place in the file; false when it cannot.
  public typealias Writer = (_ offset: UInt64, _ bytes: [UInt8]) -> Bool

  private let machine: RecordingTarget
  private let memory: AddressSpace
  private let arguments: [[UInt8]]
  private static let page = Page.size
  private static let headerSize = 64
  private static let programHeaderSize = 56
  /// More need another form of header.
  private static let mostSegments = 0xfffe
  private static let pieceSize = 1 << 20

  /// The process where `travel` is.
  public init(_ travel: TimeTravel) {
    machine = RecordingTarget(travel)
    memory = travel.replay.memory
    arguments = travel.replay.arguments
  }

  /// A mapping in the file.
  private struct Segment {
    var region: Region
    var offset: UInt64
    /// Zero for what the program could not have filled.
    var size: UInt64
  }

  /// Writes the file; its size, or nil when the writer fails or there are too many mappings. `signal`: the process dies of it.
  public func write(signal: Int32, _ writer: Writer) -> UInt64? {
    let regions = memory.regions()
    guard regions.count < CoreFile.mostSegments else { return nil }
    let notes = self.notes(regions, signal)
    let notesOffset = UInt64(CoreFile.headerSize + (regions.count + 1) * CoreFile.programHeaderSize)
    var place = notesOffset &+ UInt64(notes.count)
    place = (place &+ CoreFile.page &- 1) & ~(CoreFile.page &- 1)
    let segments = regions.map { region in
      let isReserved = region.permissions.isEmpty && region.backing == 0
      let segment = Segment(region: region, offset: place, size: isReserved ? 0 : region.size)
      place &+= segment.size
      return segment
    }
    var head = CoreFile.fileHeader(segments.count + 1)
    head.programHeader(4, 0, notesOffset, 0, UInt64(notes.count), 0, 4)
    for segment in segments {
      let permissions = segment.region.permissions
      let flags: UInt32 =
        (permissions.contains(.read) ? 4 : 0) | (permissions.contains(.write) ? 2 : 0)
        | (permissions.contains(.execute) ? 1 : 0)
      head.programHeader(
        1, flags, segment.offset, segment.region.start, segment.size, segment.region.size, CoreFile.page)
    }
    guard writer(0, head.bytes + notes) else { return nil }
    for segment in segments where !write(segment, writer) { return nil }
    return place
  }

  private func write(_ segment: Segment, _ writer: Writer) -> Bool {
    var done: UInt64 = 0
    while done < segment.size {
      let count = min(segment.size &- done, UInt64(CoreFile.pieceSize))
      let bytes = memory.peek(segment.region.start &+ done, count: Int(count))
      var start = 0
      while start < bytes.count {
        let end = min(start + Int(Page.size), bytes.count)
        if bytes[start..<end].contains(where: { $0 != 0 }),
          !writer(segment.offset &+ done &+ UInt64(start), Array(bytes[start..<end]))
        {
          return false
        }
        start = end
      }
      // What cannot be read, behind the end of a mapped file, stays zero.
      done &+=
        bytes.count == Int(count)
        ? count : min(count, UInt64(bytes.count) / CoreFile.page * CoreFile.page &+ CoreFile.page)
    }
    return true
  }

  private static func fileHeader(_ headers: Int) -> CoreBytes {
    var head = CoreBytes()
    // ELF, 64-bit, little-endian; ET_CORE; EM_X86_64.
    head.bytes = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
    head.put(4, 2)
    head.put(62, 2)
    head.put(1, 4)
    head.put(0, 8)
    head.put(UInt64(headerSize), 8)
    head.put(0, 8)
    head.put(0, 4)
    head.put(UInt64(headerSize), 2)
    head.put(UInt64(programHeaderSize), 2)
    head.put(UInt64(headers), 2)
    head.put(0, 6)
    return head
  }

  // MARK: Notes

  private func notes(_ regions: [Region], _ signal: Int32) -> [UInt8] {
    var notes = CoreBytes()
    let current = machine.currentThread?.number
    var threads = machine.remoteThreads.compactMap { $0 as? RecordedThread }
    // The one that dies comes first.
    threads = threads.filter { $0.number == current } + threads.filter { $0.number != current }
    for (index, thread) in threads.enumerated() {
      notes.note("CORE", 1, status(of: thread, index == 0 ? signal : 0))
      if index == 0 {
        notes.note("CORE", 3, information)
        notes.note("CORE", 6, machine.auxiliaryBytes())
        notes.note("CORE", 0x4649_4c45, files(regions))
      }
      let (legacy, extended) = CoreFile.extendedState(thread.thread.cpu)
      notes.note("CORE", 2, legacy)
      notes.note("LINUX", 0x202, extended)
    }
    return notes.bytes
  }

  /// `struct elf_prstatus`.
  private func status(of thread: RecordedThread, _ signal: Int32) -> [UInt8] {
    var status = CoreBytes()
    status.put(UInt64(signal), 4)
    status.put(0, 8)
    status.put(UInt64(signal), 4)
    status.put(0, 16)
    status.put(thread.number, 4)
    // Parent, group and session; four times.
    status.put(0, 12)
    status.put(0, 64)
    let file = RegisterFile(components: thread.thread.cpu.pointee.xcr0)
    for name in [
      "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
      "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
    ] {
      let bytes = file.number(of: name).map { thread.access.read(file.registers[$0]) } ?? []
      status.bytes += bytes + [UInt8](repeating: 0, count: 8 - bytes.count)
    }
    status.put(1, 8)
    return status.bytes
  }

  /// `struct elf_prpsinfo`.
  private var information: [UInt8] {
    func text(_ bytes: [UInt8], _ size: Int) -> [UInt8] {
      let part = bytes.prefix(size - 1)
      return part + [UInt8](repeating: 0, count: size - part.count)
    }
    var result = CoreBytes()
    // State, its letter, zombie, nice; flags; user, group.
    result.bytes = [0, UInt8(ascii: "R"), 0, 0, 0, 0, 0, 0]
    result.put(0, 16)
    result.put(machine.processNumber, 4)
    result.put(0, 12)
    result.bytes += text(Array(machine.executablePath.split(separator: 47).last ?? []), 16)
    return result.bytes + text(Array(arguments.joined(separator: [32])), 80)
  }

  /// NT_FILE: which files are mapped where, in pages.
  private func files(_ regions: [Region]) -> [UInt8] {
    let mapped = regions.compactMap { region in
      memory.backing(region.backing).flatMap { $0.path.isEmpty ? nil : (region, $0.path) }
    }
    var result = CoreBytes()
    result.put(UInt64(mapped.count), 8)
    result.put(CoreFile.page, 8)
    for (region, _) in mapped {
      result.put(region.start, 8)
      result.put(region.end, 8)
      result.put(region.offset / CoreFile.page, 8)
    }
    for (_, path) in mapped { result.bytes += path + [0] }
    return result.bytes
  }

  /// FXSAVE's area, and XSAVE's with XCR0 where the kernel puts it.
  private static func extendedState(_ cpu: UnsafeMutablePointer<CPUState>) -> ([UInt8], [UInt8]) {
    let components = cpu.pointee.xcr0
    let size = ExtendedState.size(components, compacted: false)
    return withUnsafeTemporaryAllocation(byteCount: size, alignment: 64) { area -> ([UInt8], [UInt8]) in
      guard let base = area.baseAddress else { return ([], []) }
      area.initializeMemory(as: UInt8.self, repeating: 0)
      ExtendedState.saveLegacy(cpu, to: base, wide: true)
      let legacy = Array(area.prefix(ExtendedState.legacySize))
      ExtendedState.save(cpu, to: base, requested: components, wide: true, compacted: false)
      let softwareReserved = 464
      base.storeBytes(of: components, toByteOffset: softwareReserved, as: UInt64.self)
      return (legacy, Array(area))
    }
  }
}

/// Bytes of a core file, least significant first.
private struct CoreBytes {
  var bytes: [UInt8] = []

  /// `value` in so many bytes.
  mutating func put(_ value: UInt64, _ count: Int) {
    for index in 0..<count {
      bytes.append(index < 8 ? UInt8(truncatingIfNeeded: value &>> UInt64(index * 8)) : 0)
    }
  }

  mutating func programHeader(
    _ type: UInt64, _ flags: UInt32, _ offset: UInt64, _ address: UInt64, _ fileSize: UInt64,
    _ memorySize: UInt64, _ alignment: UInt64
  ) {
    put(type, 4)
    put(UInt64(flags), 4)
    for value in [offset, address, 0, fileSize, memorySize, alignment] { put(value, 8) }
  }

  mutating func note(_ name: String, _ type: UInt64, _ content: [UInt8]) {
    let name = Array(name.utf8) + [0]
    put(UInt64(name.count), 4)
    put(UInt64(content.count), 4)
    put(type, 4)
    for part in [name, content] {
      bytes += part
      while bytes.count % 4 != 0 { bytes.append(0) }
    }
  }
}
