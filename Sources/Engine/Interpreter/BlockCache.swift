// Where decoded blocks live: an arena of operations, a table from guest address to block head, the jump cache that
// handlers read, and per-page lists for invalidation. Owns their memory. Blocks die by having their head turned into a
// resolve operation, so links into them need no unlinking; the memory comes back when the arena is full and everything is
// flushed, which bounds it.

import CHost

/// One decoded block.
struct Block {
  /// Guest address of the first instruction, and one past the last byte decoded.
  var start: UInt64
  var end: UInt64
  /// Index of the head operation in the arena.
  var head: Int
  var isAlive: Bool
}

/// All decoded blocks of one address space.
final class BlockCache {
  /// Operations in the arena: 48 MiB of address space, touched only as far as it is used.
  static let arenaCapacity = 1 << 20 + 1 << 19
  /// Operations of dead blocks, 2 MiB, for which it is not worth the while to start over.
  private static let mostWasted = 1 << 16
  private static var arenaSize: Int { arenaCapacity &* MemoryLayout<Operation>.stride }

  // SAFETY: allocated in init, freed in deinit; handlers see pointers into them only while the run loop holds the cache.
  let arena: UnsafeMutablePointer<Operation>
  let jumps: UnsafeMutablePointer<JumpCacheEntry>
  private var table: UnsafeMutablePointer<JumpCacheEntry>
  private var tableCapacity: Int
  private(set) var used = 0
  /// Operations of blocks that are dead.
  private var wasted = 0
  private(set) var blocks: [Block] = []
  /// Made when code is invalidated for the first time: most programs never do.
  private var blocksByPage: BlocksByPage?

  /// Counts for `--stats`.
  private(set) var flushes = 0
  private(set) var invalidations = 0

  /// Nil when there is no memory.
  init?() {
    tableCapacity = 4096
    guard let table = BlockCache.zeroedEntries(tableCapacity),
      let jumps = BlockCache.zeroedEntries(JumpCache.count)
    else { return nil }
    self.table = table
    self.jumps = jumps
    guard let memory = vt_allocate_zeroed(BlockCache.arenaSize) else { return nil }
    arena = memory.bindMemory(to: Operation.self, capacity: BlockCache.arenaCapacity)
  }

  deinit {
    vt_release(arena, BlockCache.arenaSize)
    BlockCache.release(table, tableCapacity)
    BlockCache.release(jumps, JumpCache.count)
  }

  /// Empty entries (zeros) that take no memory before they are used: most programs touch few of them.
  private static func zeroedEntries(_ count: Int) -> UnsafeMutablePointer<JumpCacheEntry>? {
    vt_allocate_zeroed(count &* MemoryLayout<JumpCacheEntry>.stride)?
      .bindMemory(to: JumpCacheEntry.self, capacity: count)
  }

  private static func release(_ entries: UnsafeMutablePointer<JumpCacheEntry>, _ count: Int) {
    vt_release(entries, count &* MemoryLayout<JumpCacheEntry>.stride)
  }

  // MARK: Looking up

  /// The head of the live block at guest address `rip`.
  func lookup(_ rip: UInt64) -> UnsafePointer<Operation>? {
    var slot = BlockCache.hash(rip) & (tableCapacity &- 1)
    while let operation = table[slot].operation {
      if table[slot].rip == rip { return operation }
      slot = (slot &+ 1) & (tableCapacity &- 1)
    }
    return nil
  }

  private static func hash(_ rip: UInt64) -> Int {
    Int(truncatingIfNeeded: (rip &* 0x9e37_79b9_7f4a_7c15) &>> 40)
  }

  /// Lets indirect branches to `rip` find `head` without leaving the handlers.
  func remember(_ rip: UInt64, _ head: UnsafePointer<Operation>) {
    jumps[JumpCache.index(rip)] = JumpCacheEntry(rip: rip, operation: head)
  }

  // MARK: Adding

  /// Room for a block of up to `count` operations, or nil when the arena (or the host's memory for the table) is full, or not worth
  /// keeping.
  func room(_ count: Int) -> UnsafeMutablePointer<Operation>? {
    if (blocks.count &+ 1) &* 2 > tableCapacity && !growTable() { return nil }
    // Guests that make code for ever: more than half of it is of no use.
    if wasted > BlockCache.mostWasted && wasted &* 2 > used { return nil }
    return used &+ count <= BlockCache.arenaCapacity ? arena + used : nil
  }

