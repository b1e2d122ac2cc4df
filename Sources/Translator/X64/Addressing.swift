// Memory operands: from the guest's base, index, scale and displacement to a host operand relative to the window, guarded.
//
// The guard is f(r) = r >> (r >> 60), two SHRX by registers: numbers below 2^60 stay as they are, all others become numbers
// below 2^60, and those that would lie in front of the window, [-2^47, 0), become numbers in [2^48, 2^49), which no address
// is. So `f(base) + displacement` and `f(base + index * scale) + displacement` never reach host memory outside the window
// and its guard areas, whether executed or speculated, and a wild address always faults (Docs/translator-guard.md has the proof).

import CHost
import X86

/// An address of which f can be held in a scratch register; displacements do not count.
enum GuardedAddress: Equatable {
  case none
  case base(UInt8)
  case sum(base: UInt8, index: UInt8, scale: UInt8)
  case constant(UInt64)

  func uses(_ register: UInt8) -> Bool {
    switch self {
    case .base(let base): base == register
    case .sum(let base, let index, _): base == register || index == register
    default: false
    }
  }
}

/// A guarded address, and what has since been added to its registers.
struct GuardedRegister {
  var address = GuardedAddress.none
  var offset: Int32 = 0

  static let none = GuardedRegister()

  /// Guest register `number` was written: `step` was added to it, or nil: anything.
  mutating func follow(_ number: UInt8, _ step: Int64?) {
    guard address.uses(number) else { return }
    guard let step, step.magnitude <= 1 &<< 20, offset.magnitude <= 1 &<< 24 else { return self = .none }
    switch address {
    case .base: offset &+= Int32(truncatingIfNeeded: step)
    case .sum(let base, let index, let scale):
      if base == number { offset &+= Int32(truncatingIfNeeded: step) }
      if index == number { offset &+= Int32(truncatingIfNeeded: step &<< Int64(scale)) }
    default: break
    }
  }
}

extension BlockTranslator {
  /// `instruction`'s memory operand as a host operand; computes into `register`, a scratch register. Nil when it is beyond
  /// the window for certain, so that the interpreter has to report it.
  mutating func place(_ instruction: Instruction, in register: UInt8) -> HostAddress? {
    if options.operandIsMasked {
      // Right behind the window, where nothing is: the address itself may be one that faults nevertheless.
      assembler.move(register, constant: options.windowLimit)
      note(.none, in: register)
      return HostAddress(base: register)
    }
    let isPlain = instruction.addressSize == 64 && !Self.hasSegmentBase(instruction)
    let isStack = instruction.base == GuestRegister.rsp && instruction.index == Instruction.none
    if isPlain && isStack && !options.treatsStackAsPointer {
      let displacement = Int32(truncatingIfNeeded: instruction.displacement)
      // What may leave its operand alone (masked moves, prefetches) proves nothing.
      let isProof = displacement.magnitude <= 1 &<< 20 && !plan.mayNotTouch
      if isProof { isStackUnproven = false }
      if isStackUnproven { settleStack() }
      return HostAddress(base: HostRegister.guestStack, displacement: displacement &+ stackDelta)
    }
    if !isPlain { return placeSpecial(instruction, in: register) }
    if instruction.base == Instruction.relative
      || (instruction.base == Instruction.none && instruction.index == Instruction.none)
    {
      return placeConstant(instruction, in: register)
    }
    return placeComputed(instruction, in: register)
  }

  static func hasSegmentBase(_ instruction: Instruction) -> Bool {
    instruction.prefixes.contains(.segment) && (instruction.segment == .fs || instruction.segment == .gs)
  }

  // MARK: Constants

  private mutating func placeConstant(_ instruction: Instruction, in register: UInt8) -> HostAddress? {
    var constant = UInt64(bitPattern: instruction.displacement)
    if instruction.base == Instruction.relative { constant &+= next }
    if constant >= TranslatorOptions.endOfConstants { return nil }
    if constant < 1 &<< 31 {
      return HostAddress(displacement: Int32(truncatingIfNeeded: constant))
    }
    if case .constant(let known) = guarded.address, register == HostRegister.scratch {
      let distance = Int64(bitPattern: constant &- known)
      if distance == Int64(Int32(truncatingIfNeeded: distance)) {
        return HostAddress(base: register, displacement: Int32(truncatingIfNeeded: distance))
      }
    }
    assembler.move(register, constant: constant)
    note(.constant(constant), in: register)
    return HostAddress(base: register)
  }

