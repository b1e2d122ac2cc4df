// Conversions between integers, halves, singles and doubles. As everywhere in this family, results are
// written after the last primitive, because each may raise #XM.

extension Semantics {
  // PERF: a semantic must dissolve into its handler; this holds for all functions of this file.
  /// CVTSI2SS, CVTSI2SD with a register.
  @inline(__always)
  static func floatFromInteger<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, W: Width
  >(_ b: inout B, _ element: F.Type, _ d: D, _ x: X, _ source: Register<W>) {
    let value = source.read(&b)
    floatFromInteger(&b, element, W.self, d, x, value)
  }

  /// CVTSI2SS, CVTSI2SD with 32 bits of memory.
  @inline(__always)
  static func floatFromInteger<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace
  >(_ b: inout B, _ element: F.Type, _ d: D, _ x: X, _ source: VectorMemory<Bytes4>) {
    let address = source.address(&b)
    floatFromInteger(&b, element, W32.self, d, x, b.load(W32.self, address))
  }

  /// CVTSI2SS, CVTSI2SD with 64 bits of memory.
  @inline(__always)
  static func floatFromInteger<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace
  >(_ b: inout B, _ element: F.Type, _ d: D, _ x: X, _ source: VectorMemory<Bytes8>) {
    let address = source.address(&b)
    floatFromInteger(&b, element, W64.self, d, x, b.load(W64.self, address))
  }

  @inline(__always)
  private static func floatFromInteger<
    B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace, W: Width
  >(_ b: inout B, _ element: F.Type, _ width: W.Type, _ d: D, _ x: X, _ value: B.Value) {
    let x0 = x.read(&b, 0)
    let result = b.floatFromInteger(element, width, x0, value)
    d.write(&b, 0, result)
    d.finish(&b)
  }

  /// CVTSS2SI, CVTTSD2SI …
  @inline(__always) static func floatToInteger<B: Backend, F: FloatElement, D: Place, X: VectorPlace>(
    _ b: inout B, _ rounding: FloatIntegerRounding, _ element: F.Type, _ d: D, _ x: X
  ) {
    let x0 = x.read(&b, 0)
    let result = b.floatToInteger(rounding, element, D.Size.self, x0)
    d.write(&b, result)
  }

  /// CVTSS2SD, CVTSD2SS.
  @inline(__always)
  static func floatConvertScalar<
    B: Backend, From: FloatElement, To: FloatElement, D: VectorPlace, X: VectorPlace, Y: VectorPlace
  >(_ b: inout B, _ from: From.Type, _ to: To.Type, _ d: D, _ x: X, _ y: Y) {
    mapScalar(&b, d, x, y) { $0.floatConvertScalar(from, to, $1, $2) }
  }

  /// CVTDQ2PS, CVTPS2DQ, CVTTPS2DQ.
  @inline(__always) static func floatConvert<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ conversion: FloatConversion, _ d: D, _ x: X
  ) {
    mapChunks(&b, d, x) { $0.floatConvert(conversion, $1) }
  }

  /// CVTDQ2PD, CVTPS2PD, VCVTPH2PS: each half of the source's chunk becomes a chunk.
  @inline(__always) static func floatConvertWidening<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ conversion: FloatConversion, _ d: D, _ x: X
  ) {
    let source = x.read(&b, 0)
    let low = b.floatConvert(conversion, b.lowHalf(source))
    if D.chunks == 1 { return write(&b, d, low, low) }
    let high = b.floatConvert(conversion, b.highHalf(source))
    write(&b, d, low, high)
  }

  /// CVTPD2DQ, CVTTPD2DQ, CVTPD2PS: each chunk of the source becomes a half of the result.
  @inline(__always) static func floatConvertNarrowing<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ conversion: FloatConversion, _ d: D, _ x: X
  ) {
    if X.chunks == 1 || X.bytes == 16 {
      let source = x.read(&b, 0)
      let low = b.floatConvert(conversion, source)
      return write(&b, d, low, low)
    }
    let source0 = x.read(&b, 0)
    let source1 = x.read(&b, 1)
    let low = b.floatConvert(conversion, source0)
    let high = b.floatConvert(conversion, source1)
    let result = b.joinLowHalves(low, high)
    write(&b, d, result, result)
  }

  /// VCVTPS2PH to a register.
  @inline(__always) static func floatToHalf<B: Backend, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ d: D, _ x: X, _ control: Immediate<W8>
  ) {
    let source0 = x.read(&b, 0)
    if X.chunks == 1 {
      let result = b.floatToHalf(source0, control.byte)
      return write(&b, d, result, result)
    }
    let source1 = x.read(&b, 1)
    let low = b.floatToHalf(source0, control.byte)
    let high = b.floatToHalf(source1, control.byte)
    let result = b.joinLowHalves(low, high)
    write(&b, d, result, result)
  }

  /// VCVTPS2PH to memory: a store that faults leaves no flags behind, so it is tried before the conversion.
  @inline(__always) static func floatToHalf<B: Backend, S: VectorSize, X: VectorPlace>(
    _ b: inout B, _ d: VectorMemory<S>, _ x: X, _ control: Immediate<W8>
  ) {
    b.probeWrite(d.address(&b), count: S.bytes)
    let source0 = x.read(&b, 0)
    let low = b.floatToHalf(source0, control.byte)
    if X.chunks == 1 { return d.write(&b, 0, low) }
    let source1 = x.read(&b, 1)
    let high = b.floatToHalf(source1, control.byte)
    d.write(&b, 0, b.joinLowHalves(low, high))
  }

  /// CVTPI2PS (keeps the upper half of the destination), CVTPI2PD.
  @inline(__always) static func floatFromMMX<B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ element: F.Type, _ d: D, _ x: X
  ) {
    let source = b.lowHalf(x.read(&b, 0))
    // Silicon enters MMX state even when the conversion then raises #XM.
    if X.isMMX { b.enterMMX() }
    let result: B.Chunk
    if F.width == 64 {
      result = b.floatConvert(.int32ToDouble, source)
    } else {
      let old = d.read(&b, 0)
      result = b.replaceLowHalf(old, b.floatConvert(.int32ToSingle, source))
    }
    write(&b, d, result, result)
  }

  /// CVTPS2PI, CVTTPS2PI, CVTPD2PI, CVTTPD2PI.
  @inline(__always) static func floatToMMX<B: Backend, F: FloatElement, D: VectorPlace, X: VectorPlace>(
    _ b: inout B, _ rounding: FloatIntegerRounding, _ element: F.Type, _ d: D, _ x: X
  ) {
    // Reading the MMX register raises a pending x87 exception before anything else happens.
    _ = d.read(&b, 0)
    let source = x.read(&b, 0)
    b.enterMMX()
    let result: B.Chunk
    if F.width == 64 {
      result = b.floatConvert(rounding == .rounded ? .doubleToInt32 : .doubleToInt32Truncated, source)
    } else {
      let low = b.lowHalf(source)
      result = b.floatConvert(rounding == .rounded ? .singleToInt32 : .singleToInt32Truncated, low)
    }
    write(&b, d, result, result)
  }
}
