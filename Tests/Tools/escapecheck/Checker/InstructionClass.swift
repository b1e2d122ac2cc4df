// How the checker treats each row of the instruction set: the few instructions that it follows exactly, those of which it
// only knows what they write, and those that translated code must not contain at all. Derived from the rows' own columns
// and a list of mnemonics, without asking the translator.

import X86

/// What an emitted instruction is for the checker.
enum InstructionClass {
  case shiftRightX, effectiveAddress, move, moveZeroExtended, jump, jumpIf, jumpIfCounterZero, call, ret
  case string, plain, nothing
  case forbidden

  /// By row number.
  static let table: [InstructionClass] = (0..<RowInfo.count).map { of(RowInfo(id: UInt16($0))) }

  static let mnemonics: [String] = (0..<RowInfo.count).map { RowInfo(id: UInt16($0)).mnemonic.description }

  private static func of(_ row: RowInfo) -> InstructionClass {
    let mnemonic = row.mnemonic.description
    let operands = (0..<row.operandCount).map { row.operand($0) }
    switch mnemonic {
    case "shrx": return .shiftRightX
    case "lea": return .effectiveAddress
    case "nop", "endbr64": return .nothing
    case "ret": return .ret
    case "jrcxz": return .jumpIfCounterZero
    default: break
    }
    if row.attributes.contains(.privileged) || forbiddenMnemonics.contains(mnemonic) { return .forbidden }
    let isKnown = allowedPrefixes.contains(where: mnemonic.hasPrefix)
    if !isKnown && forbiddenPrefixes.contains(where: mnemonic.hasPrefix) { return .forbidden }
    if operands.contains(where: { forbiddenKinds.contains($0.kind) }) { return .forbidden }
    if row.attributes.contains(.flow) {
      if mnemonic == "jmp" { return .jump }
      if mnemonic == "call" { return .call }
      let isNear = operands.count == 1 && operands[0].kind == .relative
      return mnemonic.hasPrefix("j") && isNear && mnemonic != "jecxz" && mnemonic != "jcxz"
        ? .jumpIf : .forbidden
    }
    if row.attributes.contains(.rep) || row.attributes.contains(.repcc) {
      return mnemonic.hasPrefix("ins") || mnemonic.hasPrefix("outs") ? .forbidden : .string
    }
    if mnemonic == "mov" { return .move }
    if mnemonic == "movzx" { return .moveZeroExtended }
    return .plain
  }

  private static let forbiddenKinds: Set<OperandInfo.Kind> = [
    .segment, .control, .debug, .farPointer, .farMemory, .memoryOffset,
  ]

  /// Segment bases, system calls, other machines, protection keys, transactions, shadow stacks.
  private static let forbiddenPrefixes = [
    "sys", "int", "iret", "lgdt", "lidt", "lldt", "ltr", "lmsw", "rdmsr", "wrmsr", "rdfs", "rdgs", "wrfs",
    "wrgs", "swapgs", "vm", "skinit", "stgi", "clgi", "xsetbv", "xgetbv", "xbegin", "xabort", "xend",
    "wrpkru",
    "rdpkru", "monitor", "mwait", "umonitor", "umwait", "tpause", "push", "pop", "enter", "leave", "loop",
    "wrss", "wruss", "rdssp", "incssp", "rstorssp", "saveprevssp", "setssbsy", "clrssbsy", "cpuid",
    "rdpmc", "xstore", "xcrypt", "montmul", "xsha", "movdir64b", "enqcmd", "xsave", "xrstor",
  ]

  private static let forbiddenMnemonics: Set<String> = [
    // Memory that is no operand: the window's segment cannot be asked for, or the address cannot be seen.
    "xlat", "xlatb", "maskmovq", "maskmovdqu", "vmaskmovdqu", "clzero", "invlpga",
    "hlt", "cli", "sti", "clts", "in", "out", "lds", "les", "lss", "lfs", "lgs", "sgdt", "sidt", "sldt",
    "str",
    "smsw", "lar", "lsl", "verr", "verw", "bound", "arpl", "jcxz", "jecxz", "ud0", "ud1", "ud2",
  ]
  /// These only begin like forbidden ones.
  private static let allowedPrefixes = ["vmov", "vmul", "vmax", "vmin", "vmpsadbw", "vmaskmovp", "popcnt"]
}
