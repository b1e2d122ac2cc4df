// Looking at the pages that may have changed: to keep what is in them (record), or to find those that a
// snapshot has otherwise (compare). What the host does not hold is not touched.
import CHost

extension SnapshotStore {
  /// Brings `images` up to date for pages of a region. False when there is no memory for another image.
  func record(_ region: Region, _ pages: Range<UInt64>, _ reader: inout PageReader) -> Bool {
    let kind = kind(of: region)
    if kind == .whole { return record(region, pages, kind, &reader) }
    var isComplete = true
    var next = pages.lowerBound
    for run in reader.residentRuns(pages) where isComplete {
      images.clear(next..<run.pages.lowerBound, pool, turn: turn)
      if kind == .file && run.isFile {
        images.clear(run.pages, pool, turn: turn)
      } else {
        isComplete = record(region, run.pages, kind, &reader)
      }
      next = run.pages.upperBound
    }
    if isComplete { images.clear(next..<pages.upperBound, pool, turn: turn) }
    return isComplete
  }

  private func record(_ region: Region, _ pages: Range<UInt64>, _ kind: Kind, _ reader: inout PageReader)
    -> Bool
  {
    let zero: PageEntry = kind == .anonymous ? .pristine : .zero
    var spare: UInt32?
    var isComplete = true
    reader.revealing(region, pages) { reader in
      for page in pages {
        guard let image = spare ?? pool.allocate() else {
          isComplete = false
          break
        }
        spare = image
        let place = pool.place(image)
        if !reader.read(page, into: place) {
          images.set(page, reader.isGuard(page, place) ? .guarded : .unreadable, pool, turn: turn)
        } else if PageReader.isZero(place) {
          images.set(page, zero, pool, turn: turn)
        } else if let old = images[page].image, PageReader.isEqual(place, pool.place(old)) {
          continue
        } else {
          images.set(page, .image(image), pool, turn: turn)
          spare = nil
        }
      }
    }
    if let spare { pool.release(spare) }
    return isComplete
  }

  /// Adds to `changes` the pages of a region that are not as in `target`.
  func compare(
    _ region: Region, _ pages: Range<UInt64>, _ target: PageImages, _ reader: inout PageReader,
    _ changes: inout [UInt64]
  ) {
    let kind = kind(of: region)
    if kind == .whole { return compare(region, pages, kind, target, &reader, &changes) }
    var next = pages.lowerBound
    for run in reader.residentRuns(pages) {
      target.forEach(in: next..<run.pages.lowerBound) { page, _ in changes.append(page) }
      if kind == .file && run.isFile {
        target.forEach(in: run.pages) { page, _ in changes.append(page) }
      } else {
        compare(region, run.pages, kind, target, &reader, &changes)
      }
      next = run.pages.upperBound
    }
    target.forEach(in: next..<pages.upperBound) { page, _ in changes.append(page) }
  }

  private func compare(
    _ region: Region, _ pages: Range<UInt64>, _ kind: Kind, _ target: PageImages, _ reader: inout PageReader,
    _ changes: inout [UInt64]
  ) {
    reader.revealing(region, pages) { reader in
      for page in pages where differs(page, target[page], kind, &reader) { changes.append(page) }
    }
  }

  /// Whether a page that the host holds is not as `entry` says.
  func differs(_ page: UInt64, _ entry: PageEntry, _ kind: Kind, _ reader: inout PageReader) -> Bool {
    guard reader.read(page, into: scratch) else { return entry != .unreadable && entry != .guarded }
    if let image = entry.image { return !PageReader.isEqual(scratch, pool.place(image)) }
    switch entry {
    case .zero: return !PageReader.isZero(scratch)
    case .pristine: return kind != .anonymous || !PageReader.isZero(scratch)
    default: return true
    }
  }
}
