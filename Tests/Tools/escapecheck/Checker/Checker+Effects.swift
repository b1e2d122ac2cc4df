// What instructions make of the registers: the guard and the arithmetic of addresses exactly, everything else as "anything".

import CHost
import X86

extension Checker {
  /// Notes a write of a general register.
  func write(_ state: inout AbstractState, _ number: Int, _ kind: AbstractValue.Kind) throws(Violation) {
    if number == AbstractState.state || number == AbstractState.shadowStack {
      throw refuse("writes pinned register \(number)")
    }
    state.set(number, kind)
  }

  private func writeAnything(_ state: inout AbstractState, _ number: Int, width: Int) throws(Violation) {
    try write(&state, number, .guest(width == 32 ? AbstractValue.unsigned32 : AbstractValue.everything))
  }

  // MARK: The guard

  func shiftRight(_ state: inout AbstractState) throws(Violation) {
    if instruction.hasMemoryOperand || !instruction.prefixes.contains(.w) { return try plain(&state) }
    let source = state[Int(instruction.rm)]
    let count = state[Int(instruction.vvvv)]
    let destination = Int(instruction.reg)
    if source.isHost { throw refuse("shifts a host value") }
    switch count.kind {
    case .state: try write(&state, destination, .topBits(of: source.identity))
    case .topBits(of: source.identity): try write(&state, destination, .guest(AbstractValue.guarded))
    default:
      if count.isHost { throw refuse("shifts by a host value") }
      try write(&state, destination, .guest(AbstractValue.everything))
    }
  }

  func effectiveAddress(_ state: inout AbstractState) throws(Violation) {
    let destination = Int(instruction.reg)
    if instruction.base == Instruction.relative { throw refuse("computes a host address") }
    if code.isCommon, destination == AbstractState.shadowStack, instruction.displacement == -8,
      Int(instruction.base) == AbstractState.shadowStack, instruction.index == Instruction.none
    {
      return
    }
    let base = instruction.base == Instruction.none ? nil : state[Int(instruction.base)]
    let index = instruction.index == Instruction.none ? nil : state[Int(instruction.index)]
    if let base, let index, base.isHost || index.isHost {
      return try write(&state, destination, try windowSum(base, index))
    }
    if base?.isHost == true || index?.isHost == true { throw refuse("computes with a host value") }
    if instruction.operandSize == 32 {
      return try write(&state, destination, .guest(AbstractValue.unsigned32))
    }
    var sum: ClosedRange<Int64>? = instruction.displacement...instruction.displacement
    if let interval = base?.interval { sum = sum?.adding(interval) }
    if let interval = index?.interval {
      sum = interval.multiplied(by: 1 << Int64(instruction.scale)).flatMap { sum?.adding($0) }
    }
    let isWide = instruction.operandSize == 64
    try write(&state, destination, .guest((isWide ? sum : nil) ?? AbstractValue.everything))
  }

  /// A guest pointer becomes a host pointer, or back.
  private func windowSum(_ base: AbstractValue, _ index: AbstractValue) throws(Violation)
    -> AbstractValue.Kind
  {
    if instruction.displacement != 0 || instruction.scale != 0 || instruction.operandSize != 64 {
      throw refuse("computes with a host value")
    }
    switch (base.kind, index.kind) {
    case (.guest(let interval), .window) where AbstractValue.guarded.contains(interval):
      return .hostPointer(interval)
    case (.hostPointer, .negativeWindow): return .guest(AbstractValue.everything)
    default: throw refuse("a host address that is not proven")
    }
  }

  // MARK: Moves

  func move(_ state: inout AbstractState, isZeroExtended: Bool) throws(Violation) {
    let info = instruction.info
    guard info.operandCount == 2 else { throw refuse("a move of another form") }
    let source = instruction.value(of: info.operand(1))
    guard case .register(let destination) = instruction.value(of: info.operand(0)) else {
      return try store(&state, source)
    }
    let number = general(destination)
    let width = destination.registerClass.width
    switch source {
    case .immediate(let value, _):
      let constant = width == 64 ? value : width == 32 ? value & 0xffff_ffff : nil
      try write(&state, number, .guest(constant.map { $0...$0 } ?? AbstractValue.everything))
    case .register(let register):
      let value = state[general(register)]
      if value.isHost { throw refuse("copies a host value") }
      if isZeroExtended {
        try write(&state, number, .guest(width == 16 ? AbstractValue.everything : 0...0xffff))
      } else if width == 64 {
        try write(&state, number, .guest(AbstractValue.everything))
        state.copy(number, value)
      } else {
        try writeAnything(&state, number, width: width)
      }
    default: try load(&state, number, isZeroExtended ? 32 : width)
    }
  }

  private func load(_ state: inout AbstractState, _ number: Int, _ width: Int) throws(Violation) {
    if let field = stateOffset(state) {
      guard let kind = stateField(field), width == 64, mnemonic == "mov" else {
        throw refuse("reads the CPU state at \(field)")
      }
      return try write(&state, number, kind)
    }
    if isTableLoad(state), width == 64 { return try write(&state, number, .indirectEntry) }
    try access(&state, isCertain: true)
    try writeAnything(&state, number, width: width)
  }

  /// MOV reg, [reg * 8 + table], the index below 65536.
  private func isTableLoad(_ state: AbstractState) -> Bool {
    guard !instruction.prefixes.contains(.segment), instruction.base == Instruction.none,
      instruction.scale == 3,
      instruction.index != Instruction.none, case .guest(let index) = state[Int(instruction.index)].kind
    else { return false }
    return (0...0xffff).contains(index) && instruction.displacement == layout.table
  }

