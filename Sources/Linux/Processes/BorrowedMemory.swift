// vfork's promise: the child works in its parent's memory, and the parent waits until it executes or ends. Here the child has a
// copy, so it sends the pages that it has written through a pipe before it lets go of them; the parent waits for the pipe's end
// and puts the pages in place. posix_spawn(3) relies on it: the child leaves the errno of a failed execve(2) in its parent's
// memory.
//
// Which pages the child has written tells /proc/self/pagemap: right after a fork both processes map every private page, and a
// page that only one maps is one that was copied because somebody wrote to it. Pages that a grandchild shares are missed. With
// several threads it is not only the child who writes; then the child keeps a picture of what may be given back, and compares.
import CHost
import GuestMemory
import LinuxABI

/// The pipe between a parent that waits and a child that has borrowed its memory.
struct MemoryLoan {
  var reading: Int32
  var writing: Int32
  /// The child gives its writes back (CLONE_VM); otherwise the pipe only says when it has executed or ended.
  var givesBack = true
  /// With several threads: the stack pointer and thread pointer of the one that waits. Only what the child changes in its memory is
  /// given back, byte by byte: others go on to write, also into the same pages.
  var owner: (stack: UInt64, thread: UInt64)?
  /// The owner's memory as the child found it.
  var before: [(start: UInt64, bytes: [UInt8])] = []
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
      loans.append(loan)
      return loan
    }
  }

  /// In the child: remembers the way back, and forgets that of its parent if that is a borrower itself.
  func borrow(_ loan: MemoryLoan?, givesBack: Bool) {
    if let old = borrowed { closeHidden(old.writing) }
    borrowed = loan
    borrowed?.givesBack = givesBack
    if givesBack, let owner = loan?.owner { borrowed?.before = picture(of: owner) }
    // A way back that stays open here would let another thread of the parent wait for this process.
    for other in loans {
      closeHidden(other.reading)
      if other.writing != loan?.writing { closeHidden(other.writing) }
    }
    loans = []
  }

  /// In the child, before it executes or ends: sends what it has written, and lets the parent go on.
  func giveBack() {
    guard let loan = borrowed else { return }
    borrowed = nil
    if loan.givesBack, loan.owner != nil {
      sendChanges(loan)
    } else if loan.givesBack {
      sendWrittenPages(to: loan.writing)
    }
    closeHidden(loan.writing)
  }

  /// In the parent: waits for the child's execve or end, and puts what it wrote in place. `child` is clone's result.
  func takeBack(_ loan: MemoryLoan, child: Int64) {
    closeHidden(loan.writing)
    defer {
      closeHidden(loan.reading)
      loans.removeAll { $0.reading == loan.reading }
    }
    if child < 0 { return }
    let waiting = thread
    var header = [UInt8](repeating: 0, count: 16)
    while threads.wait({ receive(&header, from: loan.reading, waiting) }) {
      guard let place = header.littleEndian(UInt64.self, at: 0),
        let count = header.littleEndian(UInt64.self, at: 8), count <= Page.size
      else { return }
      var content = [UInt8](repeating: 0, count: Int(count))
      guard threads.wait({ receive(&content, from: loan.reading, waiting) }) else { return }
      _ = memory.copyOut(content, to: GuestAddress(place))
    }
  }

  /// Fills `record` from the pipe; false at its end, and when `thread` has to end.
  private func receive(_ record: inout [UInt8], from pipe: Int32, _ thread: GuestThread) -> Bool {
    var filled = 0
    while filled < record.count {
      let got = record.withUnsafeMutableBytes {
        host.call(
          0, UInt64(UInt32(bitPattern: pipe)), address(of: $0.baseAddress) + UInt64(filled),
          UInt64($0.count - filled))
      }
      if got == -Errno.EINTR, !thread.mustEnd { continue }
      if got <= 0 { return false }
      filled += Int(got)
    }
    return true
  }

  private func send(_ content: ArraySlice<UInt8>, at place: UInt64, to pipe: Int32) -> Bool {
    var record = withUnsafeBytes(of: place.littleEndian) { Array($0) }
    withUnsafeBytes(of: UInt64(content.count).littleEndian) { record += $0 }
    return host.writeAll(record + content, to: pipe)
  }

  // MARK: With several threads

  /// What a child may change for its maker: the frames above the stack pointer, and the pages around the thread pointer, where errno
  /// and its like lie.
  private func picture(of owner: (stack: UInt64, thread: UInt64)) -> [(start: UInt64, bytes: [UInt8])] {
    let furthest: UInt64 = 1 << 20
    var result: [(start: UInt64, bytes: [UInt8])] = []
    var reached: UInt64 = 0
    func add(_ start: UInt64, _ end: UInt64) {
      for region in memory.regions(from: max(start, reached), to: end)
      where region.permissions.contains(.write) && !region.flags.contains(.shared) {
        let from = max(region.start, start, reached)
        let to = min(region.end, end)
        if from < to, let bytes = memory.bytes(at: GuestAddress(from), count: Int(to &- from)) {
          result.append((from, bytes))
        }
      }
      reached = end
    }
    let page = Page.down(owner.thread)
    let local = (start: page >= Page.size ? page &- Page.size : 0, end: page &+ Page.size)
    let region = memory.query(owner.stack)
    let stack = (start: owner.stack, end: min(region?.end ?? owner.stack, owner.stack &+ furthest))
    for part in local.start < stack.start ? [local, stack] : [stack, local] { add(part.start, part.end) }
    return result
  }

  /// Sends the bytes that differ from the picture.
  private func sendChanges(_ loan: MemoryLoan) {
    for (start, before) in loan.before {
      guard let now = memory.bytes(at: GuestAddress(start), count: before.count) else { continue }
      var index = 0
      while index < now.count {
        if now[index] == before[index] {
          index &+= 1
          continue
        }
        var end = index &+ 1
        while end < now.count, now[end] != before[end], end &- index < Int(Page.size) { end &+= 1 }
        if !send(now[index..<end], at: start &+ UInt64(index), to: loan.writing) { return }
        index = end
      }
    }
  }

  // MARK: With one thread

  private func sendWrittenPages(to pipe: Int32) {
    let map = host.openForReading("/proc/self/pagemap")
    if map < 0 { return }
    defer { _ = host.call(3, UInt64(bitPattern: map)) }
    for region in memory.regions()
    where region.permissions.contains(.write) && !region.flags.contains(.shared) {
      sendWrittenPages(of: region, UInt64(bitPattern: map), to: pipe)
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
    return send(content[...], at: page, to: pipe)
  }
}
