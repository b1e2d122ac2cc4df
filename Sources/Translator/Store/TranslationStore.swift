// Translated blocks of earlier runs of a program, for the next ones. Where a block is wanted whose guest address is in the
// store, the guest's bytes are compared with those that it was made of, by a keyed hash, and it is copied into the code cache.
// Files of others cannot get in: each block carries a keyed hash (KeyedHash.swift).
//
// The file is only ever read by copies that may fail, because a guest can truncate it. It consists of
//
//     magic, identity, number of images, slots | slots: tag and place of an image, by guest address | images (BlockImage.swift)

import CHost
import GuestMemory

/// What was kept of a program's translations.
public final class TranslationStore {
  /// A file grows to this size and no further.
  public static let mostBytes = 128 << 20
  /// Images are added up to this size; their tables come on top.
  private static let mostImages = mostBytes * 3 / 4
  private static let magic = UInt64(littleEndian: 0x0131_6572_6f74_7356)  // "Vstore1" and a one
  private static let headerSize = 32
  /// An image at most: host code, and its tables.
  private static let mostImage = 128 << 10
  /// A chain of slots that is longer is damage.
  private static let mostProbes = 256

  private let hasher: LongHash
  /// Of the program and of what translates it; part of every block's hash.
  private let identity: UInt64
  // SAFETY: a mapping of `size` bytes that this object owns; its pages may vanish.
  private let file: UnsafeMutableRawPointer?
  private let size: Int
  private var slots: UInt64 = 0
  // PERF: most searches find nothing, and a copy that may fail takes longer than a search: this one is made once.
  // SAFETY: `slots` words, freed in deinit; nil if there are none.
  private var table: UnsafeMutablePointer<UInt64>?
  /// Blocks that the file has, as it says.
  public private(set) var count = 0
  /// No more fits in: what is new takes the place of what is there.
  public var isFull: Bool { size > TranslationStore.mostImages }
  // SAFETY: `mostImage` bytes, freed in deinit: the image that was found last.
  private let scratch: UnsafeMutableRawPointer

  /// `file`: a private mapping of a file of the store, or nil; it belongs to the store from now on. One of another identity counts
  /// as empty.
  public init(key: StoreKey, identity: UInt64, file: UnsafeMutableRawPointer?, size: Int) {
    (self.identity, self.file, self.size) = (identity, file, size)
    hasher = LongHash(key)
    scratch = .allocate(byteCount: TranslationStore.mostImage, alignment: 16)
    let (count, slots) = (word(at: 16), word(at: 24))
    guard word(at: 0) == TranslationStore.magic, word(at: 8) == identity, slots & (slots &- 1) == 0,
      count <= slots, slots <= UInt64(TranslationStore.mostBytes) / 8
    else { return }
    let table = UnsafeMutablePointer<UInt64>.allocate(capacity: Int(slots))
    self.table = table
    if copy(table, from: UInt64(TranslationStore.headerSize), Int(slots) &* 8) {
      (self.slots, self.count) = (slots, Int(count))
    }
  }

  deinit {
    scratch.deallocate()
    table?.deallocate()
    if let file { vt_release(file, size) }
  }

