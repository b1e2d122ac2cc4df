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

  /// Branches to guest address `rip` through the cache, or leaves to look it up. `commit` changes what the branch changes
  /// besides RIP (the stack); it comes last, because an address that is not canonical is a fault of the branch itself.
  // PERF: inlined with its closure into the five handlers of indirect branches.
  @inline(__always) static func branch(
    to rip: UInt64, _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>,
    _ w: UnsafeMutableRawPointer, _ n: Int64, pushes: Bool = false, commit: () -> Void
  ) {
    if let table = c.pointee.block_cache?.assumingMemoryBound(to: JumpCacheEntry.self) {
      let entry = table + index(rip)
      if entry.pointee.rip == rip, let target = entry.pointee.operation {
        commit()
        return transfer(target, c, w, n)
      }
    }
    if pushes {
      // Silicon looks at the stack before it looks at the target.
      let b = Interpreter(o, c, w)
      vt_probe_write(b.host(b.readRegister(W64.self, GeneralOffset.rsp) &- 8))
    }
    if !isCanonical(rip) { Interpreter(o, c, w).trap(.generalProtection) }
    commit()
    return leave(c, n, rip: rip, ExitReason.resolve, 0)
  }

  /// Whether bits 63…47 are equal.
  @inline(__always) static func isCanonical(_ address: UInt64) -> Bool {
    (Int64(bitPattern: address) &<< 16) &>> 16 == Int64(bitPattern: address)
  }
}
