// The texts of /proc/PID/maps, stat, status and statm for guests (proc(5)): made from the guest's regions, or from the host's
// text with the figures exchanged that are about address space and signals.
import CHost
import GuestMemory
import LinuxABI

/// What the files say of a guest's memory, in bytes, and where things lie; 0: unknown.
struct MemoryFigures {
  var size: UInt64 = 0
  var resident: UInt64?
  var data: UInt64 = 0
  var stack: UInt64 = 0
  var code: UInt64 = 0
  var libraries: UInt64 = 0
  var image: Range<UInt64> = 0..<0
  var stackPointer: UInt64 = 0
  var breakStart: UInt64 = 0
  var arguments: Range<UInt64> = 0..<0
  var environment: Range<UInt64> = 0..<0
  var signals: (pending: UInt64, blocked: UInt64, ignored: UInt64, caught: UInt64)?
  var seccomp: SeccompState?
}

extension Region {
  /// Its permissions as /proc/self/maps shows them.
  public var letters: String {
    (permissions.contains(.read) ? "r" : "-") + (permissions.contains(.write) ? "w" : "-")
      + (permissions.contains(.execute) ? "x" : "-") + (flags.contains(.shared) ? "s" : "p")
  }

  /// What the kernel calls memory that has no file.
  var kernelName: String? { flags.contains(.stack) ? "[stack]" : flags.contains(.heap) ? "[heap]" : nil }
}

extension AddressSpace {
  /// What a reader calls `region`: stack, heap, or its file's path.
  public func name(of region: Region) -> String {
    region.kernelName ?? backing(region.backing).map { LoadError.name($0.path) } ?? ""
  }
}

extension LinuxProcess {
  static func hex(_ value: UInt64, width: Int) -> String {
    let digits = String(value, radix: 16)
    return digits.utf8.count >= width
      ? digits : String(repeating: "0", count: width - digits.utf8.count) + digits
  }

  // MARK: maps

  /// The text of /proc/self/maps for the guest's regions.
  public func mapsText() -> [UInt8] {
    memory.regions().reduce(into: []) { $0 += mapsLine($1) }
  }

  private func mapsLine(_ region: Region) -> [UInt8] {
    LinuxProcess.mapsLine(region, memory) { root?.shownPath($0) ?? $0 }
  }

  /// A line of /proc/PID/maps; `shown` is what the guest takes a file's path for.
  public static func mapsLine(
    _ region: Region, _ memory: AddressSpace, _ shown: ([UInt8]) -> [UInt8] = { $0 }
  ) -> [UInt8] {
    var line = LinuxProcess.hex(region.start, width: 8) + "-" + LinuxProcess.hex(region.end, width: 8) + " "
    line += region.letters + " " + LinuxProcess.hex(region.offset, width: 8) + " "
    let file = memory.backing(region.backing)
    let device = file?.device ?? 0
    let major = (device >> 8) & 0xfff | (device >> 32) & ~0xfff
    let minor = device & 0xff | (device >> 12) & ~0xff & 0xffff_ffff
    line +=
      LinuxProcess.hex(major, width: 2) + ":" + LinuxProcess.hex(minor, width: 2) + " \(file?.inode ?? 0)"
    var name = shown(file?.path ?? [])
    if let kernelName = region.kernelName { name = Array(kernelName.utf8) }
    var text = Array(line.utf8)
    // The kernel ends the fields in front of a name with a blank, as far as column 73.
    text += [UInt8](repeating: 32, count: name.isEmpty ? 1 : max(1, 73 - text.count)) + name
    return text + [10]
  }

  /// The text of /proc/self/smaps: what is known without asking page by page, which is how much is mapped and resident.
  func residentText() -> [UInt8] {
    var text: [UInt8] = []
    for region in memory.regions() {
      let resident = residentBytes(region) / 1024
      let anonymous = region.backing == 0 ? resident : 0
      text += mapsLine(region)
      for (name, value) in [
        ("Size:", region.size / 1024), ("KernelPageSize:", 4), ("MMUPageSize:", 4), ("Rss:", resident),
        ("Pss:", resident), ("Private_Dirty:", anonymous), ("Anonymous:", anonymous), ("Swap:", 0),
      ] {
        let digits = String(value)
        let blanks = String(repeating: " ", count: max(1, 24 - name.utf8.count - digits.utf8.count))
        text += Array((name + blanks + digits + " kB\n").utf8)
      }
    }
    return text
  }

