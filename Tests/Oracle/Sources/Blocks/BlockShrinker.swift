// Makes a block that differs smaller: takes instructions away while a difference remains, in ever smaller pieces. What
// remains keeps its encodings, and no instruction may come to read an undefined flag.

struct BlockShrinker {
  let runner: BlockRunner
  private(set) var program: BlockProgram
  private var attempts = 0

  init(_ program: BlockProgram, _ runner: BlockRunner) {
    self.program = program
    self.runner = runner
  }

  /// The smallest block found.
  mutating func shrink() -> BlockProgram {
    var isSmaller = true
    while isSmaller && attempts < 6000 {
      isSmaller = false
      var size = max(1, program.items.count / 2)
      while size >= 1 {
        var start = 0
        while start < program.items.count {
          if remove(start..<min(start + size, program.items.count)) {
            isSmaller = true
          } else {
            start += size
          }
        }
        size /= 2
      }
    }
    return program
  }

  /// Takes the instructions of a range away, leaving labels, if the rest still differs.
  private mutating func remove(_ range: Range<Int>) -> Bool {
    var candidate = program
    candidate.items.removeSubrange(range)
    candidate.items.insert(contentsOf: program.items[range].filter { $0.label != nil }, at: range.lowerBound)
    if candidate.items.count == program.items.count { return false }
    attempts += 1
    if FlagAnalysis(candidate.items).violation(candidate.items) != nil { return false }
    guard let outcome = BlockShrinker.run(candidate, runner, isRisky: true), !outcome.isExcused,
      !outcome.lines.isEmpty
    else {
      return false
    }
    program = candidate
    return true
  }

  /// Runs a program by itself.
  static func run(
    _ program: BlockProgram, _ runner: BlockRunner, isRisky: Bool = false
  ) -> BlockOutcome? {
    let slot = program.seed % UInt64(BlockLayout.slots)
    guard let block = program.assemble(at: BlockLayout.code + slot * BlockLayout.slotSize) else { return nil }
    runner.memory.writeCode([block])
    runner.guest.engine.flush()
    return runner.run(program, block, isRisky: isRisky)
  }
}
