// Blocks that are kept: the same image wherever they were translated, the same code as a translation when they come back, and nothing
// that was damaged, signed by others, or made of other guest code. `Tests/Store` runs programs with it.

import CHost
import Engine
import GuestMemory
import Testing

@testable import Translator

@Suite(.serialized) struct StoreTests {
  private static let start: UInt64 = 0x7_0040_0000
  private static let blockDistance = 256
  private static let blockTotal = 300
  private static let key = StoreKey(low: 0x0123_4567_89ab_cdef, high: 0xfedc_ba98_7654_3210)

  /// Instructions of every template, to be put together at random.
  private static let pieces: [[UInt8]] = [
    [0x48, 0x89, 0xc3],  // mov rbx, rax
    [0x4c, 0x8b, 0x44, 0x24, 0x10],  // mov r8, [rsp + 16]
    [0x4d, 0x01, 0x4a, 0x08],  // add [r10 + 8], r9
    [0x48, 0x8b, 0x05, 0x10, 0, 0, 0],  // mov rax, [rip + 16]
    [0x41, 0x54], [0x5d], [0xc9],  // push r12; pop rbp; leave
    [0x8f, 0x45, 0x08], [0x8f, 0x44, 0x24, 0xf8],  // pop [rbp + 8]; pop [rsp - 8]
    [0xe8, 0x40, 0x01, 0, 0],  // call
    [0xff, 0xd0], [0xff, 0x53, 0x18],  // call rax; call [rbx + 24]
    [0x0f, 0x84, 0x00, 0x02, 0, 0], [0x75, 0xf0],  // je forward; jne back
    [0xe2, 0xf0], [0xe1, 0x05], [0xe3, 0x08],  // loop; loope; jrcxz
    [0xf3, 0xa4], [0xa5], [0xac],  // rep movsb; movsd; lodsb
    [0x8a, 0xe0], [0x86, 0xfb],  // mov ah, al; xchg bh, bl
    [0xf0, 0x48, 0x0f, 0xb1, 0x0f],  // lock cmpxchg [rdi], rcx
    [0x48, 0xd3, 0xe2], [0x0f, 0xb6, 0x04, 0x08],  // shl rdx, cl; movzx eax, byte [rax + rcx]
    [0x0f, 0x28, 0x06], [0xc5, 0xfd, 0x6f, 0x04, 0xc7],  // movaps xmm0, [rsi]; vmovdqa ymm0, [rdi + rax * 8]
    [0xd9, 0xe8], [0xdd, 0x1a],  // fld1; fstp qword [rdx]
    [0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0],  // mov rax, fs:[40]
  ]
  private static let endings: [[UInt8]] = [
    [0xc3], [0xc2, 0x10, 0], [0xe9, 0x00, 0x01, 0, 0], [0xeb, 0xe0], [0xff, 0xe0], [0xff, 0x24, 0xc3],
    [0x0f, 0x05], [0x0f, 0xa2], [0xf4],
  ]

  /// The same code for the same seed.
  private static func code(seed: UInt64) -> [UInt8] {
    var state = seed
    func random(_ count: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % count
    }
    var code: [UInt8] = []
    for _ in 0..<blockTotal {
      var block: [UInt8] = []
      for _ in 0..<random(20) { block += pieces[random(pieces.count)] }
      block += endings[random(endings.count)]
      code += block + [UInt8](repeating: 0x90, count: blockDistance - block.count)
    }
    return code
  }

  /// Where block `index` begins.
  private static func place(_ index: Int) -> UInt64 { start + UInt64(index * blockDistance) }

  /// An engine whose guest memory holds `code`, and the numbers of the blocks that it has made of it, in `order`.
  private final class Machine {
    let memory: AddressSpace
    let engine: TranslatorEngine
    var cache: CodeCache { engine.cache }

    init(_ code: [UInt8], _ store: TranslationStore) throws {
      memory = try AddressSpace()
      try memory.mapAnonymous(
        at: StoreTests.start, size: UInt64(code.count), permissions: [.read, .write, .execute])
      try #require(memory.copyOut(code, to: GuestAddress(StoreTests.start)))
      var options = TranslatorOptions()
      options.isGuarded = false
      engine = try #require(TranslatorEngine(memory: memory, options: options))
      engine.use(store)
    }

    /// The block that begins at place `index`; every third is made for an indirect branch.
    func block(_ index: Int) -> Int? {
      engine.makeBlock(StoreTests.place(index), indirectly: index % 3 == 0)
    }

