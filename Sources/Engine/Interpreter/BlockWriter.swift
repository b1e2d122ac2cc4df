// Turns decoded instructions into operations, one block at a time: chooses handlers, fills in fields, puts address
// operations in front of complex memory operands, fuses compares with branches, and adds the stubs. Writes only into the
// memory it was given.

import CHost
import X86

/// A branch of the block under construction: the index of its operation, and where it goes.
struct PendingBranch {
  var operation: Int
  var target: UInt64
}

/// A block under construction.
struct BlockWriter {
  let start: UInt64
  // SAFETY: the caller gave room for `BlockBuilder.mostOperations`; an instruction makes at most two operations (four where it is watched) and one stub.
  let operations: UnsafeMutablePointer<Operation>
  /// Instructions at most.
  let limit: Int

  /// Operations written, instructions behind them, and the address after them.
  private(set) var count = 0
  private(set) var instructions = 0
  private(set) var address: UInt64
  private(set) var isEnded = false
  /// The block is nothing but an instruction that cannot be fetched now.
  private(set) var isUnfetchable = false
  /// Ends with a `stepped` operation instead of a continuation.
  var isStep = false
  /// Branch operations that need a stub. An array would cost an allocation a block.
  // SAFETY: the caller gave room for `BlockBuilder.mostBranches`; every instruction makes at most one, and the end one more.
  private let branches: UnsafeMutablePointer<PendingBranch>
  private var branchCount = 0
  /// The last operation when it is a compare or test that a branch can absorb.
  private var fusible: FusedCompare?

  init(
    start: UInt64, operations: UnsafeMutablePointer<Operation>, branches: UnsafeMutablePointer<PendingBranch>,
    limit: Int
  ) {
    self.start = start
    self.operations = operations
    self.branches = branches
    self.limit = limit
    address = start
  }

  static func pointer(_ handler: Handler) -> UnsafeRawPointer {
    unsafeBitCast(handler, to: UnsafeRawPointer.self)
  }

  /// The handlers of operations that are a compare and a branch.
  static var fusedHandlers: Set<UnsafeRawPointer?> {
    var result: Set<UnsafeRawPointer?> = []
    for index in BranchTable.fused.indices { result.insert(pointer(BranchTable.fused[index])) }
    return result
  }

  // MARK: Instructions

  mutating func append(_ instruction: Instruction) {
    let row = Int(instruction.row)
    let fields = RowFields(row: row)
    let next = address &+ UInt64(instruction.length)
    if fields.isPrivileged {
      appendTrap(.generalProtection)
    } else if fields.flow != .none {
      appendFlow(instruction, fields, next)
    } else {
      appendPlain(instruction, fields, next)
    }
  }

  private mutating func appendPlain(_ instruction: Instruction, _ fields: RowFields, _ next: UInt64) {
    let handler = RowFields.handler(row: Int(instruction.row), form: BlockWriter.form(instruction, fields))
    guard handler != 0, handler <= HandlerTable.handlers.count else { return appendTrap(.invalidOpcode) }
    var operation = Operation()
    operation.handler = BlockWriter.pointer(HandlerTable.handlers[handler &- 1])
    operation.immediate = BlockWriter.immediate(instruction)
    operation.rip = address
    operation.a = BlockWriter.field(instruction.reg, fields.a, instruction)
    operation.c = BlockWriter.field(instruction.vvvv, fields.c, instruction)
    operation.d = fields.isImplicit ? BlockWriter.segmentCode(instruction) : instruction.is4
    if fields.hasMemoryOffset || instruction.hasMemoryOperand {
      if !placeMemory(instruction, fields, next, &operation) {
        write(operation)  // for LEA the address operation was the whole instruction
      }
    } else {
      let number = fields.hasOpcodeRegister ? instruction.opcodeRegister : instruction.rm
      operation.b = BlockWriter.field(number, fields.b, instruction)
      write(operation)
    }
    fusible = instruction.hasMemoryOperand ? nil : fields.fused
    advance(next)
    if fields.mayBeginTraps { finishAt(next, by: leaveBlock) }
  }

  mutating func write(_ operation: Operation) {
    operations[count] = operation
    count &+= 1
  }

  private mutating func advance(_ next: UInt64) {
    address = next
    instructions &+= 1
    if instructions >= limit { finishAt(next) }
  }

