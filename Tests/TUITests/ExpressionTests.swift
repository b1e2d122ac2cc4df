// Expressions and bytes as people type them.
import Testing

@testable import TUI

@Suite struct ExpressionTests {
  private let scope = Expression.Scope(
    name: { ["rax": 0x1122_3344_5566_7788, "main": 0x1000][$0] },
    memory: { address, size in address == 0x1008 ? UInt64(size) * 11 : nil })

  private func value(_ text: String) throws -> UInt64 { try Expression(text).evaluate(scope) }

  @Test func precedence() throws {
    #expect(try value("1 + 2 * 3") == 7)
    #expect(try value("(1 + 2) * 3") == 9)
    #expect(try value("10 - 3 - 2") == 5)
    #expect(try value("1 << 4 | 1") == 17)
    #expect(try value("1 == 1 && 2 > 1 || 0") == 1)
    #expect(try value("-1") == .max)
    #expect(try value("~0 >> 60") == 15)
    #expect(try value("!5 + 0x10") == 16)
    #expect(try value("7 % 4 ^ 1") == 2)
    #expect(try value("'A'") == 65)
  }

  @Test func namesAndMemory() throws {
    #expect(try value("main+4") == 0x1004)
    #expect(try value("$rax") == 0x1122_3344_5566_7788)
    #expect(try value("%rax") == 0x1122_3344_5566_7788)
    #expect(try value("[main + 8]") == 88)
    #expect(try value("byte[main + 8] + dword[main+8]") == 55)
    #expect(try value("*(main + 8)") == 88)
  }

  @Test func doesNotEvaluateWhatDoesNotCount() throws {
    #expect(try value("0 && [0]") == 0)
    #expect(try value("1 || [0]") == 1)
  }

  @Test(arguments: [
    "", "1 +", "(1", "[1", "1 2", "0xg", "12ab", "[0]", "1 / 0", "nobody", "'", "\"", "1 ++", ")", "@",
    String(repeating: "(", count: 5000), String(repeating: "-", count: 900) + "1",
  ]) func refuses(_ text: String) {
    #expect(throws: CommandError.self) { try value(text) }
  }

  @Test func partsOfRegisters() {
    func part(_ name: String) -> [UInt64] {
      let part = Expression.registerName(name)
      return [part.name == "rax" || part.name == "rsi" || part.name == "r9" ? 1 : 0, part.shift, part.mask]
    }
    #expect(part("eax") == [1, 0, 0xffff_ffff])
    #expect(part("ax") == [1, 0, 0xffff])
    #expect(part("AL") == [1, 0, 0xff])
    #expect(part("ah") == [1, 8, 0xff])
    #expect(part("sil") == [1, 0, 0xff])
    #expect(part("r9d") == [1, 0, 0xffff_ffff])
    #expect(part("r9") == [1, 0, .max])
  }

  @Test func bytes() {
    #expect(Bytes.parse("90 90cc") == [0x90, 0x90, 0xcc])
    #expect(Bytes.parse("\"a\\n\\x41\\0\"") == [97, 10, 65, 0])
    #expect(Bytes.parse("9") == nil && Bytes.parse("xyzw") == nil && Bytes.parse("\"a") == nil)
    #expect(Bytes.find([2, 3], in: [1, 2, 2, 3], from: 0) == 2)
    #expect(Bytes.find([2, 3], in: [2], from: 0) == nil)
  }
}
