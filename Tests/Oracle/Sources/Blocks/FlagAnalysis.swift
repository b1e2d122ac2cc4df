// Which status flags have a defined value before each instruction of a block, on every way that execution can take: an
// intersection over all predecessors, to its fixed point. Instructions of blocks never read an undefined flag, and the
// flags that are undefined where a block ends are not compared.

struct FlagAnalysis {
  /// CF, PF, AF, ZF, SF, OF.
  static let status: UInt32 = 0x8d5

  /// Defined flags before each item; all ones where execution never comes.
  private(set) var before: [UInt32]
  private let successors: [[Int]]

  init(_ items: [BlockItem]) {
    successors = FlagAnalysis.successors(items)
    before = [UInt32](repeating: .max, count: items.count)
    guard !items.isEmpty else { return }
    before[0] = FlagAnalysis.status
    var work = [0]
    var isVisited = [Bool](repeating: false, count: items.count)
    isVisited[0] = true
    while let index = work.popLast() {
      let item = items[index]
      let after = (before[index] & ~item.undefines) | item.defines
      for next in successors[index] {
        let met = before[next] & after
        if met == before[next] && isVisited[next] { continue }
        before[next] = met
        isVisited[next] = true
        work.append(next)
      }
    }
  }

  /// The first item that reads an undefined flag.
  func violation(_ items: [BlockItem]) -> Int? {
    items.indices.first { items[$0].reads & ~before[$0] != 0 }
  }

  private static func successors(_ items: [BlockItem]) -> [[Int]] {
    var places: [BlockLabel: Int] = [:]
    var returns: [BlockLabel: [Int]] = [:]
    for (index, item) in items.enumerated() {
      if let label = item.label { places[label] = index }
      if case .call(let targets) = item.flow {
        for target in targets { returns[target, default: []].append(index + 1) }
      }
    }
    return items.indices.map { index in
      var next: [Int] = []
      switch items[index].flow {
      case .next: next = [index + 1]
      case .jump(let label): next = [places[label] ?? items.count]
      case .branch(let label): next = [index + 1, places[label] ?? items.count]
      case .call(let targets), .indirect(let targets): next = targets.map { places[$0] ?? items.count }
      case .leave(let label): next = returns[label] ?? []
      case .stop: break
      }
      return next.filter { $0 < items.count }
    }
  }
}
