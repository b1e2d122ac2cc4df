// Templates around the stack: pushes and pops of everything, PUSHF and POPF, ENTER and LEAVE, arithmetic on RSP. Each
// leaves RSP where it was, so that it is known at every place of the main part.

extension BlockGenerator {
  mutating func stack() {
    if nesting > 3 { return plain() }
    switch random.below(12) {
    case 0..<5: pushAndPop()
    case 5, 6: pushFlags()
    case 7: loadFlags()
    case 8: frame()
    case 9: reserve()
    case 10: saveStackPointer()
    default: random.oneIn(2) ? exchangeStackPointer() : popStackPointer()
    }
  }

  /// RSP has moved: down by a positive number of bytes.
  private mutating func moved(down bytes: Int) {
    if let stack = known[4] { known[4] = stack &- UInt64(bitPattern: Int64(bytes)) }
    freeAbove += bytes
  }

  private func size(_ index: Int) -> Int { pool.rows[index].row.encoding.operandSize == 16 ? 2 : 8 }

  // MARK: PUSH and POP

  /// Pushes, a body, and pops or additions to RSP that take as much.
  private mutating func pushAndPop() {
    var sizes: [Int] = []
    for _ in 0..<1 + random.below(3) {
      let kind = random.pick(["push", "push", "pushImmediate", "pushSegment"])
      guard let index = pool.pick(kind, &random) else { continue }
      let stack = known[4]
      if !emitRow(index) { continue }
      known[4] = stack
      sizes.append(size(index))
      moved(down: size(index))
    }
    sequence(random.below(5))
    while let size = sizes.popLast() { pop(size) }
  }

  private mutating func pop(_ size: Int) {
    if random.below(3) == 0 {
      if random.oneIn(2) {
        operate([0x83], 4, 0, immediate: [UInt8(size)], defines: 0x8d5)
      } else {
        emit([0x48, 0x8d, 0x64, 0x24, UInt8(size)])
      }
      return moved(down: -size)
    }
    for _ in 0..<20 {
      guard let index = pool.pick("pop", &random), self.size(index) == size else { continue }
      // The address of POP's operand is computed after RSP has moved.
      moved(down: -size)
      // A destination that is RSP would be put back by a MOV, which knows where it has to be.
      if emitRow(index) { return }
      moved(down: size)
    }
    emit([0x48, 0x8d, 0x64, 0x24, UInt8(size)])
    moved(down: -size)
  }

  /// PUSH RSP pushes the old value, POP RSP loads what was popped.
  private mutating func popStackPointer() {
    emit([0x54])
    emit(random.oneIn(2) ? [0x5c] : [0x8f, 0xc4])
  }

  // MARK: Flags

  /// PUSHF, a body, POPF; perhaps with some flags changed in between.
  private mutating func pushFlags() {
    let isNarrow = random.oneIn(4)
    let prefix: [UInt8] = isNarrow ? [0x66] : []
    let saved = freeAbove
    emit(prefix + [0x9c], reads: FlagAnalysis.status, row: row("pushf", isNarrow))
    moved(down: isNarrow ? 2 : 8)
    freeAbove = 0
    let mayCall = self.mayCall
    self.mayCall = false
    sequence(random.below(4), plainOnly: true)
    self.mayCall = mayCall
    if random.oneIn(3) {
      // XOR word [rsp], flags
      emit(
        [0x66, 0x81, 0x34, 0x24] + RowEncoder.little(random.next() & 0xcd5, 2), defines: 0x8c5,
        undefines: 0x10)
    }
    switch random.below(3) {
    case 0:
      moved(down: isNarrow ? -2 : -8)
      let register = scratch()
      emit(prefix + (register >= 8 ? [0x41] : []) + [0x58 | UInt8(register & 7)])
      known[register] = nil
    default:
      emit(prefix + [0x9d], defines: FlagAnalysis.status, row: row("popf", isNarrow))
      moved(down: isNarrow ? -2 : -8)
      direction = nil
    }
    freeAbove = saved
  }

  /// Flags from a constant: also the direction flag, ID and NT.
  private mutating func loadFlags() {
    var value = random.next() & 0xcd5 | 2
    if random.oneIn(8) { value |= 0x20_0000 }
    if random.oneIn(16) { value |= 0x4000 }
    emit([0x68] + RowEncoder.little(value, 4))
    emit([0x9d], defines: FlagAnalysis.status, row: row("popf", false))
    direction = value & 0x400 != 0
  }

  private func row(_ semantic: String, _ isNarrow: Bool) -> Int? {
    pool.bySemantic[semantic]?.first { size($0) == (isNarrow ? 2 : 8) }
  }

  // MARK: Frames

