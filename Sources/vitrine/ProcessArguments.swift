// What the process was given: its arguments and its environment as bytes, which need not be UTF-8 and reach
// the guest unchanged. The only place that reads environment variables; nothing below the command line does.
import Glibc

/// Arguments (without the command's own name) and environment.
struct ProcessArguments {
  /// The words after the command's own name.
  var arguments: [[UInt8]]
  /// `NAME=VALUE`, in the order of the process.
  var environment: [[UInt8]]

  static func current() -> ProcessArguments {
    // SAFETY: the kernel lays out argv, a null pointer, envp and a null pointer one behind the other, and the
    // C library does not move them.
    let vector = CommandLine.unsafeArgv
    let count = Int(CommandLine.argc)
    var arguments: [[UInt8]] = []
    arguments.reserveCapacity(count)
    for index in 0..<count {
      if let string = vector[index], index > 0 { arguments.append(bytes(string)) }
    }
    var environment: [[UInt8]] = []
    var next = count + 1
    while let string = vector[next] {
      environment.append(bytes(string))
      next += 1
    }
    return ProcessArguments(arguments: arguments, environment: environment)
  }

  /// The value of an environment variable; nil when it is not set.
  func value(of name: StaticString) -> [UInt8]? {
    let wanted = Array(name.description.utf8) + [61]
    for entry in environment where entry.starts(with: wanted) { return Array(entry.dropFirst(wanted.count)) }
    return nil
  }

  private static func bytes(_ string: UnsafeMutablePointer<CChar>) -> [UInt8] {
    Array(UnsafeBufferPointer(start: string, count: strlen(string))).map { UInt8(bitPattern: $0) }
  }
}
