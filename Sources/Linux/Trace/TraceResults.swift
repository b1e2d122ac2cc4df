// The right side of a trace line: results, error names, and what some calls add in parentheses.
import GuestMemory
import LinuxABI

enum TraceResults {
  static func text(
    _ call: SystemCall, _ signature: Signature, _ arguments: Arguments, _ result: Int64,
    _ memory: AddressSpace
  ) -> String {
    if result < 0, result >= -4095 { return number(result) }
    if signature.resultIsAddress {
      return result == 0 ? "NULL" : TraceText.hex(UInt64(bitPattern: result))
    }
    switch call.number {
    case 128: return "\(result) (\(Signal.name(Int32(truncatingIfNeeded: result))))"
    case 135: return personality(UInt64(bitPattern: result))
    case 95: return TraceText.octal(UInt64(bitPattern: result))
    case 72: return descriptorControl(arguments, result)
    case 7, 271: return poll(arguments, result, memory)
    case 23, 270: return select(call, arguments, result, memory)
    default: return "\(result)"
    }
  }

  /// A number, or an error with its name and message.
  static func number(_ result: Int64) -> String {
    guard result < 0, result >= -4095, let error = Errno.describe(-result) else { return "\(result)" }
    return "-1 \(error.name) (\(error.message))"
  }

  /// 0 (PER_LINUX), 0x40000 (PER_LINUX|ADDR_NO_RANDOMIZE).
  private static func personality(_ value: UInt64) -> String {
    let rest = value & ~0xff
    let first = value & 0xff == 0 ? "PER_LINUX" : TraceText.hex(value & 0xff)
    let names = FlagNames.flags("personality", rest).map { first + "|" + $0 } ?? first
    return TraceText.hex(value) + " (\(names))"
  }

  private static func descriptorControl(_ arguments: Arguments, _ result: Int64) -> String {
    let value = UInt64(bitPattern: result)
    switch int(arguments.b) {
    case 1: return result == 0 ? "0" : TraceText.hex(value) + " (flags FD_CLOEXEC)"
    case 3: return TraceText.hex(value) + " (flags \(TraceArguments.openFlags(value)))"
    default: return "\(result)"
    }
  }

  private static func poll(_ arguments: Arguments, _ result: Int64, _ memory: AddressSpace) -> String {
    if result == 0 { return "0 (Timeout)" }
    let structures = TraceStructures(memory: memory)
    return "\(result) " + structures.ready(arguments.a, arguments.b & 0xffff_ffff)
  }

  private static func select(
    _ call: SystemCall, _ arguments: Arguments, _ result: Int64, _ memory: AddressSpace
  ) -> String {
    if result == 0 { return "0 (Timeout)" }
    let structures = TraceStructures(memory: memory)
    let count = arguments.a & 0xffff
    var parts: [String] = []
    for (name, address) in [("in", arguments.b), ("out", arguments.c), ("except", arguments.d)] {
      guard address != 0, let set = structures.descriptorSet(address, count), set != "[]" else { continue }
      parts.append(name + " " + set)
    }
    let unit = call.number == 23 ? "timeval" : "timespec"
    if arguments.e != 0, let left = structures.text(unit, arguments.e, count: nil, result: 0) {
      parts.append("left " + left)
    }
    return "\(result) (" + parts.joined(separator: ", ") + ")"
  }

  /// clone(child_stack=NULL, flags=…|SIGCHLD, child_tidptr=0x…).
  static func cloneArguments(_ arguments: Arguments) -> String {
    var text = "child_stack=" + TraceText.address(arguments.b) + ", flags="
    let signal = Int32(truncatingIfNeeded: arguments.a & CloneFlags.signalMask)
    let names = FlagNames.flags("clone", arguments.a & ~CloneFlags.signalMask)
    let signalName = signal == 0 ? nil : Signal.name(signal)
    text += [names, signalName].compactMap { $0 }.joined(separator: "|")
    if names == nil, signalName == nil { text += "0" }
    if arguments.a & CloneFlags.parentSetThread != 0 {
      text += ", parent_tid=" + TraceText.address(arguments.c)
    }
    if arguments.a & CloneFlags.setTLS != 0 { text += ", tls=" + TraceText.hex(arguments.e) }
    if arguments.a & (CloneFlags.childSetThread | CloneFlags.childClearThread) != 0 {
      text += ", child_tidptr=" + TraceText.address(arguments.d)
    }
    return text
  }
}
