// `vitrine disassemble`: prints the machine code of an ELF file, a function or a range of it.

enum DisassembleCommand {
  static func run(_ words: [[UInt8]]) -> Int32 {
    Terminal.complain("disassemble: not yet built into this version")
    return ownFailureCode
  }
}
