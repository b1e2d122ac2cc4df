// Unmasked floating-point exceptions: whether the instruction faults, and which flags it leaves then, in the portable
// arithmetic and on the machine that runs the tests (where the fault is a SIGFPE that vt_guard_run catches).

#if arch(x86_64)
  import CHost
  import Testing

  @testable import Engine

  /// An instruction to be executed under fault protection: its number in `instruction(_:_:_:)` and operands.
  struct GuardedInstruction {
    var number: Int
    var x: Chunk
    var y: Chunk
    var mxcsr: UInt32
    var result = Chunk()
    var after: UInt32 = 0
  }

  private func instruction(_ number: Int, _ x: Chunk, _ y: Chunk) -> Chunk {
    switch number {
    case 0: return vt_addps(x, y)
    case 1: return vt_subpd(x, y)
    case 2: return vt_mulps(x, y)
    case 3: return vt_divpd(x, y)
    case 4: return vt_sqrtps(x)
    case 5: return vt_cvtpd2ps(x)
    case 6: return vt_cvtps2dq(x)
    case 7: return vt_maxps(x, y)
    case 8: return vt_cmppd(x, y, 1)
    case 9: return vt_mulsd(x, y)
    case 10: return vt_divps(x, y)
    case 11: return vt_haddps(x, y)
    case 12: return vt_roundps(x, 4)
    case 13: return vt_dpps(x, y, 15)
    case 14: return vt_vfmadd213pd(x, y, x)
    default: return vt_vcvtps2ph(x, 4)
    }
  }

  private func portable(
    _ number: Int, _ format: FloatFormat, _ x: Chunk, _ y: Chunk, _ environment: inout FloatEnvironment
  ) -> Chunk {
    let operations: [FloatBinaryOperation] = [.add, .subtract, .multiply, .divide]
    let count = 128 / format.width
    switch number {
    case 0...3: return SoftVector.binary(operations[number], format, count: count, x, y, &environment)
    case 4: return SoftVector.squareRoot(format, count: 4, x, x, &environment)
    case 5: return SoftVector.convert(.doubleToSingle, x, &environment)
    case 6: return SoftVector.convert(.singleToInt32, x, &environment)
    case 7: return SoftVector.binary(.maximum, format, count: 4, x, y, &environment)
    case 8: return SoftVector.compare(format, count: 2, x, y, 1, &environment)
    case 9: return SoftVector.binary(.multiply, format, count: 1, x, y, &environment)
    case 10: return SoftVector.binary(.divide, format, count: 4, x, y, &environment)
    case 11: return SoftVector.binary(.horizontalAdd, format, count: 4, x, y, &environment)
    case 12: return SoftVector.round(format, count: 4, x, x, 4, &environment)
    case 13: return hostDotProduct(format, x, y, terms: 15, &environment)
    case 14: return SoftVector.fusedMultiply(.form213, .add, format, count: 2, x, y, x, &environment)
    default: return SoftVector.toHalf(x, 4, &environment)
    }
  }

  private let execute: vt_handler = { _, context, _, _ in
    guard let item = context?.assumingMemoryBound(to: GuardedInstruction.self) else { return }
    vt_load_mxcsr(&item.pointee.mxcsr)
    item.pointee.result = instruction(item.pointee.number, item.pointee.x, item.pointee.y)
    vt_store_mxcsr(&item.pointee.after)
  }

  extension SoftFloatTests {
    /// Numbers of instructions that this machine has.
    var available: [Int] {
      var numbers = Array(0...10)
      if SoftFloatTests.features & VT_HOST_SSE3 != 0 { numbers.append(11) }
      if SoftFloatTests.features & VT_HOST_SSE41 != 0 { numbers += [12, 13] }
      if SoftFloatTests.features & VT_HOST_FMA != 0 { numbers.append(14) }
      if SoftFloatTests.features & VT_HOST_F16C != 0 { numbers.append(15) }
      return numbers
    }

    @Test func unmaskedExceptions() {
      #expect(vt_guard_install() == 0)
      var generator = OperandGenerator(state: 0x1234_5678_9abc_def1)
      let numbers = available
      var faults = 0
      var mismatches = 0
      for _ in 0..<60_000 {
        let number = numbers[Int(generator.next(below: UInt64(numbers.count)))]
        let format: FloatFormat = [1, 3, 5, 8, 9, 14].contains(number) ? .binary64 : .binary32
        let masks = UInt32(generator.next(below: 64)) << 7
        let modes = UInt32(generator.next(below: 8)) << 13 | UInt32(generator.next(below: 2)) << 6
        var item = GuardedInstruction(
          number: number, x: generator.chunk(format), y: generator.chunk(format), mxcsr: masks | modes)
        var fault = vt_fault()
        let faulted = withUnsafeMutablePointer(to: &item) {
          vt_guard_run(execute, nil, $0, nil, 0, &fault) != 0
        }
        var standard: UInt32 = 0x1f80
        vt_load_mxcsr(&standard)
        var environment = FloatEnvironment(mxcsr: item.mxcsr)
        let result = portable(number, format, item.x, item.y, &environment)
        let flags = (faulted ? fault.mxcsr : item.after) & 63
        let agrees = faulted == environment.outcome.faults && flags == environment.outcome.flags
        if !agrees || (!faulted && result != item.result) { mismatches += 1 }
        if faulted { faults += 1 }
      }
      #expect(mismatches == 0)
      #expect(faults > 10_000)
    }
  }
#endif
