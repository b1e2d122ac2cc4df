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

  /// The name under which the kernel's binfmt_misc starts this program; see `RunCommand.interpret`.
  static let interpreterName: StaticString = "vitrine-binfmt"

  /// Whether the command's own name, without its folders, is `interpreterName`. Allocates nothing.
  static func isInterpreter() -> Bool {
    var block = vt_kernel_block()
    guard vt_kernel_block_find(&block) == 0, block.count > 0, let name = block.arguments?[0] else {
      return false
    }
    let size = interpreterName.utf8CodeUnitCount
    let length = strlen(name)
    // SAFETY: the tail that is compared lies in the string.
    guard length >= size, memcmp(name + (length - size), interpreterName.utf8Start, size) == 0 else {
      return false
    }
    return length == size || name[length - size - 1] == 47
  }

  /// An entry of the auxiliary vector, which lies behind the environment (getauxval(3)); 0 when there is none.
  static func auxiliaryValue(_ key: UInt) -> UInt {
    var block = vt_kernel_block()
    guard vt_kernel_block_find(&block) == 0, var last = block.environment else { return 0 }
    while last.pointee != nil { last += 1 }
    // SAFETY: the kernel's vector ends with AT_NULL, whose key is 0.
    var entry = UnsafeRawPointer(last + 1).assumingMemoryBound(to: UInt.self)
    while entry[0] != 0 {
      if entry[0] == key { return entry[1] }
      entry += 2
    }
    return 0
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
    Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
  }
}
