// Words for faults. No state.
import GuestMemory
import Linux

/// One sentence that says what a fault was.
struct FaultText {
  let fault: GuestFault
  let rip: UInt64
  let space: AddressSpace

  var sentence: String {
    switch fault.kind {
    case .pageFault, .busError: return pageFault
    case .generalProtection:
      return "privileged instruction, misaligned vector access or non-canonical address (#GP)"
    case .stackFault: return "stack access at a non-canonical address (#SS)"
    case .divideError: return "division by zero, or a quotient that does not fit (#DE)"
    case .overflow: return "overflow, into (#OF)"
    case .bound: return "bound range exceeded (#BR)"
    case .invalidOpcode: return "invalid or unsupported instruction (#UD)"
    case .breakpoint: return "breakpoint (#BP)"
    case .debug: return "single step or debug trap (#DB)"
    case .alignmentCheck: return "unaligned access with alignment checks on (#AC)"
    case .x87Exception: return "x87 floating-point exception (#MF)"
    case .vectorException: return "SIMD floating-point exception (#XM)"
    }
  }

  private var pageFault: String {
    let address = fault.address.hexadecimal
    let verb = fault.fetch ? "execute" : fault.write ? "write to" : "read from"
    return "cannot \(verb) \(address): \(reason)"
  }

  private var reason: String {
    let address = fault.address
    if fault.kind == .busError { return "the mapped file is shorter" }
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
    if fault.fetch { return "the page is not executable" }
    if region.permissions.isEmpty { return "the page is inaccessible (PROT_NONE)" }
    return fault.write ? "the page is read-only" : "the page cannot be read"
  }
}
