// What must be equal after an instruction: everything but what the manual leaves undefined.

import CNative
import Glibc

struct Comparison {
  /// RFLAGS bits that the row leaves undefined.
  let undefinedFlags: UInt64
  /// Reserved bytes, and the x87 unit's pointers to the last instruction and operand: processors agree on them only
  /// while an exception is pending (AMD's do not even save them otherwise), see `pointers`.
  private static let ignoredExtended: Set<Int> = Set(6..<24).union(28..<32)
  /// The bytes of opcode, instruction pointer and, with an operand in memory, its address.
  private let pointers: Set<Int>

  /// MASKMOVQ and MASKMOVDQU may fault for bytes that are not selected; MOVSXD r16 reads 16 bits on some processors,
  /// 32 on others.
  let mayFaultEarly: Bool

  /// FXSAVE and its family, whose areas processors probe in an order of their own.
  let hasLargeArea: Bool

  /// The host has the row's features, and all its encodings are valid: #UD is the encoder's mistake.
  let mustBeDefined: Bool

  /// Gathers of AVX-512: how much of the destination is there when an element faults is the processor's choice (SDM
  /// volume 2, VGATHERDPS).
  let mayBePartial: Bool

  static func isVector(_ line: String) -> Bool { line.dropFirst().hasPrefix("mm") }

  init(row: Row) {
    mayBePartial = row.isVectors512 && row.operands.contains { $0.indexElementWidth > 0 }
    mustBeDefined = row.isVectors512
    hasLargeArea = SaveArea.concerns(row)
    let isNarrowMOVSXD = row.mnemonic == "MOVSXD" && row.operands.first?.width == 16
    mayFaultEarly = row.semantic?.name == "maskedStoreBytes" || isNarrowMOVSXD
    undefinedFlags = UInt64(FlagEffects.mask(row.flags.undefined))
    let hasPointers = row.file == "x87.isa" && !["FLDENV", "FRSTOR", "FLDCW"].contains(row.mnemonic)
    let hasOperand = row.operands.contains { $0.letter == .modRM && $0.allowsMemory }
    pointers = !hasPointers ? [] : Set(6..<16).union(hasOperand ? 16..<24 : 0..<0)
  }

  /// For states behind many instructions: only these flags are left out, and the x87 unit's pointers.
  init(undefinedFlags: UInt64) {
    self.undefinedFlags = undefinedFlags
    (hasLargeArea, mayFaultEarly, mustBeDefined, mayBePartial, pointers) = (false, false, false, false, [])
  }

  /// Quickly, whether `differences` would find nothing.
  func isEqual(_ native: native_state, _ guest: native_state) -> Bool {
    guard native.rip == guest.rip, (native.rflags ^ guest.rflags) & flagMask == 0 else { return false }
    return withUnsafeBytes(of: native) { left in
      withUnsafeBytes(of: guest) { right in
        guard let a = left.baseAddress, let b = right.baseAddress,
          let extended = MemoryLayout<native_state>.offset(of: \native_state.extended)
        else { return false }
        return memcmp(a, b, 128) == 0
          && Comparison.comparedRanges.allSatisfy {
            memcmp(a + extended + $0.lowerBound, b + extended + $0.lowerBound, $0.count) == 0
          }
      }
    }
  }

  /// `comparedExtended` as ranges, with what AVX-512 adds.
  private static let comparedRanges: [Range<Int>] =
    [0..<6, 24..<28] + (0..<8).map { 32 + $0 * 16..<42 + $0 * 16 }
    + [160..<416, 576..<832, Int(NATIVE_OPMASK)..<Int(NATIVE_EXTENDED_SIZE)]

  /// Flags that are compared. RF (bit 16) is the debug trap's business; ID (bit 21) is not among what sigreturn restores.
  var flagMask: UInt64 { 0x40dd5 & ~undefinedFlags }

  /// Bytes of the extended state, without what AVX-512 adds, that are compared always: control words, registers without
  /// their padding. Digests are made of these.
  static let comparedExtended: [Int] =
    Array(0..<6) + Array(24..<28) + (0..<8).flatMap { Array(32 + $0 * 16..<42 + $0 * 16) } + Array(160..<416)
    + Array(576..<832)

