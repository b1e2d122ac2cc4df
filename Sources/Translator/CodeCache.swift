// Where translated code lives: host code in one bump-allocated mapping that is visible twice, writable and executable, and
// beside it the tables of blocks, of their instructions' places and of the sites where blocks leave. Owns all that memory.
// When anything is full, everything is forgotten at once, so nothing has to be compacted and memory stays bounded.
//
// The engines of all threads of an address space share it. They look at the tables and change them under the address space's
// lock only. Others may execute code meanwhile: so new code is reached by one store of at most eight bytes behind all others,
// dead code stays as it is, and nothing is forgotten before everybody has come out (`requestFlush`).

import CHost
import Engine
import GuestMemory

/// A mapping and its tables.
final class CodeCache {
  /// Bytes that one block may take at most, stubs included.
  static let blockRoom = 32 << 10
  /// Entries of the table that indirect branches look up, by the low 16 bits of the guest address.
  static let jumpCount = 1 << 16

  let capacity: Int
  // SAFETY: mapped in init, unmapped in deinit. `writable` and `executable` are the same pages.
  let writable: UnsafeMutablePointer<UInt8>
  let executable: UInt64
  /// Host addresses of indirect entries; 0: none. Lies below 2 GiB, so that code can address it absolutely.
  let jumps: UnsafeMutablePointer<UInt64>
  /// How many links each place of the table leads over; empty while there are none.
  private var links: [UInt8] = []
  /// The fields that code addresses when RBP counts instructions: below 2 GiB, too, and at the beginning of a page. Nil: it does
  /// not count, and RBP leads to the CPU state itself.
  let countingState: UnsafeMutablePointer<CPUState>?
  let blocks: UnsafeMutablePointer<vt_translated_block>
  let records: UnsafeMutablePointer<BlockRecord>
  let entries: UnsafeMutablePointer<vt_translated_entry>
  let sites: UnsafeMutablePointer<Site>
  let blockCapacity: Int
  let entryCapacity: Int
  let siteCapacity: Int
  let forkMarker: UnsafeMutablePointer<UInt32>
  /// Number of changes of the code; also in the mapping's last word.
  private var sequence: UInt64 = 0
  // SAFETY: allocated in init, freed in deinit. Signal handlers read it, and only its `block_count` changes.
  let translation: UnsafeMutablePointer<vt_translation>
  /// Open addressing: block index + 1 by guest address.
  private var table: UnsafeMutablePointer<UInt32>
  /// Small at first, for lookups touch it everywhere; a power of two.
  private var tableCapacity = 4096

  /// Bytes of code; common code comes first and is never forgotten.
  var used = 0
  private(set) var commonSize = 0
  private(set) var blockCount = 0 {
    didSet { vt_publish_blocks(translation, UInt32(truncatingIfNeeded: blockCount)) }
  }
  var entryCount = 0
  var siteCount = 0
  /// Bytes whose pages are there.
  private var presentCode = 0
  private var presentEntries = 0
  private var presentSites = 0
  private var presentBlocks = 0
  private var presentRecords = 0
  /// Blocks that are in the store.
  private var expectedBlocks = 0
  /// Made when code is invalidated for the first time: most programs never do.
  private var blocksByPage: BlocksByPage?
  /// Offsets of the code that all stubs jump to, and of that through which code that counts is entered.
  var leaveStub: UInt32 = 0
  var entryStub: UInt32 = 0
  /// Offset of the code that makes a system call or leaves for it.
  var callStub: UInt32 = 0
  /// Offset of the code that reports an indirect branch without a block.
  var missStub: UInt32 = 0
  /// Offset of the code that handles a return elsewhere than behind its call: the target in the scratch register, the site of
  /// the RET in the second one.
  var returnStub: UInt32 = 0
  /// Host address of the code that returns without a call arrive at: the bottom of shadow stacks.
  private(set) var bottom: UInt64 = 0
  /// Bytes of the jump that follows a JRCXZ: its distance when it only skips that.
  static let jumpSize: UInt8 = 5
  var statistics = TranslatorStatistics()
  /// Nil unless somebody wants to know what costs time.
  var measurement: Measurement?
  var exceptions = TranslationExceptions()
  /// What some block needs of the state that is loaded when code is entered.
  private(set) var needs = LoadedState()
  /// Threads that may be in translated code, or have left it and not yet said where.
  var runners = 0
  /// Somebody waits for them to come out.
  private(set) var isFlushWanted = false
  /// Number of changes that an engine has to follow before it enters code: of `needs`, `isFlushWanted` and flushes.
  private(set) var epoch: UInt64 = 0
  /// Told of all code that is written; nil costs nothing.
  var observer: TranslationObserver?
  /// What was kept of earlier runs, and is to be kept of this one.
  var store: TranslationStore?
  /// Where blocks come from and places that would have to change if they lay elsewhere, for the store; nil: nobody wants to know.
  private(set) var origins: UnsafeMutablePointer<BlockOrigin>?
  /// So many of them may be other than zero.
  private var originCount = 0
  /// A Bloom filter of the guest addresses of blocks that do not come from the store.
  private var translated: InlineArray<64, UInt64> = InlineArray(repeating: 0)
  private(set) var relocations: UnsafeMutablePointer<UInt32>?
  private(set) var relocationCount = 0

