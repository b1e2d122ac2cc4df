// Packing, unpacking, blending and shuffling of chunks. As in Interpreter+VectorArithmetic, loops over lanes
// become the host's instructions; a shuffle with a control value known only at run time is a few loads of
// single elements.

import CHost

// PERF: everything is inlined into handlers unless it says otherwise.
extension Interpreter {
  @inline(__always) public func packedPack<From: Element, To: Element>(
    _ from: From.Type, _ to: To.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    if From.Scalar.bitWidth == 16 {
      return To.Scalar.isSigned ? vt_pack_s16_s8(x, y) : vt_pack_s16_u8(x, y)
    }
    return To.Scalar.isSigned ? vt_pack_s32_s16(x, y) : vt_pack_s32_u16(x, y)
  }

  @inline(__always) public func packedUnpackLow<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk)
    -> Chunk
  {
    let a = lanes(E.self, x)
    let b = lanes(E.self, y)
    var result = E.Lanes()
    for i in 0..<E.Lanes.scalarCount / 2 {
      result[2 &* i] = a[i]
      result[2 &* i &+ 1] = b[i]
    }
    return packed(E.self, result)
  }

  @inline(__always) public func packedUnpackHigh<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk)
    -> Chunk
  {
    let a = lanes(E.self, x)
    let b = lanes(E.self, y)
    let half = E.Lanes.scalarCount / 2
    var result = E.Lanes()
    for i in 0..<half {
      result[2 &* i] = a[half &+ i]
      result[2 &* i &+ 1] = b[half &+ i]
    }
    return packed(E.self, result)
  }

  @inline(__always) public func packedDuplicateEven<E: Element>(_ element: E.Type, _ x: Chunk) -> Chunk {
    let a = lanes(E.self, x)
    var result = E.Lanes()
    for i in 0..<E.Lanes.scalarCount { result[i] = a[i & ~1] }
    return packed(E.self, result)
  }

  @inline(__always) public func packedDuplicateOdd<E: Element>(_ element: E.Type, _ x: Chunk) -> Chunk {
    let a = lanes(E.self, x)
    var result = E.Lanes()
    for i in 0..<E.Lanes.scalarCount { result[i] = a[i | 1] }
    return packed(E.self, result)
  }

  @inline(__always) public func packedExtend<From: Element, To: Element>(
    _ from: From.Type, _ to: To.Type, _ x: Chunk, part: Int
  ) -> Chunk {
    let a = lanes(From.self, x)
    var result = To.Lanes()
    let count = To.Lanes.scalarCount
    for i in 0..<count { result[i] = To.Scalar(truncatingIfNeeded: a[part &* count &+ i]) }
    return packed(To.self, result)
  }

  @inline(__always) public func packedBlend<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk, _ control: UInt64
  ) -> Chunk {
    let a = lanes(E.self, x)
    let b = lanes(E.self, y)
    var result = E.Lanes()
    for i in 0..<E.Lanes.scalarCount { result[i] = control &>> UInt64(i) & 1 != 0 ? b[i] : a[i] }
    return packed(E.self, result)
  }

  @inline(__always) public func packedBlendVariable<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk, _ mask: Chunk
  ) -> Chunk {
    let a = lanes(E.self, x)
    let b = lanes(E.self, y)
    let m = lanes(E.self, mask)
    let top: E.Scalar = 1 &<< E.Scalar(truncatingIfNeeded: E.Scalar.bitWidth &- 1)
    var result = E.Lanes()
    for i in 0..<E.Lanes.scalarCount { result[i] = m[i] & top != 0 ? b[i] : a[i] }
    return packed(E.self, result)
  }

  // MARK: Shuffles

  /// The two bits of `control` for element `i`.
  @inline(__always) func choice(_ control: UInt64, _ i: Int) -> Int {
    Int(truncatingIfNeeded: control &>> UInt64(2 &* i)) & 3
  }

  @inline(__always) public func packedShuffleDoublewords(_ x: Chunk, _ control: UInt64) -> Chunk {
    let a = lanes(U32.self, x)
    var result = SIMD4<UInt32>()
    for i in 0..<4 { result[i] = a[choice(control, i)] }
    return packed(U32.self, result)
  }

  @inline(__always) public func packedShuffleLowWords(_ x: Chunk, _ control: UInt64) -> Chunk {
    let a = lanes(U16.self, x)
    var result = a
    for i in 0..<4 { result[i] = a[choice(control, i)] }
    return packed(U16.self, result)
  }

  @inline(__always) public func packedShuffleHighWords(_ x: Chunk, _ control: UInt64) -> Chunk {
    let a = lanes(U16.self, x)
    var result = a
    for i in 0..<4 { result[4 &+ i] = a[4 &+ choice(control, i)] }
    return packed(U16.self, result)
  }

  @inline(__always) public func packedShuffleSingle(_ x: Chunk, _ y: Chunk, _ control: UInt64) -> Chunk {
    let a = lanes(U32.self, x)
    let b = lanes(U32.self, y)
    var result = SIMD4<UInt32>()
    for i in 0..<2 {
      result[i] = a[choice(control, i)]
      result[2 &+ i] = b[choice(control, 2 &+ i)]
    }
    return packed(U32.self, result)
  }

  @inline(__always) public func packedShuffleDouble(_ x: Chunk, _ y: Chunk, _ control: UInt64) -> Chunk {
    Chunk(control & 1 == 0 ? x[0] : x[1], control & 2 == 0 ? y[0] : y[1])
  }

  @inline(__always) public func packedShuffleBytes(_ x: Chunk, _ control: Chunk) -> Chunk {
    let a = lanes(U8.self, x)
    let c = lanes(U8.self, control)
    var result = SIMD16<UInt8>()
    for i in 0..<16 { result[i] = a[Int(c[i] & 15)] }
    // Indices with the top bit set give zero.
    let keep = packedCompareGreater(S8.self, control, Chunk(repeating: ~0))
    return packed(U8.self, result) & keep
  }

  @inline(__always) public func packedPermuteVariable<E: Element>(
    _ element: E.Type, _ x: Chunk, _ control: Chunk
  ) -> Chunk {
    if E.Scalar.bitWidth == 64 {
      return Chunk(control[0] & 2 == 0 ? x[0] : x[1], control[1] & 2 == 0 ? x[0] : x[1])
    }
    let a = lanes(U32.self, x)
    let c = lanes(U32.self, control)
    var result = SIMD4<UInt32>()
    for i in 0..<4 { result[i] = a[Int(c[i] & 3)] }
    return packed(U32.self, result)
  }

  @inline(__always) public func packedAlignRight(high: Chunk, low: Chunk, _ count: UInt64) -> Chunk {
    let bits = UInt128(truncatingIfNeeded: (count & 15) &* 8)
    if count >= 32 { return Chunk() }
    if count >= 16 { return Chunk(wide: high.wide &>> bits) }
    if bits == 0 { return low }
    return Chunk(wide: low.wide &>> bits | high.wide &<< (128 &- bits))
  }

  @inline(__always) public func insertSingle(_ x: Chunk, _ y: Chunk, _ control: UInt64) -> Chunk {
    var result = lanes(U32.self, x)
    result[choice(control, 2)] = lanes(U32.self, y)[choice(control, 3)]
    for i in 0..<4 where control &>> UInt64(i) & 1 != 0 { result[i] = 0 }
    return packed(U32.self, result)
  }

  @inline(__always) public func permuteQuadwords(low: Chunk, high: Chunk, _ control: UInt64) -> Chunk {
    let all = SIMD4<UInt64>(lowHalf: low, highHalf: high)
    return Chunk(all[choice(control, 0)], all[choice(control, 1)])
  }

  @inline(__always) public func permuteDoublewords(low: Chunk, high: Chunk, _ indices: Chunk) -> Chunk {
    let all = SIMD8<UInt32>(lowHalf: lanes(U32.self, low), highHalf: lanes(U32.self, high))
    let index = lanes(U32.self, indices)
    var result = SIMD4<UInt32>()
    for i in 0..<4 { result[i] = all[Int(index[i] & 7)] }
    return packed(U32.self, result)
  }
}
