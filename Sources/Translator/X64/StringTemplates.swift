// String instructions, with and without REP: the host's own, on host addresses. ES cannot be overridden, so RSI and RDI are
// moved into the window for the time of the instruction; a fault or a signal there is told by the entry's kind, and the run
// loop moves them back. Both walk from a guarded start through every byte, so they cannot walk over a guard area.

import CHost
import X86

extension BlockTranslator {
  mutating func string(_ instruction: Instruction, _ bytes: UnsafePointer<UInt8>) {
    // A4 … A7 and AA … AF; INS and OUTS are not for user mode.
    guard instruction.opcode >= 0xa4, instruction.addressSize == 64,
      !Self.hasSegmentBase(instruction)
    else {
      return interpret()
    }
    let family = instruction.opcode & 0xfe
    let usesSource = family == 0xa4 || family == 0xa6 || family == 0xac
    let usesDestination = family != 0xac
    let isRepeated = !instruction.prefixes.isDisjoint(with: [.rep, .repne])
    settleStack()
    guarded = .none
    if usesSource { guardPointer(GuestRegister.rsi) }
    if usesDestination { guardPointer(GuestRegister.rdi) }
    let scratch = HostRegister.scratch
    assembler.loadState(scratch, StateOffset.window)
    moveStringPointers(usesSource, usesDestination)
    if isRepeated { assembler.move(scratch, HostRegister.guestCounter) }
    let kind =
      (usesSource ? VT_ENTRY_SOURCE : 0) | (usesDestination ? VT_ENTRY_DESTINATION : 0)
      | (isRepeated ? VT_ENTRY_COUNTER : 0)
    addEntry(kind: kind)
    emit(
      instruction, bytes, EncodedFields(reg: 0, rm: 0, vvvv: 0, opcode: instruction.opcodeRegister & 7), nil)
    addEntry(kind: VT_ENTRY_INSIDE)
    if isRepeated { assembler.move(HostRegister.guestCounter, scratch) }
    assembler.loadState(scratch, StateOffset.negativeWindow)
    moveStringPointers(usesSource, usesDestination)
  }

  /// RSI and RDI += the scratch register.
  private mutating func moveStringPointers(_ source: Bool, _ destination: Bool) {
    for (register, isUsed) in [(GuestRegister.rsi, source), (GuestRegister.rdi, destination)] where isUsed {
      assembler.loadEffectiveAddress(register, HostAddress(base: register, index: HostRegister.scratch))
    }
  }

  /// The pointer stays as it is when it is harmless; else the interpreter executes the instruction.
  private mutating func guardPointer(_ register: UInt8) {
    guard options.isGuarded else { return }
    guardInPlace(register, else: addSite(.interpret, target: address, executed: count &- 1))
  }
}
