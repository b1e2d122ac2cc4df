// Makes an AccessRecord: of a replay, as its visitor; or of a machine that lives, told of each step, or of the instruction that is next at
// some moment. Looks at registers and memory and changes nothing.
import CHost
import Engine
import GuestMemory
import Record
import VirtualMachine

public final class AccessRecorder: ReplayVisitor {
  public let record = AccessRecord()
  private let code: CodeTable
  private let functions: FunctionTable
  private var reader = AccessReader()
  private var entry: Int?
  private let keepsAccesses: Bool
  private let isInterrupted: () -> Bool
  private var turns = 0
  /// Instructions between two questions whether to go on: a single one may move a lot of memory.
  private static let turn = 256
  private static let longest = UInt64(UInt32.max)
  /// Steps have 31 bits.
  private static let mostSteps: UInt32 = 1 << 30
  /// A machine that lives is watched without end: of its accesses and steps these are kept.
  private let most: Int

  /// Without `keepsAccesses` only executions are counted. `most`: accesses that are kept; nil: all.
  public init(
    _ memory: AddressSpace, _ objects: LoadedObjects, keepsAccesses: Bool = true, most: Int? = nil,
    isInterrupted: @escaping () -> Bool = { false }
  ) {
    (self.keepsAccesses, self.isInterrupted, self.most) = (keepsAccesses, isInterrupted, most ?? .max)
    code = CodeTable(memory: memory)
    functions = FunctionTable(objects)
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
    if isComplete { record.steps += 1 }
  }

  /// The instruction at RIP is what is being executed at some moment.
  public func sample(_ cpu: UnsafeMutablePointer<CPUState>) {
    begin(cpu)
    guard let entry else { return }
    self.entry = nil
    note(entry, isComplete: true)
    record.samples += 1
  }

  private func note(_ entry: Int, isComplete: Bool) {
    while record.executions.count <= entry { addExecution(record.executions.count) }
    if isComplete { record.executions[entry].count += 1 }
    record.executions[entry].last = record.next
    if keepsAccesses {
      for access in reader.accesses where access.size > 0 {
        record.accesses.append(
          AccessRecord.Access(
            address: access.address, size: UInt32(min(access.size, AccessRecorder.longest)),
            step: record.next &<< 1 | (access.isWrite ? 1 : 0)))
      }
      if record.accesses.count > most { record.accesses.removeFirst(most / 2) }
    }
    if record.next < AccessRecorder.mostSteps { record.next += 1 }
  }

  private func addExecution(_ number: Int) {
    let place = code.entries[number]
    let function = functions.find(place.address).function
    while record.functions.count <= function {
      let known = functions.functions[record.functions.count]
      record.functions.append(
        ProfiledFunction(
          address: known.address, name: known.name, object: functions.files[known.object].path, count: 0))
    }
    record.executions.append(
      AccessRecord.Execution(
        address: place.address, length: UInt64(max(place.instruction.length, 1)), function: function))
  }

  // MARK: A replay

  /// The stretch that the record is of.
  public func setStretch(_ from: InstructionCount, _ to: InstructionCount) {
    (record.from, record.to) = (from, to)
  }

  /// What is mapped may be different now.
  public func mappingsChanged() { functions.mappingsChanged() }

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
    if changesMappings || resets { functions.mappingsChanged() }
  }
}
