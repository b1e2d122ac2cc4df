// What the block builder has to know of a row beyond the decoded instruction; isagen packs it into one word a row
// (HandlerEmitter.fields(of:)).

/// How a row's operation is filled in.
struct RowFields {
  let bits: UInt32

  init(row: Int) { bits = row < HandlerTable.rowFields.count ? HandlerTable.rowFields[row] : 0 }

  /// What a register field of the operation holds.
  enum Kind: UInt32 {
    case number = 0
    case general = 1
    case byte = 2
  }

  private func kind(_ shift: UInt32) -> Kind { Kind(rawValue: (bits &>> shift) & 3) ?? .number }
  /// ModRM.reg; ModRM.rm or the opcode's register; VEX.vvvv.
  var a: Kind { kind(0) }
  var b: Kind { kind(2) }
  var c: Kind { kind(4) }
  /// The memory operand has a vector of indices.
  var isIndexed: Bool { bits & 1 &<< 6 != 0 }
  /// A string instruction: the handler depends on the REP prefix.
  var isString: Bool { bits & 1 &<< 7 != 0 }
  var isPrivileged: Bool { bits & 1 &<< 8 != 0 }
  var isLoadEffectiveAddress: Bool { bits & 1 &<< 9 != 0 }
  /// The memory operand is written.
  var writesMemory: Bool { bits & 1 &<< 10 != 0 }
  /// The register of field `b` is in the opcode byte.
  var hasOpcodeRegister: Bool { bits & 1 &<< 11 != 0 }
  var flow: Flow { Flow(rawValue: UInt8(truncatingIfNeeded: (bits &>> 16) & 0xff)) ?? .none }
  /// Condition code of a conditional branch.
  var condition: Int { Int((bits &>> 24) & 15) }

  /// Index + 1 of the handler in slot `form` of the row, 0 for none.
  static func handler(row: Int, form: Int) -> Int {
    let index = row &* 4 &+ form
    return index < HandlerTable.rowHandlers.count ? Int(HandlerTable.rowHandlers[index]) : 0
  }
}
