// The structures of capget(2) and capset(2), as strace prints them: sets of 64 bits, the halves of which lie in two elements.
import LinuxABI

extension TraceStructures {
  func capabilityHeader(_ address: UInt64) -> String? {
    guard let version = u32(address), let process = i32(address &+ 4) else { return nil }
    let versions: [UInt32: String] = [
      0x1998_0330: "_LINUX_CAPABILITY_VERSION_1", 0x2007_1026: "_LINUX_CAPABILITY_VERSION_2",
      0x2008_0522: "_LINUX_CAPABILITY_VERSION_3",
    ]
    let number = version == 0 ? "0" : TraceText.hex(UInt64(version))
    let name = versions[version] ?? number + " /* _LINUX_CAPABILITY_VERSION_??? */"
    return "{version=\(name), pid=\(process)}"
  }

  func capabilities(_ address: UInt64) -> String? {
    let words = (0..<6).compactMap { u32(address &+ UInt64($0) &* 4) }
    guard words.count == 6 else { return nil }
    let sets = ["effective", "permitted", "inheritable"].enumerated().map { index, name in
      name + "=" + TraceStructures.capabilitySet(UInt64(words[index]) | UInt64(words[index + 3]) << 32)
    }
    return "{" + sets.joined(separator: ", ") + "}"
  }

  private static func capabilitySet(_ set: UInt64) -> String {
    var rest = set
    var parts: [String] = []
    for bit in Int64(0)..<64 where set >> UInt64(bit) & 1 != 0 {
      guard let name = FlagNames.choice("cap", bit) else { continue }
      parts.append("1<<" + name)
      rest &= ~(1 << UInt64(bit))
    }
    if rest != 0 || parts.isEmpty { parts.append(rest == 0 ? "0" : TraceText.hex(rest)) }
    return parts.joined(separator: "|")
  }
}
