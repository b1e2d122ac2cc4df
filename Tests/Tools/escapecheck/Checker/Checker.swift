// Follows emitted code from its first byte to its last and proves of every instruction that it can do no harm, or says
// why not. Branches within a piece of code go forward, so one pass sees every state before it is needed; those that go back to
// one place, the loop's head, make it look for an invariant there (Checker+Loops.swift). The rules are written down in
// Docs/translator-guard.md. Knows nothing of how the translator works, only what its code may do.

import CHost
import X86

/// One pass over one piece of code.
struct Checker {
  let code: EmittedCode
  let layout: CacheLayout
  /// What holds before the current instruction; nil: nothing comes here.
  var state: AbstractState?
  /// States that arrive at bytes further on.
  private var arriving: [Int: AbstractState] = [:]
  /// States that come back to a loop's head, and where it is.
  var returning: (head: Int, state: AbstractState)?
  /// Where instructions begin.
  private(set) var boundaries: Set<Int> = []
  var offset = 0
  var instruction = Instruction()
  /// A vector register that holds guarded 64-bit indices, or the counts that they are about to be shifted by.
  var guardedVector: UInt8?
  var countingVector: (counts: UInt8, indices: UInt8)?
  /// The exit whose stub is being followed.
  private var exit: Int?

  /// Proves `code`, or throws the first reason against it. Returns the number of instructions looked at.
  static func check(_ code: EmittedCode, _ layout: CacheLayout, from start: Int = 0) throws(Violation) -> Int
  {
    var checker = Checker(code: code, layout: layout, state: AbstractState())
    let count = try checker.run(from: start)
    if checker.returning != nil { try checker.followLoop() }
    return count
  }

  private init(code: EmittedCode, layout: CacheLayout, state: AbstractState) {
    (self.code, self.layout, self.state) = (code, layout, state)
  }

  /// One pass from byte `start` to the end.
  @discardableResult mutating func run(from start: Int) throws(Violation) -> Int {
    var count = 0
    offset = start
    while offset < code.bytes.count {
      if let arrived = arriving.removeValue(forKey: offset) {
        if state == nil { state = arrived } else { state?.join(arrived) }
      }
      // What nothing leads to now is reached when branches are patched, from where other blocks may be entered.
      if state == nil { state = AbstractState() }
      let status = code.bytes.withUnsafeBytes { bytes in
        Decoder.decode(
          UnsafeRawBufferPointer(rebasing: bytes[offset...]), mode: .bits64, into: &instruction)
      }
      guard status == .valid else { throw refuse("no instruction") }
      count += 1
      boundaries.insert(offset)
      try check()
      offset += Int(instruction.length)
    }
    if state != nil { throw refuse("runs over the end") }
    if let target = arriving.keys.min() { throw refuse("a branch into an instruction at \(target)") }
    return count
  }

  func refuse(_ message: String) -> Violation { Violation(offset: offset, message: message) }

  private mutating func check() throws(Violation) {
    let kind = InstructionClass.table[Int(instruction.row)]
    if kind == .forbidden { throw refuse("an instruction that must not be emitted: \(mnemonic)") }
    if instruction.addressSize != 64 { throw refuse("32-bit address size") }
    guard let current = state else { return }
    if code.isBorder(offset), let register = current.exposed {
      throw refuse("register \(register) holds a host value where the guest can see it")
    }
    if code.exits[offset] != nil { exit = offset }
    if instruction.hasMemoryOperand, try borrowsVector(current) { return }
    var next = current
    noteVector()
    switch kind {
    case .forbidden, .nothing: break
    case .shiftRightX: try shiftRight(&next)
    case .effectiveAddress: try effectiveAddress(&next)
    case .move, .moveZeroExtended: try move(&next, isZeroExtended: kind == .moveZeroExtended)
    case .string: try string(&next)
    case .plain: try plain(&next)
    case .jump: return try jump(next)
    case .jumpIf, .jumpIfCounterZero:
      try go(to: offset + Int(instruction.length) + Int(instruction.immediate), next)
    case .call: return try call(next)
    case .ret:
      if instruction.opcode != 0xc3 || instruction.length != 1 { throw refuse("a RET with an operand") }
      try leave(next)
      return state = nil
    }
    state = next
  }

