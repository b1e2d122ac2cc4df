// Whole programs: every executable segment of an ELF file is swept from one end to the other, block after block, and every
// direct branch's target is a block as well.

import Glibc
import Translator

/// An ELF file's bytes and its executable segments.
struct ProgramFile {
  var segments: [(address: UInt64, bytes: ArraySlice<UInt8>)] = []

  /// Nil unless the file is an ELF file for 64 bits that has code.
  init?(path: String) {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { break }
      bytes += buffer.prefix(count)
    }
    guard bytes.count > 64, bytes.prefix(5) == [0x7f, 0x45, 0x4c, 0x46, 2] else { return nil }
    func number(_ offset: Int, _ size: Int) -> UInt64 {
      guard offset >= 0, offset + size <= bytes.count else { return 0 }
      return (0..<size).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    }
    // ET_DYN: anywhere.
    let bias: UInt64 = number(16, 2) == 3 ? 0x4000_0000 : 0
    let table = Int(truncatingIfNeeded: number(32, 8))
    for index in 0..<Int(number(56, 2)) {
      let header = table + index * Int(number(54, 2))
      guard number(header, 4) == 1, number(header + 4, 4) & 1 != 0 else { continue }
      let start = Int(truncatingIfNeeded: number(header + 8, 8))
      let size = Int(truncatingIfNeeded: number(header + 32, 8))
      guard start >= 0, size > 0, start <= bytes.count, size <= bytes.count - start else { return nil }
      segments.append((number(header + 16, 8) &+ bias, bytes[start..<(start + size)]))
    }
    if segments.isEmpty { return nil }
  }
}

extension Sandbox {
  /// Translates and checks all code of a file. Nil when it cannot be loaded.
  func checkProgram(_ path: String) -> Bool {
    guard let file = ProgramFile(path: path) else { return false }
    engine.flush()
    for segment in file.segments {
      let page = segment.address & ~4095
      let size = (segment.address + UInt64(segment.bytes.count) - page + 4095) & ~4095
      guard (try? space.mapAnonymous(at: page, size: size, permissions: [.read, .write, .execute])) != nil
      else {
        return false
      }
      segment.bytes.withUnsafeBytes { bytes in
        guard let source = bytes.baseAddress else { return }
        // SAFETY: mapped writable just now; no code there has been translated yet.
        (space.base + Int(segment.address)).copyMemory(from: source, byteCount: bytes.count)
      }
    }
    for segment in file.segments {
      sweep(segment.address, segment.address + UInt64(segment.bytes.count), path)
    }
    for segment in file.segments {
      let page = segment.address & ~4095
      let size = (segment.address + UInt64(segment.bytes.count) - page + 4095) & ~4095
      _ = try? space.unmap(page, size: size)
    }
    return true
  }

  private func sweep(_ start: UInt64, _ end: UInt64, _ path: String) {
    var seen: Set<UInt64> = []
    var targets: [UInt64] = []
    var address = start
    while address < end {
      guard let block = visit(address, path, &seen) else {
        address += 1
        continue
      }
      for exit in block.exits where exit.kind == .branch && (start..<end).contains(exit.target) {
        targets.append(exit.target)
      }
      address += UInt64(max(block.guestSize, 1))
    }
    while let target = targets.popLast() {
      guard !seen.contains(target), let block = visit(target, path, &seen) else { continue }
      for exit in block.exits where exit.kind == .branch && (start..<end).contains(exit.target) {
        targets.append(exit.target)
      }
    }
  }

  private func visit(_ address: UInt64, _ path: String, _ seen: inout Set<UInt64>) -> TranslatedBlock? {
    seen.insert(address)
    return check(address, "\(path) 0x\(String(address, radix: 16))")
  }
}
