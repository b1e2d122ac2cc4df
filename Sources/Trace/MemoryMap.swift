// A picture of memory over time: the touched pages from top to bottom, without the gaps between them, time from left to right, and colours for
// what happened in each cell. Counts are kept for pieces of memory that become larger when there are too many, so
// that neither long runs nor large memories make it grow.
//
//        label       ┌──────────── columns ─────────────┐
//     program text   │ blue: executed                   │
//     [heap]         │ green: read, red: written        │ rows
//     [stack]        └──────────────────────────────────┘
import Engine
import GuestMemory
import Linux

final class MemoryMap: TraceSink {
  struct Cell {
    var reads: UInt32 = 0
    var writes: UInt32 = 0
    var executions: UInt32 = 0

    mutating func add(_ other: Cell) {
      reads = MemoryMap.sum(reads, other.reads)
      writes = MemoryMap.sum(writes, other.writes)
      executions = MemoryMap.sum(executions, other.executions)
    }
  }

  private let columns: Int
  private let rows: Int
  /// log2 of a piece's bytes.
  private var shift: UInt64 = 6
  private static let largestShift: UInt64 = 12
  private static let mostCells = 1 << 20
  /// Cells by piece and column.
  private var numbers: [UInt64: Int] = [:]
  private var cells: [Cell] = []
  /// The last cell for data, and the last one for code.
  private var lastData: (key: UInt64, number: Int) = (.max, 0)
  private var lastCode: (key: UInt64, number: Int) = (.max, 0)
  /// What the touched pages belong to.
  private var pages: [UInt64: Int] = [:]
  private var labels: [String] = []
  private var labelNumbers: [String: Int] = [:]
  private var column = 0
  /// The first instant of the next column.
  private var nextColumn: InstructionCount = 0
  private static let mostBytes: UInt64 = 1 << 28
  private static let columnBits: UInt64 = 12

  private let isPNG: Bool

  /// `isPNG`: a picture of pixels, without words.
  init(_ context: TraceContext, _ output: TextOutput, columns: Int, rows: Int, isPNG: Bool) {
    (self.columns, self.rows, self.isPNG) = (columns, rows, isPNG)
    super.init(context, output)
    nextColumn = begin(of: 1)
  }

  override var needsAccesses: Bool { true }

  private static func sum(_ left: UInt32, _ right: UInt32) -> UInt32 {
    let (sum, overflows) = left.addingReportingOverflow(right)
    return overflows ? .max : sum
  }

  private func begin(of column: Int) -> InstructionCount {
    let share = context.duration.multipliedReportingOverflow(by: Int64(column))
    return context.from &+ (share.overflow ? .max : share.partialValue / Int64(columns))
  }

  override func begins(_ entry: Int, _ moment: TraceMoment) {
    while moment.instant >= nextColumn, column < columns - 1 {
      column += 1
      nextColumn = begin(of: column + 1)
    }
  }

  override func executed(_ entry: Int, _ moment: TraceMoment, _ stack: ShadowStack?) {
    let key = key(context.code.entries[entry].address)
    if lastCode.key != key { lastCode = (key, number(key)) }
    cells[lastCode.number].executions = MemoryMap.sum(cells[lastCode.number].executions, 1)
  }

  override func accessed(_ access: MemoryAccess, by entry: Int, _ moment: TraceMoment) {
    let last = access.address &+ (min(max(access.size, 1), MemoryMap.mostBytes) &- 1)
    var place = access.address
    while place <= last {
      let key = key(place)
      if lastData.key != key { lastData = (key, number(key)) }
      let number = lastData.number
      if access.isWrite {
        cells[number].writes = MemoryMap.sum(cells[number].writes, 1)
      } else {
        cells[number].reads = MemoryMap.sum(cells[number].reads, 1)
      }
      let next = ((place &>> shift) &+ 1) &<< shift
      if next <= place { return }
      place = next
    }
  }

  private func key(_ address: UInt64) -> UInt64 {
    (address &>> shift) &<< MemoryMap.columnBits | UInt64(column)
  }

  private func number(_ key: UInt64) -> Int {
    if let known = numbers[key] { return known }
    note(page: ((key &>> MemoryMap.columnBits) &<< shift) &>> Page.shift)
    cells.append(Cell())
    numbers[key] = cells.count - 1
    if cells.count > MemoryMap.mostCells, shift < MemoryMap.largestShift { return coarsen(key) }
    return cells.count - 1
  }

