// Conditions of breakpoints that gdb hands over as bytecode (gdb manual, appendix F, "The GDB Agent Expression Mechanism"), so that a
// breakpoint whose condition is false costs no round trip. Comes from outside: every expression is bounded in steps and in stack,
// and an error makes the condition true, so that a person sees it.

/// A condition.
struct AgentExpression: Equatable {
  let code: [UInt8]

  enum Failure: Error, Equatable {
    case stackUnderflow, stackOverflow, divisionByZero, unknownOperation(UInt8), outsideCode, tooLong
    case memory(UInt64)
    case register(Int)
  }

  /// Where values come from.
  struct Source {
    var register: (Int) -> UInt64?
    /// A number of 1, 2, 4 or 8 bytes.
    var memory: (UInt64, Int) -> UInt64?
  }

  private static let mostSteps = 10_000
  private static let mostValues = 256

  /// The value on top of the stack when the expression ends.
  func evaluate(_ source: Source) throws(Failure) -> UInt64 {
    var machine = Machine(code: code, source: source)
    for _ in 0..<AgentExpression.mostSteps {
      if try machine.step() { return machine.stack.last ?? 0 }
    }
    throw .tooLong
  }

  private struct Machine {
    let code: [UInt8]
    let source: Source
    var stack: [UInt64] = []
    var place = 0

    init(code: [UInt8], source: Source) { (self.code, self.source) = (code, source) }

    mutating func pop() throws(Failure) -> UInt64 {
      guard let value = stack.popLast() else { throw .stackUnderflow }
      return value
    }

    mutating func push(_ value: UInt64) throws(Failure) {
      guard stack.count < AgentExpression.mostValues else { throw .stackOverflow }
      stack.append(value)
    }

    /// The next `count` bytes as a number, most significant first.
    mutating func operand(_ count: Int) throws(Failure) -> UInt64 {
      guard place + count <= code.count else { throw .outsideCode }
      defer { place += count }
      return code[place..<(place + count)].reduce(0) { $0 &<< 8 | UInt64($1) }
    }

    mutating func binary(_ body: (UInt64, UInt64) -> UInt64) throws(Failure) {
      let right = try pop()
      let left = try pop()
      try push(body(left, right))
    }

    mutating func division(_ body: (UInt64, UInt64) -> UInt64) throws(Failure) {
      if stack.last == 0 { throw .divisionByZero }
      try binary(body)
    }

    mutating func load(_ size: Int) throws(Failure) {
      let address = try pop()
      guard let value = source.memory(address, size) else { throw .memory(address) }
      try push(value)
    }

    /// True at the expression's end.
    mutating func step() throws(Failure) -> Bool {
      let operation = UInt8(truncatingIfNeeded: try operand(1))
      switch operation {
      case 0x27: return true
      case 0x02...0x0b, 0x0f...0x11, 0x13...0x15: try arithmetic(operation)
      case 0x0e: try push(try pop() == 0 ? 1 : 0)
      case 0x12: try push(~(try pop()))
      case 0x16: try extend(isSigned: true)
      case 0x2a: try extend(isSigned: false)
      case 0x17: try load(1)
      case 0x18: try load(2)
      case 0x19: try load(4)
      case 0x1a: try load(8)
      case 0x20:
        let target = Int(try operand(2))
        if try pop() != 0 { place = target }
      case 0x21: place = Int(try operand(2))
      case 0x22: try push(try operand(1))
      case 0x23: try push(try operand(2))
      case 0x24: try push(try operand(4))
      case 0x25: try push(try operand(8))
      case 0x26:
        let number = Int(try operand(2))
        guard let value = source.register(number) else { throw .register(number) }
        try push(value)
      default: try shuffle(operation)
      }
      return false
    }

    private mutating func shuffle(_ operation: UInt8) throws(Failure) {
      switch operation {
      case 0x28:
        let value = try pop()
        try push(value)
        try push(value)
      case 0x29: _ = try pop()
      case 0x2b:
        let (first, second) = (try pop(), try pop())
        try push(first)
        try push(second)
      case 0x32:
        let depth = Int(try operand(1))
        guard depth < stack.count else { throw .stackUnderflow }
        try push(stack[stack.count - 1 - depth])
      case 0x33:
        let (first, second, third) = (try pop(), try pop(), try pop())
        try push(first)
        try push(third)
        try push(second)
      default: throw .unknownOperation(operation)
      }
    }

    /// The low `operand` bits of the top, extended.
    private mutating func extend(isSigned: Bool) throws(Failure) {
      let bits = try operand(1)
      let value = try pop()
      if bits == 0 || bits >= 64 { return try push(value) }
      let shift = 64 - bits
      let extended =
        isSigned
        ? UInt64(bitPattern: Int64(bitPattern: value &<< shift) &>> Int64(shift))
        : (value &<< shift) &>> shift
      try push(extended)
    }

    private mutating func arithmetic(_ operation: UInt8) throws(Failure) {
      func signed(_ value: UInt64) -> Int64 { Int64(bitPattern: value) }
      switch operation {
      case 0x02: try binary { $0 &+ $1 }
      case 0x03: try binary { $0 &- $1 }
      case 0x04: try binary { $0 &* $1 }
      case 0x05:
        try division { UInt64(bitPattern: signed($0).dividedReportingOverflow(by: signed($1)).partialValue) }
      case 0x06: try division { $0 / $1 }
      case 0x07:
        try division {
          UInt64(bitPattern: signed($0).remainderReportingOverflow(dividingBy: signed($1)).partialValue)
        }
      case 0x08: try division { $0 % $1 }
      case 0x09: try binary { $1 > 63 ? 0 : $0 << $1 }
      case 0x0a: try binary { UInt64(bitPattern: signed($0) >> Int64(min($1, 63))) }
      case 0x0b: try binary { $1 > 63 ? 0 : $0 >> $1 }
      case 0x0f: try binary { $0 & $1 }
      case 0x10: try binary { $0 | $1 }
      case 0x11: try binary { $0 ^ $1 }
      case 0x13: try binary { $0 == $1 ? 1 : 0 }
      case 0x14: try binary { signed($0) < signed($1) ? 1 : 0 }
      default: try binary { $0 < $1 ? 1 : 0 }
      }
    }
  }
}
