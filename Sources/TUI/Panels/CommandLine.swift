// The line at the bottom in which commands are typed: editing, history, completion.

struct CommandLine {
  enum Outcome: Equatable { case goesOn, cancelled, entered(String) }

  let prompt: String
  /// What is put in front of the text when it is entered.
  let command: String
  private(set) var scalars: [Unicode.Scalar] = []
  private(set) var cursor = 0
  /// Which line of the history is shown, from the end; 0: the new one.
  private var age = 0
  private var new: [Unicode.Scalar] = []
  private static let longest = 2000

  init(prompt: String, command: String = "") {
    self.prompt = prompt
    self.command = command
  }

  var text: String { String(String.UnicodeScalarView(scalars)) }

  mutating func take(_ key: Key, alt: Bool, history: [String], complete: (String) -> [String]) -> Outcome {
    switch key {
    case .enter:
      let text = text
      return .entered(text.isEmpty && command.isEmpty ? "" : command + text)
    case .escape, .control("c"), .control("g"): return .cancelled
    case .backspace:
      if scalars.isEmpty { return .cancelled }
      if cursor > 0 {
        cursor -= 1
        scalars.remove(at: cursor)
      }
    case .delete, .control("d"): if cursor < scalars.count { scalars.remove(at: cursor) }
    case .left, .control("b"): cursor = max(0, cursor - 1)
    case .right, .control("f"): cursor = min(scalars.count, cursor + 1)
    case .home, .control("a"): cursor = 0
    case .end, .control("e"): cursor = scalars.count
    case .control("u"):
      scalars.removeFirst(cursor)
      cursor = 0
    case .control("k"): scalars.removeLast(scalars.count - cursor)
    case .control("w"):
      while cursor > 0, scalars[cursor - 1] == " " { removeBefore() }
      while cursor > 0, scalars[cursor - 1] != " " { removeBefore() }
    case .up, .control("p"): recall(1, history)
    case .down, .control("n"): recall(-1, history)
    case .tab: completeWord(complete)
    case .character(let scalar) where !alt && scalars.count < CommandLine.longest:
      scalars.insert(scalar, at: cursor)
      cursor += 1
    default: break
    }
    return .goesOn
  }

  private mutating func removeBefore() {
    cursor -= 1
    scalars.remove(at: cursor)
  }

  private mutating func recall(_ step: Int, _ history: [String]) {
    let wanted = age + step
    guard wanted >= 0, wanted <= history.count else { return }
    if age == 0 { new = scalars }
    age = wanted
    scalars = wanted == 0 ? new : Array(history[history.count - wanted].unicodeScalars)
    cursor = scalars.count
  }

  /// Puts in what all completions have in common.
  private mutating func completeWord(_ complete: (String) -> [String]) {
    let before = String(String.UnicodeScalarView(scalars[..<cursor]))
    let candidates = complete(command + before)
    guard var common = candidates.first else { return }
    for other in candidates {
      while !other.hasPrefix(common) { common.removeLast() }
    }
    let word = before.split(separator: " ", omittingEmptySubsequences: false).last.map(String.init) ?? ""
    guard common.hasPrefix(word) else { return }
    let more = String(common.dropFirst(word.count)) + (candidates.count == 1 ? " " : "")
    scalars.insert(contentsOf: more.unicodeScalars, at: cursor)
    cursor += more.unicodeScalars.count
  }
}