  /// ENTER, a body that leaves RBP alone, LEAVE.
  private mutating func frame() {
    guard !isReserved(5) else { return pushAndPop() }
    if known[4] != nil && random.oneIn(4) { return narrowFrame() }
    let deep = random.oneIn(3) ? 1 + random.below(31) : 0
    if deep > 1 { move(5, BlockLayout.data + 0x800 + UInt64(random.below(0x400))) }
    let size = random.below(80)
    let saved = freeAbove
    let bytes = 8 + 8 * deep + size
    if random.oneIn(3) && deep == 0 {
      emit([0x55])
      operate([0x89], 5, 4)
      operate([0x83], 4, 5, immediate: [UInt8(size)], defines: 0x8d5)
    } else {
      emit(
        [0xc8] + RowEncoder.little(UInt64(size), 2) + [UInt8(deep | (random.oneIn(4) ? 0xe0 : 0))],
        row: row("enter", false))
    }
    moved(down: bytes)
    known[5] = known[4].map { $0 &+ UInt64(size + 8 * deep) }
    freeAbove = size
    reserved |= 1 << 5
    let mayCall = self.mayCall
    self.mayCall = false
    sequence(random.below(5), plainOnly: true)
    self.mayCall = mayCall
    reserved &= ~(1 << 5)
    emit([0xc9], row: row("leave", false))
    moved(down: -bytes)
    freeAbove = saved
    known[5] = nil
  }

  /// The 16-bit forms, which change the low half of RBP only; RSP is put back by its number.
  private mutating func narrowFrame() {
    guard let stack = known[4] else { return }
    if random.oneIn(2) {
      let deep = random.oneIn(2) ? 0 : 1 + random.below(8)
      move(5, BlockLayout.data + 0x800)
      emit(
        [0x66, 0xc8] + RowEncoder.little(UInt64(random.below(64)), 2) + [UInt8(deep)], row: row("enter", true)
      )
    } else {
      move(5, BlockLayout.stack + 0x800 + UInt64(random.below(0x800)))
      emit([0x66, 0xc9], row: row("leave", true))
    }
    known[5] = nil
    move(4, stack)
  }

  /// Room on the stack by SUB or LEA, and back.
  private mutating func reserve() {
    let size = random.oneIn(2) ? 8 * (1 + random.below(12)) : 1 + random.below(100)
    if random.oneIn(2) {
      operate([0x83], 4, 5, immediate: [UInt8(size)], defines: 0x8d5)
    } else {
      emit([0x48, 0x8d, 0x64, 0x24, UInt8(truncatingIfNeeded: -size)])
    }
    moved(down: size)
    sequence(1 + random.below(5))
    if random.oneIn(2) {
      operate([0x81], 4, 0, immediate: RowEncoder.little(UInt64(size), 4), defines: 0x8d5)
    } else {
      emit([0x48, 0x8d, 0xa4, 0x24] + RowEncoder.little(UInt64(size), 4))
    }
    moved(down: -size)
  }

  /// RSP is kept in a register, aligned down, and brought back.
  private mutating func saveStackPointer() {
    let register = scratch(except: pointerMask)
    let stack = known[4]
    let saved = freeAbove
    operate([0x89], register, 4)
    known[register] = stack
    operate([0x83], 4, 4, immediate: [random.pick([0xf0, 0xe0, 0xc0])], defines: 0x8c5, undefines: 0x10)
    known[4] = nil
    freeAbove = 0
    reserved |= 1 << UInt32(register)
    let mayCall = self.mayCall
    self.mayCall = false
    sequence(1 + random.below(3), plainOnly: true)
    self.mayCall = mayCall
    reserved &= ~(1 << UInt32(register))
    operate([0x89], 4, register)
    known[4] = stack
    freeAbove = saved
  }

  /// RSP as an ordinary register: its value is elsewhere for a while, and the stack is in the data.
  private mutating func exchangeStackPointer() {
    guard let stack = known[4] else { return popStackPointer() }
    let register = scratch(except: pointerMask)
    let data = BlockLayout.data + 0x800 + UInt64(random.below(0x800)) * (random.oneIn(2) ? 1 : 2)
    let saved = freeAbove
    move(register, data)
    operate([0x87], 4, register)
    known[4] = data
    known[register] = stack
    freeAbove = 0x100
    reserved |= 1 << UInt32(register)
    let mayCall = self.mayCall
    self.mayCall = false
    sequence(1 + random.below(2), plainOnly: true)
    pushSomething()
    pop(8)
    self.mayCall = mayCall
    reserved &= ~(1 << UInt32(register))
    operate([0x87], register, 4)
    known[4] = stack
    known[register] = nil
    freeAbove = saved
  }
}
