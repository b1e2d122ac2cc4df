// Memory operands: of the CPU state, of the table of indirect entries, or of the guest's window, whose address must be
// proven to lie in the window or in what is reserved around it.

import CHost
import X86

extension Checker {
  /// Sums that are harmless behind the window's base: 64 GiB before it are reserved, and everything above it is window,
  /// reserved or no address at all, up to the kernel's half. The margins are larger than any operand and the window's base.
  static let harmless: ClosedRange<Int128> = -(1 << 36 - 1 << 20)...(1 << 64 - 1 << 48)

  /// What one access to the window proves: that its first byte is below the window's limit.
  private static let window: ClosedRange<Int128> = 0...(1 << 47)

  /// Proves the operand's address in the window, and notes what the access proves of its registers.
  func access(_ state: inout AbstractState, isCertain: Bool) throws(Violation) {
    guard instruction.prefixes.contains(.segment), instruction.segment == .gs else {
      throw refuse("memory that is not in the guest's window")
    }
    try checkEntry(state)
    let displacement = Int128(instruction.displacement)...Int128(instruction.displacement)
    if instruction.base == Instruction.relative { throw refuse("RIP-relative guest memory") }
    let isVector = instruction.info.usesVSIB
    let base = instruction.base == Instruction.none ? AbstractState.none : Int(instruction.base)
    let index =
      instruction.index == Instruction.none || isVector ? AbstractState.none : Int(instruction.index)
    // A shift count would be a small number, but never the guest's address.
    guard let own = state.sum(base, index, Int(instruction.scale)) else {
      throw refuse("a host value or a shift count in an address")
    }
    let elements: ClosedRange<Int128> = isVector ? try vectorIndex() : 0...0
    let known = state.known(base, index, Int(instruction.scale))
    let isOwn = Checker.harmless.contains(own.ever + displacement + elements)
    let isKnown = known.map {
      Checker.harmless.contains($0.ahead.widened(by: AbstractSum.reach) + displacement)
    }
    guard isOwn || isKnown == true && !isVector else {
      throw refuse("an address that is not proven: \(mnemonic), \(own.ever), \(known?.ahead ?? 0...0)")
    }
    guard isCertain, !isVector, base != AbstractState.none || index != AbstractState.none else { return }
    var sum = known ?? own.sum
    if isOwn { sum.actual = own.sum.actual }
    if let known, isKnown == true { sum.actual = sum.actual.clamped(to: known.actual) }
    state.prove(sum, in: Checker.window - displacement, own: own.sum.actual)
  }

  private func vectorIndex() throws(Violation) -> ClosedRange<Int128> {
    for number in 0..<instruction.info.operandCount {
      let operand = instruction.info.operand(number)
      if operand.kind == .vectorMemory && operand.indexElementWidth != 32 {
        guard guardedVector == instruction.index else { throw refuse("a vector of 64-bit indices") }
        // Times the scale and with the base at most 2^63 + 2^60: still no address.
        return 0...(1 << 61)
      }
    }
    let reach: Int128 = 1 << (31 + Int128(instruction.scale))
    return -reach...reach
  }

  /// A vector register that is kept in the CPU state while a template uses it.
  func borrowsVector(_ state: AbstractState) throws(Violation) -> Bool {
    guard let field = stateOffset(state), field == StateField.vectorScratch else { return false }
    return mnemonic == "vmovdqu" || mnemonic == "vmovdqu64"
  }

  /// VPSRLQ counts, indices, 60 and VPSRLVQ indices, indices, counts are the guard, element by element.
  mutating func noteVector() {
    let (counting, guarded) = (countingVector, guardedVector)
    (countingVector, guardedVector) = (nil, nil)
    if mnemonic == "vpsrlq", !instruction.hasMemoryOperand, instruction.immediate == 60,
      instruction.opmask == 0,
      instruction.opcode == 0x73
    {
      countingVector = (instruction.vvvv, instruction.rm)
    } else if mnemonic == "vpsrlvq", !instruction.hasMemoryOperand, instruction.opmask == 0,
      let counting, counting.counts == instruction.rm, counting.indices == instruction.vvvv
    {
      guardedVector = instruction.reg
    } else if instruction.info.usesVSIB {
      guardedVector = guarded
    }
  }

  /// Whether a fault here would be understood: what the block's table says of RSI and RDI must be so.
  func checkEntry(_ state: AbstractState) throws(Violation) {
    guard !code.entries.isEmpty else { return }
    let kind = code.kind(at: offset)
    for (register, bit) in [(6, VT_ENTRY_SOURCE), (7, VT_ENTRY_DESTINATION)] {
      if state[register].isHost != (kind & bit != 0) {
        throw refuse("register \(register) is not what the table of entries says")
      }
    }
  }

