// The interpreter as an engine: looks blocks up, enters the chain of handlers under fault protection, links branches,
// turns host faults into guest faults, and keeps the exact instruction count. Owns the block cache of its address space.

import CHost
import GuestMemory
import X86

/// Runs guest code by interpretation of decoded blocks.
public final class InterpreterEngine: GuestEngine {
  let memory: AddressSpace
  let cache: BlockCache
  var builder: BlockBuilder
  private let steps = StepCache()
  /// Its forgetting is done under the address space's lock; see `AddressSpace.enterGuest`.
  private let observer: CodeObserver

  /// Instructions executed since creation.
  public private(set) var instructionCount: InstructionCount = 0

  private var sectionTurns = SectionTurns()

  /// Blocks run without looking at the budget for at most this many instructions, so the last stretch is stepped.
  static let reserve = InstructionCount(BlockBuilder.longestBlock)

  /// Installs the fault handlers of the process; nil when the host refuses them, or memory.
  public init?(memory: AddressSpace) {
    guard vt_guard_install() == 0, let cache = BlockCache() else { return nil }
    self.memory = memory
    self.cache = cache
    builder = BlockBuilder(memory: memory, cache: cache)
    observer = CodeObserver(
      hasCode: { cache.hasCode(pages: $0) },
      forget: { [steps] in
        cache.invalidate(pages: $0)
        steps.forget($0)
      })
    memory.add(observer)
  }

  deinit { memory.remove(observer) }

  public func observes(_ observer: CodeObserver) -> Bool { observer === self.observer }

  public var stops: StopAddresses? {
    get { builder.stops }
    set { builder.stops = newValue }
  }

  /// Where `run` stops besides: in front of instructions that may access what this filter lets through, if need be where it begins.
  public var filter: WatchFilter? {
    get { builder.filter }
    set {
      builder.filter = newValue
      cache.flush()
    }
  }

  /// Counters for `--stats`.
  public var statistics: (blocks: Int, operations: Int, flushes: Int, invalidations: Int) {
    (cache.blocks.count, cache.used, cache.flushes, cache.invalidations)
  }

  /// Forgets all decoded code; for whoever changes guest memory behind the address space's back.
  public func flush() {
    cache.flush()
    steps.forgetAll()
  }

  /// Runs `cpu` until it needs the outside world, at most `budget` instructions, counted exactly.
  public func run(_ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount) -> Exit {
    run(cpu, budget: budget, meetsStops: true)
  }

