// Floating-point operations of the interpreter in portable arithmetic (Engine/FloatingPoint): what hosts
// without the instruction do. Bit for bit the same as silicon, except RCP and RSQRT, whose tables differ
// from one processor to the next. These are calls, not inlined, so that handlers keep no locals in memory
// and end in a jump.

/// Which elements of a chunk an operation computes.
struct FloatLanes {
  let format: FloatFormat
  let count: Int

  // PERF: constants that the caller passes in registers.
  @inline(__always) static func packed<F: FloatElement>(_ element: F.Type) -> FloatLanes {
    FloatLanes(format: F.format, count: 128 / F.width)
  }
  @inline(__always) static func scalar<F: FloatElement>(_ element: F.Type) -> FloatLanes {
    FloatLanes(format: F.format, count: 1)
  }
}

extension Interpreter {
  /// Runs portable arithmetic under the guest's MXCSR, merges the flags, and raises #XM for an unmasked
  /// exception.
  private func portable<Result>(_ body: (inout FloatEnvironment) -> Result) -> Result {
    let before = currentMXCSR
    var environment = FloatEnvironment(mxcsr: before)
    let result = body(&environment)
    let outcome = environment.outcome
    if outcome.flags & ~before != 0 { replaceMXCSR(before | outcome.flags) }
    trap(if: outcome.faults, .simdFloatingPoint)
    return result
  }

  @inline(never) func portableBinary(
    _ operation: FloatBinaryOperation, _ lanes: FloatLanes, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    portable { SoftVector.binary(operation, lanes.format, count: lanes.count, x, y, &$0) }
  }

  @inline(never) func portableSquareRoot(_ lanes: FloatLanes, _ x: Chunk, _ y: Chunk) -> Chunk {
    portable { SoftVector.squareRoot(lanes.format, count: lanes.count, x, y, &$0) }
  }

  @inline(never) func portableCompare(
    _ lanes: FloatLanes, _ x: Chunk, _ y: Chunk, _ predicate: UInt8
  ) -> Chunk {
    portable { SoftVector.compare(lanes.format, count: lanes.count, x, y, predicate, &$0) }
  }

  @inline(never) func portableRelation(
    _ format: FloatFormat, _ x: Chunk, _ y: Chunk, isSignalling: Bool
  ) -> FloatRelation {
    portable { environment in
      let first = SoftVector.value(x, 0, format)
      let second = SoftVector.value(y, 0, format)
      return environment.compare(first, second, isSignalling: isSignalling)
    }
  }

  @inline(never) func portableFromInteger(_ format: FloatFormat, _ x: Chunk, _ integer: Int64) -> Chunk {
    portable { SoftVector.fromInteger(format, x, integer, &$0) }
  }

  @inline(never) func portableToInteger(
    _ rounding: FloatIntegerRounding, _ format: FloatFormat, width: Int, _ x: Chunk
  ) -> UInt64 {
    portable { SoftVector.toInteger(rounding, format, width: width, x, &$0) }
  }

  @inline(never) func portableConvertScalar(
    _ from: FloatFormat, _ to: FloatFormat, _ x: Chunk, _ y: Chunk
  ) -> Chunk {
    portable { SoftVector.convertScalar(from, to, x, y, &$0) }
  }

  @inline(never) func portableConvert(_ conversion: FloatConversion, _ x: Chunk) -> Chunk {
    portable { SoftVector.convert(conversion, x, &$0) }
  }

  @inline(never) func portableToHalf(_ x: Chunk, _ control: UInt8) -> Chunk {
    portable { SoftVector.toHalf(x, control, &$0) }
  }

  @inline(never) func portableRound(_ lanes: FloatLanes, _ x: Chunk, _ y: Chunk, _ control: UInt8) -> Chunk {
    portable { SoftVector.round(lanes.format, count: lanes.count, x, y, control, &$0) }
  }

  @inline(never) func portableDotProduct(
    _ format: FloatFormat, _ x: Chunk, _ y: Chunk, _ control: UInt8
  ) -> Chunk {
    portable { SoftVector.dotProduct(format, x, y, control, &$0) }
  }

  @inline(never) func portableFused(
    _ form: FusedForm, _ operation: FusedOperation, _ lanes: FloatLanes, _ x: Chunk, _ y: Chunk, _ z: Chunk
  ) -> Chunk {
    portable { SoftVector.fusedMultiply(form, operation, lanes.format, count: lanes.count, x, y, z, &$0) }
  }

  // PERF: these two only forward.
  @inline(__always) public func fusedMultiplyPortably<F: FloatElement>(
    _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
  ) -> Chunk {
    portableFused(form, operation, .packed(element), x, y, z)
  }

  @inline(__always) public func fusedMultiplyScalarPortably<F: FloatElement>(
    _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ x: Chunk, _ y: Chunk, _ z: Chunk
  ) -> Chunk {
    portableFused(form, operation, .scalar(element), x, y, z)
  }
}
