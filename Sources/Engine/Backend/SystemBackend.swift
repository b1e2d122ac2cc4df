// Primitives of instructions that are more than arithmetic: string instructions, segments, areas of processor state, and
// what the processor says about itself and the world.

/// What LAR, LSL, VERR and VERW ask of a descriptor.
public enum SegmentQuestion: UInt32 {
  case accessRights, limit, readable, writable
}

/// String instructions, segments, extended state, identification, time and randomness.
public protocol SystemBackend: IntegerBackend {
  // String instructions, whole: RSI, RDI, RCX, DF and the flags are theirs. A fault keeps completed iterations.
  mutating func moveString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment)
  mutating func storeString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition)
  mutating func loadString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment)
  mutating func compareString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment)
  mutating func scanString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition)

  /// ENTER: builds a stack frame of `size` bytes with `level` (modulo 32) frame pointers.
  mutating func enterFrame<W: Width>(_ width: W.Type, size: Value, level: Value)
  /// Compares a pair of `W`-wide values with memory, atomically, and stores `desired` when equal.
  mutating func compareExchangePair<W: Width>(
    _ width: W.Type, _ address: Value, expected: (low: Value, high: Value),
    desired: (low: Value, high: Value)
  ) -> (low: Value, high: Value)

  mutating func segmentBase(_ segment: ImplicitSegment) -> Value
  /// The selector of segment register ES CS SS DS FS GS (0…5).
  mutating func readSegment(_ number: UInt8) -> Value
  /// Loads a selector; #GP when user mode may not, #UD for CS. Loading FS or GS makes its base 0.
  mutating func writeSegment(_ number: UInt8, _ selector: Value)
  /// The base of FS (0) or GS (1).
  mutating func readSegmentBase(_ which: Int) -> Value
  /// #GP when the address is not canonical.
  mutating func writeSegmentBase(_ which: Int, _ address: Value)

  /// LAR, LSL: 32 bits of answer and bit 32 when user code may have it, else 0. VERR, VERW: 1 or 0.
  mutating func describeSegment(_ question: SegmentQuestion, _ selector: Value) -> Value

  /// CPUID of EAX and ECX into EAX, EBX, ECX, EDX.
  mutating func identify()
  mutating func timeStamp() -> Value
  mutating func processorNumber() -> Value
  mutating func randomNumber() -> Value
  /// XGETBV; #GP for an unknown number.
  mutating func readExtendedControl(_ number: Value) -> Value

  /// Faults as a load of one byte would.
  mutating func probeRead(_ address: Value)

  // Areas of processor state. `wide`: the instruction has REX.W, which makes the x87 pointers 64 bits.
  /// Raises #GP unless `address` is a multiple of `bytes`.
  mutating func saveLegacyState(_ address: Value, wide: Bool)
  mutating func restoreLegacyState(_ address: Value, wide: Bool)
  mutating func saveExtendedState(_ address: Value, wide: Bool, compacted: Bool)
  mutating func restoreExtendedState(_ address: Value, wide: Bool)
}
