// What has to happen to the mappings on the way from one region table to another. Computed from the two
// tables alone; a stretch that is mapped in the same way in both is kept, and only its permissions and
// contents may differ.

/// What several mappings may be of: a file's shared pages, or private copies of them. Nil: anonymous memory.
struct MappedObject: Hashable {
  var backing: Backing?
  var isShared: Bool
}

/// The difference of two region tables.
struct MappingChange {
  /// Pages that are mapped in one of the tables only, or differently.
  var replaced = PageRanges()
  /// What is to be mapped there, as parts of the new table's regions.
  var fresh: [Region] = []
  /// Parts of the new table's regions that are kept with other permissions.
  var reprotected: [Region] = []
  /// The vdso comes, goes or moves.
  var movesVDSO = false

  /// `isFileless` tells of a mapping's file that the host cannot map again. If one shared mapping of such a
  /// file has to be made anew, all are, because they see each other's contents; and so are those of
  /// `renewing`.
  init(
    _ memory: AddressSpace, _ target: SnapshotState, renewing: Set<MappedObject>,
    isFileless: (Backing) -> Bool
  ) {
    let old = memory.table.regions(from: 0, to: memory.limit)
    let new = target.table.regions(from: 0, to: memory.limit)
    if renewing.isEmpty, old == new,
      MappingChange.backings(old, memory.backings) == MappingChange.backings(new, target.backings)
    {
      return
    }
    movesVDSO = MappingChange.vdso(old) != MappingChange.vdso(new)
    compare(old, new, memory.backings, target.backings, renewing)
    var renewed = renewing
    for region in fresh where region.flags.contains(.shared) {
      if let backing = target.backings[region.backing], isFileless(backing) {
        renewed.insert(MappedObject(backing: backing, isShared: true))
      }
    }
    if renewed == renewing { return }
    replaced.removeAll()
    fresh = []
    reprotected = []
    compare(old, new, memory.backings, target.backings, renewed)
  }

  private static func vdso(_ regions: [Region]) -> [Range<UInt64>] {
    regions.filter { $0.flags.contains(.indivisible) }.map { $0.start..<$0.end }
  }

  private static func backings(_ regions: [Region], _ table: BackingTable) -> [Backing?] {
    var last: UInt32 = 0
    var result: [Backing?] = []
    for region in regions where region.backing != last {
      last = region.backing
      result.append(table[last])
    }
    return result
  }

  /// Walks through both tables, stretch by stretch.
  private mutating func compare(
    _ old: [Region], _ new: [Region], _ oldBackings: BackingTable, _ newBackings: BackingTable,
    _ renewing: Set<MappedObject>
  ) {
    var (oldIndex, newIndex) = (0, 0)
    var reached: UInt64 = 0
    while oldIndex < old.count || newIndex < new.count {
      let left = oldIndex < old.count ? old[oldIndex] : nil
      let right = newIndex < new.count ? new[newIndex] : nil
      let start = max(reached, min(left?.start ?? .max, right?.start ?? .max))
      let (isInOld, isInNew) = ((left?.start ?? .max) <= start, (right?.start ?? .max) <= start)
      let end = min(
        isInOld ? left?.end ?? .max : left?.start ?? .max, isInNew ? right?.end ?? .max : right?.start ?? .max
      )
      let before = isInOld ? left?.clipped(start, end) : nil
      let after = isInNew ? right?.clipped(start, end) : nil
      let pages = start >> Page.shift..<end >> Page.shift
      if let before, let after, isKept(before, after, oldBackings, newBackings, renewing) {
        if before.permissions != after.permissions { reprotected.append(after) }
      } else {
        replaced.insert(pages)
        if let after { fresh.append(after) }
      }
      reached = end
      if left?.end == end { oldIndex &+= 1 }
      if right?.end == end { newIndex &+= 1 }
    }
  }

  private func isKept(
    _ before: Region, _ after: Region, _ oldBackings: BackingTable, _ newBackings: BackingTable,
    _ renewing: Set<MappedObject>
  ) -> Bool {
    let kinds: RegionFlags = [.shared, .noReserve, .indivisible]
    guard before.flags.intersection(kinds) == after.flags.intersection(kinds) else { return false }
    if after.flags.contains(.indivisible) { return !movesVDSO }
    let file = newBackings[after.backing]
    if oldBackings[before.backing] != file { return false }
    if file != nil, before.offset != after.offset { return false }
    return renewing.isEmpty
      || !renewing.contains(MappedObject(backing: file, isShared: after.flags.contains(.shared)))
  }
}
