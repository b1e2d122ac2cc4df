// The command: reads ISA/*.isa below the current directory (the repository), writes the Generated/ folders.
//
//     isagen [--check] [--root DIRECTORY]

import Glibc

/// A file to be written; `path` is relative to the repository.
struct GeneratedFile {
  var path: String
  var text: String
}

@main struct Command {
  var root = "."
  var check = false

  static func main() {
    var command = Command()
    var arguments = CommandLine.arguments.dropFirst()
    while let argument = arguments.popFirst() {
      switch argument {
      case "--check": command.check = true
      case "--root": command.root = arguments.popFirst() ?? "."
      default: fail("usage: isagen [--check] [--root DIRECTORY]", code: 2)
      }
    }
    command.run()
  }

  func run() {
    let names = Files.list(root + "/ISA").filter { $0.hasSuffix(".isa") }.sorted()
    var parser = RowParser()
    for name in names {
      guard let text = Files.read(root + "/ISA/" + name) else { fail("cannot read ISA/\(name)", code: 1) }
      parser.parse(text, file: name)
    }
    let instructionSet = InstructionSet(rows: parser.rows, files: names)
    var tables = TableEmitter(instructionSet)
    let semantics = HandlerEmitter.semantics(in: root + "/Sources/Engine/Semantics")
    let handlers = HandlerEmitter(instructionSet, semantics: semantics)
    let files =
      tables.emit() + handlers.emit() + [
        FeatureEmitter.emit(instructionSet), PlanEmitter.emit(instructionSet),
      ]
    let problems = parser.problems + tables.problems + handlers.problems
    for problem in problems.prefix(40) { Files.complain(problem.description) }
    if !problems.isEmpty {
      fail("\(problems.count) problems in \(parser.rows.count) rows; nothing written", code: 1)
    }
    finish(files, rowCount: parser.rows.count)
  }

  private func finish(_ files: [GeneratedFile], rowCount: Int) {
    var stale = 0
    for file in files where Files.read(root + "/" + file.path) != file.text {
      stale += 1
      if check {
        Files.complain("\(file.path) differs from what the rows say; run `make gen`")
      } else if !Files.write(root + "/" + file.path, file.text) {
        Command.fail("cannot write \(file.path)", code: 1)
      }
    }
    if check, stale > 0 { Command.fail("\(stale) files differ", code: 1) }
    print("\(rowCount) rows, \(files.count) files, \(stale) changed")
  }

  private func fail(_ message: String, code: Int32) -> Never { Command.fail(message, code: code) }

  static func fail(_ message: String, code: Int32) -> Never {
    Files.complain(message)
    exit(code)
  }
}
