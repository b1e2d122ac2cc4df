// Addresses that instructions name without accessing them.

import X86

extension Instruction {
  /// The address or constant that LEA relative to RIP, or MOV of an immediate, hands on; `next` lies behind the instruction.
  // PERF: asked of each instruction that is translated. Opcodes of other maps may be meant: then the answer is of no use.
  @inline(__always)
  public func namedAddress(next: UInt64) -> UInt64? {
    switch opcode {
    case 0x8d: base == Instruction.relative ? next &+ UInt64(bitPattern: displacement) : nil
    case 0xb8...0xbf, 0xc7: UInt64(bitPattern: immediate)
    default: nil
    }
  }
}
