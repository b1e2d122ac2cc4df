// The first line of a script (`#!interpreter [argument]`), by the rules of Linux (execve(2), "Interpreter
// scripts").

/// A parsed `#!` line.
public struct ScriptLine: Equatable, Sendable {
  /// Linux looks at this many bytes of the file.
  public static let limit = 256

  public let interpreter: [UInt8]
  /// Everything after the interpreter as one argument, blanks at both ends removed.
  public let argument: [UInt8]?

  /// True for a file that starts like a script.
  public static func hasMagic(_ bytes: [UInt8]) -> Bool {
    bytes.count >= 2 && bytes[0] == 0x23 && bytes[1] == 0x21
  }

  /// Parses the start of a file. Nil when there is no interpreter, or when its name might go on after the
  /// limit.
  public init?(_ file: [UInt8]) {
    guard ScriptLine.hasMagic(file) else { return nil }
    let head = file.prefix(ScriptLine.limit)
    var line = head.dropFirst(2)
    var isComplete = head.count < ScriptLine.limit
    if let end = line.firstIndex(of: 10) {
      line = line[..<end]
      isComplete = true
    }
    // What follows a zero byte is not seen.
    if let zero = line.firstIndex(of: 0) {
      line = line[..<zero]
      isComplete = true
    }
    let isBlank = { (byte: UInt8) in byte == 32 || byte == 9 }
    line = line.drop(while: isBlank)
    let name = line.prefix { !isBlank($0) }
    if name.isEmpty || (!isComplete && name.endIndex == line.endIndex) { return nil }
    interpreter = Array(name)
    var rest = line[name.endIndex...].drop(while: isBlank)
    while let last = rest.last, isBlank(last) { rest = rest.dropLast() }
    argument = rest.isEmpty ? nil : Array(rest)
  }
}
