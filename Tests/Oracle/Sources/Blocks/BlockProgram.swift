// A generated block: a list of instructions and labels, the memory cells that it needs, and how it becomes bytes at an
// address. Instructions keep their encodings when others are taken away; only what depends on the address is filled in
// again: relative branches, RIP-relative displacements, addresses of labels in registers and tables.

/// A place in a block that branches can name.
typealias BlockLabel = Int

/// What depends on where an instruction or its target lies. Offsets are counted from the instruction's first byte.
enum BlockFixup {
  case none
  /// The last byte, or the last four bytes, are the distance to a label.
  case relative8(BlockLabel)
  case relative32(BlockLabel)
  /// The four bytes at `offset` are the distance from the next instruction to an address.
  case instructionPointer(target: UInt64, offset: Int)
  /// The four or eight bytes at `offset` are the address of a label.
  case address(BlockLabel, offset: Int, size: Int)
}

/// Where execution goes on.
enum BlockFlow {
  case next
  case jump(BlockLabel)
  /// To the label or on.
  case branch(BlockLabel)
  /// Calls one of these subroutines; the next item is where they return to.
  case call([BlockLabel])
  /// A jump to one of these, also a return whose address was changed.
  case indirect([BlockLabel])
  /// Returns from the subroutine that starts at the label.
  case leave(BlockLabel)
  case stop
}

/// One instruction, or a label when `label` is set.
struct BlockItem {
  var label: BlockLabel?
  var bytes: [UInt8] = []
  var fixup = BlockFixup.none
  var flow = BlockFlow.next
  /// Flags that it needs to be defined.
  var reads: UInt32 = 0
  /// Flags that are defined behind it, whatever they were.
  var defines: UInt32 = 0
  var undefines: UInt32 = 0
  /// Subtracted from the general coverage: which row it is an example of.
  var row: Int?
}

/// A block with everything needed to run it.
struct BlockProgram {
  /// The number that makes it again: `oracle --only SEED`.
  var seed: UInt64
  var items: [BlockItem] = []
  /// Memory cells that hold addresses of labels, and constants.
  var labelCells: [(address: UInt64, label: BlockLabel)] = []
  var constants: [(address: UInt64, value: UInt64)] = []
  /// General registers at the start.
  var registers = [UInt64](repeating: 0, count: 16)
  var fsBase: UInt64 = 0
  var gsBase: UInt64 = 0

  var instructionCount: Int { items.reduce(0) { $0 + ($1.label == nil ? 1 : 0) } }
}

/// A block as bytes.
struct AssembledBlock {
  var address: UInt64 = 0
  var bytes: [UInt8] = []
  /// The address of each item.
  var places: [UInt64] = []
  var labels: [BlockLabel: UInt64] = [:]
}

extension BlockProgram {
  /// The block's bytes at `address`; nil when a short branch does not reach its label or the slot is too small.
  func assemble(at address: UInt64) -> AssembledBlock? {
    var block = AssembledBlock(address: address)
    block.places.reserveCapacity(items.count)
    var place = address
    for item in items {
      block.places.append(place)
      if let label = item.label { block.labels[label] = place }
      place &+= UInt64(item.bytes.count)
    }
    guard place - address < BlockLayout.slotSize - 16 else { return nil }
    block.bytes.reserveCapacity(Int(place - address))
    for (index, item) in items.enumerated() {
      let start = block.bytes.count
      block.bytes += item.bytes
      if !resolve(item, at: block.places[index], start, &block) { return nil }
    }
    return block
  }

  private func resolve(_ item: BlockItem, at place: UInt64, _ start: Int, _ block: inout AssembledBlock)
    -> Bool
  {
    let next = place &+ UInt64(item.bytes.count)
    switch item.fixup {
    case .none: return true
    case .relative8(let label):
      guard let target = block.labels[label] else { return false }
      let distance = Int64(bitPattern: target &- next)
      guard distance >= -128, distance <= 127 else { return false }
      BlockProgram.put(UInt64(bitPattern: distance), 1, at: start + item.bytes.count - 1, &block.bytes)
    case .relative32(let label):
      guard let target = block.labels[label] else { return false }
      BlockProgram.put(target &- next, 4, at: start + item.bytes.count - 4, &block.bytes)
    case .instructionPointer(let target, let offset):
      BlockProgram.put(target &- next, 4, at: start + offset, &block.bytes)
    case .address(let label, let offset, let size):
      guard let target = block.labels[label] else { return false }
      BlockProgram.put(target, size, at: start + offset, &block.bytes)
    }
    return true
  }

  static func put(_ value: UInt64, _ count: Int, at offset: Int, _ bytes: inout [UInt8]) {
    for index in 0..<count { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
  }
}
