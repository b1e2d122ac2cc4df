// x87 primitives.

/// The x87 register stack and its operations in 80-bit precision.
public protocol X87Backend: CoreBackend {}
