// The code cache without guest code: links, their undoing, pages that change, emptying, and being full.

import CHost
import Testing

@testable import Translator

@Suite(.serialized) struct CodeCacheTests {
  private static let blockSize = 64

  private func makeCache() throws -> CodeCache {
    try #require(CodeCache(capacity: 256 << 10))
  }

  /// A block of `blockSize` bytes with one exit: a jump at its beginning, its stub in the middle.
  private func addBlock(_ cache: CodeCache, _ guest: UInt64, size: UInt16 = 16, to target: UInt64) -> (
    block: Int, site: Int
  ) {
    let begin = UInt32(cache.used)
    let site = cache.addSite(
      Site(target: target, patch: begin + 1, stub: begin + 32, kind: .branch))
    cache.patch(begin + 1, to: begin + 32)
    cache.used += CodeCacheTests.blockSize
    let block = cache.add(
      vt_translated_block(
        guest: guest, host: begin, host_end: UInt32(cache.used), first_entry: UInt32(cache.entryCount),
        entry_count: 0, guest_size: size),
      BlockRecord(firstSite: UInt32(site), siteCount: 1, instructions: 1))
    return (block, site)
  }

  /// Offset that the jump of `site` leads to, as the processor sees it.
  private func destination(_ cache: CodeCache, _ site: Int) -> UInt32 {
    let place = cache.sites[site].patch
    let executable = UnsafeRawPointer(bitPattern: UInt(cache.executable))
    let distance = executable?.loadUnaligned(fromByteOffset: Int(place), as: UInt32.self) ?? 0
    return place &+ 4 &+ distance
  }

