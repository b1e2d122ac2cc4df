// Writing to people: messages on standard error, asked-for text on standard output, colour only on a terminal
// that wants it. The standard streams belong to the guest; nothing is buffered here across its run.
import Glibc

/// The code for every failure of Vitrine's own (as opposed to the guest's): see `vitrine help exit-codes`.
let ownFailureCode: Int32 = 125

enum Terminal {
  /// Writes all of `text`; gives up quietly when nobody reads.
  static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
      var done = 0
      while done < bytes.count {
        let written = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
        if written < 0 && errno == EINTR { continue }
        if written <= 0 { return }
        done += written
      }
    }
  }

  /// One line `vitrine: …` on standard error.
  static func complain(_ message: String) { write("vitrine: \(message)\n", to: 2) }

  /// Whether text on `descriptor` may be coloured: it is a terminal, TERM is not `dumb`, NO_COLOR
  /// (no-color.org) is unset or empty.
  static func wantsColour(_ descriptor: Int32, _ process: ProcessArguments) -> Bool {
    guard isatty(descriptor) == 1, process.value(of: "NO_COLOR") ?? [] == [] else { return false }
    return process.value(of: "TERM").map { $0 != Array("dumb".utf8) } ?? false
  }
}

/// Ends the process without running exit handlers twice or flushing what is not ours.
func exitProcess(with code: Int32) -> Never { exit(code) }