  /// Nil when the host refuses memory.
  init?(capacity wanted: Int, counts: Bool = false) {
    capacity = max(wanted, 2 &* CodeCache.blockRoom)
    var writable: UnsafeMutableRawPointer?
    var executable: UnsafeMutableRawPointer?
    var jumps: UnsafeMutableRawPointer?
    var state: UnsafeMutableRawPointer?
    guard vt_map_code(capacity, &writable, &executable) == 0, let writable, let executable,
      vt_map_low(CodeCache.jumpCount &* 8, &jumps) == 0, let jumps,
      !counts || vt_map_low(MemoryLayout<CPUState>.size, &state) == 0
    else { return nil }
    self.writable = writable.assumingMemoryBound(to: UInt8.self)
    self.executable = UInt64(UInt(bitPattern: executable))
    self.jumps = jumps.bindMemory(to: UInt64.self, capacity: CodeCache.jumpCount)
    countingState = state?.bindMemory(to: CPUState.self, capacity: 1)
    blockCapacity = capacity / 64
    entryCapacity = capacity / 8
    siteCapacity = capacity / 32
    guard let blocks = CodeCache.array(vt_translated_block.self, blockCapacity),
      let records = CodeCache.array(BlockRecord.self, blockCapacity),
      let entries = CodeCache.array(vt_translated_entry.self, entryCapacity),
      let sites = CodeCache.array(Site.self, siteCapacity), let marker = vt_map_fork_marker(),
      let table = CodeCache.array(UInt32.self, tableCapacity)
    else { return nil }
    forkMarker = marker
    (self.blocks, self.records, self.entries, self.sites, self.table) = (
      blocks, records, entries, sites, table
    )
    translation = .allocate(capacity: 1)
    translation.initialize(
      to: vt_translation(
        start: self.executable, end: self.executable &+ UInt64(capacity), blocks: blocks, entries: entries,
        block_count: 0))
    bottom = CommonCode.write(self)
  }

  /// Writes code that begins at `offset`.
  func assembler(at offset: Int) -> Assembler {
    let address = countingState.map { Int32(truncatingIfNeeded: Int(bitPattern: $0)) }
    return Assembler(writable + offset, stateAddress: address)
  }

  /// What became of the code in a forked child.
  enum Separation {
    case notForked, copied
    /// All blocks are forgotten, and common code has to be written anew.
    case lost
    /// No memory: the mapping is the parent's, in which nothing may be written.
    case failed
  }

  /// What was to be forgotten could not be, in a forked child without memory.
  private var isStale = false

