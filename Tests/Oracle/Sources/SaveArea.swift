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

  /// Limits EDX:EAX to x87, SSE and AVX, and tells where the area is; nil when that is not simply base + index.
  static func place(_ instruction: EncodedInstruction, _ state: inout native_state) -> UInt64? {
    guard let base = instruction.base, !instruction.usesGS, !instruction.is32BitAddress else { return nil }
    if [0, 2].contains(base) || [0, 2].contains(instruction.index ?? 4) { return nil }
    return withUnsafeMutableBytes(of: &state.general) { raw in
      let general = raw.bindMemory(to: UInt64.self)
      general[0] &= 7
      general[2] = 0
      let scaled = instruction.index.map { general[$0] << UInt64(instruction.scale) } ?? 0
      return general[base] &+ scaled &+ UInt64(bitPattern: instruction.displacement)
    }
  }

  private static func isInside(_ address: UInt64) -> Bool {
    address >= Layout.data && address <= Layout.data + Layout.dataSize - 832
  }

  /// Makes most images valid: control words without unmasked exceptions, a header of one of the two formats.
  static func prepare(_ row: Row, _ address: UInt64, _ random: inout RandomSource) {
    guard restoring.contains(row.semantic?.name ?? ""), isInside(address), !random.oneIn(8),
      let area = UnsafeMutableRawPointer(bitPattern: UInt(address))
    else { return }
    let control = UInt16(random.pick([0x37f, 0xf7f, 0x7f, 0xa7f]))
    area.storeBytes(of: control, as: UInt16.self)
    area.storeBytes(of: UInt16(random.next() & 0x7f00), toByteOffset: 2, as: UInt16.self)
    let mxcsr = 0x1f80 | UInt32(random.next() & 0xe03f)
    area.storeBytes(of: mxcsr, toByteOffset: 24, as: UInt32.self)
    guard row.semantic?.name == "xrstor" else { return }
    let present = random.next() & 7
    let compacted = random.oneIn(2)
    area.storeBytes(of: present, toByteOffset: 512, as: UInt64.self)
    let format = compacted ? present | (random.next() & 7) | (1 << 63) : 0
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
