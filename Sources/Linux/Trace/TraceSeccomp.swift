// The arguments of seccomp(2) and of its part of prctl(2), as strace prints them.
import GuestMemory
import LinuxABI

extension TraceArguments {
  private static let setFilter: UInt32 = 1
  private static let actionAvailable: UInt32 = 2

  /// Flags and the third argument of seccomp(2), by its first one.
  func seccompArgument(_ index: Int, _ value: UInt64) -> String? {
    let operation = UInt32(truncatingIfNeeded: arguments.a)
    if index == 1 {
      let number = value & 0xffff_ffff
      return operation == TraceArguments.setFilter || number == 0 ? nil : TraceText.hex(number)
    }
    switch operation {
    case TraceArguments.setFilter: return filterProgram(value)
    case TraceArguments.actionAvailable where (result ?? 0) != -Errno.EFAULT && arguments.b == 0:
      return memory.load(UInt32.self, at: value).map { "[" + TraceArguments.seccompAction($0) + "]" }
    default: return nil
    }
  }

  /// Arguments of prctl(PR_SET_SECCOMP).
  func seccompControl(_ index: Int, _ value: UInt64) -> String? {
    if index == 2, arguments.b == 2 { return filterProgram(value) }
    guard index == 1 else { return nil }
    return FlagNames.choice("seccompmode", Int64(bitPattern: value))
      ?? TraceText.hex(value) + " /* SECCOMP_MODE_??? */"
  }

  /// How many arguments prctl(PR_SET_SECCOMP) has.
  var seccompControlCount: Int { arguments.b == 1 ? 2 : arguments.b == 2 ? 3 : 5 }

  /// `struct sock_fprog`.
  func filterProgram(_ address: UInt64) -> String {
    guard address != 0, let length = memory.load(UInt16.self, at: address),
      let filter = memory.load(UInt64.self, at: address &+ 8)
    else { return TraceText.address(address) }
    return "{len=\(length), filter=\(TraceText.address(filter))}"
  }

  private static func seccompAction(_ value: UInt32) -> String {
    FlagNames.choice("seccompaction", Int64(value))
      ?? TraceText.hex(UInt64(value)) + " /* SECCOMP_RET_??? */"
  }
}

extension TraceStructures {
  /// The SIGSYS of a filter, from the words of its siginfo_t; `name` is the call's.
  static func refusedCall(_ words: [UInt64], name: String?) -> String {
    guard words.count > 3 else { return "{}" }
    let error = Int64(words[0] >> 32)
    var text = "{si_signo=SIGSYS, si_code=SYS_SECCOMP"
    if error != 0 { text += ", si_errno=" + (Errno.describe(error)?.name ?? "\(error)") }
    let number = Int32(truncatingIfNeeded: words[3])
    text += ", si_call_addr=\(TraceText.address(words[2]))"
    text += ", si_syscall=" + (name.map { "__NR_" + $0 } ?? "\(number)")
    return text + ", si_arch=AUDIT_ARCH_X86_64}"
  }
}
