// The extended state in signal frames, as the Linux kernel writes and reads it (arch/x86/kernel/fpu/signal.c): an XSAVE
// area in the standard format of the size that XCR0 asks for. Linux adds the words around it; the layout is the engine's.

import CHost
import Engine
import Linux

enum FrameState {
  static var access: ExtendedStateAccess { ExtendedStateAccess(save: save, restore: restore) }

  /// Writes all components at `area` and returns their size in bytes.
  private static func save(_ cpu: UnsafeMutablePointer<CPUState>, _ area: UnsafeMutableRawPointer) -> Int {
    let size = ExtendedState.size(cpu.pointee.xcr0, compacted: false)
    area.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    ExtendedState.save(cpu, to: area, requested: cpu.pointee.xcr0, wide: true, compacted: false)
    return size
  }

  /// Reads back what the frame says it holds; the other components return to their initial state. A size that cannot be
  /// means that only the legacy region counts. False, with nothing changed, when the image is malformed.
  private static func restore(
    _ cpu: UnsafeMutablePointer<CPUState>, _ area: UnsafeRawPointer, _ size: Int
  ) -> Bool {
    let existing = cpu.pointee.xcr0
    let isLegacy = size < ExtendedState.headerEnd || size > ExtendedState.size(existing, compacted: false)
    let held = isLegacy ? ExtendedState.x87 | ExtendedState.sse : existing & components(area)
    let restored =
      isLegacy
      ? ExtendedState.restoreLegacy(cpu, from: area, wide: true)
      : ExtendedState.restore(cpu, from: area, requested: held, wide: true)
    if restored { ExtendedState.initialize(cpu, existing & ~held) }
    return restored
  }

  /// `xfeatures` of the kernel's `struct _fpx_sw_bytes`, which lies in the unused bytes 464–511 of the legacy region.
  private static func components(_ area: UnsafeRawPointer) -> UInt64 {
    area.load(fromByteOffset: 472, as: UInt64.self)
  }
}
