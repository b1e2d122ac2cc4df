// The interpreter's segments, extended state, identification, time and randomness. None of these is hot.

import CHost

extension Interpreter {
  // MARK: Segments

  public func readSegment(_ number: UInt8) -> UInt64 {
    let selectors = cpu.pointee.segment_selectors
    switch number {
    case 0: return UInt64(selectors.0)
    case 1: return UInt64(selectors.1)
    case 2: return UInt64(selectors.2)
    case 3: return UInt64(selectors.3)
    case 4: return UInt64(selectors.4)
    default: return UInt64(selectors.5)
    }
  }

  /// The descriptor table of a 64-bit Linux process: null selectors, user code 0x33, user data 0x2b; 0x23 is 32-bit code, 0x7b the
  /// segment whose limit says the processor's number.
  public func writeSegment(_ number: UInt8, _ selector: UInt64) {
    if number == 1 || number > 5 { raise(.invalidOpcode) }
    let isNull = selector & ~3 == 0
    let isData = selector | 3 == 0x2b || selector | 3 == 0x7b
    let isReadableCode = selector | 3 == 0x33 || selector | 3 == 0x23
    // The stack segment has the program's own privilege.
    let allowed = number == 2 ? selector == 0x2b : isNull || isData || isReadableCode
    if !allowed { raise(.generalProtection, selector: selector) }
    let value = UInt16(truncatingIfNeeded: selector)
    switch number {
    case 0: cpu.pointee.segment_selectors.0 = value
    case 2: cpu.pointee.segment_selectors.2 = value
    case 3: cpu.pointee.segment_selectors.3 = value
    case 4:
      cpu.pointee.segment_selectors.4 = value
      cpu.pointee.fs_base = 0
    default:
      cpu.pointee.segment_selectors.5 = value
      cpu.pointee.gs_base = 0
    }
  }

  public func readSegmentBase(_ which: Int) -> UInt64 {
    which == 0 ? cpu.pointee.fs_base : cpu.pointee.gs_base
  }

  public func writeSegmentBase(_ which: Int, _ address: UInt64) {
    let signed = Int64(bitPattern: address)
    if (signed &<< 16) &>> 16 != signed { raise(.generalProtection) }
    if which == 0 { cpu.pointee.fs_base = address } else { cpu.pointee.gs_base = address }
  }

  // MARK: Identification, time, randomness

  public func identify() {
    let leaf = UInt32(truncatingIfNeeded: readRegister(W32.self, GeneralOffset.rax))
    let subleaf = UInt32(truncatingIfNeeded: readRegister(W32.self, GeneralOffset.rcx))
    let result = CPUID.registers(
      level: CPUID.Level(rawValue: cpu.pointee.cpu_level) ?? .extended, leaf: leaf, subleaf: subleaf)
    writeRegister(W32.self, GeneralOffset.rax, UInt64(result.eax))
    writeRegister(W32.self, GeneralOffset.rbx, UInt64(result.ebx))
    writeRegister(W32.self, GeneralOffset.rcx, UInt64(result.ecx))
    writeRegister(W32.self, GeneralOffset.rdx, UInt64(result.edx))
  }

  /// The guest's descriptors are the host's: flat segments in tables of the kernel's.
  public func describeSegment(_ question: SegmentQuestion, _ selector: UInt64) -> UInt64 {
    // The limit of this one is the processor's number: chance. A recorded program runs on processor 0.
    let processorSegment: UInt64 = 0x78
    if question == .limit, cpu.pointee.traps_chance != 0, selector & 0xfffc == processorSegment {
      return 1 &<< 32
    }
    return vt_host_describe_segment(question.rawValue, UInt32(truncatingIfNeeded: selector))
  }

  public func timeStamp() -> UInt64 {
    trap(if: cpu.pointee.traps_chance != 0, .generalProtection)
    return vt_host_time_stamp()
  }

  public func processorNumber() -> UInt64 {
    trap(if: cpu.pointee.traps_chance != 0, .generalProtection)
    return UInt64(vt_host_processor_number())
  }

  public func randomNumber() -> UInt64 {
    trap(if: cpu.pointee.traps_chance != 0, .generalProtection)
    return vt_host_random()
  }

  /// XCR0, and with 1 the components of XCR0 that are in use.
  public func readExtendedControl(_ number: UInt64) -> UInt64 {
    switch number {
    case 0: return cpu.pointee.xcr0
    case 1: return cpu.pointee.xcr0 & ExtendedState.componentsInUse(UnsafePointer(cpu))
    default:
      raise(.generalProtection)
    }
  }

  public func probeRead(_ address: UInt64) { vt_probe_read(host(address)) }

  // MARK: Areas of processor state

  public func saveLegacyState(_ address: UInt64, wide: Bool) {
    checkAlignment(address, bytes: 16)
    probeWrite(address, count: ExtendedState.legacySize)
    vt_probe_write(host(address))
    collectMXCSR()
    ExtendedState.saveLegacy(UnsafePointer(cpu), to: host(address), wide: wide)
  }

  public func restoreLegacyState(_ address: UInt64, wide: Bool) {
    checkAlignment(address, bytes: 16)
    probeArea(address, count: ExtendedState.legacySize)
    let area = UnsafeRawPointer(host(address))
    if !ExtendedState.restoreLegacy(cpu, from: area, wide: wide) { raise(.generalProtection) }
    spreadMXCSR()
    x87Reload()
  }

  public func saveExtendedState(_ address: UInt64, wide: Bool, compacted: Bool) {
    checkAlignment(address, bytes: 64)
    let components = requestedComponents & cpu.pointee.xcr0
    probeWrite(address, count: ExtendedState.size(components, compacted: compacted))
    vt_probe_write(host(address))
    collectMXCSR()
    ExtendedState.save(
      UnsafePointer(cpu), to: host(address), requested: requestedComponents, wide: wide,
      compacted: compacted)
  }

  public func restoreExtendedState(_ address: UInt64, wide: Bool) {
    checkAlignment(address, bytes: 64)
    probeArea(address, count: ExtendedState.headerEnd)
    let area = UnsafeRawPointer(host(address))
    let format = area.load(fromByteOffset: 520, as: UInt64.self)
    let components = requestedComponents & cpu.pointee.xcr0
    probeArea(address, count: ExtendedState.sizeToRestore(components, format: format))
    collectMXCSR()
    if !ExtendedState.restore(cpu, from: area, requested: requestedComponents, wide: wide) {
      raise(.generalProtection)
    }
    spreadMXCSR()
    x87Reload()
  }

  /// Reads the first byte of the area and the first in its last page, before anything changes.
  private func probeArea(_ address: UInt64, count: Int) {
    vt_probe_read(host(address))
    let end = address &+ UInt64(truncatingIfNeeded: count &- 1)
    vt_probe_read(host(max(address, end & ~4095)))
  }

  /// EDX:EAX.
  private var requestedComponents: UInt64 {
    readRegister(W32.self, GeneralOffset.rax) | readRegister(W32.self, GeneralOffset.rdx) &<< 32
  }

  /// On x86-64 hosts the guest's MXCSR is in the host's register while handlers run; an image needs it in the state.
  private func collectMXCSR() { cpu.pointee.mxcsr = currentMXCSR }
  private func spreadMXCSR() { replaceMXCSR(cpu.pointee.mxcsr) }
}
