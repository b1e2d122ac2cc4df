// The direct-mapped cache that turns the target address of an indirect branch into an operation. It is a plain table in
// memory at `vt_cpu_state.block_cache`, owned by `BlockCache`, read here by handlers.

import CHost

/// One entry; an empty one has an address that no guest can branch to.
struct JumpCacheEntry {
  var rip: UInt64
  var operation: UnsafePointer<Operation>?
}

enum JumpCache {
  /// A power of two. 16 KiB × 4: stays in L2.
  // PERF: folded into the handlers of indirect branches.
  @inline(__always) static var count: Int { 4096 }

  @inline(__always) static func index(_ rip: UInt64) -> Int {
    Int(truncatingIfNeeded: (rip ^ (rip &>> 12)) & UInt64(truncatingIfNeeded: count &- 1))
  }

  /// Branches to guest address `rip` through the cache, or leaves to look it up.
  @inline(__always) static func branch(
    to rip: UInt64, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
  ) {
    guard let table = c.pointee.block_cache?.assumingMemoryBound(to: JumpCacheEntry.self) else {
      return leave(c, n, rip: rip, ExitReason.resolve, 0)
    }
    let entry = table + index(rip)
    if entry.pointee.rip == rip, let target = entry.pointee.operation {
      return transfer(target, c, w, n)
    }
    return leave(c, n, rip: rip, ExitReason.resolve, 0)
  }
}
