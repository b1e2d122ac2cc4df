// Tables of source lines: what their programs mean, by hand; decompression; and that damage does no more than make lines missing.
import Linux
import Testing

@testable import VirtualMachine

/// A unit of DWARF 4 with two files, whose opcodes are as many as given.
private func unit(_ program: [UInt8], opcodeBase: UInt8 = 13, version: UInt64 = 4) -> [UInt8] {
  let counts: [UInt8] = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 2, 3]
  var header: [UInt8] = [1]
  if version >= 4 { header += [1] }
  header += [1, UInt8(bitPattern: -3), 12, opcodeBase] + counts.prefix(Int(opcodeBase) - 1)
  header += Array("sub\0\0".utf8) + Array("a.c\0".utf8) + [0, 0, 0] + Array("b.h\0".utf8) + [1, 0, 0, 0]
  let body = little(version, 2) + little(UInt64(header.count), 4) + header + program
  return little(UInt64(body.count), 4) + body
}

private let setAddress: [UInt8] = [0, 9, 2] + little(0x1000, 8)
private let end: [UInt8] = [0, 1, 1]

private func table(_ bytes: [UInt8]) -> LineTable {
  LineTable(LineSections(lines: bytes), code: [0x1000..<0x2000])
}

private func lines(_ table: LineTable) -> [String] {
  var result: [String] = []
  table.forEachRow { path, line, range, isStatement in
    let name = String(decoding: path, as: UTF8.self)
    result.append("\(String(range.lowerBound, radix: 16)) \(name):\(line)\(isStatement ? "" : " -")")
  }
  return result
}

@Suite struct LineTests {
  @Test func readsPrograms() {
    // copy; advance_pc 4, advance_line 9, copy; a special opcode (+2 lines, +1 byte); set_file 2, negate, copy; advance; end.
    let program: [UInt8] = [1, 2, 4, 3, 9, 1, 13 + 5 + 12, 4, 2, 6, 2, 3, 1, 2, 8] + end
    let table = table(unit(setAddress + program))
    #expect(lines(table) == ["1000 a.c:1", "1004 a.c:10", "1005 a.c:12", "1008 sub/b.h:12 -"])
    #expect(table.line(at: 0x1003)?.text == "a.c:1")
    #expect(table.line(at: 0x100f)?.text == "b.h:12")
    #expect(table.line(at: 0x1010) == nil && table.line(at: 0xfff) == nil)
    #expect(table.addresses(of: Array("a.c".utf8), line: 2)?.line == 10)
    #expect(table.addresses(of: Array("b.h".utf8), line: 12) == nil)
    #expect(table.addresses(of: Array("x.c".utf8), line: 1) == nil)
  }

  @Test func skipsWhatIsUnknown() {
    // Opcodes 13 and 14 have two and three operands, extended opcode 0x80 three bytes.
    let program: [UInt8] = [13, 0x81, 1, 5, 14, 1, 2, 0x83, 3, 0, 4, 0x80, 9, 9, 9, 1, 2, 4] + end
    #expect(lines(table(unit(setAddress + program, opcodeBase: 15))) == ["1000 a.c:1"])
    // With a base of 10 an opcode of 12 is a special one.
    let short: [UInt8] = [1, 3, 5, 12, 2, 4] + end
    #expect(
      lines(table(unit(setAddress + short, opcodeBase: 10, version: 2)))
        == ["1000 a.c:1", "1000 a.c:5"])
    // A unit of an unknown version does not hide the next one.
    let next = unit(setAddress + [1, 2, 4] + end)
    #expect(lines(table(unit([1], version: 9) + next)) == ["1000 a.c:1"])
  }

  @Test func dropsCodeThatIsNotThere() {
    let gone: [UInt8] = [0, 9, 2] + little(0, 8) + [1, 2, 64] + end
    let table = table(unit(gone) + unit(setAddress + [1, 2, 4] + end))
    #expect(lines(table) == ["1000 a.c:1"])
    #expect(table.line(at: 4) == nil)
  }

  @Test func survivesDamage() {
    var numbers = RandomNumbers()
    func random(_ limit: Int) -> Int { numbers.next(below: limit) }
    let whole =
      unit(setAddress + [1, 2, 4, 3, 9, 1, 30, 4, 2, 6, 1, 0, 2, 4, 3, 60, 9, 200, 1, 2, 8] + end)
      + unit(setAddress + [1, 2, 4] + end, version: 3)
    for round in 0..<20_000 {
      var bytes = whole
      for _ in 0...random(6) {
        bytes[random(round % 2 == 0 ? 60 : bytes.count)] = UInt8(random(3) == 0 ? 255 : random(256))
      }
      if random(5) == 0 { bytes.removeLast(random(bytes.count)) }
      // DWARF 5 describes its columns: damage there must not make endless tables.
      if random(3) == 0, bytes.count > 8 { bytes[4] = 5 }
      let table = table(bytes)
      _ = table.line(at: UInt64(0x1000 + random(16)))
      _ = table.addresses(of: Array("a.c".utf8), line: random(20))
      #expect(lines(table).count <= bytes.count)
    }
  }

  @Test func decompresses() {
    // "lines lines lines lines\n", by zlib.
    let packed: [UInt8] = [
      0x78, 0x9c, 0xcb, 0xc9, 0xcc, 0x4b, 0x2d, 0x56, 0xc8, 0x41, 0x27, 0xb9, 0x00, 0x72, 0x56, 0x08, 0xd7,
    ]
    let text = Array("lines lines lines lines\n".utf8)
    #expect(Inflate.bytes(packed, from: 0, size: text.count) == text)
    #expect(Inflate.bytes(packed, from: 0, size: text.count + 1) == nil)
    #expect(Inflate.bytes(Array(packed.prefix(8)), from: 0, size: text.count) == nil)
    for place in packed.indices {
      for bit in 0..<8 {
        var damaged = packed
        damaged[place] ^= 1 << UInt8(bit)
        #expect((Inflate.bytes(damaged, from: 0, size: 1 << 20)?.count ?? 0) <= 1 << 20)
      }
    }
  }
}
