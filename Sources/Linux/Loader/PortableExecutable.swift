// Actually Portable Executables: files that are a shell script, a Windows program and more at once. The script part writes an
// ELF header over the start of the file with printf(1); this file finds that statement and decodes it, so that the program
// can be loaded without a shell and without changing the file. (Actually Portable Executable Specification 0.1, "File Header"
// and "Embedded ELF Header".)

/// The part of the file's start that is a shell script.
enum PortableExecutable {
  /// Statements end within this many bytes of the file's start.
  static let window = 8192

  private static let magics: [StaticString] = ["MZqFpD='", "jartsr='"]
  private static let debugMagic: StaticString = "APEDBG='"
  private static let statement: StaticString = "printf '"
  private static let quote = UInt8(ascii: "'")
  private static let backslash = UInt8(ascii: "\\")

  /// True for a file that is to be loaded by its embedded header.
  static func hasMagic(_ bytes: [UInt8]) -> Bool {
    magics.contains { matches($0, bytes, at: 0) }
  }

  /// True for a file that the specification leaves to the shell.
  static func hasDebugMagic(_ bytes: [UInt8]) -> Bool { matches(debugMagic, bytes, at: 0) }

  /// The header for x86-64 among those that `start`, the first bytes of a file of `fileSize` bytes, embeds.
  static func header(in start: [UInt8], path: [UInt8], fileSize: UInt64) throws(LoadError) -> ELFHeader {
    let shown = Array(start.prefix(window))
    var problem: StaticText?
    var isForeign = false
    for place in shown.indices where matches(statement, shown, at: place) {
      switch decode(shown, from: place &+ statement.utf8CodeUnitCount) {
      case .other: continue
      case .malformed(let reason): if problem == nil { problem = reason }
      case .header(let bytes):
        // Other architectures have statements of their own.
        if bytes.littleEndian(UInt16.self, at: 18) != 62 {
          isForeign = true
          continue
        }
        return try ELFHeader(bytes, path: path, fileSize: fileSize, isPortable: true)
      }
    }
    if let problem { throw .portable(path: path, problem: problem) }
    if isForeign { throw .foreign(path: path, what: "a portable executable without a part for x86-64") }
    throw .portable(path: path, problem: "no printf statement with an ELF header in its first 8192 bytes")
  }

  private enum Statement {
    case header([UInt8])
    /// Prints something else.
    case other
    case malformed(StaticText)
  }

  /// What the statement prints whose text begins at `start`.
  private static func decode(_ text: [UInt8], from start: Int) -> Statement {
    var bytes: [UInt8] = []
    var reason: StaticText?
    var index = start
    while reason == nil {
      guard index < text.count else {
        reason = "the printf statement goes on after the first 8192 bytes or the end of the file"
        break
      }
      let byte = text[index]
      index &+= 1
      if byte == quote { break }
      if byte != backslash {
        bytes.append(byte)
      } else if let value = octal(text, &index) {
        bytes.append(value)
      } else {
        reason = "the printf statement has an escape that is not octal"
      }
      if bytes.count > ELFHeader.size {
        reason = "the printf statement gives more than the 64 bytes of an ELF header"
      }
    }
    if !ELFHeader.hasMagic(bytes) { return .other }
    if let reason { return .malformed(reason) }
    if bytes.count < ELFHeader.size {
      return .malformed("the printf statement gives less than the 64 bytes of an ELF header")
    }
    return .header(bytes)
  }

  /// One to three octal digits; what does not fit into a byte is lost, as in printf(1).
  private static func octal(_ text: [UInt8], _ index: inout Int) -> UInt8? {
    var value: UInt8?
    let end = min(index &+ 3, text.count)
    while index < end, text[index] >= UInt8(ascii: "0"), text[index] <= UInt8(ascii: "7") {
      value = (value ?? 0) &<< 3 | (text[index] & 7)
      index &+= 1
    }
    return value
  }

  private static func matches(_ word: StaticString, _ bytes: [UInt8], at place: Int) -> Bool {
    let size = word.utf8CodeUnitCount
    guard place <= bytes.count &- size else { return false }
    // SAFETY: `size` is the string's own, and `place` leaves as many bytes in the array.
    for index in 0..<size where word.utf8Start[index] != bytes[place &+ index] { return false }
    return true
  }
}
