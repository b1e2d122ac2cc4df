// What is known of an instruction beyond its bytes: the row of `ISA/*.isa` it was matched by. A `RowInfo` is two words of
// the generated tables; their packing is drawn in Tools/isagen/Sources/isagen/RowPacking.swift. Owns nothing.

/// One row of the instruction set.
@frozen public struct RowInfo: Equatable, Sendable {
  /// Position among all rows, below `RowInfo.count`.
  public let id: UInt16
  let first: UInt64
  let second: UInt64

  /// The row `id`; ids beyond the table give row 0.
  public init(id: UInt16) {
    let known = Int(id) < RowInfo.count ? Int(id) : 0
    self.id = UInt16(truncatingIfNeeded: known)
    first = rowFirstWords[known]
    second = rowSecondWords[known]
  }

  /// Words of the row's last column, see ISA/README.md.
  public struct Attributes: OptionSet, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// LOCK is allowed with a memory operand.
    public static var lock: Attributes { Attributes(rawValue: 1 << 0) }
    /// A string instruction that REP repeats.
    public static var rep: Attributes { Attributes(rawValue: 1 << 1) }
    /// A string instruction that REPE and REPNE repeat.
    public static var repcc: Attributes { Attributes(rawValue: 1 << 2) }
    /// Operand size 64 by default, or always, in 64-bit mode.
    public static var defaults64: Attributes { Attributes(rawValue: 1 << 3) }
    public static var forces64: Attributes { Attributes(rawValue: 1 << 4) }
    public static var invalidIn64: Attributes { Attributes(rawValue: 1 << 5) }
    public static var only64: Attributes { Attributes(rawValue: 1 << 6) }
    /// A memory operand must be aligned to its size.
    public static var aligned: Attributes { Attributes(rawValue: 1 << 7) }
    public static var privileged: Attributes { Attributes(rawValue: 1 << 8) }
    /// Ends a block: branches, system calls, traps.
    public static var flow: Attributes { Attributes(rawValue: 1 << 9) }
    public static var alias: Attributes { Attributes(rawValue: 1 << 10) }
    /// ModRM.mod is ignored; the operand is a register.
    public static var modless: Attributes { Attributes(rawValue: 1 << 11) }
  }

  /// How the opcode is introduced.
  public enum Space: UInt8, Sendable { case legacy, vex, evex, xop }

  /// The prefix that is part of the opcode.
  public enum MandatoryPrefix: UInt8, Sendable { case any, none, p66, pF3, pF2, p66F3, p66F2 }

  /// Vector length that the row asks for.
  public enum VectorLength: UInt8, Sendable { case ignored, l128, l256, l512, zero }

  public var attributes: Attributes { Attributes(rawValue: UInt16(truncatingIfNeeded: first &>> 46) & 0xfff) }
  public var operandCount: Int { Int(truncatingIfNeeded: first &>> 35) & 7 }
  public var space: Space { Space(rawValue: UInt8(truncatingIfNeeded: first &>> 58) & 3) ?? .legacy }
  public var usesVSIB: Bool { first &>> 61 & 1 != 0 }
  var usesVVVV: Bool { first &>> 60 & 1 != 0 }
  var immediateCode: UInt64 { first &>> 38 & 15 }
  var secondImmediateCode: UInt64 { first &>> 42 & 15 }

  /// The operand at `index` in printed order; one of kind `.none` beyond the last.
  public func operand(_ index: Int) -> OperandInfo {
    guard index >= 0, index < operandCount else { return OperandInfo(word: 0) }
    return OperandInfo(word: operandWords[(Int(truncatingIfNeeded: first &>> 21) & 0x3fff) &+ index])
  }

  /// The first CPUID feature that the row needs; the second and third are nil in most rows.
  public var features: (Feature?, Feature?, Feature?) {
    (feature(10), feature(18), feature(26))
  }

  private func feature(_ shift: UInt64) -> Feature? {
    Feature(rawValue: UInt8(truncatingIfNeeded: second &>> shift))
  }

  /// The CPUID feature numbers that the row needs, as a set of bits (1 << rawValue).
  public var featureMask: (low: UInt64, high: UInt64) {
    var mask: (low: UInt64, high: UInt64) = (0, 0)
    for position in 0..<3 {
      let number = second &>> UInt64(10 &+ 8 &* position) & 0xff
      if number == 0 { continue }
      if number < 64 { mask.low |= 1 &<< number } else { mask.high |= 1 &<< (number &- 64) }
    }
    return mask
  }

  /// RFLAGS bits by their positions; C0–C3 of the x87 status word are bits 24–27.
  public var flagsRead: UInt32 { flags(0) }
  /// Written by the result; left undefined; cleared; set.
  public var flagsWritten: UInt32 { flags(1) }
  public var flagsUndefined: UInt32 { flags(2) }
  public var flagsCleared: UInt32 { flags(3) }
  public var flagsSet: UInt32 { flags(4) }

  private func flags(_ index: Int) -> UInt32 {
    flagWords[Int(truncatingIfNeeded: second & 0x3ff) &* 5 &+ index]
  }

  public var mandatoryPrefix: MandatoryPrefix {
    MandatoryPrefix(rawValue: UInt8(truncatingIfNeeded: second &>> 38) & 7) ?? .any
  }
  /// `o16`, `o32`, `o64`: 16, 32, 64; 0 when the row does not say.
  public var requiredOperandSize: Int { Self.size(second &>> 41 & 3) }
  /// `a16`, `a32`, `a64`: 16, 32, 64; 0 when the row does not say.
  public var requiredAddressSize: Int { Self.size(second &>> 43 & 3) }
  /// REX.W, VEX.W or EVEX.W that the row asks for; nil when it does not matter.
  public var requiredW: Bool? {
    let code = second &>> 45 & 3
    return code == 0 ? nil : code == 2
  }
  public var requiredVectorLength: VectorLength {
    VectorLength(rawValue: UInt8(truncatingIfNeeded: second &>> 58) & 7) ?? .ignored
  }

  private static func size(_ code: UInt64) -> Int { code == 0 ? 0 : 8 &<< Int(truncatingIfNeeded: code) }

  /// EVEX: log2 of the bytes that an 8-bit displacement counts in.
  var displacementScale: Int { Int(truncatingIfNeeded: second &>> 34) & 15 }
  public var allowsOpmask: Bool { second &>> 53 & 1 != 0 }
  public var allowsZeroing: Bool { second &>> 54 & 1 != 0 }
  public var allowsBroadcast: Bool { second &>> 55 & 1 != 0 }
  public var allowsRounding: Bool { second &>> 56 & 1 != 0 }
  public var allowsExceptionSuppression: Bool { second &>> 57 & 1 != 0 }

  /// The mnemonic in lower case.
  public var mnemonic: TextSlice {
    TextSlice(
      text: mnemonicText, offset: Int(truncatingIfNeeded: first & 0xffff),
      count: Int(truncatingIfNeeded: first &>> 16 & 31))
  }

  /// Where the row is written: file below `ISA/`, and line counted from 1.
  public var location: (file: TextSlice, line: Int) {
    let word = rowLocations[Int(id)]
    let place = fileNames[Int(word &>> 16)]
    let slice = TextSlice(text: fileText, offset: Int(place & 0xffff), count: Int(place &>> 16))
    return (slice, Int(word & 0xffff))
  }
}

