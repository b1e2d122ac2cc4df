// What a snapshot knows of each page, by page number: a table in parts of 512 pages, which snapshots share
// until one of them changes. A part counts as a holder of the images in it. Taking a snapshot copies a
// dictionary by reference; a change copies the part that it lies in, once between two snapshots.
//
//     dictionary: page >> 9 ──► leaf: 512 entries ──► images (ImagePool.swift)

/// What a page contains.
struct PageEntry: Equatable {
  var rawValue: UInt32

  /// What a fresh mapping has there: zeros, or the file's contents.
  static var pristine: PageEntry { PageEntry(rawValue: 0) }
  /// Zeros, where a fresh mapping may have something else.
  static var zero: PageEntry { PageEntry(rawValue: 1) }
  /// It cannot be read: it lies beyond the end of the file.
  static var unreadable: PageEntry { PageEntry(rawValue: 2) }
  /// It cannot be read: it is a guard (MADV_GUARD_INSTALL of madvise(2)).
  static var guarded: PageEntry { PageEntry(rawValue: 3) }

  static func image(_ number: UInt32) -> PageEntry { PageEntry(rawValue: number &+ 4) }

  /// The number of its image, if it has one.
  var image: UInt32? { rawValue >= 4 ? rawValue &- 4 : nil }
}

/// The entries of 512 pages.
final class ImageLeaf {
  static let pageCount = 512

  /// Whoever's turn it was when it was made may still change it.
  let turn: UInt64
  private let pool: ImagePool
  /// How many entries are not pristine.
  private(set) var usedCount = 0
  // SAFETY: allocated and initialised in init, freed in deinit; indexes are masked.
  private let entries: UnsafeMutablePointer<UInt32>

  init(_ pool: ImagePool, turn: UInt64, copying other: ImageLeaf? = nil) {
    self.pool = pool
    self.turn = turn
    entries = .allocate(capacity: ImageLeaf.pageCount)
    entries.initialize(repeating: 0, count: ImageLeaf.pageCount)
    pool.leafCount &+= 1
    guard let other else { return }
    usedCount = other.usedCount
    for index in 0..<ImageLeaf.pageCount {
      entries[index] = other.entries[index]
      if let image = PageEntry(rawValue: entries[index]).image { pool.retain(image) }
    }
  }

  deinit {
    for index in 0..<ImageLeaf.pageCount {
      if let image = PageEntry(rawValue: entries[index]).image { pool.release(image) }
    }
    entries.deallocate()
    pool.leafCount &-= 1
  }

  subscript(page: UInt64) -> PageEntry {
    PageEntry(rawValue: entries[Int(page & UInt64(ImageLeaf.pageCount &- 1))])
  }

  /// Replaces an entry; the new one's image is already counted for this leaf.
  func set(_ page: UInt64, _ entry: PageEntry) {
    let index = Int(page & UInt64(ImageLeaf.pageCount &- 1))
    let old = PageEntry(rawValue: entries[index])
    entries[index] = entry.rawValue
    usedCount &+= (old == .pristine ? 0 : -1) &+ (entry == .pristine ? 0 : 1)
    if let image = old.image { pool.release(image) }
  }
}

/// The entries of all pages; those that are not mentioned are pristine.
struct PageImages {
  private static let shift: UInt64 = 9

  private(set) var leaves: [UInt64: ImageLeaf] = [:]

  subscript(page: UInt64) -> PageEntry { leaves[page >> PageImages.shift]?[page] ?? .pristine }

  /// Sets an entry, whose image is already counted. `turn` tells the leaves that nobody else has.
  mutating func set(_ page: UInt64, _ entry: PageEntry, _ pool: ImagePool, turn: UInt64) {
    let key = page >> PageImages.shift
    guard let leaf = leaves[key] else {
      if entry == .pristine { return }
      let leaf = ImageLeaf(pool, turn: turn)
      leaf.set(page, entry)
      leaves[key] = leaf
      return
    }
    if leaf[page] == entry, entry.image == nil { return }
    if entry == .pristine, leaf.usedCount == 1 {
      leaves[key] = nil
    } else if leaf.turn == turn {
      leaf.set(page, entry)
    } else {
      let copy = ImageLeaf(pool, turn: turn, copying: leaf)
      copy.set(page, entry)
      leaves[key] = copy
    }
  }

  /// Makes all of `pages` pristine.
  mutating func clear(_ pages: Range<UInt64>, _ pool: ImagePool, turn: UInt64) {
    for key in keys(in: pages) {
      let all = key << PageImages.shift..<(key &+ 1) << PageImages.shift
      let part = pages.clamped(to: all)
      if part == all {
        leaves[key] = nil
      } else {
        for page in part { set(page, .pristine, pool, turn: turn) }
      }
    }
  }

  /// The pages of `pages` that are not pristine, in order.
  func forEach(in pages: Range<UInt64>, _ body: (UInt64, PageEntry) -> Void) {
    for key in keys(in: pages) {
      guard let leaf = leaves[key] else { continue }
      let all = key << PageImages.shift..<(key &+ 1) << PageImages.shift
      for page in pages.clamped(to: all) where leaf[page] != .pristine { body(page, leaf[page]) }
    }
  }

  /// The pages whose entries differ from `other`'s, in order.
  func forEachDifference(from other: PageImages, _ body: (UInt64) -> Void) {
    var keys: [UInt64] = []
    for (key, leaf) in leaves where other.leaves[key] !== leaf { keys.append(key) }
    for key in other.leaves.keys where leaves[key] == nil { keys.append(key) }
    keys.sort()
    for key in keys {
      let mine = leaves[key]
      let others = other.leaves[key]
      for page in key << PageImages.shift..<(key &+ 1) << PageImages.shift
      where mine?[page] ?? .pristine != others?[page] ?? .pristine { body(page) }
    }
  }

  /// The leaves that overlap `pages`, in order.
  private func keys(in pages: Range<UInt64>) -> [UInt64] {
    if pages.isEmpty || leaves.isEmpty { return [] }
    let wanted = pages.lowerBound >> PageImages.shift...(pages.upperBound &- 1) >> PageImages.shift
    if wanted.upperBound &- wanted.lowerBound < UInt64(truncatingIfNeeded: leaves.count) {
      return wanted.filter { leaves[$0] != nil }
    }
    return leaves.keys.filter(wanted.contains).sorted()
  }
}
