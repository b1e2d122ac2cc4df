// The memory images of processor state: the 512 bytes of FXSAVE, and the XSAVE area in its standard and compacted
// formats. Used by the XSAVE family and by signal frames. Owns nothing; works on raw pointers that the caller has checked.
// Layout (SDM volume 1, sections 10.5.1, 13.4 and 13.5), at the offsets that Intel's processors report:
//
//        0  FCW FSW FTW(8) — FOP   8  FIP   16  FDP   24  MXCSR   28  MXCSR_MASK
//       32  ST0…ST7, 16 bytes each           160  XMM0…XMM15
//      512  XSTATE_BV   520  XCOMP_BV   528  48 reserved bytes
//      576  AVX: bits 255:128 of YMM0…YMM15                       832  end without AVX-512
//     1088  opmask: K0…K7   1152  ZMM_Hi256: bits 511:256 of ZMM0…ZMM15
//     1664  Hi16_ZMM: ZMM16…ZMM31           2688  end
//
// In the compacted format the components that XCOMP_BV names follow each other from 576 on.

import CHost

/// Reads and writes state images. `cpu.mxcsr` must be current; the caller synchronises it with the host.
public enum ExtendedState {
  /// State components: bits of XCR0, XSTATE_BV and the EDX:EAX operand.
  public static let x87: UInt64 = 1
  public static let sse: UInt64 = 2
  public static let avx: UInt64 = 4
  /// Opmask, ZMM_Hi256 and Hi16_ZMM: XCR0 has all three or none.
  public static let avx512: UInt64 = 0xe0

  public static let legacySize = 512
  /// Where the header ends and the first component behind it may begin.
  public static let headerEnd = 576
  /// Bytes of the largest area: all components, standard format.
  public static let largestSize = 2688
  /// Writable bits of MXCSR.
  public static let mxcsrMask: UInt32 = 0xffff
  /// Bit 63 of XCOMP_BV: the area is compacted.
  static let compactedFormat: UInt64 = 1 &<< 63

  // MARK: Components

  /// A component that is nothing but registers: where its image lies in the standard format, and of which bytes of which
  /// registers it consists.
  public struct Component {
    /// Its bit in XCR0.
    public let bit: UInt64
    /// In the standard format, from the area's start.
    public let offset: Int
    let registers: Range<Int>
    /// Bytes of each register.
    let bytes: Range<Int>

    public var size: Int { registers.count &* bytes.count }
  }

  /// Numbers of the components that `component` may know.
  public static let componentNumbers = 1..<8

  /// The component at bit `number` of XCR0; nil for the x87 unit, which has a layout of its own, and where there is none.
  public static func component(_ number: Int) -> Component? {
    switch number {
    case 1: Component(bit: sse, offset: 160, registers: 0..<16, bytes: 0..<16)
    case 2: Component(bit: avx, offset: 576, registers: 0..<16, bytes: 16..<32)
    // The opmask registers lie behind the 32 vector registers, in the place of one more (state.c pins this).
    case 5: Component(bit: 1 &<< 5, offset: 1088, registers: 32..<33, bytes: 0..<64)
    case 6: Component(bit: 1 &<< 6, offset: 1152, registers: 0..<16, bytes: 32..<64)
    case 7: Component(bit: 1 &<< 7, offset: 1664, registers: 16..<32, bytes: 0..<64)
    default: nil
    }
  }

  /// Where `component` lies in an area whose XCOMP_BV is `format`.
  static func offset(of component: Component, format: UInt64) -> Int {
    if format & compactedFormat == 0 || component.bit == sse { return component.offset }
    return size(format & (component.bit &- 1), compacted: true)
  }

  /// Bytes of an area with `components`, header included.
  public static func size(_ components: UInt64, compacted: Bool) -> Int {
    var end = headerEnd
    for number in componentNumbers {
      guard let component = component(number), component.bit != sse, components & component.bit != 0 else {
        continue
      }
      end = compacted ? end &+ component.size : component.offset &+ component.size
    }
    return end
  }

  /// Bytes that XRSTOR of `components` reads from an area whose XCOMP_BV is `format`.
  static func sizeToRestore(_ components: UInt64, format: UInt64) -> Int {
    if format & compactedFormat == 0 { return size(components, compacted: false) }
    var end = headerEnd
    for number in componentNumbers {
      guard let component = component(number), components & format & component.bit != 0 else { continue }
      end = max(end, offset(of: component, format: format) &+ component.size)
    }
    return end
  }

  // MARK: Saving