  // MARK: Base and index

  private mutating func placeComputed(_ instruction: Instruction, in register: UInt8) -> HostAddress {
    var displacement = Int32(truncatingIfNeeded: instruction.displacement)
    let isExact = cache.exceptions.addresses.contains(address)
    let key: GuardedAddress =
      instruction.index == Instruction.none
      ? .base(instruction.base)
      : .sum(base: instruction.base, index: instruction.index, scale: instruction.scale)
    if !isExact, let (host, offset) = remembered(key, for: register) {
      return HostAddress(base: host, displacement: displacement &+ offset)
    }
    if !options.isGuarded || loop.covers(instruction, plan) {
      return placeUnguarded(instruction, in: register)
    }
    if !isExact, let address = placeNarrow(instruction, in: register) { return address }
    var place = register
    if instruction.index == Instruction.none && !isExact {
      place = guardRegister(instruction.base, for: instruction, preferring: register)
    } else {
      sum(instruction, into: register, displacement: isExact ? displacement : 0)
      if isExact { displacement = 0 }
      applyGuard(register, into: register)
    }
    if register == HostRegister.secondScratch { guarded = .none }
    note(isExact ? .none : key, in: place)
    return HostAddress(base: place, displacement: displacement)
  }

  /// Where f of `key` is, and what to add to it; nil when it has to be computed into `register`.
  private mutating func remembered(_ key: GuardedAddress, for register: UInt8) -> (UInt8, Int32)? {
    if guarded.address == key && register == HostRegister.scratch {
      usedSecondLast = false
      return (register, guarded.offset)
    }
    guard assembler.held.guarded.address == key, !keepsSecondFree else { return nil }
    usedSecondLast = true
    return (HostRegister.secondScratch, assembler.held.guarded.offset)
  }

  /// A scratch register = f(guest register `number`): `register`, or the second one when `register` holds what was used last.
  private mutating func guardRegister(
    _ number: UInt8, for instruction: Instruction, preferring register: UInt8
  ) -> UInt8 {
    let isBusy = register == HostRegister.scratch && guarded.address != .none && !usedSecondLast
    let isFree =
      !keepsSecondFree && HostRegister.holding(number & 15) != HostRegister.inState
      && !Self.needsScratch(instruction, plan, held: assembler.held.number)
    let place = isBusy && isFree ? HostRegister.secondScratch : register
    guardBase(number, into: place)
    usedSecondLast = place == HostRegister.secondScratch
    return place
  }

  /// register = f(guest register `number`). What has to be loaded for that stays in the other scratch register, for who uses it next.
  private mutating func guardBase(_ number: UInt8, into register: UInt8) {
    applyGuard(holding(number, loadedInto: keepsSecondFree ? register : other(register)), into: register)
  }

  /// register = f(source), both host registers; `register` is a scratch register.
  mutating func applyGuard(_ source: UInt8, into register: UInt8) {
    let count = source == register ? other(register) : register
    if count == HostRegister.scratch { guarded = .none }
    assembler.shiftRight(count, source, by: HostRegister.state)
    assembler.shiftRight(register, source, by: count)
  }

  /// register = f(register) for a register that the guest goes on using; when that would change it, the block is left
  /// through `site` instead.
  mutating func guardInPlace(_ register: UInt8, else site: Int) {
    guarded = .none
    assembler.shiftRight(HostRegister.scratch, register, by: HostRegister.state)
    let fine = assembler.jumpIfScratchZero()
    jump(to: site)
    assembler.completeShort(fine)
    assembler.shiftRight(register, register, by: HostRegister.scratch)
  }

