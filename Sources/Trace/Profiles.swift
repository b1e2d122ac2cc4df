// The forms of trace that count: callgrind's profile, stacks for flame graphs, and coverage. They grow with the code that is
// executed and with the ways in which it is called, not with time.
import Engine
import VirtualMachine

/// Instructions by address, and whose they were.
struct InstructionCounts {
  /// By entry: the function that executed it, and how often; others are in `shared`.
  private var owners: [Int32] = []
  private var counts: [UInt64] = []
  private var shared: [UInt64: UInt64] = [:]

  // PERF: once an instruction.
  @inline(__always) mutating func add(_ entry: Int, _ function: Int) {
    if entry >= owners.count { grow(entry) }
    if owners[entry] == Int32(truncatingIfNeeded: function) {
      counts[entry] &+= 1
    } else {
      addShared(entry, function)
    }
  }

  private mutating func grow(_ entry: Int) {
    let missing = max(entry + 1 - owners.count, owners.count)
    owners.append(contentsOf: repeatElement(-1, count: missing))
    counts.append(contentsOf: repeatElement(0, count: missing))
  }

  private mutating func addShared(_ entry: Int, _ function: Int) {
    if owners[entry] < 0 {
      owners[entry] = Int32(truncatingIfNeeded: function)
      counts[entry] = 1
    } else {
      shared[UInt64(entry) << 32 | UInt64(function), default: 0] &+= 1
    }
  }

  /// Entries and counts of each function.
  func byFunction() -> [Int: [(entry: Int, count: UInt64)]] {
    var result: [Int: [(entry: Int, count: UInt64)]] = [:]
    for entry in owners.indices where owners[entry] >= 0 {
      result[Int(owners[entry]), default: []].append((entry, counts[entry]))
    }
    for (key, count) in shared {
      result[Int(key & 0xffff_ffff), default: []].append((Int(key >> 32), count))
    }
    return result
  }

  /// How often each entry was executed.
  func byEntry() -> [UInt64] {
    var result = counts
    for (key, count) in shared { result[Int(key >> 32)] &+= count }
    return result
  }
}

/// A profile as callgrind writes it: callgrind_annotate and KCachegrind open it.
final class CallgrindProfile: TraceSink {
  private struct Edge: Hashable {
    var caller: Int
    var site: Int
    var callee: Int
  }

  private struct Cost {
    var calls: UInt64 = 0
    var inclusive: Int64 = 0
  }

  private var counts = InstructionCounts()
  private var edges: [Edge: Int] = [:]
  private var costs: [Cost] = []

  override var needsFrames: Bool { true }

  override func executed(_ entry: Int, _ moment: TraceMoment, _ stack: ShadowStack?) {
    counts.add(entry, stack?.top?.function ?? 0)
  }

  override func entered(
    _ frame: inout TraceFrame, _ how: Transition, _ stack: ShadowStack, caller: TraceFrame?,
    _ moment: TraceMoment
  ) {
    guard let caller, frame.site >= 0 else { return }
    let edge = Edge(caller: caller.function, site: frame.site, callee: frame.function)
    let number = edges[edge] ?? costs.count
    if number == costs.count {
      edges[edge] = number
      costs.append(Cost())
    }
    costs[number].calls &+= 1
    frame.edge = number
  }

  override func left(
    _ frame: TraceFrame, _ how: Transition, _ stack: ShadowStack, counted: Int64, _ moment: TraceMoment
  ) {
    if frame.edge >= 0 { costs[frame.edge].inclusive &+= counted }
  }

  override func finish() {
    let words = context.replay.arguments.map { String(decoding: $0, as: UTF8.self) }
    output.text("# callgrind format\nversion: 1\ncreator: vitrine\npid: \(context.replay.processNumber)\n")
    output.text("cmd: " + words.joined(separator: " ").split(separator: "\n").joined(separator: " ") + "\n")
    output.text("part: 1\n\ndesc: Trigger: Program termination\n\npositions: instr line\nevents: Ir\n")
    output.text("summary: \(context.counted)\n\n")
    var names = CallgrindNames()
    var outgoing: [Int: [Edge]] = [:]
    for edge in edges.keys { outgoing[edge.caller, default: []].append(edge) }
    let own = counts.byFunction()
    for function in Set(own.keys).union(outgoing.keys).sorted() {
      write(function, own[function] ?? [], outgoing[function] ?? [], &names)
    }
    output.text("totals: \(context.counted)\n")
    output.finish()
  }

