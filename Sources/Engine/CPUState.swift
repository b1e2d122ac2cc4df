// The guest CPU's state: the C struct `vt_cpu_state` under the name the rest of the product uses, its creation, and the
// offsets of arrays that Swift imports as tuples.

import CHost
import X86

/// Byte offsets of arrays in `vt_cpu_state`, pinned by assertions in CHost/state.c.
enum CPUStateLayout {
  // PERF: constants in address arithmetic of every vector handler.
  @inline(__always) static var vector: Int { Int(VT_OFFSET_VECTOR) }
  @inline(__always) static var x87: Int { Int(VT_OFFSET_X87) }
}

extension vt_cpu_state {
  /// Bytes and alignment for allocating a state.
  public static var allocationSize: Int { MemoryLayout<vt_cpu_state>.size }
  public static var allocationAlignment: Int { 64 }

  /// The flags, taken together from their three words.
  // PERF: of the three words a handler loads and stores only those it uses.
  @inline(__always) public var lazyFlags: LazyFlags {
    get { LazyFlags(result: flags_result, carries: flags_carries, other: flags_other) }
    set {
      flags_result = newValue.result
      flags_carries = newValue.carries
      flags_other = newValue.other
    }
  }

  /// The word that makes engines return.
  public static func attention(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> UnsafeMutablePointer<UInt32> {
    // SAFETY: an aligned 32-bit member of the state.
    (UnsafeMutableRawPointer(cpu) + Int(VT_OFFSET_ATTENTION)).assumingMemoryBound(to: UInt32.self)
  }

  /// TF in RFLAGS: a debug exception behind each instruction.
  public static let trapFlag: UInt64 = 0x100

  /// The state after reset into user mode: registers zero, MXCSR and x87 control at their defaults, all x87 empty.
  public static func initialize(_ cpu: UnsafeMutablePointer<vt_cpu_state>) {
    UnsafeMutableRawPointer(cpu).initializeMemory(as: UInt8.self, repeating: 0, count: allocationSize)
    cpu.pointee.flags_result = 1
    cpu.pointee.flags_carries = 0x100
    cpu.pointee.flags_other = 0x202
    cpu.pointee.mxcsr = 0x1f80
    #if arch(x86_64)
      cpu.pointee.host_features = vt_host_float_features()
    #endif
    cpu.pointee.x87_control = 0x37f
    cpu.pointee.xcr0 = 7
    cpu.pointee.segment_selectors = (0, 0x33, 0x2b, 0, 0, 0)
  }
}
