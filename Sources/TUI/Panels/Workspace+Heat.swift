// Heat in panels that do not show memory cell by cell: the code's addresses, and the words of the stack.

import Trace

extension Workspace {
  /// Colours the columns of a row of the code by how its instruction was executed.
  func tint(_ address: UInt64, _ window: Window, columns: Range<Int>, y: Int) {
    guard heat != .off, let executed = subject.activity?.execution(at: address) else { return }
    for x in columns where x < window.width {
      var cell = window.buffer[window.x + x, window.y + y]
      cell.style = heat.style(cell.style, executed, depth: depth)
      window.put(cell, x: x, y: y)
    }
  }

  /// What has happened to words from `start` on.
  func words(from start: UInt64, count: Int) -> [TouchedCell] {
    guard heat != .off, let record = subject.activity else { return [] }
    return record.cells(from: start & ~7, shift: 3, count: count)
  }
}
