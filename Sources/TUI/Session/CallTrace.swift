// The last lines of the trace of system calls, as strace(1) writes them. Gets parts of lines from guest threads.

/// Called under the address space's lock.
public final class CallTrace {
  /// The last of them may be incomplete: a call that has not returned.
  private(set) var lines: [String] = []
  private var isOpen = false
  private static let most = 2000

  public init() {}

  public func receive(_ part: String) {
    for (index, piece) in part.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if index > 0 { isOpen = false }
      if piece.isEmpty { continue }
      if isOpen, let last = lines.indices.last {
        lines[last] += piece
      } else {
        lines.append(String(piece))
        isOpen = true
      }
    }
    if lines.count > CallTrace.most { lines.removeFirst(lines.count - CallTrace.most / 2) }
  }
}