  /// In a forked child the mapping is shared with the parent: replaces it by a copy. The code is lost where the parent changed it
  /// in the meantime, somebody wants to be told of all code, or nobody wants it any more.
  func separateAfterFork(keepsCode: Bool = true) -> Separation {
    if forkMarker.pointee == 1 { return .notForked }
    (runners, isFlushWanted) = (0, false)
    let keepsCode = keepsCode && observer == nil && !isStale
    let result = vt_separate_code(
      capacity, keepsCode ? used : 0, writable, UnsafeMutableRawPointer(bitPattern: UInt(executable)),
      sequence)
    if result < 0 { return .failed }
    forkMarker.pointee = 1
    if result == 1 && keepsCode { return .copied }
    isStale = false
    flush()
    bottom = CommonCode.write(self)
    return .lost
  }

  /// The guest's code in these pages is about to change. A forked child may come here before it has executed anything, while
  /// its parent executes the same host code: that must not change.
  func forget(pages: Range<UInt64>) {
    // PERF: before execve(2) blocks are not killed one by one, and the next program's take the same pages.
    let isAll = pages == CodeObserver.everything && observer == nil
    if separateAfterFork(keepsCode: !isAll) == .failed {
      isStale = true
    } else if isAll && runners == 0 {
      flush()
    } else {
      invalidate(pages: pages)
    }
  }

  /// To be called before code is added or changed: a forked child may be copying it.
  func willChange() {
    sequence &+= 1
    UnsafeMutableRawPointer(writable + (capacity &- 8)).withMemoryRebound(to: UInt64.self, capacity: 1) {
      vt_code_changes($0, sequence)
    }
  }

  deinit {
    translation.deallocate()
    vt_release(forkMarker, 4096)
    vt_release(writable, capacity)
    vt_release(UnsafeMutableRawPointer(bitPattern: UInt(executable)), capacity)
    vt_release(jumps, CodeCache.jumpCount &* 8)
    if let countingState { vt_release(countingState, MemoryLayout<CPUState>.size) }
    vt_release(blocks, blockCapacity &* MemoryLayout<vt_translated_block>.stride)
    vt_release(records, blockCapacity &* MemoryLayout<BlockRecord>.stride)
    vt_release(entries, entryCapacity &* MemoryLayout<vt_translated_entry>.stride)
    vt_release(sites, siteCapacity &* MemoryLayout<Site>.stride)
    vt_release(table, tableCapacity &* 4)
    if let origins { vt_release(origins, blockCapacity &* MemoryLayout<BlockOrigin>.stride) }
    if let relocations { vt_release(relocations, relocationCapacity &* 4) }
  }

  /// No site needs more than three, no block more than one besides.
  private var relocationCapacity: Int { siteCapacity &* 3 &+ blockCapacity }

  /// From now on notes what the store has to know of blocks. Before there are any.
  func keepOrigins() {
    guard origins == nil, blockCount == 0 else { return }
    origins = CodeCache.array(BlockOrigin.self, blockCapacity)
    relocations = CodeCache.array(UInt32.self, relocationCapacity)
  }

  func note(_ origin: BlockOrigin, of block: Int) {
    origins?[block] = origin
    originCount = max(originCount, block &+ 1)
    let bit = CodeCache.bit(blocks[block].guest)
    translated[bit &>> 6] |= 1 &<< UInt64(bit & 63)
  }

  /// The block at `guest`, which has not been taken from the store.
  // PERF: half of what `takeStored` costs would be this search, which nearly never finds anything.
  @inline(__always)
  func lookupTranslated(_ guest: UInt64) -> Int? {
    let bit = CodeCache.bit(guest)
    return translated[bit &>> 6] &>> UInt64(bit & 63) & 1 == 0 ? nil : lookup(guest)
  }

  private static func bit(_ guest: UInt64) -> Int {
    Int(truncatingIfNeeded: (guest &* 0x9e37_79b9_7f4a_7c15) &>> 52)
  }

  /// The block comes from the store.
  // PERF: what is zero already is not touched: that would be a page fault for each hundred blocks.
  func forgetOrigin(_ block: Int) {
    if block < originCount { origins?[block] = BlockOrigin() }
  }

  /// The 32 bits at offset `place` depend on where the block, which begins at `start`, or the cache lies.
  func relocate(_ kind: Relocation.Kind, _ place: UInt32, from start: UInt32) {
    guard let relocations else { return }
    relocations[relocationCount] = Relocation(kind, at: place &- start).word
    relocationCount &+= 1
  }