    func image(_ block: Int) -> [UInt8]? {
      var bytes: [UInt8] = []
      return cache.appendImage(of: block, LongHash(StoreTests.key), 1, to: &bytes) ? bytes : nil
    }
  }

  private static func emptyStore() -> TranslationStore { store(of: []) }

  /// A store that reads `file`, from pages of its own.
  private static func store(
    of file: [UInt8], key: StoreKey = StoreTests.key, identity: UInt64 = 1
  ) -> TranslationStore {
    let memory = file.isEmpty ? nil : vt_allocate_zeroed(file.count)
    memory?.copyMemory(from: file, byteCount: file.count)
    return TranslationStore(key: key, identity: identity, file: memory, size: memory == nil ? 0 : file.count)
  }

  /// A file with all blocks of `code`.
  private func file(of code: [UInt8]) throws -> [UInt8] {
    let store = StoreTests.emptyStore()
    let cache = try machine(code, store) { machine in
      for index in 0..<StoreTests.blockTotal { #expect(machine.block(index) == index) }
    }
    return store.file(of: Array(0..<cache.blockCount), cache)
  }

  /// What `body` has made of a machine's cache; there is room for one address space at a time.
  private func machine(
    _ code: [UInt8], _ store: TranslationStore, _ body: (Machine) throws -> Void
  ) throws -> CodeCache {
    let machine = try Machine(code, store)
    try body(machine)
    return machine.cache
  }

  @Test func hashIsTheOneOfThePaper() {
    // Key and message are the bytes 0, 1, 2, … to 15, as in the paper's appendix, which has the result with two and four rounds.
    var words = KeyedHash(StoreKey(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908))
    words.add(0x0706_0504_0302_0100 as UInt64)
    words.add(0x0f0e_0d0c_0b0a_0908 as UInt64)
    #expect(words.finish() == 0xcc4f_dd1a_7d90_8b66)
    let key = StoreKey(low: 0, high: 0)
    let same = [1, 2].withUnsafeBytes { key.hash($0) }
    #expect([1, 2].withUnsafeBytes { key.hash($0) } == same)
    #expect([1, 3].withUnsafeBytes { key.hash($0) } != same)
    #expect([1, 2].withUnsafeBytes { key.hash($0, seed: 1) } != same)
    #expect([1, 2].withUnsafeBytes { StoreKey(low: 0, high: 1).hash($0) } != same)
    #expect([1, 2, 0].withUnsafeBytes { key.hash($0) } != same)
  }

  /// Every bit of a message counts, its length, its seed and the key.
  @Test func longHashes() {
    let hasher = LongHash(StoreTests.key)
    func hash(_ bytes: [UInt8], seed: UInt64 = 1) -> UInt64 {
      bytes.withUnsafeBytes { hasher.hash($0, seed: seed) }
    }
    var known: Set<UInt64> = []
    var total = 0
    for size in [0, 1, 7, 8, 9, 15, 16, 17, 100, 1023, 1024, 1025, 1040, 2048, 3000] {
      var message = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 37) }
      for bit in stride(from: 0, to: size * 8, by: size > 100 ? 61 : 1) {
        message[bit / 8] ^= 1 << UInt8(bit % 8)
        known.insert(hash(message))
        message[bit / 8] ^= 1 << UInt8(bit % 8)
        total += 1
      }
      known.formUnion([hash(message), hash(message + [0]), hash(message, seed: 2)])
      total += 3
    }
    // With a zero behind it the message of 0 bytes is the one of 1, and that of 1024 the one of 1025.
    #expect(known.count == total - 2)
    let other = LongHash(StoreKey(low: 1, high: 2))
    #expect(
      [1, 2].withUnsafeBytes { other.hash($0, seed: 1) }
        != [1, 2].withUnsafeBytes { hasher.hash($0, seed: 1) })
  }

  @Test func imagesDoNotDependOnPlaces() throws {
    for seed in 1...4 as ClosedRange<UInt64> {
      let code = StoreTests.code(seed: seed)
      var images: [Int: [UInt8]] = [:]
      let first = try machine(code, StoreTests.emptyStore()) { machine in
        for index in 0..<StoreTests.blockTotal {
          images[index] = machine.image(try #require(machine.block(index)))
        }
      }
      let second = try machine(code, StoreTests.emptyStore()) { machine in
        // Other positions in the cache, and other numbers of sites.
        _ = machine.engine.makeBlock(StoreTests.start + 1)
        for index in (0..<StoreTests.blockTotal).reversed() {
          let block = try #require(machine.block(index))
          #expect(machine.image(block) == images[index])
        }
      }
      #expect(first.jumps != second.jumps && images.count == StoreTests.blockTotal)
    }
  }

  /// The host code of `block` with its branches leading to its stubs, and 0 at `places`.
  private static func plainCode(_ cache: CodeCache, _ block: Int, without places: [Int]) -> [UInt8] {
    let (code, record) = (cache.blocks[block], cache.records[block])
    let entry = record.indirectEntry
    let start = entry != 0 && entry < code.host ? entry : code.host
    var bytes = [UInt8](
      UnsafeBufferPointer(start: cache.writable + Int(start), count: Int(code.host_end - start)))
    func put(_ word: UInt32, _ place: Int) {
      bytes.withUnsafeMutableBytes { $0.storeBytes(of: word, toByteOffset: place, as: UInt32.self) }
    }
    for number in Int(record.firstSite)..<Int(record.firstSite) + Int(record.siteCount) {
      let site = cache.sites[number]
      guard site.kind == .branch, site.isLinked, site.target != code.guest else { continue }
      put(site.stub &- site.patch &- 4, Int(site.patch - start))
    }
    for place in places { put(0, place) }
    return bytes
  }

  @Test func storedBlocksAreThoseTranslated() throws {
    for seed in 5...8 as ClosedRange<UInt64> {
      let code = StoreTests.code(seed: seed)
      let store = StoreTests.store(of: try file(of: code))
      let a = try machine(code, store) { machine in
        for index in 0..<StoreTests.blockTotal { #expect(machine.block(index) != nil) }
      }
      let b = try machine(code, StoreTests.emptyStore()) { machine in
        // In the same order, because blocks bring others along.
        for number in 0..<a.blockCount {
          let index = Int(a.blocks[number].guest - StoreTests.start) / StoreTests.blockDistance
          #expect(machine.block(index) == number)
        }
      }
      #expect(a.statistics.storedBlocks == StoreTests.blockTotal && a.statistics.blocks == 0)
      #expect(b.statistics.storedBlocks == 0 && b.statistics.blocks == StoreTests.blockTotal)
      #expect(a.used == b.used && a.siteCount == b.siteCount && a.entryCount == b.entryCount)
      #expect(a.needs == b.needs)
      let (origins, relocations) = (try #require(b.origins), try #require(b.relocations))
      for number in 0..<b.blockCount {
        let origin = origins[number]
        let words = (0..<Int(origin.relocationCount)).map { relocations[Int(origin.firstRelocation) + $0] }
        // The table of indirect entries lies elsewhere.
        let places = words.map { Relocation(word: $0) }.filter { $0.kind == .table }.map(\.place)
        #expect(a.blocks[number].host == b.blocks[number].host)
        #expect(
          StoreTests.plainCode(a, number, without: places) == StoreTests.plainCode(b, number, without: places)
        )
      }
      for site in 0..<a.siteCount {
        #expect(a.sites[site].target == b.sites[site].target && a.sites[site].patch == b.sites[site].patch)
        #expect(a.sites[site].stub == b.sites[site].stub && a.sites[site].stack == b.sites[site].stack)
        #expect(a.block(of: site) == b.block(of: site) && a.sites[site].executed == b.sites[site].executed)
        #expect(a.sites[site].kind == b.sites[site].kind)
        // Where a branch is linked it leads to its target.
        guard a.sites[site].isLinked, a.sites[site].target != a.blocks[a.block(of: site)].guest else {
          continue
        }
        let place = a.sites[site].patch
        let distance = UnsafeRawPointer(a.writable + Int(place)).loadUnaligned(as: UInt32.self)
        #expect(a.lookup(a.sites[site].target).map { a.blocks[$0].host } == place &+ 4 &+ distance)
      }
    }
  }

  @Test func otherCodeIsTranslated() throws {
    let code = StoreTests.code(seed: 9)
    let file = try file(of: code)
    var changed = code
    for index in stride(from: 0, to: StoreTests.blockTotal, by: 2) {
      changed[index * StoreTests.blockDistance] ^= 1
    }
    let cache = try machine(changed, StoreTests.store(of: file)) { machine in
      for index in 0..<StoreTests.blockTotal { _ = machine.block(index) }
    }
    #expect(cache.statistics.storedBlocks == StoreTests.blockTotal / 2)
    // What was found out about a block is not forgotten.
    let other = try machine(code, StoreTests.store(of: file)) { machine in
      machine.cache.exceptions.insert(loop: StoreTests.start)
      _ = machine.cache.exceptions.insert(address: StoreTests.start + UInt64(StoreTests.blockDistance))
      for index in 0..<3 { _ = machine.block(index) }
    }
    #expect(other.statistics.storedBlocks == 1)
    let locked = try machine(code, StoreTests.store(of: file)) { machine in
      try machine.memory.protect(StoreTests.start, size: UInt64(code.count), permissions: [.read])
      #expect(machine.block(1) == nil)
    }
    #expect(locked.statistics.storedBlocks == 0)
  }

  @Test func whoeverHasNotSignedIsNotBelieved() throws {
    let code = StoreTests.code(seed: 10)
    let file = try file(of: code)
    let others = [
      StoreTests.store(of: file, key: StoreKey(low: 1, high: 2)), StoreTests.store(of: file, identity: 2),
    ]
    for store in others { #expect(store.image(of: StoreTests.start) == nil) }
    // The file's identity is not signed, but the blocks' is.
    var renamed = file
    renamed[8] = 2
    let store = StoreTests.store(of: renamed, identity: 2)
    #expect(store.count == StoreTests.blockTotal && store.image(of: StoreTests.start) == nil)
  }

  /// Nobody signs hints: whatever they say, each branch leads to its target or nowhere.
  @Test func wrongHintsCostTimeOnly() throws {
    let code = StoreTests.code(seed: 12)
    let file = try file(of: code)
    var state: UInt64 = 1
    func random(_ count: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % count
    }
    for most in [0, 1, StoreTests.blockTotal, Int(UInt32.max)] {
      var changed = file
      changed.withUnsafeMutableBytes { bytes in
        let slots = Int(bytes.load(fromByteOffset: 24, as: UInt64.self))
        for number in 0..<StoreTests.blockTotal {
          let place = Int(bytes.load(fromByteOffset: 32 + slots * 8 + number * 4, as: UInt32.self)) * 8
          let header = bytes.load(fromByteOffset: place, as: ImageHeader.self)
          for index in 0..<header.hintSize / 4 {
            let hint = UInt32(most < 2 ? most : random(most) + 1)
            bytes.storeBytes(of: hint, toByteOffset: place + Int(header.size) + index * 4, as: UInt32.self)
          }
        }
      }
      let cache = try machine(code, StoreTests.store(of: changed)) { machine in
        for index in 0..<StoreTests.blockTotal {
          let block = try #require(machine.engine.takeStored(StoreTests.place(index)))
          #expect(machine.cache.blocks[block].guest == StoreTests.place(index))
        }
      }
      for number in 0..<cache.siteCount
      where cache.sites[number].kind == .branch && cache.sites[number].isLinked {
        let site = cache.sites[number]
        if site.target == cache.blocks[cache.block(of: number)].guest { continue }
        let distance = UnsafeRawPointer(cache.writable + Int(site.patch)).loadUnaligned(as: UInt32.self)
        #expect(cache.lookup(site.target).map { cache.blocks[$0].host } == site.patch &+ 4 &+ distance)
      }
    }
  }

  @Test func damageIsNoticed() throws {
    let code = StoreTests.code(seed: 11)
    let file = try file(of: code)
    let right = StoreTests.store(of: file)
    var state: UInt64 = 1
    var missing = 0
    for round in 0..<3000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var damaged = file
      let place = Int(state >> 33) % file.count
      switch round % 3 {
      case 0: damaged[place] ^= 1 << UInt8(state >> 24 & 7)
      case 1: damaged.removeLast(file.count - place)
      default:
        let end = min(place + Int(state >> 20 & 0xfff), file.count)
        damaged.replaceSubrange(place..<end, with: file[0..<end - place])
      }
      let store = StoreTests.store(of: damaged)
      for index in stride(from: round % 7, to: StoreTests.blockTotal, by: 7) {
        let guest = StoreTests.start + UInt64(index * StoreTests.blockDistance)
        guard let (header, bytes) = store.image(of: guest) else {
          missing += 1
          continue
        }
        let found = [UInt8](UnsafeRawBufferPointer(start: bytes, count: Int(header.size)))
        let (wanted, other) = try #require(right.image(of: guest))
        #expect(found == [UInt8](UnsafeRawBufferPointer(start: other, count: Int(wanted.size))))
      }
    }
    #expect(missing > 1000)
  }
}
