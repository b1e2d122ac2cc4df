// Functions of `.debug_info`, by hand: inlined calls in calls, names through origins and scopes, lists of ranges; and that damage does no
// more than make functions missing.
import Testing

@testable import VirtualMachine

/// A function at 0x1000 up to 0x1040 with two inlined calls in it, one in the other; the inner one in two pieces.
private struct Example {
  // 1: unit (low, high); 2: namespace with a name; 3: abstract function with a name; 4: function (name, low, high); 5: inlined call
  // (origin, low, high, call line, distance of its first instruction); 6: the same with a list of ranges.
  let abbreviations: [UInt8] = [
    1, 0x11, 1, 0x11, 0x01, 0x12, 0x0b, 0, 0, 2, 0x39, 1, 0x03, 0x08, 0, 0, 3, 0x2e, 0, 0x03, 0x08, 0, 0,
    4, 0x2e, 1, 0x03, 0x08, 0x11, 0x01, 0x12, 0x0b, 0, 0,
    5, 0x1d, 1, 0x31, 0x13, 0x11, 0x01, 0x12, 0x0b, 0x59, 0x0b, 0x52, 0x0b, 0, 0, 6, 0x1d, 0, 0x31, 0x13,
    0x55, 0x17,
    0x59, 0x0b, 0, 0, 0,
  ]
  var info: [UInt8] = []
  let ranges = little(0x14, 8) + little(0x18, 8) + little(0x1c, 8) + little(0x20, 8) + little(0, 16)

  init() {
    var body = little(4, 2) + little(0, 4) + [8]
    body += [1] + little(0x1000, 8) + [0x80]
    body += [2] + Array("space\0".utf8)
    // Places count from the unit's beginning, in front of its length.
    let inner = UInt64(body.count + 4)
    body += [3] + Array("inner\0".utf8)
    let middle = UInt64(body.count + 4)
    body += [3] + Array("middle\0".utf8) + [0]
    body += [4] + Array("outer\0".utf8) + little(0x1000, 8) + [0x40]
    body += [5] + little(middle, 4) + little(0x1010, 8) + [0x20, 7, 8]
    body += [6] + little(inner, 4) + little(0, 4) + [9]
    body += [0, 0, 0]
    info = little(UInt64(body.count), 4) + body
  }

  func functions(_ info: [UInt8], _ abbreviations: [UInt8], _ ranges: [UInt8]) -> FunctionInfo {
    var sections = InfoSections()
    (sections.info, sections.abbreviations, sections.ranges) = (info, abbreviations, ranges)
    return FunctionInfo(sections, code: [0x1000..<0x2000])
  }
}

@Suite struct FunctionTests {
  @Test func findsInlinedCalls() {
    let example = Example()
    let functions = example.functions(example.info, example.abbreviations, example.ranges)
    func names(_ address: UInt64) -> [String] {
      functions.scopes(at: address).scopes.map { String(decoding: $0.name, as: UTF8.self) }
    }
    #expect(names(0x0fff) == [] && names(0x1040) == [])
    #expect(names(0x1000) == ["outer"] && names(0x103f) == ["outer"])
    #expect(names(0x1010) == ["space::middle", "outer"] && names(0x102f) == ["space::middle", "outer"])
    #expect(names(0x1014) == ["space::inner", "space::middle", "outer"])
    #expect(names(0x1018) == ["space::middle", "outer"])
    #expect(names(0x101f) == ["space::inner", "space::middle", "outer"])
    let scopes = functions.scopes(at: 0x101c).scopes
    #expect(scopes.map(\.callLine) == [9, 7, 0] && scopes.map(\.isInlined) == [true, true, false])
    #expect(scopes.map(\.isStart) == [true, false, false] && scopes.first?.range == 0x101c..<0x1020)
  }

  @Test func findsPlacesByName() {
    let example = Example()
    let functions = example.functions(example.info, example.abbreviations, example.ranges)
    func places(_ name: String) -> [FunctionPlace] { functions.places(named: Array(name.utf8)) }
    func identity(_ address: UInt64) -> Int? { functions.scopes(at: address).scopes.first?.identity }
    #expect(places("outer").map(\.address) == [0x1000] && places("outer").map(\.isInlined) == [false])
    // Where it is entered, not where its code begins.
    #expect(
      places("space::middle").map(\.address) == [0x1018] && places("space::middle").first?.isInlined == true)
    #expect(places("space::middle").first?.identity == identity(0x1010))
    let inner = places("space::inner")
    #expect(inner.map(\.address) == [0x1014] && inner.first?.ranges == [0x1014..<0x1018, 0x101c..<0x1020])
    #expect(inner.first?.identity == identity(0x101c))
    #expect(
      places("inner").isEmpty && places("space").isEmpty && places("").isEmpty && places("uter").isEmpty)
  }

  @Test func survivesDamage() {
    var numbers = RandomNumbers()
    func random(_ limit: Int) -> Int { numbers.next(below: limit) }
    let example = Example()
    var (known, named) = (0, 0)
    for _ in 0..<20_000 {
      var (info, abbreviations, ranges) = (example.info, example.abbreviations, example.ranges)
      for _ in 0...random(4) { info[random(info.count)] = UInt8(random(3) == 0 ? random(8) : random(256)) }
      for _ in 0..<random(3) { abbreviations[random(abbreviations.count)] = UInt8(random(48)) }
      for _ in 0..<random(3) { ranges[random(ranges.count)] = UInt8(random(256)) }
      // DWARF 5 has other headers and lists.
      if random(4) == 0 { info[4] = 5 }
      let functions = example.functions(info, abbreviations, ranges)
      for address in stride(from: UInt64(0x1000), to: 0x1040, by: 4) {
        let scopes = functions.scopes(at: address).scopes
        #expect(scopes.count <= info.count)
        known += scopes.count
      }
      let places = functions.places(named: Array("space::inner".utf8))
      #expect(
        places.count <= info.count
          && places.allSatisfy { place in place.ranges.contains { $0.contains(place.address) } })
      named += places.count
    }
    #expect(known > 1000 && named > 1000)
  }
}
