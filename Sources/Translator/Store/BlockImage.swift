// One translated block as it is kept between runs: everything that says where it lies in a cache is taken out, so the same block
// has the same image wherever it was translated. All numbers are little-endian; parts follow each other without gaps, and
// the whole is a multiple of eight bytes:
//
//     header | sites | entries | relocations | host code
//
// A relocation names a place of 32 bits in the host code and says what belongs there. In a file the image's *hints* follow: one
// number a site, which says where in the file its target is (TranslationStore.swift).

import CHost

/// A place in a block's host code that depends on where the block or its cache lies.
struct Relocation {
  enum Kind: UInt32 {
    /// The distance to common code: the image has the offset of that.
    case common
    /// A site's number: the image counts from the block's first site.
    case site
    /// The address of the table of indirect entries: the image has 0.
    case table
  }
  /// The place in bytes from the beginning of the block's host code, and in bits 16 and 17 the kind.
  let word: UInt32

  init(_ kind: Kind, at place: UInt32) { word = kind.rawValue &<< 16 | place & 0xffff }
  init(word: UInt32) { self.word = word }

  var place: Int { Int(word & 0xffff) }
  var kind: Kind { Kind(rawValue: word &>> 16) ?? .common }
}

/// What the cache knows of a block for the sake of the store; see `CodeCache.keepOrigins`.
struct BlockOrigin {
  /// The keyed hash of the guest's code; 0: the block is not to be kept, or comes from the store.
  var guestHash: UInt64 = 0
  var firstRelocation: UInt32 = 0
  var relocationCount: UInt16 = 0
  var needs = LoadedState()
}

/// The beginning of an image.
struct ImageHeader {
  static let size = 48

  /// The keyed hash of everything behind it and of the store's identity.
  var check: UInt64 = 0
  /// Where the guest's code was, and the keyed hash of it.
  var guest: UInt64 = 0
  var guestHash: UInt64 = 0
  /// Bytes of the whole image.
  var size: UInt32 = 0
  /// Bytes of guest code, of host code, and of the indirect entry in front of the block.
  var guestSize: UInt16 = 0
  var hostSize: UInt16 = 0
  var head: UInt16 = 0
  /// Where the distance of the indirect entry's JRCXZ is; 0: there is no such entry.
  var indirectDistance: UInt16 = 0
  var siteCount: UInt16 = 0
  var entryCount: UInt16 = 0
  var relocationCount: UInt16 = 0
  var instructions: UInt16 = 0
  var needs: UInt8 = 0
  private var reserved: (UInt8, UInt8, UInt8) = (0, 0, 0)

  /// Bytes that the parts take, as the counts say.
  var expectedSize: Int {
    let tables =
      Int(siteCount) &* Site.size &+ Int(entryCount) &* MemoryLayout<vt_translated_entry>.size
      &+ Int(relocationCount) &* 4
    return (ImageHeader.size &+ tables &+ Int(hostSize) &+ 7) & ~7
  }
  /// Bytes of the hints behind it.
  var hintSize: Int { (Int(siteCount) &* 4 &+ 7) & ~7 }
}

extension Site {
  static let size = MemoryLayout<Site>.stride

  /// The site in its block's image: its places are counted from the beginning of the block's host code, 0: none, and it is linked
  /// only if it leads to the block itself.
  func image(start: UInt32, leadsInside: Bool) -> Site {
    var image = self
    image.patch = patch == 0 ? 0 : patch &- start
    image.stub = stub == 0 ? 0 : stub &- start
    if kind != .indirect { image.next = 0 }
    image.isLinked = leadsInside
    return image
  }

  /// What the image is of, where the block's host code begins at `start`.
  func placed(start: UInt32, hint: UInt32) -> Site {
    var site = self
    site.patch = patch == 0 ? 0 : start &+ patch
    site.stub = stub == 0 ? 0 : start &+ stub
    if hint != 0 && kind == .branch { site.next = hint }
    return site
  }
}

// MARK: Taking

extension CodeCache {
  /// Where the host code of `block` begins: with its indirect entry, if that lies in front.
  private func start(of block: Int) -> UInt32 {
    let entry = records[block].indirectEntry
    return entry != 0 && entry < blocks[block].host ? entry : blocks[block].host
  }

  /// The site's branch goes to the head or body of its own block, at `guest`.
  private func leadsInside(_ site: Int, _ guest: UInt64) -> Bool {
    sites[site].isLinked && sites[site].target == guest
  }

