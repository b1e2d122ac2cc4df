import CHost
import Testing

@testable import Record

@Suite struct RecordingFamilyTests {
  private typealias SharedPage = RecordingFamily.SharedPage

  @Test func numbersAreGivenOnce() throws {
    let family = try #require(RecordingFamily())
    #expect((0..<3).map { _ in family.nextTimeline() } == [0, 1, 2])
    #expect((0..<3).map { _ in family.nextOutput() } == [0, 1, 2])
    #expect((0..<3).map { _ in family.nextIdentity() } == [1, 2, 3])
  }

  /// The ring keeps the last pages, in order, and nothing of one runs into the next.
  @Test func theLastWrittenPagesAreKnown() throws {
    let family = try #require(RecordingFamily())
    func page(_ number: UInt64) -> SharedPage {
      SharedPage(place: HostFile.Place(device: number % 7, inode: ~number), number: number &* 3)
    }
    let count = RecordingFamily.capacity * 2 + 5
    for number in 0..<count { family.noteWritten(page(number)) }
    #expect(family.writtenCount == count)
    for number in count - RecordingFamily.capacity..<count where family.writtenPage(number) != page(number) {
      Issue.record("page \(number)")
      break
    }
  }

  @Test func aTurnIsTakenAndGivenBack() throws {
    let family = try #require(RecordingFamily())
    #expect(vt_turn_is_free(family.turn) != 0)
    for _ in 0..<3 {
      vt_turn_acquire(family.turn)
      #expect(vt_turn_is_free(family.turn) == 0 && vt_turn_is_awaited(family.turn) == 0)
      vt_turn_release(family.turn)
      #expect(vt_turn_is_free(family.turn) != 0)
    }
  }

  /// A piece is known by all that says which one it is, once it has been entered.
  @Test func piecesAreKnownByTheirFilesState() throws {
    let pieces = try #require(RecordingFamily()).pieces
    let identity = HostFile.Identity(
      file: HostFile.Place(device: 1, inode: 2), size: 3, modified: 4, changed: 5)
    let key = RecordedPieces.Key(identity, 6..<7)
    #expect(pieces[key] == nil)
    let number = pieces.nextNumber()
    #expect(pieces.nextNumber() == number + 1)
    pieces.enter(key, number)
    #expect(pieces[key] == number)
    #expect(pieces[RecordedPieces.Key(identity, 6..<8)] == nil)
    for path in [\HostFile.Identity.file.device, \.file.inode, \.size, \.modified, \.changed] {
      var other = identity
      other[keyPath: path] &+= 1
      #expect(pieces[RecordedPieces.Key(other, 6..<7)] == nil)
    }
  }

  /// More of them than there is room for: those that are known are right.
  @Test func manyPiecesAreKnownOrNot() throws {
    let pieces = try #require(RecordingFamily()).pieces
    let identity = HostFile.Identity(
      file: HostFile.Place(device: 1, inode: 2), size: 3, modified: 4, changed: 5)
    let count: UInt32 = 100_000
    for number in 0..<count { pieces.enter(RecordedPieces.Key(identity, 0..<UInt64(number)), number) }
    let known = (0..<count).map { pieces[RecordedPieces.Key(identity, 0..<UInt64($0))] }
    #expect(zip(0..<count, known).allSatisfy { $1 == nil || $1 == $0 })
    #expect(known.prefix(20_000).allSatisfy { $0 != nil })
  }

  @Test func aFileIsTrustedUntilItIsNot() throws {
    let pieces = try #require(RecordingFamily()).pieces
    let (first, second) = (HostFile.Place(device: 1, inode: 2), HostFile.Place(device: 1, inode: 3))
    pieces.distrust(first)
    pieces.distrust(first)
    #expect(!pieces.trusts(first))
    #expect(pieces.trusts(second))
  }
}
