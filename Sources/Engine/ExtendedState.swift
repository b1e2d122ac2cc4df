// The memory images of processor state: the 512 bytes of FXSAVE, and the XSAVE area (header and AVX component) in its
// standard format. Used by the XSAVE family and by signal frames. Owns nothing; works on raw pointers that the caller has
// checked. Layout (SDM volume 1, sections 10.5.1 and 13.4):
//
//        0  FCW FSW FTW(8) — FOP   8  FIP   16  FDP   24  MXCSR   28  MXCSR_MASK
//       32  ST0…ST7, 16 bytes each           160  XMM0…XMM15
//      512  XSTATE_BV   520  XCOMP_BV   528  48 reserved bytes
//      576  upper halves of YMM0…YMM15       832  end

import CHost

/// Reads and writes state images. `cpu.mxcsr` must be current; the caller synchronises it with the host.
public enum ExtendedState {
  /// State components: bits of XCR0, XSTATE_BV and the EDX:EAX operand.
  public static let x87: UInt64 = 1
  public static let sse: UInt64 = 2
  public static let avx: UInt64 = 4
  /// Everything that this CPU has.
  public static let all: UInt64 = 7

  public static let legacySize = 512
  public static let headerSize = 64
  public static let avxOffset = 576
  /// Bytes of an area with all components.
  public static let size = 832
  /// Writable bits of MXCSR.
  public static let mxcsrMask: UInt32 = 0xffff

  // MARK: Saving

  /// FXSAVE. `wide`: 64-bit instruction and data pointers instead of selector and offset.
  public static func saveLegacy(
    _ cpu: UnsafePointer<CPUState>, to area: UnsafeMutableRawPointer, wide: Bool
  ) {
    saveX87(cpu, to: area, wide: wide)
    saveMXCSR(cpu, to: area)
    saveXMM(cpu, to: area)
  }

  /// XSAVE (`compacted` false) or XSAVEC of the components in `requested`.
  public static func save(
    _ cpu: UnsafePointer<CPUState>, to area: UnsafeMutableRawPointer, requested: UInt64, wide: Bool,
    compacted: Bool
  ) {
    let components = requested & cpu.pointee.xcr0
    let inUse = componentsInUse(cpu)
    // XSAVEC leaves the image of a component in its initial state alone.
    let written = compacted ? components & inUse : components
    if written & x87 != 0 { saveX87(cpu, to: area, wide: wide) }
    if (compacted ? written & sse : components & (sse | avx)) != 0 { saveMXCSR(cpu, to: area) }
    if written & sse != 0 { saveXMM(cpu, to: area) }
    if written & avx != 0 {
      for number in 0..<16 {
        let upper = vector(cpu, number) + 16
        (area + (avxOffset &+ number &* 16)).copyMemory(from: upper, byteCount: 16)
      }
    }
    let old = compacted ? 0 : area.load(fromByteOffset: 512, as: UInt64.self) & ~components
    area.storeBytes(of: old | (components & inUse), toByteOffset: 512, as: UInt64.self)
    if compacted {
      area.storeBytes(of: components | (1 &<< 63), toByteOffset: 520, as: UInt64.self)
    }
  }

  /// Components that are not in their initial state.
  static func componentsInUse(_ cpu: UnsafePointer<CPUState>) -> UInt64 {
    var result: UInt64 = 0
    let control = cpu.pointee.x87_control != 0x37f || cpu.pointee.x87_status != 0
    if control || cpu.pointee.x87_tags != 0 || cpu.pointee.x87_top != 0 { result |= x87 }
    var low: UInt64 = 0
    var high: UInt64 = 0
    for number in 0..<16 {
      let register = vector(cpu, number)
      low |= register.load(as: UInt64.self) | register.load(fromByteOffset: 8, as: UInt64.self)
      high |= register.load(fromByteOffset: 16, as: UInt64.self)
      high |= register.load(fromByteOffset: 24, as: UInt64.self)
    }
    if low != 0 || cpu.pointee.mxcsr != 0x1f80 { result |= sse }
    if high != 0 { result |= avx }
    return result
  }

