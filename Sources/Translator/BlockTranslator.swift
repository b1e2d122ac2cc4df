// Translates one block: lets the templates in X64/ write host code for its decoded instructions, and records where each
// guest instruction begins. No analysis goes beyond the block, so the time is linear in the guest code. Writes only into the
// room that the code cache gave.

import CHost
import X86

/// One decoded instruction of a block.
struct DecodedInstruction {
  var instruction = Instruction()
  var plan = RowPlan(row: 0)
  var address: UInt64 = 0
  /// The bytes, 15 at most.
  var bytes: (UInt64, UInt64) = (0, 0)
}

/// A block under construction.
struct BlockTranslator {
  let cache: CodeCache
  let options: TranslatorOptions
  let start: UInt64
  var assembler: Assembler
  /// What the scratch register holds besides: a guarded address that following accesses may use. The second scratch register
  /// may hold another one (`Assembler.held`).
  var guarded = GuardedRegister.none
  /// The guarded address used last was in the second scratch register.
  var usedSecondLast = false
  /// The instruction needs the second scratch register for its operands.
  var keepsSecondFree = false
  /// Guest registers that lie in [-2^31, 2^32), because the block has made them so; one bit each.
  var narrow: UInt16 = 0
  /// RSP is this much more than its host register: PUSH and POP only count (X64/StackTemplates.swift).
  var stackDelta: Int32 = 0
  /// The guest's stack pointer was moved by a constant and has not been used since.
  var isStackUnproven = false
  /// Instructions begun, the address of the one being translated, and the address behind it.
  var count = 0
  var address: UInt64
  var next: UInt64
  var isEnded = false
  /// The current instruction's plan.
  private(set) var plan = RowPlan(row: 0)
  /// What it needs of the state.
  var needs = LoadedState()
  /// What the loop of this block, if it is one, has guarded in front (X64/LoopGuards.swift).
  var loop = LoopGuards()
  /// Where the block's own backward branches go.
  private var body: UInt32 = 0
  /// First site of this block; its host code's beginning.
  let firstSite: Int
  private var begin: UInt32
  /// The block's first byte, in front of its indirect entry, and its first relocation.
  private let firstByte: UInt32
  private let firstRelocation: Int
  /// What is charged together (X64/Counting.swift).
  var segments = Segments()

  init(cache: CodeCache, options: TranslatorOptions, start: UInt64) {
    self.cache = cache
    self.options = options
    self.start = start
    // What is not shared by cache lines with other blocks' code runs faster; calls did by a fifth.
    cache.used = (cache.used &+ 63) & ~63
    cache.willChange()
    assembler = cache.assembler(at: cache.used)
    begin = UInt32(truncatingIfNeeded: cache.used)
    firstByte = begin
    firstRelocation = cache.relocationCount
    address = start
    next = start
    firstSite = cache.siteCount
  }

  /// Offset in the cache of the byte written next.
  var host: UInt32 { offset(assembler.cursor) }

  func offset(_ place: UnsafeMutablePointer<UInt8>) -> UInt32 {
    UInt32(truncatingIfNeeded: place - cache.writable)
  }

  // MARK: The block

  /// Translates from `start`. Nil when not even the first instruction can be fetched. `indirectly`: an indirect branch comes
  /// here, so its entry is put in front.
  mutating func translate(_ code: BlockDecoder, indirectly: Bool) -> Int? {
    let instructions = code.decode(start, options)
    guard !instructions.isEmpty || code.endsInvalid else { return nil }
    if options.linksBlocks {
      loop = LoopGuards(instructions, start: start)
      if !options.isGuarded || cache.exceptions.loops.contains(start) { loop.giveUp() }
    }
    if options.countsInstructions && loop.registers == 0 { writeBudgetExit() }
    let entry = host
    var distance: UInt32 = 0
    if indirectly {
      let places = CommonCode.writeIndirectEntry(start, &assembler, cache)
      relocate(.common, places.miss)
      distance = places.distance
    }
    let head = host
    begin = head
    let firstEntry = cache.entryCount
    guardLoop()
    if loop.isLoop { alignLoop() }
    body = host
    assembler.held = HeldRegister()
    for index in 0..<instructions.count where !isEnded {
      address = instructions[index].address
      next = address &+ UInt64(instructions[index].instruction.length)
      if options.countsInstructions { beginSegment() }
      count &+= 1
      loop.position = index
      withUnsafeBytes(of: &instructions[index].bytes) { bytes in
        // SAFETY: sixteen bytes, of which the instruction's length is used.
        guard let pointer = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
        translate(instructions[index].instruction, instructions[index].plan, pointer)
      }
    }
    if !isEnded && code.endsInvalid { translateInvalid(code.invalidLength) }
    if !isEnded { leave(to: next) }
    endSegment()
    writeStubs()
    let block = finish(head, firstEntry)
    noteOrigin(block, code)
    if indirectly {
      (cache.records[block].indirectEntry, cache.records[block].indirectDistance) = (entry, distance)
      cache.tell(.indirectEntry, guest: start, guestSize: 0, Int(entry), Int(head))
    }
    return block
  }