  /// The slot of the row's handlers (HandlerTable.rowHandlers).
  private static func form(_ instruction: Instruction, _ fields: RowFields) -> Int {
    if fields.isString {
      return instruction.prefixes.contains(.rep) ? 1 : instruction.prefixes.contains(.repne) ? 2 : 0
    }
    if !instruction.hasMemoryOperand && !fields.hasMemoryOffset { return 0 }
    return instruction.prefixes.contains(.lock) ? 2 : 1
  }

  /// There is a handler for it.
  static func isExecuted(_ instruction: Instruction, _ fields: RowFields) -> Bool {
    RowFields.handler(row: Int(instruction.row), form: form(instruction, fields)) != 0
  }

  /// ENTER's two immediates share the field: size in the low 16 bits, level above. x87 instructions have none; theirs
  /// is the opcode that the unit remembers: eleven bits of the first byte and ModRM (SDM volume 1, section 8.1.9).
  private static func immediate(_ instruction: Instruction) -> Int64 {
    if instruction.opcode & 0xf8 == 0xd8 && instruction.info.features.0 == .fpu {
      return Int64(instruction.opcode & 7) &<< 8 | Int64(instruction.modRM)
    }
    return instruction.immediate | Int64(instruction.secondImmediate) &<< 16
  }

  /// A register number as the operation holds it.
  private static func field(_ number: UInt8, _ kind: RowFields.Kind, _ instruction: Instruction) -> UInt8 {
    switch kind {
    case .number: return number
    case .general: return (number & 15) &* 8
    case .byte:
      let isHigh =
        number >= 4 && number < 8 && instruction.prefixes.isDisjoint(with: [.rex, .vex, .evex])
      return isHigh ? (number &- 4) &* 8 &+ 1 : (number & 15) &* 8
    }
  }

  static func segmentCode(_ instruction: Instruction) -> UInt8 {
    guard instruction.prefixes.contains(.segment) else { return 0 }
    return instruction.segment == .fs ? 1 : instruction.segment == .gs ? 2 : 0
  }

  // MARK: Memory operands

  /// Fills in base and displacement, with an address operation in front when the operand is complex. True when that operation
  /// is all that a LEA needs.
  private mutating func placeMemory(
    _ instruction: Instruction, _ fields: RowFields, _ next: UInt64, _ operation: inout Operation
  ) -> Bool {
    let isLEA = fields.isLoadEffectiveAddress
    var segment = isLEA ? 0 : BlockWriter.segmentCode(instruction)
    let isNarrow = instruction.addressSize == 32
    var displacement = instruction.displacement
    var base = GeneralOffset.zero
    if instruction.base == Instruction.relative {
      displacement &+= Int64(bitPattern: next)
    } else if instruction.base != Instruction.none && !fields.hasMemoryOffset {
      base = (instruction.base & 15) &* 8
    }
    // POP computes its destination's address after RSP was incremented.
    if fields.isPop && base == GeneralOffset.rsp { displacement &+= Int64(instruction.operandSize / 8) }
    let hasIndex = instruction.index != Instruction.none && !fields.isIndexed && !fields.hasMemoryOffset
    let fits = Int64(Int32(truncatingIfNeeded: displacement)) == displacement
    if fields.isIndexed {
      operation.d = instruction.index
      operation.immediate = Int64(instruction.scale)
    }
    if isNarrow && fields.completesAddress {
      operation.immediate |= 0x100 | Int64(segment) &<< 9
      segment = 0
    }
    if segment == 0 && !isNarrow && !hasIndex && fits {
      operation.b = base
      operation.displacement = Int32(truncatingIfNeeded: displacement)
      return false
    }
    var address = Operation()
    address.rip = self.address
    address.a = GeneralOffset.effective
    if fits {
      address.handler = BlockWriter.addressHandler(segment, isNarrow)
      address.b = base
      address.c = hasIndex ? (instruction.index & 15) &* 8 : GeneralOffset.zero
      address.d = hasIndex ? instruction.scale : 0
      address.displacement = Int32(truncatingIfNeeded: displacement)
    } else {
      // Absolute: RIP-relative or moffs, maybe with a segment's base in place of a register.
      address.handler = BlockWriter.pointer(addressAbsolute)
      address.immediate = isNarrow ? displacement & 0xffff_ffff : displacement
      address.b =
        segment == 1 ? GeneralOffset.fsBase : segment == 2 ? GeneralOffset.gsBase : GeneralOffset.zero
    }
    if isLEA && (instruction.operandSize == 64 || (fits && instruction.operandSize == 32)) {
      address.a = operation.a
      if instruction.operandSize == 32 { address.handler = BlockWriter.pointer(address32) }
      write(address)
      return true
    }
    write(address)
    operation.b = GeneralOffset.effective
    operation.displacement = 0
    return false
  }

