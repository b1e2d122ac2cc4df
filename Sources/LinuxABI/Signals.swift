// Signals of x86-64 Linux: numbers, default actions, codes, and the layouts that the kernel writes on the guest's stack
// (signal(7), sigaction(2), arch/x86 signal frame). Constants only.

/// Signal numbers and what is known of them.
public enum Signal {
  public static let hangup: Int32 = 1
  public static let interrupt: Int32 = 2
  public static let illegal: Int32 = 4
  public static let trap: Int32 = 5
  public static let abort: Int32 = 6
  public static let bus: Int32 = 7
  public static let floatingPoint: Int32 = 8
  public static let kill: Int32 = 9
  public static let segmentation: Int32 = 11
  public static let pipe: Int32 = 13
  public static let child: Int32 = 17
  public static let `continue`: Int32 = 18
  public static let stop: Int32 = 19
  public static let systemCall: Int32 = 31

  /// What happens without a handler.
  public enum DefaultAction: Sendable { case terminate, core, ignore, stop, `continue` }

  public static func defaultAction(_ signal: Int32) -> DefaultAction {
    switch signal {
    case 3, 4, 5, 6, 7, 8, 11, 24, 25, 31: return .core
    case 17, 23, 28: return .ignore
    case 18: return .continue
    case 19, 20, 21, 22: return .stop
    default: return .terminate
    }
  }

  /// "SIGSEGV", "SIGRT_1", or the number.
  public static func name(_ signal: Int32) -> String {
    if let text = TextTable.line(of: names, key: Int64(signal)) {
      return "SIG" + String(decoding: text, as: UTF8.self)
    }
    if signal >= 32, signal <= 64 { return "SIGRT_\(signal - 32)" }
    return "\(signal)"
  }

  private static let names: StaticString = """
    1 HUP
    2 INT
    3 QUIT
    4 ILL
    5 TRAP
    6 ABRT
    7 BUS
    8 FPE
    9 KILL
    10 USR1
    11 SEGV
    12 USR2
    13 PIPE
    14 ALRM
    15 TERM
    16 STKFLT
    17 CHLD
    18 CONT
    19 STOP
    20 TSTP
    21 TTIN
    22 TTOU
    23 URG
    24 XCPU
    25 XFSZ
    26 VTALRM
    27 PROF
    28 WINCH
    29 IO
    30 PWR
    31 SYS
    """

  /// The name of `code` for `signal`, for example "SEGV_MAPERR"; nil when it has none.
  public static func codeName(_ signal: Int32, _ code: Int32) -> String? {
    if let text = TextTable.line(of: commonCodes, key: Int64(code)) {
      return String(decoding: text, as: UTF8.self)
    }
    let table: StaticString
    switch signal {
    case 4: table = "1 ILL_ILLOPC\n2 ILL_ILLOPN\n3 ILL_ILLADR\n4 ILL_ILLTRP\n5 ILL_PRVOPC\n6 ILL_PRVREG"
    case 5: table = "1 TRAP_BRKPT\n2 TRAP_TRACE\n3 TRAP_BRANCH\n4 TRAP_HWBKPT"
    case 7: table = "1 BUS_ADRALN\n2 BUS_ADRERR\n3 BUS_OBJERR"
    case 8:
      table =
        "1 FPE_INTDIV\n2 FPE_INTOVF\n3 FPE_FLTDIV\n4 FPE_FLTOVF\n5 FPE_FLTUND\n6 FPE_FLTRES\n7 FPE_FLTINV\n8 FPE_FLTSUB"
    case 11: table = "1 SEGV_MAPERR\n2 SEGV_ACCERR\n3 SEGV_BNDERR\n4 SEGV_PKUERR"
    case 17: table = "1 CLD_EXITED\n2 CLD_KILLED\n3 CLD_DUMPED\n4 CLD_TRAPPED\n5 CLD_STOPPED\n6 CLD_CONTINUED"
    case 31: table = "1 SYS_SECCOMP\n2 SYS_USER_DISPATCH"
    default: return nil
    }
    return TextTable.line(of: table, key: Int64(code)).map { String(decoding: $0, as: UTF8.self) }
  }

  private static let commonCodes: StaticString = """
    0 SI_USER
    128 SI_KERNEL
    -1 SI_QUEUE
    -2 SI_TIMER
    -3 SI_MESGQ
    -4 SI_ASYNCIO
    -5 SI_SIGIO
    -6 SI_TKILL
    """
}

/// `sa_flags` (sigaction(2)).
public enum SignalActionFlags {
  public static let noChildStop: UInt64 = 1
  public static let noChildWait: UInt64 = 2
  public static let information: UInt64 = 4
  public static let onStack: UInt64 = 0x0800_0000
  public static let restart: UInt64 = 0x1000_0000
  public static let noDefer: UInt64 = 0x4000_0000
  public static let resetHandler: UInt64 = 0x8000_0000
  public static let restorer: UInt64 = 0x0400_0000
}

/// The kernel's `struct sigaction` for x86-64: 32 bytes.
@frozen public struct KernelSignalAction: BitwiseCopyable, Sendable, Equatable {
  public var handler: UInt64 = 0
  public var flags: UInt64 = 0
  public var restorer: UInt64 = 0
  public var mask: UInt64 = 0
  public init() {}
  public static let defaultHandler: UInt64 = 0
  public static let ignoreHandler: UInt64 = 1
}

/// `stack_t` (sigaltstack(2)): 24 bytes.
@frozen public struct SignalStack: BitwiseCopyable, Sendable, Equatable {
  public var address: UInt64 = 0
  public var flags: UInt32 = 2
  public var padding: UInt32 = 0
  public var size: UInt64 = 0
  public init() {}
  public static let onStack: UInt32 = 1
  public static let disabled: UInt32 = 2
  public static let autoDisarm: UInt32 = 1 << 31
  public static let minimumSize: UInt64 = 2048
}

/// Offsets, in bytes, in the frame that the kernel builds for a handler.
///
///        0  return address (SA_RESTORER)
///        8  ucontext: flags, link, stack_t, sigcontext (at 48), signal mask (at 304)
///      312  siginfo, 128 bytes
///      440  end; the extended state lies above, 64-byte aligned
public enum SignalFrame {
  public static let context: UInt64 = 8
  public static let contextFlags = 8
  public static let contextStack = 24
  public static let registers = 48
  public static let instructionPointer = 48 + 128
  public static let flags = 48 + 136
  public static let segments = 48 + 144
  public static let errorCode = 48 + 152
  public static let trapNumber = 48 + 160
  public static let oldMask = 48 + 168
  public static let faultAddress = 48 + 176
  public static let extendedState = 48 + 184
  public static let mask = 304
  public static let information = 312
  public static let size = 440

  /// `uc_flags`: extended state present, SS saved, SS restored strictly.
  public static let flagExtended: UInt64 = 1
  public static let flagStackSegment: UInt64 = 6

  /// `FP_XSTATE_MAGIC1` at byte 464 of the state, `FP_XSTATE_MAGIC2` behind its end.
  public static let magic1: UInt32 = 0x4650_5853
  public static let magic2: UInt32 = 0x4650_5845
  public static let softwareBytes = 464
}
