// Pieces of mapped files that a recording holds, by what they are pieces of: whichever process has written one, all others refer to it.
// So programs that are executed many times, and their libraries, are in a recording once. The table lies in memory that all processes of
// the recording have. It is only ever added to: who does not find what another one is about to enter writes it once more.
import CHost

struct RecordedPieces {
  /// A part of a file in one of its states.
  struct Key {
    fileprivate static let count = 7
    fileprivate var words: InlineArray<7, UInt64>

    init(_ identity: HostFile.Identity, _ range: Range<UInt64>) {
      words = [
        identity.file.device, identity.file.inode, identity.size, identity.modified, identity.changed,
        range.lowerBound, range.upperBound,
      ]
    }

    /// No part: says that the file's contents change without its times telling.
    fileprivate init(changing file: HostFile.Place) {
      words = [file.device, file.inode, 0, 0, 0, 0, 0]
    }

    fileprivate var hash: UInt64 {
      var mixed: UInt64 = 0
      for index in 0..<Key.count {
        mixed = (mixed ^ words[index]) &* 0x9e37_79b9_7f4a_7c15
        mixed ^= mixed &>> 32
      }
      return mixed
    }
  }

  /// What the first word of an entry says, if it is not the piece's number plus `numbers`.
  private enum State { static let free: UInt64 = 0, beingWritten: UInt64 = 1, numbers: UInt64 = 2 }

  private static let capacity: UInt64 = 1 << 16
  private static let entrySize = 8
  /// Entries that are looked at for one key.
  private static let mostProbes: UInt64 = 32

  // SAFETY: a shared mapping that is never unmapped: how many pieces there are, and entries, of which the key is written before its state
  // says so, and never again.
  private let words: UnsafeMutablePointer<UInt64>

  /// Nil when the host has no memory for it.
  init?() {
    let count = RecordedPieces.entrySize * Int(RecordedPieces.capacity + 1)
    guard let words = HostFile.sharedWords(count) else { return nil }
    self.words = words
  }

  /// The number of a new piece.
  func nextNumber() -> UInt32 { UInt32(truncatingIfNeeded: HostFile.fetchAdd(words)) }

  /// The number of a piece that is in the recording.
  subscript(key: Key) -> UInt32? {
    for entry in entries(of: key) {
      let state = entry[0]
      if state == State.free { return nil }
      if state >= State.numbers, has(entry, key) { return UInt32(truncatingIfNeeded: state &- State.numbers) }
    }
    return nil
  }

  /// The piece is in the recording from now on.
  func enter(_ key: Key, _ number: UInt32) {
    for entry in entries(of: key) {
      var state = State.free
      guard vt_compare_exchange64(entry, &state, State.beingWritten) else { continue }
      for index in 0..<Key.count { entry[index + 1] = key.words[index] }
      state = State.beingWritten
      _ = vt_compare_exchange64(entry, &state, UInt64(number) &+ State.numbers)
      return
    }
  }

  /// The file is shared by a mapping: its times do not tell any more whether it has changed.
  func distrust(_ file: HostFile.Place) {
    if trusts(file) { enter(Key(changing: file), 0) }
  }

  func trusts(_ file: HostFile.Place) -> Bool { self[Key(changing: file)] == nil }

  private func entries(of key: Key) -> some Sequence<UnsafeMutablePointer<UInt64>> {
    let first = key.hash
    return (0..<RecordedPieces.mostProbes).lazy.map { probe in
      let index = Int(truncatingIfNeeded: (first &+ probe) % RecordedPieces.capacity)
      return words + RecordedPieces.entrySize * (index + 1)
    }
  }

  private func has(_ entry: UnsafeMutablePointer<UInt64>, _ key: Key) -> Bool {
    (0..<Key.count).allSatisfy { entry[$0 + 1] == key.words[$0] }
  }
}