  /// Address and line of an instruction.
  private func position(_ address: UInt64, _ line: SourceLine?) {
    output.hexadecimal(address)
    output.byte(32)
    output.number(line?.line ?? 0)
    output.byte(32)
  }

  /// The source line of an address of an object's file.
  private func line(_ address: UInt64, _ object: TracedObject) -> SourceLine? {
    object.loaded?.lines.line(at: address)
  }

  private static func file(_ line: SourceLine?) -> String {
    line.map { String(decoding: $0.path, as: UTF8.self) } ?? "???"
  }

  private func write(
    _ function: Int, _ own: [(entry: Int, count: UInt64)], _ calls: [Edge], _ names: inout CallgrindNames
  ) {
    let functions = context.functions
    let known = functions.functions[function]
    let bias = functions.files[known.object].bias
    let object = functions.files[known.object]
    output.text(names.line("ob", object.path))
    let home = CallgrindProfile.file(line(known.address &- bias, object))
    output.text(names.line("fl", home))
    output.text(names.line("fn", names.unique(function, known.name)))
    // Code of other sources: inlined functions, and back.
    var present = home
    func enter(_ line: SourceLine?) {
      let file = line == nil ? home : CallgrindProfile.file(line)
      if file != present { output.text(names.line(file == home ? "fe" : "fi", file)) }
      present = file
    }
    for (entry, count) in own.sorted(by: { $0.entry < $1.entry }) {
      let address = context.code.entries[entry].address &- bias
      let line = line(address, object)
      enter(line)
      position(address, line)
      output.number(count)
      output.endLine()
    }
    for edge in calls.sorted(by: { ($0.site, $0.callee) < ($1.site, $1.callee) }) {
      guard let number = edges[edge] else { continue }
      let callee = functions.functions[edge.callee]
      let file = functions.files[callee.object]
      let (target, site) = (callee.address &- file.bias, context.code.entries[edge.site].address &- bias)
      let (targetLine, siteLine) = (line(target, file), line(site, object))
      enter(siteLine)
      output.text(names.line("cob", file.path))
      output.text(names.line("cfi", CallgrindProfile.file(targetLine)))
      output.text(names.line("cfn", names.unique(edge.callee, callee.name)))
      output.text("calls=\(costs[number].calls) ")
      output.hexadecimal(target)
      output.text(" \(targetLine?.line ?? 0)\n")
      position(site, siteLine)
      output.number(costs[number].inclusive)
      output.endLine()
    }
    output.endLine()
  }
}

/// Names of a callgrind file, which are written once and numbered. Functions of equal names stay different.
private struct CallgrindNames {
  private var numbers: [String: [String: Int]] = [:]
  private var owners: [String: Int] = [:]
  private var chosen: [Int: String] = [:]

  mutating func line(_ kind: String, _ name: String) -> String {
    let table = kind.hasSuffix("ob") ? "ob" : kind.hasSuffix("fn") ? "fn" : "fl"
    let shown = name.isEmpty ? "???" : name
    if let number = numbers[table]?[shown] { return "\(kind)=(\(number))\n" }
    let number = (numbers[table]?.count ?? 0) + 1
    numbers[table, default: [:]][shown] = number
    return "\(kind)=(\(number)) \(shown)\n"
  }

  mutating func unique(_ function: Int, _ name: String) -> String {
    if let known = chosen[function] { return known }
    var result = name
    var attempt = 2
    while owners[result] != nil {
      result = "\(name)'\(attempt)"
      attempt += 1
    }
    owners[result] = function
    chosen[function] = result
    return result
  }
}
