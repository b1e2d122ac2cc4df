// Translated blocks of earlier runs of a program, for the next ones. Where a block is wanted whose guest address is in the
// store, the guest's bytes are compared with those that it was made of, by a keyed hash, and it is copied into the code cache.
// Files of others cannot get in: each block carries a keyed hash (KeyedHash.swift).
//
// The file is only ever read by copies that may fail, because a guest can truncate it. It consists of
//
//     magic, identity, number of images, slots
//     slots     the tag and the number of an image, by guest address
//     places    of all images, and the end of the last one
//     images    each with its hints (BlockImage.swift)
//
// A hint is the number of the image that a branch's target has, counted from 1, or 0 if it has none. Nobody signs hints, nor slots and
// places: what is found by them is compared with what was looked for, so a wrong one costs time.

import CHost
import GuestMemory

/// What was kept of a program's translations.
public final class TranslationStore {
  /// A file grows to this size and no further.
  public static let mostBytes = 128 << 20
  /// Images are added up to this size; their tables come on top.
  private static let mostImages = mostBytes * 3 / 4
  private static let magic = UInt64(littleEndian: 0x0132_6572_6f74_7356)  // "Vstore2" and a one
  private static let headerSize = 32
  /// An image with its hints at most: host code, and its tables.
  private static let mostImage = 128 << 10
  /// Bytes of a block's guest code at most.
  private static let mostGuest = 16 * TranslatorOptions.mostInstructions
  /// Blocks taken from the store at once, at most.
  static let mostTogether = 128
  /// A chain of slots that is longer is damage.
  private static let mostProbes = 256

  private let hasher: LongHash
  /// Of the program and of what translates it; part of every block's hash.
  private let identity: UInt64
  // SAFETY: a mapping of `size` bytes that this object owns; its pages may vanish.
  private let file: UnsafeMutableRawPointer?
  private let size: Int
  private var slots: UInt64 = 0
  // SAFETY: `count` + 1 and `count` words, freed in deinit; nil if there are none.
  private var places: UnsafeMutablePointer<UInt32>?
  /// The blocks that were last made of the images, counted from 1; they may be others by now.
  private var taken: UnsafeMutablePointer<UInt32>?
  /// Blocks that the file has, as it says.
  public private(set) var count = 0
  /// No more fits in: what is new takes the place of what is there.
  public var isFull: Bool { size > TranslationStore.mostImages }
  // SAFETY: `mostImage` bytes, freed in deinit: the image that was found last.
  private let scratch: UnsafeMutableRawPointer
  // SAFETY: `mostGuest` bytes, freed in deinit: the guest's bytes that were hashed last.
  private let guest: UnsafeMutableRawPointer

  /// `file`: a private mapping of a file of the store, or nil; it belongs to the store from now on. One of another identity counts
  /// as empty.
  public init(key: StoreKey, identity: UInt64, file: UnsafeMutableRawPointer?, size: Int) {
    (self.identity, self.file, self.size) = (identity, file, size)
    hasher = LongHash(key)
    scratch = .allocate(byteCount: TranslationStore.mostImage, alignment: 16)
    guest = .allocate(byteCount: TranslationStore.mostGuest, alignment: 16)
    let (count, slots) = (word(at: 16), word(at: 24))
    guard word(at: 0) == TranslationStore.magic, word(at: 8) == identity, slots & (slots &- 1) == 0,
      count <= slots, slots <= UInt64(TranslationStore.mostBytes) / 8
    else { return }
    let (most, places) = (Int(count), TranslationStore.headerSize &+ Int(slots) &* 8)
    if places &+ (most &+ 1) &* 4 > size { return }
    self.places = .allocate(capacity: most &+ 1)
    guard let target = self.places, copy(target, from: places, (most &+ 1) &* 4) else { return }
    taken = vt_allocate_zeroed(most &* 4)?.bindMemory(to: UInt32.self, capacity: most)
    if taken != nil { (self.slots, self.count) = (slots, most) }
  }

