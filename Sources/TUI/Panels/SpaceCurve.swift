// A Hilbert curve through a rectangle of any size: what is near on the curve is near in the rectangle. Follows Jakub Červený's generalisation
// (github.com/jakubcerveny/gilbert): a rectangle is cut into two or three smaller ones, along which the curve goes on. Each place is
// visited once. Neighbours on the curve are neighbours in the rectangle; only where the longer side is odd and the
// shorter one even there is one diagonal step.

struct SpaceCurve: Equatable {
  let width: Int
  let height: Int
  /// The places in the order of the curve, as y * width + x.
  private(set) var places: [Int32] = []
  /// The other way round: the number on the curve of each place.
  private(set) var numbers: [Int32] = []

  private typealias Step = (x: Int, y: Int)

  init(width: Int, height: Int) {
    (self.width, self.height) = (max(0, min(width, 4096)), max(0, min(height, 4096)))
    if self.width == 0 || self.height == 0 { return }
    places.reserveCapacity(self.width * self.height)
    if self.width >= self.height {
      fill((0, 0), (self.width, 0), (0, self.height))
    } else {
      fill((0, 0), (0, self.height), (self.width, 0))
    }
    numbers = [Int32](repeating: 0, count: places.count)
    for (number, place) in places.enumerated() { numbers[Int(place)] = Int32(number) }
  }

  private static func sign(_ value: Int) -> Int { value > 0 ? 1 : value < 0 ? -1 : 0 }
  /// Half, rounded down, of negative numbers as well.
  private static func half(_ step: Step) -> Step { (step.x >> 1, step.y >> 1) }

  /// Fills the rectangle at `start` that `along` (the way the curve goes) and `across` span.
  private mutating func fill(_ start: Step, _ along: Step, _ across: Step) {
    let length = abs(along.x + along.y)
    let breadth = abs(across.x + across.y)
    let one: Step = (SpaceCurve.sign(along.x), SpaceCurve.sign(along.y))
    let side: Step = (SpaceCurve.sign(across.x), SpaceCurve.sign(across.y))
    if breadth == 1 { return line(start, one, length) }
    if length == 1 { return line(start, side, breadth) }
    var (half, rise) = (SpaceCurve.half(along), SpaceCurve.half(across))
    let (halfLength, halfBreadth) = (abs(half.x + half.y), abs(rise.x + rise.y))
    if 2 * length > 3 * breadth {
      // Long: two pieces, of which the first is even.
      if halfLength % 2 != 0, length > 2 { half = (half.x + one.x, half.y + one.y) }
      fill(start, half, across)
      fill((start.x + half.x, start.y + half.y), (along.x - half.x, along.y - half.y), across)
      return
    }
    if halfBreadth % 2 != 0, breadth > 2 { rise = (rise.x + side.x, rise.y + side.y) }
    // Up, along, and down again.
    fill(start, rise, half)
    fill((start.x + rise.x, start.y + rise.y), along, (across.x - rise.x, across.y - rise.y))
    fill(
      (start.x + along.x - one.x + rise.x - side.x, start.y + along.y - one.y + rise.y - side.y),
      (-rise.x, -rise.y), (half.x - along.x, half.y - along.y))
  }

  private mutating func line(_ start: Step, _ step: Step, _ count: Int) {
    for number in 0..<count {
      places.append(Int32((start.y + number * step.y) * width + start.x + number * step.x))
    }
  }
}
