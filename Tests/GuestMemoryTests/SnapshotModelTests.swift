// Snapshots against a model that copies everything: random changes of mappings and contents by all ways that
// there are, with snapshots taken, restored back and forth, and dropped. After each restore every region,
// every byte, the hash and the host's protections are compared, and an observer in the place of an engine
// must have heard of every change of its code.
import CHost
import Glibc
import Testing

@testable import GuestMemory

/// All of guest memory at a moment, read from the host's memory page by page.
struct MemoryCopy {
  struct Mapping: Equatable {
    var start: UInt64
    var end: UInt64
    var permissions: Permissions
    var flags: RegionFlags
    var backing: Backing?
    var offset: UInt64
  }

  var mappings: [Mapping] = []
  /// Nil: cannot be read.
  var pages: [UInt64: [UInt8]?] = [:]
  var breakEnd: UInt64 = 0
  var hash: UInt64 = 0

  init(_ space: AddressSpace, hash: UInt64) {
    self.hash = hash
    breakEnd = space.breakEnd
    for region in space.regions() {
      mappings.append(
        Mapping(
          start: region.start, end: region.end, permissions: region.permissions, flags: region.flags,
          backing: space.backing(region.backing), offset: region.offset))
      for page in region.start >> Page.shift..<region.end >> Page.shift {
        let bytes = space.peek(page << Page.shift, count: 4096)
        pages[page] = .some(bytes.count == 4096 ? bytes : nil)
      }
    }
  }

  func expectEqual(to other: MemoryCopy, _ comment: Comment) {
    #expect(mappings == other.mappings, comment)
    #expect(breakEnd == other.breakEnd, comment)
    #expect(hash == other.hash, comment)
    let wrong = pages.keys.filter { page in
      guard let mine = pages[page] ?? nil, let others = other.pages[page] ?? nil else {
        return pages[page] != other.pages[page]
      }
      return mine.count != others.count || memcmp(mine, others, mine.count) != 0
    }
    #expect(wrong.isEmpty && other.pages.count == pages.count, comment)
  }
}

/// In the place of an engine: remembers what the pages that it has "decoded" contain.
final class CodeKeeper {
  var code: [UInt64: [UInt8]] = [:]
  private let space: AddressSpace
  private var observer: CodeObserver?

  init(_ space: AddressSpace) {
    self.space = space
    let observer = CodeObserver(
      hasCode: { [unowned self] pages in code.keys.contains(where: pages.contains) },
      forget: { [unowned self] pages in
        for page in Array(code.keys) where pages.contains(page) { code[page] = nil }
      })
    space.add(observer)
    self.observer = observer
  }

  func decode(_ page: UInt64) {
    space.markCode(page..<page + 1)
    let bytes = space.peek(page << Page.shift, count: 4096)
    if bytes.count == 4096, space.isCode(page: page) { code[page] = bytes }
  }

  func expectFresh(_ comment: Comment) {
    for (page, bytes) in code {
      #expect(space.peek(page << Page.shift, count: 4096) == bytes, comment)
    }
  }
}

/// A temporary file of `size` bytes, filled with a pattern.
func patternFile(size: Int, seed: UInt8) -> Int32 {
  guard let file = tmpfile() else { return -1 }
  let descriptor = dup(fileno(file))
  fclose(file)
  var bytes: [UInt8] = []
  while bytes.count < size {
    let value = UInt8(truncatingIfNeeded: bytes.count / 512) &+ seed &+ 1
    bytes += [UInt8](repeating: value, count: min(512, size - bytes.count))
  }
  return write(descriptor, bytes, size) == size ? descriptor : -1
}

/// One run of the model.
private struct SnapshotModel {
  static let arena: UInt64 = 0x1000_0000
  static let pageCount: UInt64 = 96
  static let heap: UInt64 = 0x2000_0000
  static let stack: UInt64 = 0x3000_0000

