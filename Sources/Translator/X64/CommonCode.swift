// Code that all blocks share: the way out, the report of an indirect branch without a block, the lookup of a return
// elsewhere, the bottom of the shadow stack; and the indirect entries of blocks.

import CHost

/// Writes shared code into an empty cache.
enum CommonCode {
  /// Writes it all; returns the host address of the code that a return without a call arrives at.
  static func write(_ cache: CodeCache) -> UInt64 {
    var assembler = cache.assembler(at: 0)
    // Offset 0: the way out.
    writeJump(to: vt_translated_exit_address(), &assembler)
    cache.callStub = UInt32(truncatingIfNeeded: assembler.cursor - cache.writable)
    let makesCalls = cache.countingState == nil ? vt_direct_call_address() : vt_logged_call_address()
    writeJump(to: makesCalls, &assembler)
    cache.missStub = UInt32(truncatingIfNeeded: assembler.cursor - cache.writable)
    assembler.storeState(constant: Int(VT_EXIT_INDIRECT), StateOffset.site)
    let leave = assembler.jump()
    // A host RET has taken the lowest entry, this code's address: it is put back by moving the pointer.
    let bottom = cache.executable &+ UInt64(assembler.cursor - cache.writable)
    assembler.add(HostRegister.shadowStack, -8)
    cache.returnStub = UInt32(truncatingIfNeeded: assembler.cursor - cache.writable)
    assembler.narrow(0x89, HostRegister.secondScratch, .memory(.state(StateOffset.indirectSite)))
    assembler.move(HostRegister.secondScratch, HostRegister.scratch)
    _ = writeIndirectJump(&assembler, cache)
    if cache.countingState != nil { writeCountingStubs(&assembler, cache) }
    cache.patch(UInt32(truncatingIfNeeded: leave - cache.writable), to: cache.leaveStub)
    cache.used = assembler.cursor - cache.writable
    cache.keepCommonCode()
    return bottom
  }

  /// JMP [RIP + 2]; the address follows, aligned, because the guest may have set AC.
  private static func writeJump(to code: UnsafeRawPointer?, _ assembler: inout Assembler) {
    for byte: UInt8 in [0xff, 0x25, 2, 0, 0, 0, 0xcc, 0xcc] { assembler.byte(byte) }
    assembler.word64(UInt64(UInt(bitPattern: code)))
  }

  /// Between RBP, where the budget is while code counts, and the state that has it otherwise.
  private static func writeCountingStubs(_ assembler: inout Assembler, _ cache: CodeCache) {
    cache.leaveStub = UInt32(truncatingIfNeeded: assembler.cursor - cache.writable)
    assembler.storeState(HostRegister.state, StateOffset.remaining)
    assembler.loadState(HostRegister.state, StateOffset.other)
    cache.patch(UInt32(truncatingIfNeeded: assembler.jump() - cache.writable), to: 0)
    let makesCalls = cache.callStub
    cache.callStub = UInt32(truncatingIfNeeded: assembler.cursor - cache.writable)
    assembler.storeState(HostRegister.state, StateOffset.remaining)
    assembler.loadState(HostRegister.state, StateOffset.other)
    cache.patch(UInt32(truncatingIfNeeded: assembler.jump() - cache.writable), to: makesCalls)
    cache.entryStub = UInt32(truncatingIfNeeded: assembler.cursor - cache.writable)
    assembler.loadState(HostRegister.state, StateOffset.remaining)
    // JMP [entry]
    assembler.narrow(0xff, 4, .memory(.state(StateOffset.entry)))
  }

  /// The indirect entry in front of a block, or of a jump, that is about to be written: the target is compared, JRCXZ leads there.
  /// Returns the offsets of JRCXZ's distance (written 0, nothing gets through any more) and of the distance to common code.
  static func writeIndirectEntry(
    _ guest: UInt64, _ assembler: inout Assembler, _ cache: CodeCache
  ) -> (distance: UInt32, miss: UInt32) {
    Difference(guest).write(&assembler, from: HostRegister.secondScratch)
    let same = assembler.jumpIfScratchZero()
    let miss = UInt32(truncatingIfNeeded: assembler.jump() - cache.writable)
    cache.patch(miss, to: cache.missStub)
    assembler.completeShort(same)
    return (UInt32(truncatingIfNeeded: same - cache.writable), miss)
  }

  /// The host address of `block`'s indirect entry, which is made apart from it if it has none. Nil when the cache is full.
  static func indirectEntry(_ block: Int, _ cache: CodeCache) -> UInt64? {
    if cache.records[block].indirectEntry == 0 {
      guard cache.hasRoom else { return nil }
      cache.willChange()
      var assembler = cache.assembler(at: cache.used)
      cache.records[block].indirectEntry = UInt32(truncatingIfNeeded: cache.used)
      cache.records[block].indirectDistance =
        writeIndirectEntry(cache.blocks[block].guest, &assembler, cache).distance
      while (Int(bitPattern: assembler.cursor) &+ 1) & 63 > 60 { assembler.nop() }
      cache.patch(UInt32(truncatingIfNeeded: assembler.jump() - cache.writable), to: cache.blocks[block].host)
      let end = assembler.cursor - cache.writable
      cache.tell(.indirectEntry, guest: cache.blocks[block].guest, guestSize: 0, cache.used, end)
      cache.used = end
    }
    return cache.executable &+ UInt64(cache.records[block].indirectEntry)
  }

  /// How many links a place of the table leads over before a new entry takes the place of all.
  static let mostLinks: UInt8 = 16

  /// Has the table lead to `entry` for `guest`. Where another address with the same low 16 bits has the place, a link is put in front of
  /// its entry: it compares with `guest` and goes on to the one or to the other. Large programs have many such
  /// addresses, and two that follow each other in a loop would leave translated code each time.
  static func enter(_ guest: UInt64, at entry: UInt64, _ cache: CodeCache) {
    let place = Int(guest & 0xffff)
    let other = cache.jumps[place]
    cache.jumps[place] = entry
    if other == 0 || other == entry { return }
    cache.statistics.indirectConflicts &+= 1
    guard cache.hasRoom, cache.addLink(place) else { return }
    cache.jumps[place] = writeLink(guest, to: entry, else: other, cache)
  }

  /// Writes a link of a chain; returns its host address.
  static func writeLink(_ guest: UInt64, to entry: UInt64, else other: UInt64, _ cache: CodeCache) -> UInt64 {
    cache.willChange()
    let start = cache.used
    var assembler = cache.assembler(at: start)
    let miss = writeIndirectEntry(guest, &assembler, cache).miss
    cache.patch(miss, to: UInt32(truncatingIfNeeded: other &- cache.executable))
    let jump = UInt32(truncatingIfNeeded: assembler.jump() - cache.writable)
    cache.patch(jump, to: UInt32(truncatingIfNeeded: entry &- cache.executable))
    cache.used = assembler.cursor - cache.writable
    cache.tell(.indirectEntry, guest: guest, guestSize: 0, start, cache.used)
    return cache.executable &+ UInt64(start)
  }
}
