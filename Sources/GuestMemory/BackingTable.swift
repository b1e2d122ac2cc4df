// The files that are mapped, by number: regions hold the number. Owns nothing but the identities. A number is given to another file when
// no region has it any more, which is found out whenever there are twice as many files as were in use the last time; so a
// program that maps one file after the other, for ever, does not fill it.

/// Identities of mapped files.
struct BackingTable {
  /// By number, less one; nil: free.
  private var backings: [Backing?] = []
  private var numbers: [Backing: UInt32] = [:]
  private var free: [UInt32] = []
  private var dueCount = 256

  /// It is time to say which numbers are in use.
  var isDue: Bool { numbers.count >= dueCount }

  /// The file of a number; nil for 0 and what nobody has.
  subscript(number: UInt32) -> Backing? {
    number == 0 || Int(number) > backings.count ? nil : backings[Int(number) &- 1]
  }

  /// The number of a file, which gets one if it has none.
  mutating func number(of backing: Backing) -> UInt32 {
    if let known = numbers[backing] { return known }
    let number: UInt32
    if let last = free.popLast() {
      number = last
      backings[Int(number) &- 1] = backing
    } else {
      backings.append(backing)
      number = UInt32(truncatingIfNeeded: backings.count)
    }
    numbers[backing] = number
    return number
  }

  /// Gives up all numbers but `used`.
  mutating func keep(_ used: Set<UInt32>) {
    for (backing, number) in numbers where !used.contains(number) {
      numbers[backing] = nil
      backings[Int(number) &- 1] = nil
      free.append(number)
    }
    dueCount = max(256, numbers.count &* 2)
  }
}
