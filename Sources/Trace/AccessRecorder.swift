// Makes an AccessRecord: of a replay, as its visitor; or of a machine that lives, told of each step, or of the instruction that is next at
// some moment. Looks at registers and memory and changes nothing.
import CHost
import Engine
import GuestMemory
import Record
import VirtualMachine

/// Decoded code and the names of its functions, which recorders of one machine share.
public final class AccessTables {
  let code: CodeTable
  let functions: FunctionTable
  /// The function of each entry; an entry stays what it is, whatever is mapped there later.
  private(set) var functionOf: [Int] = []
  /// Entries of code that is executed only once are not kept for ever.
  private static let mostEntries = 1 << 20

  public init(_ memory: AddressSpace, _ objects: LoadedObjects) {
    code = CodeTable(memory: memory)
    functions = FunctionTable(objects)
  }

  /// They have become too large: new ones are better.
  public var isFull: Bool { code.count > AccessTables.mostEntries }

  /// What is mapped may be different now.
  public func mappingsChanged() { functions.mappingsChanged() }

  func function(of entry: Int) -> Int {
    while functionOf.count <= entry {
      functionOf.append(functions.find(code.entries[functionOf.count].address).function)
    }
    return functionOf[entry]
  }

  func profiled(_ function: Int) -> ProfiledFunction {
    let known = functions.functions[function]
    return ProfiledFunction(
      address: known.address, name: known.name, object: functions.files[known.object].path, count: 0)
  }
}

public final class AccessRecorder: ReplayVisitor {
  private let known = AccessRecord()
  private let tables: AccessTables
  private let code: CodeTable
  private var reader = AccessReader()
  private var entry: Int?
  private let keepsAccesses: Bool
  private let isInterrupted: () -> Bool
  private var turns = 0
  /// By entry.
  private var counts: [(count: Int64, last: UInt32)] = []
  private var sealed: UInt32?
  /// Instructions between two questions whether to go on: a single one may move a lot of memory.
  private static let turn = 256
  private static let longest = UInt64(UInt32.max)
  /// Steps have 31 bits.
  private static let mostSteps: UInt32 = 1 << 30
  /// A machine that lives is watched without end: of its accesses so many are kept.
  private let most: Int

  /// Without `keepsAccesses` only executions are counted. `most`: accesses that are kept; nil: all.
  public init(
    _ tables: AccessTables, keepsAccesses: Bool = true, most: Int? = nil,
    isInterrupted: @escaping () -> Bool = { false }
  ) {
    (self.tables, self.keepsAccesses, self.isInterrupted) = (tables, keepsAccesses, isInterrupted)
    self.most = most ?? .max
    code = tables.code
  }

  /// What has been seen up to now.
  public var record: AccessRecord {
    if sealed == known.next { return known }
    sealed = known.next
    known.executions.removeAll(keepingCapacity: true)
    for (entry, seen) in counts.enumerated() where seen.count > 0 {
      let place = code.entries + entry
      let function = tables.function(of: entry)
      while known.functions.count <= function {
        known.functions.append(tables.profiled(known.functions.count))
      }
      known.executions.append(
        AccessRecord.Execution(
          address: place.pointee.address, length: UInt64(max(place.pointee.instruction.length, 1)),
          function: function, count: seen.count, last: seen.last))
    }
    return known
  }

  // MARK: Steps

  /// The instruction at RIP is next.
  public func begin(_ cpu: UnsafeMutablePointer<CPUState>) {
    entry = code.entry(at: cpu.pointee.rip)
    if keepsAccesses, let entry { reader.begin(code.entries + entry, cpu) }
  }

  /// It has been executed, or, when `isComplete` is false, has faulted.
  public func end(_ cpu: UnsafeMutablePointer<CPUState>, isComplete: Bool) {
    guard let entry else { return }
    self.entry = nil
    if !isComplete, !(code.entries + entry).pointee.accesses.repeats { return }
    if keepsAccesses { reader.finish(code.entries + entry, cpu) }
    note(entry, isComplete: isComplete)
    if isComplete { known.steps += 1 }
  }

  /// The instruction at RIP is what is being executed at some moment.
  public func sample(_ cpu: UnsafeMutablePointer<CPUState>) {
    begin(cpu)
    guard let entry else { return }
    self.entry = nil
    note(entry, isComplete: true)
    known.samples += 1
  }

  private func note(_ entry: Int, isComplete: Bool) {
    if counts.count <= entry {
      // Named now: later something else may be mapped there.
      _ = tables.function(of: entry)
      counts += repeatElement((count: 0, last: 0), count: max(code.count, entry + 1) - counts.count)
    }
    if isComplete { counts[entry].count += 1 }
    counts[entry].last = known.next
    if keepsAccesses {
      for access in reader.accesses where access.size > 0 {
        known.accesses.append(
          AccessRecord.Access(
            address: access.address, size: UInt32(min(access.size, AccessRecorder.longest)),
            step: known.next &<< 1 | (access.isWrite ? 1 : 0)))
      }
      if known.accesses.count > most { known.accesses.removeFirst(most / 2) }
    }
    if known.next < AccessRecorder.mostSteps { known.next += 1 }
  }

  // MARK: A replay

  /// The stretch that the record is of.
  public func setStretch(_ from: InstructionCount, _ to: InstructionCount) {
    (known.from, known.to) = (from, to)
  }

  public func willExecute(_ thread: VisitedThread) -> Bool {
    turns += 1
    if turns >= AccessRecorder.turn {
      turns = 0
      if isInterrupted() { return false }
    }
    begin(thread.cpu)
    return true
  }

  public func didExecute(_ thread: VisitedThread, isComplete: Bool) {
    end(thread.cpu, isComplete: isComplete)
  }

  public func willHappen(_ event: VisitedEvent, _ thread: VisitedThread) {}

  public func didHappen(_ event: VisitedEvent, _ thread: VisitedThread, changesMappings: Bool, resets: Bool) {
    if changesMappings || resets { tables.mappingsChanged() }
  }
}
