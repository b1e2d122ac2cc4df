// Places that want another translation are remembered in bounded memory, however many a guest makes.

import Testing

@testable import Translator

@Suite struct ExceptionsTests {
  @Test func setsStayBounded() {
    var exceptions = TranslationExceptions()
    for number in 0..<UInt64(TranslationExceptions.most * 5 / 2) {
      #expect(exceptions.insert(address: number * 3))
      exceptions.insert(loop: number * 5)
      #expect(exceptions.addresses.contains(number * 3) && exceptions.loops.contains(number * 5))
      #expect(exceptions.addresses.count <= TranslationExceptions.most)
      #expect(exceptions.loops.count <= TranslationExceptions.most)
    }
    #expect(exceptions.addresses.count == TranslationExceptions.most / 2)
  }

  @Test func tellsWhatIsNew() {
    var exceptions = TranslationExceptions()
    for number in 0..<UInt64(TranslationExceptions.most) { #expect(exceptions.insert(address: number)) }
    // One that is known does not empty a full set.
    #expect(!exceptions.insert(address: 7))
    #expect(exceptions.addresses.count == TranslationExceptions.most)
    #expect(exceptions.insert(address: 1 << 40))
    #expect(exceptions.addresses == [1 << 40])
    #expect(exceptions.insert(address: 7))
  }
}
