// The time line of a recording, one row: the whole of it from left to right, how many system calls there were when, signals, checkpoints,
// and the present. A click goes there.
//
//     ▕▂▁▁ ▃▁◆  ▁█▁   ┃  ▁▁ ▁ ▂▕ 1,234,567 of 9,876,543

final class TimeLineView {
  private var start = 0
  private var width = 0
  private var length: Int64 = 0
  /// Events by column, as they were counted for one width.
  private var calls: [Int] = []
  private var signals: Set<Int> = []

  private static let levels: [UInt32] = [0x2581, 0x2582, 0x2583, 0x2584, 0x2585, 0x2586]

  func draw(_ window: Window, _ timeLine: TimeLine) {
    let number = timeLine.timeline == 0 ? "" : "timeline \(timeLine.timeline): "
    let label = " \(number)\(Format.grouped(timeLine.present)) of \(Format.grouped(timeLine.length)) "
    let room = window.width - label.count
    window.fill(row: 0, Theme.title)
    guard room >= 8 else {
      width = 0
      window.put(Format.cut(label, window.width), x: 0, y: 0, Theme.title)
      return
    }
    window.put(label, x: room, y: 0, Theme.title)
    if width != room || length != timeLine.length { count(timeLine, room) }
    let most = max(1, calls.max() ?? 0)
    for (x, count) in calls.enumerated() where count > 0 {
      let level = min(TimeLineView.levels.count - 1, count * TimeLineView.levels.count / (most + 1))
      put(TimeLineView.levels[level], x, window, Theme.address)
    }
    for instant in timeLine.checkpoints {
      let x = column(instant)
      if calls[x] == 0 { put(0xb7, x, window, Theme.faint) }
    }
    for x in signals { put(0x25c6, x, window, Theme.breakpoint) }
    // Where this timeline departs from what was recorded.
    if let branch = timeLine.branch { put(0x251c, column(branch), window, Theme.breakpoint) }
    put(0x2503, column(timeLine.present), window, Theme.current)
  }

  private func put(_ scalar: UInt32, _ x: Int, _ window: Window, _ style: Style) {
    window.put(Cell(scalar: scalar, style: style.on(Theme.title.background)), x: x, y: 0)
  }

  private func count(_ timeLine: TimeLine, _ room: Int) {
    (width, length) = (room, timeLine.length)
    calls = [Int](repeating: 0, count: room)
    for call in timeLine.overview.calls { calls[column(call.instant)] += 1 }
    signals = Set(timeLine.overview.signals.map { column($0) })
  }

  private func column(_ instant: Int64) -> Int {
    guard length > 0, width > 0 else { return 0 }
    let part = Double(max(0, min(instant, length))) / Double(length)
    return min(width - 1, Int(part * Double(width - 1) + 0.5))
  }

  /// What a column stands for; nil beside the line.
  func instant(at x: Int) -> Int64? {
    guard width > 1, x >= 0, x < width else { return nil }
    return Int64(Double(length) * Double(x) / Double(width - 1))
  }
}