  @Test func findsWhatWasAdded() throws {
    let cache = try makeCache()
    for number in 0..<1000 as Range<UInt64> {
      #expect(cache.lookup(0x1000 + number * 7) == nil)
      _ = addBlock(cache, 0x1000 + number * 7, to: 0)
    }
    for number in 0..<1000 as Range<UInt64> { #expect(cache.lookup(0x1000 + number * 7) == Int(number)) }
    #expect(cache.lookup(0x1001) == nil)
  }

  @Test func linksAndUnlinks() throws {
    let cache = try makeCache()
    let first = addBlock(cache, 0x1000, to: 0x5000)
    let second = addBlock(cache, 0x3000, to: 0x5000)
    let target = addBlock(cache, 0x5000, to: 0x1000)
    #expect(destination(cache, first.site) == cache.sites[first.site].stub)
    cache.link(first.site, to: target.block)
    cache.link(second.site, to: target.block)
    cache.link(target.site, to: first.block)
    // Once more changes nothing.
    cache.link(first.site, to: target.block)
    #expect(cache.statistics.links == 3)
    #expect(destination(cache, first.site) == cache.blocks[target.block].host)
    #expect(destination(cache, second.site) == cache.blocks[target.block].host)

    cache.invalidate(pages: 5..<6)
    #expect(cache.statistics.invalidations == 1 && cache.statistics.unlinks == 2)
    #expect(cache.lookup(0x5000) == nil)
    #expect(destination(cache, first.site) == cache.sites[first.site].stub)
    #expect(destination(cache, second.site) == cache.sites[second.site].stub)
    #expect(destination(cache, target.site) == cache.blocks[first.block].host)
    #expect(cache.lookup(0x1000) == first.block && cache.lookup(0x3000) == second.block)

    let again = addBlock(cache, 0x5000, to: 0x1000)
    #expect(cache.lookup(0x5000) == again.block)
    cache.link(first.site, to: again.block)
    #expect(destination(cache, first.site) == cache.blocks[again.block].host)
  }

  @Test func aBlockOnTwoPagesDiesWithEither() throws {
    for page in [1, 2] as [UInt64] {
      let cache = try makeCache()
      let block = addBlock(cache, 0x1ff8, size: 16, to: 0)
      cache.invalidate(pages: 3..<9)
      cache.invalidate(pages: 0..<1)
      #expect(cache.lookup(0x1ff8) == block.block)
      cache.invalidate(pages: page..<page + 1)
      #expect(cache.lookup(0x1ff8) == nil)
      #expect(cache.statistics.invalidations == 1)
      // The other page no longer matters.
      cache.invalidate(pages: 0..<4)
      #expect(cache.statistics.invalidations == 1)
    }
  }

  @Test func hugeRangesAreNotWalked() throws {
    let cache = try makeCache()
    _ = addBlock(cache, 0x1000, to: 0)
    _ = addBlock(cache, 0x7fff_0000_0000, to: 0)
    cache.invalidate(pages: 0..<1 << 52)
    #expect(cache.statistics.invalidations == 2)
  }

  @Test func deadBlocksAreNotEnteredIndirectly() throws {
    let cache = try makeCache()
    let block = addBlock(cache, 0x1234, to: 0)
    let entry = try #require(CommonCode.indirectEntry(block.block, cache))
    #expect(cache.isInside(entry))
    #expect(CommonCode.indirectEntry(block.block, cache) == entry)
    cache.jumps[0x1234] = entry
    let place = Int(cache.records[block.block].indirectDistance)
    #expect(cache.writable[place] == CodeCache.jumpSize)
    cache.invalidate(pages: 1..<2)
    // The comparison no longer skips the jump that leaves.
    #expect(cache.writable[place] == 0)
    #expect(cache.jumps[0x1234] == 0)
  }

  @Test func flushForgetsAllButCommonCode() throws {
    let cache = try makeCache()
    let common = cache.used
    for round in 1...3 {
      let block = addBlock(cache, 0x1000, to: 0x1000)
      cache.link(block.site, to: block.block)
      cache.jumps[0x1000] = 1
      cache.flush()
      #expect(cache.statistics.flushes == round)
      #expect(cache.used == common && cache.blockCount == 0 && cache.siteCount == 0 && cache.entryCount == 0)
      #expect(cache.lookup(0x1000) == nil && cache.jumps[0x1000] == 0)
    }
    cache.flush()
    #expect(cache.statistics.flushes == 3)
  }

  @Test(arguments: [1, 100, 4096, 4097, 9000] as [UInt64])
  func noBlockSurvivesAFlush(_ count: UInt64) throws {
    let cache = try #require(CodeCache(capacity: 1 << 20))
    for round in 0..<2 as Range<UInt64> {
      // Far and near neighbours, so that places in the table collide.
      func address(_ number: UInt64) -> UInt64 { round + number &* (number & 1 == 0 ? 0x1000_0001 : 3) }
      for number in 0..<count { _ = addBlock(cache, address(number), to: 0) }
      for number in 0..<count { #expect(cache.lookup(address(number)) != nil) }
      for number in 0..<count { cache.jumps[Int(address(number) & 0xffff)] = 1 }
      cache.flush()
      for number in 0..<count {
        #expect(cache.lookup(address(number)) == nil && cache.jumps[Int(address(number) & 0xffff)] == 0)
      }
    }
  }

  /// What a forked child forgets before it has executed anything stays as it is in the memory that it shares with its parent; and what
  /// the parent changes in the meantime is noticed.
  @Test(arguments: [false, true]) func aChildForgetsItsOwn(parentChanges: Bool) throws {
    let cache = try makeCache()
    let first = addBlock(cache, 0x1000, to: 0x5000)
    let target = addBlock(cache, 0x5000, to: 0x1000)
    cache.link(first.site, to: target.block)
    // mremap(2) of nothing maps shared memory once more: the parent's view.
    let mayMove: Int64 = 1
    let address = vt_syscall6(
      25, Int64(Int(bitPattern: cache.writable)), 0, Int64(cache.capacity), mayMove, 0, 0)
    let parent = try #require(UnsafeMutableRawPointer(bitPattern: Int(address)))
    defer { vt_release(parent, cache.capacity) }
    let word = cache.capacity - 8
    let before = [UInt8](UnsafeRawBufferPointer(start: parent, count: cache.capacity))
    cache.forkMarker.pointee = 0
    if parentChanges {
      parent.storeBytes(
        of: parent.load(fromByteOffset: word, as: UInt64.self) + 1, toByteOffset: word, as: UInt64.self)
    }
    cache.forget(pages: 5..<6)
    #expect(cache.lookup(0x5000) == nil)
    #expect((cache.lookup(0x1000) == nil) == parentChanges)
    #expect(cache.separateAfterFork() == .notForked)
    let after = [UInt8](UnsafeRawBufferPointer(start: parent, count: cache.capacity))
    #expect(before[..<word] == after[..<word] && (before == after) != parentChanges)
    if !parentChanges { #expect(destination(cache, first.site) == cache.sites[first.site].stub) }
  }

  @Test func aFullCacheSaysSo() throws {
    let cache = try #require(CodeCache(capacity: 1))
    #expect(cache.capacity == 2 * CodeCache.blockRoom)
    var count: UInt64 = 0
    while cache.hasRoom {
      _ = addBlock(cache, 0x1000 + count, to: 0)
      count += 1
    }
    #expect(count > 0 && cache.used <= cache.capacity && cache.blockCount <= cache.blockCapacity)
    cache.flush()
    #expect(cache.hasRoom)
  }

  @Test func observersAreToldBeforeCodeIsForgotten() throws {
    final class Log { var flushes: [Int] = [] }
    let log = Log()
    let cache = try makeCache()
    cache.observer = TranslationObserver(wrote: { _ in }, willFlush: { log.flushes.append(cache.blockCount) })
    _ = addBlock(cache, 0x1000, to: 0)
    _ = addBlock(cache, 0x2000, to: 0)
    let copy = try #require(cache.copy(1))
    #expect(copy.guest == 0x2000 && copy.host.count == CodeCacheTests.blockSize && copy.stubs == 32)
    #expect(copy.exits.map(\.target) == [0] && copy.exits.map(\.patch) == [1])
    #expect(copy.host.first == cache.writable[Int(cache.blocks[1].host)])
    cache.flush()
    #expect(log.flushes == [2])
    #expect(cache.copy(1) == nil)
    cache.observer = nil
  }
}
