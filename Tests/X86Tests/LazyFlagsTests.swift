// The lazy flags can tell every combination of the six status flags, and their setters change nothing else.

import Testing
import X86

@Suite struct LazyFlagsTests {
  /// All 64 combinations, at their places in RFLAGS.
  static let combinations: [UInt64] = (0..<64).map { (number: UInt64) in
    let bits: [UInt64] = [0, 2, 4, 6, 7, 11]
    return bits.enumerated().reduce(0 as UInt64) { $0 | (number >> UInt64($1.offset) & 1) << $1.element }
  }

  @Test func tellsEveryCombination() {
    for status in Self.combinations {
      let flags = LazyFlags(rflags: status | 0x400)
      #expect(flags.status == status)
      #expect(flags.rflags == status | 0x402)
    }
  }

  @Test func settersChangeOneFlag() {
    for status in Self.combinations {
      for value in [0, 1] as [UInt64] {
        var flags = LazyFlags(rflags: status)
        flags.setCarry(value)
        #expect(flags.status == status & ~1 | value)
        flags = LazyFlags(rflags: status)
        flags.setOverflow(value)
        #expect(flags.status == status & ~0x800 | value << 11)
        flags = LazyFlags(rflags: status)
        flags.setZero(value)
        #expect(flags.status == status & ~0x40 | value << 6)
      }
    }
  }

  @Test func conditionsFollowTheManual() {
    for status in Self.combinations {
      let flags = LazyFlags(rflags: status)
      let (carry, zero) = (status & 1 != 0, status & 0x40 != 0)
      let (sign, overflow, parity) = (status & 0x80 != 0, status & 0x800 != 0, status & 4 != 0)
      let truths: [Bool] = [
        overflow, carry, zero, carry || zero, sign, parity, sign != overflow, zero || sign != overflow,
      ]
      for condition in Condition.allCases {
        let truth = truths[Int(condition.rawValue >> 1)] != (condition.rawValue & 1 != 0)
        #expect(flags.holds(condition) == truth, "\(condition) \(status)")
      }
    }
  }
}
