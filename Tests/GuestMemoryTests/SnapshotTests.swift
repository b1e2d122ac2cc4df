// Single properties of snapshots: what they cost in memory, what becomes of shared memory, files and guards,
// what the hash depends on, how much is opened behind a fault; and how long taking and restoring takes.
import CHost
import Glibc
import Testing

@testable import GuestMemory

@Suite(.serialized) struct SnapshotTests {
  private static let start: UInt64 = 0x1000_0000

  init() { _ = vt_guard_install() }

  private func anonymous(_ space: AddressSpace, pages: UInt64) throws {
    try space.mapAnonymous(at: SnapshotTests.start, size: pages * 4096, permissions: [.read, .write])
  }

  private func mapFile(
    _ space: AddressSpace, _ descriptor: Int32, at address: UInt64, pages: UInt64, _ flags: RegionFlags,
    _ permissions: Permissions = [.read, .write]
  ) throws {
    var request = MapRequest(address: address, size: pages * 4096, permissions: permissions)
    request.placement = .fixed
    request.flags = flags
    request.file = (descriptor, 0, Backing(device: 9, inode: 1, path: []))
    _ = try space.map(request)
  }

  /// A guest's store of one byte, as an engine makes it. True when it faulted.
  @discardableResult private func store(_ space: AddressSpace, _ address: UInt64, _ value: UInt8) -> Bool {
    var byte = value
    let place = space.base + Int(address)
    if vt_guard_copy(place, &byte, 1) == 0 { return false }
    #expect(space.handleFault(at: address, write: true))
    #expect(vt_guard_copy(place, &byte, 1) == 0)
    return true
  }

