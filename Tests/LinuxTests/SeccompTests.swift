// Filters of seccomp(2): no program, however made, traps or runs for ever, neither in the checks nor when it is executed.
// Tests/Guests/c/seccomp.c compares the checks and results with the kernel's.
import LinuxABI
import Testing

@testable import Linux

@Suite struct SeccompFilterTests {
  /// Codes that mostly are allowed, and such that are not.
  private static let codes: [UInt16] = [
    0x00, 0x01, 0x20, 0x80, 0x81, 0x60, 0x61, 0x02, 0x03, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c,
    0x44, 0x4c,
    0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45,
    0x4d, 0x06,
    0x16, 0x07, 0x87,
  ]
  private static let constants: [UInt32] = [
    0, 1, 2, 3, 4, 8, 15, 16, 31, 32, 33, 60, 63, 64, 0x7fff_ffff, 0x8000_0000, .max,
  ]
  private static let data = SeccompData(
    number: 39, instructionPointer: 0x1234_5678_9abc_def0,
    arguments: Arguments(.max, 1 << 63, 0x1_0000_0000, 0, 5, 0x6666_7777_8888_9999))

  private func instruction(_ random: inout some RandomNumberGenerator, wild: Bool) -> FilterInstruction {
    if wild {
      return FilterInstruction(
        code: UInt16.random(in: 0...UInt16.max, using: &random),
        ifTrue: UInt8.random(in: 0...255, using: &random),
        ifFalse: UInt8.random(in: 0...255, using: &random),
        k: UInt32.random(in: 0...UInt32.max, using: &random))
    }
    let code = SeccompFilterTests.codes.randomElement(using: &random) ?? 6
    let constant = SeccompFilterTests.constants.randomElement(using: &random) ?? 0
    // What can be allowed at all, so that long programs pass.
    let k: UInt32 =
      switch code {
      case 0x20: constant & 60
      case 0x60, 0x61, 0x02, 0x03: constant & 15
      case 0x34: constant | 1
      case 0x64, 0x74: constant & 31
      case 0x05: constant & 3
      default: constant
      }
    return FilterInstruction(
      code: code, ifTrue: UInt8.random(in: 0...3, using: &random),
      ifFalse: UInt8.random(in: 0...3, using: &random),
      k: k)
  }

  @Test func randomProgramsEnd() {
    var random = TestRandom(state: 20_261_123)
    var accepted = 0
    for round in 0..<60_000 {
      let wild = round % 8 == 0
      let count = Int.random(in: 0...24, using: &random)
      var program = (0..<count).map { _ in instruction(&random, wild: wild) }
      if round % 3 != 0 {
        // Memory is written, and there is a return within reach of each jump.
        program.insert(contentsOf: (0..<16).map { FilterInstruction(code: 0x02, k: $0) }, at: 0)
        program += (0..<4).map { _ in FilterInstruction(code: 0x16) }
      }
      guard let filter = SeccompFilter(program) else { continue }
      accepted += 1
      _ = filter.run(SeccompFilterTests.data)
      #expect(filter.kernelLength >= program.count)
    }
    #expect(accepted > 10_000)
  }

  /// Each single instruction, with every code and awkward constants.
  @Test func everyCodeEnds() {
    var accepted: Set<UInt16> = []
    for code in UInt16(0)...0x1ff {
      for k in SeccompFilterTests.constants {
        let program = [
          FilterInstruction(code: 0x02, k: 0), FilterInstruction(code: code, k: k),
          FilterInstruction(code: 0x06, k: 7),
        ]
        guard let filter = SeccompFilter(program) else { continue }
        accepted.insert(code)
        _ = filter.run(SeccompFilterTests.data)
      }
    }
    #expect(accepted == Set(SeccompFilterTests.codes))
    #expect(SeccompFilter([FilterInstruction(code: 0x106)]) == nil)
  }

