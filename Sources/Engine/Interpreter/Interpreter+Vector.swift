// The interpreter's vector registers, MMX registers and vector memory operands. A chunk is SIMD2<UInt64>; the
// operations see it as lanes of their element type. Nothing here is kept between instructions.

import CHost
import GuestMemory
import X86

// SAFETY: chunks and the lanes of every element type are 16 plain bytes.
// PERF: a reinterpretation, no instruction.
/// A chunk seen as elements.
@inline(__always) func lanes<E: Element>(_ element: E.Type, _ chunk: SIMD2<UInt64>) -> E.Lanes {
  unsafeBitCast(chunk, to: E.Lanes.self)
}

/// Elements seen as a chunk.
@inline(__always) func packed<E: Element>(_ element: E.Type, _ lanes: E.Lanes) -> SIMD2<UInt64> {
  unsafeBitCast(lanes, to: SIMD2<UInt64>.self)
}

// PERF: everything below must be inlined into handlers, as in Interpreter.swift.
extension Interpreter {
  // SAFETY: register numbers come from the decoder, which makes them less than 32; indices are constants
  // below 4.
  @inline(__always) func vector(_ number: UInt8, _ index: Int) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(cpu) + (CPUStateLayout.vector &+ Int(number) &* 64 &+ index &* 16)
  }

  @inline(__always) public func readVector(_ number: UInt8, _ index: Int) -> Chunk {
    vector(number, index).load(as: Chunk.self)
  }

  @inline(__always) public func writeVector(_ number: UInt8, _ index: Int, _ value: Chunk) {
    vector(number, index).storeBytes(of: value, as: Chunk.self)
  }

  @inline(__always) public func zeroVectorAbove(_ number: UInt8, _ index: Int) {
    if index == 0 { writeVector(number, 0, Chunk()) }
    if index < 2 { writeVector(number, 1, Chunk()) }
    // For guests of the translator, which leaves single instructions to the interpreter; only they have AVX-512.
    writeVector(number, 2, Chunk())
    writeVector(number, 3, Chunk())
  }

  // MARK: MMX

  /// A physical x87 register.
  @inline(__always) func mmx(_ number: UInt8) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(cpu) + (CPUStateLayout.x87 &+ Int(number & 7) &* 16)
  }

  @inline(__always) public func readMMX(_ number: UInt8) -> Chunk {
    checkMMX()
    return Chunk(mmx(number).load(as: UInt64.self), 0)
  }

  /// Sign and exponent of the x87 register become ones.
  @inline(__always) public func writeMMX(_ number: UInt8, _ value: Chunk) {
    checkMMX()
    mmx(number).storeBytes(of: value[0], as: UInt64.self)
    (mmx(number) + 8).storeBytes(of: 0xffff, as: UInt16.self)
    enterMMX()
  }

  @inline(__always) func checkMMX() {
    // An unmasked x87 exception that is pending is reported by the next x87 or MMX instruction.
    let pending = cpu.pointee.x87_status & ~cpu.pointee.x87_control & 0x3f
    trap(if: pending != 0, .x87FloatingPoint)
  }

  @inline(__always) public func enterMMX() {
    cpu.pointee.x87_top = 0
    cpu.pointee.x87_tags = 0xff
  }

  @inline(__always) public func leaveMMX() {
    checkMMX()
    cpu.pointee.x87_top = 0
    cpu.pointee.x87_tags = 0
  }

  // MARK: Memory

  @inline(__always) public func fence() { vt_fence() }

  @inline(__always) public func loadChunk(_ address: UInt64, offset: Int, bytes: Int) -> Chunk {
    // The guard area behind the window is larger than any operand.
    let pointer = host(address) + offset
    switch bytes {
    case 16: return vt_load16(pointer)
    case 8: return Chunk(vt_load8(pointer), 0)
    case 4: return Chunk(vt_load4(pointer), 0)
    case 2: return Chunk(vt_load2(pointer), 0)
    default: return Chunk(vt_load1(pointer), 0)
    }
  }

  @inline(__always) public func probeStore(_ address: UInt64, bytes: Int) {
    // Within one page the first store faults before anything is written.
    let size = UInt64(truncatingIfNeeded: bytes)
    if address & 0xfff > 0x1000 &- size {
      vt_probe_write(host(address))
      vt_probe_write(host(max(address, (address &+ size &- 1) & ~0xfff)))
    }
  }

  @inline(__always) public func loadChunkPair(_ address: UInt64) -> (low: Chunk, high: Chunk) {
    let pointer = host(address)
    let low = vt_load16(pointer)
    return (low, vt_load16(pointer + 16))
  }

  @inline(__always) public func storeChunkPair(_ address: UInt64, _ low: Chunk, _ high: Chunk) {
    probeStore(address, bytes: 32)
    let pointer = host(address)
    pointer.storeBytes(of: low, as: Chunk.self)
    (pointer + 16).storeBytes(of: high, as: Chunk.self)
  }

  /// Faults with the first byte that cannot be written of an operand in two pages.
  @inline(never) func probeAcrossPages(_ address: UInt64, _ size: UInt64) {
    vt_probe_write(host(address))
    vt_probe_write(host(max(address, (address &+ size &- 1) & ~0xfff)))
  }

  @inline(__always) public func storeChunk(_ address: UInt64, offset: Int, bytes: Int, _ value: Chunk) {
    let pointer = host(address) + offset
    switch bytes {
    case 16: pointer.storeBytes(of: value, as: Chunk.self)
    case 8: pointer.storeBytes(of: value[0], as: UInt64.self)
    case 4: pointer.storeBytes(of: UInt32(truncatingIfNeeded: value[0]), as: UInt32.self)
    case 2: pointer.storeBytes(of: UInt16(truncatingIfNeeded: value[0]), as: UInt16.self)
    default: pointer.storeBytes(of: UInt8(truncatingIfNeeded: value[0]), as: UInt8.self)
    }
  }

  @inline(__always) public func checkAlignment(_ address: UInt64, bytes: Int) {
    trap(if: address & UInt64(truncatingIfNeeded: bytes &- 1) != 0, .generalProtection)
  }

  /// The guest address of element `i` of a chunk at `address + offset`.
  @inline(__always) func elementAddress<E: Element>(
    _ element: E.Type, _ address: UInt64, _ offset: Int, _ i: Int
  ) -> UInt64 {
    address &+ UInt64(truncatingIfNeeded: offset &+ i &* MemoryLayout<E.Scalar>.size)
  }

  @inline(__always) public func loadMasked<E: Element>(
    _ element: E.Type, _ address: UInt64, offset: Int, mask: Chunk
  ) -> Chunk {
    let signs = signs(E.self, mask)
    // At the chunk's own address: a fault is to name the first element that is selected.
    if signs == allSigns(E.self) {
      return loadChunk(elementAddress(E.self, address, offset, 0), offset: 0, bytes: 16)
    }
    var result = E.Lanes()
    for i in 0..<E.Lanes.scalarCount where signs &>> UInt64(i) & 1 != 0 {
      result[i] = host(elementAddress(E.self, address, offset, i)).loadUnaligned(as: E.Scalar.self)
    }
    return packed(E.self, result)
  }

  @inline(__always) public func probeMasked<E: Element>(
    _ element: E.Type, _ address: UInt64, offset: Int, mask: Chunk
  ) {
    // Within one page the first store faults before anything is written.
    if address & 0xfff <= 0x1000 - 32 { return }
    let signs = signs(E.self, mask)
    for i in 0..<E.Lanes.scalarCount where signs &>> UInt64(i) & 1 != 0 {
      probeAcrossPages(
        elementAddress(E.self, address, offset, i), UInt64(truncatingIfNeeded: MemoryLayout<E.Scalar>.size))
    }
  }

  @inline(__always) public func storeMasked<E: Element>(
    _ element: E.Type, _ address: UInt64, offset: Int, mask: Chunk, _ value: Chunk
  ) {
    let signs = signs(E.self, mask)
    if signs == allSigns(E.self) {
      return storeChunk(elementAddress(E.self, address, offset, 0), offset: 0, bytes: 16, value)
    }
    let values = lanes(E.self, value)
    for i in 0..<E.Lanes.scalarCount where signs &>> UInt64(i) & 1 != 0 {
      host(elementAddress(E.self, address, offset, i)).storeBytes(of: values[i], as: E.Scalar.self)
    }
  }

  /// `signs` of a chunk whose elements are all negative.
  @inline(__always) func allSigns<E: Element>(_ element: E.Type) -> UInt64 {
    (1 &<< UInt64(E.Lanes.scalarCount)) &- 1
  }

  @inline(__always) public func gather<E: Element>(
    _ element: E.Type, destination: UInt8, mask: UInt8, count: Int, _ operand: VectorIndexed
  ) {
    let size = MemoryLayout<E.Scalar>.size
    trap(
      if: destination == mask || destination == operand.index || mask == operand.index, .invalidOpcode)
    let base = address(base: operand.base, displacement: operand.displacement)
    for i in 0..<count {
      let enabled = (vector(mask, 0) + i &* size).load(as: E.Scalar.self)
      if enabled & (1 &<< E.Scalar(truncatingIfNeeded: size &* 8 &- 1)) != 0 {
        let index =
          operand.indexBits == 64
          ? (vector(operand.index, 0) + i &* 8).load(as: Int64.self)
          : Int64((vector(operand.index, 0) + i &* 4).load(as: Int32.self))
        let offset = UInt64(bitPattern: index) &<< UInt64(operand.scale)
        let value = host(completeAddress(base &+ offset)).loadUnaligned(as: E.Scalar.self)
        (vector(destination, 0) + i &* size).storeBytes(of: value, as: E.Scalar.self)
      }
      (vector(mask, 0) + i &* size).storeBytes(of: 0, as: E.Scalar.self)
    }
    zeroVectorAbove(mask, 0)
    if count &* size == 8 { (vector(destination, 0) + 8).storeBytes(of: 0, as: UInt64.self) }
    zeroVectorAbove(destination, count &* size <= 16 ? 1 : 2)
  }

  @inline(__always) public func implicitDestination<W: Width>(
    _ addressWidth: W.Type, _ segment: ImplicitSegment
  ) -> UInt64 {
    let offset = readRegister(W.self, 7 * 8)
    switch segment.number {
    case 1: return offset &+ cpu.pointee.fs_base
    case 2: return offset &+ cpu.pointee.gs_base
    default: return offset
    }
  }

  // MARK: Between chunks and integers

  @inline(__always) public func chunk(low: UInt64, high: UInt64) -> Chunk { SIMD2(low, high) }

  @inline(__always) public func select(
    _ value: UInt64, bit: Int, _ yes: Chunk, _ no: Chunk
  ) -> Chunk {
    value &>> UInt64(bit) & 1 != 0 ? yes : no
  }

  @inline(__always) public func extract<E: Element>(
    _ element: E.Type, _ x: Chunk, _ index: UInt64
  ) -> UInt64 {
    let number = Int(truncatingIfNeeded: index) & (E.Lanes.scalarCount &- 1)
    return UInt64(truncatingIfNeeded: E.Scalar.Magnitude(truncatingIfNeeded: lanes(E.self, x)[number]))
  }

  @inline(__always) public func insert<E: Element>(
    _ element: E.Type, _ x: Chunk, _ index: UInt64, _ value: UInt64
  ) -> Chunk {
    var result = lanes(E.self, x)
    result[Int(truncatingIfNeeded: index) & (E.Lanes.scalarCount &- 1)] = E.Scalar(truncatingIfNeeded: value)
    return packed(E.self, result)
  }

  @inline(__always) public func broadcast<E: Element>(_ element: E.Type, _ x: Chunk) -> Chunk {
    packed(E.self, E.Lanes(repeating: lanes(E.self, x)[0]))
  }

  @inline(__always) public func signs<E: Element>(_ element: E.Type, _ x: Chunk) -> UInt64 {
    switch E.Lanes.scalarCount {
    case 16: return vt_byte_signs(x)
    case 4: return vt_word32_signs(x)
    default: return x[0] &>> 63 | (x[1] &>> 63) &<< 1
    }
  }

  @inline(__always) public func isZero(_ x: Chunk) -> UInt64 { x[0] | x[1] == 0 ? 1 : 0 }
  @inline(__always) public func shiftLeft(_ x: UInt64, _ count: UInt64) -> UInt64 { x &<< count }
  @inline(__always) public func shiftRight(_ x: UInt64, _ count: UInt64) -> UInt64 { x &>> count }

  @inline(__always) public func setFlags(carry: UInt64, zero: UInt64, sign: UInt64, overflow: UInt64) {
    // Lazy flags (X86/LazyFlags): a result with an even low byte and PF's correction set gives PF 0.
    cpu.pointee.flags_result = (zero ^ 1) &<< 8
    cpu.pointee.flags_carries = carry &<< 63 | (carry ^ overflow) &<< 62 | 0x100 | sign
  }
}