  private static func addressHandler(_ segment: UInt8, _ isNarrow: Bool) -> UnsafeRawPointer {
    switch (segment, isNarrow) {
    case (1, false): return pointer(addressFS64)
    case (1, true): return pointer(addressFS32)
    case (2, false): return pointer(addressGS64)
    case (2, true): return pointer(addressGS32)
    case (_, true): return pointer(address32)
    default: return pointer(address64)
    }
  }

  // MARK: Control transfers

  private mutating func appendFlow(_ instruction: Instruction, _ fields: RowFields, _ next: UInt64) {
    let target = next &+ UInt64(bitPattern: instruction.immediate)
    var operation = Operation()
    operation.rip = address
    switch fields.flow {
    case .jcc:
      instructions &+= 1
      appendConditional(fields.condition, &operation, target)
      instructions &-= 1
    case .loop_, .loope, .loopne, .jrcxz:
      BlockWriter.fillLoop(instruction, fields.flow, &operation)
      writeBranch(&operation, target, counted: 1)
    case .jmp, .call: return appendJump(instruction, fields, next, target, &operation)
    case .ret:
      operation.handler = BlockWriter.pointer(returnNear)
      operation.immediate = instruction.immediate
      writeCounted(&operation)
      return end(next)
    case .retf, .iret, .callf, .jmpf: return appendFar(instruction, fields, next, &operation)
    case .syscall:
      operation.handler = BlockWriter.pointer(systemCall)
      operation.immediate = Int64(bitPattern: next)
      writeCounted(&operation)
      return end(next)
    case .int_, .int3, .int1:
      return appendInterrupt(instruction, fields.flow, next, &operation)
    default: return appendTrap(.invalidOpcode)
    }
    fusible = nil
    advance(next)
  }

  private mutating func appendConditional(_ condition: Int, _ operation: inout Operation, _ target: UInt64) {
    if let fused = fusible, count > 0 {
      // The compare's operation becomes the branch; a fault cannot happen in it, so its own address may stay.
      let compare = operations[count &- 1]
      count &-= 1
      operation.rip = compare.rip
      operation.immediate = compare.immediate
      switch fused.order {
      case 0: (operation.a, operation.b) = (compare.a, compare.b)
      case 1: (operation.a, operation.b) = (compare.b, compare.a)
      default: operation.a = GeneralOffset.rax
      }
      operation.handler = BlockWriter.pointer(BranchTable.fused[fused.kind &* 16 &+ condition])
    } else {
      operation.handler = BlockWriter.pointer(BranchTable.jumps[condition & 15])
    }
    writeBranch(&operation, target, counted: 0)
  }

  private static func fillLoop(_ instruction: Instruction, _ flow: Flow, _ operation: inout Operation) {
    if flow == .jrcxz {
      operation.handler = pointer(jumpIfRCXZero)
      operation.b = instruction.addressSize
    } else {
      operation.handler = pointer(instruction.addressSize == 32 ? loop32 : loop64)
      operation.b = flow == .loope ? 1 : flow == .loopne ? 2 : 0
    }
  }

  private mutating func appendJump(
    _ instruction: Instruction, _ fields: RowFields, _ next: UInt64, _ target: UInt64,
    _ operation: inout Operation
  ) {
    let isCall = fields.flow == .call
    operation.immediate = Int64(bitPattern: next)
    if instruction.hasMemoryOperand {
      operation.handler = BlockWriter.pointer(isCall ? callMemory : jumpMemory)
      _ = placeMemory(instruction, fields, next, &operation)
      writeCounted(&operation)
    } else if instruction.info.operand(0).kind == .relative {
      operation.handler = BlockWriter.pointer(isCall ? call : jump)
      writeBranch(&operation, target, counted: 1)
    } else {
      operation.handler = BlockWriter.pointer(isCall ? callRegister : jumpRegister)
      operation.b = (instruction.rm & 15) &* 8
      writeCounted(&operation)
    }
    end(next)
  }

