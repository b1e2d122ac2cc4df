// What instructions make of the registers: the guard and the arithmetic of addresses exactly, everything else as "anything".

import CHost
import X86

extension Checker {
  /// Notes a write of a general register.
  func write(
    _ state: inout AbstractState, _ number: Int, _ kind: AbstractValue.Kind, ahead: ClosedRange<Int128>? = nil
  ) throws(Violation) {
    try mayWrite(number)
    state.set(number, kind, ahead: ahead)
  }

  private func mayWrite(_ number: Int) throws(Violation) {
    if number == AbstractState.state || number == AbstractState.shadowStack {
      throw refuse("writes pinned register \(number)")
    }
  }

  private func writeAnything(_ state: inout AbstractState, _ number: Int, width: Int) throws(Violation) {
    // 8 and 16 bits leave the rest as it was.
    let narrow = [AbstractValue.unsigned32, AbstractValue.signed32, AbstractValue.inWindow]
    let kept = width < 32 ? narrow.first(where: state[number].isAlways) : nil
    let written = width == 32 ? AbstractValue.unsigned32 : kept
    try write(&state, number, .guest(written ?? AbstractValue.everything))
  }

  // MARK: The guard

  func shiftRight(_ state: inout AbstractState) throws(Violation) {
    if instruction.hasMemoryOperand || !instruction.prefixes.contains(.w) { return try plain(&state) }
    let source = state[Int(instruction.rm)]
    let count = state[Int(instruction.vvvv)]
    let destination = Int(instruction.reg)
    // In code that counts RBP is a number.
    if layout.state != nil, source.kind == .state, count.kind == .state {
      return try write(&state, destination, .guest(0...15))
    }
    if source.isHost { throw refuse("shifts a host value") }
    switch count.kind {
    case .state: try write(&state, destination, .topBits(of: source.identity, offset: source.offset))
    case .topBits(of: source.identity, offset: source.offset):
      try write(&state, destination, .guest(AbstractValue.guarded))
    default:
      if count.isHost { throw refuse("shifts by a host value") }
      try write(&state, destination, .guest(AbstractValue.everything))
    }
  }

  mutating func effectiveAddress(_ state: inout AbstractState) throws(Violation) {
    let destination = Int(instruction.reg)
    if instruction.base == Instruction.relative { return try continuation(&state, destination) }
    if code.isCommon, destination == AbstractState.shadowStack, instruction.displacement == -8,
      Int(instruction.base) == AbstractState.shadowStack, instruction.index == Instruction.none
    {
      return
    }
    let base = instruction.base == Instruction.none ? AbstractState.none : Int(instruction.base)
    let index = instruction.index == Instruction.none ? AbstractState.none : Int(instruction.index)
    if charges(destination, base, index) { return }
    let hosts = [base, index].filter { $0 != AbstractState.none && state[$0].isHost }
    if !hosts.isEmpty {
      guard base != AbstractState.none, index != AbstractState.none else {
        throw refuse("computes with a host value")
      }
      return try write(&state, destination, try windowSum(state[base], state[index]))
    }
    if instruction.operandSize == 32 {
      return try write(&state, destination, .guest(AbstractValue.unsigned32))
    }
    if instruction.operandSize == 64, base != AbstractState.none, index == AbstractState.none {
      return try step(&state, destination, from: base, by: instruction.displacement)
    }
    guard instruction.operandSize == 64, let (sum, ever) = sum(state, base, index) else {
      return try write(&state, destination, .guest(AbstractValue.everything))
    }
    try mayWrite(destination)
    state.define(destination, sum, instruction.displacement, ever: ever)
  }

  /// Where a system call goes on, further on in the block.
  private mutating func continuation(_ state: inout AbstractState, _ destination: Int) throws(Violation) {
    let target = offset + Int(instruction.length) + Int(instruction.displacement)
    guard !code.isCommon, destination == AbstractState.secondScratch, instruction.operandSize == 64,
      target > offset, target < code.bytes.count
    else { throw refuse("computes a host address") }
    arrive(at: target, AbstractState())
    state.set(destination, .continuation)
  }

  /// Code that counts takes instructions from RBP, whose low six bits stay what they are.
  private func charges(_ destination: Int, _ base: Int, _ index: Int) -> Bool {
    layout.state != nil && destination == AbstractState.state && base == destination
      && index == AbstractState.none && instruction.operandSize == 64 && instruction.displacement % 64 == 0
  }

