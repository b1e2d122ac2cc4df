// Memory, byte by byte: as hexadecimal numbers, or as one glyph a byte (code page 437 or ASCII). One class for the panel that looks at
// a chosen address and for the one that follows the program's writes. Bytes that have changed since the last stop are bright.

final class MemoryPanel: Panel {
  enum View: String, CaseIterable { case hex, glyphs, ascii }

  let kind: PanelKind
  /// The first address of the first row, before it is aligned.
  private(set) var address: UInt64 = 0
  private(set) var cursor: UInt64 = 0
  var view = View.hex
  private var perRow: UInt64 = 16
  private var height = 1
  private var followed: UInt64?
  /// What was shown at the stop before and is shown now, by page.
  private var earlier: [UInt64: [UInt8]] = [:]
  private var latest: [UInt64: [UInt8]] = [:]
  private var latestStop = -1

  init(_ kind: PanelKind) { self.kind = kind }

  func title(_ workspace: Workspace) -> String {
    let region = workspace.subject.region(at: cursor)
    let name = region.map { " " + workspace.subject.name(of: $0) } ?? " not mapped"
    let label = kind == .written ? "last write" : "memory"
    return "\(label) 0x\(Format.hex(cursor)) \(view.rawValue)\(name)"
  }

  func look(at address: UInt64) {
    (self.address, cursor) = (address, address)
    // Else it would begin at the stack when it is shown for the first time.
    if followed == nil { followed = address }
  }

  // MARK: Drawing

  func draw(_ window: Window, _ workspace: Workspace, isFocused: Bool) {
    let subject = workspace.subject
    follow(subject)
    height = max(1, window.height)
    perRow = bytesPerRow(window.width)
    let start = address / perRow * perRow
    let count = Int(perRow) * height
    let known = content(start, count, workspace)
    for y in 0..<window.height {
      let row = start &+ UInt64(y) &* perRow
      let x = window.put(Format.hex(row, digits: 12), x: 0, y: y, Theme.address) + 1
      drawRow(row, known, window, x, y, subject, isFocused)
    }
  }

  private func follow(_ subject: any Subject) {
    let wanted: UInt64?
    if kind == .written {
      wanted = subject.lastWrite
    } else {
      wanted = followed == nil ? subject.registers.rsp : nil
    }
    guard let wanted, followed != wanted else { return }
    followed = wanted
    cursor = wanted
    let shown = perRow &* UInt64(height)
    if wanted < address || wanted &- address >= shown {
      address = wanted &- min(wanted, perRow &* UInt64(height / 3))
    }
  }

  private func bytesPerRow(_ width: Int) -> UInt64 {
    let room = width - 13
    // Hexadecimal: two digits, a blank, and the glyph.
    let most = view == .hex ? room / 4 : room
    for count in [128, 64, 32, 16, 8] where most >= count && (view != .hex || count <= 32) {
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

  private func drawRow(
    _ row: UInt64, _ known: (now: [UInt64: [UInt8]], old: [UInt64: [UInt8]]), _ window: Window, _ x: Int,
    _ y: Int,
    _ subject: any Subject, _ isFocused: Bool
  ) {
    let glyphs = view == .hex ? x + Int(perRow) * 3 : x
    for column in 0..<Int(perRow) {
      let place = row &+ UInt64(column)
      let value = byte(place, known.now)
      let old = byte(place, known.old)
      var style = value.map { Theme.byte($0) } ?? Theme.zero
      if let value, let old, value != old { style = Theme.changed }
      if place == cursor { style = style.with(isFocused ? [.reverse] : [.underline]) }
      if view == .hex {
        window.put(value.map { Format.hex(UInt64($0), digits: 2) } ?? "··", x: x + column * 3, y: y, style)
      }
      let glyph = value.map { view == .glyphs ? Format.glyph($0) : Format.ascii($0) } ?? " "
      window.put(Cell(scalar: glyph.value, style: style), x: glyphs + column, y: y)
    }
  }

  // MARK: Keys and mouse

  func take(_ key: Key, _ workspace: Workspace) -> Bool {
    switch key {
    case .left: move(-1)
    case .right: move(1)
    case .up: move(-Int64(perRow))
    case .down: move(Int64(perRow))
    case .pageUp: move(-Int64(perRow) * Int64(height))
    case .pageDown: move(Int64(perRow) * Int64(height))
    case .character("v"):
      let all = View.allCases
      view = all[((all.firstIndex(of: view) ?? 0) + 1) % all.count]
    case .enter:
      guard let pointer = workspace.subject.word(at: cursor), workspace.subject.region(at: pointer) != nil
      else {
        return false
      }
      workspace.goTo(pointer)
    case .character("w"): workspace.perform("last-change 0x\(Format.hex(cursor)) 1")
    default: return false
    }
    return true
  }

  private func move(_ bytes: Int64) {
    let limit: UInt64 = 0x7fff_ffff_ffff
    cursor = min(cursor &+ UInt64(bitPattern: bytes), limit)
    if bytes < 0, cursor == limit { cursor = 0 }
    let start = address / perRow * perRow
    if cursor < start { address = cursor / perRow * perRow }
    let last = start &+ perRow &* UInt64(height)
    if cursor >= last { address = start &+ ((cursor &- last) / perRow &+ 1) &* perRow }
  }

  func click(x: Int, y: Int, _ workspace: Workspace) {
    let start = address / perRow * perRow &+ UInt64(y) &* perRow
    let glyphs = view == .hex ? 13 + Int(perRow) * 3 : 13
    let column = x >= glyphs ? x - glyphs : view == .hex ? (x - 13) / 3 : -1
    if x >= 13, column >= 0, column < Int(perRow) { cursor = start &+ UInt64(column) }
  }

  func scroll(_ lines: Int, _ workspace: Workspace) {
    let distance = perRow &* UInt64(abs(lines))
    address = lines < 0 ? address &- min(address, distance) : min(address &+ distance, 0x7fff_ffff_f000)
  }
}
