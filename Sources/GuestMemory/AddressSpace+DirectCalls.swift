// System calls that translated code makes by itself (CHost/include/direct.h). Who they are for is the personality's to know; what
// they do to memory is known here: as long as no page is protected because of its code, the host may be handed any address.
import CHost

extension AddressSpace {
  /// How translated code makes a call.
  public enum DirectCall: UInt8 {
    case numbers = 1
    case descriptor, pointer, message, waiting
  }

  /// From now on translated code makes this call by itself. Numbers above 255 cannot be allowed.
  public func allowDirectCall(_ number: Int, _ kind: DirectCall) {
    guard let number = UInt8(exactly: number) else { return }
    directCalls.pointee.window_bits = UInt64(limit.trailingZeroBitCount)
    vt_direct_allow(directCalls, number, kind.rawValue)
    hasDirectCalls = true
  }

  /// Descriptors from `number` on are no longer for translated code to name. Nobody is in a call with one when this returns.
  public func hideDescriptors(from number: UInt64) {
    if number >= directCalls.pointee.hidden { return }
    directCalls.pointee.hidden = number
    if hasDirectCalls { evictAll() }
  }

  /// Pages are about to be protected, or files' contents to be looked after: from now on the host is handed addresses only after
  /// `prepareHostWrite`. Nobody is in a call with another one when this returns.
  func beginCare() {
    if directCalls.pointee.needs_care != 0 { return }
    directCalls.pointee.needs_care = 1
    if hasDirectCalls { evictAll() }
  }
}