  /// The stubs of code that counts exchange RBP's two meanings: code that is followed sees one of them only.
  private func exchangesPinned(_ number: Int, _ fields: [Int], _ state: AbstractState) -> Bool {
    guard code.isCommon, layout.state != nil, number == AbstractState.state, instruction.operandSize == 64,
      let field = stateOffset(state)
    else { return false }
    return fields.contains(field)
  }

  /// The current instruction's base and index: what is known of their sum, or what the two tell where that is less.
  private func sum(
    _ state: AbstractState, _ base: Int, _ index: Int
  ) -> (sum: AbstractSum, ever: ClosedRange<Int128>)? {
    if let known = state.known(base, index, Int(instruction.scale)) {
      return (known, known.ahead.widened(by: AbstractSum.reach))
    }
    guard let own = state.sum(base, index, Int(instruction.scale)),
      AbstractValue.everything.contains(own.ever.widened(by: 1 << 31))
    else { return nil }
    return own
  }

  /// The register becomes another one, or itself, plus a constant.
  private func step(
    _ state: inout AbstractState, _ number: Int, from source: Int, by distance: Int64
  ) throws(Violation) {
    try mayWrite(number)
    state.copy(number, from: source)
    if distance != 0 { state.step(number, by: distance) }
  }

  /// A guest pointer becomes a host pointer, or back.
  private func windowSum(_ base: AbstractValue, _ index: AbstractValue) throws(Violation)
    -> AbstractValue.Kind
  {
    if instruction.displacement != 0 || instruction.scale != 0 || instruction.operandSize != 64 {
      throw refuse("computes with a host value")
    }
    switch (base.kind, index.kind) {
    case (.guest(let interval), .window) where base.isAlways(in: AbstractValue.guarded):
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
      if width < 32 { return try writeAnything(&state, number, width: width) }
      let constant = width == 64 ? value : width == 32 ? value & 0xffff_ffff : nil
      try write(&state, number, .guest(constant.map { Int128($0)...Int128($0) } ?? AbstractValue.everything))
    case .register(let register):
      if state[general(register)].isHost { throw refuse("copies a host value") }
      if isZeroExtended {
        if width == 16 { return try writeAnything(&state, number, width: 16) }
        try write(&state, number, .guest(0...0xffff))
      } else if width == 64 {
        try step(&state, number, from: general(register), by: 0)
      } else {
        try writeAnything(&state, number, width: width)
      }
    default: try load(&state, number, isZeroExtended ? 32 : width)
    }
  }

