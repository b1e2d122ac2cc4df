// The guest's view of addresses: one window of fixed size.

/// The reserved range of host addresses in which the guest's memory lies: host address = base + guest address.
public enum Window {
  /// Bytes in the window: guest addresses are below it. A power of two. One host in two halves of 47 bits cannot hold
  /// a 47-bit window, so the guest sees 46 bits (64 TiB).
  // PERF: an immediate operand of every memory access of the interpreter.
  @inline(__always) public static var size: UInt64 { 1 << 46 }
  /// Inaccessible bytes after the window: accesses clamped to `size`, plus the largest operand, end here.
  @inline(__always) public static var guardSize: UInt64 { 1 << 20 }
}
