// The mapping calls one by one: placement, errors, growth, the program break, stacks, code tracking, big reservations.
import CHost
import Glibc
import GuestMemory
import Testing

@Suite(.serialized) struct AddressSpaceTests {
  init() { _ = vt_guard_install() }

  @Test func window() throws {
    let space = try AddressSpace()
    // 2^46, or less while other tests hold a window.
    #expect(space.limit >= 1 << 40 && space.limit <= 1 << 46 && space.limit.nonzeroBitCount == 1)
    #expect(space.load(UInt8.self, at: 0) == nil)
    #expect(space.load(UInt8.self, at: space.limit) == nil)
    #expect(space.load(UInt64.self, at: .max - 3) == nil)
    #expect(!space.store(UInt8(1), at: 0x1234))
    #expect(space.hostArgument(0) == 0)
    #expect(space.hostArgument(space.limit) == 1 << 63)
  }

  @Test func placementErrors() throws {
    let space = try AddressSpace()
    var request = MapRequest(address: 0x20_0001, size: 4096, permissions: .read)
    request.placement = .fixed
    #expect(failure { () throws(MemoryError) in _ = try space.map(request) } == .invalid)
    request.address = 4096
    #expect(failure { () throws(MemoryError) in _ = try space.map(request) } == .notPermitted)
    request.address = space.limit - 4096
    request.size = 8192
    #expect(failure { () throws(MemoryError) in _ = try space.map(request) } == .noMemory)
    request.size = 0
    #expect(failure { () throws(MemoryError) in _ = try space.map(request) } == .invalid)
    request.size = .max
    #expect(failure { () throws(MemoryError) in _ = try space.map(request) } == .noMemory)
    request.address = 0x20_0000
    request.size = 4096
    _ = try space.map(request)
    request.placement = .fixedNoReplace
    #expect(failure { () throws(MemoryError) in _ = try space.map(request) } == .exists)
  }

  @Test func searchGoesDownAndHintsAreTaken() throws {
    let space = try AddressSpace()
    let first = try space.map(MapRequest(size: 4096, permissions: .read))
    let second = try space.map(MapRequest(size: 8192, permissions: .read))
    #expect(first == space.searchTop - 4096)
    #expect(second == first - 8192)
    // Neighbours of the same kind are one region.
    #expect(space.regionCount == 1)
    let wished = try space.map(MapRequest(address: 0x1234_5000, size: 4096, permissions: .read))
    #expect(wished == 0x1234_5000)
    let taken = try space.map(MapRequest(address: 0x1234_5000, size: 4096, permissions: [.read, .write]))
    #expect(taken == second - 4096)
  }

  @Test func reservationsCostNothing() throws {
    let space = try AddressSpace()
    var request = MapRequest(size: 200 << 30, permissions: [.read, .write])
    request.flags = .noReserve
    let start = try space.map(request)
    #expect(space.store(UInt64(7), at: start + 123 << 30))
    try space.unmap(start, size: 200 << 30)
    #expect(space.regionCount == 0)
  }

  @Test func programBreak() throws {
    let space = try AddressSpace()
    space.startBreak(at: 0x50_0123)
    #expect(space.setBreak(0) == 0x50_1000)
    #expect(space.setBreak(0x50_5001) == 0x50_5001)
    #expect(space.store(UInt8(1), at: 0x50_5fff))
    #expect(!space.store(UInt8(1), at: 0x50_6000))
    try space.mapAnonymous(at: 0x50_8000, size: 4096, permissions: .read)
    #expect(space.setBreak(0x50_9000) == 0x50_5001)
    #expect(space.setBreak(0x50_1000) == 0x50_1000)
    #expect(space.query(0x50_1000) == nil)
  }

  @Test func stacksGrow() throws {
    let space = try AddressSpace()
    var request = MapRequest(address: 0x4000_0000, size: 4096, permissions: [.read, .write])
    request.placement = .fixed
    request.flags = [.growsDown, .stack]
    _ = try space.map(request)
    #expect(space.handleFault(at: 0x3fff_f123, write: true))
    #expect(space.query(0x3fff_f000)?.end == 0x4000_1000)
    #expect(space.handleFault(at: 0x4000_1000 - (8 << 20), write: true))
    #expect(!space.handleFault(at: 0x4000_0fff - (8 << 20), write: true))
    // A mapping below keeps its distance: the guard gap of 1 MiB.
    try space.mapAnonymous(at: 0x3000_0000, size: 4096, permissions: .read)
    space.stackLimit = .max
    #expect(!space.handleFault(at: 0x3000_1000, write: true))
    #expect(space.handleFault(at: 0x3000_1000 + (1 << 20), write: true))
  }

