// Where snapshots keep the contents of pages: 4 KiB images that never change once they are filled, counted by
// how many indexes hold them. Owns the images' memory, which comes from the host in slabs of 1 MiB and goes
// back slab by slab, as soon as nobody holds an image of it.

/// Images by number.
final class ImagePool {
  private static let slotsInSlab = 256

  private struct Slab {
    /// Host address; 0: given back.
    var start: UInt64 = 0
    var usedCount = 0
    /// It is in `roomy`.
    var isListed = false
  }

  private var slabs: [Slab] = []
  /// How many hold each image; 0: a free slot.
  private var counts: [UInt32] = []
  /// Slabs that may have free slots; what has none, or was given back, is taken out when it is met.
  private var roomy: [Int] = []
  /// Slabs that were given back.
  private var vacant: [Int] = []
  /// Where the search for a free slot goes on, in the last of `roomy`.
  private var cursor = 0
  private(set) var imageCount: UInt64 = 0
  /// Parts of indexes in use, which are memory, too.
  var leafCount: UInt64 = 0

  deinit {
    for slab in slabs where slab.start != 0 { _ = HostMemory.unmap(slab.start, ImagePool.slabSize) }
  }

  private static var slabSize: UInt64 { UInt64(slotsInSlab) << Page.shift }

  /// Bytes of images and of what indexes them.
  var bytes: UInt64 {
    imageCount &* Page.size &+ leafCount &* UInt64(truncatingIfNeeded: ImageLeaf.pageCount &* 4)
  }

  /// An image to be filled, held once; nil when the host has no memory.
  func allocate() -> UInt32? {
    while let index = roomy.last {
      let first = index &* ImagePool.slotsInSlab
      if slabs[index].start != 0, slabs[index].usedCount < ImagePool.slotsInSlab {
        for step in 0..<ImagePool.slotsInSlab {
          let slot = (cursor &+ step) & (ImagePool.slotsInSlab &- 1)
          if counts[first &+ slot] != 0 { continue }
          cursor = slot &+ 1
          counts[first &+ slot] = 1
          slabs[index].usedCount &+= 1
          imageCount &+= 1
          return UInt32(truncatingIfNeeded: first &+ slot)
        }
      }
      slabs[index].isListed = false
      roomy.removeLast()
      cursor = 0
    }
    return addSlab() ? allocate() : nil
  }

  private func addSlab() -> Bool {
    // Numbers of images have room for a few more values (PageEntry).
    if counts.count >= Int(UInt32.max) &- 1024 { return false }
    // PERF: filled at once by the host, a page costs a third of what a fault for each would.
    let result = HostMemory.map(
      0, ImagePool.slabSize, protection: HostMemory.protectionRead | HostMemory.protectionWrite,
      flags: HostMemory.private | HostMemory.anonymous | HostMemory.noReserve | HostMemory.populate)
    if result < 0 { return false }
    let slab = Slab(start: UInt64(bitPattern: result), isListed: true)
    if let index = vacant.popLast() {
      slabs[index] = slab
      roomy.append(index)
    } else {
      roomy.append(slabs.count)
      slabs.append(slab)
      counts.append(contentsOf: repeatElement(0, count: ImagePool.slotsInSlab))
    }
    cursor = 0
    return true
  }

  /// The bytes of an image that is held.
  func place(_ image: UInt32) -> UnsafeMutableRawPointer {
    let index = Int(image) / ImagePool.slotsInSlab
    let offset = UInt64(Int(image) % ImagePool.slotsInSlab) << Page.shift
    // SAFETY: the slab of an image that somebody holds is mapped; numbers come from `allocate` only.
    return UnsafeMutableRawPointer(bitPattern: UInt(slabs[index].start &+ offset)).unsafelyUnwrapped
  }

  func retain(_ image: UInt32) { counts[Int(image)] &+= 1 }

  func release(_ image: UInt32) {
    counts[Int(image)] &-= 1
    if counts[Int(image)] != 0 { return }
    imageCount &-= 1
    let index = Int(image) / ImagePool.slotsInSlab
    slabs[index].usedCount &-= 1
    if slabs[index].usedCount == 0 {
      _ = HostMemory.unmap(slabs[index].start, ImagePool.slabSize)
      slabs[index].start = 0
      vacant.append(index)
    } else if !slabs[index].isListed {
      slabs[index].isListed = true
      roomy.append(index)
      cursor = 0
    }
  }
}
