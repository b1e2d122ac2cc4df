// A decoded instruction: a small value without pointers. It holds the fields of the encoding, extended by REX, VEX and
// EVEX; what the fields mean is the row's knowledge (`RowInfo`), joined with them by `operand(_:)`.

/// The prefixes that were present, and what became of them.
@frozen public struct Prefixes: OptionSet, Sendable {
  public let rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  /// F0
  @inlinable public static var lock: Prefixes { Prefixes(rawValue: 1 << 0) }
  /// F3 and F2, whichever came last; also where they select the instruction.
  @inlinable public static var rep: Prefixes { Prefixes(rawValue: 1 << 1) }
  @inlinable public static var repne: Prefixes { Prefixes(rawValue: 1 << 2) }
  /// 66 and 67
  @inlinable public static var operandSize: Prefixes { Prefixes(rawValue: 1 << 3) }
  @inlinable public static var addressSize: Prefixes { Prefixes(rawValue: 1 << 4) }
  /// A REX prefix in force; the W bit of REX, VEX or EVEX.
  @inlinable public static var rex: Prefixes { Prefixes(rawValue: 1 << 5) }
  @inlinable public static var w: Prefixes { Prefixes(rawValue: 1 << 6) }
  @inlinable public static var vex: Prefixes { Prefixes(rawValue: 1 << 7) }
  @inlinable public static var evex: Prefixes { Prefixes(rawValue: 1 << 8) }
  /// EVEX.z; EVEX.b (broadcast, rounding or suppressed exceptions).
  @inlinable public static var zeroing: Prefixes { Prefixes(rawValue: 1 << 9) }
  @inlinable public static var evexB: Prefixes { Prefixes(rawValue: 1 << 10) }
  /// A segment override in force is in `Instruction.segment`; this says that there is one.
  @inlinable public static var segment: Prefixes { Prefixes(rawValue: 1 << 11) }
  /// The operand in ModRM.rm is memory.
  @inlinable public static var memory: Prefixes { Prefixes(rawValue: 1 << 12) }
}

/// One decoded instruction; 48 bytes.
@frozen public struct Instruction: Sendable {
  /// In `base` and `index`: there is none. In `base`: RIP (or EIP), that is, the next instruction's address.
  @inlinable public static var none: UInt8 { 255 }
  @inlinable public static var relative: UInt8 { 254 }

  /// Extended to 64 bits as the row says (`imm8s`, `rel32`), else as an unsigned number.
  public var immediate: Int64 = 0
  /// Displacement of the memory operand, EVEX scaling applied; or the absolute offset of `moffs`.
  public var displacement: Int64 = 0
  /// `RowInfo(id: row)`
  public var row: UInt16 = 0
  public var prefixes = Prefixes()
  /// ENTER's nesting level, a far pointer's selector, the constant beside `is4`.
  public var secondImmediate: UInt16 = 0
  /// Bytes, 1–15.
  public var length: UInt8 = 0
  public var mode = OperatingMode.bits64
  /// Effective sizes in bits: 16, 32, 64.
  public var operandSize: UInt8 = 32
  public var addressSize: UInt8 = 64
  /// The opcode byte, and ModRM as it stands in memory.
  public var opcode: UInt8 = 0
  public var modRM: UInt8 = 0
  /// Register numbers, 0–31: ModRM.reg, ModRM.rm (register form), VEX.vvvv, the opcode's low bits, is4.
  public var reg: UInt8 = 0
  public var rm: UInt8 = 0
  public var vvvv: UInt8 = 0
  public var opcodeRegister: UInt8 = 0
  public var is4: UInt8 = 0
  /// The memory operand: register numbers (0–31), `none` or `relative`; log2 of the scale.
  public var base: UInt8 = 255
  public var index: UInt8 = 255
  public var scale: UInt8 = 0
  /// The memory operand's segment, after overrides and defaults.
  public var segment = Segment.ds
  /// 0 128, 1 256, 2 512 bits; EVEX rounding control when rounding is embedded.
  public var vectorLength: UInt8 = 0
  public var roundingControl: UInt8 = 0
  /// EVEX.aaa
  public var opmask: UInt8 = 0
  /// Offsets in bytes: behind legacy prefixes and REX (the opcode, its escape, or VEX, EVEX, XOP); ModRM, 0 when there is
  /// none; behind the memory operand (the immediates).
  public var opcodeOffset: UInt8 = 0
  public var modRMOffset: UInt8 = 0
  public var immediateOffset: UInt8 = 0

  @inlinable public init() {}

  @inlinable public var hasMemoryOperand: Bool { prefixes.contains(.memory) }
  public var info: RowInfo { RowInfo(id: row) }
}

