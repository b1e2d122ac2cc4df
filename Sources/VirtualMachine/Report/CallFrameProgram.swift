// Runs the instructions of a CIE and an FDE up to an address, which gives the rules for finding the caller's
// registers (DWARF 5 section 6.4.2; GNU extensions of the LSB). Bounded in steps and in remembered states.

/// How the caller's value of a register is found.
enum RegisterRule {
  case same
  case undefined
  /// Saved at CFA + offset.
  case offset(UInt64)
  /// Is CFA + offset.
  case valueOffset(UInt64)
  case register(Int)
  /// Saved at the address that the expression gives.
  case expression(DwarfCursor)
  /// Is what the expression gives.
  case valueExpression(DwarfCursor)
}

/// How the canonical frame address (the stack pointer before the call) is found.
enum FrameAddressRule {
  case registerOffset(Int, UInt64)
  case expression(DwarfCursor)
}

/// The rules that hold at one address.
struct CallFrameRow {
  var frameAddress = FrameAddressRule.registerOffset(UnwindRegisters.rsp, 8)
  var registers = [RegisterRule](repeating: .same, count: 17)

  mutating func set(_ number: UInt64, _ rule: RegisterRule) {
    // Columns beyond the general registers (vector registers, MXCSR, …) are not needed for a backtrace.
    if number < UInt64(registers.count) { registers[Int(number)] = rule }
  }
}

struct CallFrameProgram {
  private static let stepLimit = 65536
  private static let stateLimit = 256

  private let common: CommonInformation
  private var row = CallFrameRow()
  private var initial = CallFrameRow()
  private var remembered: [CallFrameRow] = []
  private var location: UInt64
  private let target: UInt64
  private var isFinished = false

  /// The rules of `description` at `address`, both before the load bias.
  static func row(of description: FrameDescription, at address: UInt64) throws(DwarfError) -> CallFrameRow {
    var program = CallFrameProgram(description, target: address)
    try program.run(description.common.instructions)
    program.initial = program.row
    program.isFinished = false
    program.location = description.start
    try program.run(description.instructions)
    return program.row
  }

  private init(_ description: FrameDescription, target: UInt64) {
    common = description.common
    location = description.start
    self.target = target
  }

  private mutating func run(_ instructions: DwarfCursor) throws(DwarfError) {
    var code = instructions
    var steps = 0
    while !code.isAtEnd, !isFinished {
      steps &+= 1
      guard steps < CallFrameProgram.stepLimit else { throw DwarfError() }
      try step(&code)
    }
  }

  private mutating func advance(_ delta: UInt64) {
    location = location &+ delta &* common.codeAlignment
    if location > target { isFinished = true }
  }

  private mutating func step(_ code: inout DwarfCursor) throws(DwarfError) {
    let operation = try code.byte()
    let low = UInt64(operation & 0x3f)
    switch operation & 0xc0 {
    case 0x40: advance(low)
    case 0x80: row.set(low, .offset(try code.unsigned() &* common.dataAlignment))
    case 0xc0: restore(low)
    default: try extended(operation, &code)
    }
  }

  private mutating func restore(_ number: UInt64) {
    if number < UInt64(initial.registers.count) { row.set(number, initial.registers[Int(number)]) }
  }

  private mutating func extended(_ operation: UInt8, _ code: inout DwarfCursor) throws(DwarfError) {
    switch operation {
    case 0x00: break  // nop
    case 0x01:
      location = try code.pointer(encoding: common.pointerEncoding)
      if location > target { isFinished = true }
    case 0x02: advance(UInt64(try code.byte()))
    case 0x03: advance(UInt64(try code.read(UInt16.self)))
    case 0x04: advance(UInt64(try code.read(UInt32.self)))
    case 0x05: row.set(try code.unsigned(), .offset(try code.unsigned() &* common.dataAlignment))
    case 0x06: restore(try code.unsigned())
    case 0x07: row.set(try code.unsigned(), .undefined)
    case 0x08: row.set(try code.unsigned(), .same)
    case 0x09:
      let number = try code.unsigned()
      row.set(number, .register(Int(truncatingIfNeeded: min(try code.unsigned(), 1000))))
    case 0x0a:
      guard remembered.count < CallFrameProgram.stateLimit else { throw DwarfError() }
      remembered.append(row)
    case 0x0b:
      guard let state = remembered.popLast() else { throw DwarfError() }
      row = state
    case 0x0c...0x0f, 0x12, 0x13: try frameAddress(operation, &code)
    default: try registerRule(operation, &code)
    }
  }

  /// DW_CFA_def_cfa and its relatives.
  private mutating func frameAddress(_ operation: UInt8, _ code: inout DwarfCursor) throws(DwarfError) {
    if operation == 0x0f {
      row.frameAddress = .expression(try code.block(try code.unsigned()))
      return
    }
    var register = UnwindRegisters.rsp
    var offset: UInt64 = 0
    if case .registerOffset(let oldRegister, let oldOffset) = row.frameAddress {
      register = oldRegister
      offset = oldOffset
    }
    switch operation {
    case 0x0c:
      register = Int(truncatingIfNeeded: min(try code.unsigned(), 1000))
      offset = try code.unsigned()
    case 0x0d: register = Int(truncatingIfNeeded: min(try code.unsigned(), 1000))
    case 0x0e: offset = try code.unsigned()
    case 0x12:
      register = Int(truncatingIfNeeded: min(try code.unsigned(), 1000))
      offset = try code.signed() &* common.dataAlignment
    default: offset = try code.signed() &* common.dataAlignment
    }
    row.frameAddress = .registerOffset(register, offset)
  }

  private mutating func registerRule(_ operation: UInt8, _ code: inout DwarfCursor) throws(DwarfError) {
    switch operation {
    case 0x10: row.set(try code.unsigned(), .expression(try code.block(try code.unsigned())))
    case 0x11: row.set(try code.unsigned(), .offset(try code.signed() &* common.dataAlignment))
    case 0x14: row.set(try code.unsigned(), .valueOffset(try code.unsigned() &* common.dataAlignment))
    case 0x15: row.set(try code.unsigned(), .valueOffset(try code.signed() &* common.dataAlignment))
    case 0x16: row.set(try code.unsigned(), .valueExpression(try code.block(try code.unsigned())))
    case 0x2d: break  // GNU_window_save: not on x86
    case 0x2e: _ = try code.unsigned()  // GNU_args_size: says nothing about the caller
    case 0x2f:
      let number = try code.unsigned()
      row.set(number, .offset(0 &- (try code.unsigned() &* common.dataAlignment)))
    default: throw DwarfError()
    }
  }
}
