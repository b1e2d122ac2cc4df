// Which blocks of a cache have bytes in which guest page, so that a change of a page's code finds them. Both engines' caches
// make one when code is changed for the first time: most programs never do.

/// Numbers of blocks by page number (guest address >> 12).
public struct BlocksByPage {
  private var blocks: [UInt64: [Int32]] = [:]

  public init() {}

  /// Block `number` has the bytes in `[start, end)`, and at least the one at `start`.
  public mutating func add(_ number: Int, from start: UInt64, to end: UInt64) {
    for page in start &>> 12...max(start, end &- 1) &>> 12 {
      blocks[page, default: []].append(Int32(truncatingIfNeeded: number))
    }
  }

  /// Forgets the blocks of one page that are not to be kept.
  public mutating func filter(_ page: UInt64, _ isKept: (Int) -> Bool) {
    blocks[page]?.removeAll { !isKept(Int($0)) }
  }

  /// Whether a block has bytes in these pages.
  public func contains(_ pages: Range<UInt64>) -> Bool {
    pages.count > blocks.count
      ? blocks.keys.contains(where: pages.contains) : pages.contains { blocks[$0] != nil }
  }

  /// Takes the blocks of these pages out. One with bytes in two of them comes twice.
  public mutating func take(_ pages: Range<UInt64>) -> [Int] {
    let known = pages.count > blocks.count ? blocks.keys.filter(pages.contains) : Array(pages)
    return known.flatMap { (blocks.removeValue(forKey: $0) ?? []).map(Int.init) }
  }
}
