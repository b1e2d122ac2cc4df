// Heat: how what a program has done to memory becomes colours. Reads are green, writes red, executions blue, as in the maps of
// `vitrine trace`; together they mix. The brighter, the shorter ago, or the more often. Accesses of the last instruction stand out.

import Trace

/// What colours in memory say.
enum Heat: String, CaseIterable {
  /// How long ago something happened.
  case recency
  /// How often it happened.
  case frequency
  case off

  /// The parts of a colour that levels stand for.
  private static let shades: [UInt8] = [0, 0x48, 0x68, 0x90, 0xbc]

  /// 0 (never) to 4 by how often.
  static func level(count: UInt32) -> Int {
    switch count {
    case 0: 0
    case ..<4: 1
    case ..<16: 2
    case ..<256: 3
    default: 4
    }
  }

  /// 0 (never) to 4 by how many instructions ago.
  static func level(age: UInt32) -> Int {
    switch age {
    case .max: 0
    case ..<64: 4
    case ..<1024: 3
    case ..<16384: 2
    default: 1
    }
  }

  /// The levels of writes, reads and executions.
  func levels(_ cell: TouchedCell) -> (write: Int, read: Int, execution: Int) {
    switch self {
    case .recency:
      (Heat.level(age: cell.writeAge), Heat.level(age: cell.readAge), Heat.level(age: cell.executionAge))
    case .frequency:
      (Heat.level(count: cell.writes), Heat.level(count: cell.reads), Heat.level(count: cell.executions))
    case .off: (0, 0, 0)
    }
  }

  /// The colour of a cell on `ground`; nil where nothing has happened.
  func colour(_ cell: TouchedCell, on ground: Colour) -> Colour? {
    let levels = levels(cell)
    if levels == (0, 0, 0) { return nil }
    let under = ground.components ?? (0, 0, 0)
    func part(_ level: Int, _ under: UInt8) -> UInt8 { Heat.shades[level] + under / 4 }
    return .rgb(
      part(levels.write, under.red), part(levels.read, under.green), part(levels.execution, under.blue))
  }

  /// How a glyph in `style` looks where this has happened.
  func style(_ style: Style, _ cell: TouchedCell, depth: ColourDepth) -> Style {
    if self == .off || !cell.isTouched { return style }
    let isFew = depth.isPoor
    if min(cell.readAge, cell.writeAge) == 0 {
      let isRead = cell.readAge == 0
      let isWritten = cell.writeAge == 0
      let current = isRead && isWritten ? Theme.currentBoth : isRead ? Theme.currentRead : Theme.currentWrite
      return isFew ? current.with([.reverse, .bold]) : current
    }
    if cell.executionAge == 0 { return isFew ? style.with([.reverse]) : Theme.currentExecution }
    guard let colour = colour(cell, on: style.background) else { return style }
    let levels = levels(cell)
    let isBright = max(levels.write, levels.read, levels.execution) > 2
    var result = style.on(colour)
    if isBright { result.foreground = .hex(0xffffff) }
    // Where dark colours are all one, a line tells.
    return isFew ? result.with(.underline) : result
  }
}
