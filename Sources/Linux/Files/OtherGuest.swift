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

  /// The path of its program, from its auxiliary vector (AT_EXECFN); relative names are taken from its working directory.
  var executable: [UInt8]? {
    guard let vector = process.contents(of: "/proc/\(number)/auxv") else { return nil }
    for offset in stride(from: 0, to: vector.count - 15, by: 16) {
      let programName: UInt64 = 31
      guard vector.littleEndian(UInt64.self, at: offset) == programName,
        let address = vector.littleEndian(UInt64.self, at: offset + 8),
        let name = string(at: address)
      else { continue }
      if name.first == 47 { return name }
      return process.linkTarget("/proc/\(number)/cwd").map { $0 + [47] + name }
    }
    return nil
  }

  /// A string in its memory.
  private func string(at address: UInt64) -> [UInt8]? {
    var text = [UInt8](repeating: 0, count: 4096)
    let place = process.memory.hostArgument(address)
    let got = text.withUnsafeMutableBytes { buffer -> Int64 in
      withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 4) { vectors -> Int64 in
        vectors[0] = process.address(of: buffer.baseAddress)
        vectors[1] = min(4096, process.memory.limit &- address)
        vectors[2] = place
        vectors[3] = vectors[1]
        let local = process.address(of: vectors.baseAddress)
        return process.host.call(310, UInt64(number), local, 1, local + 16, 1)
      }
    }
    guard got > 0, let end = text.prefix(Int(got)).firstIndex(of: 0), end > 0 else { return nil }
    return Array(text[..<end])
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
      text += line.rest + [10]
    }
  }

  var figures: MemoryFigures {
    var figures = MemoryFigures()
    for line in lines { figures.size &+= line.end &- line.start }
    return figures
  }
}
