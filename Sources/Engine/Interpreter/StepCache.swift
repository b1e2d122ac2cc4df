// Single instructions, ready to be executed: what makes stepping through a program quick, for traces. Each place of a table of fixed size holds
// the operations of the last instruction whose address fell on it. Filled only where somebody steps for long.
import CHost
import GuestMemory

final class StepCache {
  /// An instruction makes two operations at most, one that ends the step, and one for its branch.
  static let mostOperations = 4
  private static let places = 1 << 14
  // SAFETY: `places` tags, and as many times `mostOperations` operations; allocated together, freed in deinit.
  private var tags: UnsafeMutablePointer<UInt64>?
  private var operations: UnsafeMutablePointer<Operation>?
  private static let nothing = UInt64.max

  deinit {
    tags?.deallocate()
    operations?.deallocate()
  }

  /// Whether instructions are kept.
  var isActive: Bool { tags != nil }

  /// From now on instructions are kept.
  func activate() {
    if isActive { return }
    tags = .allocate(capacity: StepCache.places)
    tags?.initialize(repeating: StepCache.nothing, count: StepCache.places)
    operations = .allocate(capacity: StepCache.places * StepCache.mostOperations)
    operations?.initialize(repeating: Operation(), count: StepCache.places * StepCache.mostOperations)
  }

  private static func place(_ address: UInt64) -> Int {
    Int(truncatingIfNeeded: (address ^ address &>> 14) & UInt64(places &- 1))
  }

  // PERF: once an instruction.
  @inline(__always) func find(_ address: UInt64) -> UnsafePointer<Operation>? {
    guard let tags, let operations else { return nil }
    let place = StepCache.place(address)
    return tags[place] == address ? UnsafePointer(operations + place &* StepCache.mostOperations) : nil
  }

  /// Keeps the first `count` of `built`; where they are now.
  func add(_ address: UInt64, _ built: UnsafePointer<Operation>, _ count: Int) -> UnsafePointer<Operation> {
    guard let tags, let operations, count <= StepCache.mostOperations else { return built }
    let place = StepCache.place(address)
    let room = operations + place &* StepCache.mostOperations
    room.update(from: built, count: count)
    tags[place] = address
    return UnsafePointer(room)
  }

  /// Forgets what begins in these pages, or right in front of them.
  func forget(_ pages: Range<UInt64>) {
    guard let tags else { return }
    let first = pages.lowerBound > 0 ? pages.lowerBound &- 1 : 0
    for place in 0..<StepCache.places {
      let page = tags[place] &>> Page.shift
      if page >= first, page < pages.upperBound { tags[place] = StepCache.nothing }
    }
  }

  func forgetAll() {
    tags?.update(repeating: StepCache.nothing, count: StepCache.places)
  }
}
