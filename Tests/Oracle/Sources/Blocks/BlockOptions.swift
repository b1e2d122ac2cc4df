// What the command line asks of random blocks.

struct BlockOptions {
  var count = 0
  var seed: UInt64 = 1
  var only: UInt64?
  var faults = false
  /// Instructions of a block, without what is put in to define flags.
  var shortest = 20
  var longest = 60
  /// Programs may set the bases of FS and GS on this host.
  var hasBases = false

  /// `20-60`; false when it is no range.
  mutating func setLength(_ text: String) -> Bool {
    let parts = text.split(separator: "-").compactMap { Int($0) }
    guard parts.count == 2, parts[0] > 0, parts[0] <= parts[1], parts[1] <= 200 else { return false }
    (shortest, longest) = (parts[0], parts[1])
    return true
  }
}
