// The x87 unit's state between runs of translated code: an FXSAVE image. The unit remembers where its last instruction with
// an unmasked exception was; in translated code that is a host address, which becomes the guest's here.

import CHost
import Engine
import X86

extension TranslatorEngine {
  private static let opcodeOffset = 6
  private static let pointerOffset = 8

  /// Makes the image that translated code is entered with.
  func enterX87(_ cpu: UnsafeMutablePointer<CPUState>) {
    ExtendedState.saveLegacy(cpu, to: x87Area, wide: true)
    x87Pointer = x87Area.load(fromByteOffset: TranslatorEngine.pointerOffset, as: UInt64.self)
  }

  /// Takes the guest's state from the image.
  func leaveX87(_ cpu: UnsafeMutablePointer<CPUState>) {
    let pointer = x87Area.load(fromByteOffset: TranslatorEngine.pointerOffset, as: UInt64.self)
    if pointer != x87Pointer, cache.isInside(pointer) { translatePointer(pointer) }
    ExtendedState.restoreX87(cpu, from: x87Area, wide: true)
  }

  /// Replaces the address of a host instruction, and its opcode, by the guest's. The opcode has eleven bits: the first
  /// byte's low three, and ModRM (SDM volume 1, section 8.1.9).
  private func translatePointer(_ pointer: UInt64) {
    var block: UnsafePointer<vt_translated_block>?
    let host = UInt32(truncatingIfNeeded: pointer &- cache.executable)
    guard let entry = vt_translated_find(cache.translation, host, &block), let block else { return }
    let guest = block.pointee.guest &+ UInt64(entry.pointee.guest)
    x87Area.storeBytes(of: guest, toByteOffset: TranslatorEngine.pointerOffset, as: UInt64.self)
    guard let instruction = decode(guest)?.instruction else { return }
    let opcode = UInt16(instruction.opcode & 7) &<< 8 | UInt16(instruction.modRM)
    x87Area.storeBytes(of: opcode, toByteOffset: TranslatorEngine.opcodeOffset, as: UInt16.self)
  }
}
