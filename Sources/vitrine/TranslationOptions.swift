// The options of `vitrine run` about the translator: what it is to do, and what to show of its work.
import VirtualMachine

extension RunCommand {
  /// False when the option is not one of these.
  static func parseTranslationOption(
    _ option: Option, _ reader: inout WordReader, _ configuration: inout UserMachineConfiguration
  ) throws(UsageError) -> Bool {
    switch option.name {
    case "--unguarded":
      try reader.requireNoValue(option)
      configuration.translator.isGuarded = false
    case "--count":
      try reader.requireNoValue(option)
      configuration.translator.countsInstructions = true
    case "--translation-cache":
      configuration.translator.cacheSize = Int(try number(of: option, &reader, 1...(1 << 20)) << 10)
    case "--no-links":
      try reader.requireNoValue(option)
      configuration.translator.linksBlocks = false
    case "--flush-after":
      configuration.translator.flushInterval = Int(try number(of: option, &reader, 1...UInt64(Int32.max)))
    case "--store":
      let folder = try reader.bytes(of: option)
      if folder.isEmpty { throw UsageError("--store needs a folder") }
      configuration.storeFolder = folder
    case "--no-store":
      try reader.requireNoValue(option)
      configuration.storeFolder = []
    case "--perf-map":
      try reader.requireNoValue(option)
      configuration.translation.perfMap = true
    case "--perf-dump":
      if option.attached?.isEmpty == true { throw UsageError("--perf-dump= needs a folder") }
      configuration.translation.perfDump = option.attached ?? [UInt8(ascii: ".")]
    case "--dump-translation":
      configuration.translation.listed += try places(try reader.bytes(of: option))
    case "--syntax": configuration.translation.syntax = try syntax(try reader.text(of: option))
    default: return false
    }
    return true
  }

  /// Addresses and names, separated by commas.
  private static func places(_ list: [UInt8]) throws(UsageError) -> [TranslationOutput.Place] {
    var places: [TranslationOutput.Place] = []
    for word in list.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      let text = String(decoding: word, as: UTF8.self)
      if text.isEmpty { throw UsageError("--dump-translation needs addresses or names, separated by commas") }
      if let address = parseNumber(text) {
        places.append(.address(address))
      } else if let first = text.utf8.first, first >= 48, first <= 57 {
        throw UsageError("--dump-translation: \(shown(text)) is not an address")
      } else {
        places.append(.symbol(Array(word)))
      }
    }
    return places
  }

  /// Options that need a translator, given with `--engine interpreter`.
  static func checkEngine(_ configuration: UserMachineConfiguration) throws(UsageError) {
    guard configuration.engine == .interpreter else { return }
    let translation = configuration.translation
    let asked = [
      ("--perf-map", translation.perfMap), ("--perf-dump", translation.perfDump != nil),
      ("--dump-translation", !translation.listed.isEmpty),
    ]
    if let name = asked.first(where: { $0.1 })?.0 {
      throw UsageError("\(name) needs the translator, not --engine interpreter")
    }
  }
}
