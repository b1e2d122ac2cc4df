// Writes the interpreter's handlers from the rows' semantic calls. (Skeleton; the engine's part follows.)

enum HandlerEmitter {
  /// Files to be written, by path relative to the repository. `only`: names of the row files that get handlers; nil: all.
  static func emit(_ instructionSet: InstructionSet, only: Set<String>?) -> [GeneratedFile] { [] }
}
