// Operations that compute the address of a memory operand in front of the instruction proper, when it is more than
// `[base + displacement]`. Fields: `a` where the address goes (`effective`, or the destination of LEA), `b` base, `c` index,
// `d` scale (log2), `displacement`. A missing base or index is the register that is always zero.

import CHost

extension UnsafePointer where Pointee == Operation {
  /// base + index × scale + displacement, in 64 bits.
  // PERF: part of every indexed access.
  @inline(__always) func sum(_ c: UnsafeMutablePointer<CPUState>) -> UInt64 {
    let registers = UnsafeRawPointer(c)
    let base = registers.load(fromByteOffset: Int(pointee.b), as: UInt64.self)
    let index = registers.load(fromByteOffset: Int(pointee.c), as: UInt64.self)
    return base &+ (index &<< UInt64(pointee.d)) &+ UInt64(truncatingIfNeeded: pointee.displacement)
  }

  @inline(__always) func store(_ c: UnsafeMutablePointer<CPUState>, _ address: UInt64) {
    UnsafeMutableRawPointer(c).storeBytes(of: address, toByteOffset: Int(pointee.a), as: UInt64.self)
  }
}

@c(vt_address64)
func address64(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  o.store(c, o.sum(c))
  next(o, c, w, n)
}

/// 32-bit addressing, and LEA with a 32-bit destination.
@c(vt_address32)
func address32(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  o.store(c, o.sum(c) & 0xffff_ffff)
  next(o, c, w, n)
}

@c(vt_address_fs64)
func addressFS64(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  o.store(c, o.sum(c) &+ c.pointee.fs_base)
  next(o, c, w, n)
}

@c(vt_address_fs32)
func addressFS32(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  o.store(c, (o.sum(c) & 0xffff_ffff) &+ c.pointee.fs_base)
  next(o, c, w, n)
}

@c(vt_address_gs64)
func addressGS64(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  o.store(c, o.sum(c) &+ c.pointee.gs_base)
  next(o, c, w, n)
}

@c(vt_address_gs32)
func addressGS32(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  o.store(c, (o.sum(c) & 0xffff_ffff) &+ c.pointee.gs_base)
  next(o, c, w, n)
}

/// An absolute address in `immediate` (RIP-relative operands above 2 GiB, moffs), plus the base in `b`: a segment's or zero.
@c(vt_address_absolute)
func addressAbsolute(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let base = UnsafeRawPointer(c).load(fromByteOffset: Int(o.pointee.b), as: UInt64.self)
  o.store(c, UInt64(bitPattern: o.pointee.immediate) &+ base)
  next(o, c, w, n)
}
