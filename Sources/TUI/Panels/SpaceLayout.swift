// Where mappings lie on a curve of so many cells: one behind the other, without the gaps between them. Each has at least one cell while there are
// enough. Where there are fewer pages than cells they share by size; else by the square root of size, so that a few
// pages of code are still to be seen beside gigabytes of data.

import GuestMemory

/// What a mapping is for.
enum SpaceKind: String, CaseIterable {
  case code, constants, data, heap, stack, anonymous, reserved

  init(_ region: Region, name: String) {
    if region.permissions.isEmpty {
      self = .reserved
    } else if region.permissions.contains(.execute) {
      self = .code
    } else if region.flags.contains(.stack) || name == "[stack]" {
      self = .stack
    } else if name == "[heap]" {
      self = .heap
    } else if region.permissions.contains(.write) {
      self = region.backing == 0 ? .anonymous : .data
    } else {
      self = .constants
    }
  }

  /// What stands for it where there are no colours.
  var letter: Unicode.Scalar {
    switch self {
    case .code: "x"
    case .constants: "r"
    case .data: "d"
    case .heap: "h"
    case .stack: "s"
    case .anonymous: "a"
    case .reserved: "-"
    }
  }
}

struct SpaceLayout {
  struct Band {
    var region: Region
    var kind: SpaceKind
    /// The first cell, and how many there are.
    var first: Int
    var count: Int
    /// Bytes of a cell; the last one has what is left.
    var step: UInt64
  }

  private(set) var bands: [Band] = []
  let cells: Int

  init(_ regions: [Region], cells: Int, name: (Region) -> String) {
    self.cells = max(0, cells)
    let sorted = regions.filter { $0.size > 0 }.sorted { $0.start < $1.start }
    if sorted.isEmpty || cells <= 0 { return }
    let pages = sorted.map { Double($0.size >> Page.shift) }
    let isLinear = pages.reduce(0, +) <= Double(cells)
    let weights = isLinear ? pages : pages.map { $0.squareRoot() }
    let total = max(weights.reduce(0, +), 1)
    // One for each, and the rest by weight.
    let least = sorted.count <= cells ? 1 : 0
    let spare = Double(cells - least * sorted.count)
    var reached = 0.0
    var first = 0
    for (number, region) in sorted.enumerated() {
      reached += weights[number]
      let end = number == sorted.count - 1 ? cells : least * (number + 1) + Int(spare * reached / total)
      let count = max(0, min(end, cells) - first)
      if count > 0 {
        bands.append(
          Band(
            region: region, kind: SpaceKind(region, name: name(region)), first: first, count: count,
            step: max(1, region.size / UInt64(count))))
      }
      first += count
    }
  }

  /// The band of a cell.
  func band(of cell: Int) -> Band? {
    let number = bands.partitionPoint { $0.first + $0.count <= cell }
    return number < bands.count && bands[number].first <= cell ? bands[number] : nil
  }

  /// The first address of a cell.
  func address(of cell: Int) -> UInt64? {
    guard let band = band(of: cell) else { return nil }
    return min(band.region.start &+ UInt64(cell - band.first) &* band.step, band.region.end &- 1)
  }

  /// The number of the band that an address lies in.
  func number(of address: UInt64) -> Int? {
    let number = bands.partitionPoint { $0.region.end <= address }
    return number < bands.count && bands[number].region.start <= address ? number : nil
  }

  /// The cells that a range of one band lies in.
  func cells(from first: UInt64, to last: UInt64, in band: Band) -> ClosedRange<Int> {
    func cell(_ address: UInt64) -> Int {
      let inside = max(band.region.start, min(address, band.region.end &- 1)) &- band.region.start
      return band.first + min(Int(clamping: inside / band.step), band.count - 1)
    }
    let low = cell(first)
    return low...max(low, cell(last))
  }
}