  /// The first differences, as lines; empty when equal.
  func differences(_ native: native_state, _ guest: native_state) -> [String] {
    var lines: [String] = []
    let names = [
      "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
      "r15",
    ]
    withUnsafeBytes(of: native.general) { left in
      withUnsafeBytes(of: guest.general) { right in
        for number in 0..<16 {
          let a = left.load(fromByteOffset: number * 8, as: UInt64.self)
          let b = right.load(fromByteOffset: number * 8, as: UInt64.self)
          if a != b { lines.append("\(names[number]): native \(hex(a)), guest \(hex(b))") }
        }
      }
    }
    if native.rip != guest.rip { lines.append("rip: native \(hex(native.rip)), guest \(hex(guest.rip))") }
    if (native.rflags ^ guest.rflags) & flagMask != 0 {
      lines.append("rflags: native \(hex(native.rflags & flagMask)), guest \(hex(guest.rflags & flagMask))")
    }
    lines += extendedDifferences(native, guest)
    lines += vectors512Differences(native, guest)
    return lines
  }

  private func extendedDifferences(_ native: native_state, _ guest: native_state) -> [String] {
    var lines: [String] = []
    withUnsafeBytes(of: native.extended) { left in
      withUnsafeBytes(of: guest.extended) { right in
        // Bit 7 of the status word: an exception is pending on both sides.
        let isPending = left[2] & right[2] & 0x80 != 0
        let ignored =
          isPending ? Comparison.ignoredExtended.subtracting(pointers) : Comparison.ignoredExtended
        var offset = 0
        while offset < 832 {
          if offset >= 416 && offset < 576 {
            offset = 576
            continue
          }
          let size = offset < 32 ? 2 : 8
          // A register of the x87 stack is ten bytes; the six behind it are reserved.
          let isPadding = offset >= 32 && offset < 160 && (offset - 32) % 16 == 8
          var a: UInt64 = 0
          var b: UInt64 = 0
          for byte in 0..<(isPadding ? 2 : size) where !ignored.contains(offset + byte) {
            a |= UInt64(left[offset + byte]) << UInt64(8 * byte)
            b |= UInt64(right[offset + byte]) << UInt64(8 * byte)
          }
          if a != b { lines.append("\(place(offset)): native \(hex(a)), guest \(hex(b))") }
          offset += size
        }
      }
    }
    return lines
  }

  private func vectors512Differences(_ native: native_state, _ guest: native_state) -> [String] {
    var lines: [String] = []
    withUnsafeBytes(of: native.extended) { left in
      withUnsafeBytes(of: guest.extended) { right in
        for offset in stride(from: Int(NATIVE_OPMASK), to: Int(NATIVE_EXTENDED_SIZE), by: 8) {
          let a = left.load(fromByteOffset: offset, as: UInt64.self)
          let b = right.load(fromByteOffset: offset, as: UInt64.self)
          if a != b { lines.append("\(place(offset)): native \(hex(a)), guest \(hex(b))") }
        }
      }
    }
    return lines
  }

  private func place(_ offset: Int) -> String {
    switch offset {
    case 0: return "fcw"
    case 2: return "fsw"
    case 4: return "ftw"
    case 6: return "fop"
    case 8..<16: return "fip+\(offset - 8)"
    case 16..<24: return "fdp+\(offset - 16)"
    case 24, 26: return "mxcsr"
    case 32..<160: return "st\((offset - 32) / 16)\((offset - 32) % 16 == 0 ? "" : " exponent")"
    case 160..<416: return "xmm\((offset - 160) / 16)[\((offset - 160) % 16 / 8)]"
    case 576..<832: return "ymm\((offset - 576) / 16)[\((offset - 576) % 16 / 8 + 2)]"
    case 1088..<1152: return "k\((offset - 1088) / 8)"
    case 1152..<1664: return "zmm\((offset - 1152) / 32)[\((offset - 1152) % 32 / 8 + 4)]"
    case 1664..<2688: return "zmm\((offset - 1664) / 64 + 16)[\((offset - 1664) % 64 / 8)]"
    default: return "extended+\(offset)"
    }
  }

  func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
