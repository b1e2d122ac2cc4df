// Where random blocks and their memory live: the same addresses natively and in the guest's window. All lie below 2^31, so
// that every addressing form reaches them; around each area nothing is mapped.
//
//     data      read and write, three pages, then one page that can only be read, then nothing
//     control   read and write: jump tables, loop counters, constants; stores of the blocks are not aimed at it
//     stack     read and write, two pages; RSP starts in the middle
//     code      execute; one slot for each block of a batch

enum BlockLayout {
  static let data: UInt64 = 0x1100_0000
  static let dataSize: UInt64 = 0x3000
  static let readOnly: UInt64 = data + dataSize
  static let readOnlySize: UInt64 = 0x1000
  static let control: UInt64 = 0x1120_0000
  static let controlSize: UInt64 = 0x1000
  static let stack: UInt64 = 0x1140_0000
  static let stackSize: UInt64 = 0x2000
  /// RSP at a block's start.
  static let stackStart: UInt64 = stack + 0x1200
  static let code: UInt64 = 0x3000_0000
  static let slotSize: UInt64 = 0x1000
  static let slots = 256
  static var codeSize: UInt64 { slotSize * UInt64(slots) }

  /// What a block may write, in the order in which it lies in an image.
  static let areas: [(address: UInt64, size: UInt64)] = [
    (data, dataSize), (control, controlSize), (stack, stackSize),
  ]
  static var imageSize: Int { Int(dataSize + controlSize + stackSize) }

  /// Near enough to our areas that nothing else of this process can be there.
  static func isOurs(_ address: UInt64) -> Bool {
    (0x10f0_0000..<0x1200_0000).contains(address) || (code &- 0x10000..<code &+ codeSize).contains(address)
  }
}
