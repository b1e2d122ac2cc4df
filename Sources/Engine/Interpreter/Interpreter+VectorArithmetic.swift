// Packed integer arithmetic on chunks. Most functions are plain loops over lanes: the optimiser turns each
// into the host's vector instruction, on x86-64 and on arm64 (measured: 8 to 15 instructions a handler).
// Those which it does not recognise use CHost/vector.h. Long ones are calls, so that handlers stay small.

import CHost

// PERF: everything is inlined into handlers unless it says otherwise.
extension Interpreter {

  @inline(__always) public func vectorAnd(_ x: Chunk, _ y: Chunk) -> Chunk { x & y }
  @inline(__always) public func vectorAndNot(_ x: Chunk, _ y: Chunk) -> Chunk { ~x & y }
  @inline(__always) public func vectorOr(_ x: Chunk, _ y: Chunk) -> Chunk { x | y }
  @inline(__always) public func vectorXor(_ x: Chunk, _ y: Chunk) -> Chunk { x ^ y }

  /// Applies `body` to each pair of elements.
  @inline(__always) func zip<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk, _ body: (E.Scalar, E.Scalar) -> E.Scalar
  ) -> Chunk {
    let a = lanes(E.self, x)
    let b = lanes(E.self, y)
    var result = E.Lanes()
    for i in 0..<E.Lanes.scalarCount { result[i] = body(a[i], b[i]) }
    return packed(E.self, result)
  }

  @inline(__always) public func packedAdd<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk {
    zip(E.self, x, y) { $0 &+ $1 }
  }

  @inline(__always) public func packedSubtract<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  {
    zip(E.self, x, y) { $0 &- $1 }
  }

  @inline(__always) public func packedAddSaturating<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    if E.Scalar.isSigned {
      return E.Scalar.bitWidth == 8 ? vt_add_saturating_s8(x, y) : vt_add_saturating_s16(x, y)
    }
    return E.Scalar.bitWidth == 8 ? vt_add_saturating_u8(x, y) : vt_add_saturating_u16(x, y)
  }

  @inline(__always) public func packedSubtractSaturating<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    if E.Scalar.isSigned {
      return E.Scalar.bitWidth == 8 ? vt_subtract_saturating_s8(x, y) : vt_subtract_saturating_s16(x, y)
    }
    return E.Scalar.bitWidth == 8 ? vt_subtract_saturating_u8(x, y) : vt_subtract_saturating_u16(x, y)
  }

  @inline(__always) public func packedMultiplyLow<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    zip(E.self, x, y) { $0 &* $1 }
  }

  @inline(__always) public func packedMultiplyHigh<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    zip(E.self, x, y) {
      let product = E.Wide(truncatingIfNeeded: $0) &* E.Wide(truncatingIfNeeded: $1)
      return E.Scalar(truncatingIfNeeded: product &>> E.Wide(truncatingIfNeeded: E.Scalar.bitWidth))
    }
  }

  @inline(__always) public func packedMultiplyEven<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    let a = lanes(E.self, x)
    let b = lanes(E.self, y)
    var result = Chunk()
    for i in 0..<2 {
      let product = Int64(truncatingIfNeeded: a[2 &* i]) &* Int64(truncatingIfNeeded: b[2 &* i])
      result[i] = UInt64(bitPattern: product)
    }
    return result
  }

  @inline(__always) public func packedMultiplyHighRounding(_ x: Chunk, _ y: Chunk) -> Chunk {
    zip(S16.self, x, y) {
      let product = Int32($0) &* Int32($1)
      return Int16(truncatingIfNeeded: ((product &>> 14) &+ 1) &>> 1)
    }
  }

  @inline(__always) public func packedMultiplyAddWords(_ x: Chunk, _ y: Chunk) -> Chunk {
    let a = lanes(S16.self, x)
    let b = lanes(S16.self, y)
    var result = SIMD4<Int32>()
    for i in 0..<4 {
      let even = Int32(a[2 &* i]) &* Int32(b[2 &* i])
      let odd = Int32(a[2 &* i &+ 1]) &* Int32(b[2 &* i &+ 1])
      result[i] = even &+ odd
    }
    return packed(S32.self, result)
  }

  @inline(__always) public func packedMultiplyAddBytes(_ x: Chunk, _ y: Chunk) -> Chunk {
    let a = lanes(U8.self, x)
    let b = lanes(S8.self, y)
    var even = SIMD8<Int16>()
    var odd = SIMD8<Int16>()
    for i in 0..<8 {
      even[i] = Int16(a[2 &* i]) &* Int16(b[2 &* i])
      odd[i] = Int16(a[2 &* i &+ 1]) &* Int16(b[2 &* i &+ 1])
    }
    return vt_add_saturating_s16(packed(S16.self, even), packed(S16.self, odd))
  }

  @inline(__always) public func packedAverage<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  {
    zip(E.self, x, y) {
      let sum = E.Wide(truncatingIfNeeded: $0) &+ E.Wide(truncatingIfNeeded: $1) &+ 1
      return E.Scalar(truncatingIfNeeded: sum &>> 1)
    }
  }

  @inline(__always) public func packedMinimum<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  {
    zip(E.self, x, y) { min($0, $1) }
  }

  @inline(__always) public func packedMaximum<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  {
    zip(E.self, x, y) { max($0, $1) }
  }

  @inline(__always) public func packedAbsolute<E: Element>(_ element: E.Type, _ x: Chunk) -> Chunk {
    zip(E.self, x, x) { value, _ in value < 0 ? 0 &- value : value }
  }

  @inline(__always) public func packedSign<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk {
    zip(E.self, x, y) { value, sign in sign < 0 ? 0 &- value : (sign == 0 ? 0 : value) }
  }

  @inline(__always) public func packedSumAbsoluteDifferences(_ x: Chunk, _ y: Chunk) -> Chunk {
    let a = lanes(U8.self, x)
    let b = lanes(U8.self, y)
    var result = Chunk()
    for half in 0..<2 {
      var sum: UInt64 = 0
      for i in 0..<8 {
        let p = a[8 &* half &+ i]
        let q = b[8 &* half &+ i]
        sum &+= UInt64(p > q ? p &- q : q &- p)
      }
      result[half] = sum
    }
    return result
  }

  @inline(never) public func packedMultipleSumAbsoluteDifferences(
    _ x: Chunk, _ y: Chunk, _ control: UInt64
  ) -> Chunk {
    let a = lanes(U8.self, x)
    let b = lanes(U8.self, y)
    let from = Int(truncatingIfNeeded: control &>> 2 & 1) &* 4
    let block = Int(truncatingIfNeeded: control & 3) &* 4
    var result = SIMD8<UInt16>()
    for i in 0..<8 {
      var sum: UInt16 = 0
      for j in 0..<4 {
        let p = a[from &+ i &+ j]
        let q = b[block &+ j]
        sum &+= UInt16(p > q ? p &- q : q &- p)
      }
      result[i] = sum
    }
    return packed(U16.self, result)
  }

  @inline(never) public func packedMinimumPosition(_ x: Chunk) -> Chunk {
    let a = lanes(U16.self, x)
    var best = a[0]
    var position: UInt64 = 0
    for i in 1..<8 where a[i] < best {
      best = a[i]
      position = UInt64(i)
    }
    return Chunk(UInt64(best) | position &<< 16, 0)
  }

  @inline(__always) public func packedHorizontalAdd<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    let (even, odd) = neighbours(E.self, x, y)
    // Saturating (PHADDSW) when the element type is signed.
    return E.Scalar.isSigned ? vt_add_saturating_s16(even, odd) : packedAdd(E.self, even, odd)
  }

  @inline(__always) public func packedHorizontalSubtract<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    let (even, odd) = neighbours(E.self, x, y)
    return E.Scalar.isSigned ? vt_subtract_saturating_s16(even, odd) : packedSubtract(E.self, even, odd)
  }

  /// The even and the odd elements of `x` followed by those of `y`.
  @inline(__always) func neighbours<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> (even: Chunk, odd: Chunk) {
    let a = lanes(E.self, x)
    let b = lanes(E.self, y)
    let half = E.Lanes.scalarCount / 2
    var even = E.Lanes()
    var odd = E.Lanes()
    for i in 0..<half {
      even[i] = a[2 &* i]
      even[i &+ half] = b[2 &* i]
      odd[i] = a[2 &* i &+ 1]
      odd[i &+ half] = b[2 &* i &+ 1]
    }
    return (packed(E.self, even), packed(E.self, odd))
  }

  @inline(__always) public func packedCompareEqual<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    zip(E.self, x, y) { 0 &- ($0 == $1 ? 1 : 0) }
  }

  @inline(__always) public func packedCompareGreater<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    zip(E.self, x, y) { 0 &- ($0 > $1 ? 1 : 0) }
  }

  // MARK: Shifts

  @inline(__always) public func packedShiftLeft<E: Element>(
    _ element: E.Type, _ x: Chunk, _ count: UInt64
  ) -> Chunk {
    let amount = E.Scalar(truncatingIfNeeded: count)
    let shifted = zip(E.self, x, x) { value, _ in value &<< amount }
    return count < UInt64(E.Scalar.bitWidth) ? shifted : Chunk()
  }

  @inline(__always) public func packedShiftRight<E: Element>(
    _ element: E.Type, _ x: Chunk, _ count: UInt64
  ) -> Chunk {
    let width = UInt64(E.Scalar.bitWidth)
    if E.Scalar.isSigned {
      let amount = E.Scalar(truncatingIfNeeded: min(count, width &- 1))
      return zip(E.self, x, x) { value, _ in value &>> amount }
    }
    let amount = E.Scalar(truncatingIfNeeded: count)
    let shifted = zip(E.self, x, x) { value, _ in value &>> amount }
    return count < width ? shifted : Chunk()
  }

  @inline(__always) public func packedShiftLeftVariable<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    if E.Scalar.bitWidth == 32 {
      // Written as lanes, LLVM makes powers of two by a float conversion, which leaves its flags in the guest's MXCSR.
      return Chunk(vt_shift_left_pair(x[0], y[0]), vt_shift_left_pair(x[1], y[1]))
    }
    let width = E.Scalar(truncatingIfNeeded: E.Scalar.bitWidth)
    return zip(E.self, x, y) { $1 < width ? $0 &<< $1 : 0 }
  }

  @inline(__always) public func packedShiftRightVariable<E: Element>(
    _ element: E.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    let width = E.Scalar(truncatingIfNeeded: E.Scalar.bitWidth)
    if E.Scalar.isSigned {
      // A negative count is a large unsigned one.
      return zip(E.self, x, y) { $0 &>> ($1 >= 0 && $1 < width ? $1 : width &- 1) }
    }
    return zip(E.self, x, y) { $1 < width ? $0 &>> $1 : 0 }
  }

  @inline(__always) public func vectorShiftLeftBytes(_ x: Chunk, _ count: UInt64) -> Chunk {
    count < 16 ? Chunk(wide: x.wide &<< UInt128(truncatingIfNeeded: count &* 8)) : Chunk()
  }

  @inline(__always) public func vectorShiftRightBytes(_ x: Chunk, _ count: UInt64) -> Chunk {
    count < 16 ? Chunk(wide: x.wide &>> UInt128(truncatingIfNeeded: count &* 8)) : Chunk()
  }
}

extension SIMD2<UInt64> {
  // PERF: a pair of registers either way.
  /// The chunk as one number.
  @inline(__always) var wide: UInt128 {
    UInt128(truncatingIfNeeded: self[0]) | UInt128(truncatingIfNeeded: self[1]) &<< 64
  }

  @inline(__always) init(wide: UInt128) {
    self.init(UInt64(truncatingIfNeeded: wide), UInt64(truncatingIfNeeded: wide &>> 64))
  }
}