  var mnemonic: String { InstructionClass.mnemonics[Int(instruction.row)] }

  // MARK: Going elsewhere

  private mutating func jump(_ current: AbstractState) throws(Violation) {
    if instruction.info.operand(0).kind == .relative {
      try go(to: offset + Int(instruction.length) + Int(instruction.immediate), current)
    } else if instruction.hasMemoryOperand {
      guard code.isCommon else { throw refuse("a jump through memory") }
      if offset > 0, layout.state != nil, stateOffset(current) == StateField.entry {
        try leave(current)
      } else {
        try leavePermanently()
      }
    } else {
      guard current[Int(instruction.rm)].kind == .indirectEntry else {
        throw refuse("a jump to a register that is no indirect entry")
      }
      try leave(current)
    }
    state = nil
  }

  /// At the beginning of the common code, twice: JMP [RIP + 2], and behind two bytes the address of the code that leaves, or
  /// makes a system call.
  private mutating func leavePermanently() throws(Violation) {
    let places = [
      vt_translated_exit_address(), layout.state == nil ? vt_direct_call_address() : vt_logged_call_address(),
    ]
    guard offset & 15 == 0, offset / 16 < places.count, code.bytes.count >= offset + 16 else {
      throw refuse("a jump through memory")
    }
    let expected = UInt64(UInt(bitPattern: places[offset / 16]))
    var address: UInt64 = 0
    for index in 0..<8 { address |= UInt64(code.bytes[offset + 8 + index]) << UInt64(8 * index) }
    guard instruction.base == Instruction.relative, instruction.displacement == 2, address == expected else {
      throw refuse("the way out leads elsewhere")
    }
    offset += 10
  }

  private mutating func call(_ current: AbstractState) throws(Violation) {
    guard instruction.info.operand(0).kind == .relative else { throw refuse("an indirect call") }
    try go(to: offset + Int(instruction.length) + Int(instruction.immediate), current)
    // Where the matching RET arrives: whoever returns has kept the invariant.
    state = AbstractState()
  }

  /// A direct branch to byte `target`, or to another piece of code.
  private mutating func go(to place: Int, _ current: AbstractState) throws(Violation) {
    let target = code.budgetJumps[place] ?? place
    if target > offset, target < code.bytes.count { return arrive(at: target, current) }
    if target > 0, target <= offset, !code.isCommon { return try goBack(to: target, current) }
    let address = code.address &+ UInt64(bitPattern: Int64(target))
    if code.isCommon, layout.state != nil, layout.permanent.contains(address) { return }
    if address == layout.leave {
      guard let register = current.exposed else {
        if let exit, code.exits[exit] == .branch { try leave(current) }
        return
      }
      throw refuse("leaves with a host value in register \(register)")
    }
    if address == layout.directCall, current[AbstractState.secondScratch].kind != .continuation {
      throw refuse("a system call that goes on elsewhere")
    }
    let isShared = [layout.directCall, layout.indirectMiss, layout.indirectLookup].contains(address)
    guard isShared || layout.blocks.contains(address) else {
      throw refuse("a branch to something that is no block")
    }
    try leave(current)
  }

  mutating func arrive(at target: Int, _ current: AbstractState) {
    if arriving[target] == nil { arriving[target] = current } else { arriving[target]?.join(current) }
  }

  /// Other blocks rely on what holds at their beginning.
  private func leave(_ current: AbstractState) throws(Violation) {
    if let register = current.exposed { throw refuse("leaves with a host value in register \(register)") }
    guard case .guest(let interval) = current[AbstractState.guestStack].kind,
      AbstractState.stackInvariant.contains(interval),
      AbstractState.stackAhead.contains(current[AbstractState.guestStack].ahead)
    else { throw refuse("leaves with an unproven stack pointer") }
    if current[AbstractState.state].kind != .state || current[AbstractState.shadowStack].kind != .shadowStack
    {
      throw refuse("leaves with a changed pinned register")
    }
  }
}
