// The description of registers: numbers and widths as gdb expects them, documents that belong together.

import CHost
import Engine
import Testing

@testable import Debugger

@Suite struct DescriptionTests {
  private let all = RegisterFile(components: 0xe7)

  @Test func registersAreWhereGDBLooks() {
    for (name, number) in [
      ("rax", 0), ("rsp", 7), ("rip", 16), ("eflags", 17), ("gs", 23), ("st0", 24), ("fop", 39),
    ]
      + [("xmm0", 40), ("mxcsr", 56), ("orig_rax", 57), ("fs_base", 58), ("gs_base", 59), ("ymm0h", 60)]
    {
      #expect(all.number(of: name) == number, "\(name)")
    }
    #expect(all.registers.count == Set(all.registers.map { $0.name }).count)
    #expect(RegisterFile(components: 3).number(of: "ymm0h") == nil)
    #expect(RegisterFile(components: 7).number(of: "k0") == nil)
    // 16 registers of 128 bits and 32 of 256 bits more, eight opmask registers.
    #expect(all.registers.count - RegisterFile(components: 7).registers.count == 16 + 16 + 8 + 32)
  }

  @Test func documentsBelongTogether() throws {
    let description = TargetDescription(registers: all)
    let main = try #require(description.document("target.xml"))
    var count = 0
    for part in main.split(separator: "\"") where part.hasSuffix(".xml") {
      let document = try #require(description.document(String(part)), "\(part)")
      count += document.components(of: "<reg ")
      #expect(document.components(of: "<flags") == document.components(of: "</flags>"))
      #expect(document.components(of: "<union") == document.components(of: "</union>"))
    }
    #expect(count == all.registers.count)
    #expect(description.document("other.xml") == nil)
    #expect(main.contains("i386:x86-64"))
  }

  @Test func piecesMakeTheWhole() {
    let content = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
    var read: [UInt8] = []
    while true {
      let piece = GDBServer.piece(of: content, UInt64(read.count), 77)
      read += piece.dropFirst()
      if piece[0] == UInt8(ascii: "l") { break }
    }
    #expect(read == content)
    #expect(GDBServer.piece(of: content, 1000, 5) == [UInt8(ascii: "l")])
    #expect(GDBServer.piece(of: content, 1001, 5) == GDBServer.failure)
  }

  @Test func watchpointsOverlap() {
    let point = Watchpoint(address: 100, size: 8, kinds: .write)
    #expect(point.overlaps(100, 1))
    #expect(point.overlaps(107, 1))
    #expect(point.overlaps(96, 5))
    #expect(point.overlaps(0, 1000))
    #expect(!point.overlaps(108, 8))
    #expect(!point.overlaps(96, 4))
    #expect(Watchpoint(address: .max - 3, size: 4, kinds: .read).overlaps(.max, 1))
  }
}

extension String {
  fileprivate func components(of word: String) -> Int {
    var count = 0
    var rest = self[...]
    while let place = rest.firstRange(of: word) {
      count += 1
      rest = rest[place.upperBound...]
    }
    return count
  }
}
