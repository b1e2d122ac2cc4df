// Where a window goes: the places for user spaces of several sizes, what happens around pages that cannot be replaced, and
// windows in a process (this one) that was not laid out for one. What a laid-out process looks like is checked from outside
// (Tests/CommandLine/layout.py).
import CHost
import Glibc
import Testing

@testable import GuestMemory

@Suite(.serialized) struct IsolatedWindowTests {
  @Test func places() {
    let all = IsolatedWindow.candidates(below: 1 << 47)
    let (largest, smaller): (UInt64, [UInt64]) = (0x7ee0_0000_0000, (0...6).map { 1 << (46 - $0) })
    #expect(all.map(\.limit) == [largest] + smaller)
    #expect(all[0].base == 1 << 40)
    #expect(all[1].base == (1 << 46) - (1 << 37))
    for window in all {
      #expect(window.base &+ window.limit &+ (1 << 37) == 1 << 47)
      #expect(window.lowest == window.base - (1 << 36))
    }
    // Inside Vitrine the user space ends where the window does.
    let inner = IsolatedWindow.candidates(below: largest)
    #expect(inner.first?.base == 1 << 40)
    #expect(inner.first?.limit == 0x7dc0_0000_0000)
    #expect(IsolatedWindow.candidates(below: 1 << 46).first?.limit == 1 << 45)
    // A 39-bit user space has no room for the smallest window.
    #expect(IsolatedWindow.candidates(below: 1 << 39).isEmpty)
  }

  @Test func userSpaceEnds() {
    func end(_ stack: UInt64, of userSpace: UInt64) -> UInt64? {
      IsolatedWindow.userSpaceEnd(above: stack) { $0 < userSpace }
    }
    #expect(end(0x7ffc_1234_5000, of: 1 << 47 - 4096) == 1 << 47)
    #expect(end(0x3fff_ffff_f000, of: 1 << 46) == 1 << 46)
    #expect(end(0x7edf_ffff_f000, of: 0x7ee0_0000_0000) == 0x7ee0_0000_0000)
    // Nobody knows what lies behind.
    #expect(end(0x7edf_ffff_f000, of: 0x7fe0_0000_0000) == nil)
    #expect(end(0x7edf_ffff_f000, of: 0x7ed0_0000_0000) == nil)
  }

  @Test func otherProcessesAreNotIsolated() throws {
    let first = try AddressSpace()
    let second = try AddressSpace()
    #expect(!first.isIsolated && !second.isIsolated)
    #expect(first.limit >= 1 << 40 && second.limit >= 1 << 40)
    for space in [first, second] {
      let base = UInt64(UInt(bitPattern: space.base))
      for address in [base - AddressSpace.guardSize, base, base + space.limit + AddressSpace.guardSize - 1] {
        let mapping = HostMapping.all().first { $0.start <= address && address < $0.end }
        #expect(mapping.map { !$0.isReadable && !$0.isWritable } ?? false)
      }
    }
  }

  /// The window stays reserved when its address space is gone: the kernel must not put anything there.
  @Test func windowStaysReserved() throws {
    let room: UInt64 = 1 << 42
    let start = HostMemory.map(
      0, room, protection: 0, flags: HostMemory.private | HostMemory.anonymous | HostMemory.noReserve)
    try #require(start > 0)
    let end = UInt64(start) + room
    defer { _ = HostMemory.unmap(UInt64(start), room) }
    let window = try #require(IsolatedWindow(below: end, bits: 40))
    do {
      let space = try AddressSpace(window)
      #expect(
        space.isIsolated && UInt64(UInt(bitPattern: space.base)) == window.base && space.limit == 1 << 40)
      try space.mapAnonymous(at: 0x10000, size: 4096, permissions: [.read, .write])
      #expect(space.store(UInt32(7), at: 0x10000) && space.load(UInt32.self, at: 0x10000) == 7)
    }
    let inside = HostMapping.all().filter { $0.end > UInt64(start) && $0.start < end }
    #expect(inside.count == 1 && inside.allSatisfy { !$0.isReadable && $0.start <= start && $0.end >= end })
  }

  @Test func coversWhatIsMapped() throws {
    let page: UInt64 = 4096
    let start = UInt64(
      HostMemory.map(0, 16 * page, protection: 3, flags: HostMemory.private | HostMemory.anonymous))
    defer { _ = HostMemory.unmap(start, 16 * page) }
    _ = HostMemory.unmap(start + 2 * page, page)
    #expect(HostMemory.cover(start, start + 16 * page))
    #expect(readable(from: start, to: start + 16 * page).isEmpty)
    #expect(!HostMemory.mappings().isEmpty)
  }

  /// mseal(2) is Linux 6.10 and newer; without it there is nothing that could be in the way.
  @Test func sealedPagesStay() throws {
    let page: UInt64 = 4096
    // Never unmapped: it cannot be.
    let start = UInt64(
      HostMemory.map(0, 16 * page, protection: 3, flags: HostMemory.private | HostMemory.anonymous))
    _ = HostMemory.protect(start + 4 * page, 2 * page, 1)
    guard vt_syscall6(462, Int64(start + 4 * page), Int64(2 * page), 0, 0, 0, 0) == 0 else { return }
    #expect(HostMemory.cover(start, start + 16 * page))
    #expect(readable(from: start, to: start + 16 * page) == [start + 4 * page..<start + 6 * page])
    #expect(HostMapping.all().contains { $0.start <= start + 6 * page && $0.end >= start + 16 * page })
  }

  private func readable(from start: UInt64, to end: UInt64) -> [Range<UInt64>] {
    HostMapping.all().filter { $0.isReadable && $0.end > start && $0.start < end }
      .map { max($0.start, start)..<min($0.end, end) }
  }

  @Test func kernelBlock() throws {
    var block = vt_kernel_block()
    try #require(vt_kernel_block_find(&block) == 0)
    #expect(Int(block.count) == CommandLine.arguments.count)
    #expect((0..<Int(block.count)).map { String(cString: block.arguments[$0]!) } == CommandLine.arguments)
    // This test runner is dynamically linked: its C library's variables are out of reach.
    #expect(vt_kernel_block_is_movable() == 0)
  }
}
