// What a row says of one operand: what it may be, how wide, where it is encoded, how it is accessed. One packed word of
// the generated tables.

/// A printed operand of a row.
@frozen public struct OperandInfo: Equatable, Sendable {
  let word: UInt32

  init(word: UInt32) { self.word = word }

  /// Numbers are shared with Tools/isagen (`Operand.Kind`).
  public enum Kind: UInt8, Sendable {
    case none
    /// A general register, or memory where the row allows it; so for the vector kinds.
    case general
    case memory, immediate, relative, memoryOffset, segment, control, debug
    case x87, mmx, xmm, ymm, zmm, mask, farPointer, farMemory, constant, vectorMemory
  }
  /// The letters of column Op/En.
  public enum Letter: UInt8, Sendable {
    case fixed, register, modRM, vvvv, opcode, immediate, is4, relative, offset
  }
  public enum Access: UInt8, Sendable {
    case none, read, write, readWrite, conditionalWrite, address
  }

  public var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: word & 31)) ?? .none }
  public var letter: Letter { Letter(rawValue: UInt8(truncatingIfNeeded: word &>> 5 & 15)) ?? .fixed }
  public var access: Access { Access(rawValue: UInt8(truncatingIfNeeded: word &>> 9 & 7)) ?? .none }
  /// Bits of the register form, or of the immediate; 0: none.
  public var width: Int { Self.bits(word &>> 12 & 15) }
  /// Bits of the memory form; 0: none, or memory without size (`m`).
  public var memoryWidth: Int { Self.bits(word &>> 16 & 15) }
  /// A fixed register's number or a constant's value.
  public var fixed: UInt8 { UInt8(truncatingIfNeeded: word &>> 20 & 31) }
  /// Implied by the opcode, yet printed: `<XMM0>`.
  public var isImplied: Bool { word &>> 25 & 1 != 0 }
  /// The immediate is extended to the operand size.
  public var isSignExtended: Bool { word &>> 26 & 1 != 0 }
  /// EVEX: bits of a broadcast element; 0 when the row does not allow it.
  public var broadcastWidth: Int { word &>> 27 & 3 == 0 ? 0 : 8 &<< Int(word &>> 27 & 3) }
  public var isMasked: Bool { word &>> 29 & 1 != 0 }
  /// Bits of an index in a VSIB operand: 32 or 64; `width` is the index register's.
  public var indexElementWidth: Int { word &>> 30 & 1 != 0 ? 64 : 32 }

  private static func bits(_ code: UInt32) -> Int {
    switch code {
    case 0: 0
    case 5: 80
    case 9: 48
    case 6, 7, 8: 2 &<< Int(code)
    default: 4 &<< Int(code)
    }
  }
}
