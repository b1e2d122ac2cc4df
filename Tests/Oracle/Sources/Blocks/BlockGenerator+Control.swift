// Control flow of random blocks: conditional and unconditional branches, counted loops, calls and returns of every kind,
// jump tables, and the odd ways in which programs use the return stack.

extension BlockGenerator {
  /// One construction of control flow.
  mutating func control() {
    if nesting > 3 { return plain() }
    switch random.below(20) {
    case 0..<5: skip()
    case 5: jumpOverRubbish()
    case 6..<10: loop()
    case 10..<15: mayCall ? call() : skip()
    case 15, 16: jumpTable()
    case 17: zeroCounterJump()
    case 18: oddReturn()
    default: mayCall ? recursion() : skip()
    }
  }

  /// Flags that condition `code` reads.
  static func flags(ofCondition code: Int) -> UInt32 {
    [0x800, 0x1, 0x40, 0x41, 0x80, 0x4, 0x880, 0x8c0][code >> 1 & 7]
  }

  // MARK: Branches

  /// A forward branch whose length is decided when its body is known: the item's place, to be given to `land`.
  private mutating func branch(_ condition: Int?, to label: BlockLabel) -> Int {
    flushPointers()
    let reads = condition.map(BlockGenerator.flags(ofCondition:)) ?? 0
    emit(
      condition.map { [0x0f, 0x80 | UInt8($0), 0, 0, 0, 0] } ?? [0xe9, 0, 0, 0, 0], fixup: .relative32(label),
      flow: condition == nil ? .jump(label) : .branch(label), reads: reads)
    return program.items.count - 1
  }

  /// Puts the label here, and makes the branch short when it can be, half of the time. `repair` may lengthen the way.
  private mutating func land(_ branch: Int, _ label: BlockLabel) {
    flushPointers()
    let distance = program.items[(branch + 1)...].reduce(0) { $0 + $1.bytes.count + ($1.reads == 0 ? 0 : 5) }
    if distance < 120, random.oneIn(2) {
      let first = program.items[branch].bytes
      program.items[branch].bytes = [first[0] == 0xe9 ? 0xeb : 0x70 | first[1] & 15, 0]
      program.items[branch].fixup = .relative8(label)
    }
    place(label)
  }

  /// `if`, with or without `else`.
  private mutating func skip() {
    let after = newLabel()
    let first = branch(random.below(16), to: after)
    sequence(1 + random.below(5))
    guard random.oneIn(3) else { return land(first, after) }
    let end = newLabel()
    let second = branch(nil, to: end)
    land(first, after)
    sequence(1 + random.below(4))
    land(second, end)
  }

