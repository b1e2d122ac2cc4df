// Evaluates DWARF expressions of call frame information (DWARF 5 section 2.5), on a bounded stack and for a
// bounded number of steps. Only operations that mean something without debug information are known.

import CHost

/// What an expression may ask for.
protocol UnwindMemory {
  /// `count` bytes of the guest, or nil.
  func bytes(at address: UInt64, count: Int) -> [UInt8]?
  /// True when code can be executed at `address`.
  func isExecutable(_ address: UInt64) -> Bool
}

extension UnwindMemory {
  func long(at address: UInt64) -> UInt64? { bytes(at: address, count: 8)?.littleEndian(UInt64.self, at: 0) }
}

/// Registers by DWARF number: 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8…15, 16 the return
/// address (rip).
struct UnwindRegisters: Equatable {
  static let rbp = 6
  static let rsp = 7
  static let rip = 16
  private var values = [UInt64](repeating: 0, count: 17)

  /// Out of range: reads zero, writes nothing.
  subscript(number: Int) -> UInt64 {
    get { values.indices.contains(number) ? values[number] : 0 }
    set { if values.indices.contains(number) { values[number] = newValue } }
  }
}

extension UnwindRegisters {
  /// Those of a thread, in DWARF's order.
  init(_ cpu: UnsafePointer<vt_cpu_state>) {
    let general = cpu.pointee.general
    values = [
      general.0, general.2, general.1, general.3, general.6, general.7, general.5, general.4, general.8,
      general.9, general.10, general.11, general.12, general.13, general.14, general.15, cpu.pointee.rip,
    ]
  }
}

struct DwarfExpression<Memory: UnwindMemory> {
  let registers: UnwindRegisters
  let memory: Memory
  private var stack: [UInt64] = []

  private static var stepLimit: Int { 4096 }
  private static var stackLimit: Int { 256 }

  init(registers: UnwindRegisters, memory: Memory) {
    self.registers = registers
    self.memory = memory
  }

  /// Runs `code` with `initial` (the CFA, for register rules) on the stack; the value on top at its end.
  mutating func evaluate(_ code: DwarfCursor, initial: UInt64? = nil) throws(DwarfError) -> UInt64 {
    var code = code
    let first = code.position
    stack = initial.map { [$0] } ?? []
    var steps = 0
    while !code.isAtEnd {
      steps &+= 1
      guard steps < Self.stepLimit, stack.count < Self.stackLimit, code.position >= first else {
        throw DwarfError()
      }
      try step(&code, first: first)
    }
    return try pop()
  }

  private mutating func pop() throws(DwarfError) -> UInt64 {
    guard let value = stack.popLast() else { throw DwarfError() }
    return value
  }

  private mutating func pick(_ depth: Int) throws(DwarfError) {
    guard depth < stack.count else { throw DwarfError() }
    stack.append(stack[stack.count &- 1 &- depth])
  }

  private mutating func step(_ code: inout DwarfCursor, first: Int) throws(DwarfError) {
    let operation = try code.byte()
    switch operation {
    case 0x03, 0x0e, 0x0f: stack.append(try code.read(UInt64.self))  // addr, const8u, const8s
    case 0x08: stack.append(UInt64(try code.byte()))
    case 0x09: stack.append(Self.extend(Int64(Int8(bitPattern: try code.byte()))))
    case 0x0a: stack.append(UInt64(try code.read(UInt16.self)))
    case 0x0b: stack.append(Self.extend(Int64(Int16(bitPattern: try code.read(UInt16.self)))))
    case 0x0c: stack.append(UInt64(try code.read(UInt32.self)))
    case 0x0d: stack.append(Self.extend(Int64(Int32(bitPattern: try code.read(UInt32.self)))))
    case 0x10: stack.append(try code.unsigned())
    case 0x11: stack.append(try code.signed())
    case 0x30...0x4f: stack.append(UInt64(operation &- 0x30))  // lit0 … lit31
    case 0x50...0x6f: stack.append(registers[Int(operation &- 0x50)])  // reg0 …: value of the register
    case 0x70...0x8f: stack.append(registers[Int(operation &- 0x70)] &+ (try code.signed()))  // breg0 …
    case 0x92:
      let number = try code.unsigned()
      stack.append(registers[Int(truncatingIfNeeded: min(number, 1000))] &+ (try code.signed()))
    case 0x06: try dereference(8)
    case 0x94: try dereference(Int(try code.byte()))
    case 0x12...0x17: try arrange(operation, &code)
    case 0x28, 0x2f: try branch(operation, &code, first: first)
    case 0x96: break  // nop
    default: try calculate(operation, &code)
    }
  }