  private static func saveX87(
    _ cpu: UnsafePointer<CPUState>, to area: UnsafeMutableRawPointer, wide: Bool
  ) {
    let top = cpu.pointee.x87_top & 7
    area.storeBytes(of: cpu.pointee.x87_control, toByteOffset: 0, as: UInt16.self)
    area.storeBytes(of: (cpu.pointee.x87_status & ~0x3800) | (top &<< 11), toByteOffset: 2, as: UInt16.self)
    area.storeBytes(of: cpu.pointee.x87_tags & 0xff, toByteOffset: 4, as: UInt16.self)
    // The pointers are stored while an exception is pending and are 0 otherwise, as AMD's processors have it.
    let isPending = cpu.pointee.x87_status & 0x80 != 0
    area.storeBytes(of: isPending ? cpu.pointee.x87_opcode : 0, toByteOffset: 6, as: UInt16.self)
    let mask: UInt64 = !isPending ? 0 : wide ? ~0 : 0xffff_ffff
    area.storeBytes(of: cpu.pointee.x87_instruction_pointer & mask, toByteOffset: 8, as: UInt64.self)
    area.storeBytes(of: cpu.pointee.x87_data_pointer & mask, toByteOffset: 16, as: UInt64.self)
    for index in 0..<8 {
      let register = x87Register(cpu, Int(top) &+ index)
      let place = area + (32 &+ index &* 16)
      place.storeBytes(of: register.load(as: UInt64.self), as: UInt64.self)
      let signExponent = UInt64(register.load(fromByteOffset: 8, as: UInt16.self))
      place.storeBytes(of: signExponent, toByteOffset: 8, as: UInt64.self)
    }
  }

  private static func saveMXCSR(_ cpu: UnsafePointer<CPUState>, to area: UnsafeMutableRawPointer) {
    area.storeBytes(of: cpu.pointee.mxcsr, toByteOffset: 24, as: UInt32.self)
    area.storeBytes(of: mxcsrMask, toByteOffset: 28, as: UInt32.self)
  }

  private static func saveXMM(_ cpu: UnsafePointer<CPUState>, to area: UnsafeMutableRawPointer) {
    for number in 0..<16 {
      (area + (160 &+ number &* 16)).copyMemory(from: vector(cpu, number), byteCount: 16)
    }
  }

  // MARK: Restoring

  /// FXRSTOR. False, with nothing changed, when the image has reserved bits of MXCSR set (#GP).
  public static func restoreLegacy(
    _ cpu: UnsafeMutablePointer<CPUState>, from area: UnsafeRawPointer, wide: Bool
  ) -> Bool {
    let mxcsr = area.loadUnaligned(fromByteOffset: 24, as: UInt32.self)
    guard mxcsr & ~mxcsrMask == 0 else { return false }
    cpu.pointee.mxcsr = mxcsr
    restoreX87(cpu, from: area, wide: wide)
    restoreXMM(cpu, from: area)
    return true
  }

  /// XRSTOR. False, with nothing changed, when the header or MXCSR is not as it must be (#GP).
  public static func restore(
    _ cpu: UnsafeMutablePointer<CPUState>, from area: UnsafeRawPointer, requested: UInt64, wide: Bool
  ) -> Bool {
    let components = requested & cpu.pointee.xcr0
    let present = area.loadUnaligned(fromByteOffset: 512, as: UInt64.self)
    let format = area.loadUnaligned(fromByteOffset: 520, as: UInt64.self)
    let compacted = format &>> 63 != 0
    guard headerIsValid(area, present, format, xcr0: cpu.pointee.xcr0) else { return false }
    let loads = components & present
    var mxcsr = cpu.pointee.mxcsr
    if compacted {
      if components & sse != 0 {
        mxcsr = loads & sse != 0 ? area.loadUnaligned(fromByteOffset: 24, as: UInt32.self) : 0x1f80
      }
    } else if components & (sse | avx) != 0 {
      mxcsr = area.loadUnaligned(fromByteOffset: 24, as: UInt32.self)
    }
    guard mxcsr & ~mxcsrMask == 0 else { return false }
    cpu.pointee.mxcsr = mxcsr
    if components & x87 != 0 {
      if loads & x87 != 0 { restoreX87(cpu, from: area, wide: wide) } else { initializeX87(cpu) }
    }
    if components & sse != 0 {
      if loads & sse != 0 { restoreXMM(cpu, from: area) } else { zeroVectors(cpu, half: 0) }
    }
    if components & avx != 0 {
      if loads & avx == 0 { zeroVectors(cpu, half: 16) }
      for number in 0..<16 where loads & avx != 0 {
        vector(cpu, number).advanced(by: 16)
          .copyMemory(from: area + (avxOffset &+ number &* 16), byteCount: 16)
      }
    }
    return true
  }

