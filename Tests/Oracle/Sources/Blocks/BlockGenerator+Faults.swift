// Faults in random blocks: memory operands that cannot be reached, in all kinds of instructions and on certain turns of
// loops, divisions, undefined and privileged instructions, wild stacks and wild branches, unmasked exceptions.

/// Why the next memory operand faults.
enum WildAccess: CaseIterable {
  case unmapped, readOnly, crossing, misaligned, nonCanonical
}

extension BlockGenerator {
  /// Injects one fault, perhaps where execution may not come.
  mutating func fault() {
    faultsLeft -= 1
    guard random.oneIn(4), nesting < 3 else { return certainFault() }
    let after = newLabel()
    flushPointers()
    let condition = random.below(16)
    emit(
      [0x0f, 0x80 | UInt8(condition), 0, 0, 0, 0], fixup: .relative32(after), flow: .branch(after),
      reads: BlockGenerator.flags(ofCondition: condition))
    let stack = known[4]
    certainFault()
    flushPointers()
    if known[4] != stack, let stack { move(4, stack) }
    place(after)
    known[4] = stack
  }

  /// A fault on a certain turn of a loop.
  mutating func faultInTurn(_ register: Int?, _ memory: UInt64?, _ turns: UInt64) {
    let after = newLabel()
    let turn = UInt8(1 + random.below(Int(turns)))
    if let register {
      operate([0x83], register, 7, immediate: [turn], defines: FlagAnalysis.status)
    } else if let memory {
      operate([0x83], cell: memory, 7, immediate: [turn], defines: FlagAnalysis.status)
    }
    flushPointers()
    emit([0x0f, 0x85, 0, 0, 0, 0], fixup: .relative32(after), flow: .branch(after), reads: 0x40)
    let stack = known[4]
    faultsLeft -= 1
    certainFault()
    flushPointers()
    place(after)
    known[4] = stack
  }

  private mutating func certainFault() {
    switch random.below(20) {
    case 0..<8: wildOperand()
    case 8: divisionError()
    case 9: undefinedInstruction()
    case 10, 11: wildStack()
    case 12, 13: wildBranch()
    case 14: unmaskVector()
    case 15: unmaskX87()
    case 16, 17:
      wildAccess = random.pick(WildAccess.allCases.filter { $0 != .misaligned })
      string()
      wildAccess = nil
    default: walk()
    }
  }

  // MARK: Memory

  /// An ordinary row whose memory operand faults.
  private mutating func wildOperand() {
    let kind = random.pick(WildAccess.allCases)
    wildAccess = kind
    defer { wildAccess = nil }
    for _ in 0..<40 {
      let semantic = random.oneIn(6) ? random.pick(["push", "pop", "gather"]) : nil
      guard let index = semantic.map({ pool.pick($0, &random) }) ?? pool.pick(&random) else { continue }
      let row = pool.rows[index]
      guard row.accessSize > 0, row.forms.contains(.memory),
        kind != .misaligned || row.row.attributes.contains(.align)
      else {
        continue
      }
      if kind == .readOnly && !row.isStore { continue }
      let form: TestForm = row.forms.contains(.locked) && random.oneIn(3) ? .locked : .memory
      if emitRow(index, form: form) { return }
    }
  }

  /// An address at which an access of this row faults; nil when no fault is wanted.
  mutating func wildTarget(_ row: PoolRow) -> UInt64? {
    guard let kind = wildAccess else { return nil }
    let size = max(row.accessSize, 1)
    let start = random.oneIn(2) ? random.next() & 0xff8 : random.next() & 0xfff
    switch kind {
    case .unmapped: return unmappedAddress() &+ start
    case .readOnly: return BlockLayout.readOnly + start % (BlockLayout.readOnlySize - size)
    case .crossing:
      let into = size > 1 ? 1 + random.next() % (size - 1) : 0
      let edges = [BlockLayout.data, BlockLayout.readOnly + BlockLayout.readOnlySize, BlockLayout.stack]
      let edge = row.isStore && random.oneIn(2) ? BlockLayout.readOnly : random.pick(edges)
      return edge &- into
    case .misaligned:
      return (BlockLayout.data + 0x800 + start) & ~(size - 1) | (1 + random.next() % (size - 1))
    case .nonCanonical: return nonCanonicalAddress() &+ start
    }
  }

