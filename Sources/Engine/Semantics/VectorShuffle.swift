// Packing, unpacking, shuffling, blending, inserting, extracting and broadcasting elements.

// PERF: semantics are inlined into the handlers made from them; nothing of the generics is left.
extension Semantics {
  @inline(__always)
  public static func packedPack<
    B: Backend, From: Element, To: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ from: From.Type, _ to: To.Type, _ d: D, _ x: X, _ y: Y) {
    zipJoined(&b, d, x, y) { $0.packedPack(From.self, To.self, $1, $2) }
  }

  @inline(__always)
  public static func packedUnpackLow<B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedUnpackLow(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedUnpackHigh<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y) {
    zip(&b, d, x, y) { b, first, second in
      if !D.isMMX { return b.packedUnpackHigh(E.self, first, second) }
      // Of 64-bit registers the interleaved high halves are the upper half of all that interleaves.
      let all = b.packedUnpackLow(E.self, first, second)
      return b.packedUnpackHigh(U64.self, all, all)
    }
  }

  @inline(__always)
  public static func packedDuplicateEven<B: Backend, E: Element, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X
  ) {
    map(&b, d, x) { $0.packedDuplicateEven(E.self, $1) }
  }

  @inline(__always)
  public static func packedDuplicateOdd<B: Backend, E: Element, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X
  ) {
    map(&b, d, x) { $0.packedDuplicateOdd(E.self, $1) }
  }

  /// PMOVSX, PMOVZX: the source is never longer than one chunk.
  @inline(__always)
  public static func packedExtend<
    B: Backend, From: Element, To: Element, D: VectorPlace, X: VectorPlace
  >(_ b: inout B, _ from: From.Type, _ to: To.Type, _ d: D, _ x: X) {
    let source = x.read(&b, 0)
    let low = b.packedExtend(From.self, To.self, source, part: 0)
    if D.chunks == 1 { return write(&b, d, low) }
    let high = b.packedExtend(From.self, To.self, source, part: 1)
    write(&b, d, low, high)
  }

  // MARK: Blends

  /// The control has one bit an element; PBLENDW uses the same eight for both lanes.
  @inline(__always)
  public static func packedBlend<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    let low = b.packedBlend(E.self, x.read(&b, 0), y.read(&b, 0), bits)
    if D.chunks == 1 { return write(&b, d, low) }
    let highBits = b.shiftRight(bits, UInt64(E.Lanes.scalarCount & 7))
    let high = b.packedBlend(E.self, x.read(&b, 1), y.read(&b, 1), highBits)
    write(&b, d, low, high)
  }

  @inline(__always)
  public static func packedBlendVariable<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace, M: VectorPlace
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y, _ mask: M) {
    let low = b.packedBlendVariable(E.self, x.read(&b, 0), y.read(&b, 0), mask.read(&b, 0))
    if D.chunks == 1 { return write(&b, d, low) }
    let high = b.packedBlendVariable(E.self, x.read(&b, 1), y.read(&b, 1), mask.read(&b, 1))
    write(&b, d, low, high)
  }

  // MARK: Shuffles within a lane

  @inline(__always)
  public static func packedShuffleDoublewords<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ control: I
  ) {
    let bits = control.read(&b)
    map(&b, d, x) { $0.packedShuffleDoublewords($1, bits) }
  }

  @inline(__always)
  public static func packedShuffleLowWords<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ control: I
  ) {
    let bits = control.read(&b)
    map(&b, d, x) { $0.packedShuffleLowWords($1, bits) }
  }

  @inline(__always)
  public static func packedShuffleHighWords<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ control: I
  ) {
    let bits = control.read(&b)
    map(&b, d, x) { $0.packedShuffleHighWords($1, bits) }
  }

  @inline(__always)
  public static func packedShuffleSingle<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    zip(&b, d, x, y) { $0.packedShuffleSingle($1, $2, bits) }
  }

  /// SHUFPD: two bits of the control for each lane.
  @inline(__always)
  public static func packedShuffleDouble<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    let low = b.packedShuffleDouble(x.read(&b, 0), y.read(&b, 0), bits)
    if D.chunks == 1 { return write(&b, d, low) }
    let highBits = b.shiftRight(bits, 2)
    let high = b.packedShuffleDouble(x.read(&b, 1), y.read(&b, 1), highBits)
    write(&b, d, low, high)
  }

  /// VPERMILPD with an immediate: SHUFPD of a vector with itself.
  @inline(__always)
  public static func packedPermuteDouble<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ control: I
  ) {
    let bits = control.read(&b)
    let source = x.read(&b, 0)
    let low = b.packedShuffleDouble(source, source, bits)
    if D.chunks == 1 { return write(&b, d, low) }
    let highBits = b.shiftRight(bits, 2)
    let highSource = x.read(&b, 1)
    let high = b.packedShuffleDouble(highSource, highSource, highBits)
    write(&b, d, low, high)
  }

  /// PSHUFB; of an MMX register three bits of an index count.
  @inline(__always)
  public static func packedShuffleBytes<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y) {
    zip(&b, d, x, y) { b, source, control in
      if !D.isMMX { return b.packedShuffleBytes(source, control) }
      let bits = b.constant(0x8787_8787_8787_8787)
      return b.packedShuffleBytes(source, b.vectorAnd(control, b.chunk(low: bits, high: bits)))
    }
  }

  @inline(__always)
  public static func packedPermuteVariable<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.packedPermuteVariable(E.self, $1, $2) }
  }

  @inline(__always)
  public static func packedAlignRight<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ count: I) {
    let bytes = count.read(&b)
    zip(&b, d, x, y) { b, high, low in
      if !D.isMMX { return b.packedAlignRight(high: high, low: low, bytes) }
      return b.vectorShiftRightBytes(b.packedUnpackLow(U64.self, low, high), bytes)
    }
  }

  // MARK: Permutes across lanes

  /// VPERM2F128, VPERM2I128: four control bits for each result lane.
  @inline(__always)
  public static func permuteLanes<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    let lanes = (x.read(&b, 0), x.read(&b, 1), y.read(&b, 0), y.read(&b, 1))
    let low = chooseLane(&b, lanes, bits, 0)
    let high = chooseLane(&b, lanes, bits, 4)
    write(&b, d, low, high)
  }

  @inline(__always) static func chooseLane<B: Backend>(
    _ b: inout B, _ lanes: (B.Chunk, B.Chunk, B.Chunk, B.Chunk), _ control: B.Value, _ bit: Int
  ) -> B.Chunk {
    let first = b.select(control, bit: bit, lanes.1, lanes.0)
    let second = b.select(control, bit: bit + 1, b.select(control, bit: bit, lanes.3, lanes.2), first)
    let zero = b.constant(0)
    return b.select(control, bit: bit + 3, b.chunk(low: zero, high: zero), second)
  }

  /// VPERMQ, VPERMPD.
  @inline(__always) public static func permuteQuadwords<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ control: I
  ) {
    let bits = control.read(&b)
    let low = x.read(&b, 0)
    let high = x.read(&b, 1)
    let first = b.permuteQuadwords(low: low, high: high, bits)
    let second = b.permuteQuadwords(low: low, high: high, b.shiftRight(bits, 4))
    write(&b, d, first, second)
  }

  /// VPERMD, VPERMPS: `x` has the indices.
  @inline(__always)
  public static func permuteDoublewords<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    let low = y.read(&b, 0)
    let high = y.read(&b, 1)
    let first = b.permuteDoublewords(low: low, high: high, x.read(&b, 0))
    let second = b.permuteDoublewords(low: low, high: high, x.read(&b, 1))
    write(&b, d, first, second)
  }

  /// VINSERTF128, VINSERTI128.
  @inline(__always)
  public static func insertLane<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y, _ control: I
  ) {
    let bits = control.read(&b)
    let lane = y.read(&b, 0)
    let low = b.select(bits, bit: 0, x.read(&b, 0), lane)
    let high = b.select(bits, bit: 0, lane, x.read(&b, 1))
    write(&b, d, low, high)
  }

  /// VEXTRACTF128, VEXTRACTI128.
  @inline(__always) public static func extractLane<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ control: I
  ) {
    let bits = control.read(&b)
    write(&b, d, b.select(bits, bit: 0, x.read(&b, 1), x.read(&b, 0)))
  }

  // MARK: Elements

  /// PEXTR to a register, zero-extended.
  @inline(__always)
  public static func extractElement<B: Backend, E: Element, D: Place, X: VectorPlace, I: Place>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ index: I
  ) {
    let number = elementNumber(&b, X.self, index)
    d.write(&b, b.extract(E.self, x.read(&b, 0), number))
    if X.isMMX { b.enterMMX() }
  }

  /// PEXTR to memory.
  @inline(__always)
  public static func extractElement<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, I: Place
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ index: I) {
    let value = b.extract(E.self, x.read(&b, 0), index.read(&b))
    write(&b, d, b.chunk(low: value, high: b.constant(0)))
  }

  /// PINSR from a register.
  @inline(__always)
  public static func insertElement<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: Place, I: Place
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y, _ index: I) {
    let value = y.read(&b)
    let number = elementNumber(&b, X.self, index)
    write(&b, d, b.insert(E.self, x.read(&b, 0), number, value))
  }

  /// PINSR from memory.
  @inline(__always)
  public static func insertElement<
    B: Backend, E: Element, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ element: E.Type, _ d: D, _ x: X, _ y: Y, _ index: I) {
    raisePending(&b, x)
    let value = b.extract(E.self, y.read(&b, 0), b.constant(0))
    let number = elementNumber(&b, X.self, index)
    write(&b, d, b.insert(E.self, x.read(&b, 0), number, value))
  }

  /// The element that an immediate names: of an MMX register one of four words.
  @inline(__always) static func elementNumber<B: Backend, X: VectorPlace, I: Place>(
    _ b: inout B, _ vector: X.Type, _ index: I
  ) -> B.Value {
    let number = index.read(&b)
    return X.isMMX ? b.and(number, b.constant(3)) : number
  }

  /// INSERTPS from a register.
  @inline(__always)
  public static func insertSingle<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    zip(&b, d, x, y) { $0.insertSingle($1, $2, bits) }
  }

  /// INSERTPS from memory: there is no element to choose.
  @inline(__always)
  public static func insertSingleFromMemory<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ control: I) {
    let bits = b.and(control.read(&b), b.constant(0x3f))
    zip(&b, d, x, y) { $0.insertSingle($1, $2, bits) }
  }

  @inline(__always) public static func broadcast<B: Backend, E: Element, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ element: E.Type, _ d: D, _ x: X
  ) {
    let value = b.broadcast(E.self, x.read(&b, 0))
    if D.chunks == 1 { return write(&b, d, value) }
    write(&b, d, value, value)
  }

  /// VBROADCASTF128, VBROADCASTI128.
  @inline(__always) public static func broadcastLane<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    let value = x.read(&b, 0)
    write(&b, d, value, value)
  }
}
