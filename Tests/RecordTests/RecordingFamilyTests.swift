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
}
