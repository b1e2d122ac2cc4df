// The address space against a naive model: random mapping calls on a small arena, after each of which every page's
// permissions, contents and host protections are compared with a dictionary of pages.
import CHost
import GuestMemory
import Testing

/// A page as the model sees it.
private struct ModelPage: Equatable {
  var permissions: Permissions
  /// The number that the test wrote into the page, 0 when untouched.
  var content: UInt64
}

/// A small linear congruential generator: the same sequence every time.
struct Sequence64 {
  var state: UInt64
  mutating func next(_ bound: UInt64) -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state >> 33) % bound
  }
}

@Suite(.serialized) struct ModelTests {
  private static let arena: UInt64 = 0x1000_0000
  private static let pageCount: UInt64 = 64

  init() { _ = vt_guard_install() }

  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8]) func randomOperations(seed: Int) throws {
    let space = try AddressSpace()
    var model: [UInt64: ModelPage] = [:]
    var random = Sequence64(state: UInt64(seed))
    var stamp: UInt64 = 0
    for _ in 0..<400 {
      let first = random.next(ModelTests.pageCount)
      let count = 1 + random.next(min(12, ModelTests.pageCount - first))
      let start = ModelTests.arena + first * Page.size
      let size = count * Page.size
      let pages = first..<first + count
      let permissions = Permissions(rawValue: UInt8(random.next(8)))
      switch random.next(8) {
      case 0, 1, 2:
        try space.mapAnonymous(at: start, size: size, permissions: permissions)
        for page in pages { model[page] = ModelPage(permissions: permissions, content: 0) }
      case 3:
        try space.unmap(start, size: size)
        for page in pages { model[page] = nil }
      case 4:
        let hole = pages.first { model[$0] == nil }
        let expected: MemoryError? = hole == nil ? nil : .noMemory
        #expect(
          failure { () throws(MemoryError) in
            try space.protect(start, size: size, permissions: permissions)
          } == expected)
        for page in pages.prefix(while: { $0 != hole }) { model[page]?.permissions = permissions }
      case 5:
        stamp += 1
        for page in pages {
          let isWritable = model[page]?.permissions.contains(.write) ?? false
          #expect(space.store(stamp, at: ModelTests.arena + page * Page.size + 8) == isWritable)
          if isWritable { model[page]?.content = stamp }
        }
      case 6:
        space.markCode(start >> Page.shift..<(start + size) >> Page.shift)
      default:
        remap(space, &model, first: first, count: count, to: random.next(ModelTests.pageCount))
      }
      compare(space, model)
    }
    compareWithHost(space, model)
  }

  /// Moves one page run with MREMAP_FIXED when it lies in one region and the target does not overlap it.
  private func remap(
    _ space: AddressSpace, _ model: inout [UInt64: ModelPage], first: UInt64, count: UInt64, to target: UInt64
  ) {
    let start = ModelTests.arena + first * Page.size
    guard let region = space.query(start), region.end >= start + count * Page.size,
      target + count <= ModelTests.pageCount, target >= first + count || target + count <= first
    else { return }
    let moved = try? space.remap(
      start, size: count * Page.size, newSize: count * Page.size, flags: [.mayMove, .fixed],
      newAddress: ModelTests.arena + target * Page.size)
    #expect(moved == ModelTests.arena + target * Page.size)
    for offset in 0..<count {
      model[target + offset] = model[first + offset]
      model[first + offset] = nil
    }
  }

  private func compare(_ space: AddressSpace, _ model: [UInt64: ModelPage]) {
    for page in 0..<ModelTests.pageCount {
      let address = ModelTests.arena + page * Page.size
      #expect(space.query(address)?.permissions == model[page]?.permissions)
      let isReadable = model[page].map { !$0.permissions.isEmpty } ?? false
      #expect(space.load(UInt64.self, at: address + 8) == (isReadable ? model[page]?.content : nil))
    }
    let regions = space.regions()
    for (left, right) in zip(regions, regions.dropFirst()) { #expect(left.end <= right.start) }
  }

  /// Every page's protection on the host mirrors the guest's; nothing is executable, nothing outside is accessible.
  private func compareWithHost(_ space: AddressSpace, _ model: [UInt64: ModelPage]) {
    let base = UInt64(UInt(bitPattern: space.base))
    for mapping in HostMapping.all() where mapping.end > base && mapping.start < base + space.limit {
      #expect(!mapping.isExecutable)
      for address in stride(from: max(mapping.start, base), to: mapping.end, by: Int(Page.size)) {
        let guest = address - base
        if guest >= ModelTests.arena + ModelTests.pageCount * Page.size { break }
        if guest < ModelTests.arena {
          #expect(!mapping.isReadable)
          break
        }
        let page = model[(guest - ModelTests.arena) / Page.size]
        let permissions = page?.permissions ?? []
        #expect(mapping.isReadable == !permissions.isEmpty)
        if !space.isCode(page: guest >> Page.shift) {
          #expect(mapping.isWritable == permissions.contains(.write))
        }
      }
    }
  }
}

/// The error that `body` throws, if any.
func failure(_ body: () throws(MemoryError) -> Void) -> MemoryError? {
  do {
    try body()
    return nil
  } catch {
    return error
  }
}
