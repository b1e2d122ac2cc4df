// AES, carry-less products, Galois fields, SHA, CRC-32C and the string comparisons of SSE4.2.

// PERF: semantics are inlined into the handlers made from them; nothing of the generics is left.
extension Semantics {
  // MARK: AES

  @inline(__always) public static func aesEncrypt<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.aesEncrypt($1, $2, last: false) }
  }

  @inline(__always)
  public static func aesEncryptLast<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.aesEncrypt($1, $2, last: true) }
  }

  @inline(__always) public static func aesDecrypt<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.aesDecrypt($1, $2, last: false) }
  }

  @inline(__always)
  public static func aesDecryptLast<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.aesDecrypt($1, $2, last: true) }
  }

  @inline(__always) public static func aesInverseMixColumns<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X
  ) {
    map(&b, d, x) { $0.aesInverseMixColumns($1) }
  }

  @inline(__always)
  public static func aesKeyGenerationAssist<B: Backend, D: VectorPlace, X: VectorPlace, I: Place>(
    _ b: inout B, _ d: D, _ x: X, _ constant: I
  ) {
    let roundConstant = constant.read(&b)
    map(&b, d, x) { $0.aesKeyGenerationAssist($1, roundConstant) }
  }

  // MARK: Polynomials

  @inline(__always)
  public static func carrylessMultiply<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    zip(&b, d, x, y) { $0.carrylessMultiply($1, $2, bits) }
  }

  @inline(__always)
  public static func galoisMultiply<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.galoisMultiply($1, $2) }
  }

  @inline(__always)
  public static func galoisAffine<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ constant: I) {
    let bits = constant.read(&b)
    zip(&b, d, x, y) { $0.galoisAffine($1, $2, bits, inverse: false) }
  }

  @inline(__always)
  public static func galoisAffineInverse<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ constant: I) {
    let bits = constant.read(&b)
    zip(&b, d, x, y) { $0.galoisAffine($1, $2, bits, inverse: true) }
  }

  @inline(__always) public static func crc32<B: Backend, D: Place, X: Place>(_ b: inout B, _ d: D, _ x: X) {
    let data = x.read(&b)
    let checksum = d.read(&b)
    d.write(&b, b.crc32(X.Size.self, checksum, data))
  }

  // MARK: SHA

  @inline(__always)
  public static func sha1Rounds<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ function: I) {
    let number = function.read(&b)
    zip(&b, d, x, y) { $0.sha1Rounds($1, $2, number) }
  }

  @inline(__always)
  public static func sha256Rounds<
    B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace, M: VectorPlace
  >(_ b: inout B, _ d: D, _ x: X, _ y: Y, _ words: M) {
    let message = words.read(&b, 0)
    zip(&b, d, x, y) { $0.sha256Rounds($1, $2, message) }
  }

  @inline(__always) public static func sha1NextE<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.sha1NextE($1, $2) }
  }

  @inline(__always)
  public static func sha1Message1<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.sha1Message1($1, $2) }
  }

  @inline(__always)
  public static func sha1Message2<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.sha1Message2($1, $2) }
  }

  @inline(__always)
  public static func sha256Message1<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.sha256Message1($1, $2) }
  }

  @inline(__always)
  public static func sha256Message2<B: Backend, D: VectorPlace, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ y: Y
  ) {
    zip(&b, d, x, y) { $0.sha256Message2($1, $2) }
  }

  // MARK: String comparison

  /// PCMPESTRI: lengths in EAX and EDX (RAX and RDX when `W` is 64 bits wide), index to ECX.
  @inline(__always)
  public static func compareStringsIndex<
    B: Backend, W: Width, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ width: W.Type, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    let comparison = compareStrings(&b, W.self, x, y, bits)
    b.writeRegister(W32.self, 8, b.stringIndex(comparison, bits))
  }

  /// PCMPESTRM: mask to XMM0.
  @inline(__always)
  public static func compareStringsMask<
    B: Backend, W: Width, X: VectorRegister, Y: VectorPlace, I: Place
  >(_ b: inout B, _ width: W.Type, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    let comparison = compareStrings(&b, W.self, x, y, bits)
    write(&b, X(0), b.stringMask(comparison, bits))
  }

  @inline(__always) static func compareStrings<B: Backend, W: Width, X: VectorPlace, Y: VectorPlace>(
    _ b: inout B, _ width: W.Type, _ x: X, _ y: Y, _ control: B.Value
  ) -> B.Value {
    let second = y.read(&b, 0)
    let first = x.read(&b, 0)
    let lengthX = b.signExtend(W.self, W64.self, b.readRegister(W.self, 0))
    let lengthY = b.signExtend(W.self, W64.self, b.readRegister(W.self, 16))
    return b.compareStrings(first, second, lengthX: lengthX, lengthY: lengthY, control)
  }

  /// PCMPISTRI: strings end at a zero element.
  @inline(__always)
  public static func compareTerminatedStringsIndex<
    B: Backend, X: VectorPlace, Y: VectorPlace, I: Place
  >(_ b: inout B, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    let second = y.read(&b, 0)
    let comparison = b.compareTerminatedStrings(x.read(&b, 0), second, bits)
    b.writeRegister(W32.self, 8, b.stringIndex(comparison, bits))
  }

  /// PCMPISTRM.
  @inline(__always)
  public static func compareTerminatedStringsMask<
    B: Backend, X: VectorRegister, Y: VectorPlace, I: Place
  >(_ b: inout B, _ x: X, _ y: Y, _ control: I) {
    let bits = control.read(&b)
    let second = y.read(&b, 0)
    let comparison = b.compareTerminatedStrings(x.read(&b, 0), second, bits)
    write(&b, X(0), b.stringMask(comparison, bits))
  }
}