  /// Makes pieces twice as large; where `key` is now.
  private func coarsen(_ key: UInt64) -> Int {
    let (old, oldCells) = (numbers, cells)
    (numbers, cells) = ([:], [])
    shift += 1
    lastData.key = .max
    lastCode.key = .max
    var result = 0
    for (oldKey, number) in old {
      let columnMask: UInt64 = 1 &<< MemoryMap.columnBits &- 1
      let piece = oldKey &>> (MemoryMap.columnBits &+ 1)
      let newKey = piece &<< MemoryMap.columnBits | oldKey & columnMask
      let place = numbers[newKey] ?? cells.count
      if place == cells.count {
        cells.append(Cell())
        numbers[newKey] = place
      }
      cells[place].add(oldCells[number])
      if oldKey == key { result = place }
    }
    return result
  }

  private func note(page: UInt64) {
    if pages[page] != nil { return }
    let memory = context.replay.memory
    var label = "not mapped"
    if let region = memory.query(page &<< Page.shift) {
      let name = memory.name(of: region)
      label = (name.isEmpty ? "anonymous" : name) + " " + region.letters
    }
    if labelNumbers[label] == nil {
      labelNumbers[label] = labels.count
      labels.append(label)
    }
    pages[page] = labelNumbers[label]
  }

  // MARK: The picture

  override func finish() {
    let picture = MemoryPicture(
      columns: columns, rows: rows, from: context.from,
      to: max(context.replay.instant, context.from), pages: pages, labels: labels)
    var grid: [Int: Cell] = [:]
    for (key, number) in numbers {
      let address = (key &>> MemoryMap.columnBits) &<< shift
      let column = Int(key & (1 &<< MemoryMap.columnBits &- 1))
      guard let range = picture.rows(of: address, size: 1 &<< shift) else { continue }
      for row in range { grid[row * columns + column, default: Cell()].add(cells[number]) }
    }
    if isPNG {
      output.text(picture.png(grid).bytes)
    } else {
      picture.write(grid, to: output)
    }
    output.finish()
  }
}

/// How a map is laid out, and its SVG.
struct MemoryPicture {
  let columns: Int
  let rows: Int
  let from: InstructionCount
  let to: InstructionCount
  private let sorted: [UInt64]
  private let places: [UInt64: Int]
  private let pageLabels: [Int]
  private let labels: [String]
  /// Pixels.
  private static let cell = 4
  private static let left = 330
  private static let top = 40
  private static let line = 12

