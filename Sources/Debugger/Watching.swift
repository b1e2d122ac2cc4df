// Watchpoints. For changes the pages are closed to stores, as pages with code are (GuestMemory/AddressSpace+Code.swift): the program runs freely,
// and behind each store into such a page the watched bytes are compared. For accesses of whatever value, and while a page is stored into again and again, each instruction
// is executed by itself: what it is going to access is worked out from its operands, and the bytes are compared as well, for
// instructions of unusual kinds.

import CHost
import Engine
import GuestMemory
import Linux
import X86

extension MachineControl {
  /// At most this many bytes of a watchpoint are compared; operands are looked at for all.
  private static let mostCompared: UInt64 = 4096
  /// So many stores into watched pages in quick succession, and it is cheaper to look at each instruction: for so many of them.
  private static let hotTouches = 64
  private static let hotInstructions: InstructionCount = 4_000_000
  /// Instructions between two looks at whether to stop.
  private static let turn: InstructionCount = 20_000
  /// Quick: cycles of the time-stamp counter between two of them.
  private static let quickly: UInt64 = 100_000

  /// Stops behind instructions that access what is watched, from now on or no more.
  public func setWatchpoint(_ watchpoint: Watchpoint, _ isSet: Bool) {
    watchpoints.removeAll { $0 == watchpoint }
    if isSet { watchpoints.append(watchpoint) }
    applyFilter()
    beginWatching()
  }

  /// What is watched has changed.
  func applyFilter() {
    let seesReads = watchpoints.contains { $0.kinds.contains(.read) }
    filter = watchpoints.isEmpty ? nil : WatchFilter(watchpoints.map(\.bytes), seesReads: seesReads)
    for thread in threads { thread.watcher = nil }
  }

  /// Goes on to the next instruction that may access watched bytes: nil in front of it, or of a stop address. Otherwise why it has come
  /// out before; `.budget`: to look around.
  func runToAccess(_ thread: ControlledThread, _ process: LinuxProcess) -> Exit? {
    guard let filter, condition == nil, thread.action == .run, thread.stepsOver != thread.cpu.pointee.rip
    else {
      return nil
    }
    if thread.watcher == nil {
      thread.watcher = InterpreterEngine(memory: process.memory)
      thread.watcher?.filter = filter
      thread.watcher?.stops = stops
    }
    guard let watcher = thread.watcher else { return nil }
    let before = watcher.instructionCount
    let exit = watcher.run(thread.cpu, budget: MachineControl.turn)
    let done = watcher.instructionCount &- before
    if done > 0 { thread.stepsOver = nil }
    if hotCount > 0 {
      hotCount = max(0, hotCount &- done)
      if hotCount == 0 { beginWatching() }
    }
    return exit == .stop ? nil : exit
  }

  /// Every access of every instruction has to be looked at: reads leave no trace, nor do writes of what is there already.
  var looksAtAccesses: Bool { watchpoints.contains { !MachineControl.accessKinds(of: $0).isEmpty } }

  /// What is to be found by looking at operands.
  private static func accessKinds(of watchpoint: Watchpoint) -> AccessKinds {
    let own = watchpoint.kinds.intersection([.read, .write])
    let isTooLong = watchpoint.kinds.contains(.change) && watchpoint.size > mostCompared
    return isTooLong ? own.union(.write) : own
  }

  /// Stores into watched pages are noticed by themselves.
  private var closesPages: Bool { !looksAtAccesses && hotCount == 0 }

  /// Whether instructions have to be executed one by one.
  var looksClosely: Bool { !watchpoints.isEmpty && !closesPages || condition != nil }

  /// Remembers what is watched as it is now, and has stores into its pages noticed.
  func beginWatching() {
    isTouched = false
    contents = watchpoints.map { content(of: $0) }
    guard !watchpoints.isEmpty, let memory else { return }
    if watchObserver == nil {
      let observer = CodeObserver(
        hasCode: { [unowned self] in watchesPages($0) }, forget: { [unowned self] in touch($0) })
      memory.add(observer)
      watchObserver = observer
    }
    if !closesPages { return }
    for watchpoint in watchpoints {
      memory.markCode(from: watchpoint.address, to: watchpoint.address &+ watchpoint.size)
    }
  }

  /// Memory has been changed by whoever steers: that is not to be found as a change.
  public func forgetChanges() { beginWatching() }

  /// The memory that the next instruction of `thread`, which stands still, is going to write, as far as its operands tell.
  public func nextWrite(of thread: ControlledThread) -> UInt64? {
    var result: UInt64?
    accesses?.forEach(thread.visible) { if $0.kinds.contains(.write), result == nil { result = $0.address } }
    return result
  }

