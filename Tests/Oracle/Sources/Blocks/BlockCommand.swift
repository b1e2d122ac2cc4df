// `oracle --blocks N`: makes random blocks batch by batch, runs them natively and by an engine, shrinks and prints what
// differs, and tells which rows and endings the blocks had.

import CNative
import Glibc

struct BlockCommand {
  private let options: BlockOptions
  private let pool: RowPool
  private let runner: BlockRunner
  private var ran = 0
  private var differing: [UInt64] = []
  private var excused = 0
  private var unassembled = 0
  private var instructions = 0
  private var seenRows: Set<Int> = []
  private var endings: [String: Int] = [:]
  private var endless: [UInt64] = []

  /// First lines of differences, without numbers: of each sort one is shrunk and printed, others only count.
  private var sorts: Set<String> = []

  /// Sorts that are shrunk, and differences after which it is enough.
  private static let shown = 8
  private static let enough = 200

  init?(_ options: BlockOptions, rows: [Row], guest: Guest) {
    var options = options
    options.hasBases = native_has_bases() != 0
    guard let row = rows.first(where: { $0.mnemonic == "NOP" }),
      let runner = BlockRunner(guest, options, anyRow: row, rows: rows)
    else { return nil }
    self.options = options
    self.runner = runner
    pool = RowPool(rows, vectors512: guest.engine.executesVectors512)
  }

  /// The exit status.
  mutating func run() -> Int32 {
    if let only = options.only { return runOne(only) }
    let first = options.seed &* 0x1_0000_0000
    var done = 0
    while done < options.count {
      let count = min(BlockLayout.slots, options.count - done)
      runBatch(first &+ UInt64(done), count)
      done += count
      if differing.count >= BlockCommand.enough { break }
    }
    summary()
    return differing.isEmpty ? 0 : 1
  }

  private func make(_ seed: UInt64) -> BlockProgram {
    var generator = BlockGenerator(pool: pool, seed: seed, options: options)
    return generator.generate()
  }

  private func assemble(_ program: BlockProgram) -> AssembledBlock? {
    program.assemble(at: BlockLayout.code + program.seed % UInt64(BlockLayout.slots) * BlockLayout.slotSize)
  }

  private mutating func runBatch(_ first: UInt64, _ count: Int) {
    var programs: [BlockProgram] = []
    var blocks: [AssembledBlock] = []
    for number in 0..<count {
      let program = make(first &+ UInt64(number))
      guard let block = assemble(program) else {
        unassembled += 1
        continue
      }
      programs.append(program)
      blocks.append(block)
    }
    runner.memory.writeCode(blocks)
    runner.guest.engine.flush()
    for (program, block) in zip(programs, blocks) {
      let outcome = runner.run(program, block)
      note(program, outcome)
      if outcome.lines.isEmpty { continue }
      differing.append(program.seed)
      defer { fflush(nil) }
      let isNew = sorts.insert(BlockCommand.sort(outcome)).inserted
      if !isNew || sorts.count > BlockCommand.shown {
        print("differs: --only \(program.seed)\(options.faults ? " --faults" : ""): \(outcome.lines[0])")
        continue
      }
      report(program, outcome)
      // Shrinking has used the slots.
      runner.memory.writeCode(blocks)
      runner.guest.engine.flush()
    }
  }

  /// The first line without its numbers.
  private static func sort(_ outcome: BlockOutcome) -> String {
    let words = (outcome.lines.first ?? "").split(separator: " ")
    return words.filter { !$0.contains("0x") }.joined(separator: " ")
  }

  private mutating func note(_ program: BlockProgram, _ outcome: BlockOutcome) {
    ran += 1
    if outcome.isExcused { excused += 1 }
    for item in program.items {
      if item.label == nil { instructions += 1 }
      if let row = item.row { seenRows.insert(row) }
    }
    if case .otherSignal = outcome.ending, endless.count < 5 { endless.append(program.seed) }
    var name = outcome.ending.description
    if case .pageFault = outcome.ending { name = "#PF" }
    endings[name, default: 0] += 1
  }

  private mutating func runOne(_ seed: UInt64) -> Int32 {
    let program = make(seed)
    guard let outcome = BlockShrinker.run(program, runner) else {
      print("oracle: block \(seed) has no code")
      return 2
    }
    for line in BlockReport(program: program, outcome: outcome).lines(1000) { print(line) }
    if outcome.lines.isEmpty { return 0 }
    report(program, outcome)
    return 1
  }

  private func report(_ program: BlockProgram, _ outcome: BlockOutcome) {
    print("differs: --only \(program.seed)\(options.faults ? " --faults" : "")")
    fflush(nil)
    for line in outcome.lines.prefix(3) { print("  " + line) }
    var shrinker = BlockShrinker(program, runner)
    let small = shrinker.shrink()
    print("shrunk from \(program.instructionCount) to \(small.instructionCount) instructions:")
    guard let again = BlockShrinker.run(small, runner) else { return }
    for line in BlockReport(program: small, outcome: again).lines() { print(line) }
    if again.lines.isEmpty { print("  the shrunk block does not differ every time") }
  }

  private func summary() {
    let missing = pool.expected.subtracting(seenRows).sorted()
    print(
      "blocks: \(ran) with \(instructions) instructions, \(pool.expected.count - missing.count) of"
        + " \(pool.expected.count) rows")
    if !missing.isEmpty && ran >= 100_000 {
      print("without coverage: " + missing.map { pool.rows[$0].row.location }.joined(separator: " "))
    }
    let counts = endings.sorted { $0.value > $1.value }.map { "\($0.key) \($0.value)" }
    print("endings: " + counts.joined(separator: ", ") + ", not comparable \(excused + unassembled)")
    for seed in endless { print("does not end: --only \(seed)") }
    print("oracle: \(ran) blocks, \(differing.count) differences, seed \(options.seed)")
  }
}
