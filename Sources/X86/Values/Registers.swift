// Registers as values, with the names that both assembler syntaxes use.

/// What a register number counts in.
public enum RegisterClass: UInt8, Sendable {
  /// AL, CL, DL, BL, SPL …; numbers 0–15.
  case general8
  /// AH, CH, DH, BH; numbers 0–3 are the registers whose second byte is meant.
  case general8High
  case general16, general32, general64
  case segment, control, debug, x87, mmx, xmm, ymm, zmm, mask
  /// RIP and EIP, the base of relative addresses.
  case instructionPointer

  /// Bits; 0 where it depends on the mode (control and debug registers).
  public var width: Int {
    switch self {
    case .general8, .general8High: 8
    case .general16, .segment: 16
    case .general32: 32
    case .general64, .mmx, .mask, .instructionPointer: 64
    case .x87: 80
    case .xmm: 128
    case .ymm: 256
    case .zmm: 512
    case .control, .debug: 0
    }
  }
}

/// A register of the guest.
@frozen public struct Register: Hashable, Sendable {
  public var registerClass: RegisterClass
  /// 0–31; the number that encodings use.
  public var number: UInt8

  public init(_ registerClass: RegisterClass, _ number: UInt8) {
    self.registerClass = registerClass
    self.number = number
  }

  /// A general register of 8, 16, 32 or 64 bits.
  public init(general number: UInt8, width: Int) {
    self.number = number
    switch width {
    case 8: registerClass = .general8
    case 16: registerClass = .general16
    case 32: registerClass = .general32
    default: registerClass = .general64
    }
  }

  /// Lower case, without AT&T's percent sign: `rax`, `r10d`, `st(1)`, `xmm3`.
  public var name: String {
    String(text: 16) { write(to: &$0) }
  }

  /// Appends the name to `buffer`.
  public func write(to buffer: inout TextBuffer) {
    switch registerClass {
    case .general8: writeGeneral(&buffer, prefix: "", suffix: "b", names: Self.low8Names)
    case .general8High: buffer.append(Self.pick("ahchdhbh", number & 3, 2))
    case .general16: writeGeneral(&buffer, prefix: "", suffix: "w", names: Self.stems)
    case .general32: writeGeneral(&buffer, prefix: "e", suffix: "d", names: Self.stems)
    case .general64: writeGeneral(&buffer, prefix: "r", suffix: "", names: Self.stems)
    case .segment: buffer.append(Self.pick("escsssdsfsgs????", number & 7, 2))
    case .control: writeNumbered(&buffer, "cr")
    case .debug: writeNumbered(&buffer, "dr")
    case .x87:
      buffer.append(number == 0 ? "st" : "st(")
      if number != 0 {
        buffer.append(decimal: UInt64(number & 7))
        buffer.append(")")
      }
    case .mmx: writeNumbered(&buffer, "mm")
    case .xmm: writeNumbered(&buffer, "xmm")
    case .ymm: writeNumbered(&buffer, "ymm")
    case .zmm: writeNumbered(&buffer, "zmm")
    case .mask: writeNumbered(&buffer, "k")
    case .instructionPointer: buffer.append(number == 4 ? "eip" : "rip")
    }
  }

  private static var stems: StaticString { "axcxdxbxspbpsidi" }
  private static var low8Names: StaticString { "al cl dl bl splbplsildil" }

  private static func pick(_ text: StaticString, _ index: UInt8, _ length: Int) -> TextSlice {
    TextSlice(text: text, offset: Int(index) &* length, count: length)
  }

  private func writeNumbered(_ buffer: inout TextBuffer, _ prefix: StaticString) {
    buffer.append(prefix)
    buffer.append(decimal: UInt64(number))
  }

  private func writeGeneral(
    _ buffer: inout TextBuffer, prefix: StaticString, suffix: StaticString, names: StaticString
  ) {
    guard number < 8 else {
      buffer.append("r")
      buffer.append(decimal: UInt64(number))
      buffer.append(suffix)
      return
    }
    buffer.append(prefix)
    if registerClass == .general8 {
      var name = Self.pick(names, number, 3)
      if number < 4 { name = TextSlice(text: names, offset: Int(number) &* 3, count: 2) }
      buffer.append(name)
    } else {
      buffer.append(Self.pick(names, number, 2))
    }
  }
}

/// A segment register, by the number that encodings use.
public enum Segment: UInt8, CaseIterable, Sendable {
  case es, cs, ss, ds, fs, gs
}

/// What the processor takes addresses and operands to be by default.
public enum OperatingMode: UInt8, CaseIterable, Sendable {
  /// Real mode, virtual-8086 mode and 16-bit protected mode.
  case bits16
  case bits32
  case bits64
}