/// A memory operand as an instruction names it.
@frozen public struct MemoryOperand: Equatable, Sendable {
  public var segment: Segment
  /// nil: no base. RIP: relative to the next instruction.
  public var base: Register?
  /// A general or, with VSIB, a vector register.
  public var index: Register?
  /// 1, 2, 4, 8
  public var scale: UInt8
  public var displacement: Int64
  /// Bits; 0 when the operand has no size (LEA, FXSAVE).
  public var width: Int
  /// Bits of the element that EVEX broadcasts; 0: none.
  public var broadcastWidth: Int

  public init(
    segment: Segment, base: Register?, index: Register?, scale: UInt8, displacement: Int64, width: Int,
    broadcastWidth: Int
  ) {
    (self.segment, self.base, self.index, self.scale) = (segment, base, index, scale)
    (self.displacement, self.width, self.broadcastWidth) = (displacement, width, broadcastWidth)
  }
}

/// A printed operand with its values.
public enum OperandValue: Equatable, Sendable {
  case none
  case register(Register)
  case memory(MemoryOperand)
  /// Extended or truncated to `width` bits of the operation.
  case immediate(Int64, width: Int)
  /// Distance from the next instruction.
  case relative(Int64)
  case farPointer(selector: UInt16, offset: UInt32)
}

extension Instruction {
  /// The operand at `index` in printed order.
  public func operand(_ index: Int) -> OperandValue { value(of: info.operand(index)) }

  /// The operand that `operand`, one of this instruction's row, stands for.
  public func value(of operand: OperandInfo) -> OperandValue {
    switch operand.kind {
    case .none: return .none
    case .immediate:
      // ENTER's second immediate is narrower than its first; only a far pointer and ENTER have two.
      let isSecond = operand.width == 8 && info.secondImmediateCode != 0 && info.immediateCode == 2
      let width = operand.isSignExtended ? Int(operandSize) : operand.width
      return .immediate(isSecond ? Int64(secondImmediate) : immediate, width: width)
    case .constant: return .immediate(Int64(operand.fixed), width: 8)
    case .relative: return .relative(immediate)
    case .farPointer:
      return .farPointer(selector: secondImmediate, offset: UInt32(truncatingIfNeeded: immediate))
    case .memoryOffset:
      return .memory(
        MemoryOperand(
          segment: segment, base: nil, index: nil, scale: 1, displacement: displacement,
          width: operand.memoryWidth, broadcastWidth: 0))
    default: break
    }
    if operand.letter == .modRM, hasMemoryOperand { return .memory(memory(operand)) }
    return .register(register(operand))
  }

  private func register(_ operand: OperandInfo) -> Register {
    let number: UInt8 =
      switch operand.letter {
      case .register: reg
      case .modRM: rm
      case .vvvv: vvvv
      case .opcode: opcodeRegister
      case .is4: is4
      default: operand.fixed
      }
    switch operand.kind {
    case .general: return general(number, width: operand.width, isFixed: operand.letter == .fixed)
    case .segment: return Register(.segment, number & 7)
    case .control: return Register(.control, number & 15)
    case .debug: return Register(.debug, number & 15)
    case .x87: return Register(.x87, number & 7)
    case .mmx: return Register(.mmx, number & 7)
    case .mask: return Register(.mask, number & 7)
    case .ymm: return Register(.ymm, number)
    case .zmm: return Register(.zmm, number)
    default: return Register(.xmm, number)
    }
  }

  private func general(_ number: UInt8, width: Int, isFixed: Bool) -> Register {
    let isHigh =
      width == 8 && number >= 4 && number < 8 && !isFixed && prefixes.isDisjoint(with: [.rex, .vex, .evex])
    if isHigh { return Register(.general8High, number &- 4) }
    return Register(general: number & 15, width: width)
  }

  private func memory(_ operand: OperandInfo) -> MemoryOperand {
    let addressWidth = Int(addressSize)
    var baseRegister: Register?
    if base == Instruction.relative {
      baseRegister = Register(.instructionPointer, addressSize == 32 ? 4 : 8)
    } else if base != Instruction.none {
      baseRegister = Register(general: base, width: addressWidth)
    }
    var indexRegister: Register?
    if operand.kind == .vectorMemory {
      indexRegister = Register(operand.width == 128 ? .xmm : operand.width == 256 ? .ymm : .zmm, index)
    } else if index != Instruction.none {
      indexRegister = Register(general: index, width: addressWidth)
    }
    let broadcasts = prefixes.contains(.evexB) ? operand.broadcastWidth : 0
    return MemoryOperand(
      segment: segment, base: baseRegister, index: indexRegister, scale: 1 &<< scale,
      displacement: displacement,
      width: operand.memoryWidth, broadcastWidth: broadcasts)
  }
}
