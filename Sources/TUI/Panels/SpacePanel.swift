// The whole address space at one glance: the mappings, without the gaps between them, along a Hilbert curve, so that what is near in memory is near
// on the screen. Grounds show what a mapping is for, brighter colours what the last instructions did there. Two cells a
// character, one above the other; letters where there are no colours.

import GuestMemory
import Trace

final class SpacePanel: Panel {
  let kind = PanelKind.space
  private var curve = SpaceCurve(width: 0, height: 0)
  private var layout = SpaceLayout([], cells: 0) { _ in "" }
  /// What has happened in each cell, in the order of the curve.
  private var touched: [TouchedCell] = []
  /// The cursor's address; cells have others when the size or the mappings change.
  private var address: UInt64 = 0
  private var hasMoved = false
  /// Cells above each other in a character.
  private var stacked = 2

  func title(_ workspace: Workspace) -> String {
    guard let band = layout.number(of: address).map({ layout.bands[$0] }) else { return "space" }
    let name = workspace.subject.name(of: band.region)
    return
      "space 0x\(Format.hex(address)) \(band.region.letters) \(name), \(SpacePanel.size(band.step)) a cell"
  }

  private static func size(_ bytes: UInt64) -> String {
    bytes < 10 << 10 ? "\(bytes) B" : bytes < 10 << 20 ? "\(bytes >> 10) KB" : "\(bytes >> 20) MB"
  }

  // MARK: What there is

  /// Lays everything out for so many columns and rows of cells.
  private func prepare(_ width: Int, _ height: Int, _ subject: any Subject) {
    if curve.width != width || curve.height != height { curve = SpaceCurve(width: width, height: height) }
    layout = SpaceLayout(subject.regions, cells: curve.places.count) { subject.name(of: $0) }
    if !hasMoved || layout.number(of: address) == nil { address = subject.registers.rip }
    touched = [TouchedCell](repeating: TouchedCell(), count: layout.cells)
    guard let record = subject.activity else { return }
    var latest: SpaceLayout.Band?
    record.forEach { first, last, cell in
      var place = first
      // One that lies in two mappings counts in both.
      for _ in 0..<2 {
        if latest.map({ $0.region.contains(place) }) != true {
          guard let number = layout.number(of: place) else { return }
          latest = layout.bands[number]
        }
        guard let band = latest else { return }
        for number in layout.cells(from: place, to: last, in: band) { touched[number].add(cell) }
        if last < band.region.end { return }
        place = band.region.end
      }
    }
  }

  /// The space as letters, capital where something has happened.
  func text(_ width: Int, _ height: Int, _ subject: any Subject) -> [String] {
    prepare(width, height, subject)
    return (0..<curve.height).map { y in
      var row = String.UnicodeScalarView()
      for x in 0..<curve.width { row.append(letter(Int(curve.numbers[y * curve.width + x]))) }
      return String(row)
    }
  }

  private func letter(_ number: Int) -> Unicode.Scalar {
    guard number < touched.count, let kind = layout.band(of: number)?.kind else { return " " }
    if !touched[number].isTouched { return kind.letter }
    return kind == .reserved ? "=" : Unicode.Scalar(UInt8(truncatingIfNeeded: kind.letter.value & ~32))
  }

  /// Bands with their addresses, cells and what was touched, for programs.
  var description: (lines: [String], objects: [String]) {
    var lines: [String] = []
    var objects: [String] = []
    for band in layout.bands {
      let cells = touched[band.first..<(band.first + band.count)]
      let count = cells.count { $0.isTouched }
      lines.append(
        "\(Format.hex(band.region.start, digits: 12))-\(Format.hex(band.region.end, digits: 12)) "
          + "\(Format.padded(band.kind.rawValue, 9)) \(band.count) cells, \(count) touched")
      objects.append(
        "{\"start\":\"0x\(Format.hex(band.region.start))\",\"kind\":\"\(band.kind.rawValue)\","
          + "\"cells\":\(band.count),\"touched\":\(count)}")
    }
    return (lines, objects)
  }

