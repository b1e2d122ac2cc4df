// Names for what host code addresses, for listings: the fields of the CPU state.

import CHost
import X86

extension TranslatorEngine {
  /// What a host instruction addresses through the pinned register; nil when it addresses no named field of the state.
  public static func stateField(_ host: Instruction) -> String? {
    guard host.hasMemoryOperand, host.index == Instruction.none, !host.prefixes.contains(.segment),
      host.base == HostRegister.state || host.base == Instruction.none
    else { return nil }
    var displacement = Int32(truncatingIfNeeded: host.displacement)
    // Code that counts addresses a state that begins a page.
    if host.base == Instruction.none { displacement = displacement & 4095 &- Int32(VT_STATE_BIAS) }
    switch displacement {
    case StateOffset.site: return "exit number"
    case StateOffset.indirectSite: return "branch number"
    case StateOffset.vectorScratch: return "vector scratch"
    case StateOffset.fsBase: return "fs base"
    case StateOffset.gsBase: return "gs base"
    case StateOffset.guardedFSBase: return "fs base, guarded"
    case StateOffset.guardedGSBase: return "gs base, guarded"
    case StateOffset.remaining: return "budget"
    case StateOffset.entry: return "entry"
    case StateOffset.other: return "cpu state"
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
