// Conversions, rounding, dot products and fused operations of the interpreter on an x86-64 host; see
// Interpreter+FloatHost.swift.

#if arch(x86_64) && !SOFT_FLOAT
  import CHost

  extension Interpreter {
    // PERF: everything here must vanish into handlers.
    @inline(__always) public func floatFromInteger<F: FloatElement, W: Width>(
      _ element: F.Type, _ width: W.Type, _ x: Chunk, _ value: UInt64
    ) -> Chunk {
      markFloat()
      if W.bits == 32 {
        let narrow = UInt32(truncatingIfNeeded: value)
        return F.width == 32 ? vt_cvtsi2ss32(x, narrow) : vt_cvtsi2sd32(x, narrow)
      }
      return F.width == 32 ? vt_cvtsi2ss64(x, value) : vt_cvtsi2sd64(x, value)
    }

    @inline(__always) public func floatToInteger<F: FloatElement, W: Width>(
      _ rounding: FloatIntegerRounding, _ element: F.Type, _ width: W.Type, _ x: Chunk
    ) -> UInt64 {
      markFloat()
      let single = F.width == 32
      switch (rounding, W.bits == 32) {
      case (.rounded, true): return UInt64(single ? vt_cvtss2si32(x) : vt_cvtsd2si32(x))
      case (.rounded, false): return single ? vt_cvtss2si64(x) : vt_cvtsd2si64(x)
      case (.truncated, true): return UInt64(single ? vt_cvttss2si32(x) : vt_cvttsd2si32(x))
      case (.truncated, false): return single ? vt_cvttss2si64(x) : vt_cvttsd2si64(x)
      }
    }

    @inline(__always) public func floatConvertScalar<From: FloatElement, To: FloatElement>(
      _ from: From.Type, _ to: To.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      markFloat()
      return From.width == 32 ? vt_cvtss2sd(x, y) : vt_cvtsd2ss(x, y)
    }

    @inline(__always) public func floatConvert(_ conversion: FloatConversion, _ x: Chunk) -> Chunk {
      markFloat()
      switch conversion {
      case .int32ToSingle: return vt_cvtdq2ps(x)
      case .singleToInt32: return vt_cvtps2dq(x)
      case .singleToInt32Truncated: return vt_cvttps2dq(x)
      case .int32ToDouble: return vt_cvtdq2pd(x)
      case .singleToDouble: return vt_cvtps2pd(x)
      case .doubleToInt32: return vt_cvtpd2dq(x)
      case .doubleToInt32Truncated: return vt_cvttpd2dq(x)
      case .doubleToSingle: return vt_cvtpd2ps(x)
      case .halfToSingle:
        guard hostHas(VT_HOST_F16C) else { return portableConvert(conversion, x) }
        return vt_vcvtph2ps(x)
      }
    }

    @inline(__always) public func floatToHalf(_ x: Chunk, _ control: UInt8) -> Chunk {
      guard hostHas(VT_HOST_F16C) else { return portableToHalf(x, control) }
      markFloat()
      return vt_vcvtps2ph(x, control)
    }

    @inline(__always) public func floatRound<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ control: UInt8
    ) -> Chunk {
      guard hostHas(VT_HOST_SSE41) else {
        return portableRound(.packed(element), x, x, control)
      }
      markFloat()
      return F.width == 32 ? vt_roundps(x, control) : vt_roundpd(x, control)
    }

    @inline(__always) public func floatRoundScalar<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk, _ control: UInt8
    ) -> Chunk {
      guard hostHas(VT_HOST_SSE41) else {
        return portableRound(.scalar(element), x, y, control)
      }
      markFloat()
      return F.width == 32 ? vt_roundss(x, y, control) : vt_roundsd(x, y, control)
    }

    @inline(__always) public func floatDotProduct<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk, _ control: UInt8
    ) -> Chunk {
      guard hostHas(VT_HOST_SSE41) else {
        return portableDotProduct(F.format, x, y, control)
      }
      markFloat()
      let terms = control &>> 4
      // The instruction is asked for the sum in every element; the low bits of `control` then choose.
      let sum = F.width == 32 ? vt_dpps(x, y, terms) : vt_dppd(x, y, terms)
      return sum & SoftVector.elementMask(F.width, control)
    }

    @inline(__always) public var hasFusedMultiply: Bool { hostHas(VT_HOST_FMA) }

    @inline(__always) public func fusedMultiply<F: FloatElement>(
      _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
    ) -> Chunk {
      markFloat()
      return F.width == 32 ? fusedSingle(form, operation, x, y, z) : fusedDouble(form, operation, x, y, z)
    }

    @inline(__always) public func fusedMultiplyScalar<F: FloatElement>(
      _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
    ) -> Chunk {
      markFloat()
      let single = F.width == 32
      switch (operation, form) {
      case (.add, .form132): return single ? vt_vfmadd132ss(x, y, z) : vt_vfmadd132sd(x, y, z)
      case (.add, .form213): return single ? vt_vfmadd213ss(x, y, z) : vt_vfmadd213sd(x, y, z)
      case (.add, .form231): return single ? vt_vfmadd231ss(x, y, z) : vt_vfmadd231sd(x, y, z)
      case (.subtract, .form132): return single ? vt_vfmsub132ss(x, y, z) : vt_vfmsub132sd(x, y, z)
      case (.subtract, .form213): return single ? vt_vfmsub213ss(x, y, z) : vt_vfmsub213sd(x, y, z)
      case (.subtract, .form231): return single ? vt_vfmsub231ss(x, y, z) : vt_vfmsub231sd(x, y, z)
      case (.negatedAdd, .form132): return single ? vt_vfnmadd132ss(x, y, z) : vt_vfnmadd132sd(x, y, z)
      case (.negatedAdd, .form213): return single ? vt_vfnmadd213ss(x, y, z) : vt_vfnmadd213sd(x, y, z)
      case (.negatedAdd, .form231): return single ? vt_vfnmadd231ss(x, y, z) : vt_vfnmadd231sd(x, y, z)
      case (.negatedSubtract, .form132): return single ? vt_vfnmsub132ss(x, y, z) : vt_vfnmsub132sd(x, y, z)
      case (.negatedSubtract, .form213): return single ? vt_vfnmsub213ss(x, y, z) : vt_vfnmsub213sd(x, y, z)
      case (.negatedSubtract, .form231): return single ? vt_vfnmsub231ss(x, y, z) : vt_vfnmsub231sd(x, y, z)
      case (.addSubtract, _), (.subtractAdd, _): return x  // there are no such instructions
      }
    }

    @inline(__always) private func fusedSingle(
      _ form: FusedForm, _ operation: FusedOperation, _ x: Chunk, _ y: Chunk, _ z: Chunk
    ) -> Chunk {
      switch (operation, form) {
      case (.add, .form132): return vt_vfmadd132ps(x, y, z)
      case (.add, .form213): return vt_vfmadd213ps(x, y, z)
      case (.add, .form231): return vt_vfmadd231ps(x, y, z)
      case (.subtract, .form132): return vt_vfmsub132ps(x, y, z)
      case (.subtract, .form213): return vt_vfmsub213ps(x, y, z)
      case (.subtract, .form231): return vt_vfmsub231ps(x, y, z)
      case (.negatedAdd, .form132): return vt_vfnmadd132ps(x, y, z)
      case (.negatedAdd, .form213): return vt_vfnmadd213ps(x, y, z)
      case (.negatedAdd, .form231): return vt_vfnmadd231ps(x, y, z)
      case (.negatedSubtract, .form132): return vt_vfnmsub132ps(x, y, z)
      case (.negatedSubtract, .form213): return vt_vfnmsub213ps(x, y, z)
      case (.negatedSubtract, .form231): return vt_vfnmsub231ps(x, y, z)
      case (.addSubtract, .form132): return vt_vfmaddsub132ps(x, y, z)
      case (.addSubtract, .form213): return vt_vfmaddsub213ps(x, y, z)
      case (.addSubtract, .form231): return vt_vfmaddsub231ps(x, y, z)
      case (.subtractAdd, .form132): return vt_vfmsubadd132ps(x, y, z)
      case (.subtractAdd, .form213): return vt_vfmsubadd213ps(x, y, z)
      case (.subtractAdd, .form231): return vt_vfmsubadd231ps(x, y, z)
      }
    }

    @inline(__always) private func fusedDouble(
      _ form: FusedForm, _ operation: FusedOperation, _ x: Chunk, _ y: Chunk, _ z: Chunk
    ) -> Chunk {
      switch (operation, form) {
      case (.add, .form132): return vt_vfmadd132pd(x, y, z)
      case (.add, .form213): return vt_vfmadd213pd(x, y, z)
      case (.add, .form231): return vt_vfmadd231pd(x, y, z)
      case (.subtract, .form132): return vt_vfmsub132pd(x, y, z)
      case (.subtract, .form213): return vt_vfmsub213pd(x, y, z)
      case (.subtract, .form231): return vt_vfmsub231pd(x, y, z)
      case (.negatedAdd, .form132): return vt_vfnmadd132pd(x, y, z)
      case (.negatedAdd, .form213): return vt_vfnmadd213pd(x, y, z)
      case (.negatedAdd, .form231): return vt_vfnmadd231pd(x, y, z)
      case (.negatedSubtract, .form132): return vt_vfnmsub132pd(x, y, z)
      case (.negatedSubtract, .form213): return vt_vfnmsub213pd(x, y, z)
      case (.negatedSubtract, .form231): return vt_vfnmsub231pd(x, y, z)
      case (.addSubtract, .form132): return vt_vfmaddsub132pd(x, y, z)
      case (.addSubtract, .form213): return vt_vfmaddsub213pd(x, y, z)
      case (.addSubtract, .form231): return vt_vfmaddsub231pd(x, y, z)
      case (.subtractAdd, .form132): return vt_vfmsubadd132pd(x, y, z)
      case (.subtractAdd, .form213): return vt_vfmsubadd213pd(x, y, z)
      case (.subtractAdd, .form231): return vt_vfmsubadd231pd(x, y, z)
      }
    }
  }
#endif