  /// Executes the instruction at RIP, also where `run` would stop.
  public func step(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit {
    steps.isActive ? stepKept(cpu) : run(cpu, budget: 1, meetsStops: false)
  }

  /// The instruction at `address` has been executed before, and is kept.
  public func keeps(_ address: UInt64) -> Bool { steps.find(address) != nil }

  public func prepareForSteps() { if !memory.isThreaded { steps.activate() } }

  private func run(
    _ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount, meetsStops: Bool
  ) -> Exit {
    cpu.pointee.window_limit = memory.limit
    cpu.pointee.block_cache = UnsafeMutableRawPointer(cache.jumps)
    var remaining = budget
    var exit: Exit?
    while exit == nil {
      if cpu.pointee.attention != 0 { return .attention }
      if remaining <= 0 { return .budget }
      let before = remaining
      if cpu.pointee.flags_other & CPUState.trapFlag != 0 {
        exit = meetsStops && isStop(cpu.pointee.rip) ? .stop : stepIntoTrap(cpu, &remaining)
      } else if memory.isInSection(cpu.pointee.rip) {
        exit = sectionTurns.overstay(memory) ? .attention : step(cpu, &remaining)
      } else if remaining > InterpreterEngine.reserve {
        exit = runBlocks(cpu, &remaining)
      } else if meetsStops, isStop(cpu.pointee.rip) {
        exit = .stop
      } else if meetsStops, builder.filter != nil {
        // Single steps look at nothing.
        exit = .stop
      } else {
        exit = step(cpu, &remaining)
      }
      instructionCount &+= before &- remaining
    }
    return exit ?? .budget
  }

  /// Enters the chain of handlers at RIP and handles one return from it.
  private func runBlocks(_ cpu: UnsafeMutablePointer<CPUState>, _ remaining: inout InstructionCount) -> Exit?
  {
    if isStop(cpu.pointee.rip) { return .stop }
    let head = find(cpu.pointee.rip)
    cpu.pointee.remaining = remaining &- InterpreterEngine.reserve
    var fault = vt_fault()
    let isFree = memory.enterGuest(observer, CPUState.attention(cpu))
    let faulted = enter(head, cpu, &fault)
    if isFree { memory.leaveGuest(observer) }
    remaining = cpu.pointee.remaining &+ InterpreterEngine.reserve
    if faulted {
      // Every handler notes its operation before it can fault; should one not, the guest ends, not Vitrine.
      guard let noted = cpu.pointee.operation else { return .fault(Fault(trap: .generalProtection)) }
      let operation = noted.assumingMemoryBound(to: Operation.self)
      remaining &-= executedBefore(operation)
      cpu.pointee.rip = operation.pointee.rip
      // Other threads may have changed what made it fault: under the lock they cannot.
      return isFree && fault.signal != 0 ? step(cpu, &remaining) : convert(fault, cpu, &remaining)
    }
    if cpu.pointee.exit_reason == ExitReason.watched, let noted = cpu.pointee.operation {
      remaining &-= executedBefore(noted.assumingMemoryBound(to: Operation.self))
      return .stop
    }
    return left(cpu)
  }

  /// Runs the chain of handlers from `head` under the guest's floating-point environment; true when it faulted. Nothing
  /// else of ours may run in that environment: even growing a dictionary would leave its flags there.
  private func enter(
    _ head: UnsafePointer<Operation>, _ cpu: UnsafeMutablePointer<CPUState>, _ fault: inout vt_fault
  ) -> Bool {
    enterGuestFloatingPoint(cpu)
    defer { leaveGuestFloatingPoint(cpu) }
    return vt_guard_run(enterHandler, head, cpu, memory.base, cpu.pointee.remaining, &fault) != 0
  }

  /// What the exit reason asks for; nil to go on.
  private func left(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit? {
    switch cpu.pointee.exit_reason {
    case ExitReason.resolve:
      link(cpu.pointee.exit_value, to: cpu.pointee.rip)
      return nil
    case ExitReason.systemCall:
      // SYSCALL leaves the address behind it in RCX and the flags in R11 (SDM volume 2, SYSCALL).
      cpu.pointee.general.1 = cpu.pointee.rip
      cpu.pointee.general.11 = cpu.pointee.lazyFlags.rflags
      return .systemCall
    case ExitReason.interrupt: return .interrupt(UInt8(truncatingIfNeeded: cpu.pointee.exit_value))
    case ExitReason.trap: return trapExit(cpu)
    default: return nil
    }
  }

  private func trapExit(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit {
    let trap = Trap(rawValue: UInt32(truncatingIfNeeded: cpu.pointee.exit_value)) ?? .generalProtection
    if trap == .pageFault {
      let present: UInt64 = memory.query(cpu.pointee.exit_address) == nil ? 0 : 1
      return .fault(Fault(trap: trap, address: cpu.pointee.exit_address, errorCode: 0x14 | present))
    }
    return .fault(Fault(trap: trap, errorCode: cpu.pointee.exit_address))
  }

  /// The block at `rip`, decoded if need be.
  private func find(_ rip: UInt64) -> UnsafePointer<Operation> {
    if let head = cache.lookup(rip), !cache.isDead(head) {
      cache.remember(rip, head)
      return head
    }
    var head = builder.build(rip)
    if !builder.newSections.isEmpty {
      // The block may be one of those that are forgotten.
      for section in builder.newSections { memory.forgetCode(in: section) }
      head = builder.build(rip)
    }
    // Code that cannot be fetched is not kept: its operations are written over by the next block.
    if cache.holds(head) { cache.remember(rip, head) }
    return head
  }

  /// Links the branch operation at host address `branch` (0: none) to the block at `rip`.
  private func link(_ branch: UInt64, to rip: UInt64) {
    if isStop(rip) || memory.isInSection(rip) { return }
    let flushes = cache.flushes
    let head = find(rip)
    guard branch != 0, cache.flushes == flushes,
      let operation = UnsafeMutablePointer<Operation>(bitPattern: UInt(branch)),
      // Another thread may have made its block forget.
      !cache.isDead(operation)
    else { return }
    operation.pointee.displacement = Int32(truncatingIfNeeded: head - UnsafePointer(operation))
  }

  /// Operations that are a compare and a branch. Built when something faults for the first time.
  private lazy var fusedHandlers = BlockWriter.fusedHandlers

  /// Instructions of the block before the one that `operation` belongs to.
  private func executedBefore(_ operation: UnsafePointer<Operation>) -> InstructionCount {
    guard let block = cache.block(containing: operation) else { return 0 }
    var count: InstructionCount = 0
    var current = UnsafePointer(cache.arena + block.head)
    while current < operation {
      let following = current + 1
      if following.pointee.rip != current.pointee.rip {
        count &+= fusedHandlers.contains(current.pointee.handler) ? 2 : 1
      }
      current = following
    }
    return count
  }

  private func isStop(_ rip: UInt64) -> Bool { stops?.contains(rip) ?? false }

  // MARK: Stepping

  /// Executes exactly one instruction.
  private func step(_ cpu: UnsafeMutablePointer<CPUState>, _ remaining: inout InstructionCount) -> Exit? {
    let head = builder.buildStep(cpu.pointee.rip)
    // None: indirect branches and returns find targets in the jump cache, and go on unless it is overdrawn.
    cpu.pointee.remaining = 0
    var fault = vt_fault()
    let faulted = enter(head, cpu, &fault)
    if faulted {
      cpu.pointee.rip = head.pointee.rip
      return convert(fault, cpu, &remaining)
    }
    remaining &+= cpu.pointee.remaining
    return left(cpu)
  }

  /// Executes one instruction while TF is set: the debug exception behind it is what INT1 makes.
  private func stepIntoTrap(_ cpu: UnsafeMutablePointer<CPUState>, _ remaining: inout InstructionCount)
    -> Exit?
  {
    let before = remaining
    return step(cpu, &remaining) ?? (remaining < before ? .interrupt(1) : nil)
  }

  /// The same with the operations of instructions that were executed before, and without linking their branches.
  private func stepKept(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit {
    cpu.pointee.window_limit = memory.limit
    cpu.pointee.block_cache = UnsafeMutableRawPointer(cache.jumps)
    if cpu.pointee.attention != 0 { return .attention }
    let rip = cpu.pointee.rip
    let traps = cpu.pointee.flags_other & CPUState.trapFlag != 0
    var fault = vt_fault()
    var remaining: InstructionCount = 1
    var exit: Exit?
    repeat {
      cpu.pointee.remaining = 0
      let head = steps.find(rip) ?? builder.buildKeptStep(rip, steps)
      if enter(head, cpu, &fault) {
        cpu.pointee.rip = rip
        exit = convert(fault, cpu, &remaining)
      } else {
        remaining &+= cpu.pointee.remaining
        exit = cpu.pointee.exit_reason == ExitReason.resolve ? nil : left(cpu)
      }
      // What only needed a page, or one that may be written, is executed now.
    } while exit == nil && remaining > 0
    instructionCount &+= 1 &- remaining
    return exit ?? (traps ? .interrupt(1) : .budget)
  }

  // MARK: Faults

  /// Makes a guest fault of what the host reported; nil when the instruction can simply be executed again.
  private func convert(
    _ fault: vt_fault, _ cpu: UnsafeMutablePointer<CPUState>, _ remaining: inout InstructionCount
  ) -> Exit? {
    if fault.signal == 0 {
      let trap = Trap(rawValue: UInt32(truncatingIfNeeded: fault.code)) ?? .generalProtection
      return .fault(Fault(trap: trap, errorCode: fault.address))
    }
    if fault.signal == HostSignal.floatingPoint {
      return .fault(Fault(trap: .simdFloatingPoint))
    }
    let isWrite = fault.error_code & 2 != 0
    var address = fault.address &- UInt64(UInt(bitPattern: memory.base))
    if fault.address == 0 || address >= memory.limit {
      // Clamped to the guard area: the operation noted the address that it wanted.
      address = max(cpu.pointee.exit_address, memory.limit)
      let isLow = address < 1 &<< 47
      let last = isLow ? address &+ builder.memoryOperandSize(cpu.pointee.rip) &- 1 : address
      if last &+ (1 &<< 47) >= 1 &<< 48 { return .fault(Fault(trap: nonCanonicalTrap(cpu))) }
    } else if fault.signal == HostSignal.bus {
      return .fault(
        Fault(trap: .pageFault, address: address, errorCode: fault.error_code | 4, isBusError: true))
    } else if isWrite && memory.handleWriteFault(address) {
      // The store goes to a page with decoded code: execute this one instruction while the page is writable.
      return step(cpu, &remaining)
    } else if memory.handleFault(at: address, write: isWrite) {
      return nil
    }
    if !isWrite, address & 0xfff == 0, let start = builder.modifiedOperand(cpu), address &- start < 64,
      let region = memory.query(start), start != address, !region.permissions.contains(.write)
    {
      // The operand is read and written, and silicon asks for the right to write with the read: its first page is
      // mapped without, so the second one, where the read faulted, is not looked at.
      return .fault(Fault(trap: .pageFault, address: start, errorCode: 7))
    }
    return .fault(Fault(trap: .pageFault, address: address, errorCode: (fault.error_code & 3) | 4))
  }

  /// A non-canonical address is #SS when the operand is in the stack segment, else #GP.
  private func nonCanonicalTrap(_ cpu: UnsafeMutablePointer<CPUState>) -> Trap {
    // What is pushed lies right below RSP, whatever segment the instruction's other operand is in.
    let below = cpu.pointee.general.4 &- cpu.pointee.exit_address
    if below >= 1 && below <= 8 { return .stackFault }
    return builder.usesStackSegment(cpu.pointee.rip) ? .stackFault : .generalProtection
  }
}

/// Linux signal numbers of host faults.
public enum HostSignal {
  public static let bus: Int32 = 7
  static let floatingPoint: Int32 = 8
}

/// The first link of every chain: calls the head operation's handler.
private let enterHandler: vt_handler = { operation, cpu, window, counter in
  guard let operation, let cpu, let window else { return }
  let head = operation.assumingMemoryBound(to: Operation.self)
  go(head, cpu.assumingMemoryBound(to: CPUState.self), window, counter)
}
