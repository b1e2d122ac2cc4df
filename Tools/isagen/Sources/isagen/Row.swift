// The model of one row of `ISA/*.isa`: an encoding of an instruction and all that is said of it. Pure values, made by the
// parser, read by the emitters. Nothing here knows how the tables look. The columns are described in ISA/README.md.

/// One row: one encoding of one instruction.
struct Row {
  /// Position among all rows: files in alphabetic order, rows in the order of their file.
  var id: Int
  /// The file's name without directory (`base.isa`) and the line, counted from 1.
  var file: String
  var line: Int
  var encoding: Encoding
  /// Upper case, as written: `ADD`.
  var mnemonic: String
  var operands: [Operand]
  var flags: FlagEffects
  /// CPUID features; all are needed.
  var features: [String]
  /// nil: decoded and disassembled, but not executable.
  var semantic: SemanticCall?
  var attributes: Set<Attribute>

  /// `base.isa:12`, for messages.
  var location: String { "\(file):\(line)" }
}

/// Which bytes select the row.
struct Encoding {
  enum Space: String { case legacy, vex, evex, xop }
  /// Opcode maps, by raw value as VEX, EVEX and XOP number them; 0 is the one-byte map.
  enum Map: Int { case oneByte = 0, map0F, map0F38, map0F3A, map4, map5, map6, map7, map8, map9, map10 }
  /// `.any`: 66, F2 and F3 are ordinary prefixes of the row.
  enum MandatoryPrefix: Int { case any, none, p66, pF3, pF2, p66F3, p66F2 }
  enum VectorLength: Int { case ignored, l128, l256, l512, zero }
  enum ModRM: Equatable {
    case absent
    /// `/r`, `/vsib`
    case register, vsib
    /// `/0` … `/7`
    case digit(Int)
    /// `=D0`
    case exact(Int)
    /// `C0+i`: the first of eight ModRM bytes
    case stack(Int)
  }
  enum Immediate: String {
    case ib, iw, id, io, cb, cw, cd, is4, moffs, cp

    /// Bytes; nil when the operand or address size decides.
    var size: Int? {
      switch self {
      case .ib, .cb, .is4: 1
      case .iw, .cw: 2
      case .id, .cd: 4
      case .io: 8
      case .moffs, .cp: nil
      }
    }
  }

  /// The column as written.
  var text: String
  var space = Space.legacy
  var map = Map.oneByte
  var opcode = 0
  /// `50+r`: the opcode's low three bits are a register number.
  var opcodeHoldsRegister = false
  var prefix = MandatoryPrefix.any
  /// REX.W, VEX.W, EVEX.W: required value, nil when ignored.
  var w: Bool?
  /// `REX.B0`
  var requiresNoB = false
  var vectorLength = VectorLength.ignored
  /// `o16` `o32` `o64`; `a16` `a32` `a64`
  var operandSize: Int?
  var addressSize: Int?
  var modRM = ModRM.absent
  var immediates: [Immediate] = []
}

/// One printed operand.
struct Operand {
  enum Kind: Int {
    case none, general, memory, immediate, relative, memoryOffset, segment, control, debug
    case x87, mmx, xmm, ymm, zmm, mask, farPointer, farMemory, constant, vectorMemory
  }
  /// Where it is encoded (the column Op/En).
  enum Letter: Int {
    case fixed, register, modRM, vvvv, opcode, immediate, is4, relative, offset

    init?(_ letter: Character) {
      guard let index = "FRMVOISDL".firstIndex(of: letter) else { return nil }
      self.init(rawValue: "FRMVOISDL".distance(from: "FRMVOISDL".startIndex, to: index))
    }
  }
  enum Access: String, CaseIterable {
    case none = "-"
    case read = "r"
    case write = "w"
    case readWrite = "rw"
    case conditionalWrite = "cw"
    case address = "a"
  }

  /// As written: `r/m64`, `xmm2/m128`, `<XMM0>`, `imm8s`.
  var word: String
  var kind = Kind.none
  /// Bits of the register form or of the immediate; 0: none.
  var width = 0
  /// Bits of the memory form; 0: no memory form, or `m` without size.
  var memoryWidth = 0
  var allowsRegister = false
  var allowsMemory = false
  /// Number of a fixed register (`CL` is 1), or a constant's value.
  var fixed = 0
  /// `<XMM0>`: implied, but printed.
  var isImplied = false
  /// `imm8s`: extended to the operand size.
  var isSignExtended = false
  /// Bits of the element of an index register: 32 or 64 for VSIB operands; `width` is the index register's.
  var indexElementWidth = 0
  /// EVEX: bits of a broadcast element, opmask `{k1}`, `{z}`, `{er}`, `{sae}`.
  var broadcastWidth = 0
  var isMasked = false
  var zeroes = false
  var rounds = false
  var suppressesExceptions = false
  var letter = Letter.fixed
  var access = Access.none
}

/// What the instruction does with RFLAGS and the x87 condition codes; names as in ISA/README.md, in the row's order.
struct FlagEffects: Equatable {
  var read: [String] = []
  var written: [String] = []
  var undefined: [String] = []
  var cleared: [String] = []
  var set: [String] = []

  /// Bits: positions in RFLAGS; C0–C3 of the x87 status word are bits 24–27.
  static let positions: [String: Int] = [
    "CF": 0, "PF": 2, "AF": 4, "ZF": 6, "SF": 7, "TF": 8, "IF": 9, "DF": 10, "OF": 11, "IOPL": 12, "NT": 14,
    "RF": 16, "VM": 17, "AC": 18, "VIF": 19, "VIP": 20, "ID": 21, "C0": 24, "C1": 25, "C2": 26, "C3": 27,
  ]

  static func mask(_ names: [String]) -> UInt32 {
    names.reduce(0) { $0 | ($1 == "IOPL" ? 3 << 12 : 1 << UInt32(positions[$1] ?? 31)) }
  }
}

/// The Swift call that gives the row its meaning.
struct SemanticCall: Equatable {
  enum Argument: Equatable {
    /// Index into `operands`, from 0 (`$1` is 0).
    case operand(Int)
    /// `.overflow`, without the dot
    case enumCase(String)
    case literal(Int)
    /// `U8`, `W64`
    case type(String)
  }
  var name: String
  var arguments: [Argument]
}

/// Words of the last column; the raw value is the bit in the generated tables as well.
enum Attribute: String, CaseIterable {
  case lock, rep, repcc, d64, f64, i64, o64, align, priv, flow, alias, modless, implicit
}

/// One parsed instruction set, and a message with its place.
struct InstructionSet {
  var rows: [Row]
  /// Names of the files that were read, in order.
  var files: [String]
}

struct Problem: Error {
  var location: String
  var message: String
  var description: String { "\(location): \(message)" }
}
