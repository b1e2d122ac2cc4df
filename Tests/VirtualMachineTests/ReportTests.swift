// Reports: call frame information, expressions, the unwinder's fallbacks, symbols; and that no damage to any
// of them does more than make a report shorter.
import Linux
import Testing

@testable import VirtualMachine

/// Guest memory of a few words; everything from `code` is executable.
private struct WordMemory: UnwindMemory {
  var words: [UInt64: UInt64] = [:]
  var code: Range<UInt64> = 0x1000..<0x2000

  func bytes(at address: UInt64, count: Int) -> [UInt8]? {
    var result: [UInt8] = []
    for offset in 0..<UInt64(count) {
      let place = address &+ offset
      guard let word = words[place & ~7] else { return nil }
      result.append(UInt8(truncatingIfNeeded: word >> (8 * (place & 7))))
    }
    return result
  }

  func isExecutable(_ address: UInt64) -> Bool { code.contains(address) }
}

/// Builds an `.eh_frame` section at address 0 with absolute pointers.
private struct FrameSection {
  var bytes: [UInt8] = []

  private mutating func add(_ body: [UInt8]) {
    let padded = body + [UInt8](repeating: 0, count: (8 - (body.count + 4) % 8) % 8)
    bytes += (0..<4).map { UInt8(truncatingIfNeeded: padded.count >> (8 * $0)) } + padded
  }

  /// A CIE with the usual start: CFA = rsp + 8, return address at CFA - 8. `letters` follow `zR`.
  mutating func addCommon(letters: String = "") {
    add([0, 0, 0, 0, 1] + Array("zR\(letters)\0".utf8) + [1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1])
  }

  mutating func addFrame(start: UInt64, size: UInt64, _ instructions: [UInt8]) {
    let back = UInt32(bytes.count + 4)
    add(little(UInt64(back), 4) + little(start, 8) + little(size, 8) + [0] + instructions)
  }
}

private func registers(rip: UInt64, rsp: UInt64, rbp: UInt64 = 0) -> UnwindRegisters {
  var result = UnwindRegisters()
  result[UnwindRegisters.rip] = rip
  result[UnwindRegisters.rsp] = rsp
  result[UnwindRegisters.rbp] = rbp
  return result
}

private func backtrace(_ memory: WordMemory, _ section: FrameSection, _ start: UnwindRegisters) -> [UInt64] {
  let table = CallFrameTable(section.bytes + [0, 0, 0, 0], address: 0)
  return Unwinder(memory: memory, table: table, loadBias: 0, frameLimit: 20).backtrace(start).map(\.address)
}

