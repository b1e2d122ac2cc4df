// Where panels go: columns of panels by the size of the screen, changed by what people show, hide and zoom. Heights are shared out:
// everybody gets the least that makes sense while there is room, those at the end of a column give way, and what is left goes by
// weight.

/// A part of the screen with its panel; the first row is the title.
struct Placement: Equatable {
  var kind: PanelKind
  var x: Int
  var y: Int
  var width: Int
  var height: Int
}

struct Layout {
  private struct Slot {
    var kind: PanelKind
    /// Rows with the title.
    var least: Int
    var weight: Int
    /// The more, the longer it stays.
    var rank: Int
  }

  private struct Column {
    var weight: Int
    var slots: [Slot]
  }

  /// Panels that are shown or hidden although the size's own choice is another.
  var wishes: [PanelKind: Bool] = [:]
  var zoomed: PanelKind?

  private static func columns(_ width: Int, _ height: Int) -> [Column] {
    if width >= 180 {
      return [
        Column(
          weight: 40,
          slots: [
            Slot(kind: .code, least: 12, weight: 5, rank: 9),
            Slot(kind: .terminal, least: 10, weight: 4, rank: 8),
          ]),
        Column(
          weight: 20,
          slots: [
            Slot(kind: .registers, least: 16, weight: 1, rank: 9),
            Slot(kind: .stack, least: 8, weight: 4, rank: 7),
            Slot(kind: .frames, least: 6, weight: 3, rank: 6),
            Slot(kind: .breakpoints, least: 4, weight: 1, rank: 3),
          ]),
        Column(
          weight: 40,
          slots: [
            Slot(kind: .memory, least: 8, weight: 4, rank: 8),
            Slot(kind: .written, least: 6, weight: 2, rank: 5),
            Slot(kind: .maps, least: 6, weight: 3, rank: 4), Slot(kind: .calls, least: 6, weight: 3, rank: 6),
          ]),
      ]
    }
    if width >= 110 {
      return [
        Column(
          weight: 129,
          slots: [
            Slot(kind: .code, least: 10, weight: 4, rank: 9),
            Slot(kind: .memory, least: 6, weight: 2, rank: 6),
            Slot(kind: .terminal, least: 8, weight: 2, rank: 8),
          ]),
        Column(
          weight: 71,
          slots: [
            Slot(kind: .registers, least: 12, weight: 0, rank: 9),
            Slot(kind: .stack, least: 6, weight: 3, rank: 7),
            Slot(kind: .frames, least: 4, weight: 2, rank: 6),
            Slot(kind: .calls, least: 4, weight: 2, rank: 5),
          ]),
      ]
    }
    return [
      Column(
        weight: 65,
        slots: [
          Slot(kind: .code, least: 8, weight: 3, rank: 9),
          Slot(kind: .terminal, least: 6, weight: 2, rank: 8),
        ]),
      Column(
        weight: 35,
        slots: [
          Slot(kind: .registers, least: 12, weight: 4, rank: 9),
          Slot(kind: .stack, least: 4, weight: 1, rank: 7),
        ]),
    ]
  }

  /// The panels of a screen of this size, from left to right and from top to bottom.
  func placements(width: Int, height: Int) -> [Placement] {
    if let zoomed { return [Placement(kind: zoomed, x: 0, y: 0, width: width, height: height)] }
    var columns = Layout.columns(width, height)
    let standard = Set(columns.flatMap { $0.slots.map(\.kind) })
    for index in columns.indices { columns[index].slots.removeAll { wishes[$0.kind] == false } }
    // What was asked for stays longest, in the wider column.
    for kind in PanelKind.allCases where wishes[kind] == true {
      if standard.contains(kind) {
        for index in columns.indices {
          for slot in columns[index].slots.indices where columns[index].slots[slot].kind == kind {
            columns[index].slots[slot].rank += 20
          }
        }
      } else {
        columns[0].slots.append(Slot(kind: kind, least: 5, weight: 2, rank: 20))
      }
    }
    columns.removeAll { $0.slots.isEmpty }
    var result: [Placement] = []
    var x = 0
    for (index, columnWidth) in Layout.share(width - (columns.count - 1), columns.map { ($0.weight, 1) })
      .enumerated()
    {
      result += Layout.stack(columns[index].slots, x, columnWidth, height)
      x += columnWidth + 1
    }
    return result
  }

  private static func stack(_ wanted: [Slot], _ x: Int, _ width: Int, _ height: Int) -> [Placement] {
    var slots = wanted
    while slots.count > 1, slots.reduce(0, { $0 + $1.least }) > height {
      guard let lowest = slots.indices.min(by: { slots[$0].rank < slots[$1].rank }) else { break }
      slots.remove(at: lowest)
    }
    var y = 0
    return zip(slots, share(height, slots.map { ($0.weight, $0.least) })).map { slot, rows in
      defer { y += rows }
      return Placement(kind: slot.kind, x: x, y: y, width: width, height: rows)
    }
  }

  /// `total` in parts: each has its least, and the rest goes by weight.
  private static func share(_ total: Int, _ parts: [(weight: Int, least: Int)]) -> [Int] {
    var result = parts.map(\.least)
    var left = total - result.reduce(0, +)
    let weights = max(1, parts.reduce(0) { $0 + $1.weight })
    let spare = max(0, left)
    for index in parts.indices where left > 0 {
      let part = min(left, spare * parts[index].weight / weights)
      result[index] += part
      left -= part
    }
    if left != 0, !result.isEmpty {
      // The first one with weight takes what rounding has left, or gives what is missing.
      let place = parts.firstIndex { $0.weight > 0 } ?? 0
      result[place] = max(0, result[place] + left)
    }
    return result
  }
}