  let space: AddressSpace
  let store: SnapshotStore
  let keeper: CodeKeeper
  var random: Sequence64
  var snapshots: [(snapshot: Snapshot, copy: MemoryCopy)] = []
  /// Mapped privately; mapped shared; mapped both ways, without a descriptor for the store; more of the
  /// second kind.
  var files: [Int32]
  var restores = 0

  init(seed: Int, _ source: ResidencySource) throws {
    let space = try AddressSpace()
    let files = [
      patternFile(size: 20 * 4096 + 100, seed: 1), patternFile(size: 12 * 4096, seed: 40),
      patternFile(size: 16 * 4096 + 5, seed: 80),
    ]
    self.files = files
    self.space = space
    store = SnapshotStore(memory: space, source: source) { backing in
      backing.inode < 2 ? SnapshotFile(descriptor: files[Int(backing.inode)]) : nil
    }
    keeper = CodeKeeper(space)
    random = Sequence64(state: UInt64(seed))
    reserve()
  }

  func reserve() {
    space.startBreak(at: SnapshotModel.heap)
    var request = MapRequest(address: SnapshotModel.stack, size: 8192, permissions: [.read, .write])
    request.placement = .fixed
    request.flags = [.growsDown, .stack]
    _ = try? space.map(request)
  }

  func finish() { for file in files { close(file) } }

  mutating func step() {
    let first = random.next(SnapshotModel.pageCount)
    let count = 1 + random.next(min(24, SnapshotModel.pageCount - first))
    let start = SnapshotModel.arena + first * Page.size
    let size = count * Page.size
    switch random.next(40) {
    case 0...4: map(start, size)
    case 5, 6: try? space.unmap(start, size: size)
    case 7...9:
      try? space.protect(start, size: size, permissions: Permissions(rawValue: UInt8(random.next(8))))
    case 10...12: remap(start, size)
    case 13: _ = space.setBreak(SnapshotModel.heap + random.next(40 * 4096))
    case 14: _ = space.growStack(to: SnapshotModel.stack - random.next(30) * 4096 - 1)
    case 15, 16:
      let advices: [Int32] = [4, 4, 24, 102, 103, 10, 11, 9]
      try? space.advise(start, size: size, advice: advices[Int(random.next(8))])
    case 17...19: keeper.decode(start >> Page.shift)
    case 20:
      _ = space.copyOut(
        [UInt8](repeating: UInt8(random.next(3)), count: Int(size) - 100), to: GuestAddress(start + 50))
    case 21: if random.next(40) == 0 { resetAll() }
    case 22...25: take()
    case 26...28: restore()
    case 29: drop()
    default: for _ in 0..<random.next(12) { store(anywhere()) }
    }
  }

  private mutating func anywhere() -> UInt64 {
    switch random.next(8) {
    case 0: return SnapshotModel.heap + random.next(40 * 512) * 8
    case 1: return SnapshotModel.stack + 8192 - random.next(34 * 512) * 8 - 8
    default: return SnapshotModel.arena + random.next(SnapshotModel.pageCount * 512) * 8
    }
  }

  /// A store of the guest's: through the host's pages, with faults repaired as an engine has them repaired.
  private mutating func store(_ address: UInt64) {
    var value = random.next(3)
    for _ in 0..<2 {
      if vt_guard_copy(space.base + Int(address), &value, 8) == 0 { return }
      guard let region = space.query(address), region.permissions.contains(.write) else { return }
      if !space.handleFault(at: address, write: true) { return }
    }
  }

  private mutating func map(_ start: UInt64, _ size: UInt64) {
    let readable: UInt64 = random.next(4) == 0 ? 0 : 3
    var request = MapRequest(
      address: start, size: size, permissions: Permissions(rawValue: UInt8(random.next(8) | readable)))
    request.placement = .fixed
    let kind = random.next(9)
    if kind == 1 { request.flags = .shared }
    if kind == 2 { request.flags = .noReserve }
    if kind >= 3 && kind <= 6 {
      let file = [0, 1, 2, 2][Int(kind) - 3]
      let isShared = kind == 4 || kind == 5
      request.flags = isShared ? .shared : []
      request.file = (
        files[file], random.next(14) * 4096,
        Backing(device: 9, inode: UInt64(file == 2 ? 2 + restores : file), path: [UInt8(file)])
      )
    }
    _ = try? space.map(request)
  }