  /// The start of a page that is mapped on neither side.
  private mutating func unmappedAddress() -> UInt64 {
    random.pick([
      0, BlockLayout.data - 0x1000, BlockLayout.readOnly + BlockLayout.readOnlySize,
      BlockLayout.stack - 0x1000,
      BlockLayout.stack + BlockLayout.stackSize, 0x7000_0000, 0x7fff_f000, 0x8000_0000, 0xffff_f000, 1 << 32,
      1 << 44,
      0xffff_8000_0000_0000, 0xffff_ffff_8000_0000, 0xffff_ffff_ffff_e000,
    ])
  }

  private mutating func nonCanonicalAddress() -> UInt64 {
    random.pick([
      0x8000_0000_0000, 1 << 63, 0x1234_5678_9abc_d000, 0xffff_7fff_ffff_e000, 1 << 47 | 1 << 60, 1 << 62,
    ])
  }

  /// Where a string of `count` elements begins that faults after some of them.
  mutating func wildString(_ count: UInt64) -> UInt64? {
    guard let kind = wildAccess else { return nil }
    let before = random.next() % (count * 4 + 1)
    switch kind {
    case .nonCanonical: return nonCanonicalAddress()
    case .unmapped: return unmappedAddress() &+ random.next() & 0xfff
    case .readOnly:
      return direction == true ? BlockLayout.readOnly + before : BlockLayout.readOnly &- before
    default:
      if direction == true { return BlockLayout.data &+ before }
      return BlockLayout.readOnly + BlockLayout.readOnlySize &- before
    }
  }

  /// A loop whose pointer walks off the end of the data.
  private mutating func walk() {
    guard nesting < 3, let pointer = counters.popLast() else { return wildOperand() }
    let step = 1 + random.below(100)
    let isUp = random.oneIn(2)
    let edge = isUp ? BlockLayout.readOnly : BlockLayout.data
    let distance = UInt64(step * random.below(6))
    move(pointer, isUp ? edge - distance - 8 : edge + distance)
    known[pointer] = nil
    flushPointers()
    let head = newLabel()
    place(head)
    sequence(random.below(3), plainOnly: true)
    let rex = UInt8(0x48 | (pointer >= 8 ? 1 : 0))
    // INC, NOT, ADD, MOV, XADD, CMPXCHG, XCHG, PUSH, POP, MOVUPS, SETcc; the base always with a displacement of 0.
    let choices: [([UInt8], Int)] = [
      ([0xff], 0), ([0xf7], 2), ([0x01], 2), ([0x89], 1), ([0x0f, 0xc1], 3), ([0x0f, 0xb1], 6), ([0x87], 7),
      ([0xff], 6), ([0x8f], 0), ([0x0f, 0x11], 5), ([0x0f, 0x92], 0), ([0xd1], 2), ([0x0f, 0xe7], 3),
    ]
    let (opcode, reg) = random.pick(choices)
    let sib: [UInt8] = pointer & 7 == 4 ? [0x24] : []
    let stack = known[4]
    emit(
      [rex] + opcode + [UInt8(0x40 | reg << 3 | pointer & 7)] + sib + [0], reads: FlagAnalysis.status,
      defines: FlagAnalysis.status, undefines: 0)
    if opcode[0] == 0xff && reg == 6 || opcode[0] == 0x8f {
      emit([0x48, 0x8d, 0x64, 0x24, opcode[0] == 0xff ? 8 : 0xf8])
    }
    known[4] = stack
    known = known.enumerated().map { homes[$0.offset] == nil && $0.offset != 4 ? nil : $0.element }
    for number in [2, 1, 3, 0, 6, 7] where homes[number] != nil { known[number] = nil }
    operate(
      [0x83], pointer, 0, immediate: [UInt8(truncatingIfNeeded: isUp ? step : -step)],
      defines: FlagAnalysis.status)
    flushPointers()
    emit([0xe9, 0, 0, 0, 0], fixup: .relative32(head), flow: .jump(head))
    forget()
  }

  // MARK: Others

  private mutating func divisionError() {
    guard !isReserved(0), !isReserved(2) else { return undefinedInstruction() }
    let divisor = scratch(except: pointerMask | 5)
    let isOverflow = random.oneIn(2)
    move(divisor, isOverflow ? UInt64(1 + random.below(3)) : 0)
    if isOverflow { move(2, 1 << 33) }
    let rex = UInt8(0x40 | random.below(2) << 3 | (divisor >= 8 ? 1 : 0))
    emit([rex, 0xf7, UInt8(0xc0 | (6 + random.below(2)) << 3 | divisor & 7)], undefines: FlagAnalysis.status)
    known[0] = nil
    known[2] = nil
  }