  private func residentBytes(_ region: Region) -> UInt64 {
    // Reservations may be huge.
    if region.permissions.isEmpty { return 0 }
    var pages = [UInt8](repeating: 0, count: 65536)
    var start = region.start
    var count: UInt64 = 0
    while start < region.end {
      let size = min(region.end - start, UInt64(pages.count) * Page.size)
      let result = pages.withUnsafeMutableBytes {
        host.call(27, memory.hostArgument(start), size, address(of: $0.baseAddress))
      }
      if result == 0 { for page in pages.prefix(Int(size / Page.size)) where page & 1 != 0 { count += 1 } }
      start += size
    }
    return count * Page.size
  }

  // MARK: Figures

  func ownFigures() -> MemoryFigures {
    var figures = MemoryFigures()
    var resident: UInt64 = 0
    for region in memory.regions() {
      figures.size &+= region.size
      resident &+= residentBytes(region)
      let isCode = region.permissions.contains(.execute) && !region.permissions.contains(.write)
      if region.flags.contains(.stack) {
        figures.stack &+= region.size
      } else if isCode {
        let isProgram = program?.image.contains(region.start) ?? false
        if isProgram { figures.code &+= region.size } else { figures.libraries &+= region.size }
      } else if region.permissions.contains(.write), !region.flags.contains(.shared) {
        figures.data &+= region.size
      }
    }
    if let program {
      figures.image = program.image
      figures.stackPointer = program.stackPointer
      figures.arguments = program.argumentStrings
      figures.environment = program.environmentStrings
    }
    figures.resident = resident
    figures.breakStart = memory.breakStart
    var ignored: UInt64 = 0
    var caught: UInt64 = 0
    for signal in 1...64 {
      let handler = action(Int32(signal)).handler
      if handler == KernelSignalAction.ignoreHandler { ignored |= 1 << UInt64(signal - 1) }
      if handler > KernelSignalAction.ignoreHandler { caught |= 1 << UInt64(signal - 1) }
    }
    figures.signals = (vt_signal_waiting() & thread.mask, thread.mask, ignored, caught)
    return figures
  }

  /// /proc/PID/stat. Fields are counted as in proc(5), from 1; the second, a name in parentheses, may hold blanks.
  func statusLine(_ text: [UInt8], _ figures: MemoryFigures) -> [UInt8] {
    guard let name = text.lastIndex(of: 41) else { return text }
    var fields = text[(name + 1)...].split(separator: 32).map { String(decoding: $0, as: UTF8.self) }
    func set(_ number: Int, _ value: UInt64) {
      if number - 3 < fields.count { fields[number - 3] = String(value) }
    }
    set(23, figures.size)
    if let resident = figures.resident { set(24, resident / Page.size) }
    if figures.image.upperBound != 0 {
      set(26, figures.image.lowerBound)
      set(27, figures.image.upperBound)
      set(28, figures.stackPointer)
      set(45, figures.image.lowerBound)
      set(46, figures.image.upperBound)
      set(47, figures.breakStart)
      set(48, figures.arguments.lowerBound)
      set(49, figures.arguments.upperBound)
      set(50, figures.environment.lowerBound)
      set(51, figures.environment.upperBound)
    } else {
      for number in [26, 27, 28, 45, 46, 47, 48, 49, 50, 51] { set(number, 0) }
    }
    if let signals = figures.signals {
      // Only the first 31 bits, as in the kernel.
      set(31, signals.pending & 0x7fff_ffff)
      set(32, signals.blocked & 0x7fff_ffff)
      set(33, signals.ignored & 0x7fff_ffff)
      set(34, signals.caught & 0x7fff_ffff)
    }
    let line = " " + fields.joined(separator: " ")
    return Array(text[...name]) + Array(line.utf8) + (line.hasSuffix("\n") ? [] : [10])
  }

