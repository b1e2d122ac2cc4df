// What the checker has to know of a piece of emitted code besides its bytes, and what it says against it. Plain values.

import CHost
import Translator

/// A piece of host code: a block, the indirect entry of a block or a link to one, or the code that all blocks share.
struct EmittedCode {
  var address: UInt64
  var bytes: [UInt8]
  /// For blocks: kinds of the pieces of code by their first byte, and the exits by the byte where their stub begins.
  var entries: [(host: Int, kind: Int)] = []
  var exits: [Int: TranslatedBlock.ExitKind] = [:]
  /// The jumps that leave for want of a budget, by their first byte, and where they lead. They lie in front of what branches to
  /// them, also in front of the block.
  var budgetJumps: [Int: Int] = [:]
  /// The code that all blocks share may be entered anywhere and moves the shadow stack.
  var isCommon = false

  init(address: UInt64, bytes: [UInt8], isCommon: Bool = false) {
    (self.address, self.bytes, self.isCommon) = (address, bytes, isCommon)
  }

  init(_ block: TranslatedBlock) {
    (address, bytes) = (block.hostAddress, block.host)
    entries = block.entries.map { ($0.host, $0.kind) }
    for exit in block.exits {
      exits[exit.stub] = exit.kind
      if exit.kind == .budget { noteBudgetJump(exit.patch) }
    }
  }

  /// Reads the jump whose 32-bit distance is `patch` bytes from the block's beginning.
  private mutating func noteBudgetJump(_ patch: Int) {
    // SAFETY: the engine's code cache, which lives longer than this.
    guard let place = UnsafeRawPointer(bitPattern: Int(address) + patch),
      (place - 1).load(as: UInt8.self) == 0xe9
    else { return }
    budgetJumps[patch - 1] = patch + 4 + Int(place.loadUnaligned(as: Int32.self))
  }

  /// The kind of the piece that byte `offset` belongs to.
  func kind(at offset: Int) -> Int {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].host <= offset { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? 0 : entries[low - 1].kind
  }

  /// Whether a guest instruction begins at byte `offset`: a signal may show the guest its registers there.
  func isBorder(_ offset: Int) -> Bool {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].host < offset { low = middle + 1 } else { high = middle }
    }
    while low < entries.count, entries[low].host == offset {
      if entries[low].kind == VT_ENTRY_INSTRUCTION { return true }
      low += 1
    }
    return false
  }
}

/// Addresses that emitted code may go to and read from.
struct CacheLayout {
  /// The way out, the code for an indirect branch without a block, the table of indirect entries.
  var leave: UInt64 = 0
  /// The code that makes a system call, and goes on at R12, or leaves.
  var directCall: UInt64 = 0
  var indirectMiss: UInt64 = 0
  /// The code that looks an indirect branch's target up.
  var indirectLookup: UInt64 = 0
  var table: Int64 = 0
  /// In code that counts: where the state is that it addresses, and the ways out behind `leave` and `directCall`.
  var state: Int64?
  var permanent: [UInt64] = []
  /// Host addresses where blocks and indirect entries begin: the same holds there.
  var blocks: Set<UInt64> = []
}

/// Why a piece of code is not accepted.
struct Violation: Error, CustomStringConvertible {
  var offset: Int
  var message: String
  var description: String { "+0x\(String(offset, radix: 16)): \(message)" }
}