  private mutating func undefinedInstruction() {
    // UD2, UD1, UD0, INT3, HLT, CLI, RDMSR, IN, an opcode without meaning, LOCK on a register.
    emit(
      random.pick([
        [0x0f, 0x0b], [0x0f, 0xb9, 0xc0], [0xcc], [0xf4], [0xfa], [0x0f, 0x32], [0xe4, 0x10], [0x06],
        [0xf0, 0x01, 0xc0],
        [0xc5, 0xf8, 0xff, 0xc0],
      ]))
  }

  /// An instruction that uses the stack, where there is none.
  private mutating func wildStack() {
    let stack = known[4]
    let place = random.below(6)
    let label = newLabel()
    switch place {
    case 0: move(4, nonCanonicalAddress() &+ random.next() & 0xff8)
    case 1: move(4, BlockLayout.stack &+ random.next() & 7)
    case 2: move(4, BlockLayout.stack + BlockLayout.stackSize &- random.next() & 7)
    case 3: move(4, BlockLayout.readOnly + 8 + random.next() & 0xff8)
    default: move(4, unmappedAddress() &+ random.next() & 0xff8)
    }
    known[4] = nil
    switch random.below(9) {
    case 0, 1: emit([0x50 | UInt8(random.below(8))])
    case 2: emit([0xe8, 0, 0, 0, 0], fixup: .relative32(label), flow: .jump(label))
    case 3:
      let register = scratch(except: 0xff00)
      emit([0x58 | UInt8(register)])
    case 4: emit([0xc3], flow: .indirect([label]))
    case 5 where !isReserved(5): emit([0xc8, 16, 0, UInt8(random.below(3))])
    case 6: emit([0x9c], reads: FlagAnalysis.status)
    case 7: emit([0x6a, 1])
    default: emit([0xff, 0x34, 0x25] + RowEncoder.little(BlockLayout.data, 4))
    }
    program.items.append(BlockItem(label: label))
    // Reached only when it did not fault after all.
    if let stack { move(4, stack) } else { emit([0x0f, 0x0b], flow: .stop) }
    known = homes
    known[4] = stack
    direction = nil
    for number in 0..<16 where homes[number] != nil { known[number] = nil }
  }

  /// A jump, call or return to where no code is.
  private mutating func wildBranch() {
    let register = scratch(except: pointerMask)
    let target = random.pick([
      unmappedAddress() &+ random.next() & 0xfff, nonCanonicalAddress() &+ random.next() & 0xfff,
      BlockLayout.data + random.next() & 0xfff, BlockLayout.readOnly &+ random.next() & 0xfff,
    ])
    move(register, target)
    switch random.below(5) {
    case 0: operate([0xff], register, 4, wide: false, flow: .stop)
    case 1: operate([0xff], register, 2, wide: false, flow: .stop)
    case 2:
      emit((register >= 8 ? [0x41] : []) + [0x50 | UInt8(register & 7)])
      emit([0xc3], flow: .stop)
    case 3:
      // CALL or JMP through memory that cannot be read.
      let rex: [UInt8] = register >= 8 ? [0x41] : []
      let sib: [UInt8] = register & 7 == 4 ? [0x24] : []
      move(register, random.oneIn(2) ? unmappedAddress() : nonCanonicalAddress())
      emit(
        rex + [0xff, UInt8(0x40 | (random.oneIn(2) ? 2 : 4) << 3 | register & 7)] + sib + [0], flow: .stop)
    default:
      emit((register >= 8 ? [0x41] : []) + [0x50 | UInt8(register & 7)])
      emit([0xc2, 8, 0], flow: .stop)
    }
    forget()
    for number in 0..<16 where homes[number] != nil { known[number] = nil }
  }

  /// Vector arithmetic whose exceptions are not masked.
  private mutating func unmaskVector() {
    loadMXCSR(unmasking: random.next() & 0x1f80)
    for _ in 0..<1 + random.below(3) {
      let family: RowPool.Family = random.oneIn(2) ? .sse : .avx
      let arithmetic = pool.families[family.rawValue].filter { pool.rows[$0].semantic.hasPrefix("float") }
      if !arithmetic.isEmpty { _ = emitRow(random.pick(arithmetic)) }
    }
  }

  private mutating func unmaskX87() {
    loadX87Control(unmasking: random.next() & 0x3f)
    for _ in 0..<2 + random.below(3) { _ = emitRow(random.pick(pool.families[RowPool.Family.x87.rawValue])) }
  }
}