  deinit {
    scratch.deallocate()
    guest.deallocate()
    places?.deallocate()
    if let taken { vt_release(taken, count &* 4) }
    if let file { vt_release(file, size) }
  }

  func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    let hash = hasher.hash(bytes, seed: 1)
    return hash == 0 ? 1 : hash
  }

  /// The same for guest memory, as it is now; nil when it cannot be read.
  func hash(at source: UnsafeRawPointer, _ count: Int) -> UInt64? {
    guard count <= TranslationStore.mostGuest, vt_guard_copy(guest, source, count) == 0 else { return nil }
    return hash(UnsafeRawBufferPointer(start: guest, count: count))
  }

  // MARK: Reading

  private func copy(_ target: UnsafeMutableRawPointer, from offset: Int, _ count: Int) -> Bool {
    guard let file, count >= 0, offset <= size, count <= size &- offset else { return false }
    return vt_guard_copy(target, file + offset, count) == 0
  }

  /// 0 where there is none.
  private func word(at offset: Int) -> UInt64 {
    copy(scratch, from: offset, 8) ? scratch.load(as: UInt64.self) : 0
  }

  private static func tag(_ guest: UInt64) -> UInt64 { (guest &* 0x9e37_79b9_7f4a_7c15) &>> 32 }

  /// The number of the image of the block at `guest`, or of one with the same tag; 0: there is none.
  func number(of guest: UInt64) -> UInt32 {
    if slots == 0 { return 0 }
    let tag = TranslationStore.tag(guest)
    for probe in 0..<UInt64(TranslationStore.mostProbes) {
      let slot = word(at: TranslationStore.headerSize &+ Int((tag &+ probe) & (slots &- 1)) &* 8)
      if slot == 0 || slot &>> 32 == tag { return UInt32(truncatingIfNeeded: slot) }
    }
    return 0
  }

  /// The image of the block at `guest`; nil: there is none that is right.
  func image(of guest: UInt64) -> (header: ImageHeader, bytes: UnsafeRawPointer)? {
    image(number(of: guest), of: guest)
  }

  /// Image `number` with its hints, if it is right and that of the block at `guest`; valid until the next call.
  func image(_ number: UInt32, of guest: UInt64) -> (header: ImageHeader, bytes: UnsafeRawPointer)? {
    guard let header = load(number, of: guest), isRight(header) else { return nil }
    return (header, UnsafeRawPointer(scratch))
  }

  /// Whether the image that was loaded last is signed.
  private func isRight(_ header: ImageHeader) -> Bool {
    let hashed = UnsafeRawBufferPointer(start: scratch + 8, count: Int(header.size) &- 8)
    return hasher.hash(hashed, seed: identity) == header.check
  }

  /// Whether there is a block of this guest code.
  func has(_ guest: UInt64, hash: UInt64?) -> Bool {
    image(of: guest).map { $0.header.guestHash == hash } ?? false
  }

  /// Copies image `number` with its hints; nil when there cannot be one, or it is not that of `guest`. Its hash is yet to be compared.
  private func load(_ number: UInt32, of guest: UInt64? = nil) -> ImageHeader? {
    guard let places, number > 0, Int(number) <= count else { return nil }
    let place = Int(places[Int(number) &- 1]) &* 8
    let length = Int(places[Int(number)]) &* 8 &- place
    // Most images are whole then; of a large one no more is copied before it is known to be the right one.
    let part = min(length, 4096)
    guard length >= ImageHeader.size, length <= TranslationStore.mostImage, copy(scratch, from: place, part)
    else { return nil }
    let header = scratch.load(as: ImageHeader.self)
    if let guest, guest != header.guest { return nil }
    if length > part, !copy(scratch + part, from: place &+ part, length &- part) { return nil }
    let isPossible = Int(header.size) == header.expectedSize && Int(header.size) &+ header.hintSize == length
    return isPossible ? header : nil
  }

  /// Block `block` has been made of image `number`.
  func note(_ block: Int, of number: UInt32) {
    taken?[Int(number) &- 1] = UInt32(truncatingIfNeeded: block &+ 1)
  }

  /// The block that was last made of image `number`, whatever it is now; nil: it has not been taken.
  func block(of number: UInt32) -> Int? {
    guard let taken, number > 0, Int(number) <= count, taken[Int(number) &- 1] != 0 else { return nil }
    return Int(taken[Int(number) &- 1]) &- 1
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
    for number in 0..<UInt32(count) where images.count <= TranslationStore.mostImages {
      guard let header = load(number + 1), places[header.guest] == nil, isRight(header) else { continue }
      places[header.guest] = images.count
      images.append(contentsOf: UnsafeRawBufferPointer(start: scratch, count: Int(header.size)))
    }
    return images.withUnsafeBytes { assemble($0, places) }
  }

  /// The targets of the branches that the image at `place` leaves by; nil for other sites.
  private static func targets(_ images: UnsafeRawBufferPointer, _ place: Int) -> [UInt64?] {
    let header = images.load(fromByteOffset: place, as: ImageHeader.self)
    return (0..<Int(header.siteCount)).map { index in
      let site = images.load(fromByteOffset: place + ImageHeader.size + index * Site.size, as: Site.self)
      return site.kind == .branch && !site.isLinked ? site.target : nil
    }
  }

  /// The places of all images in the order in which they are taken (`takeStored`) by a run that wants them one after the other.
  // PERF: what lies in this order in the file is copied at twice the speed.
  private static func order(_ images: UnsafeRawBufferPointer, _ places: [UInt64: Int]) -> [Int] {
    var rest = places
    var order: [Int] = []
    order.reserveCapacity(places.count)
    for (guest, place) in places.sorted(by: { $0.value < $1.value }) where rest[guest] != nil {
      rest[guest] = nil
      var next = order.count
      let end = next + mostTogether
      order.append(place)
      while next < order.count {
        for case let target? in targets(images, order[next]) where order.count < end {
          if let place = rest.removeValue(forKey: target) { order.append(place) }
        }
        next += 1
      }
    }
    return order
  }

  private func assemble(_ images: UnsafeRawBufferPointer, _ places: [UInt64: Int]) -> [UInt8] {
    let order = TranslationStore.order(images, places)
    var numbers: [UInt64: UInt32] = [:]
    var capacity = 64
    while capacity < places.count * 2 { capacity *= 2 }
    var table = [UInt64](repeating: 0, count: capacity)
    for (index, place) in order.enumerated() {
      let guest = images.load(fromByteOffset: place, as: ImageHeader.self).guest
      numbers[guest] = UInt32(index + 1)
      let tag = TranslationStore.tag(guest)
      var slot = Int(tag) & (capacity - 1)
      while table[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
      table[slot] = tag &<< 32 | UInt64(index + 1)
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(images.count + images.count / 8 + capacity * 8)
    func add<T>(_ value: T) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
    for word in [TranslationStore.magic, identity, UInt64(order.count), UInt64(capacity)] + table {
      add(word)
    }
    var end = (bytes.count + (order.count + 1) * 4 + 7) & ~7
    for place in order {
      let header = images.load(fromByteOffset: place, as: ImageHeader.self)
      add(UInt32(end / 8))
      end += Int(header.size) + header.hintSize
    }
    add(UInt32(end / 8))
    if order.count & 1 == 0 { add(0 as UInt32) }
    for place in order {
      let header = images.load(fromByteOffset: place, as: ImageHeader.self)
      bytes.append(contentsOf: images[place..<place + Int(header.size)])
      for target in TranslationStore.targets(images, place) { add(target.flatMap { numbers[$0] } ?? 0) }
      if header.siteCount & 1 != 0 { add(0 as UInt32) }
    }
    return bytes
  }
}

extension TranslatorEngine {
  /// Takes blocks from `store` from now on, and notes what it needs to know of new ones. For engines without special options:
  /// nothing is counted, nothing observed, and blocks are linked. Nil: no more.
  public func use(_ store: TranslationStore?) {
    if store != nil { cache.keepOrigins() }
    cache.store = cache.origins == nil ? nil : store
    if let store, cache.store != nil { cache.expect(store.count) }
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
  private func guestHash(_ guest: Range<UInt64>, _ store: TranslationStore, isExecutable: Bool = false)
    -> UInt64?
  {
    guard guest.upperBound <= memory.limit,
      isExecutable || memory.executableEnd(from: guest.lowerBound, to: guest.upperBound) == guest.upperBound
    else { return nil }
    return store.hash(at: memory.base + Int(truncatingIfNeeded: guest.lowerBound), guest.count)
  }

  /// The block at `rip` from the store, and with it those that its branches lead to, as far as they are there too: to come to them
  /// one by one would mean leaving and entering translated code for each.
  func takeStored(_ rip: UInt64) -> Int? {
    guard let store = cache.store else { return nil }
    var executable: Range<UInt64> = 0..<0
    guard let block = restore(rip, store.number(of: rip), store, &executable) else { return nil }
    // Blocks that are taken follow each other in the cache.
    var next = block
    while next < cache.blockCount {
      let first = Int(cache.records[next].firstSite)
      let end = first &+ Int(cache.records[next].siteCount)
      next &+= 1
      for number in first..<end {
        let site = cache.sites[number]
        // PERF: two thirds of all targets have never been executed, and the hint says so.
        guard site.kind == .branch, !site.isLinked, site.next != 0 else { continue }
        if let known = known(site.target, site.next, store) {
          cache.link(number, to: known)
        } else if cache.blockCount &- block < TranslationStore.mostTogether, cache.hasRoom,
          let found = restore(site.target, site.next, store, &executable)
        {
          cache.link(number, to: found)
        }
      }
    }
    return block
  }

  /// The live block at `guest`, which may have been made of image `number`.
  @inline(__always)
  private func known(_ guest: UInt64, _ number: UInt32, _ store: TranslationStore) -> Int? {
    guard let block = store.block(of: number) else { return cache.lookupTranslated(guest) }
    let isThere =
      block < cache.blockCount && cache.blocks[block].guest == guest && cache.records[block].isAlive
    return isThere ? block : cache.lookup(guest)
  }

  /// The block at `guest` from image `number`, if that is its, and its bytes are still what it was made of and nothing has been learnt
  /// of it since. `executable`: a part of a region that is known to be executable.
  private func restore(
    _ guest: UInt64, _ number: UInt32, _ store: TranslationStore, _ executable: inout Range<UInt64>
  ) -> Int? {
    guard let (header, image) = store.image(number, of: guest) else { return nil }
    let end = guest &+ UInt64(header.guestSize)
    if memory.isThreaded { memory.markCode(aheadOf: guest, instructions: options.longestBlock) }
    guard end > guest, !cache.exceptions.concern(guest..<end), !memory.hasSection(in: guest..<end) else {
      return nil
    }
    if guest < executable.lowerBound || end > executable.upperBound,
      let region = memory.query(guest), region.permissions.contains(.execute)
    {
      executable = region.start..<region.end
    }
    let isExecutable = guest >= executable.lowerBound && end <= executable.upperBound
    guard guestHash(guest..<end, store, isExecutable: isExecutable) == header.guestHash else { return nil }
    cache.preparePages()
    let block = cache.addBlock(header, image)
    store.note(block, of: number)
    announce(LoadedState(rawValue: header.needs))
    memory.markCode(from: guest, to: end)
    return block
  }
}