  private func watchesPages(_ pages: Range<UInt64>) -> Bool {
    watchpoints.contains {
      $0.address &>> Page.shift < pages.upperBound
        && ($0.address &+ ($0.size &- 1)) &>> Page.shift >= pages.lowerBound
    }
  }

  /// A watched page is about to change: by the instruction that a thread executes next, or by the host call it makes.
  private func touch(_ pages: Range<UInt64>) {
    guard isActive, !watchpoints.isEmpty, watchesPages(pages), let process else { return }
    isTouched = true
    // Alone: the page is open until the change has been looked at.
    process.memory.evictAll()
    // The one that touches is among them; coming from guest code it is not yet the process's current one.
    for thread in threads where !thread.isQuiet { CPUState.attention(thread.cpu).pointee = 1 }
    let now = vt_host_time_stamp()
    touches = now &- lastTouch < MachineControl.quickly ? touches + 1 : 0
    lastTouch = now
    if touches >= MachineControl.hotTouches { hotCount = MachineControl.hotInstructions }
  }

  /// Looks at what was touched; the watchpoint whose bytes have changed. The pages are closed again.
  func takeTouch(_ process: LinuxProcess) -> Watchpoint? {
    process.refreshAttention()
    let changed = changedWatchpoint()
    beginWatching()
    return changed
  }

  /// Behind an instruction that was executed by itself: the watchpoint that it has met. `accessed` is what its operands say.
  func endWatching(_ accessed: Watchpoint?, _ process: LinuxProcess) -> Watchpoint? {
    var hit = accessed
    if isTouched {
      hit = takeTouch(process) ?? accessed
    } else if !closesPages {
      hit = changedWatchpoint() ?? accessed
    }
    if hotCount > 0 {
      hotCount -= 1
      if hotCount == 0 { beginWatching() }
    }
    if hit != nil { beginWatching() }
    return hit
  }

  func changedWatchpoint() -> Watchpoint? {
    guard let memory else { return nil }
    for (index, watchpoint) in watchpoints.enumerated() where watchpoint.kinds.contains(.change) {
      guard index < contents.count else { break }
      let old = contents[index]
      let isEqual = withUnsafeTemporaryAllocation(byteCount: Int(MachineControl.mostCompared), alignment: 8) {
        now in
        let part = UnsafeMutableRawBufferPointer(rebasing: now[..<old.count])
        // What cannot be read any more has not been written.
        guard memory.copyIn(part, from: GuestAddress(watchpoint.address)) else { return true }
        return part.elementsEqual(old)
      }
      if !isEqual { return watchpoint }
    }
    return nil
  }

  /// The watchpoint that the operands of the instruction at RIP meet.
  func accessedWatchpoint(_ cpu: UnsafeMutablePointer<CPUState>) -> Watchpoint? {
    var result: Watchpoint?
    accesses?.forEach(cpu) { access in
      if result != nil { return }
      result = watchpoints.first {
        !MachineControl.accessKinds(of: $0).isDisjoint(with: access.kinds)
          && $0.overlaps(access.address, access.size)
      }
    }
    return result
  }

  private func content(of watchpoint: Watchpoint) -> [UInt8] {
    let count = Int(min(watchpoint.size, MachineControl.mostCompared))
    return memory?.bytes(at: GuestAddress(watchpoint.address), count: count) ?? []
  }
}

/// An access that an instruction is about to make.
public struct MemoryAccess: Equatable {
  public var address: UInt64
  public var size: UInt64
  public var kinds: AccessKinds
}

/// Works out what memory the instruction at RIP accesses.
public final class AccessReader {
  private let code: CodeReader
  private var instruction = Instruction()

  public init(memory: AddressSpace) { code = CodeReader(memory: memory) }

  /// Calls `body` for each access.
  public func forEach(_ cpu: UnsafeMutablePointer<CPUState>, _ body: (MemoryAccess) -> Void) {
    let rip = cpu.pointee.rip
    code.begin(rip)
    guard code.decode(rip, into: &instruction) == .valid else { return }
    let info = instruction.info
    for index in 0..<info.operandCount {
      let operand = info.operand(index)
      guard case .memory(let memory) = instruction.value(of: operand) else { continue }
      // A vector of addresses is found by comparing only.
      if operand.kind == .vectorMemory { continue }
      guard let kinds = AccessReader.kinds(operand.access) else { continue }
      // Operands without a size are save areas.
      let bits = memory.broadcastWidth != 0 ? memory.broadcastWidth : memory.width
      let size = bits == 0 ? UInt64(ExtendedState.largestSize) : UInt64(bits / 8)
      body(MemoryAccess(address: address(of: memory, cpu), size: size, kinds: kinds))
    }
    if info.space == .legacy { implied(cpu, body) }
  }

