// What the process was given: its arguments and its environment as bytes, which need not be UTF-8 and reach the guest
// unchanged, and the place for a guest's memory. The only place that reads environment variables; nothing below the command
// line does. (`CommandLine` would read /proc/self/maps to find the arguments, a good part of a short run's time.)
import CHost
import Glibc
import GuestMemory

/// Arguments (without the command's own name), environment, layout.
struct ProcessArguments {
  /// The words after the command's own name.
  var arguments: [[UInt8]] = []
  /// `NAME=VALUE`, in the order of the process.
  var environment: [[UInt8]] = []
  /// Where a guest's memory goes, if the process was laid out for one.
  var window: IsolatedWindow?

  /// Copies what the kernel gave.
  static func current(_ window: IsolatedWindow?) -> ProcessArguments {
    var result = ProcessArguments(window: window)
    var block = vt_kernel_block()
    guard vt_kernel_block_find(&block) == 0 else { return result }
    result.arguments = Array(strings(block.arguments).dropFirst())
    result.environment = strings(block.environment)
    return result
  }

  /// Whether the first word after the command's own name is `word`. Allocates nothing.
  static func firstIs(_ word: StaticString) -> Bool {
    var block = vt_kernel_block()
    guard vt_kernel_block_find(&block) == 0, block.count > 1, let first = block.arguments?[1] else {
      return false
    }
    let size = word.utf8CodeUnitCount
    return strlen(first) == size && memcmp(first, word.utf8Start, size) == 0
  }

  /// The strings of a list that ends with a null pointer.
  private static func strings(_ list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var next = list
    while let string = next?.pointee {
      result.append(bytes(string))
      next = next?.successor()
    }
    return result
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
