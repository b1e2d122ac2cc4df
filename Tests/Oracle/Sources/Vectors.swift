// Captured vectors: what silicon made of the oracle's states, as one digest for each row and form, so that rows are checked
// on machines that lack the instruction (or are no x86-64 at all). States are generated, so a digest is all that has to be
// kept. A row is known by a digest of its text: adding rows elsewhere changes nothing.
//
//     <row digest> <form> <digest of the results>

import CNative

/// FNV-1a, 64 bits.
struct Digest {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

  mutating func add(_ word: UInt64) {
    for shift in stride(from: 0, to: 64, by: 8) { add(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
  }

  mutating func add(_ text: String) {
    for byte in text.utf8 { add(byte) }
  }
}

/// A file of captured vectors.
struct Vectors {
  /// States a form.
  static let states = 16

  private var digests: [String: UInt64] = [:]

  /// What identifies a row in the file, and seeds its states.
  static func identity(_ row: Row) -> UInt64 {
    var digest = Digest()
    digest.add(row.encoding.text)
    digest.add(row.mnemonic)
    for operand in row.operands { digest.add(operand.word) }
    return digest.value
  }

  private static func key(_ row: Row, _ form: TestForm) -> String {
    String(identity(row), radix: 16) + " \(form)"
  }

  var count: Int { digests.count }

  subscript(row: Row, form: TestForm) -> UInt64? {
    get { digests[Vectors.key(row, form)] }
    set { digests[Vectors.key(row, form)] = newValue }
  }

  init() {}

  /// Nil when the file cannot be read.
  init?(path: String) {
    guard let text = Files.read(path) else { return nil }
    for line in text.split(separator: "\n") where line.first != "#" {
      let words = line.split(separator: " ")
      guard words.count == 3, let digest = UInt64(words[2], radix: 16) else { return nil }
      digests[words[0] + " " + words[1]] = digest
    }
  }

  func write(to path: String) -> Bool {
    var text =
      "# Written by `oracle --capture`: row, form, digest of what silicon did in \(Vectors.states) states.\n"
    for key in digests.keys.sorted() { text += key + " " + String(digests[key] ?? 0, radix: 16) + "\n" }
    return Files.write(path, text)
  }
}

extension Comparison {
  /// Adds everything that must be equal to `digest`.
  func add(_ state: native_state, _ ending: Ending, to digest: inout Digest) {
    digest.add(ending.description)
    withUnsafeBytes(of: state.general) { general in
      for byte in general { digest.add(byte) }
    }
    digest.add(state.rip)
    digest.add(state.rflags & flagMask)
    withUnsafeBytes(of: state.extended) { area in
      for offset in Comparison.comparedExtended { digest.add(area[offset]) }
    }
  }
}