  /// Adds the image of `block` to `bytes`; false: it has none.
  func appendImage(of block: Int, _ hasher: LongHash, _ identity: UInt64, to bytes: inout [UInt8]) -> Bool {
    guard let origins, origins[block].guestHash != 0, let relocations else { return false }
    let (origin, record, code) = (origins[block], records[block], blocks[block])
    let start = start(of: block)
    var header = ImageHeader()
    header.guest = code.guest
    header.guestHash = origin.guestHash
    header.guestSize = code.guest_size
    header.hostSize = UInt16(truncatingIfNeeded: code.host_end &- start)
    header.head = UInt16(truncatingIfNeeded: code.host &- start)
    if header.head != 0 {
      header.indirectDistance = UInt16(truncatingIfNeeded: record.indirectDistance &- start)
    }
    header.siteCount = record.siteCount
    header.entryCount = code.entry_count
    header.relocationCount = origin.relocationCount
    header.instructions = record.instructions
    header.needs = origin.needs.rawValue
    header.size = UInt32(header.expectedSize)

    let begin = bytes.count
    withUnsafeBytes(of: header) { bytes.append(contentsOf: $0) }
    let sites = Int(record.firstSite)..<Int(record.firstSite) &+ Int(record.siteCount)
    for number in sites {
      let image = self.sites[number].image(start: start, leadsInside: leadsInside(number, code.guest))
      withUnsafeBytes(of: image) { bytes.append(contentsOf: $0) }
    }
    let entries = UnsafeBufferPointer(
      start: self.entries + Int(code.first_entry), count: Int(code.entry_count))
    bytes.append(contentsOf: UnsafeRawBufferPointer(entries))
    let places = UnsafeBufferPointer(
      start: relocations + Int(origin.firstRelocation), count: Int(origin.relocationCount))
    bytes.append(contentsOf: UnsafeRawBufferPointer(places))
    let host = bytes.count
    bytes.append(contentsOf: UnsafeBufferPointer(start: writable + Int(start), count: Int(header.hostSize)))
    for number in sites where self.sites[number].kind == .branch && !leadsInside(number, code.guest) {
      let site = self.sites[number]
      if site.patch != 0 { bytes.store(site.stub &- site.patch &- 4, at: host &+ Int(site.patch &- start)) }
    }
    for relocation in places.map({ Relocation(word: $0) }) {
      let place = host &+ relocation.place
      switch relocation.kind {
      case .common: bytes.store(bytes.word(at: place) &+ start &+ UInt32(relocation.place) &+ 4, at: place)
      case .site: bytes.store(bytes.word(at: place) &- record.firstSite, at: place)
      case .table: bytes.store(0, at: place)
      }
    }
    while (bytes.count &- begin) & 7 != 0 { bytes.append(0) }
    bytes.withUnsafeMutableBytes { buffer in
      let check = hasher.hash(UnsafeRawBufferPointer(rebasing: buffer[(begin &+ 8)...]), seed: identity)
      buffer.storeBytes(of: check, toByteOffset: begin, as: UInt64.self)
    }
    return true
  }
}

extension [UInt8] {
  fileprivate func word(at offset: Int) -> UInt32 {
    withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
  }

  fileprivate mutating func store(_ word: UInt32, at offset: Int) {
    withUnsafeMutableBytes { $0.storeBytes(of: word, toByteOffset: offset, as: UInt32.self) }
  }
}

// MARK: Giving back

extension CodeCache {
  /// Makes a block of an image that is known to be right (`TranslationStore.image`) and has its hints behind it; the caller has
  /// made sure of the room.
  func addBlock(_ header: ImageHeader, _ image: UnsafeRawPointer) -> Int {
    willChange()
    let start = UInt32(truncatingIfNeeded: (used &+ 63) & ~63)
    let (firstSite, firstEntry, number) = (siteCount, entryCount, blockCount)
    var part = image + ImageHeader.size
    let hints = image + Int(header.size)
    let target = sites + siteCount
    for index in 0..<Int(header.siteCount) {
      let hint = hints.load(fromByteOffset: index &* 4, as: UInt32.self)
      target[index] = part.load(as: Site.self).placed(start: start, hint: hint)
      part += Site.size
    }
    siteCount &+= Int(header.siteCount)
    let entryBytes = Int(header.entryCount) &* MemoryLayout<vt_translated_entry>.stride
    UnsafeMutableRawPointer(entries + entryCount).copyMemory(from: part, byteCount: entryBytes)
    entryCount &+= Int(header.entryCount)
    part += entryBytes
    let relocations = part
    let host = UnsafeMutableRawPointer(writable + Int(start))
    host.copyMemory(
      from: part + Int(header.relocationCount) &* 4, byteCount: Int(header.hostSize))
    for index in 0..<Int(header.relocationCount) {
      let word = relocations.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self)
      apply(Relocation(word: word), host, start, firstSite)
    }
    used = Int(start) &+ Int(header.hostSize)
    var record = BlockRecord(
      firstSite: UInt32(truncatingIfNeeded: firstSite), siteCount: header.siteCount,
      instructions: header.instructions)
    if header.head != 0 {
      record.indirectEntry = start
      record.indirectDistance = start &+ UInt32(header.indirectDistance)
    }
    forgetOrigin(number)
    statistics.storedBlocks &+= 1
    let begin = start &+ UInt32(header.head)
    _ = add(
      vt_translated_block(
        guest: header.guest, host: begin, host_end: UInt32(used),
        first_entry: UInt32(truncatingIfNeeded: firstEntry), entry_count: header.entryCount,
        guest_size: header.guestSize), record)
    if header.head != 0 { tell(.indirectEntry, guest: header.guest, guestSize: 0, Int(start), Int(begin)) }
    tell(.block(number), guest: header.guest, guestSize: Int(header.guestSize), Int(begin), used)
    return number
  }

  private func apply(
    _ relocation: Relocation, _ host: UnsafeMutableRawPointer, _ start: UInt32, _ firstSite: Int
  ) {
    let place = host + relocation.place
    let value = place.loadUnaligned(as: UInt32.self)
    let result: UInt32
    switch relocation.kind {
    case .common: result = value &- start &- UInt32(relocation.place) &- 4
    case .site: result = value &+ UInt32(truncatingIfNeeded: firstSite)
    case .table: result = UInt32(truncatingIfNeeded: Int(bitPattern: jumps))
    }
    place.storeBytes(of: result, as: UInt32.self)
  }
}