/// A piece of a static string; ASCII.
public struct TextSlice: Equatable, Sendable {
  let text: StaticString
  let offset: Int
  /// Bytes.
  public let count: Int

  /// The byte at `index`; 0 beyond the end.
  public subscript(index: Int) -> UInt8 {
    guard index >= 0, index < count, offset &+ index < text.utf8CodeUnitCount else { return 0 }
    // SAFETY: the index was compared with the static string's length just above.
    return text.utf8Start[offset &+ index]
  }

  /// Whether the text equals `other`, a string of ASCII characters.
  public func equals(_ other: StaticString) -> Bool {
    count == other.utf8CodeUnitCount && hasPrefix(other)
  }

  /// Whether the text begins with `other`.
  public func hasPrefix(_ other: StaticString) -> Bool {
    guard count >= other.utf8CodeUnitCount else { return false }
    for index in 0..<other.utf8CodeUnitCount {
      // SAFETY: below the static string's own length.
      if self[index] != other.utf8Start[index] { return false }
    }
    return true
  }

  public static func == (left: TextSlice, right: TextSlice) -> Bool {
    guard left.count == right.count else { return false }
    for index in 0..<left.count where left[index] != right[index] { return false }
    return true
  }

  public var description: String {
    var string = ""
    for index in 0..<count { string.unicodeScalars.append(Unicode.Scalar(self[index])) }
    return string
  }
}
