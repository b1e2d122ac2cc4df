// The portable floating-point arithmetic against the instructions of the machine that runs the tests:
// random and edge operands, all rounding modes, with and without flush-to-zero and denormals-are-zero;
// results and flags to the bit.

#if arch(x86_64)
  import CHost
  import Testing

  @testable import Engine

  typealias Chunk = SIMD2<UInt64>

  /// A xorshift generator: the same operands in every run.
  struct OperandGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state ^= state &<< 13
      state ^= state &>> 7
      state ^= state &<< 17
      return state &* 0x2545_f491_4f6c_dd1d
    }

    mutating func next(below limit: UInt64) -> UInt64 { (next() &>> 11) % limit }

    /// An encoding of `format`: zeros, denormals, infinities, NaNs, extremes, ties, and anything.
    mutating func element(_ format: FloatFormat) -> UInt64 {
      let fractionBits = UInt64(format.fractionBits)
      let largestField: UInt64 = (1 &<< UInt64(format.exponentBits)) - 1
      let fractionMask: UInt64 = (1 &<< fractionBits) - 1
      var fraction: UInt64
      switch next(below: 5) {
      case 0: fraction = 0
      case 1: fraction = fractionMask
      case 2: fraction = 1 &<< next(below: fractionBits)
      case 3: fraction = next() & next() & next()
      default: fraction = next()
      }
      if next(below: 8) == 0 { fraction ^= 1 }
      let field: UInt64
      switch next(below: 10) {
      case 0: field = 0
      case 1: field = largestField
      case 2: field = 1 + next(below: 3)
      case 3: field = largestField - 1 - next(below: 3)
      case 4, 5, 6: field = UInt64(format.bias) &- 35 &+ next(below: 70)
      case 7: field = next(below: 60)
      default: field = next()
      }
      let sign = next(below: 2) &<< UInt64(format.width - 1)
      return sign | (field & largestField) &<< fractionBits | fraction & fractionMask
    }

    mutating func chunk(_ format: FloatFormat) -> Chunk {
      var result = Chunk()
      for index in 0..<(128 / format.width) {
        SoftVector.replace(&result, index, format.width, element(format))
      }
      return result
    }
  }

  /// One comparison: what the instruction gives under `mxcsr`, what the portable arithmetic gives.
  @inline(never)
  func agree(
    _ mxcsr: UInt32, _ instruction: () -> Chunk, _ portable: (inout FloatEnvironment) -> Chunk
  ) -> Bool {
    var control = mxcsr
    vt_load_mxcsr(&control)
    let expected = instruction()
    var after: UInt32 = 0
    vt_store_mxcsr(&after)
    var standard: UInt32 = 0x1f80
    vt_load_mxcsr(&standard)
    var environment = FloatEnvironment(mxcsr: mxcsr)
    let result = portable(&environment)
    return result == expected && environment.outcome.flags == after & 63
  }

  /// DPPS and DPPD that write all elements, as this host does them. A sum of two NaNs is its first operand, and the manual does
  /// not say which product an adder takes first. AMD's processors take the lower one and copy one sum to all elements. On Intel's
  /// each element i has a sum of its own, of the products in the order i^1, i, i^3, i^2 (DPPS) or i, i^1 (DPPD).
  func hostDotProduct(
    _ format: FloatFormat, _ x: Chunk, _ y: Chunk, terms: UInt8, _ environment: inout FloatEnvironment
  ) -> Chunk {
    let count = 128 / format.width
    let all: UInt8 = (1 << UInt8(count)) - 1
    if HostVendor.isAMD { return SoftVector.dotProduct(format, x, y, terms << 4 | all, &environment) }
    let start = environment
    var result = Chunk()
    for index in 0..<count {
      var permuted = (x: Chunk(), y: Chunk(), terms: UInt8(0))
      for place in 0..<count {
        let source = index ^ place ^ (count == 4 ? 1 : 0)
        SoftVector.replace(&permuted.x, place, format.width, SoftVector.element(x, source, format.width))
        SoftVector.replace(&permuted.y, place, format.width, SoftVector.element(y, source, format.width))
        permuted.terms |= (terms >> UInt8(source) & 1) << UInt8(place)
      }
      environment = start
      let sum = SoftVector.dotProduct(format, permuted.x, permuted.y, permuted.terms << 4 | 1, &environment)
      SoftVector.replace(&result, index, format.width, SoftVector.element(sum, 0, format.width))
    }
    return result
  }

  @Suite(.serialized) struct SoftFloatTests {
    static let features = vt_host_float_features()

    /// Every rounding mode with FTZ and DAZ, all exceptions masked.
    static let controls: [UInt32] = (0..<16).map { bits in
      0x1f80 | (bits & 3) << 13 | (bits >> 2 & 1) << 15 | (bits >> 3 & 1) << 6
    }

    /// Runs `check` with random operands under every control word and expects that it always holds.
    func forEachCase(
      _ name: String, seed: UInt64, count: Int = 4000, _ check: (UInt32, inout OperandGenerator) -> Bool
    ) {
      var generator = OperandGenerator(state: 0x9e37_79b9_7f4a_7c15 &* (seed + 1))
      var mismatches = 0
      for control in SoftFloatTests.controls {
        for _ in 0..<count where !check(control, &generator) { mismatches += 1 }
      }
      #expect(mismatches == 0, "\(name)")
    }

    @Test func packedArithmetic() {
      let singles: [(FloatBinaryOperation, (Chunk, Chunk) -> Chunk)] = [
        (.add, vt_addps), (.subtract, vt_subps), (.multiply, vt_mulps), (.divide, vt_divps),
        (.minimum, vt_minps), (.maximum, vt_maxps), (.addSubtract, vt_addsubps),
        (.horizontalAdd, vt_haddps), (.horizontalSubtract, vt_hsubps),
      ]
      let doubles: [(FloatBinaryOperation, (Chunk, Chunk) -> Chunk)] = [
        (.add, vt_addpd), (.subtract, vt_subpd), (.multiply, vt_mulpd), (.divide, vt_divpd),
        (.minimum, vt_minpd), (.maximum, vt_maxpd), (.addSubtract, vt_addsubpd),
        (.horizontalAdd, vt_haddpd), (.horizontalSubtract, vt_hsubpd),
      ]
      for (format, table) in [(FloatFormat.binary32, singles), (.binary64, doubles)] {
        for (operation, instruction) in table {
          forEachCase("\(operation) \(format.width)", seed: UInt64(operation.rawValue)) {
            control, generator in
            let x = generator.chunk(format)
            let y = generator.next(below: 16) == 0 ? x : generator.chunk(format)
            return agree(control, { instruction(x, y) }) {
              SoftVector.binary(operation, format, count: 128 / format.width, x, y, &$0)
            }
          }
        }
      }
    }

    @Test func squareRoots() {
      forEachCase("sqrtps", seed: 20) { control, generator in
        let x = generator.chunk(.binary32)
        return agree(control, { vt_sqrtps(x) }) { SoftVector.squareRoot(.binary32, count: 4, x, x, &$0) }
      }
      forEachCase("sqrtpd", seed: 21) { control, generator in
        let x = generator.chunk(.binary64)
        return agree(control, { vt_sqrtpd(x) }) { SoftVector.squareRoot(.binary64, count: 2, x, x, &$0) }
      }
    }

    @Test(.enabled(if: features & VT_HOST_AVX != 0)) func comparisons() {
      forEachCase("vcmpps", seed: 30) { control, generator in
        let x = generator.chunk(.binary32)
        let y = generator.next(below: 4) == 0 ? x : generator.chunk(.binary32)
        let predicate = UInt8(generator.next(below: 32))
        return agree(control, { vt_vcmpps(x, y, predicate) }) {
          SoftVector.compare(.binary32, count: 4, x, y, predicate, &$0)
        }
      }
      forEachCase("vcmppd", seed: 31) { control, generator in
        let x = generator.chunk(.binary64)
        let y = generator.next(below: 4) == 0 ? x : generator.chunk(.binary64)
        let predicate = UInt8(generator.next(below: 32))
        return agree(control, { vt_vcmppd(x, y, predicate) }) {
          SoftVector.compare(.binary64, count: 2, x, y, predicate, &$0)
        }
      }
    }

    @Test func conversions() {
      let table: [(FloatConversion, FloatFormat?, (Chunk) -> Chunk)] = [
        (.int32ToSingle, nil, vt_cvtdq2ps), (.int32ToDouble, nil, vt_cvtdq2pd),
        (.singleToInt32, .binary32, vt_cvtps2dq), (.singleToInt32Truncated, .binary32, vt_cvttps2dq),
        (.doubleToInt32, .binary64, vt_cvtpd2dq), (.doubleToInt32Truncated, .binary64, vt_cvttpd2dq),
        (.singleToDouble, .binary32, vt_cvtps2pd), (.doubleToSingle, .binary64, vt_cvtpd2ps),
      ]
      for (conversion, format, instruction) in table {
        forEachCase("\(conversion)", seed: 40 + UInt64(conversion.rawValue)) { control, generator in
          var x = format.map { generator.chunk($0) } ?? Chunk(generator.next(), generator.next())
          if conversion == .singleToDouble { x.y = 0 }
          return agree(control, { instruction(x) }) { SoftVector.convert(conversion, x, &$0) }
        }
      }
    }

    @Test func scalarIntegerConversions() {
      forEachCase("cvtsd2si", seed: 50) { control, generator in
        let x = generator.chunk(.binary64)
        let wide = agree(control, { Chunk(vt_cvtsd2si64(x), 0) }) {
          Chunk(SoftVector.toInteger(.rounded, .binary64, width: 64, x, &$0), 0)
        }
        let narrow = agree(control, { Chunk(UInt64(vt_cvttsd2si32(x)), 0) }) {
          Chunk(SoftVector.toInteger(.truncated, .binary64, width: 32, x, &$0), 0)
        }
        return wide && narrow
      }
      forEachCase("cvtsi2s", seed: 51) { control, generator in
        let x = generator.chunk(.binary64)
        let integer = generator.next() >> generator.next(below: 64)
        let single = agree(control, { vt_cvtsi2ss64(x, integer) }) {
          SoftVector.fromInteger(.binary32, x, Int64(bitPattern: integer), &$0)
        }
        let double = agree(control, { vt_cvtsi2sd64(x, integer) }) {
          SoftVector.fromInteger(.binary64, x, Int64(bitPattern: integer), &$0)
        }
        return single && double
      }
    }

    @Test(.enabled(if: features & VT_HOST_SSE41 != 0)) func roundingAndDotProducts() {
      forEachCase("roundpd", seed: 60) { control, generator in
        let x = generator.chunk(.binary64)
        let immediate = UInt8(generator.next(below: 16))
        return agree(control, { vt_roundpd(x, immediate) }) {
          SoftVector.round(.binary64, count: 2, x, x, immediate, &$0)
        }
      }
      forEachCase("dpps", seed: 61) { control, generator in
        let x = generator.chunk(.binary32)
        let y = generator.chunk(.binary32)
        let terms = UInt8(generator.next(below: 16))
        return agree(control, { vt_dpps(x, y, terms) }) {
          hostDotProduct(.binary32, x, y, terms: terms, &$0)
        }
      }
      forEachCase("dppd", seed: 62) { control, generator in
        let x = generator.chunk(.binary64)
        let y = generator.chunk(.binary64)
        let terms = UInt8(generator.next(below: 4))
        return agree(control, { vt_dppd(x, y, terms) }) {
          hostDotProduct(.binary64, x, y, terms: terms, &$0)
        }
      }
    }

    @Test(.enabled(if: features & VT_HOST_F16C != 0)) func halfPrecision() {
      forEachCase("vcvtph2ps", seed: 70) { control, generator in
        let x = Chunk(generator.chunk(.binary16).x, 0)
        return agree(control, { vt_vcvtph2ps(x) }) { SoftVector.convert(.halfToSingle, x, &$0) }
      }
      forEachCase("vcvtps2ph", seed: 71) { control, generator in
        let x = generator.chunk(.binary32)
        let immediate = UInt8(generator.next(below: 8))
        return agree(control, { vt_vcvtps2ph(x, immediate) }) { SoftVector.toHalf(x, immediate, &$0) }
      }
    }

    @Test(.enabled(if: features & VT_HOST_FMA != 0)) func fusedMultiplication() {
      typealias Fused = (Chunk, Chunk, Chunk) -> Chunk
      let table: [(FusedForm, FusedOperation, Fused, Fused)] = [
        (.form132, .add, vt_vfmadd132ps, vt_vfmadd132pd), (.form213, .add, vt_vfmadd213ps, vt_vfmadd213pd),
        (.form231, .add, vt_vfmadd231ps, vt_vfmadd231pd),
        (.form132, .subtract, vt_vfmsub132ps, vt_vfmsub132pd),
        (.form213, .negatedAdd, vt_vfnmadd213ps, vt_vfnmadd213pd),
        (.form231, .negatedSubtract, vt_vfnmsub231ps, vt_vfnmsub231pd),
        (.form132, .addSubtract, vt_vfmaddsub132ps, vt_vfmaddsub132pd),
        (.form213, .subtractAdd, vt_vfmsubadd213ps, vt_vfmsubadd213pd),
      ]
      for (index, (form, operation, single, double)) in table.enumerated() {
        for (format, instruction) in [(FloatFormat.binary32, single), (.binary64, double)] {
          forEachCase("fused \(form) \(operation)", seed: 80 + UInt64(index)) { control, generator in
            let x = generator.chunk(format)
            let y = generator.chunk(format)
            let z = generator.next(below: 8) == 0 ? x : generator.chunk(format)
            return agree(control, { instruction(x, y, z) }) {
              SoftVector.fusedMultiply(form, operation, format, count: 128 / format.width, x, y, z, &$0)
            }
          }
        }
      }
    }
  }
#endif
