// Makes random blocks: rows with random operands, joined by the control flow, stack and string templates of the other
// files. Discipline: some registers are pointers with a home value, which is put back before every label and branch;
// others count loops and are written by nothing else; what is known of all others is tracked along straight lines, so that
// a memory operand is reached either by what registers hold already, or by a MOV in front. Flags that may be undefined are
// never read: `repair` puts a CMP in front where that would happen.

import X86

struct BlockGenerator {
  let pool: RowPool
  var random: RandomSource
  var program: BlockProgram
  let options: BlockOptions

  /// Values that registers surely hold here.
  var known = [UInt64?](repeating: nil, count: 16)
  /// Homes of the pointer registers.
  var homes = [UInt64?](repeating: nil, count: 16)
  /// Registers for loop counters that no loop uses yet.
  var counters: [Int] = []
  /// Registers that must not be written now.
  var reserved: UInt32 = 0
  /// Bytes above RSP that hold nothing that matters.
  var freeAbove = 0
  /// Direction flag, where it is known.
  var direction: Bool?
  var fsBase: UInt64 = 0
  var gsBase: UInt64 = 0
  /// Instructions so far, and how many there shall be.
  var emitted = 0
  var limit: Int
  /// Nested loops, branches and brackets; no calls where a register must survive.
  var nesting = 0
  var mayCall = true
  var level = 0
  var waiting: [WaitingRoutine] = []
  var labelCount = 0
  var nextCell = BlockLayout.control
  /// Faults still to be injected, and the kind that the next memory operand shall have.
  var faultsLeft = 0
  var wildAccess: WildAccess?

  /// A subroutine that has been called and must be written.
  struct WaitingRoutine {
    enum Ending { case plain, immediate(Int), elsewhere(BlockLabel), recursive(counter: Int) }
    var label: BlockLabel
    var level: Int
    var ending: Ending
  }

  init(pool: RowPool, seed: UInt64, options: BlockOptions) {
    self.pool = pool
    self.options = options
    random = RandomSource(seed: seed &* 0x9e37_79b9_7f4a_7c15 ^ 0x5851_f42d_4c95_7f2d)
    program = BlockProgram(seed: seed)
    limit = options.shortest + random.below(max(1, options.longest - options.shortest + 1))
  }

  /// The whole block.
  mutating func generate() -> BlockProgram {
    chooseRoles()
    if options.faults { faultsLeft = 1 + random.below(3) }
    let main = limit * (6 + random.below(4)) / 10
    while emitted < main { element() }
    if faultsLeft > 0 && options.faults { fault() }
    flushPointers()
    emit([0xcc], flow: .stop)
    while let routine = waiting.popLast() { write(routine) }
    repair()
    return program
  }

  private mutating func chooseRoles() {
    var numbers = Array(0..<16).filter { $0 != 4 }
    for index in numbers.indices { numbers.swapAt(index, random.below(numbers.count)) }
    let pointers = 2 + random.below(4)
    for number in numbers[..<pointers] {
      homes[number] =
        BlockLayout.data + 0x400 + UInt64(random.below(0x2400)) & ~UInt64(random.pick([0, 7, 63]))
    }
    counters = Array(numbers[pointers..<pointers + 2])
    if random.oneIn(3) && homes[1] == nil && !counters.contains(1) { counters[0] = 1 }
    for counter in counters { reserved |= 1 << UInt32(counter) }
    for number in 0..<16 { program.registers[number] = homes[number] ?? random.edge() }
    program.registers[4] = BlockLayout.stackStart - UInt64(random.below(8)) * 8
    if random.oneIn(6) { program.registers[4] -= UInt64(random.below(8)) }
    known = homes
    known[4] = program.registers[4]
    freeAbove = 0x400
    if options.hasBases {
      let bases: [UInt64] = [0, 0, 0x1000, 0x40_0003, BlockLayout.data - 0x1000, ~0xfff, 1 << 40]
      program.fsBase = random.pick(bases)
      program.gsBase = random.pick(bases)
    }
    fsBase = program.fsBase
    gsBase = program.gsBase
  }

  // MARK: Emitting

  mutating func emit(
    _ bytes: [UInt8], fixup: BlockFixup = .none, flow: BlockFlow = .next, reads: UInt32 = 0,
    defines: UInt32 = 0,
    undefines: UInt32 = 0, row: Int? = nil
  ) {
    var item = BlockItem()
    item.bytes = bytes
    item.fixup = fixup
    item.flow = flow
    item.reads = reads
    item.defines = defines
    item.undefines = undefines
    item.row = row
    program.items.append(item)
    emitted += 1
  }

  mutating func newLabel() -> BlockLabel {
    labelCount += 1
    return labelCount
  }

  /// Puts a label here. What straight-line knowledge there was is gone; pointers must be at home already.
  mutating func place(_ label: BlockLabel) {
    program.items.append(BlockItem(label: label))
    forget()
  }

  /// Keeps only what holds at every label.
  mutating func forget() {
    let stack = known[4]
    known = homes
    known[4] = stack
    direction = nil
  }

  /// Puts every pointer back to its home.
  mutating func flushPointers() {
    for number in 0..<16 {
      guard let home = homes[number], known[number] != home else { continue }
      move(number, home)
    }
  }

  func isReserved(_ number: Int) -> Bool { reserved & (1 << UInt32(number)) != 0 }

  /// A register for scratch use: no counter, no RSP, preferably no pointer.
  mutating func scratch(except mask: UInt32 = 0) -> Int {
    while true {
      let number = random.below(16)
      if number == 4 || isReserved(number) || mask & (1 << UInt32(number)) != 0 { continue }
      if homes[number] != nil && !random.oneIn(8) { continue }
      return number
    }
  }

