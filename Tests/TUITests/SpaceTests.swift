// The curve of the space view, for all sizes, and how mappings share it.

import GuestMemory
import Testing

@testable import TUI

@Suite struct SpaceTests {
  @Test func everyPlaceOnce() {
    for width in 1...48 {
      for height in 1...48 {
        let curve = SpaceCurve(width: width, height: height)
        #expect(curve.places.sorted() == (0..<Int32(width * height)).map { $0 }, "\(width)x\(height)")
        let isInverse = curve.places.enumerated().allSatisfy { Int(curve.numbers[Int($1)]) == $0 }
        #expect(isInverse, "\(width)x\(height)")
      }
    }
  }

  @Test func neighboursAreNeighbours() {
    for width in 1...64 {
      for height in 1...64 {
        let places = SpaceCurve(width: width, height: height).places.map { Int($0) }
        var jumps = 0
        for (one, next) in zip(places, places.dropFirst()) {
          let across = abs(one % width - next % width)
          let down = abs(one / width - next / width)
          if across + down != 1 { jumps += 1 }
          #expect(max(across, down) == 1, "\(width)x\(height)")
        }
        let isOdd = max(width, height) % 2 != 0 && min(width, height) % 2 == 0
        #expect(jumps <= (isOdd ? 1 : 0), "\(width)x\(height): \(jumps)")
      }
    }
  }

  @Test func mappingsShareCells() {
    func region(_ start: UInt64, _ pages: UInt64) -> Region {
      Region(start: start, end: start + pages << 12, permissions: [.read])
    }
    let regions = [region(0x1000, 2), region(0x10_0000, 1 << 20), region(0x7fff_0000_0000, 1)]
    for cells in [1, 2, 3, 5, 64, 1000, 5000] {
      let layout = SpaceLayout(regions, cells: cells) { _ in "" }
      #expect(layout.bands.reduce(0) { $0 + $1.count } == cells)
      if cells >= regions.count { #expect(layout.bands.count == regions.count) }
      for cell in 0..<cells {
        guard let address = layout.address(of: cell), let number = layout.number(of: address) else {
          Issue.record("no address for cell \(cell) of \(cells)")
          continue
        }
        #expect(layout.cells(from: address, to: address, in: layout.bands[number]) == cell...cell)
      }
    }
    #expect(SpaceLayout([], cells: 10) { _ in "" }.bands.isEmpty)
    #expect(SpaceLayout(regions, cells: 0) { _ in "" }.address(of: 0) == nil)
  }
}