  @Test func sizes() {
    let end = FilterInstruction(code: 0x06)
    let load = FilterInstruction(code: 0x00)
    #expect(SeccompFilter([]) == nil && SeccompFilter([load]) == nil)
    #expect(SeccompFilter([FilterInstruction](repeating: load, count: 4096) + [end]) == nil)
    #expect(SeccompFilter([FilterInstruction](repeating: load, count: 4095) + [end])?.kernelLength == 4100)
    #expect(
      SeccompFilter([FilterInstruction](repeating: load, count: 3) + [end])?.run(SeccompFilterTests.data) == 0
    )
  }

  @Test func dataIsTheCall() {
    let words = (0..<UInt32(18)).map { SeccompFilterTests.data[$0 * 4] }
    #expect(
      words == [
        39, 0xc000_003e, 0x9abc_def0, 0x1234_5678, .max, .max, 0, 1 << 31, 0, 1, 0, 0, 5, 0, 0x8888_9999,
        0x6666_7777,
        0, 0,
      ])
  }

  @Test func strictestWins() {
    func state(_ values: UInt32...) -> SeccompState {
      SeccompState(
        mode: .filter, filters: values.compactMap { SeccompFilter([FilterInstruction(code: 0x06, k: $0)]) })
    }
    #expect(state().verdict(SeccompFilterTests.data) == .allow)
    #expect(state(0x5_0001, 0x5_0002).verdict(SeccompFilterTests.data).rawValue == 0x5_0002)
    #expect(state(0x5_0001, 0x7fff_0000).verdict(SeccompFilterTests.data).rawValue == 0x5_0001)
    #expect(state(0x8000_0003, 0, 0x3_0000).verdict(SeccompFilterTests.data).rawValue == 0x8000_0003)
    #expect(state(0x7fff_ffff).verdict(SeccompFilterTests.data) == .allow)
    let (short, other) = (state(1), state(1))
    let long = SeccompState(mode: .filter, filters: short.filters + other.filters)
    #expect(short.isContained(in: long) && !other.isContained(in: long) && !long.isContained(in: short))
    #expect(SeccompState().isContained(in: short) && !SeccompState(mode: .strict).isContained(in: short))
  }
}

/// xorshift64, the same in each run.
private struct TestRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

extension ProcessTests {
  /// Sets a filter past the host's permissions, which tests may lack.
  private func harness(_ verdict: UInt32, on number: UInt32) throws -> CallHarness {
    let harness = try CallHarness()
    let filter = SeccompFilter([
      FilterInstruction(code: 0x20), FilterInstruction(code: 0x15, ifFalse: 1, k: number),
      FilterInstruction(code: 0x06, k: verdict), FilterInstruction(code: 0x06, k: 0x7fff_0000),
    ])
    harness.process.thread.seccomp = SeccompState(mode: .filter, filters: [try #require(filter)])
    harness.process.beginFilters()
    return harness
  }

  @Test func filterRefusesCalls() throws {
    let harness = try harness(0x5_0012, on: 39)
    #expect(harness.call(39) == -0x12 && harness.process.thread.result == -0x12)
    #expect(harness.call(110) > 0)
    #expect(try self.harness(0x5_ffff, on: 9999).call(9999) == -4095)
  }

  @Test func filterKills() throws {
    #expect(try harness(0x8000_0000, on: 39).outcome(39) == .killed(signal: 31, fault: nil))
    #expect(try harness(0, on: 39).outcome(39) == .killed(signal: 31, fault: nil))
    #expect(try harness(0x3_0000, on: 39).outcome(39) == .killed(signal: 31, fault: nil))
    let strict = try CallHarness()
    strict.process.thread.seccomp.mode = .strict
    strict.process.beginFilters()
    #expect(strict.call(0, 99) == -9 && strict.outcome(39) == .killed(signal: 9, fault: nil))
  }

  @Test func hostileFilters() throws {
    let harness = try CallHarness()
    let edge = CallHarness.scratch + 65536
    for address in [0, 1, edge - 1, edge - 8, edge - 15, 1 << 47, 1 << 63, UInt64.max, UInt64.max - 8] {
      #expect(harness.call(317, 1, 0, address) == -Errno.EFAULT)
      // The action is the first four bytes alone.
      let isReadable = address == edge - 8 || address == edge - 15
      #expect(harness.call(317, 2, 0, address) == (isReadable ? 0 : -Errno.EFAULT))
    }
    #expect(harness.call(317, .max, 0, 0) == -Errno.EINVAL && harness.call(317, 1, .max, 0) == -Errno.EINVAL)
    #expect(harness.call(157, 22, .max, .max) == -Errno.EINVAL)
  }
}
