// Names for what host code addresses, for listings: the fields of the CPU state.

import X86

extension TranslatorEngine {
  /// What a host instruction addresses through the pinned register; nil when it addresses no named field of the state.
  public static func stateField(_ host: Instruction) -> String? {
    guard host.hasMemoryOperand, host.base == HostRegister.state, host.index == Instruction.none,
      !host.prefixes.contains(.segment)
    else { return nil }
    let displacement = Int32(truncatingIfNeeded: host.displacement)
    switch displacement {
    case StateOffset.site: return "exit number"
    case StateOffset.indirectSite: return "branch number"
    case StateOffset.vectorScratch: return "vector scratch"
    case StateOffset.fsBase: return "fs base"
    case StateOffset.gsBase: return "gs base"
    case StateOffset.guardedFSBase: return "fs base, guarded"
    case StateOffset.guardedGSBase: return "gs base, guarded"
    case StateOffset.remaining: return "budget"
    case StateOffset.window: return "window"
    case StateOffset.negativeWindow: return "-window"
    default: break
    }
    let names = [
      "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
      "r15",
    ]
    return names.indices.first { StateOffset.general(UInt8($0)) == displacement }.map { "guest " + names[$0] }
  }
}
