// RFLAGS in and out of the guest's lazy form.

import CHost
import Engine
import X86

enum CPUFlags {
  static func store(_ rflags: UInt64, _ cpu: UnsafeMutablePointer<CPUState>) {
    let flags = LazyFlags(rflags: rflags)
    cpu.pointee.flags_result = flags.result
    cpu.pointee.flags_carries = flags.carries
    cpu.pointee.flags_other = flags.other
  }

  static func load(_ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    LazyFlags(
      result: cpu.pointee.flags_result, carries: cpu.pointee.flags_carries, other: cpu.pointee.flags_other
    ).rflags
  }
}
