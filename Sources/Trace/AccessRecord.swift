// What a stretch of instructions did to memory: which addresses were read, written and executed, how often, and how long ago. A list of
// accesses in the order of time, and counts for each instruction; what a piece of memory of any size has seen is worked out from them
// when somebody asks. The debugger's pictures of memory and its profile are made of it.

/// What happened to a piece of memory. Ages are in steps: 0 is the last one, `.max` means never.
public struct TouchedCell: Equatable, Sendable {
  public var reads: UInt32 = 0
  public var writes: UInt32 = 0
  public var executions: UInt32 = 0
  public var readAge = UInt32.max
  public var writeAge = UInt32.max
  public var executionAge = UInt32.max

  public init() {}

  public var isTouched: Bool { reads | writes | executions != 0 }

  static func sum(_ left: UInt32, _ right: UInt32) -> UInt32 {
    let (sum, overflows) = left.addingReportingOverflow(right)
    return overflows ? .max : sum
  }

  /// The two pieces together.
  public mutating func add(_ other: TouchedCell) {
    reads = TouchedCell.sum(reads, other.reads)
    writes = TouchedCell.sum(writes, other.writes)
    executions = TouchedCell.sum(executions, other.executions)
    readAge = min(readAge, other.readAge)
    writeAge = min(writeAge, other.writeAge)
    executionAge = min(executionAge, other.executionAge)
  }
}

/// Instructions of one function.
public struct ProfiledFunction: Sendable {
  /// Where it begins.
  public var address: UInt64
  public var name: String
  /// The file's path; empty where there is none.
  public var object: String
  /// Instructions, or samples, in it.
  public var count: Int64
}

public final class AccessRecord {
  struct Access {
    var address: UInt64
    var size: UInt32
    /// The step's number, and in the lowest bit whether it was a write.
    var step: UInt32
  }

  struct Execution {
    var address: UInt64
    var length: UInt64
    var function: Int
    var count: Int64
    var last: UInt32
  }

  /// The first instant and the one behind the last; both 0 where there is no time.
  public internal(set) var from: Int64 = 0
  public internal(set) var to: Int64 = 0
  /// Instructions that were seen one after the other.
  public internal(set) var steps: Int64 = 0
  /// Instructions that were seen by chance, now and then.
  public internal(set) var samples: Int64 = 0
  var accesses: [Access] = []
  var executions: [Execution] = []
  var functions: [ProfiledFunction] = []
  /// The number of the next step.
  var next: UInt32 = 0
  private var byAddress: (version: UInt32, numbers: [UInt64: Int])?
  private var pages: (version: UInt32, cells: [(page: UInt64, cell: TouchedCell)])?

  /// Changes with each step.
  public var version: UInt32 { next }

  func age(_ step: UInt32) -> UInt32 { next &- 1 &- step }

  /// `count` cells of 2^`shift` bytes each from `start`, which is a multiple of that.
  public func cells(from start: UInt64, shift: UInt64, count: Int) -> [TouchedCell] {
    var cells = [TouchedCell](repeating: TouchedCell(), count: max(count, 0))
    let (size, overflows) = UInt64(cells.count).multipliedReportingOverflow(by: 1 &<< shift)
    if cells.isEmpty || overflows { return cells }
    let last = start.addingReportingOverflow(size &- 1)
    let end = last.overflow ? UInt64.max : last.partialValue
    forEach { first, last, cell in
      let (lowest, highest) = (max(first, start), min(last, end))
      if lowest > highest { return }
      for place in Int((lowest &- start) &>> shift)...Int((highest &- start) &>> shift) {
        cells[place].add(cell)
      }
    }
    return cells
  }

  /// All accesses in the order of time, then all instructions that were executed: first and last address, and what happened there.
  public func forEach(_ body: (_ first: UInt64, _ last: UInt64, _ cell: TouchedCell) -> Void) {
    for access in accesses {
      let last = access.address.addingReportingOverflow(UInt64(max(access.size, 1)) &- 1)
      body(access.address, last.overflow ? .max : last.partialValue, cell(access))
    }
    for execution in executions {
      body(execution.address, execution.address &+ (execution.length &- 1), cell(execution))
    }
  }

  private func cell(_ access: Access) -> TouchedCell {
    var cell = TouchedCell()
    if access.step & 1 != 0 {
      (cell.writes, cell.writeAge) = (1, age(access.step &>> 1))
    } else {
      (cell.reads, cell.readAge) = (1, age(access.step &>> 1))
    }
    return cell
  }

  private func cell(_ execution: Execution) -> TouchedCell {
    var cell = TouchedCell()
    (cell.executions, cell.executionAge) = (UInt32(clamping: execution.count), age(execution.last))
    return cell
  }

  /// What has happened to the instruction at `address`; nil: it was not executed.
  public func execution(at address: UInt64) -> TouchedCell? {
    if byAddress?.version != next {
      var numbers: [UInt64: Int] = [:]
      for (number, execution) in executions.enumerated() { numbers[execution.address] = number }
      byAddress = (next, numbers)
    }
    return byAddress?.numbers[address].map { cell(executions[$0]) }
  }

  /// A single access covers at most so many pages here; longer ones count at their beginning.
  private static let mostPages: UInt64 = 1 << 12
  private static let pageShift: UInt64 = 12

  /// The pages that were touched, in order, by their numbers.
  public var touchedPages: [(page: UInt64, cell: TouchedCell)] {
    if let pages, pages.version == next { return pages.cells }
    var numbers: [UInt64: Int] = [:]
    var found: [(page: UInt64, cell: TouchedCell)] = []
    var latest: (page: UInt64, number: Int)?
    func number(_ page: UInt64) -> Int {
      if let latest, latest.page == page { return latest.number }
      let place = numbers[page] ?? found.count
      if place == found.count {
        found.append((page, TouchedCell()))
        numbers[page] = place
      }
      latest = (page, place)
      return place
    }
    forEach { first, last, cell in
      let start = first &>> AccessRecord.pageShift
      let end = min(last &>> AccessRecord.pageShift, start &+ AccessRecord.mostPages)
      for page in start...max(start, end) { found[number(page)].cell.add(cell) }
    }
    found.sort { $0.page < $1.page }
    pages = (next, found)
    return found
  }

  /// Where memory was read last, and where it was written last.
  public var lastAccesses: (read: UInt64?, write: UInt64?) {
    let read = accesses.last { $0.step & 1 == 0 }
    let write = accesses.last { $0.step & 1 != 0 }
    return (read?.address, write?.address)
  }

  /// Functions with what was executed in them, the most first.
  public var profile: [ProfiledFunction] {
    var result = functions
    for execution in executions where execution.function < result.count {
      result[execution.function].count += execution.count
    }
    return result.filter { $0.count > 0 }.sorted {
      $0.count != $1.count ? $0.count > $1.count : $0.address < $1.address
    }
  }
}
