// Numbers of mapped files: found again, given up, used again.
import Testing

@testable import GuestMemory

@Suite struct BackingTableTests {
  private func file(_ inode: UInt64) -> Backing { Backing(device: 1, inode: inode, path: [97]) }

  @Test func numbersAreFoundAgain() {
    var table = BackingTable()
    let first = table.number(of: file(1))
    let second = table.number(of: file(2))
    #expect(first != second && first != 0 && second != 0)
    #expect(table.number(of: file(1)) == first)
    #expect(table[first] == file(1) && table[second] == file(2))
    #expect(table[0] == nil && table[99] == nil)
  }

  @Test func numbersAreUsedAgain() {
    var table = BackingTable()
    var most: UInt32 = 0
    for inode in 1...10_000 as ClosedRange<UInt64> {
      let number = table.number(of: file(inode))
      most = max(most, number)
      if table.isDue { table.keep([number]) }
      #expect(table[number] == file(inode))
    }
    #expect(most <= 256)
  }

  @Test func whatIsInUseStays() {
    var table = BackingTable()
    let numbers = (1...300 as ClosedRange<UInt64>).map { table.number(of: file($0)) }
    #expect(table.isDue)
    table.keep(Set(numbers))
    #expect(!table.isDue)
    for (index, number) in numbers.enumerated() { #expect(table[number] == file(UInt64(index) + 1)) }
  }
}