  private func load(_ state: inout AbstractState, _ number: Int, _ width: Int) throws(Violation) {
    if exchangesPinned(number, [StateField.other, StateField.remaining], state) { return }
    if let field = stateOffset(state) {
      guard let kind = stateField(field), mnemonic == "mov" else {
        throw refuse("reads the CPU state at \(field)")
      }
      if let place = StateField.register(at: field) {
        if width == 64 { return try step(&state, number, from: place, by: 0) }
        guard width == 32 else { throw refuse("reads a part of the CPU state at \(field)") }
        return try write(&state, number, .guest(AbstractValue.unsigned32))
      }
      guard width == 64 else { throw refuse("reads a part of the CPU state at \(field)") }
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
      instruction.index != Instruction.none, case .guest = state[Int(instruction.index)].kind
    else { return false }
    return state[Int(instruction.index)].isAlways(in: 0...0xffff) && instruction.displacement == layout.table
  }

  private func store(_ state: inout AbstractState, _ source: OperandValue) throws(Violation) {
    if case .register(let register) = source, state[general(register)].isHost {
      if exchangesPinned(general(register), [StateField.remaining], state) { return }
      throw refuse("stores a host value")
    }
    guard let field = stateOffset(state) else { return try access(&state, isCertain: true) }
    let isNumber = field == StateField.site || field == StateField.indirectSite
    if case .immediate(let constant, _) = source {
      if isNumber && instruction.operandSize == 32 { return }
      guard let place = try registerInState(state) else { return }
      try write(&state, place, .guest(Int128(constant)...Int128(constant)))
    } else if field == StateField.indirectSite {
      if instruction.operandSize != 32 { throw refuse("writes the CPU state at \(field)") }
    } else if !isWritableField(field) || instruction.operandSize != 64 {
      throw refuse("writes the CPU state at \(field)")
    } else if let place = StateField.register(at: field) {
      guard case .register(let register) = source else { throw refuse("writes a guest register otherwise") }
      state.copy(place, from: general(register))
    }
  }

  /// The guest register that the memory operand is, for an operation on all of it where it lives; nil when the operand is
  /// not in the CPU state.
  private func registerInState(_ state: AbstractState) throws(Violation) -> Int? {
    guard instruction.hasMemoryOperand, let field = stateOffset(state) else { return nil }
    guard let place = StateField.register(at: field), instruction.operandSize == 64 else {
      throw refuse("writes the CPU state at \(field)")
    }
    return place
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
    let place = try registerInState(state)
    if instruction.hasMemoryOperand {
      let (isAccess, isCertain) = memoryAccess()
      if isAccess && place == nil { try access(&state, isCertain: isCertain) }
      if isBitString { throw refuse("a bit string in memory") }
    }
    let info = instruction.info
    if let moved = movedByConstant(state, place) {
      return try step(&state, moved.register, from: moved.register, by: moved.distance)
    }
    // All are read before any is written.
    for number in 0..<info.operandCount {
      let operand = info.operand(number)
      guard let register = generalRegister(operand, place) else { continue }
      if operand.access == .write && operand.width >= 32 { continue }
      if state[register].isHost { throw refuse("\(mnemonic) uses host value in register \(register)") }
    }
    for number in 0..<info.operandCount {
      let operand = info.operand(number)
      guard let register = generalRegister(operand, place) else { continue }
      switch operand.access {
      case .write, .readWrite, .conditionalWrite:
        if operand.width == 64, let result = narrowResult {
          try write(&state, register, .guest(result))
        } else {
          let mayKeepUpperHalf = keepsUpperHalf && operand.width == 32
          try writeAnything(&state, register, width: mayKeepUpperHalf ? 64 : operand.width)
        }
      default: break
      }
    }
    if mnemonic == "rdtscp" || (mnemonic.contains("pcmp") && mnemonic.contains("stri")) {
      try write(&state, 1, .guest(AbstractValue.unsigned32))
    }
    guard writesImplicitly else { return }
    if mnemonic == "cdqe" { return try write(&state, 0, .guest(AbstractValue.signed32)) }
    if mnemonic == "cwde" { return try write(&state, 0, .guest(AbstractValue.unsigned32)) }
    for register in [0, 2] where !state[register].isHost {
      state.set(register, .guest(AbstractValue.everything))
    }
  }

  /// What an instruction of 64 bits leaves in the register that it writes, where that follows from it alone.
  private var narrowResult: ClosedRange<Int128>? {
    if mnemonic == "movsx" || mnemonic == "movsxd" { return AbstractValue.signed32 }
    guard instruction.info.operandCount == 2,
      case .immediate(let constant, _) = instruction.value(of: instruction.info.operand(1))
    else { return nil }
    switch mnemonic {
    case "and" where constant >= 0: return 0...Int128(constant)
    case "shr" where constant & 63 >= 32: return AbstractValue.unsigned32
    case "sar" where constant & 63 >= 32: return AbstractValue.signed32
    default: return nil
    }
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

  /// ADD and SUB of a constant, INC and DEC, of a 64-bit register.
  private func movedByConstant(
    _ state: AbstractState, _ place: Int?
  ) -> (register: Int, distance: Int64)? {
    let info = instruction.info
    guard info.operandCount > 0, info.operand(0).width == 64,
      let register = generalRegister(info.operand(0), place), !state[register].isHost
    else { return nil }
    switch mnemonic {
    case "inc": return (register, 1)
    case "dec": return (register, -1)
    case "add", "sub":
      guard case .immediate(let constant, _) = instruction.value(of: info.operand(1)), constant != Int64.min
      else { return nil }
      return (register, mnemonic == "add" ? constant : 0 - constant)
    default: return nil
    }
  }

  /// The register that an operand is; `place`: the one that the memory operand is.
  private func generalRegister(_ operand: OperandInfo, _ place: Int?) -> Int? {
    if operand.letter == .modRM, instruction.hasMemoryOperand { return place }
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
