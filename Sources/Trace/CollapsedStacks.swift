// Stacks for flame graphs: a line for each way to be called, with what was executed there. They grow with the ways in which code is called,
// not with time.
import Engine
import VirtualMachine

/// Collapsed stacks, as flame graphs are made from: who called whom, and the instructions there. Inlined calls are calls here.
final class CollapsedStacks: TraceSink {
  private struct Node {
    var parent: Int
    /// Below zero: an inlined one's name, from -1 downwards.
    var function: Int
    var depth: Int
    var count: UInt64 = 0
  }

  private var nodes: [Node] = []
  private var children: [UInt64: Int] = [:]
  /// Names of inlined functions, and numbers of names.
  private var names: [String] = []
  private var numbers: [String: Int] = [:]
  /// The inlined calls that instructions are in, the outermost first, as numbers of names; the first has none.
  private var chains: [[Int]] = [[]]
  private var chainNumbers: [[Int]: Int] = [[]: 0]
  /// Of each entry the number of its calls; -1: not looked for.
  private var chainOfEntry: [Int32] = []
  /// The node below another one that was last looked for.
  private var last = (node: -1, chain: 0, result: 0)
  /// Deeper calls count for the frame at this depth.
  private static let deepest = 512

  override var needsFrames: Bool { true }

  override func executed(_ entry: Int, _ moment: TraceMoment, _ stack: ShadowStack?) {
    guard let node = stack?.top?.node else { return }
    nodes[inside(node, chain(of: entry))].count &+= 1
  }

  // MARK: Inlined calls

  /// The number of the inlined calls that an instruction is in.
  // PERF: once an instruction.
  @inline(__always) private func chain(of entry: Int) -> Int {
    if entry < chainOfEntry.count, chainOfEntry[entry] >= 0 { return Int(chainOfEntry[entry]) }
    return findChain(entry)
  }

  private func findChain(_ entry: Int) -> Int {
    let missing = entry + 1 - chainOfEntry.count
    if missing > 0 {
      chainOfEntry.append(contentsOf: repeatElement(-1, count: max(missing, chainOfEntry.count)))
    }
    let address = context.code.entries[entry].address
    let object = context.functions.files[context.functions.find(address).object]
    let frames = object.loaded?.lines.frames(at: address &- object.bias) ?? []
    let calls = frames.filter(\.isInlined).reversed().prefix(CollapsedStacks.deepest)
    let chain = calls.map { number(of: $0.name) }
    let found = chainNumbers[chain] ?? chains.count
    if found == chains.count {
      chains.append(chain)
      chainNumbers[chain] = found
    }
    chainOfEntry[entry] = Int32(truncatingIfNeeded: found)
    return found
  }

  private func number(of name: String) -> Int {
    if let known = numbers[name] { return known }
    names.append(name)
    numbers[name] = -names.count
    return -names.count
  }

  /// The node of inlined calls in a function's.
  private func inside(_ node: Int, _ chain: Int) -> Int {
    if chain == 0 { return node }
    if last.node == node, last.chain == chain { return last.result }
    let result = chains[chain].reduce(node) { child(of: $0, $1) }
    last = (node, chain, result)
    return result
  }

  // MARK: Calls

  override func entered(
    _ frame: inout TraceFrame, _ how: Transition, _ stack: ShadowStack, caller: TraceFrame?,
    _ moment: TraceMoment
  ) {
    var parent = caller?.node ?? -1
    // A jump's frame is gone, and with it what was inlined there.
    if parent >= 0, how == .call, frame.site >= 0 { parent = inside(parent, chain(of: frame.site)) }
    frame.node = child(of: parent, frame.function)
  }

  /// The node of a function that another one's has called.
  private func child(of parent: Int, _ function: Int) -> Int {
    if parent >= 0, nodes[parent].depth >= CollapsedStacks.deepest { return parent }
    let key = UInt64(parent + 1) << 32 | UInt64(UInt32(truncatingIfNeeded: function))
    if let known = children[key] { return known }
    nodes.append(Node(parent: parent, function: function, depth: parent < 0 ? 1 : nodes[parent].depth + 1))
    children[key] = nodes.count - 1
    return nodes.count - 1
  }

  override func finish() {
    for node in nodes where node.count > 0 {
      var path: [String] = []
      var place: Node? = node
      while let one = place {
        let name =
          one.function < 0 ? names[-1 - one.function] : context.functions.functions[one.function].name
        path.append(CollapsedStacks.name(name))
        place = one.parent >= 0 ? nodes[one.parent] : nil
      }
      output.text(path.reversed().joined(separator: ";"))
      output.byte(32)
      output.number(node.count)
      output.endLine()
    }
    output.finish()
  }

  /// A semicolon separates frames, and a line's last blank the count.
  private static func name(_ text: String) -> String {
    String(decoding: text.utf8.map { $0 == 59 ? 58 : $0 == 10 ? 32 : $0 }, as: UTF8.self)
  }
}
