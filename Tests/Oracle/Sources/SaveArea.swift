// What the FXSAVE and XSAVE families need from the oracle: components that both sides have, valid images to restore, and
// a comparison without the bytes that differ between processors (x87 pointers, MXCSR_MASK).

import CNative

enum SaveArea {
  private static let saving: Set<String> = ["fxsave", "xsave", "xsaveopt", "xsavec"]
  private static let restoring: Set<String> = ["fxrstor", "xrstor"]

  static func concerns(_ row: Row) -> Bool {
    let name = row.semantic?.name ?? ""
    return saving.contains(name) || restoring.contains(name)
  }

  /// Components that both sides have at the same place. Those of AVX-512 lie at places of the host's own in the standard
  /// format; the compacted format is the same everywhere.
  private static func components(_ row: Row, vectors512: Bool) -> UInt64 {
    vectors512 && ["xsavec", "xrstor"].contains(row.semantic?.name ?? "") ? 0xe7 : 7
  }

  /// Limits EDX:EAX to the common components, and tells where the area is; nil when that is not simply base + index.
  static func place(
    _ row: Row, _ instruction: EncodedInstruction, _ state: inout native_state, vectors512: Bool
  ) -> UInt64? {
    guard let base = instruction.base, !instruction.usesGS, !instruction.is32BitAddress else { return nil }
    if [0, 2].contains(base) || [0, 2].contains(instruction.index ?? 4) { return nil }
    return withUnsafeMutableBytes(of: &state.general) { raw in
      let general = raw.bindMemory(to: UInt64.self)
      general[0] &= components(row, vectors512: vectors512)
      general[2] = 0
      let scaled = instruction.index.map { general[$0] << UInt64(instruction.scale) } ?? 0
      return general[base] &+ scaled &+ UInt64(bitPattern: instruction.displacement)
    }
  }

  private static func isInside(_ address: UInt64) -> Bool {
    address >= Layout.data && address <= Layout.data + Layout.dataSize - 2432
  }

  /// Makes most images valid: control words without unmasked exceptions, a header of one of the two formats.
  static func prepare(_ row: Row, _ address: UInt64, _ random: inout RandomSource, vectors512: Bool) {
    guard restoring.contains(row.semantic?.name ?? ""), isInside(address), !random.oneIn(8),
      let area = UnsafeMutableRawPointer(bitPattern: UInt(address))
    else { return }
    let control = UInt16(random.pick([0x37f, 0xf7f, 0x7f, 0xa7f]))
    area.storeBytes(of: control, as: UInt16.self)
    area.storeBytes(of: UInt16(random.next() & 0x7f00), toByteOffset: 2, as: UInt16.self)
    let mxcsr = 0x1f80 | UInt32(random.next() & 0xe03f)
    area.storeBytes(of: mxcsr, toByteOffset: 24, as: UInt32.self)
    guard row.semantic?.name == "xrstor" else { return }
    let compacted = random.oneIn(2)
    let common = compacted ? components(row, vectors512: vectors512) : 7
    let present = random.next() & common
    area.storeBytes(of: present, toByteOffset: 512, as: UInt64.self)
    let format = compacted ? present | (random.next() & common) | (1 << 63) : 0
    area.storeBytes(of: format, toByteOffset: 520, as: UInt64.self)
    for offset in stride(from: 528, to: 576, by: 8) {
      area.storeBytes(of: 0, toByteOffset: offset, as: UInt64.self)
    }
  }

  /// Takes over the native bytes that differ between processors.
  static func settle(_ address: UInt64, guestData: UnsafeMutableRawPointer) {
    guard isInside(address), let area = UnsafeRawPointer(bitPattern: UInt(address)) else { return }
    let guest = guestData + Int(address - Layout.data)
    (guest + 6).copyMemory(from: area + 6, byteCount: 18)
    (guest + 28).copyMemory(from: area + 28, byteCount: 4)
  }
}
