// Puts the PT_LOAD segments of a checked file into guest memory, page by page as Linux does: file pages are
// mapped privately, the rest of the last one is cleared, whole pages beyond it are anonymous memory.
//
//     p_vaddr            + p_filesz        + p_memsz
//        |  from the file    | zero … page end | anonymous pages |
import GuestMemory

struct ImagePlacement {
  let image: ProgramImage
  /// Pages by which a position-independent program is moved up; nil for a dynamic loader, which goes among the mappings
  /// without an address of their own.
  let slide: UInt64?

  private var headers: ProgramHeaders { image.programHeaders }
  private var path: [UInt8] { image.path }

  /// AT_PHDR before the bias is added: where the program headers are in memory, 0 when no segment contains
  /// them.
  var programHeaderAddress: UInt64 {
    if image.header.programHeaderCount == 0 { return 0 }
    let offset = image.header.programHeaderOffset
    for segment in headers.segments where offset >= segment.fileOffset {
      if offset &- segment.fileOffset < segment.fileSize {
        return segment.address &+ (offset &- segment.fileOffset)
      }
    }
    return 0
  }

  /// Maps all segments; the load bias.
  func place(in space: AddressSpace) throws(LoadError) -> UInt64 {
    let bias = try chooseBias(space)
    let identity = image.file.resolvedIdentity
    for segment in headers.segments { try place(segment, bias, identity, in: space) }
    return bias
  }

  /// A position-independent program starts two thirds up the address space (as Linux places one), moved up by
  /// the requested number of pages; its break follows it. A dynamic loader is placed like any mapping.
  private func chooseBias(_ space: AddressSpace) throws(LoadError) -> UInt64 {
    guard image.header.isPositionIndependent else {
      try checkFree(space)
      return 0
    }
    let mask = headers.alignment &- 1
    let lowest = Page.down(headers.lowest)
    let extent = headers.highest &- lowest
    guard let slide else { return try findRoom(extent, mask, space) &- (lowest & ~mask) }
    let distance = (slide &* Page.size) & (1 << (space.addressBits &- 3) &- 1)
    // Two thirds of user space, in whole pages, as in the kernel (ELF_ET_DYN_BASE).
    let userSpace: UInt64 = 1 << space.addressBits &- Page.size
    let wish = Page.down(userSpace / 3 &* 2) &+ distance
    let (end, overflow) = (wish &+ mask).addingReportingOverflow(extent)
    // A huge image, or one with a huge alignment, starts as low as it can.
    let fits = !overflow && end < space.searchTop
    let start = fits ? wish : AddressSpace.lowestAddress
    let aligned = (start &+ mask) & ~mask
    let bias = aligned &- (lowest & ~mask)
    guard aligned < space.limit, extent < space.limit &- aligned, lowest &+ bias >= AddressSpace.lowestAddress
    else {
      throw .memory(path: path, what: "the image: it is larger than the address space", number: 12)
    }
    return bias
  }

  /// Where mmap(2) would put an image of `extent` bytes with this alignment.
  private func findRoom(_ extent: UInt64, _ mask: UInt64, _ space: AddressSpace) throws(LoadError) -> UInt64 {
    let (size, overflow) = extent.addingReportingOverflow(mask & ~Page.mask)
    guard !overflow, let wanted = Page.up(size) else {
      throw .memory(path: path, what: "the image", number: 12)
    }
    do {
      let start = try space.findRoom(size: wanted)
      // As high in the gap as the alignment allows, next to its upper neighbour.
      return (start &+ wanted &- (Page.up(extent) ?? wanted)) & ~mask
    } catch {
      throw .memory(path: path, what: "the image", number: error.number)
    }
  }

  /// A loader with fixed addresses may not lie on its program, which is there already.
  private func checkFree(_ space: AddressSpace) throws(LoadError) {
    for segment in headers.segments where !space.regions(from: segment.address, to: segment.end).isEmpty {
      throw .field(
        path: path, name: "p_vaddr", segment: segment.index, value: segment.address,
        problem: "the program that names this interpreter lies there")
    }
  }

  private func place(
    _ segment: LoadSegment, _ bias: UInt64, _ identity: Backing, in space: AddressSpace
  ) throws(LoadError) {
    let start = Page.down(segment.address &+ bias)
    let fileEnd = segment.address &+ bias &+ segment.fileSize
    let memoryEnd = segment.address &+ bias &+ segment.memorySize
    guard let filePages = segment.fileSize == 0 ? start : Page.up(fileEnd),
      let memoryPages = Page.up(memoryEnd)
    else { throw .memory(path: path, what: "a segment", number: 12) }
    do {
      if filePages > start {
        var request = MapRequest(address: start, size: filePages &- start, permissions: segment.permissions)
        request.placement = .fixed
        request.file = (image.file.descriptor, Page.down(segment.fileOffset), identity)
        _ = try space.map(request)
      }
      if memoryEnd > fileEnd, segment.fileSize != 0 { try clearTail(fileEnd, filePages, segment, space) }
      if memoryPages > filePages {
        // Linux makes such pages writable whatever the segment says.
        let permissions = segment.permissions.union([.read, .write])
        try space.mapAnonymous(at: filePages, size: memoryPages &- filePages, permissions: permissions)
      }
    } catch {
      throw .memory(path: path, what: "a segment (p_vaddr, p_memsz)", number: error.number)
    }
  }

  /// Clears the rest of the last file page. In a segment that is not writable the bytes of the file stay, as
  /// in Linux.
  private func clearTail(
    _ start: UInt64, _ end: UInt64, _ segment: LoadSegment, _ space: AddressSpace
  ) throws(MemoryError) {
    guard start < end, segment.permissions.contains(.write) else { return }
    let zeros = [UInt8](repeating: 0, count: Int(truncatingIfNeeded: end &- start))
    if !space.copyOut(zeros, to: GuestAddress(start)) { throw .badAddress }
  }
}
