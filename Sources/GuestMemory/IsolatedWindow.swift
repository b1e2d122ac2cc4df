// The layout of a process in which all of the host's own memory lies below the guest's window, and how a process gets
// there: the kernel starts it with its stack, its arguments and the vdso at the very top.
//
//     0x400000       lowest           base                 base + limit          top
//     | Vitrine, heap, | 64 GiB         | guest 0 … limit      | 128 GiB            | no user memory
//     | threads, stack | inaccessible   |                      | inaccessible       |
//
// With 2^47 bytes of user space base is 2^40 and limit 2^47 - 2^40 - 2^37. Owns nothing; runs once, before anything else.
import CHost

/// A place for one `AddressSpace` with nothing of the host's at or above `base - AddressSpace.guardSize`. It is reserved, and
/// belongs to the one `AddressSpace` that is created with it.
public struct IsolatedWindow: Sendable, Equatable {
  /// Host address of guest address 0.
  public let base: UInt64
  /// Bytes; a multiple of `AddressSpace.guardSize`.
  public let limit: UInt64

  /// The lowest reserved address.
  public var lowest: UInt64 { base &- AddressSpace.guardSize }

  /// The window of 2^`bits` bytes in a user space that ends at `top`; nil when it does not fit with its guards and 2^36
  /// bytes for the host.
  init?(below top: UInt64, bits: UInt64) {
    let (rest, overflow) = top.subtractingReportingOverflow((1 << bits) &+ 2 &* AddressSpace.guardSize)
    if overflow || rest < 2 &* AddressSpace.guardSize { return nil }
    base = rest
    limit = 1 << bits
  }

  /// The largest window below `top`, a multiple of the guard's size: the host keeps 2^40 bytes. Nil when that is not more than 2^46.
  init?(below top: UInt64) {
    base = 1 << 40
    let (rest, overflow) = top.subtractingReportingOverflow(base &+ 2 &* AddressSpace.guardSize)
    if overflow || rest <= 1 << 46 { return nil }
    limit = rest
  }

  /// All windows for a user space that ends at `top`, largest first.
  static func candidates(below top: UInt64) -> [IsolatedWindow] {
    let largest = IsolatedWindow(below: top)
    return (largest.map { [$0] } ?? []) + (0...6).compactMap { IsolatedWindow(below: top, bits: 46 &- $0) }
  }

  /// The end of the user space that has a stack up to `address`: the next power of two, as the kernel has it; else a multiple of the guard's
  /// size, as a guest of Vitrine has it. Nil when it is neither. `isUser` tells whether a page can be a user's.
  static func userSpaceEnd(above address: UInt64, isUser: (_ page: UInt64) -> Bool) -> UInt64? {
    let power: UInt64 = address >= 1 << 62 ? 1 << 63 : 1 << UInt64(64 &- address.leadingZeroBitCount)
    // The last page may be the kernel's nevertheless.
    if isUser(power &- 2 &* Page.size) { return power }
    let multiple = (address &+ AddressSpace.guardSize &- 1) & ~(AddressSpace.guardSize &- 1)
    return isUser(multiple &- 2 &* Page.size) && !isUser(multiple) ? multiple : nil
  }
}

extension IsolatedWindow {
  /// Bytes of the stack that `evacuate` makes; the kernel's own default.
  static let stackSize: UInt64 = 8 << 20

  /// Runs `body` with nothing of the host's above the window that it is given: on a new stack, with the arguments and
  /// environment moved and the vdso gone. Gives nil, and changes nothing, where that is impossible: another C library or
  /// kernel, memory of unknown use at the top, an emulator without MAP_FIXED_NOREPLACE.
  ///
  /// To be called first thing, by the only thread, from a frame that nobody needs any more. What `body` captures must not
  /// point into the stack.
  public static func evacuate(_ body: @escaping (IsolatedWindow?) -> Never) -> Never {
    #if arch(x86_64) && os(Linux)
      if let move = Move() { move.run(body) }
    #endif
    body(nil)
  }
}

