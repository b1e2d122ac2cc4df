// Shifts and rotates, also through carry, of two words, and the flagless ones of BMI2.
//
// `shl1 $1` is the form that shifts by one (opcodes D0, D1): it always writes the flags and defines OF. `shl $1 $2` takes
// its count from CL or an immediate; a count of 0 leaves every flag. OF after other counts is undefined; here it is what
// a count of 1 would define.

// PERF: as all semantics, inlined into handlers.
extension Semantics {
  /// A count as the shifter sees it: modulo 32, or 64 for 64-bit operands.
  @inline(__always) static func maskedCount<B: Backend, W: Width, C: Place>(
    _ b: inout B, _ width: W.Type, _ count: C
  ) -> B.Value {
    let raw = count.read(&b)
    let mask = b.constant(W.bits == 64 ? 63 : 31)
    return b.and(raw, mask)
  }

  @inline(__always) public static func shl<B: Backend, D: Place, C: Place>(
    _ b: inout B, _ destination: D, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    shiftLeft(&b, destination, count)
  }

  @inline(__always) public static func shl1<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    shiftLeft(&b, destination, one)
  }

  @inline(__always) static func shiftLeft<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ count: B.Value
  ) {
    let one = b.constant(1)
    let (x, result) = destination.update(&b) { b, x in b.shiftLeft(D.Size.self, x, count) }
    // One step before the last, the bit that falls out is on top.
    let before = b.subtract(W64.self, count, one)
    let last = b.shiftLeft(D.Size.self, x, before)
    let carry = b.topBit(D.Size.self, last)
    let top = b.topBit(D.Size.self, result)
    let overflow = b.exclusiveOr(top, carry)
    b.setFlags(ifNotZero: count, D.Size.self, result: result, carry: carry, overflow: overflow)
  }

  @inline(__always) public static func shr<B: Backend, D: Place, C: Place>(
    _ b: inout B, _ destination: D, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    shiftRight(&b, destination, count)
  }

  @inline(__always) public static func shr1<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    shiftRight(&b, destination, one)
  }

  @inline(__always) static func shiftRight<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ count: B.Value
  ) {
    let one = b.constant(1)
    let (x, result) = destination.update(&b) { b, x in b.shiftRight(D.Size.self, x, count) }
    let before = b.subtract(W64.self, count, one)
    let carry = b.shiftRight(W64.self, x, before)
    let overflow = b.topBit(D.Size.self, x)
    b.setFlags(ifNotZero: count, D.Size.self, result: result, carry: carry, overflow: overflow)
  }

  @inline(__always) public static func sar<B: Backend, D: Place, C: Place>(
    _ b: inout B, _ destination: D, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    shiftRightArithmetic(&b, destination, count)
  }

  @inline(__always) public static func sar1<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    shiftRightArithmetic(&b, destination, one)
  }

  @inline(__always) static func shiftRightArithmetic<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ count: B.Value
  ) {
    let one = b.constant(1)
    let zero = b.constant(0)
    let (x, result) = destination.update(&b) { b, x in b.shiftRightArithmetic(D.Size.self, x, count) }
    let before = b.subtract(W64.self, count, one)
    let carry = b.shiftRightArithmetic(D.Size.self, x, before)
    b.setFlags(ifNotZero: count, D.Size.self, result: result, carry: carry, overflow: zero)
  }
}

// MARK: - Rotates: CF and OF only

extension Semantics {
  @inline(__always) public static func rol<B: Backend, D: Place, C: Place>(
    _ b: inout B, _ destination: D, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    rotateLeft(&b, destination, count)
  }