  /// Adds the block whose `count` operations were written at the place that `room` gave.
  func add(start: UInt64, end: UInt64, count: Int) -> UnsafePointer<Operation> {
    let head = UnsafePointer(arena + used)
    blocks.append(Block(start: start, end: end, head: used, isAlive: true))
    used &+= count
    if blocksByPage != nil { addToPages(blocks.count &- 1) }
    insert(start, head)
    return head
  }

  private func addToPages(_ index: Int) {
    blocksByPage?.add(index, from: blocks[index].start, to: blocks[index].end)
  }

  private func insert(_ rip: UInt64, _ head: UnsafePointer<Operation>) {
    var slot = BlockCache.hash(rip) & (tableCapacity &- 1)
    while table[slot].operation != nil && table[slot].rip != rip {
      slot = (slot &+ 1) & (tableCapacity &- 1)
    }
    table[slot] = JumpCacheEntry(rip: rip, operation: head)
  }

  private func growTable() -> Bool {
    let old = table
    let oldCapacity = tableCapacity
    guard let larger = BlockCache.zeroedEntries(oldCapacity &* 4) else { return false }
    tableCapacity = oldCapacity &* 4
    table = larger
    for slot in 0..<oldCapacity {
      if let operation = old[slot].operation { insert(old[slot].rip, operation) }
    }
    BlockCache.release(old, oldCapacity)
    return true
  }

  // MARK: Removing

  private func listPages() {
    if blocksByPage != nil { return }
    blocksByPage = BlocksByPage()
    for number in 0..<blocks.count { addToPages(number) }
  }

  /// Whether a block has bytes in these pages.
  func hasCode(pages: Range<UInt64>) -> Bool {
    if blocks.isEmpty { return false }
    listPages()
    return blocksByPage?.contains(pages) ?? false
  }

  /// Kills every block that has bytes in these pages.
  func invalidate(pages: Range<UInt64>) {
    if blocks.isEmpty { return }
    listPages()
    for number in blocksByPage?.take(pages) ?? [] where blocks[number].isAlive {
      blocks[number].isAlive = false
      invalidations &+= 1
      let end = number &+ 1 < blocks.count ? blocks[number &+ 1].head : used
      wasted &+= end &- blocks[number].head
      kill(blocks[number])
    }
  }

  /// Whoever still branches to a dead head asks the run loop for its address.
  private func kill(_ block: Block) {
    let head = arena + block.head
    head.pointee.handler = unsafeBitCast(resolve as Handler, to: UnsafeRawPointer.self)
    head.pointee.immediate = Int64(bitPattern: block.start)
    head.pointee.displacement = 0
    let entry = jumps + JumpCache.index(block.start)
    if entry.pointee.rip == block.start { entry.pointee = JumpCacheEntry(rip: 0, operation: nil) }
  }

  /// True when `operation` lies in a block that was added.
  func holds(_ operation: UnsafePointer<Operation>) -> Bool {
    (UnsafePointer(arena)..<UnsafePointer(arena + used)).contains(operation)
  }

  /// True when `head` is a killed block's head (or any resolve operation).
  func isDead(_ head: UnsafePointer<Operation>) -> Bool {
    head.pointee.handler == unsafeBitCast(resolve as Handler, to: UnsafeRawPointer.self)
  }

  /// Forgets everything. Only between runs of handlers: operations may be overwritten from here on.
  func flush() {
    flushes &+= 1
    used = 0
    wasted = 0
    blocks.removeAll(keepingCapacity: true)
    blocksByPage = nil
    table.update(repeating: JumpCacheEntry(rip: 0, operation: nil), count: tableCapacity)
    jumps.update(repeating: JumpCacheEntry(rip: 0, operation: nil), count: JumpCache.count)
  }

  /// The live or dead block that contains this operation.
  func block(containing operation: UnsafePointer<Operation>) -> Block? {
    guard holds(operation) else { return nil }
    let index = operation - UnsafePointer(arena)
    var low = 0
    var high = blocks.count
    while low < high {
      let middle = (low &+ high) / 2
      if blocks[middle].head <= index { low = middle &+ 1 } else { high = middle }
    }
    return low > 0 ? blocks[low &- 1] : nil
  }
}
