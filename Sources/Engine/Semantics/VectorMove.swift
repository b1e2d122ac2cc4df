// Moves of vectors: whole, in parts, masked, gathered; between vector and general registers; and the state
// instructions EMMS, VZEROUPPER, VZEROALL. Non-temporal moves are ordinary moves here.

// PERF: semantics are inlined into the handlers made from them; nothing of the generics is left.
extension Semantics {
  @inline(__always) public static func vectorMove<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    if D.chunks == 2 {
      let source = x.readPair(&b)
      d.writePair(&b, source.low, source.high)
    } else {
      raisePending(&b, d)
      write(&b, d, x.read(&b, 0))
    }
    if X.isMMX { b.enterMMX() }
  }

  /// The low element; the rest of a destination register is zero.
  @inline(__always) public static func vectorMoveLow<B: Backend, E: Element, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X
  ) {
    let source = x.read(&b, 0)
    let zero = b.constant(0)
    write(&b, d, b.chunk(low: b.extract(E.self, source, zero), high: zero))
    if X.isMMX { b.enterMMX() }
  }

  /// The high quadword to memory.
  @inline(__always) public static func vectorMoveHigh<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    let high = b.extract(U64.self, x.read(&b, 0), b.constant(1))
    write(&b, d, b.chunk(low: high, high: b.constant(0)))
  }

  /// `x` with its low element replaced by that of `y`.
  @inline(__always)
  public static func vectorMergeLow<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y) {
    let zero = b.constant(0)
    let low = b.extract(E.self, y.read(&b, 0), zero)
    write(&b, d, b.insert(E.self, x.read(&b, 0), zero, low))
  }

  /// MOVD, MOVQ from a general register.
  @inline(__always) public static func vectorFromInteger<B: Backend, D: VectorPlace, X: Place>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    raisePending(&b, d)
    let value = x.read(&b)
    write(&b, d, b.chunk(low: value, high: b.constant(0)))
  }

  /// MOVD, MOVQ from memory.
  @inline(__always) public static func vectorFromInteger<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    raisePending(&b, d)
    write(&b, d, x.read(&b, 0))
  }

  /// MOVD, MOVQ to a general register.
  @inline(__always) public static func vectorToInteger<B: Backend, D: Place, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    d.write(&b, b.extract(U64.self, x.read(&b, 0), b.constant(0)))
    if X.isMMX { b.enterMMX() }
  }

  /// MOVD, MOVQ to memory.
  @inline(__always) public static func vectorToInteger<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    write(&b, d, x.read(&b, 0))
    if X.isMMX { b.enterMMX() }
  }

  /// MOVMSKPS, MOVMSKPD, PMOVMSKB.
  @inline(__always) public static func moveMask<B: Backend, E: Element, D: Place, X: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X
  ) {
    var mask = b.signs(E.self, x.read(&b, 0))
    if X.chunks == 2 {
      let high = b.signs(E.self, x.read(&b, 1))
      mask = b.or(mask, b.shiftLeft(high, UInt64(E.Lanes.scalarCount)))
    }
    d.write(&b, mask)
    if X.isMMX { b.enterMMX() }
  }

  // MARK: Masked moves

  @inline(__always)
  public static func maskedLoad<B: Backend, E: Element, D: VectorPlace, M: VectorPlace, S: VectorSize>(
    _ b: inout B, _ element: E.Type, _ d: D, _ mask: M, _ source: VectorMemory<S>
  ) {
    let address = source.address(&b)
    let low = b.loadMasked(E.self, address, offset: 0, mask: mask.read(&b, 0))
    if D.chunks == 1 { return write(&b, d, low) }
    let high = b.loadMasked(E.self, address, offset: 16, mask: mask.read(&b, 1))
    write(&b, d, low, high)
  }

  @inline(__always)
  public static func maskedStore<B: Backend, E: Element, M: VectorPlace, X: VectorPlace, S: VectorSize>(
    _ b: inout B, _ element: E.Type, _ d: VectorMemory<S>, _ mask: M, _ x: X
  ) {
    let address = d.address(&b)
    let low = mask.read(&b, 0)
    b.probeMasked(E.self, address, offset: 0, mask: low)
    if X.chunks == 1 { return b.storeMasked(E.self, address, offset: 0, mask: low, x.read(&b, 0)) }
    let high = mask.read(&b, 1)
    b.probeMasked(E.self, address, offset: 16, mask: high)
    b.storeMasked(E.self, address, offset: 0, mask: low, x.read(&b, 0))
    b.storeMasked(E.self, address, offset: 16, mask: high, x.read(&b, 1))
  }

  /// MASKMOVQ, MASKMOVDQU: to the address in RDI, of `W` bits.
  @inline(__always) public static func maskedStoreBytes<B: Backend, W: Width, X: VectorPlace, M: VectorPlace>(
    _ b: inout B, _ addressWidth: W.Type, _ x: X, _ mask: M, _ segment: ImplicitSegment
  ) {
    let address = b.implicitDestination(W.self, segment)
    let selected = mask.read(&b, 0)
    b.probeMasked(U8.self, address, offset: 0, mask: selected)
    b.storeMasked(U8.self, address, offset: 0, mask: selected, x.read(&b, 0))
    if X.isMMX { b.enterMMX() }
  }

  /// VPGATHER, VGATHER.
  @inline(__always) public static func gather<B: Backend, E: Element, D: VectorRegister>(
    _ b: inout B, _ element: E.Type, _ d: D, _ operand: VectorIndexed, _ mask: D
  ) {
    let elements = D.bytes / MemoryLayout<E.Scalar>.size
    let count = min(elements, operand.vectorBits / operand.indexBits)
    b.gather(E.self, destination: d.number, mask: mask.number, count: count, operand)
  }

  // MARK: State

  /// SFENCE, LFENCE, MFENCE.
  @inline(__always) public static func fence<B: Backend>(_ b: inout B) { b.fence() }

  /// EMMS.
  @inline(__always) public static func emptyMMXState<B: Backend>(_ b: inout B) { b.leaveMMX() }

  /// VZEROUPPER.
  @inline(__always) public static func zeroUpper<B: Backend>(_ b: inout B) {
    for number in 0..<16 as Range<UInt8> { b.zeroVectorAbove(number, 1) }
  }

  /// VZEROALL.
  @inline(__always) public static func zeroAll<B: Backend>(_ b: inout B) {
    for number in 0..<16 as Range<UInt8> { b.zeroVectorAbove(number, 0) }
  }
}