  /// Whether the ModRM operand is accessed at all, and for certain.
  func memoryAccess() -> (isAccess: Bool, isCertain: Bool) {
    let info = instruction.info
    for number in 0..<info.operandCount where info.operand(number).letter == .modRM {
      let access = info.operand(number).access
      if access == .none || access == .address { return (mnemonic.hasPrefix("prefetch"), false) }
      let name = mnemonic
      let isMasked =
        instruction.opmask != 0 || info.usesVSIB || access == .conditionalWrite && !name.hasPrefix("cmpxchg")
        || name.contains("maskmov")
      let isHint = name.hasPrefix("prefetch") || name.hasPrefix("clflush") || name.hasPrefix("clwb")
      return (true, !isMasked && !isHint)
    }
    // An operand that the row does not print (FNOP-like forms have none): treated as an access that proves nothing.
    return (true, false)
  }

  // MARK: The CPU state

  /// Bytes from the state's beginning; nil when the operand is not in the CPU state.
  func stateOffset(_ state: AbstractState) -> Int? {
    if let address = layout.state {
      guard instruction.base == Instruction.none, instruction.index == Instruction.none,
        !instruction.prefixes.contains(.segment),
        (address..<address + 4096).contains(instruction.displacement)
      else { return nil }
      return Int(instruction.displacement - address)
    }
    guard instruction.base != Instruction.none, instruction.base != Instruction.relative,
      state[Int(instruction.base)].kind == .state, instruction.index == Instruction.none,
      !instruction.prefixes.contains(.segment)
    else { return nil }
    return Int(instruction.displacement) + Int(VT_STATE_BIAS)
  }

  /// Fields that translated code may read, as what they hold.
  func stateField(_ offset: Int) -> AbstractValue.Kind? {
    if StateField.registers.contains(offset) { return .guest(AbstractValue.everything) }
    switch offset {
    case StateField.rawFSBase, StateField.rawGSBase: return .guest(AbstractValue.everything)
    case StateField.target: return .guest(AbstractValue.everything)
    // The run loop guards the bases before it enters.
    case StateField.fsBase, StateField.gsBase: return .guest(AbstractValue.guarded)
    case StateField.window: return .window
    case StateField.negativeWindow: return .negativeWindow
    default: return nil
    }
  }

  func isWritableField(_ offset: Int) -> Bool {
    StateField.registers.contains(offset) || offset == StateField.target || offset == StateField.vectorScratch
  }
}

/// Offsets in the CPU state (CHost/include/state.h).
enum StateField {
  /// Guest registers R8–R11.
  static let registers: Set<Int> = [64, 72, 80, 88]
  /// The number under which a guest register in the CPU state is followed.
  static func register(at offset: Int) -> Int? {
    registers.contains(offset) ? AbstractState.firstInState + (offset - 64) / 8 : nil
  }
  private static let translated = Int(VT_OFFSET_TRANSLATED)
  /// The guest's segment bases as they are.
  static let rawFSBase = MemoryLayout<vt_cpu_state>.offset(of: \.fs_base) ?? 0
  static let rawGSBase = MemoryLayout<vt_cpu_state>.offset(of: \.gs_base) ?? 0
  static let site = translated + (MemoryLayout<vt_translated_state>.offset(of: \.site) ?? 0)
  static let indirectSite = translated + (MemoryLayout<vt_translated_state>.offset(of: \.indirect_site) ?? 0)
  static let vectorScratch =
    translated + (MemoryLayout<vt_translated_state>.offset(of: \.vector_scratch) ?? 0)
  static let target = translated + (MemoryLayout<vt_translated_state>.offset(of: \.target) ?? 0)
  static let fsBase = translated + (MemoryLayout<vt_translated_state>.offset(of: \.fs_base) ?? 0)
  static let gsBase = translated + (MemoryLayout<vt_translated_state>.offset(of: \.gs_base) ?? 0)
  static let remaining = translated + (MemoryLayout<vt_translated_state>.offset(of: \.remaining) ?? 0)
  static let other = translated + (MemoryLayout<vt_translated_state>.offset(of: \.other) ?? 0)
  static let entry = translated + (MemoryLayout<vt_translated_state>.offset(of: \.entry) ?? 0)
  static let window = translated + (MemoryLayout<vt_translated_state>.offset(of: \.window) ?? 0)
  static let negativeWindow =
    translated + (MemoryLayout<vt_translated_state>.offset(of: \.negative_window) ?? 0)
}