  /// /proc/PID/status, line by line.
  func statusText(_ text: [UInt8], _ figures: MemoryFigures) -> [UInt8] {
    var values: [String: String] = [:]
    func size(_ bytes: UInt64) -> String {
      let digits = String(bytes / 1024)
      return String(repeating: " ", count: max(0, 8 - digits.utf8.count)) + digits + " kB"
    }
    values["VmPeak"] = size(figures.size)
    values["VmSize"] = size(figures.size)
    if let resident = figures.resident {
      values["VmRSS"] = size(resident)
      values["VmHWM"] = size(resident)
    }
    if let signals = figures.signals {
      values["VmData"] = size(figures.data)
      values["VmStk"] = size(figures.stack)
      values["VmExe"] = size(figures.code)
      values["VmLib"] = size(figures.libraries)
      values["SigPnd"] = LinuxProcess.hex(signals.pending, width: 16)
      values["SigBlk"] = LinuxProcess.hex(signals.blocked, width: 16)
      values["SigIgn"] = LinuxProcess.hex(signals.ignored, width: 16)
      values["SigCgt"] = LinuxProcess.hex(signals.caught, width: 16)
    }
    if let seccomp = figures.seccomp, seccomp.mode != .disabled {
      values["Seccomp"] = String(seccomp.mode.rawValue)
    }
    var result: [UInt8] = []
    for line in text.split(separator: 10) {
      // To those that Vitrine itself was started with come the guest's.
      if let filters = figures.seccomp?.filters, line.starts(with: "Seccomp_filters:".utf8) {
        let digits = line.drop { !(48...57).contains($0) }
        let inherited = Int(String(decoding: digits, as: UTF8.self)) ?? 0
        values["Seccomp_filters"] = String(inherited &+ filters.count)
      }
      if let colon = line.firstIndex(of: 58),
        let value = values[String(decoding: line[..<colon], as: UTF8.self)]
      {
        result += line[...colon] + [9] + Array(value.utf8) + [10]
      } else {
        result += line + [10]
      }
    }
    return result
  }

  /// /proc/PID/statm, in pages: size, resident, shared, text, lib, data, dirty.
  func sizeText(_ text: [UInt8], _ figures: MemoryFigures) -> [UInt8] {
    var fields = text.split(whereSeparator: { $0 == 32 || $0 == 10 }).map {
      String(decoding: $0, as: UTF8.self)
    }
    guard fields.count == 7 else { return text }
    fields[0] = String(figures.size / Page.size)
    if let resident = figures.resident {
      fields[1] = String(resident / Page.size)
      fields[2] = String(min(UInt64(fields[2]) ?? 0, resident / Page.size))
    }
    fields[3] = String(figures.code / Page.size)
    fields[5] = String((figures.data &+ figures.stack) / Page.size)
    return Array((fields.joined(separator: " ") + "\n").utf8)
  }

  // MARK: cpuinfo

  /// /proc/cpuinfo with the guest's processor in place of the host's.
  func processorText(_ descriptor: UInt64) -> [UInt8]? {
    guard let lines = options.describeProcessor?() else { return nil }
    var values: [String: String] = [:]
    for line in lines { values[line.name] = line.value }
    var result: [UInt8] = []
    for line in contents(descriptor).split(separator: 10, omittingEmptySubsequences: false) {
      guard let colon = line.firstIndex(of: 58) else {
        result += line + [10]
        continue
      }
      var name = String(decoding: line[..<colon], as: UTF8.self)
      while name.hasSuffix("\t") || name.hasSuffix(" ") { name.removeLast() }
      // Lines about the host's processor alone.
      if name == "vmx flags" || name == "microcode" || name == "TLB size" || name == "power management" {
        continue
      }
      guard let value = values[name] else {
        result += line + [10]
        continue
      }
      result += line[...colon] + Array((value.isEmpty ? "" : " " + value).utf8) + [10]
    }
    if result.last == 10, result.dropLast().last == 10 { result.removeLast() }
    return result
  }
}
