// A set of page numbers as sorted, disjoint ranges: the pages from which the engine has decoded code. Code lies in
// clusters, so the set stays small, and asking whether a buffer touches code is one binary search.

struct PageRanges {
  private(set) var ranges: [Range<UInt64>] = []

  var isEmpty: Bool { ranges.isEmpty }

  /// Index of the first range that ends above `page`.
  private func index(endingAbove page: UInt64) -> Int {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low &+ high) / 2
      if ranges[middle].upperBound > page { high = middle } else { low = middle &+ 1 }
    }
    return low
  }

  func contains(_ page: UInt64) -> Bool {
    let index = index(endingAbove: page)
    return index < ranges.count && ranges[index].lowerBound <= page
  }

  func overlaps(_ pages: Range<UInt64>) -> Bool {
    if ranges.isEmpty || pages.isEmpty { return false }
    let index = index(endingAbove: pages.lowerBound)
    return index < ranges.count && ranges[index].lowerBound < pages.upperBound
  }

  /// The members inside `pages`, as ranges in order.
  func intersection(_ pages: Range<UInt64>) -> [Range<UInt64>] {
    var result: [Range<UInt64>] = []
    var index = index(endingAbove: pages.lowerBound)
    while index < ranges.count, ranges[index].lowerBound < pages.upperBound {
      result.append(ranges[index].clamped(to: pages))
      index &+= 1
    }
    return result
  }

  mutating func insert(_ pages: Range<UInt64>) {
    if pages.isEmpty { return }
    var low = pages.lowerBound
    var high = pages.upperBound
    let first = index(endingAbove: low == 0 ? 0 : low &- 1)
    var last = first
    while last < ranges.count, ranges[last].lowerBound <= high {
      low = min(low, ranges[last].lowerBound)
      high = max(high, ranges[last].upperBound)
      last &+= 1
    }
    ranges.replaceSubrange(first..<last, with: CollectionOfOne(low..<high))
  }

  mutating func remove(_ pages: Range<UInt64>) {
    if pages.isEmpty { return }
    let first = index(endingAbove: pages.lowerBound)
    var last = first
    var kept: [Range<UInt64>] = []
    while last < ranges.count, ranges[last].lowerBound < pages.upperBound {
      let range = ranges[last]
      if range.lowerBound < pages.lowerBound { kept.append(range.lowerBound..<pages.lowerBound) }
      if range.upperBound > pages.upperBound { kept.append(pages.upperBound..<range.upperBound) }
      last &+= 1
    }
    ranges.replaceSubrange(first..<last, with: kept)
  }

  mutating func removeAll() { ranges.removeAll() }
}

extension PageRanges {
  /// The run of members that `page` lies in.
  func run(containing page: UInt64) -> Range<UInt64>? {
    let index = index(endingAbove: page)
    return index < ranges.count && ranges[index].lowerBound <= page ? ranges[index] : nil
  }

  /// Where the run below the one of `page` (or below `page`) ends; 0 when there is none.
  func end(before page: UInt64) -> UInt64 {
    let index = index(endingAbove: page)
    return index > 0 ? ranges[index &- 1].upperBound : 0
  }

  /// Where the run above the one of `page` (or above `page`) starts; the largest number when there is none.
  func start(after page: UInt64) -> UInt64 {
    var index = index(endingAbove: page)
    if index < ranges.count, ranges[index].lowerBound <= page { index &+= 1 }
    return index < ranges.count ? ranges[index].lowerBound : .max
  }

  /// What of `pages` is not a member, in order.
  func missing(from pages: Range<UInt64>) -> [Range<UInt64>] {
    var result: [Range<UInt64>] = []
    var next = pages.lowerBound
    for range in intersection(pages) {
      if next < range.lowerBound { result.append(next..<range.lowerBound) }
      next = range.upperBound
    }
    if next < pages.upperBound { result.append(next..<pages.upperBound) }
    return result
  }
}
