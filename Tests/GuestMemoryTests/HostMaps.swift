// What the host kernel says of our address space, from /proc/self/maps: the referee for `AddressSpace`.
import Glibc

/// One line of /proc/self/maps.
struct HostMapping {
  var start: UInt64
  var end: UInt64
  var isReadable: Bool
  var isWritable: Bool
  var isExecutable: Bool

  /// All mappings of this process, in order.
  static func all() -> [HostMapping] {
    guard let file = fopen("/proc/self/maps", "r") else { return [] }
    defer { fclose(file) }
    var result: [HostMapping] = []
    var buffer = [CChar](repeating: 0, count: 4096)
    while fgets(&buffer, 4096, file) != nil {
      let line = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      let words = String(decoding: line, as: UTF8.self).split(separator: " ")
      let range = words[0].split(separator: "-")
      guard let start = UInt64(range[0], radix: 16), let end = UInt64(range[1], radix: 16) else { continue }
      let bits = words[1]
      result.append(
        HostMapping(
          start: start, end: end, isReadable: bits.hasPrefix("r"),
          isWritable: bits.dropFirst().hasPrefix("w"),
          isExecutable: bits.dropFirst(2).hasPrefix("x")))
    }
    return result
  }
}