  @inline(__always) public static func rol1<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    rotateLeft(&b, destination, one)
  }

  @inline(__always) static func rotateLeft<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ count: B.Value
  ) {
    let (_, result) = destination.update(&b) { b, x in b.rotateLeft(D.Size.self, x, count) }
    let top = b.topBit(D.Size.self, result)
    let overflow = b.exclusiveOr(top, result)
    b.setCarryAndOverflow(ifNotZero: count, carry: result, overflow: overflow)
  }

  @inline(__always) public static func ror<B: Backend, D: Place, C: Place>(
    _ b: inout B, _ destination: D, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    rotateRight(&b, destination, count)
  }

  @inline(__always) public static func ror1<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    rotateRight(&b, destination, one)
  }

  @inline(__always) static func rotateRight<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ count: B.Value
  ) {
    let (_, result) = destination.update(&b) { b, x in b.rotateRight(D.Size.self, x, count) }
    let top = b.topBit(D.Size.self, result)
    let overflow = topTwoDiffer(&b, D.Size.self, result)
    b.setCarryAndOverflow(ifNotZero: count, carry: top, overflow: overflow)
  }

  /// Bit 0: whether the two top bits of `x` differ.
  @inline(__always) static func topTwoDiffer<B: Backend, W: Width>(
    _ b: inout B, _ width: W.Type, _ x: B.Value
  ) -> B.Value {
    let place = b.constant(W.bits - 2)
    let top = b.topBit(W.self, x)
    let second = b.shiftRight(W.self, x, place)
    return b.exclusiveOr(top, second)
  }

  @inline(__always) public static func rcl<B: Backend, D: Place, C: Place>(
    _ b: inout B, _ destination: D, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    rotateLeftThroughCarry(&b, destination, count)
  }

  @inline(__always) public static func rcl1<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    rotateLeftThroughCarry(&b, destination, one)
  }

  @inline(__always) static func rotateLeftThroughCarry<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ count: B.Value
  ) {
    let carry = b.flag(.carry)
    let (x, result) = destination.update(&b) { b, x in
      b.rotateLeftThroughCarry(D.Size.self, x, carry: carry, count).result
    }
    let out = b.rotateLeftThroughCarry(D.Size.self, x, carry: carry, count).carry
    let top = b.topBit(D.Size.self, result)
    let overflow = b.exclusiveOr(top, out)
    b.setCarryAndOverflow(ifNotZero: count, carry: out, overflow: overflow)
  }

  @inline(__always) public static func rcr<B: Backend, D: Place, C: Place>(
    _ b: inout B, _ destination: D, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    rotateRightThroughCarry(&b, destination, count)
  }

  @inline(__always) public static func rcr1<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    rotateRightThroughCarry(&b, destination, one)
  }

  @inline(__always) static func rotateRightThroughCarry<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ count: B.Value
  ) {
    let carry = b.flag(.carry)
    let (x, result) = destination.update(&b) { b, x in
      b.rotateRightThroughCarry(D.Size.self, x, carry: carry, count).result
    }
    let out = b.rotateRightThroughCarry(D.Size.self, x, carry: carry, count).carry
    let overflow = topTwoDiffer(&b, D.Size.self, result)
    b.setCarryAndOverflow(ifNotZero: count, carry: out, overflow: overflow)
  }
}

// MARK: - Two words

extension Semantics {
  @inline(__always) public static func shld<B: Backend, D: Place, S: Place, C: Place>(
    _ b: inout B, _ destination: D, _ filler: S, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    let filler = filler.read(&b)
    let (x, result) = destination.update(&b) { b, x in
      b.shiftLeftDouble(D.Size.self, x, filler, count).result
    }
    let carry = b.shiftLeftDouble(D.Size.self, x, filler, count).carry
    doubleShiftFlags(&b, D.Size.self, x, result, carry, count)
  }

  @inline(__always) public static func shrd<B: Backend, D: Place, S: Place, C: Place>(
    _ b: inout B, _ destination: D, _ filler: S, _ count: C
  ) {
    let count = maskedCount(&b, D.Size.self, count)
    let filler = filler.read(&b)
    let (x, result) = destination.update(&b) { b, x in
      b.shiftRightDouble(D.Size.self, x, filler, count).result
    }
    let carry = b.shiftRightDouble(D.Size.self, x, filler, count).carry
    doubleShiftFlags(&b, D.Size.self, x, result, carry, count)
  }

  /// OF tells that the sign changed.
  @inline(__always) static func doubleShiftFlags<B: Backend, W: Width>(
    _ b: inout B, _ width: W.Type, _ x: B.Value, _ result: B.Value, _ carry: B.Value, _ count: B.Value
  ) {
    let change = b.exclusiveOr(x, result)
    let overflow = b.topBit(W.self, change)
    b.setFlags(ifNotZero: count, W.self, result: result, carry: carry, overflow: overflow)
  }
}

// MARK: - Without flags

extension Semantics {
  /// A count modulo the operand's width (32 or 64).
  @inline(__always) public static func rorx<B: Backend, D: Place, S: Place, C: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ count: C
  ) {
    let x = source.read(&b)
    let count = maskedCount(&b, D.Size.self, count)
    let result = b.rotateRight(D.Size.self, x, count)
    destination.write(&b, result)
  }

  @inline(__always) public static func shlx<B: Backend, D: Place, S: Place, C: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ count: C
  ) {
    let x = source.read(&b)
    let count = maskedCount(&b, D.Size.self, count)
    let result = b.shiftLeft(D.Size.self, x, count)
    destination.write(&b, result)
  }

  @inline(__always) public static func shrx<B: Backend, D: Place, S: Place, C: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ count: C
  ) {
    let x = source.read(&b)
    let count = maskedCount(&b, D.Size.self, count)
    let result = b.shiftRight(D.Size.self, x, count)
    destination.write(&b, result)
  }

  @inline(__always) public static func sarx<B: Backend, D: Place, S: Place, C: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ count: C
  ) {
    let x = source.read(&b)
    let count = maskedCount(&b, D.Size.self, count)
    let result = b.shiftRightArithmetic(D.Size.self, x, count)
    destination.write(&b, result)
  }
}
