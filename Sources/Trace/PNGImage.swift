// A picture in the PNG format (ISO/IEC 15948): up to 256 colours, one byte a pixel. Rows are stored as what is different from the row above, and runs
// of equal bytes once (RFC 1951, fixed codes): little for pictures that are made of rectangles, and nothing that a reader would
// not know.
import VirtualMachine

struct PNGImage {
  let width: Int
  let height: Int
  /// 0xRRGGBB by number.
  private let colours: [UInt32]
  private var pixels: [UInt8]

  /// All pixels have the colour 0. Of `colours` 256 count.
  init(width: Int, height: Int, colours: [UInt32]) {
    (self.width, self.height) = (max(1, width), max(1, height))
    self.colours = Array(colours.prefix(256))
    pixels = [UInt8](repeating: 0, count: self.width * self.height)
  }

  /// Gives a rectangle, as far as it lies inside, the colour of this number.
  mutating func fill(x: Int, y: Int, width: Int, height: Int, _ colour: Int) {
    guard colours.indices.contains(colour) else { return }
    let left = max(0, x)
    let right = min(x + width, self.width)
    if left >= right { return }
    for row in max(0, y)..<max(0, max(y, min(y + height, self.height))) {
      for place in (row * self.width + left)..<(row * self.width + right) {
        pixels[place] = UInt8(truncatingIfNeeded: colour)
      }
    }
  }

  /// The file.
  var bytes: [UInt8] {
    var result: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
    // Eight bits a pixel, colours from a palette, no interlacing.
    let header = PNGImage.word(UInt32(width)) + PNGImage.word(UInt32(height)) + [8, 3, 0, 0, 0]
    PNGImage.add("IHDR", header, &result)
    let palette = colours.flatMap { PNGImage.word($0).dropFirst() }
    PNGImage.add("PLTE", palette, &result)
    PNGImage.add("IDAT", compressed(rows()), &result)
    PNGImage.add("IEND", [], &result)
    return result
  }

  private static func word(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  private static func add(_ kind: String, _ data: [UInt8], _ result: inout [UInt8]) {
    let body = Array(kind.utf8) + data
    var checksum = CRC32()
    checksum.add(body)
    result += word(UInt32(truncatingIfNeeded: data.count)) + body + word(checksum.value)
  }

  /// Each row with its filter in front: the difference from the row above.
  private func rows() -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity((width + 1) * height)
    let up: UInt8 = 2
    for row in 0..<height {
      result.append(up)
      for place in (row * width)..<((row + 1) * width) {
        result.append(row == 0 ? pixels[place] : pixels[place] &- pixels[place - width])
      }
    }
    return result
  }

  /// The zlib format: one block with fixed codes, whose only repetitions are runs of a byte.
  private func compressed(_ data: [UInt8]) -> [UInt8] {
    var stream = BitStream(bytes: [0x78, 0x01])
    // The last block; fixed codes.
    stream.put(1, 1)
    stream.put(1, 2)
    var place = 0
    while place < data.count {
      let byte = data[place]
      var end = place + 1
      while end < data.count, data[end] == byte { end += 1 }
      stream.literal(byte)
      var left = end - place - 1
      while left > 0 {
        let run = min(left, BitStream.longestRun)
        if run < BitStream.shortestRun {
          for _ in 0..<run { stream.literal(byte) }
        } else {
          stream.run(run)
        }
        left -= run
      }
      place = end
    }
    stream.end()
    var (low, high): (UInt32, UInt32) = (1, 0)
    for byte in data {
      low = (low + UInt32(byte)) % 65521
      high = (high + low) % 65521
    }
    return stream.bytes + PNGImage.word(high << 16 | low)
  }
}

/// The codes of RFC 1951, section 3.2.6, as bits.
private struct BitStream {
  var bytes: [UInt8]
  private var pending: UInt32 = 0
  private var count = 0
  static let shortestRun = 3
  static let longestRun = 258

  init(bytes: [UInt8]) { self.bytes = bytes }

  /// `count` bits (16 at most), the lowest first.
  mutating func put(_ value: UInt32, _ count: Int) {
    pending |= value << UInt32(self.count)
    self.count += count
    while self.count >= 8 {
      bytes.append(UInt8(truncatingIfNeeded: pending))
      pending >>= 8
      self.count -= 8
    }
  }

  /// A code, whose highest bit comes first.
  private mutating func code(_ value: UInt32, _ count: Int) {
    var turned: UInt32 = 0
    for bit in 0..<count where value >> UInt32(bit) & 1 != 0 { turned |= 1 << UInt32(count - 1 - bit) }
    put(turned, count)
  }

  private mutating func symbol(_ number: UInt32) {
    switch number {
    case ..<144: code(0x30 + number, 8)
    case ..<256: code(0x190 + number - 144, 9)
    case ..<280: code(number - 256, 7)
    default: code(0xc0 + number - 280, 8)
    }
  }

  mutating func literal(_ byte: UInt8) { symbol(UInt32(byte)) }

  /// The last byte so often once more.
  mutating func run(_ length: Int) {
    if length == BitStream.longestRun {
      symbol(285)
    } else {
      // Four symbols each for lengths that need 0, 1, 2 … more bits; the first eight need none.
      var extra = 0
      var number: UInt32 = 257
      var least = BitStream.shortestRun
      while length >= least + 1 << extra {
        least += 1 << extra
        number += 1
        if number > 264, (number - 257) % 4 == 0 { extra += 1 }
      }
      symbol(number)
      put(UInt32(length - least), extra)
    }
    // The distance 1.
    put(0, 5)
  }

  /// The end of the block, and of the last byte.
  mutating func end() {
    symbol(256)
    if count > 0 { put(0, 8 - count) }
  }
}