  init(
    columns: Int, rows: Int, from: InstructionCount, to: InstructionCount, pages: [UInt64: Int],
    labels: [String]
  ) {
    (self.columns, self.rows, self.from, self.to, self.labels) = (columns, rows, from, to, labels)
    let order = pages.keys.sorted()
    sorted = order
    pageLabels = order.map { pages[$0] ?? 0 }
    places = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, $0) })
  }

  /// The row of a byte of the `index`th touched page.
  private func row(_ index: Int, _ offset: UInt64) -> Int {
    let place = (Double(index) + Double(offset) / Double(Page.size)) / Double(max(sorted.count, 1))
    return min(Int(place * Double(rows)), rows - 1)
  }

  /// The rows that a piece of memory lies in.
  func rows(of address: UInt64, size: UInt64) -> ClosedRange<Int>? {
    guard let index = places[address >> Page.shift] else { return nil }
    let first = row(index, address & Page.mask)
    return first...max(first, row(index, (address & Page.mask) &+ size &- 1))
  }

  func write(_ grid: [Int: MemoryMap.Cell], to output: TextOutput) {
    let width = MemoryPicture.left + columns * MemoryPicture.cell + 20
    let height = MemoryPicture.top + rows * MemoryPicture.cell + 40
    output.text("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
    output.text("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width)\" height=\"\(height)\"")
    output.text(" viewBox=\"0 0 \(width) \(height)\" font-family=\"monospace\" font-size=\"10\">\n")
    output.text("<title>Memory over time</title>\n<desc>columns \(columns), rows \(rows), ")
    output.text("pages \(sorted.count), instants \(from) to \(to), cells \(grid.count)</desc>\n")
    output.text("<rect width=\"\(width)\" height=\"\(height)\" fill=\"#16161c\"/>\n")
    writeLegend(to: output)
    writeBands(to: output)
    writeCells(grid, to: output)
    output.text("</svg>\n")
  }

  private func text(
    _ string: String, _ x: Int, _ y: Int, _ colour: String, anchor: String = "start", to output: TextOutput
  ) {
    output.text("<text x=\"\(x)\" y=\"\(y)\" fill=\"\(colour)\" text-anchor=\"\(anchor)\">")
    output.xml(string)
    output.text("</text>\n")
  }

  private func writeLegend(to output: TextOutput) {
    let left = MemoryPicture.left
    text("read", left, 16, "#00ff00", to: output)
    text("written", left + 40, 16, "#ff3030", to: output)
    text("executed", left + 100, 16, "#6080ff", to: output)
    text("read and written", left + 170, 16, "#ffff00", to: output)
    let bottom = MemoryPicture.top + rows * MemoryPicture.cell + 16
    text("instant \(from)", left, bottom, "#c0c0c8", to: output)
    text("\(to)", left + columns * MemoryPicture.cell, bottom, "#c0c0c8", anchor: "end", to: output)
  }

  /// The pages where a gap was cut out or another region begins.
  private var bands: [Int] {
    sorted.indices.filter { index in
      index == 0 || sorted[index - 1] + 1 != sorted[index] || pageLabels[index - 1] != pageLabels[index]
    }
  }

  /// A line where a gap was cut out or another region begins, and a label where there is room.
  private func writeBands(to output: TextOutput) {
    let (left, top, cell) = (MemoryPicture.left, MemoryPicture.top, MemoryPicture.cell)
    var nextLabel = 0
    for index in bands {
      let y = top + row(index, 0) * cell
      output.text("<path d=\"M\(left - 6) \(y)H\(left + columns * cell)\" stroke=\"#34343c\"/>\n")
      guard y >= nextLabel else { continue }
      nextLabel = y + MemoryPicture.line
      var label = labels[pageLabels[index]]
      let most = 38
      if label.count > most { label = "…" + String(label.suffix(most - 1)) }
      let address = String(sorted[index] << Page.shift, radix: 16)
      text("\(label) \(address)", left - 8, y + 9, "#c0c0c8", anchor: "end", to: output)
    }
  }

  /// 0 to 3: never, now and then, often, very often.
  private static func level(_ count: UInt32) -> Int { count == 0 ? 0 : count < 16 ? 1 : count < 256 ? 2 : 3 }

  /// The number of a cell's colour: the levels of writes, reads and executions.
  private static func colour(_ cell: MemoryMap.Cell) -> Int {
    level(cell.writes) * 16 + level(cell.reads) * 4 + level(cell.executions)
  }

  /// 0xRRGGBB by number.
  private static let colours: [UInt32] = (0..<64).map { number in
    let shades: [UInt32] = [0, 0x70, 0xb0, 0xff]
    return shades[number / 16] << 16 | shades[number / 4 % 4] << 8 | shades[number % 4]
  }

  /// The cells and the lines between regions, as many pixels as in the SVG.
  func png(_ grid: [Int: MemoryMap.Cell]) -> PNGImage {
    let (ground, line, size) = (0, 64, MemoryPicture.cell)
    // No cell has the colour 0: that is the ground's.
    var image = PNGImage(
      width: columns * size, height: rows * size,
      colours: [0x16161c] + MemoryPicture.colours.dropFirst() + [0x34343c])
    for index in bands { image.fill(x: 0, y: row(index, 0) * size, width: columns * size, height: 1, line) }
    for (place, cell) in grid where MemoryPicture.colour(cell) != ground {
      let (row, column) = place.quotientAndRemainder(dividingBy: columns)
      image.fill(x: column * size, y: row * size, width: size, height: size, MemoryPicture.colour(cell))
    }
    return image
  }

  private func writeCells(_ grid: [Int: MemoryMap.Cell], to output: TextOutput) {
    // Cells of a colour together, so that it is said once.
    var byColour: [Int: [Int]] = [:]
    for (place, cell) in grid { byColour[MemoryPicture.colour(cell), default: []].append(place) }
    for colour in byColour.keys.sorted() {
      let value = String(MemoryPicture.colours[colour] | 0x100_0000, radix: 16).dropFirst()
      output.text("<g fill=\"#\(value)\">\n")
      let places = (byColour[colour] ?? []).sorted()
      var index = 0
      while index < places.count {
        var end = index + 1
        while end < places.count, places[end] == places[end - 1] + 1, places[end] % columns != 0 { end += 1 }
        let (row, column) = places[index].quotientAndRemainder(dividingBy: columns)
        let cell = MemoryPicture.cell
        output.text(
          "<rect x=\"\(MemoryPicture.left + column * cell)\" y=\"\(MemoryPicture.top + row * cell)\"")
        output.text(" width=\"\((end - index) * cell)\" height=\"\(cell)\"/>\n")
        index = end
      }
      output.text("</g>\n")
    }
  }
}