  /// Zeros that take no memory before they are touched.
  private static func array<T>(_ type: T.Type, _ count: Int) -> UnsafeMutablePointer<T>? {
    vt_allocate_zeroed(count &* MemoryLayout<T>.stride)?.bindMemory(to: T.self, capacity: count)
  }

  func isInside(_ host: UInt64) -> Bool { host >= executable && host < executable &+ UInt64(used) }

  /// Everything written so far stays for ever.
  func keepCommonCode() {
    commonSize = used
    tell(.common, guest: 0, guestSize: 0, 0, used)
  }

  // MARK: Adding

  /// Whether another block certainly fits.
  var hasRoom: Bool {
    used &+ CodeCache.blockRoom &+ 8 <= capacity && blockCount < blockCapacity
      && blockCount &+ 1 < tableCapacity
      && entryCount &+ 256 < entryCapacity && siteCount &+ 256 < siteCapacity
  }

  // PERF: `python3 -c pass` has 1,700 page faults instead of 5,100 (perf record -e page-faults): these, and those where code is executed,
  // for there sixteen pages that exist are mapped at once.
  /// Makes pages for blocks to come, many at once. Without this they come one by one.
  func preparePages() {
    CodeCache.extend(&presentCode, to: min(used &+ 8192, capacity), writable, capacity)
    let (entrySize, siteSize) = (MemoryLayout<vt_translated_entry>.stride, MemoryLayout<Site>.stride)
    if blockCount >= CodeCache.manyBlocks / 4 {
      let (blockSize, recordSize) = (
        MemoryLayout<vt_translated_block>.stride, MemoryLayout<BlockRecord>.stride
      )
      CodeCache.extend(&presentBlocks, to: blockCount &* blockSize, blocks, blockCapacity &* blockSize)
      CodeCache.extend(&presentRecords, to: blockCount &* recordSize, records, blockCapacity &* recordSize)
    }
    CodeCache.extend(&presentEntries, to: entryCount &* entrySize, entries, entryCapacity &* entrySize)
    CodeCache.extend(&presentSites, to: siteCount &* siteSize, sites, siteCapacity &* siteSize)
  }

  private static func extend(
    _ present: inout Int, to wanted: Int, _ memory: UnsafeMutableRawPointer, _ size: Int
  ) {
    if wanted <= present { return }
    let step = min(max(64 << 10, present / 4) & ~4095, 256 << 10, size &- present)
    CodeCache.advise(memory + present, step, CodeCache.populateWrite)
    present &+= step
  }

  /// So many blocks are in the store, and most runs come to most of theirs. For many, large pages are made.
  func expect(_ blocks: Int) {
    expectedBlocks = min(blocks, CodeCache.mostExpected)
    let size = (expectedBlocks &* 256 &+ CodeCache.largePage &- 1) & ~(CodeCache.largePage &- 1)
    if blocks < CodeCache.manyBlocks || size > entryCapacity &* 8 { return }
    CodeCache.advise(entries, size, CodeCache.hugePage)
    CodeCache.advise(sites, size, CodeCache.hugePage)
  }

  private static let manyBlocks = 4096
  private static let mostExpected = 1 << 15
  private static let largePage = 2 << 20
  private static let populateWrite: Int64 = 23
  private static let hugePage: Int64 = 14

  /// madvise(2). MADV_POPULATE_WRITE is there since Linux 5.14.
  private static func advise(_ memory: UnsafeMutableRawPointer, _ size: Int, _ advice: Int64) {
    _ = vt_syscall6(28, Int64(Int(bitPattern: memory)), Int64(size), advice, 0, 0, 0)
  }

  /// The block that a site belongs to.
  func block(of site: Int) -> Int {
    var (low, high) = (0, blockCount)
    while low < high {
      let middle = (low &+ high) / 2
      if Int(records[middle].firstSite) <= site { low = middle &+ 1 } else { high = middle }
    }
    return low &- 1
  }

  /// Whether a site belongs to a block that always comes back to the run loop.
  func isInSection(site: Int) -> Bool {
    let block = block(of: site)
    return block >= 0 && records[block].isInSection
  }

