// Floating-point primitives of the interpreter on hosts that are not x86-64: the portable arithmetic of
// Engine/FloatingPoint under `vt_cpu_state.mxcsr`. Bit for bit the same as silicon, except RCP and RSQRT,
// whose tables differ from one processor to the next.

#if !arch(x86_64) || SOFT_FLOAT
  extension Interpreter {
    @inline(__always) public func floatBinary<F: FloatElement>(
      _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      portable { SoftVector.binary(operation, F.format, count: 128 / F.width, x, y, &$0) }
    }

    @inline(__always) public func floatBinaryScalar<F: FloatElement>(
      _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      portable { SoftVector.binary(operation, F.format, count: 1, x, y, &$0) }
    }

    @inline(__always) public func floatSquareRoot<F: FloatElement>(_ element: F.Type, _ x: Chunk) -> Chunk {
      portable { SoftVector.squareRoot(F.format, count: 128 / F.width, x, x, &$0) }
    }

    @inline(__always) public func floatSquareRootScalar<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      portable { SoftVector.squareRoot(F.format, count: 1, x, y, &$0) }
    }

    @inline(__always) public func floatApproximate(_ function: FloatApproximation, _ x: Chunk) -> Chunk {
      SoftVector.approximate(function, count: 4, x, x)
    }

    @inline(__always) public func floatApproximateScalar(
      _ function: FloatApproximation, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      SoftVector.approximate(function, count: 1, x, y)
    }

    @inline(__always) public func floatCompare<F: FloatElement>(
      _ predicates: FloatPredicates, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ predicate: UInt8
    ) -> Chunk {
      let known: UInt8 = predicates == .eight ? 7 : 31
      return portable {
        SoftVector.compare(F.format, count: 128 / F.width, x, y, predicate & known, &$0)
      }
    }

    @inline(__always) public func floatCompareScalar<F: FloatElement>(
      _ predicates: FloatPredicates, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ predicate: UInt8
    ) -> Chunk {
      let known: UInt8 = predicates == .eight ? 7 : 31
      return portable { SoftVector.compare(F.format, count: 1, x, y, predicate & known, &$0) }
    }

    @inline(__always) public func setFlagsAfterFloatCompare<F: FloatElement>(
      _ kind: FloatComparisonKind, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) {
      let relation = portable { environment in
        let first = SoftVector.value(x, 0, F.format)
        let second = SoftVector.value(y, 0, F.format)
        return environment.compare(first, second, isSignalling: kind == .signalling)
      }
      setFlagsAfterFloatCompare(
        isZero: relation == .equal || relation == .unordered,
        isCarry: relation == .less || relation == .unordered)
    }

    @inline(__always) public func floatFromInteger<F: FloatElement, W: Width>(
      _ element: F.Type, _ width: W.Type, _ x: Chunk, _ value: UInt64
    ) -> Chunk {
      let integer = Int64(truncatingIfNeeded: W.Signed(truncatingIfNeeded: value))
      return portable { SoftVector.fromInteger(F.format, x, integer, &$0) }
    }

    @inline(__always) public func floatToInteger<F: FloatElement, W: Width>(
      _ rounding: FloatIntegerRounding, _ element: F.Type, _ width: W.Type, _ x: Chunk
    ) -> UInt64 {
      portable {
        SoftVector.toInteger(rounding, F.format, width: Int(truncatingIfNeeded: W.bits), x, &$0)
      }
    }

    @inline(__always) public func floatConvertScalar<From: FloatElement, To: FloatElement>(
      _ from: From.Type, _ to: To.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      portable { SoftVector.convertScalar(From.format, To.format, x, y, &$0) }
    }

    @inline(__always) public func floatConvert(_ conversion: FloatConversion, _ x: Chunk) -> Chunk {
      portable { SoftVector.convert(conversion, x, &$0) }
    }

    @inline(__always) public func floatToHalf(_ x: Chunk, _ control: UInt8) -> Chunk {
      portable { SoftVector.toHalf(x, control, &$0) }
    }

    @inline(__always) public func floatRound<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ control: UInt8
    ) -> Chunk {
      portable { SoftVector.round(F.format, count: 128 / F.width, x, x, control, &$0) }
    }

    @inline(__always) public func floatRoundScalar<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk, _ control: UInt8
    ) -> Chunk {
      portable { SoftVector.round(F.format, count: 1, x, y, control, &$0) }
    }

    @inline(__always) public func floatDotProduct<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk, _ control: UInt8
    ) -> Chunk {
      portable { SoftVector.dotProduct(F.format, x, y, control, &$0) }
    }

    @inline(__always) public func fusedMultiply<F: FloatElement>(
      _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
    ) -> Chunk {
      portable { SoftVector.fusedMultiply(form, operation, F.format, count: 128 / F.width, x, y, z, &$0) }
    }

    @inline(__always) public func fusedMultiplyScalar<F: FloatElement>(
      _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
    ) -> Chunk {
      portable { SoftVector.fusedMultiply(form, operation, F.format, count: 1, x, y, z, &$0) }
    }
  }
#endif
