// Which code was executed, and how often: objects, their functions, and runs of instructions with equal counts. Addresses are those of the
// file, so that runs with other load addresses compare.
import Engine

/// Counts how often each instruction was executed.
class ExecutionCounts: TraceSink {
  struct Place {
    var object: Int
    /// -1: no symbol.
    var function: Int
  }

  /// By entry.
  private(set) var counts: [UInt64] = []
  private(set) var places: [Place] = []

  override func executed(_ entry: Int, _ moment: TraceMoment, _ stack: ShadowStack?) {
    if entry >= counts.count { grow(entry) }
    counts[entry] &+= 1
  }

  /// Entries are seen in the order of their numbers, while what they belong to is mapped.
  private func grow(_ entry: Int) {
    while counts.count <= entry {
      let found = context.functions.symbol(context.code.entries[counts.count].address)
      places.append(Place(object: found.object, function: found.function ?? -1))
      counts.append(0)
    }
  }
}

final class Coverage: ExecutionCounts {
  private struct Row {
    var address: UInt64
    var end: UInt64
    var count: UInt64
    var function: Int
    var goesOn: Bool
  }

  /// The executed instructions of an object, by address; code that has changed counts at its address.
  private func rows(of object: Int) -> [Row] {
    let bias = context.functions.files[object].bias
    var rows: [Row] = []
    for entry in counts.indices where places[entry].object == object && counts[entry] > 0 {
      let place = context.code.entries[entry]
      let address = place.address &- bias
      rows.append(
        Row(
          address: address, end: address &+ UInt64(place.instruction.length), count: counts[entry],
          function: places[entry].function, goesOn: place.flow == .next || place.flow == .systemCall))
    }
    rows.sort { $0.address < $1.address }
    var merged: [Row] = []
    for row in rows {
      if let last = merged.last, last.address == row.address {
        merged[merged.count - 1].count &+= row.count
        merged[merged.count - 1].end = max(last.end, row.end)
      } else {
        merged.append(row)
      }
    }
    return merged
  }

  override func finish() {
    output.text("# vitrine trace: coverage 1\n")
    output.text("# object\tpath\tinstructions covered\tinstructions executed\n")
    output.text("# function\taddress\tname\tinstructions covered\tinstructions executed\n")
    output.text("# block\tfirst address\tlast address\tinstructions\ttimes executed\n")
    for object in context.functions.files.indices {
      let rows = rows(of: object)
      if rows.isEmpty { continue }
      let path = context.functions.files[object].path
      write("object", path.isEmpty ? "-" : path, rows[...])
      var start = 0
      while start < rows.count {
        var end = start + 1
        while end < rows.count, rows[end].function == rows[start].function { end += 1 }
        write(rows[start..<end], object)
        start = end
      }
    }
    output.finish()
  }

  private func write(_ kind: String, _ name: String, _ rows: ArraySlice<Row>) {
    let total = rows.reduce(UInt64(0)) { $0 &+ $1.count }
    output.text("\(kind)\t\(name)\t\(rows.count)\t\(total)\n")
  }

  private func write(_ rows: ArraySlice<Row>, _ object: Int) {
    guard let first = rows.first else { return }
    let known = first.function >= 0 ? context.functions.functions[first.function] : nil
    let address = known.map { $0.address &- context.functions.files[object].bias } ?? first.address
    write("function\t0x\(String(address, radix: 16))", known?.name ?? "-", rows)
    var start = rows.startIndex
    while start < rows.endIndex {
      var end = start + 1
      while end < rows.endIndex, rows[end - 1].goesOn, rows[end - 1].end == rows[end].address,
        rows[end].count == rows[start].count
      {
        end += 1
      }
      output.text("block\t")
      output.hexadecimal(rows[start].address)
      output.tab()
      output.hexadecimal(rows[end - 1].address)
      output.text("\t\(end - start)\t\(rows[start].count)\n")
      start = end
    }
  }
}
