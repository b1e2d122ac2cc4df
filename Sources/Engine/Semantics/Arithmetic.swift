// Additions, subtractions, multiplications and divisions, with ADX and MULX.
//
// Intel SDM volume 2. The one-operand multiplications and divisions work on the pair AL/AH, AX/DX, EAX/EDX or RAX/RDX.

// PERF: every semantic is inlined into its generated handlers; an outlined generic would be called through witness tables.
extension Semantics {
  @inline(__always) public static func add<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let (x, sum) = destination.update(&b) { b, x in b.add(D.Size.self, x, y) }
    b.setFlagsAfterAdd(D.Size.self, x, y, sum)
  }

  @inline(__always) public static func adc<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let carry = b.flag(.carry)
    let (x, sum) = destination.update(&b) { b, x in
      let partial = b.add(D.Size.self, x, y)
      return b.add(D.Size.self, partial, carry)
    }
    b.setFlagsAfterAdd(D.Size.self, x, y, sum)
  }

  @inline(__always) public static func sub<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let (x, difference) = destination.update(&b) { b, x in b.subtract(D.Size.self, x, y) }
    b.setFlagsAfterSubtract(D.Size.self, x, y, difference)
  }

  @inline(__always) public static func sbb<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let borrow = b.flag(.carry)
    let (x, difference) = destination.update(&b) { b, x in
      let partial = b.subtract(D.Size.self, x, y)
      return b.subtract(D.Size.self, partial, borrow)
    }
    b.setFlagsAfterSubtract(D.Size.self, x, y, difference)
  }

  @inline(__always) public static func cmp<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ first: D, _ second: S
  ) {
    let x = first.read(&b)
    let y = second.read(&b)
    let difference = b.subtract(D.Size.self, x, y)
    b.setFlagsAfterSubtract(D.Size.self, x, y, difference)
  }

  @inline(__always) public static func inc<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    let (x, sum) = destination.update(&b) { b, x in b.add(D.Size.self, x, one) }
    b.setFlagsAfterIncrement(D.Size.self, x, sum)
  }

  @inline(__always) public static func dec<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let one = b.constant(1)
    let (x, difference) = destination.update(&b) { b, x in b.subtract(D.Size.self, x, one) }
    b.setFlagsAfterDecrement(D.Size.self, x, difference)
  }

  @inline(__always) public static func neg<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let zero = b.constant(0)
    let (x, difference) = destination.update(&b) { b, x in b.subtract(D.Size.self, zero, x) }
    b.setFlagsAfterSubtract(D.Size.self, zero, x, difference)
  }

  /// ADCX: CF in and out, no other flag.
  @inline(__always) public static func adcx<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    addWithCarry(&b, destination, source, .carry)
  }

  /// ADOX: OF in and out, no other flag.
  @inline(__always) public static func adox<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    addWithCarry(&b, destination, source, .overflow)
  }

  @inline(__always) static func addWithCarry<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ flag: Flag
  ) {
    let y = source.read(&b)
    let carry = b.flag(flag)
    let (x, sum) = destination.update(&b) { b, x in
      let partial = b.add(D.Size.self, x, y)
      return b.add(D.Size.self, partial, carry)
    }
    // Carry out of the top bit: both operands have it, or one has it and the sum lost it.
    let both = b.and(x, y)
    let either = b.or(x, y)
    let lost = b.not(D.Size.self, sum)
    let carriedOn = b.and(either, lost)
    let carries = b.or(both, carriedOn)
    let out = b.topBit(D.Size.self, carries)
    b.setFlag(flag, out)
  }
}

// MARK: - Multiplication and division

/// Offsets of the implicit pair into `vt_cpu_state.general`.
enum Accumulator {
  // PERF: constants of handlers.
  /// AL, AX, EAX, RAX.
  @inline(__always) static var low: UInt8 { 0 }
  /// AH, DX, EDX, RDX.
  @inline(__always) static func high<W: Width>(_ width: W.Type) -> UInt8 { W.bits == 8 ? 1 : 16 }
}

extension Semantics {
  @inline(__always) public static func mul<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    let y = source.read(&b)
    let x = b.readRegister(S.Size.self, Accumulator.low)
    let (low, high) = b.multiply(S.Size.self, x, y, signed: false)
    b.writeRegister(S.Size.self, Accumulator.low, low)
    b.writeRegister(S.Size.self, Accumulator.high(S.Size.self), high)
    let zero = b.constant(0)
    let one = b.constant(1)
    let fits = b.equal(high, zero)
    let lost = b.select(fits, zero, one)
    b.setFlags(S.Size.self, result: low, carry: lost, overflow: lost)
  }

  /// IMUL with one operand.
  @inline(__always) public static func imul1<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    let y = source.read(&b)
    let x = b.readRegister(S.Size.self, Accumulator.low)
    let (low, high) = b.multiply(S.Size.self, x, y, signed: true)
    b.writeRegister(S.Size.self, Accumulator.low, low)
    b.writeRegister(S.Size.self, Accumulator.high(S.Size.self), high)
    let top = b.constant(S.Size.bits - 1)
    let sign = b.shiftRightArithmetic(S.Size.self, low, top)
    let zero = b.constant(0)
    let one = b.constant(1)
    let fits = b.equal(high, sign)
    let lost = b.select(fits, zero, one)
    b.setFlags(S.Size.self, result: low, carry: lost, overflow: lost)
  }

  /// IMUL with two operands (destination twice) or three.
  @inline(__always) public static func imul3<B: Backend, D: Place, S: Place, T: Place>(
    _ b: inout B, _ destination: D, _ first: S, _ second: T
  ) {
    let x = first.read(&b)
    let y = second.read(&b)
    let (product, overflow) = b.multiplySigned(D.Size.self, x, y)
    destination.write(&b, product)
    let lost = b.bit(overflow)
    b.setFlags(D.Size.self, result: product, carry: lost, overflow: lost)
  }

  /// MULX: RDX times the source, high half into `high`, which wins when both destinations are one register.
  @inline(__always) public static func mulx<B: Backend, H: Place, L: Place, S: Place>(
    _ b: inout B, _ high: H, _ low: L, _ source: S
  ) {
    let y = source.read(&b)
    let x = b.readRegister(S.Size.self, Accumulator.high(S.Size.self))
    let product = b.multiply(S.Size.self, x, y, signed: false)
    low.write(&b, product.low)
    high.write(&b, product.high)
  }

  @inline(__always) public static func div<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    divide(&b, source, signed: false)
  }

  @inline(__always) public static func idiv<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    divide(&b, source, signed: true)
  }

  @inline(__always) static func divide<B: Backend, S: Place>(_ b: inout B, _ source: S, signed: Bool) {
    let divisor = source.read(&b)
    let low = b.readRegister(S.Size.self, Accumulator.low)
    let high = b.readRegister(S.Size.self, Accumulator.high(S.Size.self))
    let (quotient, remainder) = b.divide(S.Size.self, high: high, low: low, by: divisor, signed: signed)
    b.writeRegister(S.Size.self, Accumulator.low, quotient)
    b.writeRegister(S.Size.self, Accumulator.high(S.Size.self), remainder)
  }
}
