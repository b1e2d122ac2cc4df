// Memory: one glyph a byte (code page 437 or ASCII), hexadecimal numbers, or pieces of 16 bytes to 64 KiB with one sign each. One class for the
// panel that looks at a chosen address and for those that follow what the program reads and writes. Grounds show permissions, and heat:
// what the last instructions did. Bytes that have changed since the last stop are bright.

import GuestMemory
import Trace

final class MemoryPanel: Panel {
  enum View: String, CaseIterable { case glyphs, hex, ascii }

  let kind: PanelKind
  /// The first address of the first row, before it is aligned.
  private(set) var address: UInt64 = 0
  private(set) var cursor: UInt64 = 0
  /// Where the selection begins, whose other end is the cursor; nil: nothing is selected.
  private var anchor: UInt64?
  var view = View.glyphs
  /// log2 of the bytes of a cell, by level.
  static let zooms: [UInt64] = [0, 4, 8, 12, 16]
  private var level = 0
  /// The cursor is to be in the upper third: where that is depends on the panel's size when it is drawn.
  private var isMoved = false
  /// Cells of a row.
  private var columns: UInt64 = 16
  private var height = 1
  private var followed: UInt64?
  /// What was shown at the stop before and is shown now, by page.
  private var earlier: [UInt64: [UInt8]] = [:]
  private var latest: [UInt64: [UInt8]] = [:]
  private var latestStop = -1
  private static let limit: UInt64 = 0x7fff_ffff_ffff

  init(_ kind: PanelKind) { self.kind = kind }

  private var shift: UInt64 { MemoryPanel.zooms[level] }
  private var unit: UInt64 { 1 &<< shift }
  private var perRow: UInt64 { columns &<< shift }
  /// The first address of the first row.
  private var start: UInt64 { address / perRow * perRow }

  func title(_ workspace: Workspace) -> String {
    let region = workspace.subject.region(at: cursor)
    let name = region.map { " \($0.letters) " + workspace.subject.name(of: $0) } ?? " not mapped"
    let chosen = selection.map { ", \($0.count) bytes chosen" } ?? ""
    let label = kind == .written ? "last write" : kind == .read ? "last read" : "memory"
    let what = level == 0 ? view.rawValue : "\(unit < 1024 ? "\(unit)" : "\(unit >> 10)K") a cell"
    let heat = workspace.heat == .off ? "" : workspace.heat == .recency ? ", by recency" : ", by frequency"
    return "\(label) 0x\(Format.hex(selection?.lowerBound ?? cursor))\(chosen) \(what)\(heat)\(name)"
  }

  /// The bytes that are chosen, whole cells.
  var selection: Range<UInt64>? {
    guard let anchor else { return nil }
    let (first, last) = (min(anchor, cursor) & ~(unit &- 1), max(anchor, cursor) | (unit &- 1))
    return first..<max(first, last &+ 1)
  }

  func look(at address: UInt64) {
    (self.address, cursor, anchor) = (address, address, nil)
    // Else it would begin at the stack when it is shown for the first time.
    if followed == nil { followed = address }
  }

  // MARK: Zoom

  /// Chooses how many bytes a cell has, by the number of the level.
  func setZoom(_ new: Int) {
    level = max(0, min(new, MemoryPanel.zooms.count - 1))
    isMoved = true
  }

  /// More (1) or fewer (-1) bytes a cell.
  func zoom(_ direction: Int) { setZoom(level + direction) }

