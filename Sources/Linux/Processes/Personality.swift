// personality(2): what else than Linux on this machine a process believes to run on. What concerns addresses is kept here, where the guest's
// addresses are; the rest (uname(2), time-outs of select(2)) the host's kernel does itself.
import GuestMemory
import LinuxABI

/// Bits of <linux/personality.h>.
enum PersonalityFlags {
  static let noRandomization: UInt64 = 0x0004_0000
  static let readImpliesExecute: UInt64 = 0x0040_0000
  /// MMAP_PAGE_ZERO, ADDR_COMPAT_LAYOUT, ADDR_LIMIT_32BIT, ADDR_LIMIT_3GB, which do nothing here, and those two.
  static let addresses: UInt64 = 0x08f0_0000 | noRandomization
}

extension LinuxProcess {
  static func personality(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let (old, wish, question) = (process.personality, arguments.a & 0xffff_ffff, 0xffff_ffff as UInt64)
    if wish == question { return Int64(old) }
    let result = process.host.call(135, wish & ~PersonalityFlags.addresses)
    if result < 0 { return result }
    process.personality = wish
    return Int64(old)
  }

  var personality: UInt64 {
    get {
      if let known = knownPersonality { return known }
      let told = UInt64(max(host.call(135, 0xffff_ffff), 0))
      knownPersonality = told
      return told
    }
    set {
      knownPersonality = newValue
      memory.readImpliesExecute = newValue & PersonalityFlags.readImpliesExecute != 0
    }
  }

  /// What mmap(2) and mprotect(2) make of PROT_READ.
  func permissions(_ protection: UInt64) -> Permissions {
    var permissions = Permissions(rawValue: UInt8(protection & 7))
    if memory.readImpliesExecute, permissions.contains(.read) { permissions.insert(.execute) }
    return permissions
  }
}
