// Checked access for everything that is not the engine: system calls, the loader, reports. Every copy can fail and says
// so; a bad guest pointer never faults Vitrine. The permissions that count are the guest's, as the host's pages mirror
// them.
import CHost

extension AddressSpace {
  /// Copies `buffer.count` bytes from the guest. False when a byte cannot be read (EFAULT).
  public func copyIn(_ buffer: UnsafeMutableRawBufferPointer, from address: GuestAddress) -> Bool {
    guard let destination = buffer.baseAddress, buffer.count > 0 else { return true }
    let size = UInt64(truncatingIfNeeded: buffer.count)
    guard rangeEnd(address.value, size) != nil else { return false }
    return vt_guard_copy(destination, host(address.value), buffer.count) == 0
  }

  /// Copies `buffer.count` bytes to the guest. False when a byte cannot be written (EFAULT); those before it are.
  public func copyOut(_ buffer: UnsafeRawBufferPointer, to address: GuestAddress) -> Bool {
    guard let source = buffer.baseAddress, buffer.count > 0 else { return true }
    let size = UInt64(truncatingIfNeeded: buffer.count)
    guard rangeEnd(address.value, size) != nil else { return false }
    prepareHostWrite(address.value, size: size)
    var done: UInt64 = 0
    while true {
      let left = vt_guard_copy(host(address.value &+ done), source + Int(done), Int(size &- done))
      if left == 0 { return true }
      done = size &- UInt64(truncatingIfNeeded: left)
      // A stack may still grow down to the place.
      guard growStack(to: address.value &+ done) else { return false }
    }
  }

  /// Copies an array of bytes to the guest.
  public func copyOut(_ bytes: [UInt8], to address: GuestAddress) -> Bool {
    bytes.withUnsafeBytes { copyOut($0, to: address) }
  }

  /// `count` bytes of the guest, or nil when one cannot be read.
  public func bytes(at address: GuestAddress, count: Int) -> [UInt8]? {
    guard count >= 0, count <= 1 << 30 else { return nil }
    var result = [UInt8](repeating: 0, count: count)
    let readable = result.withUnsafeMutableBytes { copyIn($0, from: address) }
    return readable ? result : nil
  }

  /// Reads a value; nil when it cannot be read.
  public func load<T: BitwiseCopyable>(_ pointer: GuestPointer<T>) -> T? {
    withUnsafeTemporaryAllocation(of: T.self, capacity: 1) { place -> T? in
      guard let first = place.baseAddress else { return nil }
      // SAFETY: the buffer is read only after the copy has filled all of it, and T is bitwise copyable.
      return copyIn(UnsafeMutableRawBufferPointer(place), from: pointer.address) ? first.pointee : nil
    }
  }

  /// Reads a value at an address; nil when it cannot be read.
  public func load<T: BitwiseCopyable>(_ type: T.Type, at address: UInt64) -> T? {
    load(GuestPointer<T>(address))
  }

  /// Writes a value; false when it cannot be written.
  public func store<T: BitwiseCopyable>(_ value: T, to pointer: GuestPointer<T>) -> Bool {
    withUnsafeBytes(of: value) { copyOut($0, to: pointer.address) }
  }

  /// Writes a value at an address; false when it cannot be written.
  public func store<T: BitwiseCopyable>(_ value: T, at address: UInt64) -> Bool {
    store(value, to: GuestPointer<T>(address))
  }

  /// The bytes of a zero-terminated string, without the zero. Throws EFAULT, or ENAMETOOLONG when there is no zero in
  /// `limit` bytes.
  public func cString(at address: GuestAddress, limit maximum: Int) throws(MemoryError) -> [UInt8] {
    var result: [UInt8] = []
    var next = address.value
    while result.count < maximum {
      let inPage = Int(Page.size &- (next & Page.mask))
      let chunk = min(inPage, maximum &- result.count, 256)
      let start = result.count
      result.append(contentsOf: repeatElement(0, count: chunk))
      let readable = result.withUnsafeMutableBytes {
        copyIn(UnsafeMutableRawBufferPointer(rebasing: $0[start...]), from: GuestAddress(next))
      }
      if !readable { throw .badAddress }
      if let zero = result[start...].firstIndex(of: 0) {
        result.removeSubrange(zero...)
        return result
      }
      next = next &+ UInt64(truncatingIfNeeded: chunk)
    }
    throw .nameTooLong
  }

  /// What to hand to the host kernel for a guest pointer: 0 for null, an address that it refuses for one outside the
  /// window, else the place in the window. Bytes that run over the window's end land in the guard area.
  public func hostArgument(_ address: UInt64) -> UInt64 {
    if address == 0 { return 0 }
    // The place in the page is kept: the kernel looks at alignment first.
    return address < limit ? hostBase &+ address : 0x8000_0000_0000_0000 | address & Page.mask
  }

  /// The same for a futex's word. The kernel need not look at one that is to be woken; user addresses beyond the window are places
  /// in the guard below it, where nobody waits.
  public func hostFutex(_ address: UInt64) -> UInt64 {
    if address < limit || address > 0x7fff_ffff_f000 { return hostArgument(address) }
    return hostBase &- AddressSpace.guardSize &+ address % AddressSpace.guardSize
  }

  /// SAFETY: callers pass addresses below `limit`; the result stays inside the reservation, where any access that is not
  /// allowed faults and is caught by the guard.
  func host(_ address: UInt64) -> UnsafeMutableRawPointer {
    base + Int(truncatingIfNeeded: address)
  }
}