  @Test func remapGrowsInPlaceAndMoves() throws {
    let space = try AddressSpace()
    try space.mapAnonymous(at: 0x100_0000, size: 8192, permissions: [.read, .write])
    #expect(space.store(UInt64(42), at: 0x100_1000))
    let grown = try space.remap(0x100_0000, size: 8192, newSize: 16384, flags: [])
    #expect(grown == 0x100_0000)
    #expect(space.load(UInt64.self, at: 0x100_3000) == 0)
    try space.mapAnonymous(at: 0x100_4000, size: 4096, permissions: .read)
    #expect(
      failure { () throws(MemoryError) in
        _ = try space.remap(0x100_0000, size: 16384, newSize: 32768, flags: [])
      } == .noMemory)
    let moved = try space.remap(0x100_0000, size: 16384, newSize: 32768, flags: .mayMove)
    #expect(moved != 0x100_0000)
    #expect(space.load(UInt64.self, at: moved + 4096) == 42)
    #expect(space.query(0x100_0000) == nil)
    #expect(space.query(moved)?.end == moved + 32768)
    let shrunk = try space.remap(moved, size: 32768, newSize: 4096, flags: [])
    #expect(shrunk == moved)
    #expect(space.query(moved + 4096) == nil)
    #expect(
      failure { () throws(MemoryError) in
        _ = try space.remap(0x7000_0000, size: 4096, newSize: 8192, flags: .mayMove)
      } == .badAddress)
  }

  @Test func adviceDontNeedClears() throws {
    let space = try AddressSpace()
    try space.mapAnonymous(at: 0x100_0000, size: 8192, permissions: [.read, .write])
    #expect(space.store(UInt64(42), at: 0x100_0000))
    try space.advise(0x100_0000, size: 4096, advice: 4)
    #expect(space.load(UInt64.self, at: 0x100_0000) == 0)
    #expect(
      failure { () throws(MemoryError) in try space.advise(0x100_0000, size: 12288, advice: 4) } == .noMemory)
    #expect(failure { () throws(MemoryError) in try space.advise(1, size: 4096, advice: 4) } == .invalid)
  }

  @Test func stringsEndAtTheirZeroOrPage() throws {
    let space = try AddressSpace()
    try space.mapAnonymous(at: 0x100_0000, size: 4096, permissions: [.read, .write])
    #expect(space.copyOut(Array("path\0".utf8), to: GuestAddress(0x100_0ffb)))
    #expect(try space.cString(at: GuestAddress(0x100_0ffb), limit: 4096) == Array("path".utf8))
    #expect(space.store(UInt8(65), at: 0x100_0fff))
    #expect(
      failure { () throws(MemoryError) in
        _ = try space.cString(at: GuestAddress(0x100_0ffb), limit: 4096)
      } == .badAddress)
    #expect(
      failure { () throws(MemoryError) in
        _ = try space.cString(at: GuestAddress(0x100_0ffb), limit: 3)
      } == .nameTooLong)
  }

  @Test func codeIsTracked() throws {
    let space = try AddressSpace()
    nonisolated(unsafe) var seen: [Range<UInt64>] = []
    space.add(CodeObserver(hasCode: { _ in true }, forget: { seen.append($0) }))
    try space.mapAnonymous(at: 0x100_0000, size: 0x4000, permissions: [.read, .write, .execute])
    space.markCode(0x1001..<0x1003)
    #expect(seen.isEmpty)
    // A store from the guest: only the page that it touches is given up.
    #expect(space.handleWriteFault(0x100_1080))
    #expect(seen == [0x1001..<0x1002])
    #expect(!space.handleWriteFault(0x100_1080))
    #expect(!space.handleWriteFault(0x100_3080))
    // A store from the host's side.
    #expect(space.store(UInt8(1), at: 0x100_2fff))
    #expect(seen == [0x1001..<0x1002, 0x1002..<0x1003])
    space.markCode(0x1000..<0x1004)
    try space.unmap(0x100_1000, size: 4096)
    #expect(seen.last == 0x1001..<0x1002)
    try space.protect(0x100_2000, size: 4096, permissions: .read)
    #expect(seen.last == 0x1002..<0x1003)
    try space.advise(0x100_3000, size: 4096, advice: 4)
    #expect(seen.last == 0x1003..<0x1004)
    #expect(space.trackedRunCount == 1)
  }

  /// The same file page mapped twice, once to write and once to execute.
  @Test func aliasesOfCodeAreTracked() throws {
    let space = try AddressSpace()
    let file = try #require(tmpfile())
    defer { fclose(file) }
    let descriptor = fileno(file)
    #expect(ftruncate(descriptor, 8192) == 0)
    nonisolated(unsafe) var seen: [Range<UInt64>] = []
    space.add(CodeObserver(hasCode: { _ in true }, forget: { seen.append($0) }))
    var request = MapRequest(address: 0x100_0000, size: 8192, permissions: [.read, .write])
    request.placement = .fixed
    request.flags = .shared
    request.file = (descriptor, 0, Backing(device: 1, inode: 2, path: []))
    _ = try space.map(request)
    request.address = 0x200_0000
    request.permissions = [.read, .execute]
    _ = try space.map(request)
    space.markCode(0x2001..<0x2002)
    #expect(space.handleFault(at: 0x100_1008, write: true))
    #expect(seen.contains(0x1001..<0x1002) && seen.contains(0x2001..<0x2002))
    #expect(space.store(UInt8(9), at: 0x100_1008))
    #expect(space.load(UInt8.self, at: 0x200_1008) == 9)
  }

  /// Code in a private mapping, whose page still is the file's, while a shared mapping or a call writes the file.
  @Test func codeInPrivateMappingsOfFilesIsTracked() throws {
    let space = try AddressSpace()
    let file = try #require(tmpfile())
    defer { fclose(file) }
    let descriptor = fileno(file)
    #expect(ftruncate(descriptor, 8192) == 0)
    nonisolated(unsafe) var seen: [Range<UInt64>] = []
    space.add(CodeObserver(hasCode: { _ in true }, forget: { seen.append($0) }))
    var request = MapRequest(address: 0x200_0000, size: 8192, permissions: [.read, .write, .execute])
    request.placement = .fixed
    request.file = (descriptor, 0, Backing(device: 1, inode: 2, path: []))
    _ = try space.map(request)
    request.address = 0x100_0000
    request.permissions = [.read, .write]
    request.flags = .shared
    _ = try space.map(request)
    space.markCode(0x2001..<0x2002)
    #expect(!space.runsSharedFiles)
    #expect(space.handleFault(at: 0x100_1008, write: true))
    #expect(seen.contains(0x2001..<0x2002))
    // What is written to the private mapping is not the file's.
    space.markCode(0x2001..<0x2002)
    seen = []
    #expect(space.handleFault(at: 0x200_1008, write: true))
    #expect(seen == [0x2001..<0x2002])
    space.markCode(0x1000..<0x1001)
    #expect(space.runsSharedFiles)
    seen = []
    space.fileWillChange(device: 1, inode: 3)
    #expect(seen.isEmpty)
    space.fileWillChange(device: 1, inode: 2)
    #expect(seen.contains { $0.contains(0x1000) } && space.trackedRunCount == 0)
  }

  /// Anonymous shared memory at two addresses, by mremap(2) with an old size of 0.
  @Test func codeInDoubledMemoryIsTracked() throws {
    let space = try AddressSpace()
    nonisolated(unsafe) var seen: [Range<UInt64>] = []
    space.add(CodeObserver(hasCode: { _ in true }, forget: { seen.append($0) }))
    var request = MapRequest(address: 0x100_0000, size: 16384, permissions: [.read, .write, .execute])
    request.placement = .fixed
    request.flags = .shared
    _ = try space.map(request)
    let twin = try space.remap(0x100_1000, size: 0, newSize: 8192, flags: .mayMove)
    let code = (twin + 4096) >> 12
    space.markCode(code..<code + 1)
    #expect(space.handleFault(at: 0x100_2008, write: true))
    #expect(seen.contains(0x1002..<0x1003) && seen.contains(code..<code + 1))
    #expect(space.store(UInt8(9), at: 0x100_2008))
    #expect(space.load(UInt8.self, at: twin + 4096 + 8) == 9)
  }

  @Test func manyRegionsStayFast() throws {
    let space = try AddressSpace()
    let count: UInt64 = 20_000
    for index in 0..<count {
      try space.mapAnonymous(at: 0x1000_0000 + index * 8192, size: 4096, permissions: .read)
    }
    #expect(space.regionCount == Int(count))
    for index in stride(from: 0, to: count, by: 2) {
      try space.unmap(0x1000_0000 + index * 8192, size: 4096)
    }
    #expect(space.regionCount == Int(count / 2))
    #expect(space.query(0x1000_0000 + 8192) != nil)
    #expect(space.query(0x1000_0000) == nil)
  }
}
