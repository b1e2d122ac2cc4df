// Looking at guest memory from below: which pages of a mapping the host holds at all, and what is in one.
// Pages that were never touched are found without touching them (/proc/PID/pagemap), so that a reservation of
// terabytes costs nothing. Owns a descriptor, from the first question on until it is gone; used within one
// call and not kept, because a forked child would see its parent's pages.
import CHost

/// A run of guest pages that the host holds.
struct ResidentRun: Equatable {
  var pages: Range<UInt64>
  /// They are the mapped file's own (or shared memory), not copies of the guest's.
  var isFile: Bool
}

/// The ways of asking the host which pages it holds, best first; for tests.
enum ResidencySource: Int, Comparable, Sendable {
  /// ioctl(PAGEMAP_SCAN), since Linux 6.7: leaves out holes without looking at each page.
  case scan
  /// Eight bytes a page from /proc/PID/pagemap.
  case pagemap
  /// Not at all: every page counts as held.
  case none

  static func < (left: ResidencySource, right: ResidencySource) -> Bool { left.rawValue < right.rawValue }
}

/// Reads the memory of an address space, past the guest's permissions.
struct PageReader: ~Copyable {
  private static let batch = 512
  private static let present: UInt64 = 1 << 3
  private static let swapped: UInt64 = 1 << 4
  private static let file: UInt64 = 1 << 2
  private static let zeroPage: UInt64 = 1 << 5

  private let memory: AddressSpace
  private var source: ResidencySource
  private var descriptor: Int64 = -1
  private var words: [UInt64] = []

  init(_ memory: AddressSpace, _ source: ResidencySource) {
    self.memory = memory
    self.source = source
  }

  deinit { if descriptor >= 0 { _ = vt_syscall6(HostMemory.closeNumber, descriptor, 0, 0, 0, 0, 0) } }

  // MARK: Which pages

  /// The runs in `pages` that may read otherwise than a fresh private mapping: neither holes nor, in
  /// anonymous memory, the kernel's page of zeros.
  mutating func residentRuns(_ pages: Range<UInt64>) -> [ResidentRun] {
    openPagemap()
    if source == .scan, let runs = scan(pages) { return runs }
    if source < .pagemap { source = .pagemap }
    if source == .pagemap, let runs = readPagemap(pages) { return runs }
    source = .none
    return [ResidentRun(pages: pages, isFile: false)]
  }

  private mutating func openPagemap() {
    if descriptor >= 0 || source == .none { return }
    let path: StaticString = "/proc/self/pagemap"
    let closeOnExec: Int64 = 0x8_0000
    descriptor = vt_syscall6(
      HostMemory.openatNumber, -100, Int64(Int(bitPattern: path.utf8Start)), closeOnExec, 0, 0, 0)
    if descriptor < 0 { source = .none }
    words = [UInt64](repeating: 0, count: 3 &* PageReader.batch)
  }

  private func append(_ runs: inout [ResidentRun], _ pages: Range<UInt64>, isFile: Bool) {
    if let last = runs.last, last.pages.upperBound == pages.lowerBound, last.isFile == isFile {
      runs[runs.count &- 1].pages = last.pages.lowerBound..<pages.upperBound
    } else {
      runs.append(ResidentRun(pages: pages, isFile: isFile))
    }
  }

