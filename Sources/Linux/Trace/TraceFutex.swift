// The arguments of futex(2), whose number and meaning depend on the operation.
import GuestMemory
import LinuxABI

extension TraceArguments {
  /// FUTEX_WAIT and the like, without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
  private var futexOperation: Int32 { int(arguments.b) & 0x7f }

  /// How many arguments strace prints.
  var futexCount: Int {
    switch futexOperation {
    case 7, 8: return 2
    case 1, 6, 13: return 3
    case 0, 10: return 4
    case 3, 9, 11: return 5
    default: return 6
    }
  }

  /// The argument printed at `index`; nil where it is printed as it is declared.
  func futexArgument(_ index: Int) -> String? {
    switch (futexOperation, index) {
    case (6, 2), (13, 2):
      return TraceStructures(memory: memory).text("timespec", arguments.d, count: nil, result: 0)
        ?? TraceText.address(arguments.d)
    case (3, 3), (4, 3), (5, 3), (12, 3): return "\(UInt32(truncatingIfNeeded: arguments.d))"
    case (10, 3), (9, 4):
      let set = arguments.f & 0xffff_ffff
      return set == 0xffff_ffff ? "FUTEX_BITSET_MATCH_ANY" : TraceText.hex(set)
    case (5, 5): return TraceArguments.wakeOperation(UInt32(truncatingIfNeeded: arguments.f))
    default: return nil
    }
  }

  /// FUTEX_WAKE_OP's last argument: what to do with the second word, and what to compare it with.
  private static func wakeOperation(_ value: UInt32) -> String {
    let operations = ["FUTEX_OP_SET", "FUTEX_OP_ADD", "FUTEX_OP_OR", "FUTEX_OP_ANDN", "FUTEX_OP_XOR"]
    let comparisons = [
      "FUTEX_OP_CMP_EQ", "FUTEX_OP_CMP_NE", "FUTEX_OP_CMP_LT", "FUTEX_OP_CMP_LE", "FUTEX_OP_CMP_GT",
      "FUTEX_OP_CMP_GE",
    ]
    let operation = Int(value >> 28 & 7)
    let comparison = Int(value >> 24 & 15)
    let shift = value >> 31 != 0 ? "FUTEX_OP_OPARG_SHIFT<<28|" : ""
    let first = operation < operations.count ? operations[operation] : TraceText.hex(UInt64(operation))
    let second = comparison < comparisons.count ? comparisons[comparison] : TraceText.hex(UInt64(comparison))
    return "\(shift)\(first)<<28|\(TraceText.hex(UInt64(value >> 12 & 0xfff)))<<12|\(second)<<24|"
      + TraceText.hex(UInt64(value & 0xfff))
  }
}