@Suite struct UnwinderTests {
  @Test func followsCallFrameInformation() {
    var section = FrameSection()
    section.addCommon()
    // push rbp at 0x1000 (1 byte), mov rsp, rbp (3 bytes), then the body by rbp.
    section.addFrame(start: 0x1000, size: 0x100, [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6])
    section.addFrame(start: 0x1100, size: 0x100, [])
    section.addFrame(start: 0x1200, size: 0x100, [0x07, 16])
    let memory = WordMemory(words: [0x8010: 0x9000, 0x8018: 0x1150, 0x8020: 0x1250])
    // Inside the body: the frame is found by rbp whatever rsp is.
    #expect(
      backtrace(memory, section, registers(rip: 0x1010, rsp: 0x7000, rbp: 0x8010)) == [
        0x1010, 0x1150, 0x1250,
      ])
    // At the first instruction: by rsp.
    #expect(backtrace(memory, section, registers(rip: 0x1000, rsp: 0x8018)) == [0x1000, 0x1150, 0x1250])
    // After the push.
    #expect(backtrace(memory, section, registers(rip: 0x1001, rsp: 0x8010)) == [0x1001, 0x1150, 0x1250])
  }

  @Test func remembersAndRestores() {
    var section = FrameSection()
    section.addCommon()
    section.addFrame(start: 0x1000, size: 0x100, [0x0e, 64, 0x0a, 0x42, 0x0e, 8, 0x42, 0x0b])
    let memory = WordMemory(words: [0x8000: 0x1800, 0x8038: 0x1900])
    #expect(backtrace(memory, section, registers(rip: 0x1000, rsp: 0x8000)) == [0x1000, 0x1900])
    #expect(backtrace(memory, section, registers(rip: 0x1002, rsp: 0x8000)) == [0x1002, 0x1800])
    #expect(backtrace(memory, section, registers(rip: 0x1004, rsp: 0x8000)) == [0x1004, 0x1900])
  }

  @Test func evaluatesExpressions() throws {
    let memory = WordMemory(words: [0x100: 0x1234])
    var start = UnwindRegisters()
    start[7] = 0xf8
    func run(_ code: [UInt8], initial: UInt64? = nil) throws -> UInt64 {
      var expression = DwarfExpression(registers: start, memory: memory)
      return try expression.evaluate(DwarfCursor(code, base: 0), initial: initial)
    }
    #expect(try run([0x77, 8, 0x06]) == 0x1234)  // breg7 +8; deref
    #expect(try run([0x35, 0x32, 0x1c]) == 3)  // lit5 lit2 minus
    #expect(try run([0x23, 0x10], initial: 0x20) == 0x30)  // plus_uconst 16
    #expect(try run([0x31, 0x30, 0x28, 1, 0, 0x33, 0x34]) == 4)  // bra not taken
    #expect(try run([0x31, 0x28, 1, 0, 0x33, 0x34]) == 4)
    #expect(try run([0x09, 0xff, 0x33, 0x26]) == .max)  // const1s -1; shra 3
    #expect(throws: DwarfError.self) { try run([0x2f, 0xfd, 0xff]) }  // skip -3: for ever
    #expect(throws: DwarfError.self) { try run([0x31, 0x30, 0x1b]) }  // division by zero
    #expect(throws: DwarfError.self) { try run([0x22]) }
    #expect(throws: DwarfError.self) { try run([]) }
  }

  @Test func followsFramePointersWithoutTables() {
    let memory = WordMemory(words: [0x8000: 0x8020, 0x8008: 0x1100, 0x8020: 0, 0x8028: 0x1200])
    let frames = backtrace(memory, FrameSection(), registers(rip: 0x1010, rsp: 0x7ff0, rbp: 0x8000))
    #expect(frames == [0x1010, 0x1100, 0x1200])
  }

  @Test func findsTheCallerOfACallToNowhere() {
    let memory = WordMemory(words: [0x8000: 0x1100])
    #expect(backtrace(memory, FrameSection(), registers(rip: 0, rsp: 0x8000)) == [0, 0x1100])
  }

  @Test func crossesSignalFrames() {
    var memory = WordMemory(words: [0x1000: 0x0f00_0000_0fc0_c748, 0x1008: 0x05])
    // mov $15, %rax; syscall: 48 c7 c0 0f 00 00 00 0f 05
    memory.words[0x1000] = 0x0f00_0000_0fc0_c748
    for index in 0..<17 { memory.words[0x8028 + UInt64(index) * 8] = UInt64(index) }
    memory.words[0x8028 + 15 * 8] = 0x7000
    memory.words[0x8028 + 16 * 8] = 0x1500
    #expect(backtrace(memory, FrameSection(), registers(rip: 0x1000, rsp: 0x8000)) == [0x1000, 0x1500])
  }

  @Test func endsInLoops() {
    let memory = WordMemory(words: [0x8000: 0x8000, 0x8008: 0x1100])
    #expect(backtrace(memory, FrameSection(), registers(rip: 0x1010, rsp: 0x8000, rbp: 0x8000)).count < 20)
  }

  @Test func survivesDamage() {
    var section = FrameSection()
    section.addCommon()
    section.addFrame(start: 0x1000, size: 0x100, [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0f, 3, 0x77, 8, 0x06])
    section.addFrame(start: 0x1100, size: 0x100, [0x16, 16, 3, 0x77, 8, 0x06, 0x0a, 0x0b])
    let memory = WordMemory(words: [0x8010: 0x9000, 0x8018: 0x1150, 0x8020: 0x1250])
    var random: UInt64 = 88_172_645_463_325_252
    func next() -> Int {
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      return Int(truncatingIfNeeded: random >> 33)
    }
    for _ in 0..<20000 {
      var damaged = section
      for _ in 0...(next() % 4) {
        damaged.bytes[next() % damaged.bytes.count] = UInt8(truncatingIfNeeded: next())
      }
      if next() % 4 == 0 { damaged.bytes.removeLast(next() % damaged.bytes.count) }
      let start = registers(rip: 0x1000 + UInt64(next() % 0x200), rsp: 0x8010, rbp: 0x8010)
      #expect(backtrace(memory, damaged, start).count <= 20)
    }
  }
}

@Suite struct SymbolTests {
  private func table() -> SymbolTable {
    SymbolTable([
      ELFSymbol(name: Array("alpha".utf8), address: 0x1000, size: 0x100, isFunction: true),
      ELFSymbol(name: Array("inner".utf8), address: 0x1010, size: 4, isFunction: false),
      ELFSymbol(name: Array("label".utf8), address: 0x2000, size: 0, isFunction: false),
    ])
  }

  @Test func findsTheNearest() {
    #expect(table().describe(0x1000, shownAs: 0x1000) == "alpha")
    #expect(table().describe(0x1012, shownAs: 0x1012) == "inner+0x2")
    #expect(table().describe(0x1020, shownAs: 0x1020) == "alpha+0x20")
    #expect(table().describe(0x10ff, shownAs: 0x1100) == "alpha+0x100")
    #expect(table().describe(0x1100, shownAs: 0x1100) == nil)
    #expect(table().describe(0x2001, shownAs: 0x2001) == "label+0x1")
    #expect(table().describe(0, shownAs: 0) == nil)
  }

  @Test func readsSimpleNames() {
    let names = [
      "main": "main", "_ZN1S4boomEi": "S::boom", "_ZSt9terminatev": "std::terminate", "_Z3fooi": "foo",
      "_ZN3foo3BarC2Ev": "foo::Bar::Bar", "_ZN3foo3BarD0Ev": "foo::Bar::~Bar", "_ZNK1A1bEv.cold": "A::b.cold",
      "_ZN": "_ZN", "_Z": "_Z", "_ZN99x": "_ZN99x", "_Z3fooIiEvT_": "foo<int>",
      "_ZN3fooIiE3barEv": "foo<int>::bar", "_Z1fv.part.0": "f.part.0",
    ]
    for (name, readable) in names { #expect(SymbolName.readable(Array(name.utf8)) == readable) }
  }
}