  private mutating func remap(_ start: UInt64, _ size: UInt64) {
    let target = SnapshotModel.arena + random.next(SnapshotModel.pageCount - 32) * Page.size
    var newSize = (1 + random.next(30)) * Page.size
    // Which pieces of anonymous shared memory were once one, or lie on top of another, is not known: none
    // gets longer and sees more than the one page that it is doubled from.
    var doubled = newSize
    if let region = space.query(start), region.flags.contains(.shared),
      space.backing(region.backing)?.device != 9
    {
      newSize = min(newSize, size, region.end - start)
      doubled = Page.size
    }
    switch random.next(4) {
    case 0: _ = try? space.remap(start, size: size, newSize: newSize, flags: [])
    case 1:
      _ = try? space.remap(
        start, size: size, newSize: size, flags: [.mayMove, .fixed, .dontUnmap], newAddress: target)
    case 2:
      _ = try? space.remap(start, size: 0, newSize: doubled, flags: [.mayMove, .fixed], newAddress: target)
    default:
      _ = try? space.remap(
        start, size: size, newSize: newSize, flags: [.mayMove, .fixed], newAddress: target)
    }
  }

  private func resetAll() {
    space.reset()
    reserve()
  }

  private mutating func take() {
    if snapshots.count >= 8 { drop() }
    let snapshot = store.take()
    let copy = MemoryCopy(space, hash: store.hash())
    #expect(snapshot.isComplete)
    snapshots.append((snapshot, copy))
  }

  private mutating func restore() {
    if snapshots.isEmpty { return }
    let chosen = snapshots[Int(random.next(UInt64(snapshots.count)))]
    restores += 1
    #expect(store.restore(chosen.snapshot))
    // The file without a descriptor is gone now: whoever maps it again gets another one.
    close(files[2])
    files[2] = patternFile(size: 16 * 4096 + 5, seed: UInt8(80 + restores % 64))
    chosen.copy.expectEqual(to: MemoryCopy(space, hash: store.hash()), "restore \(restores)")
    keeper.expectFresh("restore \(restores)")
    if restores % 8 == 0 { compareWithHost() }
  }

  private mutating func drop() {
    if snapshots.isEmpty { return }
    store.drop(snapshots.remove(at: Int(random.next(UInt64(snapshots.count)))).snapshot)
  }

  /// Every page has the guest's permissions on the host, or is closed to stores because it is tracked.
  func compareWithHost() {
    let base = UInt64(UInt(bitPattern: space.base))
    var host: [UInt64: HostMapping] = [:]
    for mapping in HostMapping.all() where mapping.end > base && mapping.start < base + space.limit {
      #expect(!mapping.isExecutable)
      if !mapping.isReadable { continue }
      for address in stride(from: mapping.start, to: mapping.end, by: 4096) {
        host[(address - base) >> Page.shift] = mapping
      }
    }
    for region in space.regions() {
      for page in region.start >> Page.shift..<region.end >> Page.shift {
        let mapping = host.removeValue(forKey: page)
        #expect((mapping != nil) == !region.permissions.isEmpty)
        let isOpen = region.permissions.contains(.write) && !space.isCode(page: page)
        #expect(mapping?.isWritable ?? false == isOpen)
      }
    }
    #expect(host.isEmpty)
  }
}

@Suite(.serialized) struct SnapshotModelTests {
  init() { _ = vt_guard_install() }

  @Test(arguments: 1...12) func randomOperations(seed: Int) throws {
    var model = try SnapshotModel(seed: seed, [.scan, .scan, .pagemap, .none][seed % 4])
    for _ in 0..<3000 { model.step() }
    #expect(model.restores > 100)
    model.compareWithHost()
    for snapshot in model.snapshots { model.store.drop(snapshot.snapshot) }
    model.space.reset()
    model.store.drop(model.store.take())
    #expect(model.store.bytes == 0)
    model.finish()
  }
}
