// A debugger's way to guest memory: past the guest's permissions, because a breakpoint in code or a look at a guard page is not
// the guest's access. What is not mapped stays out of reach.
import CHost

extension AddressSpace {
  /// As many bytes from `address` on as are mapped and the host can read, at most `count`.
  public func peek(_ address: UInt64, count: Int) -> [UInt8] {
    guard count > 0, address < limit else { return [] }
    let end = min(address &+ UInt64(truncatingIfNeeded: min(count, 1 << 30)), limit)
    var result: [UInt8] = []
    var place = address
    while place < end, let region = query(place) {
      let part = min(end, region.end)
      let size = Int(truncatingIfNeeded: part &- place)
      let start = result.count
      result.append(contentsOf: repeatElement(0, count: size))
      let read = result.withUnsafeMutableBytes {
        peek(place, of: region, into: UnsafeMutableRawBufferPointer(rebasing: $0[start...]))
      }
      if read < size {
        result.removeLast(size - read)
        break
      }
      place = part
    }
    return result
  }

  /// Copies bytes of `region`, which is mapped, from `address` on, as many as `target` holds. How many the host could read.
  public func peek(
    _ address: UInt64, of region: Region, into target: UnsafeMutableRawBufferPointer
  ) -> Int {
    guard region.contains(address), region.end <= limit else { return 0 }
    let size = min(target.count, Int(truncatingIfNeeded: region.end &- address))
    let isHidden = region.permissions.isEmpty
    if isHidden { protect(region, HostMemory.protectionRead) }
    let left = vt_guard_copy(target.baseAddress, host(address), size)
    if isHidden { protect(region, HostMemory.protectionNone) }
    return size &- left
  }

  /// Writes as much of `bytes` as lies in mapped memory; true when that was all. Decoded code there is forgotten.
  public func poke(_ bytes: [UInt8], at address: UInt64) -> Bool {
    var done = 0
    while done < bytes.count {
      let place = address &+ UInt64(truncatingIfNeeded: done)
      guard place >= address, let region = query(place) else { return false }
      let size = min(bytes.count - done, Int(truncatingIfNeeded: region.end &- place))
      prepareHostWrite(place, size: UInt64(truncatingIfNeeded: size))
      let isClosed = !region.permissions.contains(.write)
      if isClosed { protect(region, HostMemory.protectionRead | HostMemory.protectionWrite) }
      let left = bytes.withUnsafeBytes { vt_guard_copy(host(place), $0.baseAddress.map { $0 + done }, size) }
      if isClosed { protect(region, AddressSpace.hostProtection(region.permissions)) }
      if left > 0 { return false }
      done += size
    }
    return true
  }

  private func protect(_ region: Region, _ protection: Int64) {
    _ = HostMemory.protect(hostBase &+ region.start, region.size, protection)
  }
}
