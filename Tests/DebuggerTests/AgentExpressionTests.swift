// Conditions in gdb's bytecode: what each operation does, and that hostile expressions end.

import Testing

@testable import Debugger

@Suite struct AgentExpressionTests {
  private let source = AgentExpression.Source(
    register: { $0 < 4 ? UInt64($0) * 100 : nil },
    memory: { address, size in
      guard address < 0x1000 else { return nil }
      let value = 0x8877_6655_4433_2211 as UInt64
      return size == 8 ? value : value & (1 << UInt64(size * 8) - 1)
    })

  private func value(_ code: [UInt8]) throws -> UInt64 { try AgentExpression(code: code).evaluate(source) }

  /// Two numbers of eight bytes, an operation, the end.
  private func result(_ left: Int64, _ operation: UInt8, _ right: Int64) throws -> Int64 {
    func constant(_ number: Int64) -> [UInt8] {
      [0x25] + (0..<8).reversed().map { UInt8(truncatingIfNeeded: number >> Int64($0 * 8)) }
    }
    return Int64(bitPattern: try value(constant(left) + constant(right) + [operation, 0x27]))
  }

  @Test func arithmetic() throws {
    #expect(try result(7, 0x02, -9) == -2)
    #expect(try result(7, 0x03, 9) == -2)
    #expect(try result(-7, 0x04, 9) == -63)
    #expect(try result(-7, 0x05, 2) == -3)
    #expect(try result(-7, 0x06, 2) == Int64(bitPattern: (UInt64.max - 6) / 2))
    #expect(try result(-7, 0x07, 2) == -1)
    #expect(try result(.min, 0x05, -1) == .min)
    #expect(try result(.min, 0x07, -1) == 0)
    #expect(try result(1, 0x09, 70) == 0)
    #expect(try result(-8, 0x0a, 1) == -4)
    #expect(try result(-8, 0x0a, 200) == -1)
    #expect(try result(-1, 0x0b, 63) == 1)
    #expect(try result(12, 0x0f, 10) == 8)
    #expect(try result(12, 0x10, 10) == 14)
    #expect(try result(12, 0x11, 10) == 6)
    #expect(try result(3, 0x13, 3) == 1)
    #expect(try result(-1, 0x14, 0) == 1)
    #expect(try result(-1, 0x15, 0) == 0)
  }

  @Test func stackOperations() throws {
    // const8 5, dup, add; const8 3, swap, sub: 3 - 10
    #expect(try value([0x22, 5, 0x28, 0x02, 0x22, 3, 0x2b, 0x03, 0x27]) == UInt64(bitPattern: -7))
    // 1 2 3, pick 2: 1 on top
    #expect(try value([0x22, 1, 0x22, 2, 0x22, 3, 0x32, 2, 0x27]) == 1)
    // 1 2 3, rot: 3 1 2
    #expect(try value([0x22, 1, 0x22, 2, 0x22, 3, 0x33, 0x27]) == 2)
    #expect(try value([0x22, 1, 0x22, 2, 0x29, 0x27]) == 1)
    #expect(try value([0x22, 0, 0x0e, 0x27]) == 1)
    #expect(try value([0x22, 0xf0, 0x12, 0x27]) == ~0xf0)
    #expect(try value([0x22, 0x80, 0x16, 8, 0x27]) == UInt64(bitPattern: -128))
    #expect(try value([0x25, 1, 2, 3, 4, 5, 6, 7, 0x88, 0x2a, 8, 0x27]) == 0x88)
  }

  @Test func memoryAndRegisters() throws {
    #expect(try value([0x26, 0, 3, 0x27]) == 300)
    #expect(try value([0x22, 16, 0x17, 0x27]) == 0x11)
    #expect(try value([0x22, 16, 0x18, 0x27]) == 0x2211)
    #expect(try value([0x22, 16, 0x19, 0x27]) == 0x4433_2211)
    #expect(try value([0x22, 16, 0x1a, 0x27]) == 0x8877_6655_4433_2211)
    #expect(throws: AgentExpression.Failure.memory(0xffff)) { try value([0x23, 0xff, 0xff, 0x1a, 0x27]) }
    #expect(throws: AgentExpression.Failure.register(9)) { try value([0x26, 0, 9, 0x27]) }
  }

  @Test func branches() throws {
    // if 1 goto 8; const8 1; end; at 8: const8 2; end
    let code: [UInt8] = [0x22, 1, 0x20, 0, 8, 0x22, 1, 0x27, 0x22, 2, 0x27]
    #expect(try value(code) == 2)
    #expect(try value([0x22, 0] + code[2...]) == 1)
  }

  @Test func hostileExpressionsEnd() {
    #expect(throws: AgentExpression.Failure.tooLong) { try value([0x21, 0, 0]) }
    #expect(throws: AgentExpression.Failure.stackOverflow) { try value([0x22, 1, 0x21, 0, 0]) }
    #expect(throws: AgentExpression.Failure.stackUnderflow) { try value([0x02]) }
    #expect(throws: AgentExpression.Failure.divisionByZero) { try value([0x22, 1, 0x22, 0, 0x06]) }
    #expect(throws: AgentExpression.Failure.outsideCode) { try value([0x21, 0xff, 0xff]) }
    #expect(throws: AgentExpression.Failure.outsideCode) { try value([0x25, 1]) }
    #expect(throws: AgentExpression.Failure.unknownOperation(0xfe)) { try value([0xfe]) }
    for _ in 0..<20_000 {
      let code = (0..<Int.random(in: 0...24)).map { _ in UInt8.random(in: 0...0x36) }
      _ = try? value(code)
    }
  }
}
