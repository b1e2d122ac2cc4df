// Looking for a word in a text. The standard library's way comes with an engine for regular expressions, a megabyte of it.

extension StringProtocol {
  /// Whether `part`, which is not empty, occurs in the text.
  func includes(_ part: String) -> Bool {
    let (bytes, wanted) = (Array(utf8), Array(part.utf8))
    guard !wanted.isEmpty, bytes.count >= wanted.count else { return false }
    return (0...(bytes.count - wanted.count)).contains { bytes[$0...].starts(with: wanted) }
  }
}
