// The files that are mapped, by number: regions hold the number. Owns nothing but the identities. A number is given to another file when
// no region has it any more, which is found out whenever there are twice as many files as were in use the last time; so a
// program that maps one file after the other, for ever, does not fill it.

/// Identities of mapped files.
struct BackingTable {
  /// By number, less one; nil: free.
  private var backings: [Backing?] = []
  /// The numbers in use, sorted by what they stand for.
  // PERF: a dictionary's first use takes ten microseconds of every start.
  private var sorted: [UInt32] = []
  private var free: [UInt32] = []
  private var dueCount = 256

  /// It is time to say which numbers are in use.
  var isDue: Bool { sorted.count >= dueCount }

  /// The file of a number; nil for 0 and what nobody has.
  subscript(number: UInt32) -> Backing? {
    number == 0 || Int(number) > backings.count ? nil : backings[Int(number) &- 1]
  }

  /// The number of a file, which gets one if it has none.
  mutating func number(of backing: Backing) -> UInt32 {
    let place = place(of: backing)
    if place < sorted.count, self[sorted[place]] == backing { return sorted[place] }
    let number: UInt32
    if let last = free.popLast() {
      number = last
      backings[Int(number) &- 1] = backing
    } else {
      backings.append(backing)
      number = UInt32(truncatingIfNeeded: backings.count)
    }
    sorted.insert(number, at: place)
    return number
  }

  /// How many files in use come before `backing`.
  private func place(of backing: Backing) -> Int {
    var low = 0
    var high = sorted.count
    while low < high {
      let middle = (low &+ high) / 2
      if let other = self[sorted[middle]], other.precedes(backing) {
        low = middle &+ 1
      } else {
        high = middle
      }
    }
    return low
  }

  /// Gives up all numbers but `used`.
  mutating func keep(_ used: Set<UInt32>) {
    for number in sorted where !used.contains(number) {
      backings[Int(number) &- 1] = nil
      free.append(number)
    }
    sorted.removeAll { !used.contains($0) }
    dueCount = max(256, sorted.count &* 2)
  }
}

extension Backing {
  /// Some order of all files.
  fileprivate func precedes(_ other: Backing) -> Bool {
    if device != other.device { return device < other.device }
    if inode != other.inode { return inode < other.inode }
    return path.lexicographicallyPrecedes(other.path)
  }
}
