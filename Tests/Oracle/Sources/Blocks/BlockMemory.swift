// The memory of random blocks on both sides, and the images that it starts from. An image is one of a few random ones with
// some words changed, so that making it costs as little as copying.

import CNative
import Glibc
import GuestMemory

/// Maps the areas natively and in a guest, writes images and code, compares.
final class BlockMemory {
  private let guest: Guest
  private let pool: [[UInt8]]
  /// The image of the block that runs now.
  private(set) var image: [UInt8]

  init?(_ guest: Guest) {
    self.guest = guest
    guard BlockMemory.mapNative(), BlockMemory.mapGuest(guest) else { return nil }
    image = [UInt8](repeating: 0, count: BlockLayout.imageSize)
    var pool: [[UInt8]] = []
    for number in 0..<16 {
      var generator = StateGenerator(random: RandomSource(seed: 0x5eed &+ UInt64(number)))
      var bytes = [UInt8](repeating: 0, count: BlockLayout.imageSize)
      bytes.withUnsafeMutableBytes { generator.fill($0) }
      pool.append(bytes)
    }
    self.pool = pool
    guard fillReadOnly() else { return nil }
  }

  private static func mapNative() -> Bool {
    for area in BlockLayout.areas where native_map(area.address, area.size, 3) != 0 { return false }
    return native_map(BlockLayout.readOnly, BlockLayout.readOnlySize, 3) == 0
      && native_map(BlockLayout.code, BlockLayout.codeSize, 5) == 0
  }

  private static func mapGuest(_ guest: Guest) -> Bool {
    do {
      for area in BlockLayout.areas {
        try guest.space.mapAnonymous(at: area.address, size: area.size, permissions: [.read, .write])
      }
      try guest.space.mapAnonymous(
        at: BlockLayout.readOnly, size: BlockLayout.readOnlySize, permissions: [.read, .write])
      try guest.space.mapAnonymous(
        at: BlockLayout.code, size: BlockLayout.codeSize, permissions: [.read, .execute])
      return true
    } catch {
      return false
    }
  }

  private func fillReadOnly() -> Bool {
    guard let native = UnsafeMutableRawPointer(bitPattern: UInt(BlockLayout.readOnly)) else { return false }
    let bytes = UnsafeMutableRawBufferPointer(start: native, count: Int(BlockLayout.readOnlySize))
    var generator = StateGenerator(random: RandomSource(seed: 0x0dd))
    generator.fill(bytes)
    (guest.space.base + Int(BlockLayout.readOnly)).copyMemory(from: native, byteCount: bytes.count)
    native_protect(BlockLayout.readOnly, BlockLayout.readOnlySize, 1)
    return
      (try? guest.space.protect(
        BlockLayout.readOnly, size: BlockLayout.readOnlySize, permissions: .read)) != nil
  }

  // MARK: Code

  /// Writes the code of a whole batch on both sides; the caller flushes the engine.
  func writeCode(_ blocks: [AssembledBlock]) {
    let guestCode = UInt64(UInt(bitPattern: guest.space.base)) &+ BlockLayout.code
    for start in [BlockLayout.code, guestCode] {
      native_protect(start, BlockLayout.codeSize, 3)
      for block in blocks { BlockMemory.copy(block, start &+ block.address &- BlockLayout.code) }
      native_protect(start, BlockLayout.codeSize, start == guestCode ? 1 : 5)
    }
  }

  /// The block, and INT3 in the rest of its slot.
  private static func copy(_ block: AssembledBlock, _ address: UInt64) {
    guard let place = UnsafeMutableRawPointer(bitPattern: UInt(address)) else { return }
    let slot = UnsafeMutableRawBufferPointer(start: place, count: Int(BlockLayout.slotSize))
    slot.copyBytes(from: block.bytes)
    for offset in block.bytes.count..<slot.count { slot[offset] = 0xcc }
  }

  // MARK: Data

  /// Makes the image of a program.
  func prepare(_ program: BlockProgram, _ block: AssembledBlock) {
    var random = RandomSource(seed: program.seed &+ 0x1234_5678)
    image.withUnsafeMutableBytes { bytes in
      pool[random.below(pool.count)].withUnsafeBytes { bytes.copyMemory(from: $0) }
      var generator = StateGenerator(random: random)
      for _ in 0..<48 {
        let offset = generator.random.below(BlockLayout.imageSize / 8) * 8
        let value = generator.random.oneIn(2) ? generator.double() : generator.random.edge()
        bytes.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
      }
      for (address, value) in program.constants { BlockMemory.store(value, address, bytes) }
      for (address, label) in program.labelCells {
        BlockMemory.store(block.labels[label] ?? 0, address, bytes)
      }
    }
  }

  private static func store(_ value: UInt64, _ address: UInt64, _ bytes: UnsafeMutableRawBufferPointer) {
    let offset = Int(address &- BlockLayout.control &+ BlockLayout.dataSize)
    bytes.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
  }

  /// Puts the image in place.
  func restore(native: Bool) {
    let base = native ? 0 : UInt(bitPattern: guest.space.base)
    image.withUnsafeBytes { bytes in
      guard var source = bytes.baseAddress else { return }
      for area in BlockLayout.areas {
        UnsafeMutableRawPointer(bitPattern: base &+ UInt(area.address))?
          .copyMemory(from: source, byteCount: Int(area.size))
        source += Int(area.size)
      }
    }
  }

  /// Words that differ between both sides.
  func differences() -> [String] {
    var lines: [String] = []
    for area in BlockLayout.areas {
      guard let native = UnsafeRawPointer(bitPattern: UInt(area.address)) else { continue }
      let other = UnsafeRawPointer(guest.space.base + Int(area.address))
      if memcmp(native, other, Int(area.size)) == 0 { continue }
      for offset in stride(from: 0, to: Int(area.size), by: 8) {
        let left = native.load(fromByteOffset: offset, as: UInt64.self)
        let right = other.load(fromByteOffset: offset, as: UInt64.self)
        if left == right { continue }
        let address = String(area.address + UInt64(offset), radix: 16)
        lines.append(
          "[0x\(address)]: native 0x\(String(left, radix: 16)), guest 0x\(String(right, radix: 16))")
      }
    }
    return lines
  }
}
