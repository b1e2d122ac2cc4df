// Memory that all processes of one recording have in common: what they count together, whose turn it is to run guest code, and which
// pages of shared memory have been written, in order. Everything but the counters is read and written by whoever has the turn.
import CHost

struct RecordingFamily {
  private enum Word {
    static let timelines = 0, outputs = 1, identities = 2, turn = 3, holder = 4, written = 5
  }

  /// A page of something that processes can map: a file, a segment of System V, anonymous memory.
  struct SharedPage: Hashable {
    var place: HostFile.Place
    /// Counted from the beginning of what is mapped.
    var number: UInt64
  }

  /// Written pages that are remembered. Whoever has been away for more of them takes all for written.
  static let capacity: UInt64 = 1 << 20
  private static let firstEntry = 8
  private static let entrySize = 3

  // SAFETY: a shared mapping that is never unmapped; words beyond the counters only under the turn.
  private let words: UnsafeMutablePointer<UInt64>
  /// Contents of mapped files.
  let pieces: RecordedPieces

  /// Nil when the host has no memory for it.
  init?() {
    let count = RecordingFamily.firstEntry + RecordingFamily.entrySize * Int(RecordingFamily.capacity)
    guard let words = HostFile.sharedWords(count), let pieces = RecordedPieces() else { return nil }
    (self.words, self.pieces) = (words, pieces)
  }

  /// The number of a new timeline.
  func nextTimeline() -> UInt64 { HostFile.fetchAdd(words + Word.timelines) }

  /// The place of an output among all.
  func nextOutput() -> UInt64 { HostFile.fetchAdd(outputs) }

  /// Counts outputs.
  var outputs: UnsafeMutablePointer<UInt64> { words + Word.outputs }

  /// A number for a piece of anonymous memory, from 1 on.
  func nextIdentity() -> UInt64 { HostFile.fetchAdd(words + Word.identities) &+ 1 }

  var turn: UnsafeMutablePointer<vt_turn> {
    UnsafeMutableRawPointer(words + Word.turn).assumingMemoryBound(to: vt_turn.self)
  }

  /// The timeline, plus 1, of the process that has the turn or has had it last and run guest code in it; 0: none.
  var holder: UInt64 {
    get { words[Word.holder] }
    nonmutating set { words[Word.holder] = newValue }
  }

  // MARK: Written pages

  /// How many have been noted.
  var writtenCount: UInt64 { words[Word.written] }

  func noteWritten(_ page: SharedPage) {
    let index = words[Word.written]
    let entry = entry(index)
    entry[0] = page.place.device
    entry[1] = page.place.inode
    entry[2] = page.number
    words[Word.written] = index &+ 1
  }

  /// What was noted as the `index`-th; of the last `capacity` ones.
  func writtenPage(_ index: UInt64) -> SharedPage {
    let entry = entry(index)
    return SharedPage(place: HostFile.Place(device: entry[0], inode: entry[1]), number: entry[2])
  }

  private func entry(_ index: UInt64) -> UnsafeMutablePointer<UInt64> {
    let place = Int(truncatingIfNeeded: index % RecordingFamily.capacity)
    return words + RecordingFamily.firstEntry + place * RecordingFamily.entrySize
  }
}
