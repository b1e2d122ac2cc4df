// The translator as an engine: finds or makes the block at RIP, enters it, and handles whatever made translated code leave.
// Shares the code cache of its address space with the engines of other threads, and has an interpreter for single instructions:
// those that have no host form, and those that faulted, whose exact effect the interpreter then has.

import CHost
import Engine
import GuestMemory
import X86

/// Runs guest code by translating it to the host's instructions, for one thread at a time. Needs a host with BMI2.
public final class TranslatorEngine: GuestEngine {
  let memory: AddressSpace
  private(set) var options: TranslatorOptions
  let cache: CodeCache
  let code: BlockDecoder
  private let interpreter: InterpreterEngine
  /// Its forgetting is done under the address space's lock; see `AddressSpace.enterGuest`.
  private let observer: CodeObserver
  private let shadowStack: ShadowStack
  // SAFETY: 512 bytes, freed in deinit.
  let x87Area: UnsafeMutableRawPointer
  /// The x87 instruction pointer that translated code was entered with.
  var x87Pointer: UInt64 = 0
  /// An instruction of AVX-512 to be translated alone, without tracking its code, and executed once: it stores into its own
  /// page, or RSP is no address.
  var untracked: UInt64?
  /// Its opmask names no element of its memory operand.
  var untrackedIsMasked = false
  private var untrackedBlock: Int?
  /// What is loaded when code is entered, and the cache's last changes that have been followed.
  private var loaded: LoadedState
  private var epoch: UInt64
  private var flushes: Int
  /// Bits of RFLAGS that the host must not have while translated code runs.
  private var keptFlags: UInt64 = 0
  private var sectionTurns = SectionTurns()
  /// The budget is about to end.
  private var isSteppingOut = false
  /// False in a forked child for which there was no memory.
  private var canTranslate = true
  private let hasAVX: Bool
  /// Counted only when the options ask for it; else 0.
  public private(set) var instructionCount: InstructionCount = 0

  /// Nil when the host lacks BMI2 or memory. The address space must be isolated when the options ask for guarding.
  public convenience init?(memory: AddressSpace, options: TranslatorOptions = TranslatorOptions()) {
    guard TranslatorEngine.isSupported, memory.isIsolated || !options.isGuarded,
      let cache = CodeCache(capacity: options.cacheSize, counts: options.countsInstructions)
    else { return nil }
    if options.measures { cache.measurement = Measurement() }
    self.init(memory, options, cache)
  }

  /// For another thread of the same address space, with the same translations. While threads run at the same time nothing is
  /// counted. Nil when the host lacks memory.
  public convenience init?(besides other: TranslatorEngine) {
    self.init(other.memory, other.options, other.cache)
  }

  private init?(_ memory: AddressSpace, _ options: TranslatorOptions, _ cache: CodeCache) {
    guard let interpreter = InterpreterEngine(memory: memory),
      let shadowStack = ShadowStack(bottom: cache.bottom)
    else { return nil }
    self.memory = memory
    executesVectors512 = CPUID.hostHasVectors512
    self.options = options
    self.options.hasVectors512 = executesVectors512
    self.options.windowLimit = memory.limit
    self.cache = cache
    (loaded, epoch, flushes) = (cache.needs, cache.epoch, cache.statistics.flushes)
    self.interpreter = interpreter
    self.shadowStack = shadowStack
    code = BlockDecoder(memory: memory)
    hasAVX = vt_host_float_features() & UInt32(VT_HOST_AVX) != 0
    x87Area = .allocate(byteCount: 512, alignment: 64)
    x87Area.initializeMemory(as: UInt8.self, repeating: 0, count: 512)
    observer = CodeObserver(
      hasCode: { cache.hasCode(pages: $0) }, forget: { cache.forget(pages: $0) })
    memory.add(observer)
  }

  deinit {
    memory.remove(observer)
    x87Area.deallocate()
  }

  public func observes(_ observer: CodeObserver) -> Bool {
    observer === self.observer || interpreter.observes(observer)
  }

  /// Whether this host has the instructions that the guard is made of.
  public static var isSupported: Bool { vt_host_has_bmi2() != 0 }

  public let executesVectors512: Bool
  public var countsInstructions: Bool { options.countsInstructions }

