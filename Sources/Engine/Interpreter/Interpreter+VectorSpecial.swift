// The interpreter's cryptography, checksums and string comparison: calls of the pure functions in
// Engine/Cryptography, kept out of line because each is longer than a call.

extension Interpreter {
  @inline(never) public func aesEncrypt(_ state: Chunk, _ key: Chunk, last: Bool) -> Chunk {
    let substituted = AES.shiftAndSubstitute(lanes(U8.self, state))
    return packed(U8.self, last ? substituted : AES.mixColumns(substituted)) ^ key
  }

  @inline(never) public func aesDecrypt(_ state: Chunk, _ key: Chunk, last: Bool) -> Chunk {
    let substituted = AES.inverseShiftAndSubstitute(lanes(U8.self, state))
    return packed(U8.self, last ? substituted : AES.inverseMixColumns(substituted)) ^ key
  }

  @inline(never) public func aesInverseMixColumns(_ x: Chunk) -> Chunk {
    packed(U8.self, AES.inverseMixColumns(lanes(U8.self, x)))
  }

  @inline(never) public func aesKeyGenerationAssist(_ x: Chunk, _ constant: UInt64) -> Chunk {
    packed(U32.self, AES.keyGenerationAssist(lanes(U32.self, x), UInt32(truncatingIfNeeded: constant) & 0xff))
  }

  @inline(never) public func carrylessMultiply(_ x: Chunk, _ y: Chunk, _ control: UInt64) -> Chunk {
    CarrylessProduct.multiply(control & 1 == 0 ? x[0] : x[1], control & 16 == 0 ? y[0] : y[1])
  }

  @inline(never) public func galoisMultiply(_ x: Chunk, _ y: Chunk) -> Chunk {
    packed(U8.self, GaloisField.multiply(lanes(U8.self, x), lanes(U8.self, y)))
  }

  @inline(never) public func galoisAffine(
    _ x: Chunk, _ matrix: Chunk, _ constant: UInt64, inverse: Bool
  ) -> Chunk {
    let bytes = inverse ? packed(U8.self, GaloisField.invert(lanes(U8.self, x))) : x
    return GaloisField.affine(bytes, matrix, UInt8(truncatingIfNeeded: constant))
  }

  @inline(never) public func sha1Rounds(_ state: Chunk, _ words: Chunk, _ function: UInt64) -> Chunk {
    packed(U32.self, SHA.sha1Rounds(lanes(U32.self, state), lanes(U32.self, words), function))
  }

  @inline(never) public func sha1NextE(_ x: Chunk, _ y: Chunk) -> Chunk {
    packed(U32.self, SHA.sha1NextE(lanes(U32.self, x), lanes(U32.self, y)))
  }

  @inline(never) public func sha1Message1(_ x: Chunk, _ y: Chunk) -> Chunk {
    packed(U32.self, SHA.sha1Message1(lanes(U32.self, x), lanes(U32.self, y)))
  }

  @inline(never) public func sha1Message2(_ x: Chunk, _ y: Chunk) -> Chunk {
    packed(U32.self, SHA.sha1Message2(lanes(U32.self, x), lanes(U32.self, y)))
  }

  @inline(never) public func sha256Rounds(_ x: Chunk, _ y: Chunk, _ words: Chunk) -> Chunk {
    packed(U32.self, SHA.sha256Rounds(lanes(U32.self, x), lanes(U32.self, y), lanes(U32.self, words)))
  }

  @inline(never) public func sha256Message1(_ x: Chunk, _ y: Chunk) -> Chunk {
    packed(U32.self, SHA.sha256Message1(lanes(U32.self, x), lanes(U32.self, y)))
  }

  @inline(never) public func sha256Message2(_ x: Chunk, _ y: Chunk) -> Chunk {
    packed(U32.self, SHA.sha256Message2(lanes(U32.self, x), lanes(U32.self, y)))
  }

  // PERF: only selects the byte count.
  @inline(__always) public func crc32<W: Width>(_ width: W.Type, _ checksum: UInt64, _ data: UInt64) -> UInt64
  {
    crc32(checksum, data, count: Int(W.bits / 8))
  }

  @inline(never) func crc32(_ checksum: UInt64, _ data: UInt64, count: Int) -> UInt64 {
    UInt64(CRC32C.update(UInt32(truncatingIfNeeded: checksum), data, count: count))
  }

  @inline(never) public func compareStrings(
    _ x: Chunk, _ y: Chunk, lengthX: UInt64, lengthY: UInt64, _ control: UInt64
  ) -> UInt64 {
    finish(
      StringComparison(
        x, y, lengthX: Int64(bitPattern: lengthX), lengthY: Int64(bitPattern: lengthY), control))
  }

  @inline(never) public func compareTerminatedStrings(_ x: Chunk, _ y: Chunk, _ control: UInt64) -> UInt64 {
    finish(StringComparison(terminated: x, y, control))
  }

  /// Sets the flags and returns IntRes2.
  func finish(_ comparison: StringComparison) -> UInt64 {
    let result = comparison.result
    setFlags(
      carry: result != 0 ? 1 : 0, zero: comparison.lengthY < comparison.count ? 1 : 0,
      sign: comparison.lengthX < comparison.count ? 1 : 0, overflow: result & 1)
    return result
  }

  public func stringIndex(_ comparison: UInt64, _ control: UInt64) -> UInt64 {
    StringComparison.index(comparison, control)
  }

  public func stringMask(_ comparison: UInt64, _ control: UInt64) -> Chunk {
    StringComparison.mask(comparison, control)
  }
}
