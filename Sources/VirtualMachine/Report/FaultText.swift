// Words for faults and signals. Tables of text, no state.
import GuestMemory
import Linux

/// One sentence that says what a fault was.
struct FaultText {
  let fault: GuestFault
  let rip: UInt64
  let space: AddressSpace

  var sentence: String {
    switch fault.vector {
    case 0: return "division by zero, or a quotient that does not fit (#DE)"
    case 1: return "single step or debug trap (#DB)"
    case 3: return "breakpoint, int3 (#BP)"
    case 4: return "overflow, into (#OF)"
    case 5: return "bound range exceeded (#BR)"
    case 6: return "invalid or unsupported instruction (#UD)"
    case 7: return "floating-point unit not available (#NM)"
    case 12: return "stack access at a non-canonical address (#SS)"
    case 13: return "privileged instruction, misaligned vector access or non-canonical address (#GP)"
    case 14: return pageFault
    case 16: return "x87 floating-point exception (#MF)"
    case 17: return "unaligned access with alignment checks on (#AC)"
    case 19: return "SIMD floating-point exception (#XM)"
    default: return "exception number \(fault.vector)"
    }
  }

  private var pageFault: String {
    let address = fault.address.hexadecimal
    let isFetch = fault.errorCode & 16 != 0
    let verb = isFetch ? "execute" : fault.errorCode & 2 != 0 ? "write to" : "read from"
    return "cannot \(verb) \(address): \(reason(isFetch))"
  }

  private func reason(_ isFetch: Bool) -> String {
    let address = fault.address
    if fault.isBusError { return "the mapped file is shorter" }
    guard let region = space.query(address) else {
      if address < 65536 { return "a null pointer, or a small offset from one" }
      if address >= space.limit { return "outside the guest's address space" }
      if let next = space.region(atOrAbove: address), next.flags.contains(.growsDown),
        next.start &- address < 16 << 20
      {
        return "below the stack, which may not grow further (stack overflow?)"
      }
      return "nothing is mapped there"
    }
    if isFetch { return "the page is not executable" }
    if region.permissions.isEmpty { return "the page is inaccessible (PROT_NONE)" }
    return fault.errorCode & 2 != 0 ? "the page is read-only" : "the page cannot be read"
  }
}

/// Names of signals on x86-64 (signal(7)).
public enum SignalName {
  private static let names: StaticString = """
    0 HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP \
    TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
    """

  /// `SIGSEGV`; `signal 40` for one without a name.
  public static func text(_ number: Int32) -> String {
    let words = names.description.split(separator: " ")
    guard number > 0, Int(number) < words.count else { return "signal \(number)" }
    return "SIG" + words[Int(number)]
  }
}