  private static func headerIsValid(
    _ area: UnsafeRawPointer, _ present: UInt64, _ format: UInt64, xcr0: UInt64
  ) -> Bool {
    if format &>> 63 == 0 {
      let reserved = area.loadUnaligned(fromByteOffset: 528, as: UInt64.self)
      return present & ~xcr0 == 0 && format == 0 && reserved == 0
    }
    var reserved: UInt64 = 0
    for offset in stride(from: 528, to: 576, by: 8) {
      reserved |= area.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
    let laidOut = format & ~(1 &<< 63)
    return laidOut & ~xcr0 == 0 && present & ~laidOut == 0 && reserved == 0
  }

  private static func restoreX87(
    _ cpu: UnsafeMutablePointer<CPUState>, from area: UnsafeRawPointer, wide: Bool
  ) {
    let status = area.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
    let top = (status &>> 11) & 7
    // Reserved bits of the control word, error summary and busy follow from the rest, as on silicon.
    let control = (area.loadUnaligned(fromByteOffset: 0, as: UInt16.self) & 0x1f3f) | 0x40
    cpu.pointee.x87_control = control
    cpu.pointee.x87_status = (status & 0x477f) | (status & ~control & 0x3f != 0 ? 0x8080 : 0)
    cpu.pointee.x87_top = top
    cpu.pointee.x87_tags = area.loadUnaligned(fromByteOffset: 4, as: UInt16.self) & 0xff
    cpu.pointee.x87_opcode = area.loadUnaligned(fromByteOffset: 6, as: UInt16.self) & 0x7ff
    let mask: UInt64 = wide ? ~0 : 0xffff_ffff
    cpu.pointee.x87_instruction_pointer = area.loadUnaligned(fromByteOffset: 8, as: UInt64.self) & mask
    cpu.pointee.x87_data_pointer = area.loadUnaligned(fromByteOffset: 16, as: UInt64.self) & mask
    for index in 0..<8 {
      let register = x87Register(cpu, Int(top) &+ index)
      let place = area + (32 &+ index &* 16)
      register.storeBytes(of: place.loadUnaligned(as: UInt64.self), as: UInt64.self)
      let signExponent = place.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
      register.storeBytes(of: signExponent, toByteOffset: 8, as: UInt16.self)
    }
  }

  private static func initializeX87(_ cpu: UnsafeMutablePointer<CPUState>) {
    cpu.pointee.x87_control = 0x37f
    cpu.pointee.x87_status = 0
    cpu.pointee.x87_top = 0
    cpu.pointee.x87_tags = 0
    cpu.pointee.x87_opcode = 0
    cpu.pointee.x87_instruction_pointer = 0
    cpu.pointee.x87_data_pointer = 0
    for index in 0..<8 {
      x87Register(cpu, index).initializeMemory(as: UInt8.self, repeating: 0, count: 16)
    }
  }

  private static func restoreXMM(_ cpu: UnsafeMutablePointer<CPUState>, from area: UnsafeRawPointer) {
    for number in 0..<16 {
      vector(cpu, number).copyMemory(from: area + (160 &+ number &* 16), byteCount: 16)
    }
  }

  private static func zeroVectors(_ cpu: UnsafeMutablePointer<CPUState>, half: Int) {
    for number in 0..<16 {
      vector(cpu, number).advanced(by: half).initializeMemory(as: UInt8.self, repeating: 0, count: 16)
    }
  }

  // MARK: Registers as memory

  private static func vector(_ cpu: UnsafePointer<CPUState>, _ number: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(cpu) + (CPUStateLayout.vector &+ number &* 64)
  }

  private static func vector(_ cpu: UnsafeMutablePointer<CPUState>, _ number: Int) -> UnsafeMutableRawPointer
  {
    UnsafeMutableRawPointer(cpu) + (CPUStateLayout.vector &+ number &* 64)
  }

  /// Physical register `number` modulo 8.
  private static func x87Register(_ cpu: UnsafePointer<CPUState>, _ number: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(cpu) + (CPUStateLayout.x87 &+ (number & 7) &* 16)
  }

  private static func x87Register(
    _ cpu: UnsafeMutablePointer<CPUState>, _ number: Int
  ) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(cpu) + (CPUStateLayout.x87 &+ (number & 7) &* 16)
  }
}