  private mutating func appendFar(
    _ instruction: Instruction, _ fields: RowFields, _ next: UInt64, _ operation: inout Operation
  ) {
    operation.a = instruction.operandSize / 8
    operation.immediate = fields.flow == .retf ? instruction.immediate : Int64(bitPattern: next)
    switch fields.flow {
    case .retf: operation.handler = BlockWriter.pointer(returnFar)
    case .iret: operation.handler = BlockWriter.pointer(interruptReturn)
    default:
      operation.handler = BlockWriter.pointer(fields.flow == .callf ? callFar : jumpFar)
      _ = placeMemory(instruction, fields, next, &operation)
    }
    writeCounted(&operation)
    end(next)
  }

  private mutating func appendInterrupt(
    _ instruction: Instruction, _ flow: Flow, _ next: UInt64, _ operation: inout Operation
  ) {
    // INT 1 is not the trap of INT1: its gate is closed to user code.
    if flow != .int3, flow != .int1, instruction.immediate & 0xff == 1 {
      return appendTrap(.generalProtection, errorCode: 1 &* 8 &+ 2)
    }
    operation.handler = BlockWriter.pointer(interrupt)
    operation.immediate = Int64(bitPattern: next)
    operation.b = flow == .int3 ? 3 : flow == .int1 ? 1 : UInt8(truncatingIfNeeded: instruction.immediate)
    writeCounted(&operation)
    end(next)
  }

  /// Writes a branch to `target` that needs a stub. `counted`: 1 when the branch itself is not in `instructions` yet.
  private mutating func writeBranch(_ operation: inout Operation, _ target: UInt64, counted: Int) {
    addBranch(to: target)
    setCount(&operation, instructions &+ counted)
    write(operation)
  }

  /// The operation that is written next is a branch to `target`.
  private mutating func addBranch(to target: UInt64) {
    branches[branchCount] = PendingBranch(operation: count, target: target)
    branchCount &+= 1
  }

  /// Writes an operation that ends the block and counts itself.
  private mutating func writeCounted(_ operation: inout Operation) {
    setCount(&operation, instructions &+ 1)
    write(operation)
  }

  private func setCount(_ operation: inout Operation, _ count: Int) {
    operation.c = UInt8(truncatingIfNeeded: count)
    operation.d = UInt8(truncatingIfNeeded: count &>> 8)
  }

  private mutating func end(_ next: UInt64) {
    address = next
    instructions &+= 1
    isEnded = true
  }

  /// Ends the block before the instruction at `next`, which is reached by a continuation, or found by the run loop.
  private mutating func finishAt(_ next: UInt64, by leaving: Handler? = nil) {
    if isEnded { return }
    isEnded = true
    var operation = Operation()
    operation.rip = next
    operation.immediate = Int64(bitPattern: next)
    setCount(&operation, instructions)
    operation.handler = BlockWriter.pointer(isStep ? stepped : leaving ?? continueElsewhere)
    if !isStep, leaving == nil { addBranch(to: next) }
    write(operation)
  }

  /// Ends the block in front of the instruction that would come next.
  mutating func endHere() { finishAt(address) }

  /// The instruction at `address` traps when it is reached.
  mutating func appendTrap(_ trap: Trap, length: UInt8 = 1, errorCode: Int64 = 0) {
    var operation = Operation()
    operation.immediate = errorCode
    operation.handler = BlockWriter.pointer(trapHere)
    operation.rip = address
    operation.b = UInt8(truncatingIfNeeded: trap.rawValue)
    setCount(&operation, instructions)
    write(operation)
    // The bytes that were looked at belong to the block: it dies when they change.
    address &+= UInt64(length)
    isEnded = true
  }

  /// The instruction at `address` cannot be fetched because `fault` is not executable. In the middle of a block that is
  /// decided anew when it is reached.
  mutating func appendFetchFault(_ fault: UInt64) {
    if instructions > 0 { return finishAt(address) }
    isUnfetchable = true
    var operation = Operation()
    operation.immediate = Int64(bitPattern: fault)
    operation.handler = BlockWriter.pointer(trapHere)
    operation.rip = address
    operation.b = UInt8(truncatingIfNeeded: Trap.pageFault.rawValue)
    write(operation)
    isEnded = true
  }

  // MARK: Stubs

  /// Appends a resolve stub for each branch and links the branches to them.
  mutating func finish() {
    for index in 0..<branchCount {
      let branch = branches[index]
      var stub = Operation()
      stub.handler = BlockWriter.pointer(resolve)
      stub.rip = branch.target
      stub.immediate = Int64(bitPattern: branch.target)
      stub.displacement = Int32(truncatingIfNeeded: branch.operation &- count)
      operations[branch.operation].displacement = Int32(truncatingIfNeeded: count &- branch.operation)
      write(stub)
    }
  }
}