  @Test func earlierAndLater() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    try anonymous(space, pages: 16)
    let address = SnapshotTests.start
    space.startBreak(at: 0x2000_0000)
    let empty = store.take()
    self.store(space, address + 5000, 1)
    _ = space.setBreak(0x2000_3000)
    let one = store.take()
    let (limit, top) = (space.stackLimit, space.searchTop)
    space.stackLimit = 4096
    space.moveSearchTop(down: 1 << 20)
    self.store(space, address + 5000, 2)
    try space.unmap(address + 4096 * 8, size: 4096 * 8)
    let two = store.take()
    #expect(store.restore(empty))
    #expect(space.load(UInt8.self, at: address + 5000) == 0 && space.breakEnd == 0x2000_0000)
    #expect(space.query(0x2000_0000) == nil && space.query(address + 4096 * 8) != nil)
    #expect(store.restore(two))
    #expect(space.load(UInt8.self, at: address + 5000) == 2 && space.breakEnd == 0x2000_3000)
    #expect(space.query(address + 4096 * 8) == nil)
    #expect(store.restore(one))
    #expect(space.load(UInt8.self, at: address + 5000) == 1 && space.query(address + 4096 * 8) != nil)
    #expect(space.stackLimit == limit && space.searchTop == top)
    // Not restored: the present goes on from there.
    self.store(space, address + 5000, 3)
    #expect(space.load(UInt8.self, at: address + 5000) == 3)
    store.drop(one)
    #expect(!one.isComplete && !store.restore(one))
    #expect(space.load(UInt8.self, at: address + 5000) == 3)
  }

  @Test func imagesAreSharedAndGivenUp() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    try anonymous(space, pages: 1 << 14)
    for page in 0..<UInt64(100) { self.store(space, SnapshotTests.start + page * 4096, 1) }
    let first = store.take()
    let leaf: UInt64 = 2048
    #expect(store.bytes == 100 * 4096 + leaf)
    let second = store.take()
    #expect(store.bytes == 100 * 4096 + leaf)
    self.store(space, SnapshotTests.start + 7 * 4096, 2)
    // Written back to what it was, and to zeros.
    self.store(space, SnapshotTests.start + 8 * 4096, 2)
    self.store(space, SnapshotTests.start + 8 * 4096, 1)
    self.store(space, SnapshotTests.start + 9 * 4096, 0)
    let third = store.take()
    #expect(store.bytes == 101 * 4096 + 2 * leaf)
    store.drop(first)
    store.drop(second)
    #expect(store.bytes == 99 * 4096 + leaf)
    try space.unmap(SnapshotTests.start, size: 1 << 26)
    let last = store.take()
    #expect(store.bytes == 99 * 4096 + leaf)
    store.drop(third)
    #expect(store.bytes == 0 && last.isComplete)
  }

  @Test func reservationsCostNothing() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    var request = MapRequest(size: 400 << 30, permissions: [.read, .write])
    request.flags = .noReserve
    let start = try space.map(request)
    request.permissions = []
    let hidden = try space.map(request)
    self.store(space, start + 123 << 30, 1)
    let clock = ContinuousClock()
    var snapshot: Snapshot?
    let time = clock.measure { snapshot = store.take() }
    let hash = store.hash()
    print("take with 800 GiB reserved: \(time)")
    #expect(store.bytes == 4096 + 2048)
    self.store(space, start + 124 << 30, 1)
    try space.unmap(hidden, size: 400 << 30)
    #expect(store.hash() != hash)
    #expect(try store.restore(#require(snapshot)))
    #expect(store.hash() == hash)
  }

  @Test func unwrittenPagesOfFilesAreTheFiles() throws {
    let file = patternFile(size: 10 * 4096 + 5, seed: 1)
    defer { close(file) }
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in SnapshotFile(descriptor: file) }
    let address = SnapshotTests.start
    try mapFile(space, file, at: address, pages: 16, [])
    for page in 0..<UInt64(11) { #expect(space.load(UInt8.self, at: address + page * 4096) != nil) }
    #expect(space.load(UInt8.self, at: address + 11 * 4096) == nil)
    let snapshot = store.take()
    let hash = store.hash()
    #expect(store.bytes == 0)
    self.store(space, address + 4096, 200)
    let changed = store.take()
    #expect(store.bytes == 4096 + 2048)
    try space.unmap(address, size: 16 * 4096)
    #expect(store.restore(snapshot))
    #expect(space.load(UInt8.self, at: address + 4096) == 10 && store.hash() == hash)
    #expect(space.load(UInt8.self, at: address + 11 * 4096) == nil)
    #expect(store.restore(changed))
    #expect(space.load(UInt8.self, at: address + 4096) == 200)
    #expect(store.restore(snapshot))
    #expect(space.load(UInt8.self, at: address + 4096) == 10 && store.hash() == hash)
  }

  /// With a descriptor the contents go back into the file; without one two mappings see each other all the
  /// same.
  @Test(arguments: [true, false]) func sharedMappingsStayShared(hasFile: Bool) throws {
    let file = patternFile(size: 4 * 4096, seed: 1)
    defer { close(file) }
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in hasFile ? SnapshotFile(descriptor: file) : nil }
    let (address, twin) = (SnapshotTests.start, SnapshotTests.start + 0x10_0000)
    try mapFile(space, file, at: address, pages: 6, .shared)
    try mapFile(space, file, at: twin, pages: 4, .shared, .read)
    self.store(space, address + 4096, 7)
    let snapshot = store.take()
    self.store(space, address + 4096, 8)
    try space.unmap(address, size: 4096 * 6)
    #expect(store.restore(snapshot))
    #expect(space.load(UInt8.self, at: address + 4096) == 7 && space.load(UInt8.self, at: twin + 4096) == 7)
    self.store(space, address + 4096, 9)
    #expect(space.load(UInt8.self, at: twin + 4096) == 9)
    #expect(space.load(UInt8.self, at: address + 4 * 4096) == nil)
    var byte: UInt8 = 0
    #expect(pread(file, &byte, 1, 4096) == 1 && byte == (hasFile ? 9 : 8))
    #expect(store.restore(snapshot))
    #expect(space.load(UInt8.self, at: twin + 4096) == 7)
    // A file that has become shorter gets its length back.
    if hasFile {
      #expect(space.runsSharedFiles)
      space.fileWillChange(device: 9, inode: 1)
      #expect(ftruncate(file, 4096) == 0)
      #expect(store.restore(snapshot))
      #expect(space.load(UInt8.self, at: twin + 4096) == 7)
    }
  }

  /// An unwritten page of a private mapping shows what is written through a shared one, also while a snapshot
  /// is restored.
  @Test func privateMappingsOfSharedFiles() throws {
    let file = patternFile(size: 4 * 4096, seed: 1)
    defer { close(file) }
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    let (address, shared) = (SnapshotTests.start, SnapshotTests.start + 0x10_0000)
    try mapFile(space, file, at: address, pages: 4, [])
    try mapFile(space, file, at: shared, pages: 4, .shared)
    self.store(space, address, 7)
    let snapshot = store.take()
    try space.advise(address, size: 4096, advice: 4)
    #expect(space.load(UInt8.self, at: address) == 2)
    self.store(space, shared, 7)
    #expect(space.load(UInt8.self, at: address) == 7)
    #expect(store.restore(snapshot))
    #expect(space.load(UInt8.self, at: address) == 7 && space.load(UInt8.self, at: shared) == 2)
  }

  /// Anonymous shared memory that is longer than what is behind it.
  @Test func endsOfSharedMemory() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    var request = MapRequest(address: SnapshotTests.start, size: 4 * 4096, permissions: [.read, .write])
    request.placement = .fixed
    request.flags = .shared
    _ = try space.map(request)
    self.store(space, SnapshotTests.start + 3 * 4096, 5)
    let short = store.take()
    _ = try space.remap(SnapshotTests.start, size: 4 * 4096, newSize: 6 * 4096, flags: [])
    #expect(space.load(UInt8.self, at: SnapshotTests.start + 4 * 4096) == nil)
    let long = store.take()
    try space.unmap(SnapshotTests.start, size: 6 * 4096)
    request.size = 6 * 4096
    _ = try space.map(request)
    #expect(space.load(UInt8.self, at: SnapshotTests.start + 4 * 4096) == 0)
    let full = store.take()
    for _ in 0..<2 {
      #expect(store.restore(long))
      #expect(space.load(UInt8.self, at: SnapshotTests.start + 3 * 4096) == 5)
      #expect(space.load(UInt8.self, at: SnapshotTests.start + 4 * 4096) == nil)
      #expect(store.restore(full))
      #expect(space.load(UInt8.self, at: SnapshotTests.start + 3 * 4096) == 0)
      #expect(space.load(UInt8.self, at: SnapshotTests.start + 4 * 4096) == 0)
      #expect(store.restore(short))
      #expect(space.load(UInt8.self, at: SnapshotTests.start + 3 * 4096) == 5)
      #expect(space.query(SnapshotTests.start + 4 * 4096) == nil)
    }
  }

  @Test func lockedAndHiddenPages() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    try anonymous(space, pages: 8)
    let address = SnapshotTests.start
    let empty = store.take()
    self.store(space, address, 1)
    self.store(space, address + 4096, 1)
    #expect(mlock(space.base + Int(address), 4096) == 0)
    try space.protect(address + 4096, size: 4096, permissions: [])
    let full = store.take()
    #expect(store.restore(empty))
    #expect(space.load(UInt8.self, at: address) == 0 && space.load(UInt8.self, at: address + 4096) == 0)
    #expect(store.restore(full))
    #expect(space.load(UInt8.self, at: address) == 1 && space.load(UInt8.self, at: address + 4096) == nil)
    #expect(space.peek(address + 4096, count: 1) == [1])
  }

  @Test func hashesAreOfWhatTheGuestSees() throws {
    let (left, right) = (try AddressSpace(), try AddressSpace())
    #expect(left.contentHash() == right.contentHash())
    for space in [left, right] { try anonymous(space, pages: 32) }
    #expect(left.contentHash() == right.contentHash())
    store(left, SnapshotTests.start + 4096, 1)
    #expect(left.contentHash() != right.contentHash())
    store(right, SnapshotTests.start + 4096, 1)
    // Touched, read, written with zeros, or kept by the host in several mappings: all the same.
    store(right, SnapshotTests.start + 3 * 4096, 0)
    _ = right.load(UInt8.self, at: SnapshotTests.start + 5 * 4096)
    right.markCode(SnapshotTests.start >> 12..<(SnapshotTests.start >> 12) + 7)
    #expect(left.contentHash() == right.contentHash())
    for source in [ResidencySource.scan, .pagemap, .none] {
      #expect(left.contentHash(source) == right.contentHash(.scan))
    }
    try right.protect(SnapshotTests.start, size: 32 * 4096, permissions: [])
    #expect(left.contentHash() != right.contentHash())
    try left.protect(SnapshotTests.start, size: 32 * 4096, permissions: [])
    #expect(left.contentHash() == right.contentHash())
    #expect(right.poke([2], at: SnapshotTests.start + 4097))
    #expect(left.contentHash() != right.contentHash())
  }

  /// A guard (MADV_GUARD_INSTALL), on hosts that have them, is a part of memory, too.
  @Test func guards() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    try anonymous(space, pages: 8)
    let address = SnapshotTests.start
    self.store(space, address, 1)
    let open = store.take()
    guard (try? space.advise(address, size: 4096, advice: 102)) != nil else { return }
    let closed = store.take()
    try space.advise(address, size: 4096, advice: 103)
    #expect(space.load(UInt8.self, at: address) == 0)
    let removed = store.take()
    for _ in 0..<2 {
      #expect(store.restore(closed))
      #expect(space.load(UInt8.self, at: address) == nil)
      #expect(store.restore(removed))
      #expect(space.load(UInt8.self, at: address) == 0)
      #expect(store.restore(closed))
      #expect(store.restore(open))
      #expect(space.load(UInt8.self, at: address) == 1)
    }
    try space.unmap(address, size: 4096 * 8)
    #expect(store.restore(closed))
    #expect(space.load(UInt8.self, at: address) == nil)
  }

  /// Mappings of the same pages that come into being by the way: what is done through one is noticed for the
  /// other.
  @Test func aliasesThatAppear() throws {
    let space = try AddressSpace()
    let keeper = CodeKeeper(space)
    let address = SnapshotTests.start
    var request = MapRequest(address: address, size: 2 * 4096, permissions: [.read, .write, .execute])
    request.placement = .fixed
    request.flags = .shared
    _ = try space.map(request)
    // MREMAP_DONTUNMAP leaves shared memory in both places.
    let twin = address + 0x10_0000
    let moved = try? space.remap(
      address, size: 8192, newSize: 8192, flags: [.mayMove, .fixed, .dontUnmap], newAddress: twin)
    if moved != nil {
      keeper.decode(address >> 12)
      #expect(store(space, twin, 1) && keeper.code.isEmpty)
      #expect(space.load(UInt8.self, at: address) == 1)
      // A hole in the memory itself, made through a mapping that is not tracked.
      try space.protect(twin, size: 8192, permissions: .read)
      keeper.decode(address >> 12)
      try? space.advise(twin, size: 4096, advice: 9)
      keeper.expectFresh("MADV_REMOVE")
    }
    // A mapping that grows over a page that is mapped elsewhere.
    let file = patternFile(size: 4 * 4096, seed: 1)
    defer { close(file) }
    let (short, long) = (address + 0x20_0000, address + 0x30_0000)
    try mapFile(space, file, at: short, pages: 1, .shared)
    try mapFile(space, file, at: long, pages: 2, .shared, [.read, .execute])
    keeper.decode((long >> 12) + 1)
    #expect(try space.remap(short, size: 4096, newSize: 8192, flags: []) == short)
    store(space, short + 4096, 1)
    keeper.expectFresh("growth")
    #expect(space.load(UInt8.self, at: long + 4096) == 1)
  }

  // MARK: What is opened

  /// Stores upwards, downwards, into every second page, and here and there: few faults, and few mappings of
  /// the host.
  @Test func neighboursAreOpened() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    let pages: UInt64 = 1 << 14
    try anonymous(space, pages: pages)
    let orders: [(name: String, pages: [UInt64], faults: Int)] = [
      ("upwards", Array(0..<pages), 24),
      ("downwards", (0..<pages).reversed(), 24),
      ("every second", (0..<pages / 2).map { $0 * 2 }, 800),
      ("every 64th", (0..<pages / 64).map { $0 * 64 }, 256),
      ("scattered", (0..<pages).map { ($0 &* 7919) % pages }, 1000),
    ]
    for order in orders {
      let snapshot = store.take()
      let faults = order.pages.count { self.store(space, SnapshotTests.start + $0 * 4096, 1) }
      let base = UInt64(UInt(bitPattern: space.base)) + SnapshotTests.start
      let mappings = HostMapping.all().count { $0.start >= base && $0.end <= base + pages * 4096 }
      print("\(order.name): \(order.pages.count) pages, \(faults) faults, \(mappings) mappings")
      #expect(faults > 0 && faults <= order.faults && mappings <= 2 * faults + 1)
      #expect(store.restore(snapshot))
      let after = HostMapping.all().count { $0.start >= base && $0.end <= base + pages * 4096 }
      #expect(after == 1)
    }
  }

  /// The more faults, the longer the stretches: a program that stores here and there in much memory.
  @Test func stretchesGrow() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    let pages: UInt64 = 1 << 18
    try anonymous(space, pages: pages)
    _ = store.take()
    let faults = (0..<pages / 64).count { self.store(space, SnapshotTests.start + $0 * 64 * 4096, 1) }
    print("every 64th of 1 GiB: \(pages / 64) pages, \(faults) faults")
    #expect(faults < 1600)
  }

  @Test func codeStaysClosed() throws {
    let space = try AddressSpace()
    let keeper = CodeKeeper(space)
    let store = SnapshotStore(memory: space) { _ in nil }
    try anonymous(space, pages: 64)
    let first = SnapshotTests.start >> 12
    keeper.decode(first + 20)
    let snapshot = store.take()
    for page in UInt64(0)..<64 where page != 20 { self.store(space, (first + page) << 12, 1) }
    #expect(keeper.code.keys.sorted() == [first + 20])
    #expect(store.restore(snapshot))
    #expect(keeper.code.keys.sorted() == [first + 20])
    self.store(space, (first + 20) << 12, 1)
    #expect(keeper.code.isEmpty)
    keeper.decode(first + 20)
    #expect(store.restore(snapshot))
    #expect(keeper.code.isEmpty)
  }

  /// Times, for information.
  @Test func times() throws {
    let space = try AddressSpace()
    let store = SnapshotStore(memory: space) { _ in nil }
    let pages: UInt64 = 1 << 14
    try anonymous(space, pages: pages)
    var value: UInt64 = 0
    func write(_ step: UInt64) {
      for page in stride(from: 0, to: pages, by: Int(step)) {
        value += 1
        var word = value
        let address = SnapshotTests.start + page * 4096 + 8
        while vt_guard_copy(space.base + Int(address), &word, 8) != 0 {
          if !space.handleFault(at: address, write: true) { return }
        }
      }
    }
    func measure(_ name: String, _ body: () -> Void) {
      let begin = clock()
      body()
      print("64 MiB: \(name): \(clock() - begin) µs of processor time")
    }
    write(1)
    var snapshots: [Snapshot] = []
    measure("first take") { snapshots.append(store.take()) }
    measure("take without changes") { snapshots.append(store.take()) }
    measure("write all pages after it") { write(1) }
    measure("take with all pages changed") { snapshots.append(store.take()) }
    measure("write 256 scattered pages") { write(64) }
    measure("take with those changed") { snapshots.append(store.take()) }
    measure("restore the one before, 256 pages differ") { store.restore(snapshots[2]) }
    measure("restore it again, nothing changed") { store.restore(snapshots[2]) }
    measure("restore with all pages different") { store.restore(snapshots[0]) }
    write(64)
    measure("restore with 256 pages written since") { store.restore(snapshots[0]) }
    measure("hash") { _ = store.hash() }
    measure("drop all") { for snapshot in snapshots { store.drop(snapshot) } }
    #expect(store.bytes == pages * 4096 + pages / 512 * 2048)
  }
}
