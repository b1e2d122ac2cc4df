// What the translator shows of its work: blocks as plain values, for listings, profilers and tests, and the observer that is
// told of new code. Copies out of the code cache; nothing here changes it. This module knows neither files nor symbols:
// what is made of the blocks is the observer's business.

import CHost

/// One block of translated code, copied out of the cache.
///
///     host  ┌ entry 0 ┬ entry 1 ┬ … ┬ stub of exit 0 ┬ stub of exit 1 ┬ … ┐
///           │  code of the guest instructions        │ code that leaves   │
public struct TranslatedBlock: Sendable {
  /// Where the code of one guest instruction begins, in bytes from the block's beginning on both sides.
  public struct Entry: Sendable, Equatable {
    public var host: Int
    public var guest: Int
    /// VT_ENTRY_…: 0, or a set of what differs there from the guest's state.
    public var kind: Int
    /// What RSP is more than its host register there.
    public var stack: Int
    /// More code of the same guest instruction.
    public var isInside: Bool { kind & VT_ENTRY_INSIDE != 0 }
  }

  /// Why a block can be left.
  public enum ExitKind: UInt8, Sendable {
    /// A direct branch, linked to its target's block as soon as that exists.
    case branch
    /// The interpreter executes the instruction at the target.
    case interpret
    case systemCall
    /// The guest's stack pointer is outside the window.
    case wildStack
    /// The budget may not reach over the block, or what follows a call in it.
    case budget
    /// A register that the block's loop guards in front is no address.
    case wildLoop
  }

  /// One place where a block can be left.
  public struct Exit: Sendable, Equatable {
    public var kind: ExitKind
    /// Guest address of what comes next.
    public var target: UInt64
    /// The jump's 32-bit distance, and the stub: bytes from the block's beginning.
    public var patch: Int
    public var stub: Int
    /// The jump goes to the target's block instead of the stub.
    public var isLinked: Bool
  }

  /// The block's number in its cache; valid until everything is forgotten.
  public var number: Int
  /// Guest address of the first instruction, and bytes of guest code.
  public var guest: UInt64
  public var guestSize: Int
  /// Where the code is executed, and its bytes: code of the instructions first, stubs from `stubs` on.
  public var hostAddress: UInt64
  public var host: [UInt8]
  public var stubs: Int
  public var entries: [Entry]
  public var exits: [Exit]
  /// Its code has not changed since.
  public var isAlive: Bool

  public func contains(_ address: UInt64) -> Bool { address &- guest < UInt64(guestSize) }
}

/// A piece of host code that was written just now.
public struct TranslatedCode {
  public enum Kind: Sendable {
    /// A block; the number that `TranslatorEngine.translation(number:)` takes.
    case block(Int)
    /// Where indirect branches to a block enter.
    case indirectEntry
    /// What all blocks share.
    case common
  }
  public var kind: Kind
  /// Guest address and bytes of guest code; 0 for common code.
  public var guest: UInt64
  public var guestSize: Int
  /// Host address and the code itself, which may be read during the call only.
  public var hostAddress: UInt64
  public var host: UnsafeRawBufferPointer
}

/// Whoever wants to know of every piece of host code. Called by the thread that translates, between two blocks.
public struct TranslationObserver {
  public var wrote: (TranslatedCode) -> Void
  /// Everything but common code is about to be forgotten.
  public var willFlush: () -> Void

  public init(wrote: @escaping (TranslatedCode) -> Void, willFlush: @escaping () -> Void) {
    self.wrote = wrote
    self.willFlush = willFlush
  }
}

extension CodeCache {
  /// Tells the observer, if there is one, of the code from offset `begin` to `end`.
  func tell(_ kind: TranslatedCode.Kind, guest: UInt64, guestSize: Int, _ begin: Int, _ end: Int) {
    guard let observer else { return }
    let bytes = UnsafeRawBufferPointer(start: writable + begin, count: end &- begin)
    observer.wrote(
      TranslatedCode(
        kind: kind, guest: guest, guestSize: guestSize, hostAddress: executable &+ UInt64(begin), host: bytes)
    )
  }

