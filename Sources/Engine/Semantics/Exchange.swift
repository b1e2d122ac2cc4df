// Exchanges: XCHG, XADD, CMPXCHG and its double-width relatives. XCHG with memory is atomic without a LOCK prefix; the
// double-width exchanges are always done atomically, which a program cannot tell from the plain form.

// PERF: as all semantics, inlined into handlers.
extension Semantics {
  @inline(__always) public static func xchg<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let (x, _) = destination.update(&b) { _, _ in y }
    source.write(&b, x)
  }

  @inline(__always) public static func xchg<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ destination: Memory<W>, _ source: S
  ) {
    xchg(&b, destination.locked, source)
  }

  @inline(__always) public static func xadd<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let (x, sum) = destination.update(&b) { b, x in b.add(D.Size.self, x, y) }
    source.write(&b, x)
    b.setFlagsAfterAdd(D.Size.self, x, y, sum)
  }

  /// With two registers the destination is written last: it wins when both are the same.
  @inline(__always) public static func xadd<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ destination: Register<W>, _ source: S
  ) {
    let y = source.read(&b)
    let x = destination.read(&b)
    let sum = b.add(W.self, x, y)
    source.write(&b, x)
    destination.write(&b, sum)
    b.setFlagsAfterAdd(W.self, x, y, sum)
  }

  /// Memory is written in any case, with what it held when the comparison fails.
  @inline(__always) public static func cmpxchg<B: Backend, D: MemoryPlace, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let desired = source.read(&b)
    let expected = b.readRegister(D.Size.self, Accumulator.low)
    let (found, _) = destination.update(&b) { b, x in
      let same = b.equal(x, expected)
      return b.select(same, desired, x)
    }
    compareAccumulator(&b, D.Size.self, expected, found)
  }

  /// A register that does not compare equal is not touched, not even zero-extended.
  @inline(__always) public static func cmpxchg<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ destination: Register<W>, _ source: S
  ) {
    let desired = source.read(&b)
    let found = destination.read(&b)
    let expected = b.readRegister(W.self, Accumulator.low)
    let same = b.equal(found, expected)
    b.writeRegister(if: same, W.self, destination.offset, desired)
    compareAccumulator(&b, W.self, expected, found)
  }

  /// Flags of accumulator - found, and the accumulator takes what was found unless it was equal.
  @inline(__always) static func compareAccumulator<B: Backend, W: Width>(
    _ b: inout B, _ width: W.Type, _ expected: B.Value, _ found: B.Value
  ) {
    let difference = b.subtract(W.self, expected, found)
    b.setFlagsAfterSubtract(W.self, expected, found, difference)
    let zero = b.constant(0)
    let one = b.constant(1)
    let same = b.equal(found, expected)
    let differs = b.select(same, zero, one)
    let failed = b.equal(differs, one)
    b.writeRegister(if: failed, W.self, Accumulator.low, found)
  }

  @inline(__always) public static func cmpxchg8b<B: Backend, D: AddressablePlace>(
    _ b: inout B, _ destination: D
  ) {
    compareExchangePair(&b, W32.self, destination)
  }

  /// #GP unless the operand is aligned to 16 bytes.
  @inline(__always) public static func cmpxchg16b<B: Backend, D: AddressablePlace>(
    _ b: inout B, _ destination: D
  ) {
    let address = destination.address(&b)
    let mask = b.constant(15)
    let zero = b.constant(0)
    let offset = b.and(address, mask)
    let misaligned = b.less(zero, offset)
    b.trap(if: misaligned, .generalProtection)
    compareExchangePair(&b, W64.self, destination)
  }

  /// Compares DX:AX (of width `W`) with memory and stores CX:BX when equal, else loads DX:AX. Only ZF changes.
  @inline(__always) static func compareExchangePair<B: Backend, W: Width, D: AddressablePlace>(
    _ b: inout B, _ width: W.Type, _ destination: D
  ) {
    let low = b.readRegister(W.self, 0)
    let high = b.readRegister(W.self, 16)
    let newLow = b.readRegister(W.self, 24)
    let newHigh = b.readRegister(W.self, 8)
    let address = destination.address(&b)
    let (oldLow, oldHigh) = b.compareExchangePair(
      W.self, address, expected: (low, high), desired: (newLow, newHigh))
    let lowDifference = b.exclusiveOr(low, oldLow)
    let highDifference = b.exclusiveOr(high, oldHigh)
    let difference = b.or(lowDifference, highDifference)
    let zero = b.constant(0)
    let differs = b.less(zero, difference)
    b.writeRegister(if: differs, W.self, 0, oldLow)
    b.writeRegister(if: differs, W.self, 16, oldHigh)
    let same = b.equal(difference, zero)
    let bit = b.bit(same)
    b.setFlag(.zero, bit)
  }
}