#if arch(x86_64) && os(Linux)
  /// A move to new places, which are reserved.
  private struct Move {
    /// Room for the vdso's data pages below it; Linux 6.18 has six.
    private static let dataBelowVDSO: UInt64 = 16 * 4096
    /// The kernel keeps this much below a stack free of other mappings (`stack_guard_gap`).
    private static let freeBelowStack: UInt64 = 256 * 4096

    let window: IsolatedWindow
    let block: vt_kernel_block
    /// From here up lie only the kernel's stack, vdso and vvar.
    let oldPlaces: UInt64
    /// The last page of user space cannot be mapped.
    let end: UInt64

    /// Reserves the window, its guards and a stack; nil when something is in the way.
    init?() {
      var block = vt_kernel_block()
      guard vt_kernel_block_is_movable() != 0, vt_kernel_block_find(&block) == 0 else { return nil }
      guard let top = IsolatedWindow.userSpaceEnd(above: block.end, isUser: Move.isUser) else { return nil }
      let most = Move.addressSpaceLimit()
      for candidate in IsolatedWindow.candidates(below: top) {
        guard candidate.limit &+ 4 &* AddressSpace.guardSize <= most,
          let oldPlaces = Move.reserve(candidate, block)
        else { continue }
        window = candidate
        self.block = block
        self.oldPlaces = oldPlaces
        end = top &- 4096
        return
      }
      return nil
    }

    /// RLIMIT_AS: reserved memory counts.
    private static func addressSpaceLimit() -> UInt64 {
      var limit: (soft: UInt64, hard: UInt64) = (.max, .max)
      // SAFETY: getrlimit(2) fills two words, or none.
      _ = withUnsafeMutableBytes(of: &limit) {
        vt_syscall6(97, 9, Int64(Int(bitPattern: $0.baseAddress)), 0, 0, 0, 0)
      }
      return limit.soft
    }

    /// Whether something is, or could be, mapped at `page`.
    private static func isUser(_ page: UInt64) -> Bool {
      let exists: Int64 = -17
      let result = HostMemory.map(
        page, Page.size, protection: HostMemory.protectionNone,
        flags: HostMemory.private | HostMemory.anonymous | HostMemory.fixedNoReplace)
      if result == Int64(bitPattern: page) { _ = HostMemory.unmap(page, Page.size) }
      return result == Int64(bitPattern: page) || result == exists
    }

    /// Whether the kernel still finds room for the host's own mappings, which it may look for from a third of user space on only
    /// (`ulimit -s unlimited`).
    private static func hasRoom() -> Bool {
      let size: UInt64 = 1 << 34
      let result = HostMemory.map(
        0, size, protection: HostMemory.protectionNone,
        flags: HostMemory.private | HostMemory.anonymous | HostMemory.noReserve)
      if result >= 0 { _ = HostMemory.unmap(UInt64(bitPattern: result), size) }
      return result >= 0
    }

    /// Bytes below the lower guard: the stack, the moved block, and a page that nobody may touch.
    private static func stackBytes(_ block: vt_kernel_block) -> UInt64 {
      ((block.end &- block.start &+ 4095) & ~4095) &+ IsolatedWindow.stackSize &+ 4096
    }

    /// Reserves up to the old places, which must be free, and maps the new stack. The lowest address of the old places.
    private static func reserve(_ window: IsolatedWindow, _ block: vt_kernel_block) -> UInt64? {
      let start = window.lowest &- stackBytes(block)
      var oldPlaces = (block.start &- freeBelowStack) & ~4095
      let hasHighVDSO = block.vdso >= window.lowest
      if hasHighVDSO { oldPlaces = min(oldPlaces, block.vdso &- dataBelowVDSO) }
      guard start < oldPlaces, hasHighVDSO || block.vdso < start else { return nil }
      let anonymous = HostMemory.private | HostMemory.anonymous | HostMemory.noReserve
      let size = oldPlaces &- start
      let result = HostMemory.map(
        start, size, protection: HostMemory.protectionNone, flags: anonymous | HostMemory.fixedNoReplace)
      if result < 0 { return nil }
      let stack = HostMemory.map(
        start &+ 4096, stackBytes(block) &- 4096,
        protection: HostMemory.protectionRead | HostMemory.protectionWrite,
        flags: anonymous | HostMemory.fixed | HostMemory.stack)
      if result == Int64(bitPattern: start), stack >= 0, hasRoom() { return oldPlaces }
      _ = HostMemory.unmap(UInt64(bitPattern: result), size)
      return nil
    }

    /// What the first function on the new stack needs.
    private typealias Start = (Move, (IsolatedWindow?) -> Never)

    /// The second half, on the new stack: replaces the old places.
    private func finish(_ body: (IsolatedWindow?) -> Never) -> Never {
      if HostMemory.cover(oldPlaces, end) { body(window) }
      _ = HostMemory.unmap(window.lowest, end &- window.lowest)
      body(nil)
    }

    func run(_ body: @escaping (IsolatedWindow?) -> Never) -> Never {
      let size = block.end &- block.start
      let target = ((window.lowest &- size) & ~15) &- 16 &+ (block.start & 15)
      var block = block
      vt_kernel_block_move(&block, target, block.vdso >= window.lowest ? 1 : 0)
      // SAFETY: in the heap, because the old stack is gone when it is read; freed there.
      let context = UnsafeMutablePointer<Start>.allocate(capacity: 1)
      context.initialize(to: (self, body))
      vt_run_on_stack(
        target,
        { context in
          guard let context = context?.assumingMemoryBound(to: Start.self) else { return }
          let (move, body) = context.move()
          // Freed memory need not remember where things were.
          UnsafeMutableRawPointer(context).initializeMemory(
            as: UInt8.self, repeating: 0, count: MemoryLayout<Start>.size)
          context.deallocate()
          // The last copies of addresses went through them.
          vt_forget_vectors()
          move.finish(body)
        }, context)
    }
  }
#endif
