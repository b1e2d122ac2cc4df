// The engines that the oracle can compare with silicon, by the names of the option `--engine`.

import Engine
import GuestMemory
import Translator

enum Engines {
  /// Makes an engine for an address space; nil when the host refuses what it needs.
  typealias Factory = (AddressSpace) -> (any GuestEngine)?

  /// What the tests compare with silicon.
  static let tested = ["interpreter"]

  static let names = "interpreter|translator|silicon"

  static func named(_ name: String) -> Factory? {
    switch name {
    case "interpreter": return { InterpreterEngine(memory: $0) }
    case "translator": return { TranslatorEngine(memory: $0) }
    // The oracle tests itself.
    case "silicon": return { SiliconEngine(memory: $0) }
    default: return nil
    }
  }
}
