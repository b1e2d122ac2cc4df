// The sorted table of regions: find, insert with merging, remove with splitting, search for a gap. Two levels (chunks of
// up to 256 regions) keep every operation well under a microsecond per chunk with a hundred thousand regions.
// It owns the regions and knows nothing of host memory; keeping the host in step is `AddressSpace`'s duty.

struct RegionTable {
  private struct Chunk {
    var regions: [Region] = []
    /// The largest distance between a region of this chunk and its predecessor.
    var largestGap: UInt64 = 0
  }

  /// Where a region sits.
  struct Position: Equatable {
    var chunk: Int
    var index: Int
  }

  private static var chunkLimit: Int { 256 }

  /// Never empty; only a lone chunk may hold no regions.
  private var chunks: [Chunk] = [Chunk()]
  private(set) var count = 0

  // MARK: Finding

  subscript(position: Position) -> Region { chunks[position.chunk].regions[position.index] }

  var isEmpty: Bool { count == 0 }

  /// The first region whose end lies above `address`: the one that contains it, or the next one.
  func position(endingAbove address: UInt64) -> Position? {
    var low = 0
    var high = chunks.count
    while low < high {
      let middle = (low &+ high) / 2
      if let last = chunks[middle].regions.last, last.end > address {
        high = middle
      } else {
        low = middle &+ 1
      }
    }
    guard low < chunks.count else { return nil }
    let chunk = low
    low = 0
    high = chunks[chunk].regions.count
    while low < high {
      let middle = (low &+ high) / 2
      if chunks[chunk].regions[middle].end > address { high = middle } else { low = middle &+ 1 }
    }
    return Position(chunk: chunk, index: low)
  }

  func position(after position: Position) -> Position? {
    if position.index &+ 1 < chunks[position.chunk].regions.count {
      return Position(chunk: position.chunk, index: position.index &+ 1)
    }
    return position.chunk &+ 1 < chunks.count ? Position(chunk: position.chunk &+ 1, index: 0) : nil
  }

  func position(before position: Position) -> Position? {
    if position.index > 0 { return Position(chunk: position.chunk, index: position.index &- 1) }
    guard position.chunk > 0 else { return nil }
    return Position(chunk: position.chunk &- 1, index: chunks[position.chunk &- 1].regions.count &- 1)
  }

  var lastPosition: Position? {
    isEmpty ? nil : Position(chunk: chunks.count &- 1, index: chunks[chunks.count &- 1].regions.count &- 1)
  }

  func region(containing address: UInt64) -> Region? {
    guard let position = position(endingAbove: address) else { return nil }
    let region = self[position]
    return region.start <= address ? region : nil
  }

  /// The first region that overlaps or follows `address`.
  func region(endingAbove address: UInt64) -> Region? {
    position(endingAbove: address).map { self[$0] }
  }

  /// The region that ends at or below `address` and is nearest to it.
  func region(before address: UInt64) -> Region? {
    guard let next = position(endingAbove: address) else { return lastPosition.map { self[$0] } }
    if self[next].start < address { return self[next] }
    return position(before: next).map { self[$0] }
  }

  /// True when no region overlaps `[start, end)`.
  func isFree(_ start: UInt64, _ end: UInt64) -> Bool {
    guard let region = region(endingAbove: start) else { return true }
    return region.start >= end
  }

  /// How far from `start` the address space is mapped without a hole, at most to `end`.
  func coveredEnd(from start: UInt64, to end: UInt64) -> UInt64 {
    var reached = start
    var next = position(endingAbove: start)
    while reached < end, let position = next {
      let region = self[position]
      if region.start > reached { break }
      reached = region.end
      next = self.position(after: position)
    }
    return reached < end ? reached : end
  }

  /// The parts of regions inside `[start, end)`, in order.
  func regions(from start: UInt64, to end: UInt64) -> [Region] {
    var result: [Region] = []
    var next = position(endingAbove: start)
    while let position = next {
      let region = self[position]
      if region.start >= end { break }
      result.append(region.clipped(start, end))
      next = self.position(after: position)
    }
    return result
  }

  // MARK: Changing

  /// Adds a region where the table is free, joining it with neighbours that it continues.
  mutating func insert(_ new: Region) {
    var region = new
    if let next = position(endingAbove: region.start) {
      if region.continues(into: self[next]) {
        region.end = self[next].end
        remove(at: next)
      }
    }
    if let before = previous(of: region.start), self[before].continues(into: region) {
      chunks[before.chunk].regions[before.index].end = region.end
      refresh(before.chunk)
      return
    }
    insertPlain(region)
  }

