// Floating-point primitives of the interpreter on hosts that are not x86-64: everything goes to the
// portable arithmetic. With SOFT_FLOAT defined x86-64 hosts do the same, so that it can be tested against
// silicon.

#if !arch(x86_64) || SOFT_FLOAT
  extension Interpreter {
    @inline(__always) public func floatBinary<F: FloatElement>(
      _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      portableBinary(operation, .packed(element), x, y)
    }

    @inline(__always) public func floatBinaryScalar<F: FloatElement>(
      _ operation: FloatBinaryOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      portableBinary(operation, .scalar(element), x, y)
    }

    @inline(__always) public func floatSquareRoot<F: FloatElement>(_ element: F.Type, _ x: Chunk) -> Chunk {
      portableSquareRoot(.packed(element), x, x)
    }

    @inline(__always) public func floatSquareRootScalar<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      portableSquareRoot(.scalar(element), x, y)
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
      return portableCompare(.packed(element), x, y, predicate & known)
    }

    @inline(__always) public func floatCompareScalar<F: FloatElement>(
      _ predicates: FloatPredicates, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ predicate: UInt8
    ) -> Chunk {
      let known: UInt8 = predicates == .eight ? 7 : 31
      return portableCompare(.scalar(element), x, y, predicate & known)
    }

    @inline(__always) public func setFlagsAfterFloatCompare<F: FloatElement>(
      _ kind: FloatComparisonKind, _ element: F.Type, _ x: Chunk, _ y: Chunk
    ) {
      let relation = portableRelation(F.format, x, y, isSignalling: kind == .signalling)
      setFlagsAfterFloatCompare(
        zero: relation == .equal || relation == .unordered ? 1 : 0,
        carry: relation == .less || relation == .unordered ? ~0 : 0)
    }

    @inline(__always) public func floatFromInteger<F: FloatElement, W: Width>(
      _ element: F.Type, _ width: W.Type, _ x: Chunk, _ value: UInt64
    ) -> Chunk {
      let integer = Int64(truncatingIfNeeded: W.Signed(truncatingIfNeeded: value))
      return portableFromInteger(F.format, x, integer)
    }

    @inline(__always) public func floatToInteger<F: FloatElement, W: Width>(
      _ rounding: FloatIntegerRounding, _ element: F.Type, _ width: W.Type, _ x: Chunk
    ) -> UInt64 {
      portableToInteger(rounding, F.format, width: Int(truncatingIfNeeded: W.bits), x)
    }

    @inline(__always) public func floatConvertScalar<From: FloatElement, To: FloatElement>(
      _ from: From.Type, _ to: To.Type, _ x: Chunk, _ y: Chunk
    ) -> Chunk {
      portableConvertScalar(From.format, To.format, x, y)
    }

    @inline(__always) public func floatConvert(_ conversion: FloatConversion, _ x: Chunk) -> Chunk {
      portableConvert(conversion, x)
    }

    @inline(__always) public func floatToHalf(_ x: Chunk, _ control: UInt8) -> Chunk {
      portableToHalf(x, control)
    }

    @inline(__always) public func floatRound<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ control: UInt8
    ) -> Chunk {
      portableRound(.packed(element), x, x, control)
    }

    @inline(__always) public func floatRoundScalar<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk, _ control: UInt8
    ) -> Chunk {
      portableRound(.scalar(element), x, y, control)
    }

    @inline(__always) public func floatDotProduct<F: FloatElement>(
      _ element: F.Type, _ x: Chunk, _ y: Chunk, _ control: UInt8
    ) -> Chunk {
      portableDotProduct(F.format, x, y, control)
    }

    @inline(__always) public var hasFusedMultiply: Bool { false }

    @inline(__always) public func fusedMultiply<F: FloatElement>(
      _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
    ) -> Chunk {
      fusedMultiplyPortably(form, operation, element, x, y, z)
    }

    @inline(__always) public func fusedMultiplyScalar<F: FloatElement>(
      _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
    ) -> Chunk {
      fusedMultiplyScalarPortably(form, operation, element, x, y, z)
    }
  }
#endif