  private mutating func finish(_ head: UInt32, _ firstEntry: Int) -> Int {
    cache.used = Int(host)
    cache.statistics.blocks &+= 1
    cache.statistics.instructions &+= count
    cache.statistics.guestBytes &+= Int(truncatingIfNeeded: next &- start)
    cache.statistics.hostBytes &+= Int(host &- begin)
    let record = BlockRecord(
      firstSite: UInt32(truncatingIfNeeded: firstSite),
      siteCount: UInt16(truncatingIfNeeded: cache.siteCount &- firstSite),
      instructions: UInt16(truncatingIfNeeded: count), segments: segments.begins, isAlive: !options.isPrivate)
    let number = cache.add(
      vt_translated_block(
        guest: start, host: head, host_end: host, first_entry: UInt32(truncatingIfNeeded: firstEntry),
        entry_count: UInt16(truncatingIfNeeded: cache.entryCount &- firstEntry),
        guest_size: UInt16(truncatingIfNeeded: next &- start)), record)
    cache.tell(
      .block(number), guest: start, guestSize: Int(truncatingIfNeeded: next &- start), Int(begin), Int(host))
    return number
  }

  /// The 32 bits at offset `place` depend on where this block lies.
  func relocate(_ kind: Relocation.Kind, _ place: UInt32) {
    cache.relocate(kind, place, from: firstByte)
  }

  /// For the store, if there is one: where the block comes from.
  private func noteOrigin(_ block: Int, _ code: BlockDecoder) {
    if cache.origins == nil { return }
    let bytes = code.bytes.prefix(Int(cache.blocks[block].guest_size))
    let isKept = !options.isPrivate && !code.endsInvalid && !code.isInSection && !code.namesSection
    let origin = BlockOrigin(
      guestHash: isKept ? cache.store?.hash(UnsafeRawBufferPointer(rebasing: bytes)) ?? 0 : 0,
      firstRelocation: UInt32(truncatingIfNeeded: firstRelocation),
      relocationCount: UInt16(truncatingIfNeeded: cache.relocationCount &- firstRelocation),
      needs: needs)
    cache.note(origin, of: block)
  }

  /// Notes that the current guest instruction's code goes on here, where RSP is `stack` more than its host register.
  mutating func addEntry(kind: Int = VT_ENTRY_INSTRUCTION, stack: Int32? = nil, at place: UInt64? = nil) {
    cache.entries[cache.entryCount] = vt_translated_entry(
      host: UInt16(truncatingIfNeeded: host &- begin),
      guest: UInt16(truncatingIfNeeded: (place ?? address) &- start),
      kind: UInt16(truncatingIfNeeded: kind), stack: Int16(truncatingIfNeeded: stack ?? stackDelta))
    cache.entryCount &+= 1
  }

  private mutating func translateInvalid(_ length: Int) {
    address = next
    if options.countsInstructions { beginSegment() }
    count &+= 1
    addEntry()
    next = address &+ UInt64(max(length, 1))
    interpret()
  }

  private mutating func translate(
    _ instruction: Instruction, _ plan: RowPlan, _ bytes: UnsafePointer<UInt8>
  ) {
    self.plan = plan
    if plan.usesX87 { needs.insert(.x87) }
    if plan.isWide { needs.insert(.wideVectors) }
    // PERF: the first half stands here because a call would copy all of this struct for each instruction.
    if stackDelta != 0, needsSettledStack(instruction, plan) { settleStackPointer() }
    addEntry()
    switch plan.template {
    case .interpret: interpret()
    case .copy: copy(instruction, plan, bytes)
    case .nothing: break
    case .effectiveAddress: effectiveAddress(instruction, plan, bytes)
    case .jumpIf: branch(if: plan.condition, to: next &+ UInt64(bitPattern: instruction.immediate))
    case .jump: jump(instruction)
    case .call: call(instruction)
    case .ret: ret(instruction)
    case .loop, .loopIfEqual, .loopIfNotEqual, .jumpIfCounterZero: loop(instruction, plan.template)
    case .systemCall: systemCall()
    case .push: push(instruction)
    case .pop: pop(instruction)
    case .leave: leaveFrame(instruction)
    case .string: string(instruction, bytes)
    }
    // What is known of registers.
    switch plan.template {
    case .copy, .effectiveAddress:
      noteNarrowness(instruction, plan)
    case .nothing, .jumpIf, .push: break
    case .pop: narrow = 0
    default:
      narrow = 0
      assembler.held = HeldRegister()
    }
  }

