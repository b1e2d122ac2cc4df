// Files under /proc that would show Vitrine instead of the guest: served from memory files made at open time.
import GuestMemory
import LinuxABI

extension LinuxProcess {
  /// A descriptor for a synthetic file when the guest opens one; nil for any other path.
  func openSynthetic(_ pointer: UInt64, flags: UInt64) -> Int64? {
    let closeOnExec: UInt64 = 0x80000
    let content: [UInt8]
    switch selfReference(pointer) {
    case .maps: content = mapsText()
    case .commandLine: content = options.arguments.reduce(into: []) { $0 += $1 + [0] }
    default: return nil
    }
    if flags & 3 != 0 { return -Errno.EACCES }
    let name = Array("vitrine-proc".utf8) + [0]
    let descriptor = name.withUnsafeBytes {
      host.call(319, address(of: $0.baseAddress), flags & closeOnExec != 0 ? 1 : 0)
    }
    if descriptor < 0 { return descriptor }
    var written = 0
    content.withUnsafeBytes { bytes in
      while written < bytes.count {
        let start = UnsafeRawBufferPointer(rebasing: bytes[written...])
        let result = host.callUninterrupted(
          1, UInt64(bitPattern: descriptor), address(of: start.baseAddress), UInt64(start.count))
        if result <= 0 { break }
        written += Int(result)
      }
    }
    _ = host.call(8, UInt64(bitPattern: descriptor), 0, 0)
    return descriptor
  }

  /// The text of /proc/self/maps for the guest's regions (proc(5)).
  func mapsText() -> [UInt8] {
    var text: [UInt8] = []
    for region in memory.regions() {
      var line = hex(region.start, width: 8) + "-" + hex(region.end, width: 8) + " "
      line += region.permissions.contains(.read) ? "r" : "-"
      line += region.permissions.contains(.write) ? "w" : "-"
      line += region.permissions.contains(.execute) ? "x" : "-"
      line += region.flags.contains(.shared) ? "s" : "p"
      line += " " + hex(region.offset, width: 8) + " "
      let file = memory.backing(region.backing)
      let device = file?.device ?? 0
      let major = (device >> 8) & 0xfff | (device >> 32) & ~0xfff
      let minor = device & 0xff | (device >> 12) & ~0xff & 0xffff_ffff
      line += hex(major, width: 2) + ":" + hex(minor, width: 2) + " \(file?.inode ?? 0)"
      var name = file?.path ?? []
      if region.flags.contains(.stack) { name = Array("[stack]".utf8) }
      if region.flags.contains(.heap) { name = Array("[heap]".utf8) }
      text += Array(line.utf8)
      if !name.isEmpty {
        text += [UInt8](repeating: 32, count: max(1, 73 - line.utf8.count)) + name
      }
      text.append(10)
    }
    return text
  }

  private func hex(_ value: UInt64, width: Int) -> String {
    let digits = String(value, radix: 16)
    return digits.utf8.count >= width
      ? digits : String(repeating: "0", count: width - digits.utf8.count) + digits
  }
}