  /// Operands with narrow registers, and with RSP as base: one register, or none, has to be guarded. Nil when that does not
  /// make it cheaper.
  private mutating func placeNarrow(_ instruction: Instruction, in register: UInt8) -> HostAddress? {
    let displacement = Int32(truncatingIfNeeded: instruction.displacement)
    let isBaseFine = instruction.base == Instruction.none || isHarmlessBase(instruction.base)
    guard instruction.index != Instruction.none else {
      guard isBaseFine else { return nil }
      return HostAddress(base: holding(instruction.base, loadedInto: register), displacement: displacement)
    }
    let isBaseLoaded =
      instruction.base != Instruction.none
      && HostRegister.holding(instruction.base & 15) == HostRegister.inState
    // Loading and guarding the base takes both scratch registers; guarding it takes one, `register`, which must not be the
    // index's; and the operands may need one.
    let isIndexInTheWay =
      isBaseLoaded || (!isBaseFine && register == HostRegister.secondScratch)
      || Self.needsScratch(instruction, plan, held: assembler.held.number)
    if let index = narrowHost(instruction.index), index != HostRegister.secondScratch || !isIndexInTheWay {
      var host = HostAddress(index: index, scale: instruction.scale, displacement: displacement)
      if instruction.base == Instruction.none { return host }
      if isBaseFine {
        host.base = holding(instruction.base, loadedInto: register)
      } else if let (place, offset) = remembered(.base(instruction.base), for: register) {
        host.base = place
        host.displacement &+= offset
      } else {
        guardBase(instruction.base, into: register)
        note(.base(instruction.base), in: register)
        host.base = register
      }
      return host
    }
    let base =
      instruction.base == Instruction.none ? HostRegister.none : HostRegister.holding(instruction.base & 15)
    guard isBaseFine, base != HostRegister.inState else { return nil }
    applyGuard(holding(instruction.index, loadedInto: register), into: register)
    note(.base(instruction.index), in: register)
    return HostAddress(base: base, index: register, scale: instruction.scale, displacement: displacement)
  }

  /// The host register of a guest register that is known to be narrow; nil for others. Not of those that would have to be
  /// loaded: a processor may load from the CPU state ahead of the store that made the register narrow.
  private func narrowHost(_ number: UInt8) -> UInt8? {
    guard narrow &>> UInt16(number & 15) & 1 != 0 else { return nil }
    let host = HostRegister.holding(number & 15)
    if host != HostRegister.inState { return host }
    return assembler.held.number == number & 15 && assembler.held.isNarrow ? HostRegister.secondScratch : nil
  }

  /// Whether an operand beside the memory operand lives in the CPU state and is not held in a scratch register.
  private static func needsScratch(_ instruction: Instruction, _ plan: RowPlan, held: UInt8) -> Bool {
    func isLoaded(_ field: RowPlan.Field, _ number: UInt8) -> Bool {
      plan.isGeneral(field) && HostRegister.holding(number & 15) == HostRegister.inState
        && number & 15 != held
    }
    return isLoaded(.reg, instruction.reg) || isLoaded(.vvvv, instruction.vvvv)
      || isLoaded(.opcode, instruction.opcodeRegister)
  }

  /// Narrow, or RSP, which is guarded where it is written.
  private mutating func isHarmlessBase(_ number: UInt8) -> Bool {
    guard number == GuestRegister.rsp, !options.treatsStackAsPointer else {
      return narrowHost(number) != nil
    }
    if isStackUnproven { settleStack() }
    return true
  }

  /// register = base + index * scale + displacement, 64 bits.
  private mutating func sum(_ instruction: Instruction, into register: UInt8, displacement: Int32) {
    var host = HostAddress(displacement: displacement, isGuest: false)
    if instruction.base != Instruction.none { host.base = holding(instruction.base, loadedInto: register) }
    if instruction.index != Instruction.none {
      host.index = holding(instruction.index, loadedInto: host.base == register ? other(register) : register)
      host.scale = instruction.scale
      if host.index == HostRegister.scratch || host.base == HostRegister.scratch { guarded = .none }
    }
    assembler.loadEffectiveAddress(register, host)
  }

