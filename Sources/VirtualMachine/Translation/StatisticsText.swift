// What `--stats` prints: one line for each number, `vitrine: name value`, so that scripts can read it.
import Engine
import Translator
import X86

/// An engine's counters as text.
enum StatisticsText {
  /// Lines for mnemonics left to the interpreter.
  private static let mnemonicLimit = 10

  /// The numbers of several threads' engines together.
  struct Sum {
    private var translator: TranslatorStatistics?
    private var interpreter: (blocks: Int, operations: Int, flushes: Int, invalidations: Int)?
    /// Guest instructions; nil when they are not counted.
    private var instructions: Int64?

    mutating func add(_ engine: any GuestEngine) {
      if let engine = engine as? InterpreterEngine {
        let more = engine.statistics
        let sum = interpreter ?? (0, 0, 0, 0)
        interpreter = (
          sum.blocks &+ more.blocks, sum.operations &+ more.operations, sum.flushes &+ more.flushes,
          sum.invalidations &+ more.invalidations
        )
        instructions = (instructions ?? 0) &+ engine.instructionCount
      } else if let engine = engine as? TranslatorEngine {
        // The same for all threads.
        translator = engine.statistics
        if engine.countsInstructions { instructions = (instructions ?? 0) &+ engine.instructionCount }
      }
    }

    var text: String {
      var name = "unknown"
      var lines: [(String, String)] = []
      if let interpreter {
        name = "interpreter"
        lines = [
          ("blocks", "\(interpreter.blocks)"), ("operations", "\(interpreter.operations)"),
          ("flushes", "\(interpreter.flushes)"), ("invalidations", "\(interpreter.invalidations)"),
        ]
      } else if let translator {
        name = "translator"
        lines = translatorLines(translator)
      }
      if let instructions { lines.insert(("instructions", "\(instructions)"), at: 0) }
      return "vitrine: engine \(name)\n" + lines.map { "vitrine: \($0.0) \($0.1)\n" }.joined()
    }
  }

  private static func translatorLines(_ statistics: TranslatorStatistics) -> [(String, String)] {
    let numbers = [
      ("blocks", statistics.blocks), ("blocks from the store", statistics.storedBlocks),
      ("translated instructions", statistics.instructions),
      ("guest bytes", statistics.guestBytes), ("host bytes", statistics.hostBytes),
    ]
    let counters = [
      ("links", statistics.links), ("unlinks", statistics.unlinks), ("exits", statistics.exits),
      ("branch exits", statistics.branchExits), ("indirect misses", statistics.indirectMisses),
      ("indirect conflicts", statistics.indirectConflicts),
      ("system calls", statistics.systemCalls), ("direct system calls", statistics.directCalls),
      ("signals", statistics.signals),
      ("faults", statistics.faults),
      ("interpreted instructions", statistics.interpreted), ("flushes", statistics.flushes),
      ("invalidations", statistics.invalidations), ("cache bytes used", statistics.cacheUsed),
      ("cache bytes", statistics.cacheSize),
    ]
    var lines = numbers.map { ($0.0, "\($0.1)") }
    lines.append(("host bytes per instruction", ratio(statistics.hostBytes, statistics.instructions)))
    lines += counters.map { ($0.0, "\($0.1)") }
    if let time = statistics.translationTime {
      lines.append(("translation microseconds", "\(time / 1000)"))
      lines.append(("translation nanoseconds per instruction", ratio(time, statistics.instructions)))
    }
    return lines + mnemonicLines(statistics.interpretedRows)
  }

  /// With one decimal.
  private static func ratio(_ total: Int, _ count: Int) -> String {
    guard count > 0 else { return "0.0" }
    let tenths = (total &* 10 &+ count / 2) / count
    return "\(tenths / 10).\(tenths % 10)"
  }

  /// The most frequent instructions that the interpreter executed.
  private static func mnemonicLines(_ rows: [UInt16: Int]) -> [(String, String)] {
    var counts: [String: Int] = [:]
    for (row, count) in rows {
      let mnemonic = RowInfo(id: row).mnemonic
      let name = String(decoding: (0..<mnemonic.count).map { mnemonic[$0] }, as: UTF8.self)
      counts[name, default: 0] &+= count
    }
    let ordered = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    return ordered.prefix(mnemonicLimit).map { ("interpreted \($0.key)", "\($0.value)") }
  }
}
