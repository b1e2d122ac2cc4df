// System calls that translated code makes by itself (CHost/include/direct.h). Who they are for is the personality's to know; what
// they do to memory is known here: as long as no page is protected because of its code, the host may be handed any address.
import CHost

extension AddressSpace {
  /// How translated code makes a call.
  public struct DirectCall: Hashable, Sendable {
    fileprivate let kind: UInt8

    public static let numbers = DirectCall(kind: UInt8(VT_DIRECT_NUMBERS))
    public static let descriptor = DirectCall(kind: UInt8(VT_DIRECT_DESCRIPTOR))
    public static let pointer = DirectCall(kind: UInt8(VT_DIRECT_POINTER))
    public static let message = DirectCall(kind: UInt8(VT_DIRECT_MESSAGE))
    public static let futex = DirectCall(kind: UInt8(VT_DIRECT_FUTEX))
    public static let waiting = DirectCall(kind: UInt8(VT_DIRECT_WAITING))
    public static let filling = DirectCall(kind: UInt8(VT_DIRECT_FILLING))
    public static let writing = DirectCall(kind: UInt8(VT_DIRECT_WRITING))

    /// The call fills a structure of `size` bytes; nil: not one that can be told.
    public static func structure(_ size: UInt64) -> DirectCall? {
      guard size > 0, size % 8 == 0, size / 8 < VT_DIRECT_STRUCTURE else { return nil }
      return DirectCall(kind: UInt8(VT_DIRECT_STRUCTURE) | UInt8(size / 8))
    }
  }

  /// From now on translated code makes this call by itself. Numbers above 255 cannot be allowed.
  public func allowDirectCall(_ number: Int, _ kind: DirectCall) {
    guard let number = UInt8(exactly: number) else { return }
    vt_direct_allow(directCalls, number, kind.kind)
  }

  /// Translated code makes no more calls by itself. Who is in one, in another thread, goes on.
  public func forbidDirectCalls() { vt_direct_forbid(directCalls) }

  /// From now on translated code logs the calls that it makes; the log is the caller's, and has to stay.
  public func logDirectCalls(_ log: UnsafeMutablePointer<vt_call_log>) { directCalls.pointee.log = log }

  /// Descriptors from `number` on are no longer for translated code to name. Nobody is in a call with one when this returns.
  public func hideDescriptors(from number: UInt64) {
    if number >= directCalls.pointee.hidden { return }
    directCalls.pointee.hidden = number
    evictAll()
  }

  /// Pages are about to be protected, or files' contents to be looked after: from now on the host is handed addresses only after
  /// `prepareHostWrite`. Nobody is in a call with another one when this returns.
  func beginCare() {
    if directCalls.pointee.needs_care != 0 { return }
    directCalls.pointee.needs_care = 1
    evictAll()
  }
}
