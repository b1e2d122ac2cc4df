// vfork's promise: the child works in its parent's memory, and the parent waits until it executes or ends. Here the child has a
// copy, so it sends the pages that it has written through a pipe before it lets go of them; the parent waits for the pipe's end
// and puts the pages in place. posix_spawn(3) relies on it: the child leaves the errno of a failed execve(2) in its parent's
// memory.
//
// Which pages the child has written tells /proc/self/pagemap: right after a fork both processes map every private page, and a
// page that only one maps is one that was copied because somebody wrote to it. Pages that a grandchild shares are missed.
import CHost
import GuestMemory
import LinuxABI

/// The pipe between a parent that waits and a child that has borrowed its memory.
struct MemoryLoan {
  var reading: Int32
  var writing: Int32
  /// The child gives its writes back (CLONE_VM); otherwise the pipe only says when it has executed or ended.
  var givesBack = true
  /// With several threads: the stack pointer and thread pointer of the one that waits. Only its own memory is given back, since
  /// pages that others use would lose what they write meanwhile.
  var owner: (stack: UInt64, thread: UInt64)?
}

extension LinuxProcess {
  /// Bits of an entry of /proc/PID/pagemap (pagemap.rst of the kernel's documentation).
  private enum PageMapBits {
    static let present: UInt64 = 1 << 63
    static let fileOrShared: UInt64 = 1 << 61
    static let exclusive: UInt64 = 1 << 56
  }

  /// Makes the pipe, out of the guest's sight; nil when the host has no descriptors left.
  func lendMemory() -> MemoryLoan? {
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2) { ends -> MemoryLoan? in
      let closeOnExec: UInt64 = 0x80000
      guard host.call(293, address(of: ends.baseAddress), closeOnExec) == 0 else { return nil }
      var loan = MemoryLoan(
        reading: hide(ends[0], movesStandard: true), writing: hide(ends[1], movesStandard: true))
      if allThreads.count > 1, let cpu { loan.owner = (GuestRegisters(cpu)[.rsp], cpu.pointee.fs_base) }
      return loan
    }
  }

  /// In the child: remembers the way back, and forgets that of its parent if that is a borrower itself.
  func borrow(_ loan: MemoryLoan?, givesBack: Bool) {
    if let old = borrowed { closeHidden(old.writing) }
    borrowed = loan
    borrowed?.givesBack = givesBack
    if let loan { closeHidden(loan.reading) }
  }

  /// In the child, before it executes or ends: sends what it has written, and lets the parent go on.
  func giveBack() {
    guard let loan = borrowed else { return }
    borrowed = nil
    if loan.givesBack { sendWrittenPages(to: loan.writing, loan.owner) }
    closeHidden(loan.writing)
  }

  /// In the parent: waits for the child's execve or end, and puts what it wrote in place. `child` is clone's result.
  func takeBack(_ loan: MemoryLoan, child: Int64) {
    closeHidden(loan.writing)
    defer { closeHidden(loan.reading) }
    if child < 0 { return }
    var record = [UInt8](repeating: 0, count: 8 + Int(Page.size))
    while threads.wait({ receive(&record, from: loan.reading) }) {
      guard let place = record.littleEndian(UInt64.self, at: 0) else { return }
      _ = memory.copyOut(Array(record.dropFirst(8)), to: GuestAddress(place))
    }
  }

  /// Fills `record` from the pipe; false at its end.
  private func receive(_ record: inout [UInt8], from pipe: Int32) -> Bool {
    var filled = 0
    while filled < record.count {
      let got = record.withUnsafeMutableBytes {
        host.callUninterrupted(
          0, UInt64(UInt32(bitPattern: pipe)), address(of: $0.baseAddress) + UInt64(filled),
          UInt64($0.count - filled))
      }
      if got <= 0 { return false }
      filled += Int(got)
    }
    return true
  }

  private func sendWrittenPages(to pipe: Int32, _ owner: (stack: UInt64, thread: UInt64)?) {
    let map = host.openForReading("/proc/self/pagemap")
    if map < 0 { return }
    defer { _ = host.call(3, UInt64(bitPattern: map)) }
    for region in memory.regions()
    where region.permissions.contains(.write) && !region.flags.contains(.shared) {
      var part = region
      if let owner, owner.stack < region.start || owner.stack >= region.end {
        // errno and its like lie in the pages around the thread pointer.
        let page = Page.down(owner.thread)
        let (first, last) = (max(page, Page.size) &- Page.size, page &+ Page.size)
        if last <= region.start || first >= region.end { continue }
        (part.start, part.end) = (max(first, part.start), min(last, part.end))
      }
      sendWrittenPages(of: part, UInt64(bitPattern: map), to: pipe)
    }
  }

  private func sendWrittenPages(of region: Region, _ map: UInt64, to pipe: Int32) {
    var entries = [UInt64](repeating: 0, count: 4096)
    var start = region.start
    while start < region.end {
      let count = min(UInt64(entries.count), (region.end - start) / Page.size)
      let offset = (memory.hostArgument(start) / Page.size) &* 8
      let got = entries.withUnsafeMutableBytes {
        host.callUninterrupted(17, map, address(of: $0.baseAddress), count * 8, offset)
      }
      if got <= 0 { return }
      for (index, entry) in entries.prefix(Int(got) / 8).enumerated()
      where entry & PageMapBits.present != 0 && entry & PageMapBits.exclusive != 0
        && entry & PageMapBits.fileOrShared == 0
      {
        if !sendPage(at: start + UInt64(index) * Page.size, to: pipe) { return }
      }
      start += count * Page.size
    }
  }

  private func sendPage(at page: UInt64, to pipe: Int32) -> Bool {
    guard let content = memory.bytes(at: GuestAddress(page), count: Int(Page.size)) else { return true }
    let record = withUnsafeBytes(of: page.littleEndian) { Array($0) } + content
    return host.writeAll(record, to: pipe)
  }
}
