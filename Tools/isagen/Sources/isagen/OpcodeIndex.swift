// The decoder's index: for each opcode of each map the rows that may match, most conditions first. Finds rows that
// cannot be told apart, and opcodes whose rows disagree about having a ModRM byte.

struct OpcodeIndex {
  struct Candidate {
    var row: Int
    var conditions: Conditions
  }
  private(set) var slots: [[Candidate]]
  private(set) var problems: [Problem] = []
  let rows: [Row]

  /// Legacy maps 0–3, VEX maps 1–3, EVEX maps 1, 2, 3, 5, 6, XOP maps 8–10; 256 opcodes each.
  static let tableCount = 15

  init(_ rows: [Row]) {
    self.rows = rows
    slots = Array(repeating: [], count: Self.tableCount * 256)
    for row in rows {
      let candidate = Candidate(row: row.id, conditions: Conditions(row))
      let base = Self.table(row.encoding) * 256 + row.encoding.opcode
      for offset in 0..<(row.encoding.opcodeHoldsRegister ? 8 : 1) { slots[base + offset].append(candidate) }
    }
    for slot in slots.indices where !slots[slot].isEmpty {
      slots[slot].sort { ($1.conditions.count, $0.row) < ($0.conditions.count, $1.row) }
      check(slots[slot])
    }
  }

  private static func table(_ encoding: Encoding) -> Int {
    let map = encoding.map.rawValue
    switch encoding.space {
    case .legacy: return map
    case .vex: return 3 + map
    case .evex: return map > 3 ? 5 + map : 6 + map
    case .xop: return 4 + map
    }
  }

  private mutating func check(_ candidates: [Candidate]) {
    for (position, candidate) in candidates.enumerated() {
      let row = rows[candidate.row]
      let first = rows[candidates[0].row]
      if (row.encoding.modRM == .absent) != (first.encoding.modRM == .absent) {
        problems.append(
          Problem(location: row.location, message: "ModRM or not? \(first.location) says otherwise"))
      }
      if row.attributes.contains(.modless) != first.attributes.contains(.modless) {
        problems.append(Problem(location: row.location, message: "modless or not? see \(first.location)"))
      }
      for other in candidates[(position + 1)...] where other.conditions.count == candidate.conditions.count {
        if candidate.conditions.overlaps(other.conditions) {
          let message = "ambiguous: matches the same bytes as \(rows[other.row].location)"
          problems.append(Problem(location: row.location, message: message))
        }
      }
    }
  }

  /// Words of the index: first candidate, count << 16, has ModRM << 24, ModRM.mod ignored << 25.
  func words() -> (index: [UInt64], conditions: [UInt64], rows: [UInt64]) {
    var index: [UInt64] = []
    var conditions: [UInt64] = []
    var candidateRows: [UInt64] = []
    for slot in slots {
      var word = UInt64(conditions.count) | UInt64(slot.count) << 16
      if slot.isEmpty { word = 0 }
      if let first = slot.first {
        if rows[first.row].encoding.modRM != .absent { word |= 1 << 24 }
        if rows[first.row].attributes.contains(.modless) { word |= 1 << 25 }
      }
      index.append(word)
      for candidate in slot {
        conditions.append(UInt64(candidate.conditions.mask) << 32 | UInt64(candidate.conditions.value))
        candidateRows.append(UInt64(candidate.row))
      }
    }
    return (index, conditions, candidateRows)
  }
}
