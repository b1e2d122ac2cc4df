// Reads the words after a command: options first (`--name`, `--name=value`, `--name value`), then operands.
// By hand, because an argument library would double the start-up time of `vitrine run`.

/// A mistake in the command line, as the message says it.
struct UsageError: Error {
  let message: String
  init(_ message: String) { self.message = message }
}

/// Runs a command; a mistake in its words is told together with how it is used.
func withUsage(_ usage: String, topic: String, _ body: () throws(UsageError) -> Int32) -> Int32 {
  do { return try body() } catch {
    Terminal.complain(error.message)
    Terminal.write(usage + "Try: vitrine help \(topic)\n", to: 2)
    return ownFailureCode
  }
}

/// One option as it was typed.
struct Option {
  let name: String
  /// What follows `=`, if there was one.
  let attached: [UInt8]?
}

struct WordReader {
  private let words: [[UInt8]]
  private var index = 0

  init(_ words: [[UInt8]]) { self.words = words }

  /// The next option; nil at the first operand, after `--`, or at the end.
  mutating func nextOption() -> Option? {
    guard index < words.count else { return nil }
    let word = words[index]
    guard word.first == 45, word.count > 1 else { return nil }
    index += 1
    if word == [45, 45] { return nil }
    if let equals = word.firstIndex(of: 61), word[1] == 45 {
      let name = String(decoding: word[..<equals], as: UTF8.self)
      return Option(name: name, attached: Array(word[(equals + 1)...]))
    }
    return Option(name: String(decoding: word, as: UTF8.self), attached: nil)
  }

  /// The value of `option`: attached, or the next word.
  mutating func bytes(of option: Option) throws(UsageError) -> [UInt8] {
    if let attached = option.attached { return attached }
    guard index < words.count else { throw UsageError("\(shown(option.name)) needs a value") }
    defer { index += 1 }
    return words[index]
  }

  /// The value of `option` as text.
  mutating func text(of option: Option) throws(UsageError) -> String {
    String(decoding: try bytes(of: option), as: UTF8.self)
  }

  /// Refuses a value for an option that takes none.
  func requireNoValue(_ option: Option) throws(UsageError) {
    if option.attached != nil { throw UsageError("\(shown(option.name)) takes no value") }
  }

  /// The one operand, a `kind`, behind the options.
  mutating func onlyOperand(_ kind: String) throws(UsageError) -> [UInt8] {
    let operands = operands()
    guard let operand = operands.first, operands.count == 1 else { throw UsageError("one \(kind) is needed") }
    return operand
  }

  /// Everything that is left.
  mutating func operands() -> [[UInt8]] {
    defer { index = words.count }
    return Array(words[index...])
  }
}

/// A number in decimal, or hexadecimal after `0x`.
func parseNumber(_ text: some StringProtocol) -> UInt64? {
  if text.hasPrefix("0x") || text.hasPrefix("0X") { return UInt64(text.dropFirst(2), radix: 16) }
  return UInt64(text)
}