  public func flush() {
    interpreter.flush()
    forgetTranslations()
  }

  /// Forgets everything as soon as no other thread is in translated code.
  private func forgetTranslations() {
    if cache.runners == 0 {
      cache.flush()
    } else {
      cache.requestFlush()
      memory.evictAll()
    }
    waitForFlush()
    followFlush()
  }

  /// Somebody has requested a flush: gives all others the lock until they have come out.
  private func waitForFlush() {
    while !cache.fulfilFlush() { memory.giveWay() }
  }

  /// Return addresses into what has been forgotten must not be used.
  private func followFlush() {
    if flushes == cache.statistics.flushes { return }
    flushes = cache.statistics.flushes
    shadowStack.reset()
  }

  /// Follows what other engines have done to the cache since.
  private func catchUp(_ cpu: UnsafeMutablePointer<CPUState>) {
    waitForFlush()
    followFlush()
    epoch = cache.epoch
    if cache.needs.contains(.x87), !loaded.contains(.x87) { enterX87(cpu) }
    loaded = cache.needs
    sayLoaded(cpu)
  }

  private func sayLoaded(_ cpu: UnsafeMutablePointer<CPUState>) {
    cpu.pointee.translated.uses_x87 = loaded.contains(.x87) ? 1 : 0
    if loaded.contains(.wideVectors) { cpu.pointee.translated.uses_zmm = 1 }
  }

  // MARK: Running

  public func run(_ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount) -> Exit {
    prepareAfterFork()
    if !canTranslate { return interpreter.run(cpu, budget: budget) }
    enterState(cpu)
    let limit = min(budget, InstructionBudget.most)
    cpu.pointee.translated.remaining = limit
    var origin: Int?
    var exit: Exit?
    while exit == nil { exit = turn(cpu, &origin) }
    leaveState(cpu)
    count(limit, cpu)
    return exit ?? .budget
  }

  /// Adds what has been executed of `limit` instructions.
  private func count(_ limit: InstructionCount, _ cpu: UnsafeMutablePointer<CPUState>) {
    if options.countsInstructions { instructionCount &+= limit &- cpu.pointee.translated.remaining }
  }

  /// Whether VEX or EVEX may introduce the instruction, behind prefixes for segment and address size.
  private func mayBeWide(_ address: UInt64) -> Bool {
    guard let first = memory.load(UInt32.self, at: address) else { return true }
    return (0..<3).contains { position in
      let byte = first &>> (position &* 8) & 0xff
      return byte == 0x62 || byte == 0xc4 || byte == 0xc5
    }
  }

  /// In a forked child, the first time: makes the translations its own.
  // PERF: one comparison each time that guest code is entered.
  @inline(__always)
  private func prepareAfterFork() {
    switch cache.separateAfterFork() {
    case .notForked, .copied: break
    case .lost: followFlush()
    case .failed: canTranslate = false
    }
  }

  /// Enters translated code at RIP, or has the interpreter execute one instruction, and handles what made that return. `origin` is
  /// the site that was left through, to be linked to the block that comes next.
  // PERF: the body of the run loop; a call of its own costs some nanoseconds each time that translated code is left.
  @inline(__always)
  private func turn(_ cpu: UnsafeMutablePointer<CPUState>, _ origin: inout Int?) -> Exit? {
    if cpu.pointee.attention != 0 { return .attention }
    if options.countsInstructions && cpu.pointee.translated.remaining <= 0 { return .budget }
    if keptFlags & CPUState.trapFlag != 0, untracked == nil { return isStop(cpu) ? .stop : executeOne(cpu) }
    guard let block = find(cpu, &origin) else { return isStop(cpu) ? .stop : interpret(cpu) }
    if epoch != cache.epoch {
      removeUntracked()
      catchUp(cpu)
      return nil
    }
    let isInSection = cache.records[block].isInSection
    if isInSection, sectionTurns.overstay(memory) { return .attention }
    let entry = cache.hostAddress(block)
    if let state = cache.countingState {
      state.pointee.borrow(cpu, entry: entry)
      cpu.pointee.translated.other = UInt64(UInt(bitPattern: state)) &+ UInt64(VT_STATE_BIAS)
      cpu.pointee.translated.entry = cache.executable &+ UInt64(cache.entryStub)
    } else {
      cpu.pointee.translated.entry = entry
    }
    cpu.pointee.translated.shadow_rsp = shadowStack.pointer
    cache.runners &+= 1
    let isFree = isInSection ? false : memory.enterGuest(observer, CPUState.attention(cpu))
    vt_translated_run(cpu, cache.translation)
    if isFree { memory.leaveGuest(observer) }
    cache.runners &-= 1
    cache.countingState?.pointee.giveBack(cpu)
    shadowStack.pointer = cpu.pointee.translated.shadow_rsp
    cache.statistics.exits &+= 1
    let exit = handleExit(cpu, &origin)
    if untrackedBlock != nil {
      removeUntracked()
      origin = nil
    }
    return exit
  }

