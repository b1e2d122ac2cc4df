// One number for all of guest memory: two runs, or a run and its replay, that agree in it agree in memory. It
// does not depend on host addresses, on what has been touched, or on how the host holds the mappings. Owns
// nothing.
import CHost

/// Mixes words into four lanes, independent of each other.
struct ContentHash {
  private static let factors: (UInt64, UInt64) = (0xd6e8_feb8_6659_fd93, 0x9fb2_1c65_1e98_df25)
  private var lanes: (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)

  // PERF: called for each word of memory.
  @inline(__always)
  private static func mix(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    let product = (lane ^ word) &* factors.0
    return product ^ product &>> 29
  }

  mutating func add(_ word: UInt64) {
    lanes = (
      ContentHash.mix(lanes.0, word), ContentHash.mix(lanes.1, lanes.0), lanes.2 ^ lanes.1, lanes.3 &+ word
    )
  }

  /// Adds the 4096 bytes at `place`.
  mutating func add(page place: UnsafeRawPointer) {
    // SAFETY: pages are aligned, and plain bytes.
    let words = place.assumingMemoryBound(to: UInt64.self)
    var (a, b, c, d) = lanes
    var index = 0
    while index < 512 {
      a = ContentHash.mix(a, words[index])
      b = ContentHash.mix(b, words[index &+ 1])
      c = ContentHash.mix(c, words[index &+ 2])
      d = ContentHash.mix(d, words[index &+ 3])
      index &+= 4
    }
    lanes = (a, b, c, d)
  }

  var value: UInt64 {
    var result: UInt64 = 0
    for lane in [lanes.0, lanes.1, lanes.2, lanes.3] {
      result = (result &+ lane) &* ContentHash.factors.1
      result ^= result &>> 32
    }
    return result
  }
}

extension AddressSpace {
  /// A number for all that the guest can see of its memory: ranges, permissions and flags of regions, and the
  /// bytes in them, also where the guest may not read. A page that was never touched counts as what it reads
  /// as; what cannot be read at all (behind a file's end) counts as zeros, and the vdso's contents, which are
  /// the host's, not at all. Nor does what a recording does not tell: the program break, which is only the
  /// personality's, and flags that only a fork would show.
  public func contentHash() -> UInt64 { contentHash(.scan) }

  func contentHash(_ source: ResidencySource) -> UInt64 {
    evictAll()
    var hash = ContentHash()
    let regions = table.regions(from: 0, to: limit)
    let visible: RegionFlags = [.shared, .growsDown]
    var index = 0
    while index < regions.count {
      // How the table divides memory by files does not count.
      let first = regions[index]
      var end = first.end
      while index &+ 1 < regions.count, regions[index &+ 1].start == end,
        regions[index &+ 1].permissions == first.permissions,
        regions[index &+ 1].flags.intersection(visible) == first.flags.intersection(visible)
      {
        index &+= 1
        end = regions[index].end
      }
      index &+= 1
      hash.add(first.start)
      hash.add(end)
      hash.add(UInt64(first.permissions.rawValue) | UInt64(first.flags.intersection(visible).rawValue) &<< 8)
    }
    var reader = PageReader(self, source)
    for region in regions where !region.flags.contains(.indivisible) { add(region, &reader, &hash) }
    return hash.value
  }

  private func add(_ region: Region, _ reader: inout PageReader, _ hash: inout ContentHash) {
    let pages = region.start >> Page.shift..<region.end >> Page.shift
    let isSparse = region.backing == 0 && !region.flags.contains(.shared)
    let runs = isSparse ? reader.residentRuns(pages) : [ResidentRun(pages: pages, isFile: true)]
    withUnsafeTemporaryAllocation(byteCount: Int(Page.size), alignment: 64) { room in
      guard let place = room.baseAddress else { return }
      for run in runs {
        reader.revealing(region, run.pages) { reader in
          for page in run.pages where reader.read(page, into: place) && !PageReader.isZero(place) {
            hash.add(page)
            hash.add(page: place)
          }
        }
      }
    }
  }
}
