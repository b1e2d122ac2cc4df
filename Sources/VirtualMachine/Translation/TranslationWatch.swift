// The observer of a translator: gives every piece of new code a name and hands it to whatever the user asked for. A forked
// child begins files of its own, since perf knows processes, not the guest's family.
import Linux
import Translator

/// Attached to one engine and one process for the time of a run.
final class TranslationWatch {
  private let output: TranslationOutput
  private unowned let engine: TranslatorEngine
  private let process: LinuxProcess
  private var symbols: ProgramSymbols
  private var processID: Int64 = 0
  private var perfMap: PerfMap?
  private var jitDump: JitDump?
  private var listing: TranslationListing?

  init(_ output: TranslationOutput, _ engine: TranslatorEngine, _ process: LinuxProcess) {
    self.output = output
    self.engine = engine
    self.process = process
    symbols = ProgramSymbols(process)
    if !output.listed.isEmpty { listing = TranslationListing(output) }
  }

  /// Opens the files and starts to observe; what could not be written, or nil.
  func begin() -> String? {
    if let problem = openFiles() { return problem }
    engine.observe(
      TranslationObserver(
        wrote: { [unowned self] in wrote($0) },
        willFlush: { [unowned self] in writeListing() }))
    return nil
  }

  /// The program has ended.
  func end() {
    writeListing()
    jitDump?.close()
    if let rest = listing?.missing(symbols), !rest.isEmpty { process.writeDiagnostic(rest) }
  }

  private func openFiles() -> String? {
    processID = process.host.call(39)
    if output.perfMap {
      perfMap = PerfMap(process, id: processID)
      if perfMap == nil { return "cannot write /tmp/perf-\(processID).map" }
    }
    if let folder = output.perfDump {
      jitDump = JitDump(process, folder: folder, id: processID)
      if jitDump == nil { return "cannot write jit-\(processID).dump in \(LoadError.name(folder))" }
    }
    return nil
  }

  /// In a forked child: begins files of its own; what was to be listed is the parent's.
  private func separateAfterFork() {
    if process.host.call(39) == processID { return }
    // The copies of the parent's descriptors stay open, unused.
    if let problem = openFiles() { process.writeDiagnostic("vitrine: \(problem)\n") }
    listing?.forget()
  }

  private func wrote(_ code: TranslatedCode) {
    separateAfterFork()
    symbols.update(code.guest)
    let name: String
    switch code.kind {
    case .block(let number):
      name = symbols.name(code.guest)
      listing?.note(code, number, symbols, process.memory)
    case .indirectEntry: name = symbols.name(code.guest) + " (indirect entry)"
    case .common: name = "vitrine_common_code"
    }
    perfMap?.add(code, name)
    jitDump?.add(code, name)
  }

  private func writeListing() {
    separateAfterFork()
    if let text = listing?.take(engine, symbols), !text.isEmpty { process.writeDiagnostic(text) }
  }
}
