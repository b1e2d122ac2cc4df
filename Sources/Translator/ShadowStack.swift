import CHost

/// The host stack of return addresses that translated code pushes and pops. Its lowest entry is code that handles returns
/// without a call, so it can be emptied at any time: returns are only predictions.
final class ShadowStack {
  private static let size = 256 << 10
  // SAFETY: mapped in init, unmapped in deinit; the page at the low end stays inaccessible.
  private let memory: UnsafeMutableRawPointer
  var pointer: UInt64
  private let top: UInt64

  init?(bottom: UInt64) {
    guard let memory = vt_allocate_zeroed(ShadowStack.size) else { return nil }
    self.memory = memory
    // mprotect(PROT_NONE)
    _ = vt_syscall6(10, Int64(Int(bitPattern: memory)), 4096, 0, 0, 0, 0)
    let place = memory + (ShadowStack.size &- 64)
    place.storeBytes(of: bottom, as: UInt64.self)
    top = UInt64(UInt(bitPattern: place))
    pointer = top
  }

  deinit { vt_release(memory, ShadowStack.size) }

  func reset() { pointer = top }

  /// After a fault that may have been the stack's own end: starts again.
  func checkOverflow() {
    if pointer &- UInt64(UInt(bitPattern: memory)) < 4096 &+ 64 { reset() }
  }
}