  /// FXSAVE. `wide`: 64-bit instruction and data pointers instead of selector and offset.
  public static func saveLegacy(
    _ cpu: UnsafePointer<CPUState>, to area: UnsafeMutableRawPointer, wide: Bool
  ) {
    saveX87(cpu, to: area, wide: wide)
    saveMXCSR(cpu, to: area)
    copyRegisters(1, of: cpu, to: area, format: 0)
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
    let format = compacted ? components | compactedFormat : 0
    for number in componentNumbers where written &>> UInt64(number) & 1 != 0 {
      copyRegisters(number, of: cpu, to: area, format: format)
    }
    let old = compacted ? 0 : area.load(fromByteOffset: 512, as: UInt64.self) & ~components
    area.storeBytes(of: old | (components & inUse), toByteOffset: 512, as: UInt64.self)
    if compacted { area.storeBytes(of: format, toByteOffset: 520, as: UInt64.self) }
  }

  /// Components that are not in their initial state.
  static func componentsInUse(_ cpu: UnsafePointer<CPUState>) -> UInt64 {
    var result: UInt64 = 0
    let control = cpu.pointee.x87_control != 0x37f || cpu.pointee.x87_status != 0
    if control || cpu.pointee.x87_tags != 0 || cpu.pointee.x87_top != 0 { result |= x87 }
    if cpu.pointee.mxcsr != 0x1f80 { result |= sse }
    for number in componentNumbers {
      guard let component = component(number), cpu.pointee.xcr0 & component.bit != 0 else { continue }
      var bits: UInt64 = 0
      for register in component.registers {
        let place = vector(cpu, register)
        for offset in stride(from: component.bytes.lowerBound, to: component.bytes.upperBound, by: 8) {
          bits |= place.load(fromByteOffset: offset, as: UInt64.self)
        }
      }
      if bits != 0 { result |= component.bit }
    }
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

  private static func copyRegisters(
    _ number: Int, of cpu: UnsafePointer<CPUState>, to area: UnsafeMutableRawPointer, format: UInt64
  ) {
    guard let component = component(number) else { return }
    var place = area + offset(of: component, format: format)
    for register in component.registers {
      place.copyMemory(
        from: vector(cpu, register) + component.bytes.lowerBound, byteCount: component.bytes.count)
      place += component.bytes.count
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
    restoreRegisters(1, of: cpu, from: area, format: 0)
    return true
  }

  /// XRSTOR. False, with nothing changed, when the header or MXCSR is not as it must be (#GP).
  public static func restore(
    _ cpu: UnsafeMutablePointer<CPUState>, from area: UnsafeRawPointer, requested: UInt64, wide: Bool
  ) -> Bool {
    let components = requested & cpu.pointee.xcr0
    let present = area.loadUnaligned(fromByteOffset: 512, as: UInt64.self)
    let format = area.loadUnaligned(fromByteOffset: 520, as: UInt64.self)
    let compacted = format & compactedFormat != 0
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
    initialize(cpu, components & ~present)
    if loads & x87 != 0 { restoreX87(cpu, from: area, wide: wide) }
    for number in componentNumbers where loads &>> UInt64(number) & 1 != 0 {
      restoreRegisters(number, of: cpu, from: area, format: format)
    }
    // Translated code leaves the registers of AVX-512 alone until they are used.
    if loads & ~(x87 | sse | avx) != 0 { cpu.pointee.translated.uses_zmm = 1 }
    return true
  }

  private static func headerIsValid(
    _ area: UnsafeRawPointer, _ present: UInt64, _ format: UInt64, xcr0: UInt64
  ) -> Bool {
    if format & compactedFormat == 0 {
      let reserved = area.loadUnaligned(fromByteOffset: 528, as: UInt64.self)
      return present & ~xcr0 == 0 && format == 0 && reserved == 0
    }
    var reserved: UInt64 = 0
    for offset in stride(from: 528, to: 576, by: 8) {
      reserved |= area.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
    let laidOut = format & ~compactedFormat
    return laidOut & ~xcr0 == 0 && present & ~laidOut == 0 && reserved == 0
  }

  /// The x87 part of FXRSTOR.
  public static func restoreX87(
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

  /// Brings `components` into the state that they have after reset.
  public static func initialize(_ cpu: UnsafeMutablePointer<CPUState>, _ components: UInt64) {
    if components & x87 != 0 { initializeX87(cpu) }
    for number in componentNumbers where components &>> UInt64(number) & 1 != 0 {
      initializeRegisters(number, of: cpu)
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

  private static func restoreRegisters(
    _ number: Int, of cpu: UnsafeMutablePointer<CPUState>, from area: UnsafeRawPointer, format: UInt64
  ) {
    guard let component = component(number) else { return }
    var place = area + offset(of: component, format: format)
    for register in component.registers {
      (vector(cpu, register) + component.bytes.lowerBound)
        .copyMemory(from: place, byteCount: component.bytes.count)
      place += component.bytes.count
    }
  }

  private static func initializeRegisters(_ number: Int, of cpu: UnsafeMutablePointer<CPUState>) {
    guard let component = component(number) else { return }
    for register in component.registers {
      (vector(cpu, register) + component.bytes.lowerBound)
        .initializeMemory(as: UInt8.self, repeating: 0, count: component.bytes.count)
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