  private mutating func noteNarrowness(_ instruction: Instruction, _ plan: RowPlan) {
    let effects = RegisterEffects.narrowness(instruction, plan)
    let isNarrow = isNarrowCopy(instruction, plan) || isHarmlessConstant(instruction, plan)
    narrow = narrow & ~effects.other | effects.narrow
    if isNarrow { narrow |= RegisterEffects.written(instruction, plan) }
  }

  /// MOV of an immediate of 64 bits, or LEA relative to RIP, that gives an address within the window: like a narrow register it needs no
  /// guard, neither as a base nor as an index.
  private func isHarmlessConstant(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    guard instruction.operandSize == 64 else { return false }
    if plan.template == .effectiveAddress {
      return instruction.base == Instruction.relative && instruction.addressSize == 64
        && next &+ UInt64(bitPattern: instruction.displacement) < TranslatorOptions.endOfConstants
    }
    return instruction.opcode & 0xf8 == 0xb8 && instruction.modRMOffset == 0
      && UInt64(bitPattern: instruction.immediate) < TranslatorOptions.endOfConstants
  }

  /// MOV from a narrow register. What MOV loads from the CPU state is not visibly narrow (`narrowHost`).
  private func isNarrowCopy(_ instruction: Instruction, _ plan: RowPlan) -> Bool {
    guard let (source, size) = RegisterEffects.copy(instruction, plan), size == 0,
      HostRegister.holding(source & 15) != HostRegister.inState
    else { return false }
    return narrow &>> UInt16(source & 15) & 1 != 0
  }

  // MARK: Leaving

  /// The interpreter executes the current instruction, and the run loop goes on behind it.
  mutating func interpret() {
    settleStack()
    let number = addSite(.interpret, target: address, executed: count &- 1)
    jump(to: number)
    isEnded = true
  }

  /// The block ends; execution goes on at `target`.
  mutating func leave(to target: UInt64) {
    settleStackPointer()
    if isStackUnproven { guardStack(goingOnAt: target, executed: count) }
    branch(to: target)
    isEnded = true
  }

  /// System calls that are counted, or behind which the run loop is wanted, are the run loop's to make.
  var mayCallDirectly: Bool { options.linksBlocks && (!options.countsInstructions || options.logsCalls) }

  mutating func addSite(_ kind: Site.Kind, target: UInt64, executed: Int) -> Int {
    cache.addSite(Site(target: target, executed: UInt8(truncatingIfNeeded: executed), kind: kind))
  }

  /// An unconditional jump to what `number`'s stub says, patched when the site is linked.
  mutating func jump(to number: Int) {
    alignPatch(1)
    let place = assembler.jump()
    cache.sites[number].patch = offset(place)
  }

  /// Fills up so that the 32-bit distance that begins `lead` bytes further does not cross a cache line.
  mutating func alignPatch(_ lead: Int) {
    while (Int(bitPattern: assembler.cursor) &+ lead) & 63 > 60 { assembler.nop() }
  }

  /// The code that leaves: one stub for each site, which says its number. Branches to blocks that exist are linked.
  private mutating func writeStubs() {
    for number in firstSite..<cache.siteCount {
      if cache.sites[number].kind == .indirect { continue }
      if cache.sites[number].kind == .landing {
        missLanding(number)
        continue
      }
      cache.sites[number].stub = host
      assembler.storeState(constant: number, StateOffset.site)
      relocate(.site, host &- 4)
      let callsDirectly = cache.sites[number].kind == .systemCall && mayCallDirectly
      jumpToCommon(callsDirectly ? cache.callStub : cache.leaveStub)
      if cache.sites[number].patch == 0 { continue }
      cache.patch(cache.sites[number].patch, to: cache.sites[number].stub)
      guard cache.sites[number].kind == .branch, options.linksBlocks else { continue }
      if cache.sites[number].target == start {
        cache.sites[number].isLinked = true
        let isCovered = Int(cache.sites[number].executed) <= loop.covered
        cache.patch(cache.sites[number].patch, to: isCovered ? body : begin)
      } else if let block = cache.lookup(cache.sites[number].target) {
        cache.link(number, to: block)
      }
    }
  }
}