  /// Bytes that are never executed; they may be the beginning of an instruction that reaches into the next ones.
  private mutating func jumpOverRubbish() {
    let after = newLabel()
    let jump = branch(nil, to: after)
    let rubbish = (0..<1 + random.below(9)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    program.items.append(BlockItem(bytes: rubbish, flow: .stop))
    land(jump, after)
  }

  /// JRCXZ, JECXZ.
  private mutating func zeroCounterJump() {
    let after = newLabel()
    flushPointers()
    if !isReserved(1) && homes[1] == nil && random.oneIn(2) { move(1, random.pick([0, 1, 1 << 32])) }
    emit((random.oneIn(3) ? [0x67] : []) + [0xe3, 0], fixup: .relative8(after), flow: .branch(after))
    emitShort(1 + random.below(3))
    flushPointers()
    place(after)
  }

  /// A body that a short branch surely reaches over: plain rows, at most some 100 bytes.
  private mutating func emitShort(_ count: Int) {
    let start = program.items.count
    for _ in 0..<count {
      let length = program.items[start...].reduce(0) { $0 + $1.bytes.count + 5 }
      if length > 25 { return }
      plain()
    }
  }

  // MARK: Loops

  /// A counted loop: the counter is in a register of its own or in memory.
  private mutating func loop() {
    let register = counters.popLast()
    let memory = register == nil ? cell() : nil
    guard register != nil || memory != nil else { return skip() }
    let turns = UInt64(1 + random.below(nesting > 1 ? 3 : 8))
    if let register {
      move(register, turns)
      known[register] = nil
    } else if let memory {
      operate([0xc7], cell: memory, 0, immediate: RowEncoder.little(turns, 4))
    }
    flushPointers()
    let head = newLabel()
    place(head)
    if register == 1 && random.below(3) > 0 {
      loopByLOOP(head)
    } else {
      if nesting < 2 { sequence(2 + random.below(7)) } else { sequence(2 + random.below(3), plainOnly: true) }
      if faultsLeft > 0 && random.oneIn(2) { faultInTurn(register, memory, turns) }
      count(register, memory)
      flushPointers()
      emit([0x0f, 0x85, 0, 0, 0, 0], fixup: .relative32(head), flow: .branch(head), reads: 0x40)
    }
    forget()
  }

  private mutating func loopByLOOP(_ head: BlockLabel) {
    emitShort(1 + random.below(4))
    flushPointers()
    // The pointers' MOVs can make the way too long for one byte.
    let start = program.items.lastIndex { $0.label == head } ?? 0
    let length = program.items[start...].reduce(0) { $0 + $1.bytes.count + ($1.reads == 0 ? 0 : 5) }
    guard length < 110 else {
      operate([0xff], 1, 1, defines: 0x8d4)
      emit([0x0f, 0x85, 0, 0, 0, 0], fixup: .relative32(head), flow: .branch(head), reads: 0x40)
      return
    }
    let kind = random.pick([0xe2, 0xe2, 0xe2, 0xe1, 0xe0] as [UInt8])
    emit(
      (random.oneIn(4) ? [0x67] : []) + [kind, 0], fixup: .relative8(head), flow: .branch(head),
      reads: kind == 0xe2 ? 0 : 0x40)
  }

  /// Counts down; ZF tells the end.
  private mutating func count(_ register: Int?, _ memory: UInt64?) {
    guard let register else {
      if let memory { operate([0xff], cell: memory, 1, defines: 0x8d4) }
      return
    }
    switch random.below(3) {
    case 0: operate([0xff], register, 1, defines: 0x8d4)
    case 1: operate([0x83], register, 5, immediate: [1], defines: 0x8d5)
    default:
      // LEA register, [register - 1]; TEST
      let low = UInt8(register & 7)
      let sib: [UInt8] = low == 4 ? [0x24] : []
      emit([register >= 8 ? 0x4d : 0x48, 0x8d, 0x40 | low << 3 | low] + sib + [0xff])
      operate([0x85], register, register, defines: 0x8c5, undefines: 0x10)
    }
  }

  // MARK: Calls

  /// Calls a subroutine: directly or through a register or memory, with arguments on the stack, or one that returns to
  /// another place.
  private mutating func call() {
    guard level < 3, waiting.count < 4 else { return skip() }
    if random.oneIn(6) { return callElsewhere() }
    let known = waiting.filter { $0.level > level }
    var arguments = 0
    let label: BlockLabel
    if let old = known.last, case .plain = old.ending, random.oneIn(3) {
      label = old.label
    } else {
      label = newLabel()
      arguments = random.oneIn(3) ? 1 + random.below(3) : 0
      waiting.append(
        WaitingRoutine(
          label: label, level: level + 1, ending: arguments > 0 ? .immediate(arguments * 8) : .plain))
    }
    for _ in 0..<arguments { pushSomething() }
    flushPointers()
    emitCall(label, flow: .call([label]))
    drop(arguments * 8)
    forget()
  }

  /// What a RET imm16 has taken off the stack.
  private mutating func drop(_ bytes: Int) {
    if let stack = known[4] { known[4] = stack &+ UInt64(bytes) }
    freeAbove -= bytes
  }

  /// PUSH imm32 or PUSH of a register, eight bytes.
  mutating func pushSomething() {
    if random.oneIn(2) {
      emit([0x68] + RowEncoder.little(random.edge(), 4))
    } else {
      let number = random.below(16)
      emit((number >= 8 ? [0x41] : []) + [0x50 | UInt8(number & 7)])
    }
    if let stack = known[4] { known[4] = stack &- 8 }
    freeAbove += 8
  }

  private mutating func emitCall(_ label: BlockLabel, flow: BlockFlow) {
    switch random.below(5) {
    case 0:
      let register = scratch(except: pointerMask)
      move(register, addressOf: label)
      operate([0xff], register, 2, wide: false, flow: flow)
    case 1:
      guard let memory = cell() else { fallthrough }
      program.labelCells.append((memory, label))
      operate([0xff], cell: memory, 2, wide: false, flow: flow)
    default: emit([0xe8, 0, 0, 0, 0], fixup: .relative32(label), flow: flow)
    }
  }

  var pointerMask: UInt32 {
    homes.indices.reduce(0) { $0 | (homes[$1] != nil ? 1 << UInt32($1) : 0) }
  }

  /// Calls what returns to another place than behind the call.
  private mutating func callElsewhere() {
    let routine = newLabel()
    let place = newLabel()
    flushPointers()
    emitCall(routine, flow: .jump(routine))
    program.items.append(BlockItem(bytes: [0x0f, 0x0b], flow: .stop))
    waiting.append(WaitingRoutine(label: routine, level: 3, ending: .elsewhere(place)))
    self.place(place)
  }

  /// A subroutine that calls itself some 40 times at most.
  private mutating func recursion() {
    guard let counter = counters.popLast(), waiting.count < 4 else { return skip() }
    let routine = newLabel()
    move(counter, UInt64(1 + random.below(random.oneIn(3) ? 40 : 6)))
    known[counter] = nil
    flushPointers()
    emit([0xe8, 0, 0, 0, 0], fixup: .relative32(routine), flow: .call([routine]))
    waiting.append(WaitingRoutine(label: routine, level: 3, ending: .recursive(counter: counter)))
    forget()
  }

  /// A subroutine that was called.
  mutating func write(_ routine: WaitingRoutine) {
    let saved = (known[4], freeAbove, level, limit, nesting)
    known[4] = nil
    (freeAbove, level, nesting) = (0, routine.level, 1)
    place(routine.label)
    limit = max(limit, emitted + 4)
    sequence(1 + random.below(6), plainOnly: routine.level >= 3)
    flushPointers()
    let leave = BlockFlow.leave(routine.label)
    switch routine.ending {
    case .plain: emit((random.oneIn(6) ? [0xf3] : []) + [0xc3], flow: leave)
    case .immediate(let bytes): emit([0xc2] + RowEncoder.little(UInt64(bytes), 2), flow: leave)
    case .elsewhere(let label):
      let register = scratch(except: pointerMask)
      move(register, addressOf: label)
      // MOV or XCHG [rsp], register
      let rex = UInt8(0x48 | (register >= 8 ? 4 : 0))
      emit([rex, random.oneIn(2) ? 0x89 : 0x87, 0x04 | UInt8(register & 7) << 3, 0x24])
      emit([0xc3], flow: .indirect([label]))
    case .recursive(let counter):
      let out = newLabel()
      operate([0xff], counter, 1, defines: 0x8d4)
      emit([0x74, 0], fixup: .relative8(out), flow: .branch(out), reads: 0x40)
      emit([0xe8, 0, 0, 0, 0], fixup: .relative32(routine.label), flow: .call([routine.label]))
      place(out)
      emit([0xc3], flow: leave)
    }
    (known[4], freeAbove, level, limit, nesting) = saved
  }

  // MARK: Indirect jumps

  /// A jump through a table, indexed by bits of a register.
  private mutating func jumpTable() {
    let count = random.pick([2, 4])
    guard let table = cell(count) else { return skip() }
    let index = scratch(except: pointerMask)
    let labels = (0..<count).map { _ in newLabel() }
    let end = newLabel()
    for (number, label) in labels.enumerated() {
      program.labelCells.append((table + UInt64(number) * 8, label))
    }
    operate([0x8b], random.below(16), index)
    operate([0x83], index, 4, immediate: [UInt8(count - 1)], defines: 0x8c5, undefines: 0x10)
    known[index] = nil
    flushPointers()
    // [index * 8 + table]
    let address = [UInt8(0xc5 | (index & 7) << 3)] + RowEncoder.little(table, 4)
    let rexX: UInt8 = index >= 8 ? 0x42 : 0x40
    if random.oneIn(2) {
      emit([rexX, 0xff, 0x24] + address, flow: .indirect(labels))
    } else {
      let target = scratch(except: pointerMask)
      emit([rexX | 8 | (target >= 8 ? 4 : 0), 0x8b, 0x04 | UInt8(target & 7) << 3] + address)
      known[target] = nil
      operate([0xff], target, 4, wide: false, flow: .indirect(labels))
    }
    var jumps: [Int] = []
    for label in labels {
      place(label)
      sequence(1 + random.below(2), plainOnly: true)
      jumps.append(branch(nil, to: end))
    }
    flushPointers()
    place(end)
  }

  /// Uses of the return stack that do not pair.
  private mutating func oddReturn() {
    let here = newLabel()
    flushPointers()
    switch random.below(4) {
    case 0:
      // CALL and POP: where am I?
      emit([0xe8, 0, 0, 0, 0], fixup: .relative32(here), flow: .jump(here))
      place(here)
      let register = scratch()
      emit((register >= 8 ? [0x41] : []) + [0x58 | UInt8(register & 7)])
      known[register] = nil
    case 1:
      // The return address is dropped.
      emit([0xe8, 0, 0, 0, 0], fixup: .relative32(here), flow: .jump(here))
      place(here)
      operate([0x83], 4, 0, immediate: [8], defines: 0x8d5)
    case 2:
      // A jump by PUSH and RET.
      let register = scratch(except: pointerMask)
      move(register, addressOf: here)
      emit((register >= 8 ? [0x41] : []) + [0x50 | UInt8(register & 7)])
      emit([0xc3], flow: .indirect([here]))
      place(here)
    default:
      // RET imm16 out of the middle of what was pushed.
      emit([0x6a, 0x55])
      emit([0x6a, 0xaa])
      emit([0x68, 0, 0, 0, 0], fixup: .address(here, offset: 1, size: 4))
      emit([0xc2, 16, 0], flow: .indirect([here]))
      place(here)
    }
  }
}
