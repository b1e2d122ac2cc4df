// Fused multiply-add. A host without the instruction takes a path of its own, out of line, so that the handlers of all
// others hold no call: the decision comes before the operands are read, and nothing but the backend lives across it.

extension Semantics {
  // PERF: a semantic must dissolve into its handler, except the two `…Portably`, which must not.
  /// VFMADD132PS and all packed relatives; operands in Intel's order, the first is the destination.
  @inline(__always)
  static func fusedMultiply<
    B: Backend, F: FloatElement, D: VectorPlace, Y: VectorPlace, Z: VectorPlace
  >(
    _ b: inout B, _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ d: D, _ y: Y, _ z: Z
  ) {
    guard b.hasFusedMultiply else {
      b = fusedMultiplyPortably(b, form, operation, element, d, y, z)
      return
    }
    fuse(&b, d, y, z) { $0.fusedMultiply(form, operation, element, $1, $2, $3) }
  }

  /// VFMADD132SS and all scalar relatives.
  @inline(__always)
  static func fusedMultiplyScalar<
    B: Backend, F: FloatElement, D: VectorPlace, Y: VectorPlace, Z: VectorPlace
  >(
    _ b: inout B, _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ d: D, _ y: Y, _ z: Z
  ) {
    guard b.hasFusedMultiply else {
      b = fusedMultiplyScalarPortably(b, form, operation, element, d, y, z)
      return
    }
    fuse(&b, d, y, z) { $0.fusedMultiplyScalar(form, operation, element, $1, $2, $3) }
  }

  @inline(never)
  private static func fusedMultiplyPortably<
    B: Backend, F: FloatElement, D: VectorPlace, Y: VectorPlace, Z: VectorPlace
  >(
    _ backend: B, _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ d: D, _ y: Y, _ z: Z
  ) -> B {
    var b = backend
    fuse(&b, d, y, z) { $0.fusedMultiplyPortably(form, operation, element, $1, $2, $3) }
    return b
  }

  @inline(never)
  private static func fusedMultiplyScalarPortably<
    B: Backend, F: FloatElement, D: VectorPlace, Y: VectorPlace, Z: VectorPlace
  >(
    _ backend: B, _ form: FusedForm, _ operation: FusedOperation, _ element: F.Type, _ d: D, _ y: Y, _ z: Z
  ) -> B {
    var b = backend
    fuse(&b, d, y, z) { $0.fusedMultiplyScalarPortably(form, operation, element, $1, $2, $3) }
    return b
  }

  /// Reads three operands, applies `body` to each chunk, writes the first.
  @inline(__always) private static func fuse<B: Backend, D: VectorPlace, Y: VectorPlace, Z: VectorPlace>(
    _ b: inout B, _ d: D, _ y: Y, _ z: Z, _ body: (inout B, B.Chunk, B.Chunk, B.Chunk) -> B.Chunk
  ) {
    let z0 = z.read(&b, 0)
    let y0 = y.read(&b, 0)
    let x0 = d.read(&b, 0)
    if D.chunks == 1 { return write(&b, d, body(&b, x0, y0, z0), x0) }
    let z1 = z.read(&b, 1)
    let y1 = y.read(&b, 1)
    let x1 = d.read(&b, 1)
    let first = body(&b, x0, y0, z0)
    write(&b, d, first, body(&b, x1, y1, z1))
  }
}