  /// An eight-byte cell of the control page.
  mutating func cell(_ count: Int = 1) -> UInt64? {
    let address = nextCell
    guard address + UInt64(count) * 8 <= BlockLayout.control + BlockLayout.controlSize else { return nil }
    nextCell += UInt64(count) * 8
    return address
  }

  /// Loads a constant without touching flags.
  mutating func move(_ number: Int, _ value: UInt64) {
    let high: UInt8 = number >= 8 ? 1 : 0
    let low = UInt8(number & 7)
    let signed = Int64(bitPattern: value)
    if value < 1 << 32, random.below(3) > 0 {
      emit((high == 1 ? [0x41] : []) + [0xb8 | low] + RowEncoder.little(value, 4))
    } else if value < 1 << 31, random.oneIn(2) {
      let bytes = [0x48 | high << 2, 0x8d, 0x05 | low << 3, 0, 0, 0, 0]
      emit(bytes, fixup: .instructionPointer(target: value, offset: 3))
    } else if signed >= Int64(Int32.min), signed <= Int64(Int32.max) {
      emit([0x48 | high, 0xc7, 0xc0 | low] + RowEncoder.little(value, 4))
    } else {
      emit([0x48 | high, 0xb8 | low] + RowEncoder.little(value, 8))
    }
    known[number] = value
  }

  /// Loads the address of a label.
  mutating func move(_ number: Int, addressOf label: BlockLabel) {
    let high: UInt8 = number >= 8 ? 1 : 0
    let low = UInt8(number & 7)
    switch random.below(3) {
    case 0:
      emit([0x48 | high, 0xb8 | low] + RowEncoder.little(0, 8), fixup: .address(label, offset: 2, size: 8))
    case 1:
      emit([0x48 | high, 0xc7, 0xc0 | low, 0, 0, 0, 0], fixup: .address(label, offset: 3, size: 4))
    default:
      emit([0x48 | high << 2, 0x8d, 0x05 | low << 3, 0, 0, 0, 0], fixup: .relative32(label))
    }
    known[number] = nil
  }

  /// An operation on two registers, 64 bits wide: `opcode /r` with `rm` as the first operand.
  mutating func operate(
    _ opcode: [UInt8], _ rm: Int, _ reg: Int, immediate: [UInt8] = [], wide: Bool = true, defines: UInt32 = 0,
    undefines: UInt32 = 0, flow: BlockFlow = .next
  ) {
    let rex = 0x40 | (wide ? 8 : 0) | (rm >= 8 ? 1 : 0) | (reg >= 8 ? 4 : 0)
    let prefix: [UInt8] = rex == 0x40 ? [] : [UInt8(rex)]
    let modRM = UInt8(0xc0 | (reg & 7) << 3 | rm & 7)
    emit(prefix + opcode + [modRM] + immediate, flow: flow, defines: defines, undefines: undefines)
  }

  /// An operation on a cell at an absolute address: `opcode /digit`.
  mutating func operate(
    _ opcode: [UInt8], cell address: UInt64, _ reg: Int, immediate: [UInt8] = [], wide: Bool = true,
    reads: UInt32 = 0,
    defines: UInt32 = 0, undefines: UInt32 = 0, flow: BlockFlow = .next
  ) {
    let rex = 0x40 | (wide ? 8 : 0) | (reg >= 8 ? 4 : 0)
    let prefix: [UInt8] = rex == 0x40 ? [] : [UInt8(rex)]
    let isRelative = random.oneIn(2)
    let modRM = isRelative ? [UInt8(5 | (reg & 7) << 3)] : [UInt8(4 | (reg & 7) << 3), 0x25]
    let bytes = prefix + opcode + modRM + RowEncoder.little(address, 4) + immediate
    let offset = prefix.count + opcode.count + modRM.count
    emit(
      bytes, fixup: isRelative ? .instructionPointer(target: address, offset: offset) : .none, flow: flow,
      reads: reads, defines: defines, undefines: undefines)
  }

  // MARK: Elements

  /// The next instruction, or a whole construction.
  mutating func element() {
    if faultsLeft > 0 && random.oneIn(12) { return fault() }
    let kind = random.below(100)
    if kind < 66 || limit - emitted < 5 { return plain() }
    switch kind {
    case 66..<74: control()
    case 74..<83: stack()
    case 83..<88: string()
    case 88..<91: division()
    default: prepared()
    }
  }

  /// Some elements; in a body that must not call, ordinary rows only.
  mutating func sequence(_ count: Int, plainOnly: Bool = false) {
    let end = min(emitted + count, limit + 30)
    nesting += 1
    while emitted < end { if plainOnly || nesting > 3 { plain() } else { element() } }
    nesting -= 1
  }

  /// One row of the pool with random operands.
  mutating func plain() {
    for _ in 0..<8 {
      let index = pool.pick(&random)
      if emitRow(index) { return }
    }
    emit([0x90])
  }

  // MARK: Flags

  /// Puts a CMP in front of each instruction that would read an undefined flag.
  private mutating func repair() {
    for _ in 0..<200 {
      let analysis = FlagAnalysis(program.items)
      guard let place = analysis.violation(program.items) else { return }
      var item = BlockItem()
      item.bytes = comparison()
      item.defines = FlagAnalysis.status
      program.items.insert(item, at: place)
    }
  }

  private mutating func comparison() -> [UInt8] {
    let rex = UInt8(0x40 | random.below(16))
    let modRM = UInt8(0xc0 | random.below(64))
    switch random.below(3) {
    case 0: return [rex, random.oneIn(2) ? 0x39 : 0x38, modRM]
    case 1: return [rex, 0x83, modRM | 0x38, UInt8(random.below(256))]
    default: return [0x66, rex & 0xf7, 0x3b, modRM]
    }
  }
}
