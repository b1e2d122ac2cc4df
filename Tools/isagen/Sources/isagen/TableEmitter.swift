// Writes the decoder's and the disassembler's tables.

struct TableEmitter {
  let instructionSet: InstructionSet
  private(set) var problems: [Problem] = []

  init(_ instructionSet: InstructionSet) { self.instructionSet = instructionSet }

  mutating func emit() -> [GeneratedFile] { [] }
}