  private static func extend(_ value: Int64) -> UInt64 { UInt64(bitPattern: value) }

  private mutating func dereference(_ size: Int) throws(DwarfError) {
    let address = try pop()
    guard size > 0, size <= 8, let bytes = memory.bytes(at: address, count: size) else { throw DwarfError() }
    stack.append((bytes + [UInt8](repeating: 0, count: 8 &- size)).littleEndian(UInt64.self, at: 0) ?? 0)
  }

  /// dup, drop, over, pick, swap, rot.
  private mutating func arrange(_ operation: UInt8, _ code: inout DwarfCursor) throws(DwarfError) {
    switch operation {
    case 0x12: try pick(0)
    case 0x13: _ = try pop()
    case 0x14: try pick(1)
    case 0x15: try pick(Int(try code.byte()))
    case 0x16:
      let (top, second) = (try pop(), try pop())
      stack += [top, second]
    default:
      let (top, second, third) = (try pop(), try pop(), try pop())
      stack += [top, third, second]
    }
  }

  /// bra (taken when the top is not zero) and skip.
  private mutating func branch(_ operation: UInt8, _ code: inout DwarfCursor, first: Int) throws(DwarfError) {
    let distance = Int(Int16(bitPattern: try code.read(UInt16.self)))
    if operation == 0x28, try pop() == 0 { return }
    let target = code.position &+ distance
    guard target >= first, target <= code.end else { throw DwarfError() }
    code.position = target
  }

  private mutating func calculate(_ operation: UInt8, _ code: inout DwarfCursor) throws(DwarfError) {
    if operation == 0x19 || operation == 0x1f || operation == 0x20 || operation == 0x23 {
      let value = try pop()
      switch operation {
      case 0x19: stack.append(Int64(bitPattern: value) < 0 ? 0 &- value : value)  // abs
      case 0x1f: stack.append(0 &- value)  // neg
      case 0x20: stack.append(~value)  // not
      default: stack.append(value &+ (try code.unsigned()))  // plus_uconst
      }
      return
    }
    let right = try pop()
    let left = try pop()
    stack.append(try Self.combine(operation, left, right))
  }

  private static func combine(_ operation: UInt8, _ left: UInt64, _ right: UInt64) throws(DwarfError)
    -> UInt64
  {
    let (signedLeft, signedRight) = (Int64(bitPattern: left), Int64(bitPattern: right))
    switch operation {
    case 0x1a: return left & right
    case 0x1b:
      if right == 0 { throw DwarfError() }
      return UInt64(bitPattern: signedLeft.dividedReportingOverflow(by: signedRight).partialValue)
    case 0x1c: return left &- right
    case 0x1d:
      if right == 0 { throw DwarfError() }
      return left % right
    case 0x1e: return left &* right
    case 0x21: return left | right
    case 0x22: return left &+ right
    case 0x24: return right > 63 ? 0 : left &<< right
    case 0x25: return right > 63 ? 0 : left &>> right
    case 0x26: return UInt64(bitPattern: signedLeft &>> Int64(min(right, 63)))
    case 0x27: return left ^ right
    case 0x29: return left == right ? 1 : 0
    case 0x2a: return signedLeft >= signedRight ? 1 : 0
    case 0x2b: return signedLeft > signedRight ? 1 : 0
    case 0x2c: return signedLeft <= signedRight ? 1 : 0
    case 0x2d: return signedLeft < signedRight ? 1 : 0
    case 0x2e: return left != right ? 1 : 0
    default: throw DwarfError()
    }
  }
}