  func addSite(_ site: Site) -> Int {
    sites[siteCount] = site
    siteCount &+= 1
    return siteCount &- 1
  }

  /// Makes `block` findable if it is alive. Its entries have been written from `first_entry` on.
  func add(_ block: vt_translated_block, _ record: BlockRecord) -> Int {
    let index = blockCount
    blocks[index] = block
    records[index] = record
    blockCount &+= 1
    if !record.isAlive { return index }
    if blockCount &* 2 > tableCapacity { growTable() }
    insert(block.guest, UInt32(truncatingIfNeeded: index &+ 1))
    if blocksByPage != nil { addToPages(index) }
    return index
  }

  // MARK: Looking up

  private func slot(_ guest: UInt64) -> Int {
    Int(truncatingIfNeeded: (guest &* 0x9e37_79b9_7f4a_7c15) &>> 36) & (tableCapacity &- 1)
  }

  /// The index of the live block at guest address `guest`.
  func lookup(_ guest: UInt64) -> Int? {
    var place = slot(guest)
    while table[place] != 0 {
      let index = Int(table[place]) &- 1
      if blocks[index].guest == guest { return records[index].isAlive ? index : nil }
      place = (place &+ 1) & (tableCapacity &- 1)
    }
    return nil
  }

  /// Four times as large, or large enough for what is expected; when there is no memory for that, it stays as it is, and the caller's
  /// next `hasRoom` is false. It and the one of indirect entries will be touched everywhere.
  private func growTable() {
    var capacity = tableCapacity &* 4
    while capacity < expectedBlocks &* 2 { capacity &*= 2 }
    guard let larger = CodeCache.array(UInt32.self, capacity) else { return }
    vt_release(table, tableCapacity &* 4)
    table = larger
    tableCapacity = capacity
    CodeCache.advise(table, capacity &* 4, CodeCache.populateWrite)
    CodeCache.advise(jumps, CodeCache.jumpCount &* 8, CodeCache.populateWrite)
    for index in 0..<blockCount where records[index].isAlive {
      insert(blocks[index].guest, UInt32(truncatingIfNeeded: index &+ 1))
    }
  }

  private func insert(_ guest: UInt64, _ number: UInt32) {
    var place = slot(guest)
    while table[place] != 0, blocks[Int(table[place]) &- 1].guest != guest {
      place = (place &+ 1) & (tableCapacity &- 1)
    }
    table[place] = number
  }

  /// Host address of a block's code.
  func hostAddress(_ block: Int) -> UInt64 { executable &+ UInt64(blocks[block].host) }

  // MARK: Linking

  /// Sends the branch of `site` directly to `block`.
  func link(_ site: Int, to block: Int) {
    if sites[site].isLinked || records[block].isInSection { return }
    willChange()
    sites[site].isLinked = true
    sites[site].next = records[block].incoming
    records[block].incoming = UInt32(truncatingIfNeeded: site &+ 1)
    patch(sites[site].patch, to: blocks[block].host)
    statistics.links &+= 1
  }

  /// Writes the distance of a jump; the four bytes never cross a cache line, so another thread sees the old or the new.
  func patch(_ place: UInt32, to target: UInt32) {
    UnsafeMutableRawPointer(writable + Int(place)).storeBytes(of: target &- place &- 4, as: UInt32.self)
  }

  // MARK: Sharing

  /// A block needs more of the state than any before. The caller has brought all others out of translated code.
  func need(_ more: LoadedState) {
    needs.formUnion(more)
    epoch &+= 1
  }

  /// Keeps everybody from entering code, until it has been forgotten.
  func requestFlush() {
    isFlushWanted = true
    epoch &+= 1
  }

  /// Forgets everything as requested, unless somebody has not come out yet. True when that is done.
  func fulfilFlush() -> Bool {
    if isFlushWanted && runners > 0 { return false }
    if isFlushWanted { flush() }
    isFlushWanted = false
    return true
  }

  // MARK: Removing

  /// Whether a block has bytes in these pages.
  func hasCode(pages: Range<UInt64>) -> Bool {
    if blockCount == 0 { return false }
    listPages()
    return blocksByPage?.contains(pages) ?? false
  }

