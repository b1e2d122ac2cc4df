// SSE and AVX floating-point primitives.

/// Floating-point operations on chunks under the guest's MXCSR.
public protocol FloatBackend: VectorBackend {}
