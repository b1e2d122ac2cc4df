// Coverage of source lines, as lcov writes it (geninfo(1), "tracefile format"): for each source its functions, and its lines with how
// often they were executed. Lines come from the tables of the objects that were executed; without tables there is nothing to say.
//
// A line is executed as often as the instruction of it that was executed most in one function; what several functions have of a line
// (templates, inlined code) is added. What was never executed is listed with 0: of the program all of its sources, of libraries those that
// were executed somewhere.
import Engine
import GuestMemory
import VirtualMachine

final class LineCoverage: ExecutionCounts {
  /// One source.
  private struct Source {
    var lines: [Int: UInt64] = [:]
    /// Name, first line, calls.
    var functions: [(name: String, line: Int, calls: UInt64)] = []
  }

  private struct Part: Hashable {
    var path: [UInt8]
    var line: Int
    var function: Int
  }

  /// Executions by address of the file.
  private func executions(of object: Int) -> [UInt64: UInt64] {
    let bias = context.functions.files[object].bias
    var result: [UInt64: UInt64] = [:]
    for entry in counts.indices where places[entry].object == object && counts[entry] > 0 {
      result[context.code.entries[entry].address &- bias, default: 0] &+= counts[entry]
    }
    return result
  }

  override func finish() {
    var sources: [[UInt8]: Source] = [:]
    for object in context.functions.files.indices {
      let file = context.functions.files[object]
      guard let loaded = file.loaded, !loaded.lines.isEmpty else { continue }
      let executed = executions(of: object)
      if executed.isEmpty { continue }
      add(loaded, executed, isProgram: loaded.path == context.replay.executablePath, &sources)
    }
    for path in sources.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      if let source = sources[path] { write(path, source) }
    }
    output.finish()
  }

  private func add(
    _ object: LoadedObject, _ executed: [UInt64: UInt64], isProgram: Bool, _ sources: inout [[UInt8]: Source]
  ) {
    var reached: Set<[UInt8]> = []
    for address in executed.keys {
      if let line = object.lines.line(at: address) { reached.insert(line.path) }
    }
    // Programs that show coverage fail where a source is not there, and libraries' seldom are.
    if !isProgram { reached = reached.filter { context.replay.objects.source($0) != nil } }
    let functions = object.symbols.all.filter(\.isFunction).sorted { $0.address < $1.address }
    let starts = functions.map { $0.address &- object.loadBias }
    func function(_ address: UInt64) -> Int { starts.partitionPoint { $0 <= address } - 1 }
    var parts: [Part: UInt64] = [:]
    object.lines.forEachRow { path, line, range, _ in
      guard isProgram || reached.contains(path) else { return }
      let part = Part(path: path, line: line, function: function(range.lowerBound))
      parts[part, default: 0] &+= 0
    }
    for (address, count) in executed {
      guard let line = object.lines.line(at: address), isProgram || reached.contains(line.path) else {
        continue
      }
      let part = Part(path: line.path, line: line.line, function: function(address))
      parts[part] = max(parts[part] ?? 0, count)
    }
    for (part, count) in parts {
      sources[part.path, default: Source()].lines[part.line, default: 0] &+= count
    }
    var last: UInt64?
    for symbol in functions {
      let address = symbol.address &- object.loadBias
      // Of several names of a function the first one counts.
      guard address != last, let line = object.lines.line(at: address),
        isProgram || reached.contains(line.path)
      else { continue }
      last = address
      let name = LoadedObjects.readable(symbol)
      sources[line.path, default: Source()].functions.append((name, line.line, executed[address] ?? 0))
    }
  }

  private func write(_ path: [UInt8], _ source: Source) {
    output.text("TN:\nSF:")
    output.text(path)
    output.endLine()
    // Where a function's code exists several times, it is one function.
    var functions: [String: (line: Int, calls: UInt64)] = [:]
    for function in source.functions {
      let old = functions[function.name]
      functions[function.name] = (old?.line ?? function.line, (old?.calls ?? 0) &+ function.calls)
    }
    let names = functions.keys.sorted { (functions[$0]?.line ?? 0, $0) < (functions[$1]?.line ?? 0, $1) }
    for name in names { output.text("FN:\(functions[name]?.line ?? 0),\(name)\n") }
    for name in names { output.text("FNDA:\(functions[name]?.calls ?? 0),\(name)\n") }
    let hit = functions.values.filter { $0.calls > 0 }.count
    output.text("FNF:\(functions.count)\nFNH:\(hit)\n")
    for (line, count) in source.lines.sorted(by: { $0.key < $1.key }) {
      output.text("DA:")
      output.number(line)
      output.byte(44)
      output.number(count)
      output.endLine()
    }
    let executed = source.lines.values.filter { $0 > 0 }.count
    output.text("LF:\(source.lines.count)\nLH:\(executed)\nend_of_record\n")
  }
}