  /// Kills every block that has bytes in these pages.
  func invalidate(pages: Range<UInt64>) {
    if blockCount == 0 { return }
    listPages()
    for block in blocksByPage?.take(pages) ?? [] { discard(block) }
  }

  private func listPages() {
    if blocksByPage != nil { return }
    blocksByPage = BlocksByPage()
    for index in 0..<blockCount where records[index].isAlive { addToPages(index) }
  }

  private func addToPages(_ index: Int) {
    blocksByPage?.add(index, from: blocks[index].guest, to: guestEnd(index))
  }

  /// One past the last byte of a block's guest code.
  private func guestEnd(_ index: Int) -> UInt64 { blocks[index].guest &+ UInt64(blocks[index].guest_size) }

  private func kill(_ block: Int) {
    willChange()
    records[block].isAlive = false
    statistics.invalidations &+= 1
    var number = records[block].incoming
    while number != 0 {
      let site = Int(number) &- 1
      number = sites[site].next
      sites[site].isLinked = false
      patch(sites[site].patch, to: sites[site].stub)
      statistics.unlinks &+= 1
    }
    records[block].incoming = 0
    let own = Int(records[block].firstSite)
    for site in own..<own &+ Int(records[block].siteCount) where sites[site].kind == .landing {
      // Returns no longer go on in this block, but at its successor's current code.
      writable[Int(sites[site].patch)] = CodeCache.jumpSize
    }
    // Whoever still has the address of the indirect entry is sent to the run loop: its comparison never succeeds.
    if records[block].indirectEntry != 0 { writable[Int(records[block].indirectDistance)] = 0 }
    let jump = Int(truncatingIfNeeded: blocks[block].guest & 0xffff)
    jumps[jump] = 0
    if !links.isEmpty { links[jump] = 0 }
  }

  /// Notes one more link at a place of the table of indirect entries; false when it has as many as it may.
  func addLink(_ place: Int) -> Bool {
    if links.isEmpty { links = [UInt8](repeating: 0, count: CodeCache.jumpCount) }
    if links[place] == CommonCode.mostLinks { return false }
    links[place] &+= 1
    return true
  }

  /// Kills one block, which will be translated differently.
  func discard(_ block: Int) {
    if records[block].isAlive { kill(block) }
  }

  /// Takes a block out that could not be found by others. Its room is free again when it is the last one.
  func remove(_ block: Int) {
    guard block == blockCount &- 1 else { return }
    (entryCount, siteCount) = (Int(blocks[block].first_entry), Int(records[block].firstSite))
    if let origins { relocationCount = Int(origins[block].firstRelocation) }
    used = Int(blocks[block].host)
    blockCount = block
  }

  /// Kills the blocks that contain an instruction at `guest`.
  func discardBlocks(containing guest: UInt64) {
    listPages()
    blocksByPage?.filter(guest &>> 12) { block in
      if guest &- blocks[block].guest < UInt64(blocks[block].guest_size) { discard(block) }
      return records[block].isAlive
    }
  }

  /// Forgets everything.
  func flush() {
    if blockCount == 0 { return }
    observer?.willFlush()
    clearTables()
    blockCount = 0
    entryCount = 0
    siteCount = 0
    relocationCount = 0
    used = commonSize
    blocksByPage = nil
    links = []
    statistics.flushes &+= 1
    epoch &+= 1
  }

  /// Empties what blocks are found by. A few blocks are taken out one by one, which spares the page faults afterwards.
  private func clearTables() {
    if blockCount > 4096 {
      jumps.update(repeating: 0, count: CodeCache.jumpCount)
      table.update(repeating: 0, count: tableCapacity)
      return
    }
    for index in 0..<blockCount {
      let guest = blocks[index].guest
      jumps[Int(guest & 0xffff)] = 0
      // To the end of the run of used places: what is behind it in the run goes too.
      var place = slot(guest)
      while table[place] != 0 {
        table[place] = 0
        place = (place &+ 1) & (tableCapacity &- 1)
      }
    }
  }
}