  /// A copy of block `number`; nil when there is none.
  func copy(_ number: Int) -> TranslatedBlock? {
    guard number >= 0, number < blockCount else { return nil }
    let block = blocks[number]
    let size = Int(block.host_end &- block.host)
    let entries = (0..<Int(block.entry_count)).map { index in
      let entry = self.entries[Int(block.first_entry) &+ index]
      return TranslatedBlock.Entry(
        host: Int(entry.host), guest: Int(entry.guest), kind: Int(entry.kind), stack: Int(entry.stack))
    }
    let first = Int(records[number].firstSite)
    var exits: [TranslatedBlock.Exit] = []
    for index in first..<first &+ Int(records[number].siteCount) {
      let site = sites[index]
      guard let kind = TranslatedBlock.ExitKind(rawValue: site.kind.rawValue) else { continue }
      exits.append(
        TranslatedBlock.Exit(
          kind: kind, target: site.target, patch: Int(site.patch) &- Int(block.host),
          stub: Int(site.stub &- block.host), isLinked: site.isLinked))
    }
    return TranslatedBlock(
      number: number, guest: block.guest, guestSize: Int(block.guest_size), hostAddress: hostAddress(number),
      host: Array(UnsafeBufferPointer(start: writable + Int(block.host), count: size)),
      stubs: exits.map(\.stub).min() ?? size, entries: entries, exits: exits, isAlive: records[number].isAlive
    )
  }
}

extension TranslatorEngine {
  /// Is told of all host code from now on, and at once of what exists.
  public func observe(_ observer: TranslationObserver) {
    cache.observer = observer
    cache.tell(.common, guest: 0, guestSize: 0, 0, cache.commonSize)
  }

  /// Block `number`, as the observer was told it; nil when there is none.
  public func translation(number: Int) -> TranslatedBlock? { cache.copy(number) }

  /// The block that begins at guest address `address`, which is translated now if it has not been. Nil when its first
  /// instruction cannot be fetched. Nothing is executed.
  public func translation(of address: UInt64) -> TranslatedBlock? {
    (cache.lookup(address) ?? makeBlock(address)).flatMap { cache.copy($0) }
  }

  /// The code through which indirect branches enter the block at guest address `address`, which is made now if it has not
  /// been; nil when there is no such block, or no room.
  public func indirectEntry(of address: UInt64) -> (host: UInt64, code: [UInt8])? {
    guard let index = cache.lookup(address), let host = CommonCode.indirectEntry(index, cache) else {
      return nil
    }
    let record = cache.records[index]
    let start = cache.writable + Int(record.indirectEntry)
    // The comparison, JRCXZ and the jump that it skips; then the block itself, or a jump to it.
    var size = Int(record.indirectDistance &- record.indirectEntry) &+ 1 &+ Int(CodeCache.jumpSize)
    if record.indirectEntry &+ UInt32(size) != cache.blocks[index].host {
      while start[size] == 0x90 { size &+= 1 }
      size &+= Int(CodeCache.jumpSize)
    }
    return (host, Array(UnsafeBufferPointer(start: start, count: size)))
  }

  /// A link of a chain of indirect entries, made anew: to the one of the block at guest address `address`, or else out of
  /// translated code. Nil where there is no such entry.
  public func indirectLink(to address: UInt64) -> (host: UInt64, code: [UInt8])? {
    guard let entry = indirectEntry(of: address)?.host, cache.hasRoom else { return nil }
    let start = cache.used
    let miss = cache.executable &+ UInt64(cache.missStub)
    let host = CommonCode.writeLink(address, to: entry, else: miss, cache)
    return (host, Array(UnsafeBufferPointer(start: cache.writable + start, count: cache.used &- start)))
  }

  /// Guest address of the block whose code begins at the host address `host`.
  public func guestAddress(ofBlockAt host: UInt64) -> UInt64? {
    var (low, high) = (0, cache.blockCount)
    while low < high {
      let middle = (low &+ high) / 2
      if cache.hostAddress(middle) < host { low = middle &+ 1 } else { high = middle }
    }
    return low < cache.blockCount && cache.hostAddress(low) == host ? cache.blocks[low].guest : nil
  }

  /// Whether the host address `host` is in the code that all blocks share.
  public func isCommonCode(_ host: UInt64) -> Bool { host &- cache.executable < UInt64(cache.commonSize) }

  /// The live blocks that `address` is in: several when one jumps into the middle of another.
  public func translations(covering address: UInt64) -> [TranslatedBlock] {
    (0..<cache.blockCount).filter {
      cache.records[$0].isAlive && address &- cache.blocks[$0].guest < UInt64(cache.blocks[$0].guest_size)
    }.compactMap { cache.copy($0) }
  }
}
