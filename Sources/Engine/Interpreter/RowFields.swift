// What the block builder has to know of a row beyond the decoded instruction; isagen packs it into one word a row
// (HandlerEmitter.fields(of:)).

/// How a row's operation is filled in.
struct RowFields {
  let bits: UInt64

  init(row: Int) { bits = row < HandlerTable.rowFields.count ? HandlerTable.rowFields[row] : 0 }

  /// What a register field of the operation holds.
  enum Kind: UInt64 {
    case number = 0
    case general = 1
    case byte = 2
  }

  private func kind(_ shift: UInt64) -> Kind { Kind(rawValue: (bits &>> shift) & 3) ?? .number }
  private func property(_ index: UInt64) -> Bool { (bits &>> (6 &+ index)) & 1 != 0 }

  /// ModRM.reg; ModRM.rm or the opcode's register; VEX.vvvv.
  var a: Kind { kind(0) }
  var b: Kind { kind(2) }
  var c: Kind { kind(4) }
  /// The memory operand has a vector of indices.
  var isIndexed: Bool { property(0) }
  /// A string instruction: the handler depends on the REP prefix.
  var isString: Bool { property(1) }
  var isPrivileged: Bool { property(2) }
  var isLoadEffectiveAddress: Bool { property(3) }
  /// The register of field `b` is in the opcode byte.
  var hasOpcodeRegister: Bool { property(4) }
  /// The memory operand is an absolute offset (moffs).
  var hasMemoryOffset: Bool { property(5) }
  /// The semantic gets the segment of an operand that is not written.
  var isImplicit: Bool { property(6) }
  var isPop: Bool { property(7) }
  /// The semantic adds to the operand's address (VSIB, bit strings), so that it has to wrap it to 32 bits itself.
  var completesAddress: Bool { property(8) }
  /// What comes behind it may be executed one by one: it writes TF.
  var mayBeginTraps: Bool { property(9) }
  var flow: Flow { Flow(rawValue: UInt8(truncatingIfNeeded: bits &>> 16)) ?? .none }
  /// Condition code of a conditional branch.
  var condition: Int { Int((bits &>> 24) & 15) }
  /// A compare or test that a branch behind it can absorb.
  var fused: FusedCompare? {
    let kind = Int((bits &>> 32) & 0xff)
    return kind == 0 ? nil : FusedCompare(kind: kind &- 1, order: UInt8((bits &>> 40) & 3))
  }

  /// Index + 1 of the handler in slot `form` of the row, 0 for none.
  static func handler(row: Int, form: Int) -> Int {
    let index = row &* 3 &+ form
    return index < HandlerTable.rowHandlers.count ? Int(HandlerTable.rowHandlers[index]) : 0
  }
}

/// How a compare of registers becomes part of a branch.
struct FusedCompare {
  /// Row of `BranchTable.fused`.
  var kind: Int
  /// Where the first operand is: 0 field `a`, 1 field `b`, 2 the accumulator.
  var order: UInt8
}