  private mutating func placeUnguarded(_ instruction: Instruction, in register: UInt8) -> HostAddress {
    var host = HostAddress(displacement: Int32(truncatingIfNeeded: instruction.displacement))
    if instruction.base != Instruction.none { host.base = holding(instruction.base, loadedInto: register) }
    if instruction.index == Instruction.none { return host }
    host.scale = instruction.scale
    guard host.base == register || host.base == HostRegister.secondScratch else {
      host.index = holding(instruction.index, loadedInto: register)
      return host
    }
    // The base is in a scratch register: the index may need one too, and so may the operands.
    let index = HostRegister.holding(instruction.index)
    if index != HostRegister.inState {
      host.index = index
      return host
    }
    if register == HostRegister.scratch { guarded = .none }
    let place = host.base == register ? other(register) : register
    host.index = holding(instruction.index, loadedInto: place)
    host.displacement = 0
    host.isGuest = false
    assembler.loadEffectiveAddress(register, host)
    return HostAddress(
      base: register, displacement: Int32(truncatingIfNeeded: instruction.displacement))
  }

  // MARK: Segments and 32-bit addresses

  private mutating func placeSpecial(_ instruction: Instruction, in register: UInt8) -> HostAddress? {
    let displacement = Int32(truncatingIfNeeded: instruction.displacement)
    let isNarrow = instruction.addressSize == 32
    if register == HostRegister.scratch { guarded = .none }
    let hasRegisters =
      instruction.index != Instruction.none
      || (instruction.base != Instruction.none && instruction.base != Instruction.relative)
    if !Self.hasSegmentBase(instruction) {
      narrowSum(instruction, into: register)
      return HostAddress(base: register)
    }
    let isFS = instruction.segment == .fs
    let isAbsolute = !hasRegisters && instruction.base == Instruction.none
    if isAbsolute && (!isNarrow || displacement >= 0) && !cache.exceptions.addresses.contains(address) {
      // The guarded copy of the segment's base; elsewhere the sum is guarded.
      assembler.loadState(register, isFS ? StateOffset.guardedFSBase : StateOffset.guardedGSBase)
      return HostAddress(base: register, displacement: displacement)
    }
    guarded = .none
    if isNarrow {
      narrowSum(instruction, into: register)
    } else if hasRegisters {
      sum(instruction, into: register, displacement: displacement)
    } else {
      let start = isAbsolute ? 0 : next
      assembler.move(register, constant: start &+ UInt64(bitPattern: instruction.displacement))
    }
    assembler.loadState(other(register), isFS ? StateOffset.fsBase : StateOffset.gsBase)
    assembler.loadEffectiveAddress(
      register, HostAddress(base: register, index: other(register), isGuest: false))
    applyGuard(register, into: register)
    return HostAddress(base: register)
  }

  /// register = the 32-bit effective address.
  private mutating func narrowSum(_ instruction: Instruction, into register: UInt8) {
    if instruction.base == Instruction.relative {
      let target = next &+ UInt64(bitPattern: instruction.displacement)
      return assembler.move(register, constant: target & 0xffff_ffff)
    }
    var host = HostAddress(displacement: Int32(truncatingIfNeeded: instruction.displacement), isGuest: false)
    if instruction.base != Instruction.none { host.base = holding(instruction.base, loadedInto: register) }
    if instruction.index != Instruction.none {
      let place = host.base == register ? other(register) : register
      host.index = holding(instruction.index, loadedInto: place)
      host.scale = instruction.scale
      if host.index == HostRegister.scratch { guarded = .none }
    }
    assembler.narrow(0x8d, register, .memory(host))
  }

  // MARK: Registers

  /// The host register of a guest register, for reading; one that lives in the CPU state is loaded into `register`, unless the
  /// second scratch register holds it.
  mutating func holding(_ number: UInt8, loadedInto register: UInt8) -> UInt8 {
    let host = HostRegister.holding(number & 15)
    if host != HostRegister.inState { return host }
    if assembler.held.number == number & 15 { return HostRegister.secondScratch }
    if register == HostRegister.scratch { guarded = .none }
    assembler.loadState(register, StateOffset.general(number & 15))
    if register == HostRegister.secondScratch { assembler.held.number = number & 15 }
    return register
  }

  /// The other scratch register.
  func other(_ register: UInt8) -> UInt8 {
    register == HostRegister.scratch ? HostRegister.secondScratch : HostRegister.scratch
  }

  /// `register` now holds `address`.
  private mutating func note(_ address: GuardedAddress, in register: UInt8) {
    if register == HostRegister.scratch {
      guarded = GuardedRegister(address: address)
    } else {
      assembler.held = HeldRegister(guarded: GuardedRegister(address: address))
    }
  }
}
