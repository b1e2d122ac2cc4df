// AND, OR, XOR, TEST, NOT and the logic of BMI1.

// PERF: as all semantics, inlined into handlers.
extension Semantics {
  @inline(__always) public static func and<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let (_, result) = destination.update(&b) { b, x in b.and(x, y) }
    b.setFlagsAfterLogic(D.Size.self, result)
  }

  @inline(__always) public static func or<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let (_, result) = destination.update(&b) { b, x in b.or(x, y) }
    b.setFlagsAfterLogic(D.Size.self, result)
  }

  @inline(__always) public static func xor<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let (_, result) = destination.update(&b) { b, x in b.exclusiveOr(x, y) }
    b.setFlagsAfterLogic(D.Size.self, result)
  }

  @inline(__always) public static func test<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ first: D, _ second: S
  ) {
    let x = first.read(&b)
    let y = second.read(&b)
    let result = b.and(x, y)
    b.setFlagsAfterLogic(D.Size.self, result)
  }

  @inline(__always) public static func not<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    _ = destination.update(&b) { b, x in b.not(D.Size.self, x) }
  }

  @inline(__always) public static func andn<B: Backend, D: Place, S: Place, T: Place>(
    _ b: inout B, _ destination: D, _ inverted: S, _ source: T
  ) {
    let y = source.read(&b)
    let x = inverted.read(&b)
    let complement = b.not(D.Size.self, x)
    let result = b.and(complement, y)
    destination.write(&b, result)
    b.setFlagsAfterLogic(D.Size.self, result)
  }

  /// Resets the lowest one; CF tells that there was none.
  @inline(__always) public static func blsr<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    let one = b.constant(1)
    let below = b.subtract(D.Size.self, x, one)
    let result = b.and(x, below)
    let carry = isZero(&b, x)
    lowestBit(&b, destination, result, carry: carry)
  }

  /// A mask up to the lowest one.
  @inline(__always) public static func blsmsk<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    let one = b.constant(1)
    let below = b.subtract(D.Size.self, x, one)
    let result = b.exclusiveOr(x, below)
    let carry = isZero(&b, x)
    lowestBit(&b, destination, result, carry: carry)
  }

  /// Isolates the lowest one; CF tells that there was one.
  @inline(__always) public static func blsi<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    let zero = b.constant(0)
    let one = b.constant(1)
    let negated = b.subtract(D.Size.self, zero, x)
    let result = b.and(x, negated)
    let none = isZero(&b, x)
    let carry = b.exclusiveOr(none, one)
    lowestBit(&b, destination, result, carry: carry)
  }

  @inline(__always) static func lowestBit<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ result: B.Value, carry: B.Value
  ) {
    destination.write(&b, result)
    let zero = b.constant(0)
    b.setFlags(D.Size.self, result: result, carry: carry, overflow: zero)
  }

  /// 1 when `x` is 0, else 0.
  @inline(__always) static func isZero<B: Backend>(_ b: inout B, _ x: B.Value) -> B.Value {
    let zero = b.constant(0)
    let truth = b.equal(x, zero)
    return b.bit(truth)
  }
}