  /// `struct pm_scan_arg` and `struct page_region` of linux/fs.h. Nil where the kernel does not know them.
  private mutating func scan(_ pages: Range<UInt64>) -> [ResidentRun]? {
    let base = memory.hostBase
    var next = base &+ pages.lowerBound << Page.shift
    let end = base &+ pages.upperBound << Page.shift
    var runs: [ResidentRun] = []
    while next < end {
      var request:
        (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
      let any = PageReader.present | PageReader.swapped
      request = (
        96, 0, next, end, 0, 0, UInt64(PageReader.batch), 0, 0, 0, any,
        any | PageReader.file | PageReader.zeroPage
      )
      let number = descriptor
      // SAFETY: the kernel writes at most `batch` regions of three words, and the end of its walk; both
      // outlive the call.
      let count = words.withUnsafeMutableBytes { room in
        request.5 = UInt64(UInt(bitPattern: room.baseAddress))
        return withUnsafeMutableBytes(of: &request) {
          vt_syscall6(
            HostMemory.ioctlNumber, number, 0xc060_6610, Int64(Int(bitPattern: $0.baseAddress)), 0, 0, 0)
        }
      }
      guard count >= 0, request.4 > next else { return nil }
      for index in 0..<min(Int(truncatingIfNeeded: count), PageReader.batch) {
        let categories = words[3 &* index &+ 2]
        if categories & PageReader.zeroPage != 0 { continue }
        let first = (words[3 &* index] &- base) >> Page.shift
        let last = (words[3 &* index &+ 1] &- base) >> Page.shift
        if first < last { append(&runs, first..<last, isFile: categories & PageReader.file != 0) }
      }
      next = request.4
    }
    return runs
  }

  /// Bits 63: present, 62: swapped, 61: a file's or shared.
  private mutating func readPagemap(_ pages: Range<UInt64>) -> [ResidentRun]? {
    var runs: [ResidentRun] = []
    var next = pages.lowerBound
    while next < pages.upperBound {
      let wanted = min(pages.upperBound &- next, UInt64(words.count))
      let offset = ((memory.hostBase >> Page.shift) &+ next) &* 8
      let number = descriptor
      // SAFETY: at most the array's size.
      let count = words.withUnsafeMutableBytes {
        vt_syscall6(
          HostMemory.preadNumber, number, Int64(Int(bitPattern: $0.baseAddress)),
          Int64(bitPattern: wanted &* 8), Int64(bitPattern: offset), 0, 0)
      }
      if count < 8 { return nil }
      let read = UInt64(bitPattern: count) / 8
      for index in 0..<min(read, wanted) {
        let word = words[Int(index)]
        if word >> 62 == 0 { continue }
        append(&runs, next &+ index..<next &+ index &+ 1, isFile: word >> 61 & 1 != 0)
      }
      next = next &+ min(read, wanted)
    }
    return runs
  }

  // MARK: What is in them

  /// Copies a page. False when it cannot be read: beyond the file's end, or a guard.
  func read(_ page: UInt64, into place: UnsafeMutableRawPointer) -> Bool {
    vt_guard_copy(place, memory.host(page << Page.shift), Int(Page.size)) == 0
  }

  /// Whether a page that cannot be read is a guard (SIGSEGV) and not beyond a file's end (SIGBUS).
  func isGuard(_ page: UInt64, _ scratch: UnsafeMutableRawPointer) -> Bool {
    var fault = vt_fault()
    let faulted = vt_guard_run(
      { source, target, _, _ in
        guard let source, let target else { return }
        target.storeBytes(of: source.load(as: UInt8.self), as: UInt8.self)
      }, memory.host(page << Page.shift), scratch, nil, 0, &fault)
    let badAccess: Int32 = 11
    return faulted != 0 && fault.signal == badAccess
  }

  /// Lets `body` read `pages` of a region even if the guest may not.
  mutating func revealing(
    _ region: Region, _ pages: Range<UInt64>, _ body: (inout PageReader) -> Void
  ) {
    let isHidden = region.permissions.isEmpty && !pages.isEmpty
    let start = memory.hostBase &+ pages.lowerBound << Page.shift
    let size = (pages.upperBound &- pages.lowerBound) << Page.shift
    if isHidden { _ = HostMemory.protect(start, size, HostMemory.protectionRead) }
    body(&self)
    if isHidden { _ = HostMemory.protect(start, size, HostMemory.protectionNone) }
  }

  // PERF: 64 bytes at a time, without checks of alignment: a fifth of the time.
  private typealias Line = SIMD8<UInt64>

  /// Whether a page of 4096 bytes is all zeros.
  static func isZero(_ place: UnsafeRawPointer) -> Bool {
    // SAFETY: pages and images are aligned, and plain bytes.
    let lines = place.assumingMemoryBound(to: Line.self)
    var index = 0
    while index < 64 {
      let any = lines[index] | lines[index &+ 1] | lines[index &+ 2] | lines[index &+ 3]
      if any != Line.zero { return false }
      index &+= 4
    }
    return true
  }

  static func isEqual(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer) -> Bool {
    // SAFETY: as above.
    let (left, right) = (left.assumingMemoryBound(to: Line.self), right.assumingMemoryBound(to: Line.self))
    var index = 0
    while index < 64 {
      var any = left[index] ^ right[index]
      any |= left[index &+ 1] ^ right[index &+ 1]
      any |= left[index &+ 2] ^ right[index &+ 2]
      any |= left[index &+ 3] ^ right[index &+ 3]
      if any != Line.zero { return false }
      index &+= 4
    }
    return true
  }
}