  // MARK: Drawing

  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool) {
    let hasLetters = workspace.depth.isPoor
    stacked = hasLetters ? 1 : 2
    let hasLegend = window.height > 3
    let rows = max(0, window.height - (hasLegend ? 1 : 0))
    // With an even number of columns neighbours are always neighbours.
    prepare(window.width > 1 ? window.width & ~1 : window.width, rows * stacked, workspace.subject)
    let cursor = isFocused || hasMoved ? cell(of: address) : nil
    for y in 0..<rows {
      for x in 0..<curve.width {
        if hasLetters {
          let number = Int(curve.numbers[y * curve.width + x])
          let style = Style(
            foreground: colour(number, workspace), attributes: number == cursor ? .reverse : [])
          window.put(Cell(scalar: letter(number).value, style: style), x: x, y: y)
          continue
        }
        let upper = Int(curve.numbers[2 * y * curve.width + x])
        let lower = Int(curve.numbers[(2 * y + 1) * curve.width + x])
        let white = Colour.hex(0xffffff)
        let style = Style(
          foreground: upper == cursor ? white : colour(upper, workspace),
          background: lower == cursor ? white : colour(lower, workspace))
        window.put(Cell(scalar: 0x2580, style: style), x: x, y: y)
      }
    }
    if hasLegend { drawLegend(window, rows, hasLetters) }
  }

  private func drawLegend(_ window: Window, _ y: Int, _ hasLetters: Bool) {
    var x = 0
    for kind in SpaceKind.allCases where layout.bands.contains(where: { $0.kind == kind }) {
      let text = (hasLetters ? "\(kind.letter)=" : "") + kind.rawValue
      let style = hasLetters ? Theme.plain : Theme.plain.on(Theme.ground(kind))
      x = window.put(" \(text) ", x: x, y: y, style)
    }
    x += 1
    for (text, style) in [
      (" read ", Theme.currentRead), (" written ", Theme.currentWrite),
      (" executed ", Theme.currentExecution),
    ] {
      x = window.put(text, x: x, y: y, hasLetters ? Theme.plain : style)
    }
  }

  private func colour(_ number: Int, _ workspace: Workspace) -> Colour {
    guard number < touched.count, let kind = layout.band(of: number)?.kind else { return .standard }
    let ground = Theme.ground(kind)
    let cell = touched[number]
    if workspace.heat == .off || !cell.isTouched { return ground }
    if cell.writeAge == 0 { return Theme.currentWrite.background }
    if cell.readAge == 0 { return Theme.currentRead.background }
    if cell.executionAge == 0 { return Theme.currentExecution.background }
    return workspace.heat.colour(cell, on: ground) ?? ground
  }

  private func cell(of address: UInt64) -> Int? {
    guard let number = layout.number(of: address) else { return nil }
    return layout.cells(from: address, to: address, in: layout.bands[number]).lowerBound
  }

  // MARK: Keys and mouse

  func take(_ key: Key, _ workspace: Workspace) -> Bool {
    switch key {
    case .left: move(-1, 0)
    case .right: move(1, 0)
    case .up: move(0, -1)
    case .down: move(0, 1)
    case .pageUp: move(0, -8)
    case .pageDown: move(0, 8)
    case .home:
      hasMoved = false
      address = workspace.subject.registers.rip
    case .enter:
      workspace.memory?.look(at: address)
      workspace.focus(on: .memory)
    default: return false
    }
    return true
  }

  private func move(_ right: Int, _ down: Int) {
    guard let number = cell(of: address), number < curve.places.count, curve.width > 0 else { return }
    let place = Int(curve.places[number])
    let x = max(0, min(place % curve.width + right, curve.width - 1))
    let y = max(0, min(place / curve.width + down, curve.height - 1))
    choose(x, y)
  }

  private func choose(_ x: Int, _ y: Int) {
    guard x >= 0, x < curve.width, y >= 0, y < curve.height,
      let new = layout.address(of: Int(curve.numbers[y * curve.width + x]))
    else { return }
    (address, hasMoved) = (new, true)
  }

  func click(x: Int, y: Int, _ workspace: Workspace) {
    choose(x, y * stacked)
    if hasMoved { workspace.memory?.look(at: address) }
  }

  func scroll(_ lines: Int, _ workspace: Workspace) { move(0, lines) }
}

extension Theme {
  /// The ground of what a mapping is for.
  static func ground(_ kind: SpaceKind) -> Colour {
    switch kind {
    case .code: .hex(0x26304c)
    case .constants: .hex(0x203636)
    case .data: .hex(0x3a3a22)
    case .heap: .hex(0x4a381e)
    case .stack: .hex(0x402848)
    case .anonymous: .hex(0x303030)
    case .reserved: .hex(0x181418)
    }
  }
}