  /// Removes `[start, end)`, splitting regions at its borders.
  mutating func remove(_ start: UInt64, _ end: UInt64) {
    while let position = position(endingAbove: start) {
      let region = self[position]
      if region.start >= end { return }
      if region.start < start {
        chunks[position.chunk].regions[position.index].end = start
        refresh(position.chunk)
        if region.end > end { insertPlain(region.clipped(end, region.end)) }
        if region.end >= end { return }
      } else if region.end > end {
        chunks[position.chunk].regions[position.index] = region.clipped(end, region.end)
        refresh(position.chunk)
        return
      } else {
        remove(at: position)
      }
    }
  }

  /// Changes the parts of regions inside `[start, end)`, which must be mapped without holes, by `change`.
  mutating func update(_ start: UInt64, _ end: UInt64, _ change: (inout Region) -> Void) {
    if let region = region(containing: start), region.end >= end {
      var changed = region.clipped(start, end)
      change(&changed)
      if changed == region.clipped(start, end) { return }
    }
    let pieces = regions(from: start, to: end)
    remove(start, end)
    for piece in pieces {
      var changed = piece
      change(&changed)
      insert(changed)
    }
  }

  mutating func removeAll() {
    chunks = [Chunk()]
    count = 0
  }

  // MARK: Searching for room

  /// The highest start of a free run of `size` bytes inside `[bottom, top)`; `gap` bytes stay free below stacks that grow.
  func findGap(size: UInt64, bottom: UInt64, top: UInt64, stackGap: UInt64) -> UInt64? {
    guard top >= bottom, top &- bottom >= size else { return nil }
    var ceiling = top
    var next: Position?
    if let above = position(endingAbove: top &- 1) {
      // The region at `above` may straddle the top or keep a gap below itself; take it as the first neighbour.
      ceiling = min(ceiling, floorOf(self[above], stackGap))
      next = position(before: above)
    } else {
      next = lastPosition
    }
    while ceiling >= bottom, ceiling &- bottom >= size {
      guard let position = next else { return ceiling &- size }
      let region = self[position]
      let floor = max(region.end, bottom)
      if ceiling >= floor, ceiling &- floor >= size { return ceiling &- size }
      let chunk = chunks[position.chunk]
      if position.index == chunk.regions.count &- 1, chunk.largestGap < size, let first = chunk.regions.first
      {
        ceiling = min(ceiling, floorOf(first, stackGap))
        next = self.position(before: Position(chunk: position.chunk, index: 0))
      } else {
        ceiling = min(ceiling, floorOf(region, stackGap))
        next = self.position(before: position)
      }
    }
    return nil
  }

  private func floorOf(_ region: Region, _ stackGap: UInt64) -> UInt64 {
    guard region.flags.contains(.growsDown) else { return region.start }
    return region.start > stackGap ? region.start &- stackGap : 0
  }

  // MARK: Parts

  /// The region just below `address`, when the table has one.
  private func previous(of address: UInt64) -> Position? {
    guard let next = position(endingAbove: address) else { return lastPosition }
    return position(before: next)
  }

  private mutating func insertPlain(_ region: Region) {
    var place = position(endingAbove: region.start) ?? Position(chunk: chunks.count &- 1, index: Int.max)
    if place.index == Int.max { place.index = chunks[place.chunk].regions.count }
    chunks[place.chunk].regions.insert(region, at: place.index)
    count &+= 1
    if chunks[place.chunk].regions.count > RegionTable.chunkLimit { split(place.chunk) }
    refresh(place.chunk)
  }

  private mutating func remove(at position: Position) {
    chunks[position.chunk].regions.remove(at: position.index)
    count &-= 1
    if chunks[position.chunk].regions.isEmpty, chunks.count > 1 { chunks.remove(at: position.chunk) }
    if position.chunk < chunks.count { refresh(position.chunk) }
  }

  private mutating func split(_ index: Int) {
    let half = chunks[index].regions.count / 2
    var upper = Chunk()
    upper.regions = Array(chunks[index].regions[half...])
    chunks[index].regions.removeSubrange(half...)
    chunks.insert(upper, at: index &+ 1)
    refreshGap(index &+ 1)
    if index &+ 2 < chunks.count { refreshGap(index &+ 2) }
  }

  /// Recomputes the gaps that a change inside chunk `index` may have moved.
  private mutating func refresh(_ index: Int) {
    refreshGap(index)
    if index &+ 1 < chunks.count { refreshGap(index &+ 1) }
  }

  private mutating func refreshGap(_ index: Int) {
    var reached: UInt64 = index > 0 ? (chunks[index &- 1].regions.last?.end ?? 0) : 0
    var largest: UInt64 = 0
    for region in chunks[index].regions {
      largest = max(largest, region.start &- reached)
      reached = region.end
    }
    chunks[index].largestGap = largest
  }
}