  private func removeUntracked() {
    if let block = untrackedBlock, flushes == cache.statistics.flushes { cache.remove(block) }
    untrackedBlock = nil
  }

  // MARK: Stopping

  /// Where `run` stops. No block begins there, so only the search for one has to look.
  public var stops: StopAddresses? {
    get { code.stops }
    set {
      code.stops = newValue
      interpreter.stops = newValue
    }
  }

  private func isStop(_ cpu: UnsafeMutablePointer<CPUState>) -> Bool {
    code.stops?.contains(cpu.pointee.rip) ?? false
  }

  public func prepareForSteps() { interpreter.prepareForSteps() }

  /// Executes one instruction: by the interpreter, or as a translated block of its own where only the host knows it.
  public func step(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit {
    prepareAfterFork()
    if !canTranslate { return interpreter.step(cpu) }
    // PERF: what the interpreter has executed before it can execute again, and most of a step's time would go into the rest.
    if interpreter.keeps(cpu.pointee.rip) {
      let before = interpreter.instructionCount
      let exit = interpreter.step(cpu)
      if options.countsInstructions { instructionCount &+= interpreter.instructionCount &- before }
      return exit
    }
    enterState(cpu)
    let limit = InstructionBudget.most
    cpu.pointee.translated.remaining = limit
    let exit = executeOne(cpu)
    leaveState(cpu)
    count(limit, cpu)
    return exit ?? .budget
  }

  /// Executes the instruction at RIP; nil when that is done, and TF is clear.
  private func executeOne(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit? {
    let start = cpu.pointee.rip
    guard mayBeWide(start), let decoded = decode(start), decoded.plan.isWide else { return interpret(cpu) }
    // What is left for one instruction suffices for a block.
    cpu.pointee.translated.remaining &+= InstructionBudget.reserve
    defer { cpu.pointee.translated.remaining &-= InstructionBudget.reserve }
    // Turns that only prepare the next one leave RIP where it is.
    for _ in 0..<4 where cpu.pointee.rip == start {
      untracked = start
      var origin: Int?
      if let exit = turn(cpu, &origin) { return exit }
    }
    return keptFlags & CPUState.trapFlag != 0 ? .interrupt(1) : nil
  }

  /// The block at RIP; nil when the interpreter has to execute the next instruction.
  private func find(
    _ cpu: UnsafeMutablePointer<CPUState>, _ origin: inout Int?, indirectly: Bool = false
  ) -> Int? {
    let from = origin.flatMap { options.linksBlocks && !cache.isInSection(site: $0) ? $0 : nil }
    origin = nil
    let rip = cpu.pointee.rip
    if untracked == rip { return makeBlock(rip) }
    if options.isGuarded && cpu.pointee.general.4 >= memory.limit { return nil }
    if let block = cache.lookup(rip) {
      if let from { cache.link(from, to: block) }
      return block
    }
    if isStop(cpu) { return nil }
    let flushes = cache.statistics.flushes
    guard let block = makeBlock(rip, indirectly: indirectly) else { return nil }
    if let from, cache.statistics.flushes == flushes { cache.link(from, to: block) }
    return block
  }

  /// Translates the block at `rip`.
  func makeBlock(_ rip: UInt64, indirectly: Bool = false) -> Int? {
    while !cache.hasRoom || cache.blockCount >= options.flushInterval ?? .max {
      forgetTranslations()
      // Other threads have had time to make it.
      if untracked != rip, let block = cache.lookup(rip) { return block }
    }
    cache.measurement?.translationBegins()
    defer { cache.measurement?.translationEnds() }
    let isInSection = memory.isInSection(rip)
    if untracked != rip, !isInSection, let block = takeStored(rip) { return block }
    cache.preparePages()
    if memory.isThreaded, untracked != rip {
      memory.markCode(aheadOf: rip, instructions: options.longestBlock)
    }
    var options = options
    if isInSection { options.linksBlocks = false }
    if untracked == rip {
      options.longestBlock = 1
      options.linksBlocks = false
      options.isPrivate = true
      options.treatsStackAsPointer = true
      options.operandIsMasked = untrackedIsMasked
      untrackedIsMasked = false
    }
    var translator = BlockTranslator(cache: cache, options: options, start: rip)
    guard let block = translator.translate(code, indirectly: indirectly) else { return nil }
    cache.records[block].isInSection = isInSection
    announce(translator.needs)
    if untracked == rip {
      untracked = nil
      untrackedBlock = block
    } else {
      // The address space has to tell when the code changes.
      memory.markCode(from: rip, to: translator.next)
    }
    for section in code.newSections { memory.forgetCode(in: section) }
    return code.newSections.isEmpty ? block : nil
  }

  /// Nobody may come to a new block who has not loaded what it needs.
  func announce(_ needs: LoadedState) {
    if needs.isSubset(of: cache.needs) { return }
    memory.evictAll()
    cache.need(needs)
  }

  // MARK: Leaving

  private func handleExit(_ cpu: UnsafeMutablePointer<CPUState>, _ origin: inout Int?) -> Exit? {
    switch Int(cpu.pointee.translated.site) {
    case Int(VT_EXIT_ATTENTION):
      cache.statistics.signals &+= 1
      return nil
    case Int(VT_EXIT_INDIRECT):
      cpu.pointee.rip = cpu.pointee.translated.target
      if cpu.pointee.rip &+ (1 &<< 47) >= 1 &<< 48, undoIndirect(cpu) { return interpret(cpu) }
      enterIndirectly(cpu)
      return nil
    case Int(VT_EXIT_FAULT):
      cache.statistics.faults &+= 1
      recover(cpu)
      return handleFault(cpu)
    case Int(VT_EXIT_INTERRUPTED):
      cache.statistics.signals &+= 1
      recover(cpu)
      return nil
    case let number:
      guard number < cache.siteCount else { return nil }
      let site = cache.sites[number]
      cpu.pointee.rip = site.target
      if site.kind == .branch {
        cache.statistics.branchExits &+= 1
        origin = number
        return nil
      }
      // A loop's guards stand in front of where its block is charged.
      if site.kind != .wildLoop { refund(cpu, UInt16(site.unused)) }
      switch site.kind {
      case .interpret: return interpret(cpu)
      case .systemCall:
        cache.statistics.systemCalls &+= 1
        finishSystemCall(cpu)
        return .systemCall
      case .budget: return isSteppingOut ? nil : stepOut(cpu)
      case .wildLoop:
        cache.exceptions.insert(loop: site.target)
        cache.discard(cache.block(of: number))
        return nil
      default: return nil
      }
    }
  }

  /// Gives back what was charged for instructions that were not executed.
  private func refund(_ cpu: UnsafeMutablePointer<CPUState>, _ instructions: UInt16) {
    if options.countsInstructions { cpu.pointee.translated.remaining &+= Int64(instructions) }
  }

  /// SYSCALL leaves the address behind it in RCX and the flags in R11 (SDM volume 2, SYSCALL).
  private func finishSystemCall(_ cpu: UnsafeMutablePointer<CPUState>) {
    cpu.pointee.general.1 = cpu.pointee.rip
    cpu.pointee.general.11 = guestFlags(cpu)
  }

  /// Goes back to in front of the indirect branch that was executed last: its target is not canonical.
  private func undoIndirect(_ cpu: UnsafeMutablePointer<CPUState>) -> Bool {
    let number = Int(cpu.pointee.translated.indirect_site)
    guard number < cache.siteCount, cache.sites[number].kind == .indirect else { return false }
    let site = cache.sites[number]
    cpu.pointee.rip = site.target
    if site.stack < 0 { restorePushed(cpu) }
    cpu.pointee.general.4 &-= UInt64(bitPattern: Int64(site.stack))
    refund(cpu, UInt16(site.unused))
    return true
  }

  /// Puts back what a CALL has overwritten at RSP.
  private func restorePushed(_ cpu: UnsafeMutablePointer<CPUState>) {
    let old = UnsafeRawPointer(cache.countingState ?? cpu) + Int(VT_OFFSET_VECTOR_SCRATCH)
    guard cpu.pointee.general.4 < memory.limit else { return }
    _ = vt_guard_copy(memory.base + Int(truncatingIfNeeded: cpu.pointee.general.4), old, 8)
  }

  /// Makes the target of an indirect branch reachable without the run loop.
  private func enterIndirectly(_ cpu: UnsafeMutablePointer<CPUState>) {
    cache.statistics.indirectMisses &+= 1
    var none: Int?
    guard options.linksBlocks, !memory.isInSection(cpu.pointee.rip),
      let block = find(cpu, &none, indirectly: true),
      let entry = CommonCode.indirectEntry(block, cache)
    else {
      return
    }
    CommonCode.enter(cpu.pointee.rip, at: entry, cache)
  }

  /// The guest state of a fault or signal in the middle of a block: RIP, and what a string instruction had moved.
  private func recover(_ cpu: UnsafeMutablePointer<CPUState>) {
    var found: UnsafePointer<vt_translated_block>?
    let host = UInt32(truncatingIfNeeded: cpu.pointee.translated.host_rip &- cache.executable)
    guard let entry = vt_translated_find(cache.translation, host, &found), let found else { return }
    let kind = Int(entry.pointee.kind)
    cpu.pointee.rip = found.pointee.guest &+ UInt64(entry.pointee.guest)
    cpu.pointee.general.4 &+= UInt64(bitPattern: Int64(entry.pointee.stack))
    let window = cpu.pointee.translated.window
    if kind & VT_ENTRY_VECTOR != 0 { restoreVector(cpu, kind &>> 8 & 15) }
    if kind & VT_ENTRY_SOURCE != 0 { cpu.pointee.general.6 &-= window }
    if kind & VT_ENTRY_DESTINATION != 0 { cpu.pointee.general.7 &-= window }
    if kind & VT_ENTRY_COUNTER != 0 { cpu.pointee.general.1 = cpu.pointee.translated.scratch }
    if options.countsInstructions {
      let record = cache.records[found - UnsafePointer(cache.blocks)]
      refund(cpu, record.unused(behind: executed(found, entry)))
    }
    shadowStack.checkOverflow()
  }

  /// A template had borrowed vector register `number`.
  private func restoreVector(_ cpu: UnsafeMutablePointer<CPUState>, _ number: Int) {
    let scratch = UnsafeRawPointer(cache.countingState ?? cpu) + Int(VT_OFFSET_VECTOR_SCRATCH)
    (UnsafeMutableRawPointer(cpu) + (Int(VT_OFFSET_VECTOR) &+ number &* 64)).copyMemory(
      from: scratch, byteCount: cpu.pointee.translated.uses_zmm != 0 ? 64 : 32)
  }

  /// Instructions of `block` before the one that `entry` belongs to.
  private func executed(
    _ block: UnsafePointer<vt_translated_block>, _ entry: UnsafePointer<vt_translated_entry>
  ) -> Int {
    var current = UnsafePointer(cache.entries) + Int(block.pointee.first_entry)
    var count = 0
    var last = current.pointee.guest
    while current < entry {
      current += 1
      if current.pointee.guest != last {
        last = current.pointee.guest
        count &+= 1
      }
    }
    return count
  }

  // MARK: Single instructions

  /// Lets the interpreter execute the instruction at RIP; nil when execution simply goes on.
  func interpret(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit? {
    cache.statistics.interpreted &+= 1
    if cache.measurement != nil { noteInterpreted(cpu.pointee.rip) }
    if loaded.contains(.wideVectors), let decoded = decode(cpu.pointee.rip), decoded.plan.isWide {
      return interpretWide(cpu, decoded.instruction)
    }
    leaveState(cpu)
    let before = interpreter.instructionCount
    let exit = interpreter.step(cpu)
    // Also when a store has made somebody call for attention.
    cpu.pointee.translated.remaining &-= interpreter.instructionCount &- before
    enterState(cpu)
    return exit == .budget ? nil : exit
  }

  private func noteInterpreted(_ address: UInt64) {
    if let decoded = decode(address) { cache.measurement?.interprets(row: decoded.instruction.row) }
  }

  /// The one instruction at `address`.
  func decode(_ address: UInt64) -> DecodedInstruction? {
    var single = options
    single.longestBlock = 1
    return code.decode(address, single).first
  }

  /// The budget may end soon: block by block as long as it reaches over the whole next one, then one instruction at a time.
  private func stepOut(_ cpu: UnsafeMutablePointer<CPUState>) -> Exit? {
    isSteppingOut = true
    defer { isSteppingOut = false }
    while cpu.pointee.translated.remaining > 0 {
      if isStop(cpu) { return .stop }
      let traps = keptFlags & CPUState.trapFlag != 0
      let exit =
        if !traps, let block = affordableBlock(cpu) { executeBlock(block, cpu) } else { executeOne(cpu) }
      if let exit { return exit }
    }
    return .budget
  }

  /// The block at RIP, if it is known and the budget reaches over all of it.
  private func affordableBlock(_ cpu: UnsafeMutablePointer<CPUState>) -> Int? {
    guard let block = cache.lookup(cpu.pointee.rip),
      cpu.pointee.translated.remaining >= Int64(cache.records[block].instructions)
    else { return nil }
    return block
  }

  /// Enters `block`, with what its own question for the budget wants and the next one does not get.
  private func executeBlock(_ block: Int, _ cpu: UnsafeMutablePointer<CPUState>) -> Exit? {
    let wanted = InstructionBudget.reserve &+ Int64(cache.records[block].unused(behind: 0))
    let lent = max(0, wanted &- cpu.pointee.translated.remaining)
    cpu.pointee.translated.remaining &+= lent
    defer { cpu.pointee.translated.remaining &-= lent }
    var origin: Int?
    return turn(cpu, &origin)
  }

  // MARK: State

  /// Flags that translated code runs with: the status flags, DF, NT, AC and ID. Others wait in `keptFlags`.
  private static let hardwareFlags: UInt64 = 0x24_4cd5

  private func guestFlags(_ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    cpu.pointee.translated.rflags & TranslatorEngine.hardwareFlags | keptFlags | 0x202
  }

  /// Brings the state into the form that translated code is entered with.
  private func enterState(_ cpu: UnsafeMutablePointer<CPUState>) {
    let window = UInt64(UInt(bitPattern: memory.base))
    cpu.pointee.window_limit = memory.limit
    cpu.pointee.translated.window = window
    cpu.pointee.translated.negative_window = 0 &- window
    cpu.pointee.translated.fs_base = TranslatorEngine.guarded(cpu.pointee.fs_base)
    cpu.pointee.translated.gs_base = TranslatorEngine.guarded(cpu.pointee.gs_base)
    let flags = cpu.pointee.lazyFlags.rflags
    keptFlags = flags & ~TranslatorEngine.hardwareFlags
    cpu.pointee.translated.rflags = flags & TranslatorEngine.hardwareFlags | 0x202
    let hasAllFlags = keptFlags & ~0x202 == 0
    cpu.pointee.translated.direct_calls = hasAllFlags ? UnsafePointer(memory.directCalls) : vt_direct_none()
    cpu.pointee.translated.has_avx = hasAVX ? 1 : 0
    cpu.pointee.translated.x87_area = x87Area
    sayLoaded(cpu)
    cpu.pointee.mxcsr &= ExtendedState.mxcsrMask
    if loaded.contains(.x87) { enterX87(cpu) }
    _ = vt_set_gs_base(window)
  }

  /// Brings it back into the form that everybody else knows.
  private func leaveState(_ cpu: UnsafeMutablePointer<CPUState>) {
    cpu.pointee.lazyFlags = LazyFlags(rflags: guestFlags(cpu))
    cache.statistics.directCalls &+= Int(truncatingIfNeeded: cpu.pointee.translated.direct_count)
    cpu.pointee.translated.direct_count = 0
    if loaded.contains(.x87) { leaveX87(cpu) }
  }

  /// The guard's function.
  private static func guarded(_ value: UInt64) -> UInt64 { value &>> (value &>> 60) }
}
