// Places that want another translation are remembered in bounded memory, however many a guest makes.

import Testing

@testable import Translator

@Suite struct ExceptionsTests {
  @Test func setsStayBounded() {
    var exceptions = TranslationExceptions()
    var isRight = true
    for number in 0..<UInt64(TranslationExceptions.most * 5 / 2) {
      let isNew = exceptions.insert(address: number * 3)
      exceptions.insert(loop: number * 5)
      let areThere = exceptions.addresses.contains(number * 3) && exceptions.loops.contains(number * 5)
      let most = max(exceptions.addresses.count, exceptions.loops.count)
      isRight = isRight && isNew && areThere && most <= TranslationExceptions.most
    }
    #expect(isRight)
    #expect(exceptions.addresses.count == TranslationExceptions.most / 2)
  }

  @Test func tellsWhatIsNew() {
    var exceptions = TranslationExceptions()
    for number in 0..<UInt64(TranslationExceptions.most) { _ = exceptions.insert(address: number) }
    // One that is known does not empty a full set.
    let isKnownNew = exceptions.insert(address: 7)
    #expect(!isKnownNew && exceptions.addresses.count == TranslationExceptions.most)
    let isOtherNew = exceptions.insert(address: 1 << 40)
    #expect(isOtherNew && exceptions.addresses == [1 << 40])
    let isNewAgain = exceptions.insert(address: 7)
    #expect(isNewAgain)
  }
}
