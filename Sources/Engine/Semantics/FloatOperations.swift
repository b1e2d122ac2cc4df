// SSE and AVX floating-point arithmetic, comparison and MXCSR. One semantic serves legacy and VEX
// encodings: a legacy row passes its destination as first source as well. Everything is computed before
// anything is written, because any primitive may raise #XM.

extension Semantics {
  // PERF: a semantic must dissolve into its handler; this holds for all functions of these files.
  /// Writes one or two chunks and finishes the destination.
  @inline(__always) static func write<B: Backend, D: VectorPlace>(
    _ b: inout B, _ d: D, _ first: B.Chunk, _ second: B.Chunk
  ) {
    d.write(&b, 0, first)
    if D.chunks > 1 { d.write(&b, 1, second) }
    d.finish(&b)
  }

  /// Applies `body` to each chunk of one source.
  @inline(__always) static func mapChunks<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ body: (inout B, B.Chunk) -> B.Chunk
  ) {
    let x0 = x.read(&b, 0)
    if D.chunks == 1 { return write(&b, d, body(&b, x0), x0) }
    let x1 = x.read(&b, 1)
    let first = body(&b, x0)
    write(&b, d, first, body(&b, x1))
  }

  /// Applies `body` to each pair of chunks of two sources.
  @inline(__always) static func mapChunks<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y, _ body: (inout B, B.Chunk, B.Chunk) -> B.Chunk
  ) {
    let y0 = y.read(&b, 0)
    let x0 = x.read(&b, 0)
    if D.chunks == 1 { return write(&b, d, body(&b, x0, y0), x0) }
    let y1 = y.read(&b, 1)
    let x1 = x.read(&b, 1)
    let first = body(&b, x0, y0)
    write(&b, d, first, body(&b, x1, y1))
  }

  /// Applies `body` to the first chunks of two sources: scalar instructions.
  @inline(__always) static func mapScalar<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y, _ body: (inout B, B.Chunk, B.Chunk) -> B.Chunk
  ) {
    let y0 = y.read(&b, 0)
    let x0 = x.read(&b, 0)
    let result = body(&b, x0, y0)
    d.write(&b, 0, result)
    d.finish(&b)
  }

  /// ADDPS, SUBPD, MULPS, DIVPD, MINPS, MAXPD, ADDSUBPS, HADDPD, HSUBPS …
  @inline(__always)
  static func floatBinary<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ operation: FloatBinaryOperation, _ element: F.Type, _ d: D, _ x: X, _ y: Y) {
    mapChunks(&b, d, x, y) { $0.floatBinary(operation, element, $1, $2) }
  }

  /// ADDSS, SUBSD, MULSS, DIVSD, MINSS, MAXSD.
  @inline(__always)
  static func floatBinaryScalar<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ operation: FloatBinaryOperation, _ element: F.Type, _ d: D, _ x: X, _ y: Y) {
    mapScalar(&b, d, x, y) { $0.floatBinaryScalar(operation, element, $1, $2) }
  }

  /// SQRTPS, SQRTPD.
  @inline(__always) static func floatSquareRoot<B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ element: F.Type, _ d: D, _ x: X
  ) {
    mapChunks(&b, d, x) { $0.floatSquareRoot(element, $1) }
  }

  /// SQRTSS, SQRTSD.
  @inline(__always)
  static func floatSquareRootScalar<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: F.Type, _ d: D, _ x: X, _ y: Y) {
    mapScalar(&b, d, x, y) { $0.floatSquareRootScalar(element, $1, $2) }
  }

  /// RCPPS, RSQRTPS.
  @inline(__always) static func floatApproximate<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ function: FloatApproximation, _ d: D, _ x: X
  ) {
    mapChunks(&b, d, x) { $0.floatApproximate(function, $1) }
  }

  /// RCPSS, RSQRTSS.
  @inline(__always)
  static func floatApproximateScalar<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ function: FloatApproximation, _ d: D, _ x: X, _ y: Y) {
    mapScalar(&b, d, x, y) { $0.floatApproximateScalar(function, $1, $2) }
  }

  /// CMPPS, CMPPD.
  @inline(__always)
  static func floatCompare<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ predicates: FloatPredicates, _ element: F.Type, _ d: D, _ x: X, _ y: Y,
    _ predicate: Immediate<W8>
  ) {
    mapChunks(&b, d, x, y) { $0.floatCompare(predicates, element, $1, $2, predicate.byte) }
  }

  /// CMPSS, CMPSD.
  @inline(__always)
  static func floatCompareScalar<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ predicates: FloatPredicates, _ element: F.Type, _ d: D, _ x: X, _ y: Y,
    _ predicate: Immediate<W8>
  ) {
    mapScalar(&b, d, x, y) { $0.floatCompareScalar(predicates, element, $1, $2, predicate.byte) }
  }

  /// COMISS, COMISD, UCOMISS, UCOMISD.
  @inline(__always)
  static func floatCompareFlags<
    B: Backend, F: FloatElement, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ kind: FloatComparisonKind, _ element: F.Type, _ x: X, _ y: Y) {
    let y0 = y.read(&b, 0)
    let x0 = x.read(&b, 0)
    b.setFlagsAfterFloatCompare(kind, element, x0, y0)
  }

  /// ROUNDPS, ROUNDPD.
  @inline(__always) static func floatRound<B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ element: F.Type, _ d: D, _ x: X, _ control: Immediate<W8>
  ) {
    mapChunks(&b, d, x) { $0.floatRound(element, $1, control.byte) }
  }

  /// ROUNDSS, ROUNDSD.
  @inline(__always)
  static func floatRoundScalar<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: F.Type, _ d: D, _ x: X, _ y: Y, _ control: Immediate<W8>) {
    mapScalar(&b, d, x, y) { $0.floatRoundScalar(element, $1, $2, control.byte) }
  }

  /// DPPS, DPPD.
  @inline(__always)
  static func floatDotProduct<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: F.Type, _ d: D, _ x: X, _ y: Y, _ control: Immediate<W8>) {
    mapChunks(&b, d, x, y) { $0.floatDotProduct(element, $1, $2, control.byte) }
  }

  /// LDMXCSR: #GP for reserved bits.
  @inline(__always) static func loadMXCSR<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    let value = source.read(&b)
    let isReserved = b.hasReservedMXCSRBits(value)
    b.trap(if: isReserved, .generalProtection)
    b.setMXCSR(value)
  }

  /// STMXCSR.
  @inline(__always) static func storeMXCSR<B: Backend, D: Place>(_ b: inout B, _ d: D) {
    let value = b.mxcsr()
    d.write(&b, value)
  }
}

extension Immediate {
  /// The low byte: a constant of the instruction, not a guest value.
  @inline(__always) var byte: UInt8 { UInt8(truncatingIfNeeded: value) }
}