  func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    let hash = hasher.hash(bytes, seed: 1)
    return hash == 0 ? 1 : hash
  }

  // MARK: Reading

  private func copy(_ target: UnsafeMutableRawPointer, from offset: UInt64, _ count: Int) -> Bool {
    guard let file, offset <= UInt64(size), count <= size &- Int(offset) else { return false }
    return vt_guard_copy(target, file + Int(offset), count) == 0
  }

  /// 0 where there is none.
  private func word(at offset: UInt64) -> UInt64 {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { word in
      word.initialize(repeating: 0)
      guard let target = word.baseAddress, copy(target, from: offset, 8) else { return 0 }
      return word[0]
    }
  }

  /// The tag and the place of the image that a slot names; place 0: none.
  private func slot(_ number: UInt64) -> (tag: UInt64, place: UInt64) {
    guard let table, number < slots else { return (0, 0) }
    let value = table[Int(number)]
    return (value &>> 32, (value & 0xffff_ffff) &* 8)
  }

  private static func tag(_ guest: UInt64) -> UInt64 { (guest &* 0x9e37_79b9_7f4a_7c15) &>> 32 }

  /// The image of the block at `guest`, which is valid until the next call; nil: there is none that is right.
  func image(of guest: UInt64) -> (header: ImageHeader, bytes: UnsafeRawPointer)? {
    if slots == 0 { return nil }
    let tag = TranslationStore.tag(guest)
    for probe in 0..<UInt64(TranslationStore.mostProbes) {
      let slot = slot((tag &+ probe) & (slots &- 1))
      if slot.place == 0 { return nil }
      guard slot.tag == tag, let header = header(at: slot.place), header.guest == guest else { continue }
      guard load(header, from: slot.place) else { return nil }
      let hashed = UnsafeRawBufferPointer(start: scratch + 8, count: Int(header.size) &- 8)
      return hasher.hash(hashed, seed: identity) == header.check ? (header, UnsafeRawPointer(scratch)) : nil
    }
    return nil
  }

  /// Whether there is a block of this guest code.
  func has(_ guest: UInt64, hash: UInt64?) -> Bool {
    image(of: guest).map { $0.header.guestHash == hash } ?? false
  }

  /// The beginning of an image at `offset`; nil when there cannot be one.
  private func header(at offset: UInt64) -> ImageHeader? {
    guard copy(scratch, from: offset, ImageHeader.size) else { return nil }
    let header = scratch.load(as: ImageHeader.self)
    let isPossible = Int(header.size) == header.expectedSize && Int(header.size) <= TranslationStore.mostImage
    return isPossible ? header : nil
  }

  /// Copies the rest of the image behind its header. Its hash is yet to be compared.
  private func load(_ header: ImageHeader, from offset: UInt64) -> Bool {
    let rest = Int(header.size) &- ImageHeader.size
    return copy(scratch + ImageHeader.size, from: offset &+ UInt64(ImageHeader.size), rest)
  }

  // MARK: Writing

  /// A file with these blocks of `cache`, and with what this one has besides.
  func file(of blocks: [Int], _ cache: CodeCache) -> [UInt8] {
    var images: [UInt8] = []
    var places: [UInt64: Int] = [:]
    for block in blocks {
      let place = images.count
      if cache.appendImage(of: block, hasher, identity, to: &images) {
        places[cache.blocks[block].guest] = place
      }
      if images.count > TranslationStore.mostImages { break }
    }
    for number in 0..<slots where images.count <= TranslationStore.mostImages {
      let place = slot(number).place
      guard place != 0, let header = header(at: place), places[header.guest] == nil, load(header, from: place)
      else { continue }
      places[header.guest] = images.count
      images.append(contentsOf: UnsafeRawBufferPointer(start: scratch, count: Int(header.size)))
    }
    return assemble(images, places)
  }

  private func assemble(_ images: [UInt8], _ places: [UInt64: Int]) -> [UInt8] {
    var capacity = 64
    while capacity < places.count * 2 { capacity *= 2 }
    let start = TranslationStore.headerSize + capacity * 8
    var table = [UInt64](repeating: 0, count: capacity)
    for (guest, place) in places {
      let tag = TranslationStore.tag(guest)
      var slot = Int(tag) & (capacity - 1)
      while table[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
      table[slot] = tag &<< 32 | UInt64((start + place) / 8)
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(start + images.count)
    for word in [TranslationStore.magic, identity, UInt64(places.count), UInt64(capacity)] + table {
      withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
    }
    bytes += images
    return bytes
  }
}

extension TranslatorEngine {
  /// Takes blocks from `store` from now on, and notes what it needs to know of new ones. For engines without special options:
  /// nothing is counted, nothing observed, and blocks are linked. Nil: no more.
  public func use(_ store: TranslationStore?) {
    if store != nil { cache.keepOrigins() }
    cache.store = cache.origins == nil ? nil : store
  }

  /// A file for the store with what has been translated of mapped files that the guest cannot write, and with what the store had;
  /// nil when that would bring less than `least` blocks, or there is no store. `newer`: what others have put in the place of the
  /// store's file since, with which it is put together then.
  public func storedForm(least: Int, newer: TranslationStore? = nil) -> [UInt8]? {
    guard let store = cache.store else { return nil }
    var blocks = (0..<cache.blockCount).filter { isWorthKeeping($0) }
    if blocks.count < least { return nil }
    if let newer {
      blocks = blocks.filter { !newer.has(cache.blocks[$0].guest, hash: cache.origins?[$0].guestHash) }
    }
    return blocks.count < least
      ? nil
      : (newer ?? store).file(
        of: blocks.filter { guestHash($0, store) == cache.origins?[$0].guestHash }, cache)
  }

  /// It is not in the store, and the next run may find the same code again.
  private func isWorthKeeping(_ block: Int) -> Bool {
    guard cache.records[block].isAlive, cache.origins?[block].guestHash ?? 0 != 0,
      let region = memory.query(cache.blocks[block].guest)
    else { return false }
    return region.backing != 0 && !region.permissions.contains(.write) && !region.flags.contains(.shared)
  }

  private func guestHash(_ block: Int, _ store: TranslationStore) -> UInt64? {
    let guest = cache.blocks[block].guest
    return guestHash(guest..<guest &+ UInt64(cache.blocks[block].guest_size), store)
  }

  /// The hash of executable bytes as they are now; nil when they cannot be fetched.
  private func guestHash(_ guest: Range<UInt64>, _ store: TranslationStore) -> UInt64? {
    guard guest.upperBound <= memory.limit, guest.count <= 16 &* TranslatorOptions.mostInstructions,
      memory.executableEnd(from: guest.lowerBound, to: guest.upperBound) == guest.upperBound
    else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: guest.count, alignment: 16) { bytes -> UInt64? in
      let source = memory.base + Int(truncatingIfNeeded: guest.lowerBound)
      guard let target = bytes.baseAddress, vt_guard_copy(target, source, guest.count) == 0 else {
        return nil
      }
      return store.hash(UnsafeRawBufferPointer(bytes))
    }
  }

  /// Blocks taken from the store at once, at most.
  private static let mostTogether = 128

  /// The block at `rip` from the store, and with it those that its branches lead to, as far as they are there too: to come to them
  /// one by one would mean leaving and entering translated code for each.
  func takeStored(_ rip: UInt64) -> Int? {
    guard let block = restore(rip) else { return nil }
    withUnsafeTemporaryAllocation(of: Int.self, capacity: TranslatorEngine.mostTogether) { queue in
      queue[0] = block
      var (next, count) = (0, 1)
      while next < count {
        let record = cache.records[queue[next]]
        let first = Int(record.firstSite)
        next &+= 1
        for site in first..<first &+ Int(record.siteCount) {
          guard cache.sites[site].kind == .branch, !cache.sites[site].isLinked else { continue }
          let target = cache.sites[site].target
          if let known = cache.lookup(target) {
            cache.link(site, to: known)
          } else if count < queue.count, cache.hasRoom, let found = restore(target) {
            cache.link(site, to: found)
            queue[count] = found
            count &+= 1
          }
        }
      }
    }
    return block
  }

  /// The block at `guest` from the store, if its bytes are still what it was made of and nothing has been learnt of it since.
  func restore(_ guest: UInt64) -> Int? {
    guard let store = cache.store, let (header, image) = store.image(of: guest) else { return nil }
    let end = guest &+ UInt64(header.guestSize)
    if memory.isThreaded { memory.markCode(aheadOf: guest, instructions: options.longestBlock) }
    guard end > guest, !cache.exceptions.concern(guest..<end), !memory.hasSection(in: guest..<end),
      guestHash(guest..<end, store) == header.guestHash
    else { return nil }
    cache.preparePages()
    let block = cache.addBlock(header, image)
    announce(LoadedState(rawValue: header.needs))
    memory.markCode(from: guest, to: end)
    return block
  }
}