  // MARK: Drawing

  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool) {
    let subject = workspace.subject
    height = max(1, window.height)
    columns = cellsPerRow(window.width)
    if isMoved { address = cursor &- min(cursor, perRow &* UInt64(height / 3)) }
    isMoved = false
    follow(subject)
    let cells = Int(columns) * height
    var touched: [TouchedCell] = []
    if workspace.heat != .off, let record = subject.activity {
      touched = record.cells(from: start, shift: shift, count: cells)
    }
    let regions = MappedRegions(subject.regions)
    let known = level == 0 ? content(start, cells, workspace) : (now: [:], old: [:])
    for y in 0..<window.height {
      let row = start &+ UInt64(y) &* perRow
      if row < start { break }
      let x = window.put(Format.hex(row, digits: 12), x: 0, y: y, Theme.address) + 1
      for column in 0..<Int(columns) {
        let place = row &+ UInt64(column) &* unit
        let number = y * Int(columns) + column
        let cell = number < touched.count ? touched[number] : TouchedCell()
        let isCursor = selection.map { $0.contains(place) } ?? (cursor & ~(unit - 1) == place)
        var mark: Attributes = isCursor ? (isFocused ? .reverse : .underline) : []
        if isCursor, isFocused, workspace.heat != .off, cell.isTouched { mark = [.reverse, .underline] }
        if level == 0 {
          put(place, known, cell, regions, mark, window, x, column, y, workspace)
        } else {
          putPiece(place, cell, regions, mark, window, x + column, y, workspace)
        }
      }
    }
  }

  private func follow(_ subject: any Subject) {
    let wanted: UInt64?
    switch kind {
    case .written: wanted = subject.lastWrite
    case .read: wanted = subject.lastRead
    default: wanted = followed == nil ? subject.registers.rsp : nil
    }
    guard let wanted, followed != wanted else { return }
    followed = wanted
    (cursor, anchor) = (wanted, nil)
    let shown = perRow &* UInt64(height)
    if wanted < start || wanted &- start >= shown {
      address = wanted &- min(wanted, perRow &* UInt64(height / 3))
    }
  }

  private func cellsPerRow(_ width: Int) -> UInt64 {
    let room = width - 13
    // Hexadecimal: two digits, a blank, and the glyph.
    let isHex = view == .hex && level == 0
    let most = isHex ? room / 4 : room
    for count in [128, 64, 32, 16, 8] where most >= count && (!isHex || count <= 32) {
      return UInt64(count)
    }
    return 4
  }

  /// Bytes of the shown range by address; what is not mapped is missing.
  private func content(_ start: UInt64, _ count: Int, _ workspace: Workspace) -> (
    now: [UInt64: [UInt8]], old: [UInt64: [UInt8]]
  ) {
    if latestStop != workspace.stops {
      earlier = latest
      latest = [:]
      latestStop = workspace.stops
    }
    var place = start
    let end = start &+ UInt64(count)
    var pages: [UInt64: [UInt8]] = [:]
    while place < end {
      let page = place & ~4095
      if pages[page] == nil { pages[page] = workspace.subject.bytes(at: page, count: 4096) }
      place = page &+ 4096
      if place == 0 { break }
    }
    latest = pages
    return (pages, earlier)
  }

  private func byte(_ address: UInt64, _ pages: [UInt64: [UInt8]]) -> UInt8? {
    guard let page = pages[address & ~4095] else { return nil }
    let place = Int(address & 4095)
    return place < page.count ? page[place] : nil
  }

  /// One byte.
  private func put(
    _ place: UInt64, _ known: (now: [UInt64: [UInt8]], old: [UInt64: [UInt8]]), _ cell: TouchedCell,
    _ regions: MappedRegions, _ mark: Attributes, _ window: Window, _ x: Int, _ column: Int, _ y: Int,
    _ workspace: Workspace
  ) {
    let value = byte(place, known.now)
    var style = value.map { Theme.byte($0) } ?? Theme.zero
    if let value, let old = byte(place, known.old), value != old { style = Theme.changed }
    style = style.on(Theme.ground(regions.region(at: place)))
    style = workspace.heat.style(style, cell, depth: workspace.depth).with(mark)
    var glyphs = x
    if view == .hex {
      glyphs = x + Int(columns) * 3
      window.put(value.map { Format.hex(UInt64($0), digits: 2) } ?? "··", x: x + column * 3, y: y, style)
    }
    let glyph = value.map { view == .ascii ? Format.ascii($0) : Format.glyph($0) } ?? " "
    window.put(Cell(scalar: glyph.value, style: style), x: glyphs + column, y: y)
  }

  /// A piece of memory: how much of it is not zero.
  private func putPiece(
    _ place: UInt64, _ cell: TouchedCell, _ regions: MappedRegions, _ mark: Attributes, _ window: Window,
    _ x: Int, _ y: Int, _ workspace: Workspace
  ) {
    let end = place.addingReportingOverflow(unit)
    let region = regions.first(from: place, to: end.overflow ? .max : end.partialValue)
    var style = Theme.faint.on(Theme.ground(region))
    var scalar: UInt32 = 32
    if region != nil {
      let (bytes, used) = density(place, workspace.subject)
      let signs: [Unicode.Scalar] = ["-", "+", "*", "#"]
      scalar = bytes == 0 ? 63 : used == 0 ? 0xb7 : signs[min(3, used * 4 / bytes)].value
      if used > 0 { style.foreground = .hex(0xa8b0b8) }
    }
    style = workspace.heat.style(style, cell, depth: workspace.depth).with(mark)
    window.put(Cell(scalar: scalar, style: style), x: x, y: y)
  }

  /// So many bytes of a piece were looked at, and so many of them are not zero. Of large pieces only samples are looked at.
  private func density(_ place: UInt64, _ subject: any Subject) -> (bytes: Int, used: Int) {
    let isSampled = unit > 256
    let size = isSampled ? 64 : Int(unit)
    let distance: UInt64 = isSampled ? max(1024, unit / 16) : unit
    var (bytes, used) = (0, 0)
    for offset in stride(from: 0, to: unit, by: Int(distance)) {
      let part = subject.bytes(at: place &+ offset, count: size)
      bytes += part.count
      for byte in part where byte != 0 { used += 1 }
    }
    return (bytes, used)
  }

  // MARK: Keys and mouse

  func take(_ key: Key, _ workspace: Workspace) -> Bool {
    switch key {
    case .left: move(-Int64(unit))
    case .right: move(Int64(unit))
    case .up: move(-Int64(perRow))
    case .down: move(Int64(perRow))
    case .pageUp: move(-Int64(perRow) * Int64(height))
    case .pageDown: move(Int64(perRow) * Int64(height))
    case .character("+"), .character("="): zoom(1)
    case .character("-"): zoom(-1)
    case .character("v"):
      let all = View.allCases
      view = all[((all.firstIndex(of: view) ?? 0) + 1) % all.count]
    case .enter:
      guard let pointer = workspace.subject.word(at: cursor), workspace.subject.region(at: pointer) != nil
      else {
        return false
      }
      workspace.goTo(pointer)
    case .character("m"): anchor = anchor == nil ? cursor : nil
    case .escape: anchor = nil
    case .character("w"):
      let bytes = selection ?? cursor..<cursor &+ unit
      workspace.perform("last-change 0x\(Format.hex(bytes.lowerBound)) \(bytes.count)")
    default: return false
    }
    return true
  }

  private func move(_ bytes: Int64) {
    let old = cursor
    cursor = min(cursor &+ UInt64(bitPattern: bytes), MemoryPanel.limit)
    if bytes < 0, cursor > old { cursor = 0 }
    let start = self.start
    if cursor < start { address = cursor / perRow * perRow }
    let last = start &+ perRow &* UInt64(height)
    if cursor >= last { address = start &+ ((cursor &- last) / perRow &+ 1) &* perRow }
  }

  /// Clicked for the second time, a pointer is followed.
  func click(x: Int, y: Int, _ workspace: Workspace) {
    guard let place = place(x: x, y: y) else { return }
    if anchor == nil, cursor == place, level == 0 {
      _ = take(.enter, workspace)
    } else {
      (cursor, anchor) = (place, nil)
    }
  }

  func drag(x: Int, y: Int, _ workspace: Workspace) {
    guard let place = place(x: x, y: y), anchor != nil || place != cursor else { return }
    if anchor == nil { anchor = cursor }
    cursor = place
  }

  /// The address of a cell.
  private func place(x: Int, y: Int) -> UInt64? {
    let isHex = view == .hex && level == 0
    let glyphs = isHex ? 13 + Int(columns) * 3 : 13
    let column = x >= glyphs ? x - glyphs : isHex ? (x - 13) / 3 : -1
    guard x >= 13, column >= 0, column < Int(columns), y < height else { return nil }
    return min(start &+ UInt64(max(0, y)) &* perRow &+ UInt64(column) &* unit, MemoryPanel.limit)
  }

  func scroll(_ lines: Int, _ workspace: Workspace) {
    let distance = perRow &* UInt64(abs(lines))
    address = lines < 0 ? address &- min(address, distance) : min(address &+ distance, 0x7fff_ffff_f000)
  }
}

/// Mappings in the order of their addresses, to be asked for many of them.
struct MappedRegions {
  let all: [Region]

  init(_ regions: [Region]) { all = regions.sorted { $0.start < $1.start } }

  /// The first mapping that has bytes in `[start, end)`.
  func first(from start: UInt64, to end: UInt64) -> Region? {
    let place = all.partitionPoint { $0.end <= start }
    return place < all.count && all[place].start < end ? all[place] : nil
  }

  func region(at address: UInt64) -> Region? { first(from: address, to: address &+ 1) }
}
