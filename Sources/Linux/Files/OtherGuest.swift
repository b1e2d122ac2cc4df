// Another process of Vitrine's, seen from this one: a guest's child, parent or neighbour. All guests lie in windows at the same
// host address, so that what the host tells of the other's mappings can be put in guest terms. The X permission is unknown
// there.
import GuestMemory
import LinuxABI

struct OtherGuest {
  let number: Int64
  private let process: LinuxProcess

  init(_ number: Int64, _ process: LinuxProcess) {
    self.number = number
    self.process = process
  }

  /// The path of its program: of the file that is mapped where its auxiliary vector says that it starts (AT_ENTRY).
  var executable: [UInt8]? {
    guard let vector = process.contents(of: "/proc/\(number)/auxv") else { return nil }
    let entryKey: UInt64 = 9
    for offset in stride(from: 0, to: vector.count - 15, by: 16)
    where vector.littleEndian(UInt64.self, at: offset) == entryKey {
      guard let entry = vector.littleEndian(UInt64.self, at: offset + 8) else { return nil }
      let mapping = lines.first { entry >= $0.start && entry < $0.end }
      return mapping.flatMap { line in line.rest.firstIndex(of: 47).map { Array(line.rest[$0...]) } }
    }
    return nil
  }

  /// The host's lines about the guest's window, in guest addresses.
  private var lines: [(start: UInt64, end: UInt64, rest: ArraySlice<UInt8>)] {
    let base = process.memory.hostArgument(1) &- 1
    let limit = process.memory.limit
    var result: [(start: UInt64, end: UInt64, rest: ArraySlice<UInt8>)] = []
    for line in (process.contents(of: "/proc/\(number)/maps") ?? []).split(separator: 10) {
      guard let dash = line.firstIndex(of: 45), let blank = line.firstIndex(of: 32), dash < blank,
        let start = UInt64(String(decoding: line[..<dash], as: UTF8.self), radix: 16),
        let end = UInt64(String(decoding: line[(dash + 1)..<blank], as: UTF8.self), radix: 16),
        start >= base, end &- base <= limit
      else { continue }
      // The reservation; a guest's own inaccessible memory looks the same.
      if line[blank...].starts(with: " ---p 00000000 00:00 0".utf8) { continue }
      result.append((start &- base, end &- base, line[blank...]))
    }
    return result
  }

  func mapsText() -> [UInt8] {
    lines.reduce(into: []) { text, line in
      text += Array(
        (LinuxProcess.hex(line.start, width: 8) + "-" + LinuxProcess.hex(line.end, width: 8)).utf8)
      let place = line.rest.firstIndex(of: 47) ?? line.rest.endIndex
      let path = line.rest[place...]
      text += line.rest[..<place] + (process.root?.shownPath(path) ?? Array(path)) + [10]
    }
  }

  var figures: MemoryFigures {
    var figures = MemoryFigures()
    for line in lines { figures.size &+= line.end &- line.start }
    return figures
  }
}