  private static func kinds(_ access: OperandInfo.Access) -> AccessKinds? {
    switch access {
    case .read: .read
    case .write, .conditionalWrite: .write
    case .readWrite: [.read, .write]
    case .none, .address: nil
    }
  }

  private func register(_ cpu: UnsafeMutablePointer<CPUState>, _ number: UInt8) -> UInt64 {
    UnsafeRawPointer(cpu).load(fromByteOffset: Int(number & 15) &* 8, as: UInt64.self)
  }

  private func address(of operand: MemoryOperand, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    func value(_ register: X86.Register?) -> UInt64 {
      guard let register else { return 0 }
      if register.registerClass == .instructionPointer {
        return cpu.pointee.rip &+ UInt64(instruction.length)
      }
      return self.register(cpu, register.number)
    }
    let offset =
      value(operand.base) &+ value(operand.index) &* UInt64(operand.scale)
      &+ UInt64(bitPattern: operand.displacement)
    return segment(operand.segment, cpu) &+ (instruction.addressSize == 32 ? offset & 0xffff_ffff : offset)
  }

  private func segment(_ segment: Segment, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    segment == .fs ? cpu.pointee.fs_base : segment == .gs ? cpu.pointee.gs_base : 0
  }

  // MARK: What is not an operand

  /// The stack, and what string instructions move. Opcodes are those of the one-byte map, or of 0F.
  private func implied(_ cpu: UnsafeMutablePointer<CPUState>, _ body: (MemoryAccess) -> Void) {
    let stack = cpu.pointee.general.4
    let isSecondMap = code.bytes(at: cpu.pointee.rip)[Int(instruction.opcodeOffset)] == 0x0f
    let word: UInt64 = instruction.operandSize == 16 ? 2 : 8
    func push(_ size: UInt64) { body(MemoryAccess(address: stack &- size, size: size, kinds: .write)) }
    func pop(_ place: UInt64, _ size: UInt64) { body(MemoryAccess(address: place, size: size, kinds: .read)) }
    if isSecondMap {
      switch instruction.opcode {
      case 0xa0, 0xa8: push(word)
      case 0xa1, 0xa9: pop(stack, word)
      default: break
      }
      return
    }
    switch instruction.opcode {
    case 0x50...0x57, 0x68, 0x6a, 0x9c: push(word)
    case 0x58...0x5f, 0x8f, 0x9d: pop(stack, word)
    case 0xe8: push(8)
    case 0xc2, 0xc3: pop(stack, 8)
    case 0xc8: push(8)
    case 0xc9: pop(cpu.pointee.general.5, word)
    case 0xff where instruction.modRM >> 3 & 7 == 2: push(8)
    case 0xff where instruction.modRM >> 3 & 7 == 6: push(word)
    case 0xa4...0xa7, 0xaa...0xaf: string(cpu, body)
    default: break
    }
  }

  private func string(_ cpu: UnsafeMutablePointer<CPUState>, _ body: (MemoryAccess) -> Void) {
    let unit: UInt64 = instruction.opcode & 1 == 0 ? 1 : UInt64(instruction.operandSize / 8)
    let isRepeated = !instruction.prefixes.isDisjoint(with: [.rep, .repne])
    let count = isRepeated ? cpu.pointee.general.1 : 1
    let (size, overflow) = unit.multipliedReportingOverflow(by: count)
    if size == 0 || overflow { return }
    let isDown = cpu.pointee.flags_other & 0x400 != 0
    func area(_ pointer: UInt64, _ kinds: AccessKinds) {
      let first = isDown ? pointer &- (size &- unit) : pointer
      body(MemoryAccess(address: first, size: size, kinds: kinds))
    }
    let source = segment(instruction.segment, cpu) &+ cpu.pointee.general.6
    switch instruction.opcode {
    case 0xa4, 0xa5:
      area(source, .read)
      area(cpu.pointee.general.7, .write)
    case 0xa6, 0xa7:
      area(source, .read)
      area(cpu.pointee.general.7, .read)
    case 0xaa, 0xab: area(cpu.pointee.general.7, .write)
    case 0xac, 0xad: area(source, .read)
    case 0xae, 0xaf: area(cpu.pointee.general.7, .read)
    default: break
    }
  }
}
