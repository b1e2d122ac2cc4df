// Which host register holds which guest register while translated code runs. Fixed for all blocks, so that any block can
// jump to any other; Docs/translator.md has the reasons for the choice.
//
//     guest  rax rcx rdx rbx rsp rbp rsi rdi  r8 … r11          r12 r13 r14 r15
//     host   rax r13 rdx rbx r15 r14 rsi rdi  in the CPU state  r8  r9  r10 r11
//
//     host rcx, r12   scratch (rcx: shift count and JRCXZ)
//     host rbp        CPU state + 60: addresses the state, and is the guard's shift count; or, in code that counts, the
//                     instructions that are left, above the same 60 (Counting.swift)
//     host rsp        shadow stack of return addresses

import CHost

/// Host registers by number, as ModRM and REX encode them.
enum HostRegister {
  static let scratch: UInt8 = 1
  static let secondScratch: UInt8 = 12
  static let state: UInt8 = 5
  static let shadowStack: UInt8 = 4
  /// Where the guest's RCX, RSP and RBP are.
  static let guestCounter: UInt8 = 13
  static let guestStack: UInt8 = 15
  static let guestFrame: UInt8 = 14
  /// In operands: there is none; and: the guest register is in the CPU state.
  static let none: UInt8 = 255
  static let inState: UInt8 = 15 &+ 1

  /// The host register of guest register `number` (0–15), or `inState`.
  // PERF: several times per translated instruction; a table in one word.
  @inline(__always) static func holding(_ number: UInt8) -> UInt8 {
    if number & 0xc == 8 { return inState }
    return UInt8(truncatingIfNeeded: (0xba98_0000_76ef_32d0 as UInt64) &>> (UInt64(number) &* 4)) & 15
  }
}

/// Guest registers by number that templates name.
enum GuestRegister {
  static let rax: UInt8 = 0
  static let rcx: UInt8 = 1
  static let rdx: UInt8 = 2
  static let rsp: UInt8 = 4
  static let rbp: UInt8 = 5
  static let rsi: UInt8 = 6
  static let rdi: UInt8 = 7
}

/// Offsets into the CPU state, from the pinned register.
enum StateOffset {
  private static let bias = Int32(VT_STATE_BIAS)
  private static let translated = Int32(VT_OFFSET_TRANSLATED) &- Int32(VT_STATE_BIAS)

  static func general(_ number: UInt8) -> Int32 { Int32(number) &* 8 &- bias }

  static let site = translated
  static let indirectSite = translated &+ 4
  static let fsBase = 144 &- bias
  static let gsBase = 152 &- bias
  static let guardedFSBase = translated &+ 16
  static let guardedGSBase = translated &+ 24
  static let remaining = translated &+ 32
  static let vectorScratch = Int32(VT_OFFSET_VECTOR_SCRATCH) &- Int32(VT_STATE_BIAS)
  static let entry = translated &+ 64
  static let window = translated &+ 88
  static let negativeWindow = translated &+ 96
  static let other = vectorScratch &+ 72
}
