// The engines that the oracle can compare with silicon, by the names of the option `--engine`.

import Engine
import GuestMemory
import Translator

enum Engines {
  /// Makes an engine for an address space; nil when the host refuses what it needs.
  typealias Factory = (AddressSpace) -> (any GuestEngine)?

  /// What the tests compare with silicon.
  static let tested = ["interpreter", "translator"]

  static let names = "interpreter|translator|unguarded|counting|silicon"

  static func named(_ name: String) -> Factory? {
    switch name {
    case "interpreter": return { InterpreterEngine(memory: $0) }
    case "translator": return { TranslatorEngine(memory: $0) }
    case "unguarded": return { translator($0) { $0.isGuarded = false } }
    case "counting": return { translator($0) { $0.countsInstructions = true } }
    // The oracle tests itself.
    case "silicon": return { SiliconEngine(memory: $0) }
    default: return nil
    }
  }

  private static func translator(
    _ memory: AddressSpace, _ change: (inout TranslatorOptions) -> Void
  ) -> (any GuestEngine)? {
    var options = TranslatorOptions()
    change(&options)
    return TranslatorEngine(memory: memory, options: options)
  }
}