  private func store(_ state: inout AbstractState, _ source: OperandValue) throws(Violation) {
    if case .register(let register) = source, state[general(register)].isHost {
      throw refuse("stores a host value")
    }
    guard let field = stateOffset(state) else { return try access(&state, isCertain: true) }
    if case .immediate = source {
      guard field == StateField.site || field == StateField.indirectSite, instruction.operandSize == 32 else {
        throw refuse("writes the CPU state at \(field)")
      }
    } else if !isWritableField(field) || instruction.operandSize != 64 {
      throw refuse("writes the CPU state at \(field)")
    }
  }

  /// A general register's number; AH … BH are parts of the first four.
  private func general(_ register: Register) -> Int {
    register.registerClass == .general8High ? Int(register.number & 3) : Int(register.number & 15)
  }

  // MARK: Everything else

  func string(_ state: inout AbstractState) throws(Violation) {
    if instruction.prefixes.contains(.segment) { throw refuse("a string instruction with a segment") }
    let family = instruction.opcode & 0xfe
    let usesSource = family == 0xa4 || family == 0xa6 || family == 0xac
    let usesDestination = family != 0xac
    for (register, isUsed) in [(6, usesSource), (7, usesDestination)] where isUsed {
      guard case .hostPointer(let interval) = state[register].kind, AbstractValue.guarded.contains(interval)
      else { throw refuse("a string instruction on a pointer that is not guarded") }
    }
    try checkEntry(state)
    // It walks byte by byte from where it was guarded; where it ends is not known.
    if usesSource { state.set(6, .hostPointer(AbstractValue.everything)) }
    if usesDestination { state.set(7, .hostPointer(AbstractValue.everything)) }
    if family == 0xac { state.set(0, .guest(AbstractValue.everything)) }
    if !instruction.prefixes.isDisjoint(with: [.rep, .repne]) {
      state.set(1, .guest(AbstractValue.everything))
    }
  }

  func plain(_ state: inout AbstractState) throws(Violation) {
    if instruction.hasMemoryOperand {
      let (isAccess, isCertain) = memoryAccess()
      if isAccess { try access(&state, isCertain: isCertain) }
      if isBitString { throw refuse("a bit string in memory") }
    }
    let info = instruction.info
    if info.operandCount == 2, let moved = try movedByConstant(state) {
      return try write(&state, moved.register, .guest(moved.interval))
    }
    // All are read before any is written.
    for number in 0..<info.operandCount {
      guard let register = generalRegister(info.operand(number)) else { continue }
      if state[register].isHost { throw refuse("\(mnemonic) uses host value in register \(register)") }
    }
    for number in 0..<info.operandCount {
      let operand = info.operand(number)
      guard let register = generalRegister(operand) else { continue }
      switch operand.access {
      case .write, .readWrite, .conditionalWrite:
        let wasNarrow = state[register].interval.map { AbstractValue.unsigned32.contains($0) } ?? false
        try writeAnything(&state, register, width: keepsUpperHalf ? 64 : operand.width)
        // 8 and 16 bits leave the rest as it was.
        if wasNarrow && operand.width < 32 { state.refine(register, AbstractValue.unsigned32) }
      default: break
      }
    }
    guard writesImplicitly else { return }
    for register in [0, 2] where !state[register].isHost {
      state.set(register, .guest(AbstractValue.everything))
    }
    if mnemonic.contains("pcmp"), mnemonic.contains("stri") { state.set(1, .guest(AbstractValue.everything)) }
  }

  /// BSF and BSR of zero leave all of their destination alone.
  private var keepsUpperHalf: Bool { mnemonic == "bsf" || mnemonic == "bsr" }

  /// RAX or RDX is written without being printed.
  private var writesImplicitly: Bool {
    let known: Set<String> = [
      "mul", "div", "idiv", "cwd", "cdq", "cqo", "cbw", "cwde", "cdqe", "cmpxchg", "cmpxchg8b", "cmpxchg16b",
      "lahf",
      "xlatb", "rdtsc", "rdtscp", "cpuid", "xgetbv", "rdpmc", "in",
    ]
    return known.contains(mnemonic) || (mnemonic == "imul" && instruction.info.operandCount == 1)
  }

  /// ADD and SUB of a constant to a 64-bit register.
  private func movedByConstant(
    _ state: AbstractState
  ) throws(Violation) -> (register: Int, interval: ClosedRange<Int64>)? {
    guard mnemonic == "add" || mnemonic == "sub", instruction.info.operand(0).width == 64,
      let register = generalRegister(instruction.info.operand(0)),
      case .immediate(let constant, _) = instruction.value(of: instruction.info.operand(1)),
      constant != Int64.min, let interval = state[register].interval
    else { return nil }
    let distance = mnemonic == "add" ? constant : 0 - constant
    return (register, interval.adding(distance...distance) ?? AbstractValue.everything)
  }

  private func generalRegister(_ operand: OperandInfo) -> Int? {
    guard operand.kind == .general, operand.letter != .modRM || !instruction.hasMemoryOperand,
      case .register(let register) = instruction.value(of: operand)
    else { return nil }
    return general(register)
  }

  /// BT, BTS, BTR, BTC with a register operand reach far beyond their operand.
  private var isBitString: Bool {
    ["bt", "bts", "btr", "btc"].contains(mnemonic) && instruction.info.operand(1).kind == .general
  }
}
