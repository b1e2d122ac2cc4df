// Packed integer arithmetic, logic, comparison and shifts of MMX, SSE and AVX. Every function takes the
// destination and two sources, as the VEX forms do; a legacy row passes its destination also as the first
// source.

// PERF: semantics are inlined into the handlers made from them; nothing of the generics is left.
extension Semantics {
  /// Applies `body` to each chunk of the sources; everything is read before anything is written.
  @inline(__always) static func zip<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y, _ body: (inout B, B.Chunk, B.Chunk) -> B.Chunk
  ) {
    if D.chunks == 2 {
      let first = x.readPair(&b)
      let second = y.readPair(&b)
      let low = body(&b, first.low, second.low)
      d.writePair(&b, low, body(&b, first.high, second.high))
    } else {
      write(&b, d, body(&b, x.read(&b, 0), y.read(&b, 0)))
    }
  }

  /// Raises an x87 exception that waits for the next MMX instruction: it comes before a fault of the memory operand.
  @inline(__always) static func raisePending<B: Backend, D: VectorPlace>(_ b: inout B, _ d: D) {
    if D.isMMX { _ = d.read(&b, 0) }
  }

  /// As `zip`, for one source.
  @inline(__always) static func map<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ body: (inout B, B.Chunk) -> B.Chunk
  ) {
    if D.chunks == 2 {
      let source = x.readPair(&b)
      let low = body(&b, source.low)
      d.writePair(&b, low, body(&b, source.high))
    } else {
      raisePending(&b, d)
      write(&b, d, body(&b, x.read(&b, 0)))
    }
  }

  @inline(__always) static func write<B: Backend, D: VectorPlace>(_ b: inout B, _ d: D, _ value: B.Chunk) {
    d.write(&b, 0, value)
    d.finish(&b)
  }

  // MARK: Logic

  @inline(__always) public static func vectorAnd<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.vectorAnd($1, $2) }
  }

  @inline(__always)
  public static func vectorAndNot<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.vectorAndNot($1, $2) }
  }

  @inline(__always) public static func vectorOr<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.vectorOr($1, $2) }
  }

  @inline(__always) public static func vectorXor<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.vectorXor($1, $2) }
  }

  // MARK: Arithmetic

  @inline(__always)
  public static func packedAdd<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedAdd(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedSubtract<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedSubtract(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedAddSaturating<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedAddSaturating(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedSubtractSaturating<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedSubtractSaturating(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedMultiplyLow<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedMultiplyLow(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedMultiplyHigh<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedMultiplyHigh(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedMultiplyEven<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedMultiplyEven(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedMultiplyHighRounding<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedMultiplyHighRounding($1, $2) }
  }

  @inline(__always)
  public static func packedMultiplyAddWords<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedMultiplyAddWords($1, $2) }
  }

  @inline(__always)
  public static func packedMultiplyAddBytes<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedMultiplyAddBytes($1, $2) }
  }

  @inline(__always)
  public static func packedAverage<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedAverage(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedMinimum<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedMinimum(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedMaximum<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedMaximum(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedSign<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedSign(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedSumAbsoluteDifferences<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedSumAbsoluteDifferences($1, $2) }
  }

  @inline(__always) public static func packedAbsolute<B: Backend, E: Element, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X
  ) {
    map(&b, d, x) { $0.packedAbsolute(E.self, $1) }
  }

  /// MPSADBW: the control has three bits for each 128-bit lane.
  @inline(__always)
  public static func packedMultipleSumAbsoluteDifferences<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    let low = b.packedMultipleSumAbsoluteDifferences(x.read(&b, 0), y.read(&b, 0), bits)
    if D.chunks == 1 { return write(&b, d, low) }
    let highBits = b.shiftRight(bits, 3)
    let high = b.packedMultipleSumAbsoluteDifferences(x.read(&b, 1), y.read(&b, 1), highBits)
    write(&b, d, low, high)
  }

  /// PHMINPOSUW.
  @inline(__always) public static func packedMinimumPosition<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    map(&b, d, x) { $0.packedMinimumPosition($1) }
  }

  /// PHADD; PHADDSW is the one with a signed element type.
  @inline(__always)
  public static func packedHorizontalAdd<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y) {
    zipJoined(&b, d, x, y) { $0.packedHorizontalAdd(E.self, $1, $2) }
  }

  /// PHSUB; PHSUBSW is the one with a signed element type.
  @inline(__always)
  public static func packedHorizontalSubtract<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y) {
    zipJoined(&b, d, x, y) { $0.packedHorizontalSubtract(E.self, $1, $2) }
  }

  /// As `zip`, for operations that put results of `x` into the low half and of `y` into the high half: of MMX
  /// registers both sources are joined to one chunk, and the low half of the result is what is wanted.
  @inline(__always) static func zipJoined<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y, _ body: (inout B, B.Chunk, B.Chunk) -> B.Chunk
  ) {
    zip(&b, d, x, y) { b, first, second in
      if D.isMMX {
        let joined = b.packedUnpackLow(U64.self, first, second)
        return body(&b, joined, joined)
      }
      return body(&b, first, second)
    }
  }

  // MARK: Comparison

  @inline(__always)
  public static func packedCompareEqual<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedCompareEqual(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedCompareGreater<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedCompareGreater(E.self, $1, $2) }
  }

  /// PTEST: ZF when no bit of `y` is set in `x`, CF when no bit of `y` is clear in `x`.
  @inline(__always) public static func vectorTest<B: Backend, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ x: X, _ y: Y
  ) {
    let (common, missing) = overlap(&b, x, y)
    setTestFlags(&b, common, missing)
  }

  /// VTESTPS, VTESTPD: the same with only the top bit of each element.
  @inline(__always)
  public static func vectorTestSigns<B: Backend, E: Element, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ x: X, _ y: Y
  ) {
    let (common, missing) = overlap(&b, x, y)
    let bits: UInt64 = E.Scalar.bitWidth == 32 ? 0x8000_0000_8000_0000 : 0x8000_0000_0000_0000
    let half = b.constant(bits)
    let signs = b.chunk(low: half, high: half)
    setTestFlags(&b, b.vectorAnd(common, signs), b.vectorAnd(missing, signs))
  }

  /// Bits of `y` that are set in `x`, and that are not; the chunks of long vectors are merged.
  @inline(__always) static func overlap<B: Backend, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ x: X, _ y: Y
  ) -> (common: B.Chunk, missing: B.Chunk) {
    let first = x.read(&b, 0)
    let second = y.read(&b, 0)
    let common = b.vectorAnd(first, second)
    let missing = b.vectorAndNot(first, second)
    if X.chunks == 1 { return (common, missing) }
    let third = x.read(&b, 1)
    let fourth = y.read(&b, 1)
    let highCommon = b.vectorAnd(third, fourth)
    let highMissing = b.vectorAndNot(third, fourth)
    return (b.vectorOr(common, highCommon), b.vectorOr(missing, highMissing))
  }

  @inline(__always) static func setTestFlags<B: Backend>(_ b: inout B, _ common: B.Chunk, _ missing: B.Chunk)
  {
    let zero = b.isZero(common)
    let carry = b.isZero(missing)
    let clear = b.constant(0)
    b.setFlags(carry: carry, zero: zero, sign: clear, overflow: clear)
  }

  // MARK: Shifts

  /// The count is the low quadword of a vector operand.
  @inline(__always)
  public static func packedShiftLeft<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ count: Y) {
    raisePending(&b, x)
    let bits = count.read(&b, 0)
    let amount = b.extract(U64.self, bits, b.constant(0))
    map(&b, d, x) { $0.packedShiftLeft(E.self, $1, amount) }
  }

  /// The count is an immediate.
  @inline(__always)
  public static func packedShiftLeft<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ count: I
  ) {
    let amount = count.read(&b)
    map(&b, d, x) { $0.packedShiftLeft(E.self, $1, amount) }
  }

  /// The count is the low quadword of a vector operand.
  @inline(__always)
  public static func packedShiftRight<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ count: Y) {
    raisePending(&b, x)
    let bits = count.read(&b, 0)
    let amount = b.extract(U64.self, bits, b.constant(0))
    map(&b, d, x) { $0.packedShiftRight(E.self, $1, amount) }
  }

  /// The count is an immediate.
  @inline(__always)
  public static func packedShiftRight<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ count: I
  ) {
    let amount = count.read(&b)
    map(&b, d, x) { $0.packedShiftRight(E.self, $1, amount) }
  }

  @inline(__always)
  public static func packedShiftLeftVariable<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedShiftLeftVariable(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedShiftRightVariable<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedShiftRightVariable(E.self, $1, $2) }
  }

  @inline(__always)
  public static func vectorShiftLeftBytes<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ count: I
  ) {
    let bytes = count.read(&b)
    map(&b, d, x) { $0.vectorShiftLeftBytes($1, bytes) }
  }

  @inline(__always)
  public static func vectorShiftRightBytes<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ count: I
  ) {
    let bytes = count.read(&b)
    map(&b, d, x) { $0.vectorShiftRightBytes($1, bytes) }
  }
}
