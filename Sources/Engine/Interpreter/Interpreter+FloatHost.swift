// Floating-point primitives of the interpreter on an x86-64 host: the very instructions, executed under the
// guest's MXCSR (CHost/float.h). Extensions that the host may lack are asked for first, the portable
// arithmetic stands in for them. With SOFT_FLOAT defined the portable conformance is compiled instead, so
// that it can be tested on silicon.

#if arch(x86_64) && !SOFT_FLOAT
  import CHost

  extension Interpreter {
    // PERF: everything here must vanish into handlers; the switches over operation and element fold at
    // compile time.
    /// Notes the operation for the host fault that an unmasked exception raises.
    @inline(__always) func markFloat() { cpu.pointee.operation = UnsafeRawPointer(operation) }

    @inline(__always) func hostHas(_ feature: UInt32) -> Bool {
      _fastPath(cpu.pointee.host_features & feature != 0)
    }

    @inline(__always) public func floatBinary<F: FloatElement>(
      _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      markFloat()
      let single = F.width == 32
      switch operation {
      case .add: return single ? vt_addps(x, y) : vt_addpd(x, y)
      case .subtract: return single ? vt_subps(x, y) : vt_subpd(x, y)
      case .multiply: return single ? vt_mulps(x, y) : vt_mulpd(x, y)
      case .divide: return single ? vt_divps(x, y) : vt_divpd(x, y)
      case .minimum: return single ? vt_minps(x, y) : vt_minpd(x, y)
      case .maximum: return single ? vt_maxps(x, y) : vt_maxpd(x, y)
      case .addSubtract, .horizontalAdd, .horizontalSubtract: return floatSSE3(operation, element, x, y)
      }
    }

    @inline(__always) func floatSSE3<F: FloatElement>(
      _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      guard hostHas(VT_HOST_SSE3) else {
        return portableBinary(operation, .packed(element), x, y)
      }
      let single = F.width == 32
      switch operation {
      case .addSubtract: return single ? vt_addsubps(x, y) : vt_addsubpd(x, y)
      case .horizontalAdd: return single ? vt_haddps(x, y) : vt_haddpd(x, y)
      default: return single ? vt_hsubps(x, y) : vt_hsubpd(x, y)
      }
    }

    @inline(__always) public func floatBinaryScalar<F: FloatElement>(
      _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      markFloat()
      let single = F.width == 32
      switch operation {
      case .add: return single ? vt_addss(x, y) : vt_addsd(x, y)
      case .subtract: return single ? vt_subss(x, y) : vt_subsd(x, y)
      case .multiply: return single ? vt_mulss(x, y) : vt_mulsd(x, y)
      case .divide: return single ? vt_divss(x, y) : vt_divsd(x, y)
      case .minimum: return single ? vt_minss(x, y) : vt_minsd(x, y)
      case .maximum: return single ? vt_maxss(x, y) : vt_maxsd(x, y)
      case .addSubtract, .horizontalAdd, .horizontalSubtract: return x  // there are no such instructions
      }
    }

    @inline(__always) public func floatSquareRoot<F: FloatElement>(_ element: F.Type, _ x: Chunk) -> Chunk {
      markFloat()
      return F.width == 32 ? vt_sqrtps(x) : vt_sqrtpd(x)
    }

    @inline(__always) public func floatSquareRootScalar<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      markFloat()
      return F.width == 32 ? vt_sqrtss(x, y) : vt_sqrtsd(x, y)
    }

    @inline(__always) public func floatApproximate(_ function: FloatApproximation, _ x: Chunk) -> Chunk {
      function == .reciprocal ? vt_rcpps(x) : vt_rsqrtps(x)
    }

    @inline(__always) public func floatApproximateScalar(
      _ function: FloatApproximation, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      function == .reciprocal ? vt_rcpss(x, y) : vt_rsqrtss(x, y)
    }

    @inline(__always) public func floatCompare<F: FloatElement>(
      _ predicates: FloatPredicates, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ predicate: UInt8
    ) -> Chunk {
      markFloat()
      if predicates == .eight { return F.width == 32 ? vt_cmpps(x, y, predicate) : vt_cmppd(x, y, predicate) }
      guard hostHas(VT_HOST_AVX) else {
        return portableCompare(.packed(element), x, y, predicate & 31)
      }
      return F.width == 32 ? vt_vcmpps(x, y, predicate) : vt_vcmppd(x, y, predicate)
    }

    @inline(__always) public func floatCompareScalar<F: FloatElement>(
      _ predicates: FloatPredicates, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ predicate: UInt8
    ) -> Chunk {
      markFloat()
      if predicates == .eight { return F.width == 32 ? vt_cmpss(x, y, predicate) : vt_cmpsd(x, y, predicate) }
      guard hostHas(VT_HOST_AVX) else {
        return portableCompare(.scalar(element), x, y, predicate & 31)
      }
      return F.width == 32 ? vt_vcmpss(x, y, predicate) : vt_vcmpsd(x, y, predicate)
    }

    @inline(__always) public func setFlagsAfterFloatCompare<F: FloatElement>(
      _ kind: FloatComparisonKind, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) {
      markFloat()
      let flags: vt_float_flags
      switch kind {
      case .quiet: flags = F.width == 32 ? vt_ucomiss(x, y) : vt_ucomisd(x, y)
      case .signalling: flags = F.width == 32 ? vt_comiss(x, y) : vt_comisd(x, y)
      }
      setFlagsAfterFloatCompare(zero: flags.zero, carry: flags.carry)
    }
  }
#endif
